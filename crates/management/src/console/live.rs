//! The newest call as a map with what each step decided and took, the last ones beside it; and the end of what a
//! call was made with.

use axum::body::Bytes;
use axum::extract::Path;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde::Serialize;

use crate::actor::{Right, Share};
use crate::applications::{self, Revocable};
use crate::error::Refused;
use crate::pages::{Halt, Visit};
use crate::usage::{self, Call, CallFilter, Scope};
use crate::views::{self, CallView, Reader};

/// Beside the map.
const LAST: i64 = 12;

/// What a call was made with, as far as it is known here.
#[derive(Serialize)]
pub(super) struct MadeWith {
    client: String,
    application: Option<String>,
    name: Option<String>,
    /// Whether the visitor may end it here.
    can: bool,
    /// Why it cannot be ended here, by anybody.
    why: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Live {
    /// Of the newest call.
    seq: i64,
    call: Option<CallView>,
    with: Option<MadeWith>,
    calls: Vec<CallView>,
}

pub(super) async fn live(visit: &mut Visit) -> Result<Live, Halt> {
    let filter = CallFilter { scope: Scope::All, outcome: None, before: None };
    let found = usage::calls(&mut visit.cx, &filter, LAST).await?;
    made_live(visit, &found).await
}

async fn made_live(visit: &mut Visit, found: &[Call]) -> Result<Live, Halt> {
    let now = visit.cx.now;
    let with = match found.first() {
        Some(first) => made_with(visit, first).await?,
        None => None,
    };
    Ok(Live {
        seq: found.first().map_or(0, |first| first.seq),
        call: found.first().map(|first| views::call(first, now, Reader::Provider)),
        with,
        calls: found.iter().map(|call| views::call(call, now, Reader::Provider)).collect(),
    })
}

async fn made_with(visit: &mut Visit, call: &Call) -> Result<Option<MadeWith>, Halt> {
    let Some(client) = call.client.clone() else { return Ok(None) };
    Ok(Some(match applications::revocable(&mut visit.cx, &client).await? {
        Revocable::By(found) => MadeWith {
            can: visit.cx.actor.may_for(&found.organisation, Share::Develop),
            application: Some(found.id),
            name: Some(found.name),
            why: None,
            client,
        },
        Revocable::Not(why) => MadeWith { client, application: None, name: None, can: false, why: Some(why) },
    }))
}

/// What the page's script asks for: the part anew, or nothing if nothing has come since.
pub(super) async fn part(mut visit: Visit) -> Response {
    let made = make_part(&mut visit).await;
    visit.answer(made)
}

async fn make_part(visit: &mut Visit) -> Result<Response, Halt> {
    #[derive(Serialize)]
    struct Content {
        live: Live,
    }
    visit.need(Right::Read)?;
    let after: Option<i64> = visit.query.one("after").and_then(|after| after.parse().ok());
    let filter = CallFilter { scope: Scope::All, outcome: None, before: None };
    let found = usage::calls(&mut visit.cx, &filter, LAST).await?;
    if after.is_some_and(|after| found.first().is_none_or(|first| first.seq <= after)) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let live = made_live(visit, &found).await?;
    Ok(visit.show("console/live.html", Content { live }))
}

pub(super) async fn call(mut visit: Visit, Path(id): Path<String>) -> Response {
    let made = one_call(&mut visit, &id).await;
    visit.answer(made)
}

async fn one_call(visit: &mut Visit, id: &str) -> Result<Response, Halt> {
    #[derive(Serialize)]
    struct Content {
        call: CallView,
        with: Option<MadeWith>,
        /// What has just been done: how many grants were revoked.
        revoked: Option<u64>,
    }
    visit.need(Right::Read)?;
    let found = find(visit, id).await?;
    let with = made_with(visit, &found).await?;
    let revoked = visit.query.one("revoked").and_then(|many| many.parse().ok());
    let call = views::call(&found, visit.cx.now, Reader::Provider);
    Ok(visit.show("console/call.html", Content { call, with, revoked }))
}

async fn find(visit: &mut Visit, id: &str) -> Result<Call, Halt> {
    let found = usage::find_call(&mut visit.cx, id).await?;
    Ok(found.ok_or(Refused::NotFound("call with this request id that you may see"))?)
}

pub(super) async fn ask(mut visit: Visit, Path(id): Path<String>) -> Response {
    let made = question(&mut visit, &id).await;
    visit.answer(made)
}

/// What would be ended, and what else with it, before anything is.
async fn question(visit: &mut Visit, id: &str) -> Result<Response, Halt> {
    #[derive(Serialize)]
    struct Content {
        call: CallView,
        with: MadeWith,
    }
    visit.need(Right::Read)?;
    let found = find(visit, id).await?;
    let with = made_with(visit, &found).await?.ok_or(Refused::NotFound("client that this call was made by"))?;
    let call = views::call(&found, visit.cx.now, Reader::Provider);
    Ok(visit.show("console/revoke.html", Content { call, with }))
}

pub(super) async fn revoke(mut visit: Visit, Path(id): Path<String>, body: Bytes) -> Response {
    let made = revoked(&mut visit, &id, &body).await;
    visit.answer(made)
}

async fn revoked(visit: &mut Visit, id: &str, body: &[u8]) -> Result<Response, Halt> {
    visit.need(Right::Read)?;
    let fields = visit.form(body)?;
    let found = find(visit, id).await?;
    let with = made_with(visit, &found).await?.ok_or(Refused::NotFound("client that this call was made by"))?;
    let application = with.application.ok_or_else(|| Refused::Conflict(with.why.unwrap_or_default()))?;
    let grant = found.way.as_ref().and_then(|way| way.grant.as_deref());
    // Only what the form says is ended; a grant that is not known is not taken for all of them.
    let grant = match (fields.text("what"), grant) {
        ("grant", Some(grant)) => Some(grant),
        ("all", _) => None,
        _ => return Err(Refused::BadRequest("the form does not say what to revoke".to_owned()).into()),
    };
    let mut cx = visit.cx.again();
    let revoked = applications::revoke(&mut cx, &application, grant).await?;
    cx.commit().await?;
    Ok(visit.go(&format!("/console/calls/{}?revoked={revoked}", found.request_id)))
}
