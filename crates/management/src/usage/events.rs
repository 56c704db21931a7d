//! Single calls: the last ones with the reason of each refusal, one by its request id, and all as CloudEvents.

use ::http::{HeaderValue, header};
use axum::Json;
use axum::response::{IntoResponse as _, Response};
use base::Time;
use catalog::usage::Way;
use serde_json::{Value, json};

use super::store;
use crate::error::Refused;
use crate::{Cx, subscriptions};

use crate::actor::{Actor, Right, Share};

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Its place in the ledger.
    pub seq: i64,
    pub gateway: String,
    pub number: i64,
    pub request_id: String,
    pub at: Time,
    pub received_at: Time,
    pub api: String,
    pub operation: String,
    pub method: String,
    pub client: Option<String>,
    pub subscription: Option<String>,
    pub plan: Option<String>,
    pub organisation: Option<String>,
    pub status: u16,
    /// served, refused, failed
    pub outcome: String,
    /// Name of the problem.
    pub reason: Option<String>,
    pub units: i64,
    pub micros: i64,
    /// How it went through the gateway's steps, where the gateway has told.
    pub way: Option<Way>,
}

/// Whose calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Those of everybody, also of callers that nobody knows.
    All,
    Organisation(String),
    Subscription(String),
    /// Of one client of an organisation.
    Client {
        organisation: String,
        client: String,
    },
}

#[derive(Debug, Clone)]
pub struct CallFilter {
    pub scope: Scope,
    /// served, refused, failed; `None`: all.
    pub outcome: Option<String>,
    /// `seq` of the last one of the page before.
    pub before: Option<i64>,
}

/// Calls that were counted, of a subscription on a plan.
#[derive(Debug, Clone)]
pub struct Billable {
    pub subscription: String,
    pub plan: String,
    pub from: Time,
    pub until: Time,
    /// Places in the ledger: behind the one, and up to the other.
    pub after: i64,
    pub up_to: i64,
}

/// The newest first. For those who may see that scope.
pub async fn calls(cx: &mut Cx, filter: &CallFilter, limit: i64) -> Result<Vec<Call>, Refused> {
    allow(cx, &filter.scope).await?;
    let found = store::calls(cx, filter, limit).await?;
    Ok(found.into_iter().map(|call| as_seen_by(&cx.actor, call)).collect())
}

/// The call with this request id, if the actor may see it: an organisation its own, the provider all.
pub async fn find_call(cx: &mut Cx, request_id: &str) -> Result<Option<Call>, Refused> {
    let found = store::call_by_request(cx, request_id).await?;
    let actor = &cx.actor;
    let own = found.into_iter().find(|call| {
        actor.may(Right::Read) || call.organisation.as_deref().is_some_and(|own| actor.may_for(own, Share::See))
    });
    Ok(own.map(|call| as_seen_by(actor, call)))
}

/// Which policies decided, and parts that the caller was not shown, are the provider's affair.
fn as_seen_by(actor: &Actor, mut call: Call) -> Call {
    if let Some(way) = call.way.as_mut().filter(|_| !actor.may(Right::Read)) {
        way.policies = None;
        way.parts = way.parts.take().filter(|_| !way.parts_withheld);
    }
    call
}

/// From behind `after`, in the order of the ledger: a reader that goes on where it ended misses none and gets none
/// twice.
pub async fn exported(cx: &mut Cx, after: i64, limit: i64) -> Result<Vec<Call>, Refused> {
    store::exported(cx, after, limit).await
}

/// In the order of the ledger. Who may see them is the caller's rule.
pub async fn billable(cx: &mut Cx, of: &Billable, limit: i64) -> Result<Vec<Call>, Refused> {
    let found = store::billable(cx, of, limit).await?;
    Ok(found.into_iter().map(|call| as_seen_by(&cx.actor, call)).collect())
}

/// The JSON batch format of CloudEvents 1.0 (§4).
pub(crate) fn as_cloud_events(events: &[Value]) -> Response {
    let mut response = Json(events).into_response();
    let kind = HeaderValue::from_static("application/cloudevents-batch+json; charset=UTF-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// As an event of CloudEvents 1.0: `source` and `id` together name a record for ever.
pub fn cloud_event(base: &str, call: &Call) -> Value {
    json!({
        "specversion": "1.0",
        "id": call.number.to_string(),
        "source": format!("{base}/gateways/{}", call.gateway),
        "type": "dev.cardea.usage.call.v1",
        "subject": call.subscription,
        "time": rfc3339(call.at),
        "datacontenttype": "application/json",
        "data": view(call),
    })
}

pub(super) fn view(call: &Call) -> Value {
    let way = call.way.as_ref();
    json!({
        "requestId": call.request_id, "at": call.at, "api": call.api, "operation": call.operation,
        "method": call.method, "client": call.client, "subscription": call.subscription, "plan": call.plan,
        "organisation": call.organisation, "status": call.status, "outcome": call.outcome, "reason": call.reason,
        "units": call.units, "micros": call.micros, "told": way.and_then(|way| way.told.as_ref()),
        "parts": way.and_then(|way| way.parts.as_ref()), "policies": way.and_then(|way| way.policies.as_ref()),
    })
}

pub(crate) fn rfc3339(at: Time) -> String {
    jiff::Timestamp::from_millisecond(at.ms()).map_or_else(|_| at.to_string(), |at| format!("{at:.3}"))
}

async fn allow(cx: &mut Cx, scope: &Scope) -> Result<(), Refused> {
    match scope {
        Scope::All => cx.need(Right::Read),
        Scope::Organisation(organisation) | Scope::Client { organisation, .. } => cx.need_for(organisation, Share::See),
        Scope::Subscription(id) => subscriptions::see(cx, id).await.map(drop),
    }
}
