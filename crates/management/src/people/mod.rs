//! People and their organisations. The identity system is the master of people: a row points there by issuer and
//! subject. `provider` publishes; every other organisation consumes.

mod store;
#[cfg(test)]
mod tests;

use serde_json::json;

pub(crate) use store::{organisation_name, person};

use crate::actor::{Person, Role};
use crate::audit::{self, Record};
use crate::{Cx, Refused};

/// Somebody who has just signed in. At the first time an organisation of their own is made, so that they can begin
/// at once.
pub async fn arrive(
    cx: &mut Cx,
    issuer: &str,
    subject: &str,
    name: &str,
    email: Option<&str>,
) -> Result<Person, Refused> {
    let (id, is_new) = store::arrive(cx, issuer, subject, name, email).await?;
    if is_new {
        let organisation = store::make_organisation(cx, name).await?;
        store::set_member(cx, &organisation, &id, Role::Owner).await?;
        let object = format!("person:{id}");
        let detail = json!({"organisation": organisation});
        audit::record(cx, Record { act: "person.made", object, organisation: Some(&organisation), detail }).await?;
    }
    person(cx, &id).await?.ok_or(Refused::NotFound("person of this name"))
}

/// Gives a person a role in an organisation, in place of the one they have. Who may do that is the caller's to ask.
pub(crate) async fn make_member(cx: &mut Cx, organisation: &str, person: &str, role: Role) -> Result<(), Refused> {
    if role.is_provider() != (organisation == crate::PROVIDER) {
        return Err(Refused::invalid("/role", format!("`{}` is no role of this organisation", role.as_str())));
    }
    store::set_member(cx, organisation, person, role).await?;
    let object = format!("person:{person}");
    let detail = json!({"role": role.as_str()});
    audit::record(cx, Record { act: "member.changed", object, organisation: Some(organisation), detail }).await?;
    Ok(())
}
