//! The end of what an application holds at the identity system: of one grant, with all tokens under it, or of all.
//!
//! Management knows no tokens and is no master of them: it asks, as the registrar of the client, and the identity
//! system decides. Where that is not one of ours there is no such request, and people are told so.

use serde_json::json;

use super::registrar::{Desk, NO_REVOCATION, Trouble};
use super::{Application, State, changeable, store, tell};
use crate::Cx;
use crate::error::Refused;

/// What can be done about what a client holds.
#[derive(Debug)]
pub enum Revocable {
    /// By its application here.
    By(Box<Application>),
    /// Not from here; why not, in words for people.
    Not(String),
}

/// Whether it could be asked; who may is for [`revoke`].
pub async fn revocable(cx: &mut Cx, client: &str) -> Result<Revocable, Refused> {
    let Some(id) = store::find_by_client(cx, client).await? else {
        let why = "the client was not registered by this portal; who runs the identity system can revoke its tokens";
        return Ok(Revocable::Not(why.to_owned()));
    };
    let found = super::find(cx, &id).await?.ok_or(Refused::NotFound("such application"))?;
    let management = cx.management.clone();
    Ok(match management.issuer.metadata(&management).await {
        Ok(metadata) if metadata.registration_revocation_supported => Revocable::By(Box::new(found)),
        Ok(_) => Revocable::Not(NO_REVOCATION.to_owned()),
        Err(_) => Revocable::Not("the identity system does not answer now; try again in a minute".to_owned()),
    })
}

/// Asks for the end of one grant of the application, or of all; how many there were. That it was asked is on record
/// before, whatever becomes of the answer; the caller commits that it was done.
pub async fn revoke(cx: &mut Cx, id: &str, grant: Option<&str>) -> Result<u64, Refused> {
    let found = changeable(cx, id).await?;
    if grant.is_some_and(|grant| !(1..=200).contains(&grant.len())) {
        return Err(Refused::invalid("/grant", "is no id of a grant"));
    }
    let no_client = || Refused::Conflict("it has no client yet that could hold anything".to_owned());
    let client = found.client.filter(|_| found.state == State::Registered).ok_or_else(no_client)?;
    let uri = store::client_uri(cx, id).await?.ok_or_else(|| Refused::Conflict(NO_REVOCATION.to_owned()))?;
    let mut asking = cx.again();
    let detail = json!({"client": client, "grant": grant});
    tell(&mut asking, "application.revocation_asked", id, &found.organisation, detail).await?;
    asking.commit().await?;
    let management = cx.management.clone();
    let desk = Desk::open(&management).await.map_err(told)?;
    let revoked = desk.revoke(&uri, grant).await.map_err(told)?;
    let detail = json!({"client": client, "grant": grant, "grants": revoked});
    tell(cx, "application.tokens_revoked", id, &found.organisation, detail).await?;
    Ok(revoked)
}

fn told(trouble: Trouble) -> Refused {
    match trouble {
        Trouble::Later(why) | Trouble::Unsure(why) => Refused::Upstream(why),
        Trouble::No(why) => Refused::Conflict(why),
        Trouble::Unauthorized | Trouble::KeyUsedUp => Refused::Conflict(
            "the identity system does not know this client, or not our right to manage it; `cardea reconcile` says which"
                .to_owned(),
        ),
    }
}
