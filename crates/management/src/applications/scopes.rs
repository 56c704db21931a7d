//! Scopes follow subscriptions: an application may ask for those of the APIs that its plans have.

use serde_json::{Value, json};

use super::{State, Wanted, document, enqueue, find, store, tell};
use crate::error::Refused;
use crate::{Cx, registry};

/// An application has been subscribed to a plan with these APIs.
pub(crate) async fn subscribed(cx: &mut Cx, id: &str, apis: &[String]) -> Result<(), Refused> {
    let mut scopes: Vec<String> = Vec::new();
    for name in apis {
        let Some(number) = registry::get(cx, name).await?.and_then(|api| api.published) else { continue };
        let Some(revision) = registry::revision(cx, name, number).await? else { continue };
        for resource in &revision.draft.resources {
            let asked = resource.spec.pointer("/auth/scopes").and_then(Value::as_array);
            scopes.extend(asked.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned));
        }
    }
    set_api_scopes(cx, id, &scopes).await.map(drop)
}

/// The scopes of the APIs that it is subscribed to; the identity system is told if they have changed.
pub async fn set_api_scopes(cx: &mut Cx, id: &str, scopes: &[String]) -> Result<bool, Refused> {
    let Some(found) = find(cx, id).await? else { return Ok(false) };
    let mut all = found.scopes.clone();
    all.extend(scopes.iter().cloned());
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
