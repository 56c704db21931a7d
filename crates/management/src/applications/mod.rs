//! Applications of developers: what an organisation calls APIs by. Each is a client of the identity system, made by
//! Dynamic Client Registration (RFC 7591) and managed by RFC 7592; here is no client, but a pointer to one.
//!
//! What is wanted is written first, with a job, in one transaction ("intended"); then the identity system is asked,
//! until it has answered. A repeat has the same `Idempotency-Key`, so a lost answer makes no second client. What is
//! to go, goes there first. `reconcile` compares both sides.
//!
//! - [`settle`] brings the identity system to what is wanted, step by step; [`registrar`] speaks to it.
//! - A secret is sealed until it has been shown, which happens once.

mod describe;
mod http;
mod reconcile;
mod redirects;
mod registrar;
mod revoke;
mod scopes;
mod settle;
mod store;
#[cfg(test)]
pub(crate) mod tests;

use std::time::Duration;

use base::ids::RequestId;
use base::{Secret, Time};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub(crate) use self::describe::{operations, shapes};
pub use self::http::{routes, view};
pub use self::reconcile::{Finding, Report, reconcile};
pub use self::registrar::Registrar;
pub use self::revoke::{Revocable, revocable, revoke};
pub use self::scopes::set_api_scopes;
pub(crate) use self::scopes::subscribed;
pub use self::settle::go_on;
pub(crate) use self::settle::{sweep, work};

use self::redirects::check_redirect;
use crate::actor::{Right, Share};
use crate::audit::{self, Record};
use crate::error::Refused;
use crate::{Cx, people};

/// What the job queue calls this work.
const JOB: &str = "application";
/// Who watches for applications whose state has changed.
const TOPIC: &str = "applications";
/// The request itself tries at once; if its process dies, a worker goes on after this.
const GRACE: Duration = Duration::from_secs(5);
/// The secret before stays good for this long, unless another time is asked for.
const OVERLAP: Duration = Duration::from_secs(7 * 24 * 3600);
const LONGEST_OVERLAP: Duration = Duration::from_secs(30 * 24 * 3600);
const MOST_OF_ONE: i64 = 100;
const MOST_URIS: usize = 20;
/// What a client may ask for where people log in.
const OF_PEOPLE: [&str; 4] = ["openid", "profile", "email", "offline_access"];

/// What runs where decides which grants it may use and whether it can keep a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A program that acts for itself.
    Service,
    /// A server with pages that people log in to; it may act for itself too.
    Web,
    /// Code in a browser: it can keep no secret.
    Browser,
    /// Installed at the user's (RFC 8252): it can keep no secret.
    Native,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Service, Self::Web, Self::Browser, Self::Native];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Web => "web",
            Self::Browser => "browser",
            Self::Native => "native",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    pub fn has_secret(self) -> bool {
        matches!(self, Self::Service | Self::Web)
    }

    pub fn has_people(self) -> bool {
        self != Self::Service
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Written down; the identity system has not said yes yet.
    Intended,
    Registered,
    /// The identity system said no, or a person has to look.
    Failed,
    /// To be deleted there, then here.
    Deleting,
    Deleted,
}

impl State {
    pub const ALL: [Self; 5] = [Self::Intended, Self::Registered, Self::Failed, Self::Deleting, Self::Deleted];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Intended => "intended",
            Self::Registered => "registered",
            Self::Failed => "failed",
            Self::Deleting => "deleting",
            Self::Deleted => "deleted",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// What is wanted of an application.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Wanted {
    pub name: String,
    pub kind: Kind,
    #[serde(default)]
    pub redirect_uris: Vec<String>,
    /// Scopes that it may ask for, beside those of the APIs it is subscribed to.
    #[serde(default)]
    pub scopes: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct Application {
    pub id: String,
    pub organisation: String,
    pub name: String,
    pub kind: Kind,
    pub redirect_uris: Vec<String>,
    pub scopes: Vec<String>,
    pub state: State,
    /// `client_id`, as soon as there is one.
    pub client: Option<String>,
    /// Whether the identity system knows all that is wanted.
    pub is_settled: bool,
    /// Whether there is a secret that nobody has seen.
    pub has_new_secret: bool,
    pub attempts: i64,
    /// Why it is not as it should be, in words for its developers.
    pub error: Option<String>,
    pub created_at: Time,
    pub created_by: String,
    pub changed_at: Time,
}

/// Of a client, to be shown once.
#[derive(Debug)]
pub struct Credentials {
    pub client: String,
    pub secret: Secret<String>,
}

/// Writes down what is wanted. After the commit [`go_on`] asks the identity system.
pub async fn create(cx: &mut Cx, organisation: &str, wanted: &Wanted) -> Result<Application, Refused> {
    cx.need_for(organisation, Share::Develop)?;
    scopes::allowed(cx, &[], &wanted.scopes).await?;
    create_with(cx, organisation, wanted).await
}

/// As [`create`], for code that has seen to it that these scopes may be asked for.
pub(crate) async fn create_with(cx: &mut Cx, organisation: &str, wanted: &Wanted) -> Result<Application, Refused> {
    cx.need_for(organisation, Share::Develop)?;
    let wanted = checked(wanted)?;
    // Whoever makes one waits here for whoever else does, so that none is too many.
    people::hold(cx, organisation).await?;
    if store::count_living(cx, organisation).await? >= MOST_OF_ONE {
        return Err(Refused::Conflict(format!("an organisation has at most {MOST_OF_ONE} applications; delete one")));
    }
    let id = RequestId::random().0;
    let asked = document(&id, &wanted);
    store::insert(cx, &id, organisation, &wanted, &asked).await?;
    enqueue(cx, &id, cx.now.plus(GRACE)).await?;
    let detail = json!({"name": wanted.name, "kind": wanted.kind.as_str(), "redirectUris": wanted.redirect_uris});
    tell(cx, "application.made", &id, organisation, detail).await?;
    find(cx, &id).await?.ok_or(Refused::NotFound("such application"))
}

/// Another name, other redirect URIs or scopes; the kind stays.
pub async fn update(cx: &mut Cx, id: &str, wanted: &Wanted) -> Result<Application, Refused> {
    let before = changeable(cx, id).await?;
    if before.kind != wanted.kind {
        return Err(Refused::invalid("/kind", "stays what it is; make another application"));
    }
    let wanted = checked(wanted)?;
    scopes::allowed(cx, &before.scopes, &wanted.scopes).await?;
    let asked = document(id, &wanted);
    store::update(cx, id, &wanted, &asked).await?.ok_or(Refused::NotFound("such application"))?;
    enqueue(cx, id, cx.now.plus(GRACE)).await?;
    let detail = json!({"name": wanted.name, "redirectUris": wanted.redirect_uris, "scopes": wanted.scopes});
    tell(cx, "application.changed", id, &before.organisation, detail).await?;
    find(cx, id).await?.ok_or(Refused::NotFound("such application"))
}

/// Another secret; the one in use stays good for a while, so that no call fails in between.
pub async fn rotate(cx: &mut Cx, id: &str, overlap: Option<Duration>) -> Result<Application, Refused> {
    let before = changeable(cx, id).await?;
    if !before.kind.has_secret() {
        return Err(Refused::Conflict("an application of this kind has no secret".to_owned()));
    }
    let overlap = overlap.unwrap_or(OVERLAP);
    if overlap > LONGEST_OVERLAP {
        return Err(Refused::invalid("/overlap", "may be 30 days"));
    }
    if !store::want_secret(cx, id, i64::try_from(overlap.as_secs()).unwrap_or(0)).await? {
        return Err(Refused::Conflict("it has no client yet whose secret could be exchanged".to_owned()));
    }
    enqueue(cx, id, cx.now.plus(GRACE)).await?;
    let detail = json!({"overlap": overlap.as_secs()});
    tell(cx, "application.secret_asked", id, &before.organisation, detail).await?;
    find(cx, id).await?.ok_or(Refused::NotFound("such application"))
}

/// Its client is deleted at the identity system first; until that has answered, the application is "deleting".
pub async fn delete(cx: &mut Cx, id: &str) -> Result<(), Refused> {
    let before = see(cx, id).await?;
    cx.need_for(&before.organisation, Share::Develop)?;
    if store::want_gone(cx, id).await? {
        enqueue(cx, id, cx.now.plus(GRACE)).await?;
        tell(cx, "application.deletion_asked", id, &before.organisation, json!({"client": before.client})).await?;
    }
    Ok(())
}

/// Tries again what was given up.
pub async fn retry(cx: &mut Cx, id: &str) -> Result<Application, Refused> {
    let before = changeable(cx, id).await?;
    if store::want_again(cx, id).await? {
        enqueue(cx, id, cx.now.plus(GRACE)).await?;
        tell(cx, "application.retried", id, &before.organisation, json!({})).await?;
    }
    find(cx, id).await?.ok_or(Refused::NotFound("such application"))
}

/// The secret that nobody has seen yet: told to one, once, in one statement.
pub async fn take_credentials(cx: &mut Cx, id: &str) -> Result<Option<Credentials>, Refused> {
    let application = see(cx, id).await?;
    cx.need_for(&application.organisation, Share::Develop)?;
    let Some(client) = application.client.filter(|_| application.state == State::Registered) else { return Ok(None) };
    let Some(sealed) = store::take_secret(cx, id).await? else { return Ok(None) };
    let secret = settle::open(&cx.management, id, "secret", &sealed)
        .ok_or_else(|| Refused::Conflict("the secret cannot be read any more; exchange it for another".to_owned()))?;
    tell(cx, "application.secret_shown", id, &application.organisation, json!({"client": client})).await?;
    Ok(Some(Credentials { client, secret }))
}

pub async fn find(cx: &mut Cx, id: &str) -> Result<Option<Application>, Refused> {
    Ok(store::find(cx, id).await?)
}

/// As [`find`], for those who may see it; the others are not told that it is there.
pub async fn see(cx: &mut Cx, id: &str) -> Result<Application, Refused> {
    let found = find(cx, id).await?.filter(|found| found.state != State::Deleted);
    let found = found.ok_or(Refused::NotFound("such application"))?;
    match cx.need_for(&found.organisation, Share::See) {
        Ok(()) => Ok(found),
        Err(_) => Err(Refused::NotFound("such application")),
    }
}

/// Which applications; what is `None` does not matter.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub organisation: Option<String>,
    pub state: Option<State>,
    /// The id of the last one of the page before.
    pub after: Option<String>,
}

/// In the order in which they were made, without those that are deleted unless these are asked for.
pub async fn list(cx: &mut Cx, filter: &Filter, limit: i64) -> Result<Vec<Application>, Refused> {
    match &filter.organisation {
        Some(organisation) => cx.need_for(organisation, Share::See)?,
        None => cx.need(Right::Read)?,
    }
    Ok(store::list(cx, filter, limit).await?)
}

/// By a piece of the name, by the client, or by their own id; for who may see all.
pub async fn search(cx: &mut Cx, text: &str, limit: i64) -> Result<Vec<Application>, Refused> {
    cx.need(Right::Read)?;
    let mut found = Vec::new();
    for id in store::search(cx, text, limit).await? {
        found.extend(store::find(cx, &id).await?);
    }
    Ok(found)
}

async fn changeable(cx: &mut Cx, id: &str) -> Result<Application, Refused> {
    let found = see(cx, id).await?;
    cx.need_for(&found.organisation, Share::Develop)?;
    if found.state == State::Deleting {
        return Err(Refused::Conflict("the application is being deleted".to_owned()));
    }
    Ok(found)
}

/// Each change has a job of its own, so that one that comes while another is under way is not forgotten.
async fn enqueue(cx: &mut Cx, id: &str, run_at: Time) -> Result<(), Refused> {
    let key = format!("{id}/{}", RequestId::random());
    ::store::jobs::enqueue(&mut cx.tx, JOB, &key, &json!({"application": id}).to_string(), run_at).await?;
    cx.tx.notify(TOPIC);
    Ok(())
}

async fn tell(cx: &mut Cx, act: &'static str, id: &str, organisation: &str, detail: Value) -> Result<(), Refused> {
    let object = format!("application:{id}");
    audit::record(cx, Record { act, object, organisation: Some(organisation), detail }).await?;
    Ok(())
}

/// Client metadata (RFC 7591 §2, OpenID Connect Registration §2).
fn document(id: &str, wanted: &Wanted) -> Value {
    let people = wanted.kind.has_people();
    let mut grant_types = Vec::new();
    if people {
        grant_types.extend(["authorization_code", "refresh_token"]);
    }
    if wanted.kind.has_secret() {
        grant_types.push("client_credentials");
    }
    let mut scopes: Vec<&str> = if people { OF_PEOPLE.to_vec() } else { Vec::new() };
    scopes.extend(wanted.scopes.iter().map(String::as_str).filter(|scope| !OF_PEOPLE.contains(scope)));
    let mut document = json!({
        "client_name": wanted.name,
        "software_id": id,
        "application_type": if wanted.kind == Kind::Native { "native" } else { "web" },
        "redirect_uris": wanted.redirect_uris,
        "grant_types": grant_types,
        "response_types": if people { json!(["code"]) } else { json!([]) },
        "token_endpoint_auth_method": if wanted.kind.has_secret() { "client_secret_basic" } else { "none" },
    });
    if let (Some(members), false) = (document.as_object_mut(), scopes.is_empty()) {
        members.insert("scope".to_owned(), json!(scopes.join(" ")));
    }
    document
}

/// What the identity system would refuse anyway is said here, at its place.
fn checked(wanted: &Wanted) -> Result<Wanted, Refused> {
    let name = wanted.name.trim();
    if name.is_empty() || name.chars().count() > 100 || name.chars().any(char::is_control) {
        return Err(Refused::invalid("/name", "a name has 1 to 100 characters, and no control characters"));
    }
    if !wanted.kind.has_people() && !wanted.redirect_uris.is_empty() {
        return Err(Refused::invalid("/redirectUris", "nobody logs in to an application that acts for itself"));
    }
    if wanted.kind.has_people() && wanted.redirect_uris.is_empty() {
        return Err(Refused::invalid("/redirectUris", "where do people come back to after logging in?"));
    }
    if wanted.redirect_uris.len() > MOST_URIS {
        return Err(Refused::invalid("/redirectUris", format!("at most {MOST_URIS}")));
    }
    let mut redirect_uris: Vec<String> = Vec::new();
    for (index, uri) in wanted.redirect_uris.iter().enumerate() {
        check_redirect(wanted.kind, uri.trim())
            .map_err(|why| Refused::invalid(&format!("/redirectUris/{index}"), why))?;
        if !redirect_uris.iter().any(|known| known == uri.trim()) {
            redirect_uris.push(uri.trim().to_owned());
        }
    }
    let mut scopes = wanted.scopes.clone();
    scopes.sort_unstable();
    scopes.dedup();
    let is_scope = |scope: &String| {
        // RFC 6749 §3.3
        (1..=200).contains(&scope.len()) && scope.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
    };
    if let Some(index) = scopes.iter().position(|scope| !is_scope(scope)) {
        return Err(Refused::invalid(&format!("/scopes/{index}"), "is no scope (RFC 6749 §3.3)"));
    }
    Ok(Wanted { name: name.to_owned(), kind: wanted.kind, redirect_uris, scopes })
}
