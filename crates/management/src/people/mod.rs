//! People and their organisations. The identity system is the master of people: here is who of them has come, and
//! what they may do. Whoever logs in for the first time gets an organisation of their own.
//!
//! An organisation always has somebody who can let others in: its last owner, and the provider's last
//! administrator, can neither leave nor become less. What is looked at and then changed stands behind a lock of the
//! organisation.

mod describe;
mod http;
mod store;
#[cfg(test)]
mod tests;

use std::time::Duration;

use base::Time;
use base::ids::RequestId;
use jose::hash::{base64url, sha256};
use serde_json::json;

pub(crate) use self::describe::{operations, shapes};
pub use self::http::routes;
pub use self::store::{
    Human, Invitation, Member, Organisation, human, invitations, list_organisations, list_people, members,
    organisation, organisation_name, organisations_of, search_organisations,
};

use crate::actor::{Actor, Person, Right, Role, Share};
use crate::audit::{self, Record};
use crate::error::Refused;
use crate::{Cx, PROVIDER};

/// How long an invitation can be taken.
const INVITED_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
const LONGEST_NAME: usize = 100;
/// What one person makes alone, and what stands open at a time.
const MOST_OWNED: i64 = 50;
const MOST_INVITATIONS: usize = 200;

/// A person with what they are a member of; nothing if there is no such person.
pub async fn person(cx: &mut Cx, id: &str) -> Result<Option<Person>, Refused> {
    let Some(human) = store::human(cx, id).await? else { return Ok(None) };
    let memberships = store::memberships(cx, id).await?;
    Ok(Some(Person { id: human.id, name: human.name, memberships }))
}

/// The person that an issuer calls so.
pub async fn by_subject(cx: &mut Cx, issuer: &str, subject: &str) -> Result<Option<Person>, Refused> {
    match store::id_of(cx, issuer, subject).await? {
        Some(id) => person(cx, &id).await,
        None => Ok(None),
    }
}

/// Somebody has logged in. Of many first logins at once one makes the person and the organisation.
pub async fn arrive(
    cx: &mut Cx,
    issuer: &str,
    subject: &str,
    name: &str,
    email: Option<&str>,
) -> Result<Person, Refused> {
    let name = shown_name(name).unwrap_or_else(|| shorter(subject));
    let new = RequestId::random().0;
    let id = store::arrive(cx, &new, (issuer, subject), &name, email).await?;
    if id == new {
        let own = organisation_id(&name);
        store::insert_organisation(cx, &own, &name).await?;
        store::set_member(cx, &own, &id, Role::Owner).await?;
        tell(cx, "person.arrived", format!("person:{id}"), Some(&own), json!({"name": name})).await?;
    }
    person(cx, &id).await?.ok_or(Refused::NotFound("such person"))
}

/// Makes a person a member, or gives a member another role; for code that has seen to the right to do so.
pub async fn make_member(cx: &mut Cx, organisation: &str, person: &str, role: Role) -> Result<(), Refused> {
    fits(organisation, role)?;
    if store::human(cx, person).await?.is_none() {
        return Err(Refused::NotFound("such person"));
    }
    store::lock(cx, organisation).await?.ok_or(Refused::NotFound("such organisation"))?;
    store::set_member(cx, organisation, person, role).await?;
    let object = format!("person:{person}");
    tell(cx, "member.set", object, Some(organisation), json!({"role": role.as_str()})).await?;
    Ok(())
}

/// A new organisation; whoever makes it owns it. The id is chosen by the provider's administrators alone, since plans
/// name organisations by it.
pub async fn found(cx: &mut Cx, name: &str, id: Option<&str>) -> Result<Organisation, Refused> {
    if matches!(cx.actor, Actor::Nobody | Actor::Gateway(_)) {
        return Err(Refused::NoRight);
    }
    let name = named(name)?;
    if let (Actor::Person(person), false) = (&cx.actor, cx.actor.may(Right::Administer)) {
        let person = person.id.clone();
        if store::count_owned(cx, &person).await? >= MOST_OWNED {
            return Err(Refused::Conflict(format!("a person owns at most {MOST_OWNED} organisations")));
        }
    }
    let id = match id {
        None => organisation_id(&name),
        Some(id) => {
            cx.need(Right::Administer)?;
            checked_id(id)?
        }
    };
    if !store::insert_organisation(cx, &id, &name).await? {
        return Err(Refused::Conflict(format!("there is an organisation `{id}` already; choose another id")));
    }
    if let Actor::Person(person) = &cx.actor {
        let owner = person.id.clone();
        store::set_member(cx, &id, &owner, Role::Owner).await?;
    }
    tell(cx, "organisation.made", format!("organisation:{id}"), Some(&id), json!({"name": name})).await?;
    Ok(Organisation { id, name, created_at: cx.now })
}

pub async fn rename(cx: &mut Cx, organisation: &str, name: &str) -> Result<(), Refused> {
    cx.need_for(organisation, Share::Own)?;
    let name = named(name)?;
    if !store::rename(cx, organisation, &name).await? {
        return Err(Refused::NotFound("such organisation"));
    }
    let object = format!("organisation:{organisation}");
    tell(cx, "organisation.renamed", object, Some(organisation), json!({"name": name})).await?;
    Ok(())
}

/// Gives somebody who is a member already another role.
pub async fn set_role(cx: &mut Cx, organisation: &str, person: &str, role: Role) -> Result<(), Refused> {
    may_change_members(cx, organisation)?;
    fits(organisation, role)?;
    store::lock(cx, organisation).await?.ok_or(Refused::NotFound("such organisation"))?;
    let before = store::role_of(cx, organisation, person).await?.ok_or(Refused::NotFound("such member"))?;
    let chief = chief_of(organisation);
    if before == chief && role != chief && store::count(cx, organisation, chief).await? <= 1 {
        return Err(last_one(chief));
    }
    store::set_member(cx, organisation, person, role).await?;
    let withdrawn = if before == chief && role != chief { take_back(cx, organisation, person).await? } else { 0 };
    let detail = json!({"role": role.as_str(), "before": before.as_str(), "invitationsWithdrawn": withdrawn});
    tell(cx, "member.set", format!("person:{person}"), Some(organisation), detail).await?;
    Ok(())
}

/// Ends a membership: a member may leave, an owner may send away.
pub async fn remove(cx: &mut Cx, organisation: &str, person: &str) -> Result<(), Refused> {
    let leaves = matches!(&cx.actor, Actor::Person(own) if own.id == person);
    if !leaves {
        may_change_members(cx, organisation)?;
    }
    store::lock(cx, organisation).await?.ok_or(Refused::NotFound("such organisation"))?;
    let before = store::role_of(cx, organisation, person).await?.ok_or(Refused::NotFound("such member"))?;
    let chief = chief_of(organisation);
    if before == chief && store::count(cx, organisation, chief).await? <= 1 {
        return Err(last_one(chief));
    }
    store::remove_member(cx, organisation, person).await?;
    let withdrawn = take_back(cx, organisation, person).await?;
    let detail = json!({"before": before.as_str(), "invitationsWithdrawn": withdrawn});
    tell(cx, "member.removed", format!("person:{person}"), Some(organisation), detail).await?;
    Ok(())
}

/// An invitation with its secret, which is told this once.
#[derive(Debug)]
pub struct Invited {
    pub invitation: Invitation,
    pub token: String,
}

/// Makes a link by which one person becomes a member. `note` says for whom it is.
pub async fn invite(cx: &mut Cx, organisation: &str, role: Role, note: &str) -> Result<Invited, Refused> {
    may_change_members(cx, organisation)?;
    fits(organisation, role)?;
    if store::organisation_name(cx, organisation).await?.is_none() {
        return Err(Refused::NotFound("such organisation"));
    }
    if store::invitations(cx, organisation).await?.len() >= MOST_INVITATIONS {
        let why = format!("{MOST_INVITATIONS} invitations are open; withdraw some first");
        return Err(Refused::Conflict(why));
    }
    let token = base::random::text::<32>();
    let invitation = Invitation {
        id: RequestId::random().0,
        organisation: organisation.to_owned(),
        role,
        note: shown_name(note).unwrap_or_default(),
        invited_by: cx.actor.to_string(),
        created_at: cx.now,
        expires_at: cx.now.plus(INVITED_FOR),
    };
    store::insert_invitation(cx, &invitation, &hash_of(&token)).await?;
    let detail = json!({"role": role.as_str(), "note": invitation.note});
    tell(cx, "invitation.made", format!("invitation:{}", invitation.id), Some(organisation), detail).await?;
    Ok(Invited { invitation, token })
}

/// What an invitation offers, to be shown before it is taken.
pub async fn invitation(cx: &mut Cx, token: &str) -> Result<Option<Invitation>, Refused> {
    Ok(store::find_invitation(cx, &hash_of(token)).await?)
}

/// Takes an invitation, once. Who is a member already keeps the role that they have, and the link stays good.
pub async fn accept(cx: &mut Cx, token: &str) -> Result<Invitation, Refused> {
    let Actor::Person(person) = cx.actor.clone() else { return Err(Refused::NoRight) };
    let gone = || Refused::NotFound("such invitation; it may have been used, withdrawn, or be too old");
    let invitation = store::take_invitation(cx, &hash_of(token), &person.id).await?.ok_or_else(gone)?;
    let organisation = invitation.organisation.as_str();
    store::lock(cx, organisation).await?.ok_or_else(gone)?;
    if store::role_of(cx, organisation, &person.id).await?.is_some() {
        return Err(Refused::Conflict("you are a member of this organisation already".to_owned()));
    }
    store::set_member(cx, organisation, &person.id, invitation.role).await?;
    let detail = json!({"role": invitation.role.as_str(), "invitation": invitation.id});
    tell(cx, "member.joined", format!("person:{}", person.id), Some(organisation), detail).await?;
    Ok(invitation)
}

pub async fn withdraw(cx: &mut Cx, organisation: &str, invitation: &str) -> Result<(), Refused> {
    may_change_members(cx, organisation)?;
    if !store::remove_invitation(cx, organisation, invitation).await? {
        return Err(Refused::NotFound("such invitation"));
    }
    tell(cx, "invitation.withdrawn", format!("invitation:{invitation}"), Some(organisation), json!({})).await?;
    Ok(())
}

/// Who may not invite any more has no invitation in the drawer by which they, or a friend, come back.
async fn take_back(cx: &mut Cx, organisation: &str, person: &str) -> Result<u64, Refused> {
    let by = Actor::Person(Person { id: person.to_owned(), name: String::new(), memberships: Vec::new() }).to_string();
    Ok(store::withdraw_of(cx, organisation, &by).await?)
}

/// Changes of what belongs to one organisation come one after the other from here to the commit.
pub(crate) async fn hold(cx: &mut Cx, organisation: &str) -> Result<(), Refused> {
    store::lock(cx, organisation).await?.ok_or(Refused::NotFound("such organisation"))
}

/// The provider's members are the provider's affair: its roles are rights over everybody.
pub fn may_change_members(cx: &Cx, organisation: &str) -> Result<(), Refused> {
    if organisation == PROVIDER { cx.need(Right::Administer) } else { cx.need_for(organisation, Share::Own) }
}

/// Who may see the members of an organisation.
pub fn may_see(cx: &Cx, organisation: &str) -> Result<(), Refused> {
    if organisation == PROVIDER { cx.need(Right::Read) } else { cx.need_for(organisation, Share::See) }
}

/// The role without which nobody could let others in.
fn chief_of(organisation: &str) -> Role {
    if organisation == PROVIDER { Role::Administrator } else { Role::Owner }
}

fn last_one(role: Role) -> Refused {
    Refused::Conflict(format!("this is the last {}; make somebody else {0} first", role.as_str()))
}

fn fits(organisation: &str, role: Role) -> Result<(), Refused> {
    if role.is_provider() == (organisation == PROVIDER) {
        return Ok(());
    }
    let roles = if organisation == PROVIDER { "administrator, publisher or auditor" } else { "owner or developer" };
    Err(Refused::invalid("/role", format!("a member of this organisation is {roles}")))
}

fn named(name: &str) -> Result<String, Refused> {
    let name = name.trim();
    let fine = !name.is_empty() && name.chars().count() <= LONGEST_NAME && !name.chars().any(char::is_control);
    if fine {
        return Ok(name.to_owned());
    }
    Err(Refused::invalid("/name", format!("a name has 1 to {LONGEST_NAME} characters, and no control characters")))
}

/// What a stranger says of themselves, made fit to be shown.
fn shown_name(name: &str) -> Option<String> {
    let name: String = name.chars().filter(|letter| !letter.is_control()).take(LONGEST_NAME).collect();
    let name = name.trim();
    if name.is_empty() { None } else { Some(name.to_owned()) }
}

fn shorter(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(LONGEST_NAME).collect()
}

/// Readable, and not to be guessed or fought over.
fn organisation_id(name: &str) -> String {
    let mut slug = String::new();
    for letter in name.chars().take(40) {
        if letter.is_ascii_alphanumeric() {
            slug.push(letter.to_ascii_lowercase());
        } else if !slug.ends_with('-') && !slug.is_empty() {
            slug.push('-');
        }
    }
    let slug = slug.trim_matches('-');
    let slug = if slug.is_empty() { "organisation" } else { slug };
    let tail: String = base::random::bytes::<4>().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{slug}-{tail}")
}

fn checked_id(id: &str) -> Result<String, Refused> {
    let fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if (2..=60).contains(&id.len()) && id.bytes().all(fine) && !id.starts_with('-') && !id.ends_with('-') {
        return Ok(id.to_owned());
    }
    Err(Refused::invalid("/id", "an id has 2 to 60 small letters, digits and hyphens"))
}

fn hash_of(token: &str) -> String {
    base64url(&sha256(token.as_bytes()))
}

async fn tell(
    cx: &mut Cx,
    act: &'static str,
    object: String,
    organisation: Option<&str>,
    detail: serde_json::Value,
) -> Result<(), Refused> {
    Ok(audit::record(cx, Record { act, object, organisation, detail }).await?)
}

/// Invitations that nobody took leave after a while.
pub(crate) async fn sweep(cx: &mut Cx) -> Result<(), ::store::StoreError> {
    let before: Time = cx.now.minus(INVITED_FOR);
    store::forget_invitations(cx, before).await
}
