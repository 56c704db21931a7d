//! Scopes follow subscriptions: an application may ask for those of the APIs that its plans have.

use serde_json::{Value, json};

use catalog::Needed;

use super::{OF_PEOPLE, State, Wanted, document, enqueue, find, store, tell};
use crate::actor::Right;
use crate::admin::SCOPE;
use crate::error::Refused;
use crate::registry::{self, Query};
use crate::{Cx, registry::Api};

/// So many APIs are looked at at once.
const PAGE: usize = 100;

/// Scopes that somebody may write down for an application: those that it has, those of people's log-in, and those of
/// published APIs that ask for no subscription. All others come with a subscription, which has its own rules;
/// otherwise whoever may register an application could give it every right that there is, this interface's own first.
pub(super) async fn allowed(cx: &mut Cx, known: &[String], wanted: &[String]) -> Result<(), Refused> {
    if cx.actor.may(Right::Administer) {
        return Ok(());
    }
    let is_known = |scope: &&str| known.iter().any(|one| one == scope) || OF_PEOPLE.contains(scope);
    let new: Vec<&str> = wanted.iter().map(String::as_str).filter(|scope| !is_known(scope)).collect();
    if new.is_empty() {
        return Ok(());
    }
    let open = open_scopes(cx).await?;
    match wanted.iter().position(|scope| new.contains(&scope.as_str()) && !open.contains(scope)) {
        Some(at) => Err(Refused::invalid(
            &format!("/scopes/{at}"),
            "comes with a subscription to an API that asks for it; subscribe the application first",
        )),
        None => Ok(()),
    }
}

async fn open_scopes(cx: &mut Cx) -> Result<Vec<String>, Refused> {
    let mut scopes = Vec::new();
    let mut query = Query { published_only: true, ..Query::default() };
    loop {
        let (apis, next) = registry::list(cx, &query, PAGE).await?;
        let free = |api: &&Api| api.spec.subscription != Needed::Required;
        for name in apis.iter().filter(free).map(|api| api.name.clone()).collect::<Vec<_>>() {
            scopes.extend(scopes_of(cx, &name).await?);
        }
        query.after = next;
        if query.after.is_none() {
            return Ok(scopes);
        }
    }
}

/// What the routes of a published API ask for; of several that will do, the first.
async fn scopes_of(cx: &mut Cx, name: &str) -> Result<Vec<String>, Refused> {
    let Some(number) = registry::get(cx, name).await?.and_then(|api| api.published) else { return Ok(Vec::new()) };
    let Some(revision) = registry::revision(cx, name, number).await? else { return Ok(Vec::new()) };
    let mut scopes: Vec<String> = Vec::new();
    for resource in &revision.draft.resources {
        let any = resource.spec.pointer("/auth/anyScope").and_then(Value::as_array).into_iter().flatten();
        let any = any.take(1).filter_map(Value::as_str).map(str::to_owned);
        let asked = registry::asked_scopes(resource).into_iter().chain(any);
        scopes.extend(asked.filter(|scope| scope != SCOPE));
    }
    Ok(scopes)
}

/// An application has been subscribed to a plan with these APIs.
pub(crate) async fn subscribed(cx: &mut Cx, id: &str, apis: &[String]) -> Result<(), Refused> {
    let mut scopes: Vec<String> = Vec::new();
    for name in apis {
        scopes.extend(scopes_of(cx, name).await?);
    }
    set_api_scopes(cx, id, &scopes).await.map(drop)
}

/// The scopes of the APIs that it is subscribed to; the identity system is told if they have changed.
pub async fn set_api_scopes(cx: &mut Cx, id: &str, scopes: &[String]) -> Result<bool, Refused> {
    let Some(found) = find(cx, id).await? else { return Ok(false) };
    let mut all = found.scopes.clone();
    // Whatever an API says: this interface's own scope is nothing that follows from a subscription.
    all.extend(scopes.iter().filter(|scope| *scope != SCOPE).cloned());
    all.sort_unstable();
    all.dedup();
    if all == found.scopes || matches!(found.state, State::Deleting | State::Deleted) {
        return Ok(false);
    }
    let wanted =
        Wanted { name: found.name.clone(), kind: found.kind, redirect_uris: found.redirect_uris.clone(), scopes: all };
    let asked = document(id, &wanted);
    store::update(cx, id, &wanted, &asked).await?;
    let now = cx.now;
    enqueue(cx, id, now).await?;
    tell(cx, "application.scopes_set", id, &found.organisation, json!({"scopes": wanted.scopes})).await?;
    Ok(true)
}
