//! `POST /gateway/v1/usage`, and what people and programs see of the ledger.

use axum::Json;
use axum::extract::{Path, Query};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base::{Problem, Time};
use catalog::Window;
use catalog::usage::{Gap, UsageBatch};
use http::{HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{CallFilter, Gateway, Group, Question, Scope, Step, Taken, events, push, report};
use crate::Cx;
use crate::actor::{Actor, Right};
use crate::error::Refused;
use crate::router::{Guard, Route};

/// More in one batch would hold the ledger's writer for too long.
const MOST_RECORDS: usize = 10_000;
/// How often a batch is looked at anew when another one of the same gateway came in between.
const TRIES: usize = 8;

pub fn routes() -> Vec<Route> {
    vec![
        ("/gateway/v1/usage", Guard::Gateway, post(take_usage)),
        ("/management/v1/gateways", Guard::Api, get(list_gateways)),
        ("/management/v1/usage", Guard::Api, get(report_usage)),
        ("/management/v1/usage/calls", Guard::Api, get(list_calls)),
        ("/management/v1/usage/calls/{request_id}", Guard::Api, get(show_call)),
        ("/management/v1/usage/events", Guard::Api, get(export_events)),
        ("/management/v1/usage/push", Guard::Api, get(list_pushes).post(restart_push)),
    ]
}

async fn take_usage(mut cx: Cx, Json(batch): Json<UsageBatch>) -> Result<Response, Refused> {
    let Actor::Gateway(caller) = cx.actor.clone() else { return Err(Refused::NoRight) };
    if batch.gateway.is_empty() || batch.gateway.len() > 64 || batch.records.len() > MOST_RECORDS {
        return Err(Refused::BadRequest(format!("a gateway's id and at most {MOST_RECORDS} records are expected")));
    }
    for _ in 0..TRIES {
        match super::take(&mut cx, &caller, &batch).await? {
            Taken::Overtaken => cx = cx.again(),
            Taken::Gap { next } => return Ok(gap(next)),
            Taken::Kept { next, counts } => {
                let mut after = cx.again();
                let management = cx.management.clone();
                cx.commit().await?;
                management.metrics.usage(&counts);
                return Ok(Json(super::answer(&mut after, next, batch.seen).await?).into_response());
            }
        }
    }
    Err(Refused::Conflict("this gateway sends too many batches at once; send them one after the other".to_owned()))
}

/// The problem, with what is wanted.
fn gap(next: u64) -> Response {
    let detail = "records before this batch are missing; send those from `next` on";
    let problem = Problem::new(StatusCode::CONFLICT, "usage_gap", "Records are missing").detail(detail);
    let mut body = serde_json::to_value(problem).unwrap_or_default();
    let wanted = serde_json::to_value(Gap { next }).unwrap_or_default();
    if let (Some(body), Value::Object(wanted)) = (body.as_object_mut(), wanted) {
        body.extend(wanted);
    }
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"))];
    (StatusCode::CONFLICT, kind, body.to_string()).into_response()
}

async fn list_gateways(mut cx: Cx) -> Result<Response, Refused> {
    cx.need(Right::Read)?;
    let view = |gateway: &Gateway| {
        json!({
            "id": gateway.id, "caller": gateway.caller, "name": gateway.name, "next": gateway.next,
            "serving": gateway.serving, "refused": gateway.refused, "firstSeenAt": gateway.first_seen_at,
            "seenAt": gateway.seen_at,
        })
    };
    let items: Vec<Value> = super::gateways(&mut cx).await?.iter().map(view).collect();
    Ok(Json(json!({"items": items})).into_response())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct UsageQuestion {
    organisation: Option<String>,
    subscription: Option<String>,
    client: Option<String>,
    api: Option<String>,
    /// Milliseconds since the epoch; left out: the begin of this month.
    from: Option<Time>,
    until: Option<Time>,
    step: Option<String>,
    group: Option<String>,
}

async fn report_usage(mut cx: Cx, Query(asked): Query<UsageQuestion>) -> Result<Response, Refused> {
    let step = match asked.step.as_deref() {
        None => Step::default(),
        Some(word) => {
            Step::parse(word).ok_or_else(|| Refused::BadRequest("`step` is hour, day or whole".to_owned()))?
        }
    };
    let group = match asked.group.as_deref() {
        None => Group::default(),
        Some(word) => Group::parse(word).ok_or_else(|| {
            let words = "none, api, operation, client, plan, subscription or organisation";
            Refused::BadRequest(format!("`group` is {words}"))
        })?,
    };
    let (month, _) = Window::Month.around(cx.now.ms());
    let question = Question {
        organisation: asked.organisation,
        subscription: asked.subscription,
        client: asked.client,
        api: asked.api,
        from: asked.from.unwrap_or(Time::from_ms(month)),
        until: asked.until.unwrap_or(Time::from_ms(i64::MAX)),
        step,
        group,
    };
    let items: Vec<Value> = super::report(&mut cx, &question).await?.iter().map(report::view).collect();
    Ok(Json(json!({"items": items})).into_response())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CallsQuestion {
    organisation: Option<String>,
    subscription: Option<String>,
    client: Option<String>,
    outcome: Option<String>,
    cursor: Option<i64>,
    limit: Option<u32>,
}

async fn list_calls(mut cx: Cx, Query(asked): Query<CallsQuestion>) -> Result<Response, Refused> {
    let scope = match (asked.subscription, asked.organisation, asked.client) {
        (Some(subscription), None, None) => Scope::Subscription(subscription),
        (None, Some(organisation), None) => Scope::Organisation(organisation),
        (None, Some(organisation), Some(client)) => Scope::Client { organisation, client },
        (None, None, None) => Scope::All,
        _ => {
            let words = "give `subscription`, or `organisation`, or `organisation` and `client`, or none of them";
            return Err(Refused::BadRequest(words.to_owned()));
        }
    };
    let limit = i64::from(asked.limit.unwrap_or(100).clamp(1, 1000));
    let filter = CallFilter { scope, outcome: asked.outcome, before: asked.cursor };
    let found = super::calls(&mut cx, &filter, limit).await?;
    let full = i64::try_from(found.len()).is_ok_and(|many| many == limit);
    let next = found.last().filter(|_| full).map(|last| last.seq);
    let items: Vec<Value> = found.iter().map(events::view).collect();
    Ok(Json(json!({"items": items, "next": next})).into_response())
}

async fn show_call(mut cx: Cx, Path(request_id): Path<String>) -> Result<Response, Refused> {
    let found = super::find_call(&mut cx, &request_id).await?.ok_or(Refused::NotFound("such call"))?;
    Ok(Json(events::view(&found)).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Export {
    cursor: Option<i64>,
    limit: Option<u32>,
}

/// The JSON batch format of CloudEvents 1.0 (§4); `Link: rel="next"` always says where to go on, also from the end.
async fn export_events(mut cx: Cx, Query(asked): Query<Export>) -> Result<Response, Refused> {
    cx.need(Right::Read)?;
    let after = asked.cursor.unwrap_or(0);
    let limit = asked.limit.unwrap_or(1000).clamp(1, 10_000);
    let found = super::exported(&mut cx, after, i64::from(limit)).await?;
    let next = found.last().map_or(after, |last| last.seq);
    let base = &cx.management.config.url;
    let batch: Vec<Value> = found.iter().map(|call| super::cloud_event(base, call)).collect();
    let link = format!("<{base}/management/v1/usage/events?cursor={next}&limit={limit}>; rel=\"next\"");
    let mut response = events::as_cloud_events(&batch);
    if let Ok(link) = HeaderValue::from_str(&link) {
        response.headers_mut().insert(header::LINK, link);
    }
    Ok(response)
}

async fn list_pushes(mut cx: Cx) -> Result<Response, Refused> {
    list_pushes_of(&mut cx).await
}

async fn list_pushes_of(cx: &mut Cx) -> Result<Response, Refused> {
    let with = |(configured, state): &(bool, push::State)| {
        let mut view = state.view();
        if let Some(members) = view.as_object_mut() {
            members.insert("configured".to_owned(), (*configured).into());
        }
        view
    };
    let items: Vec<Value> = push::states(cx).await?.iter().map(with).collect();
    Ok(Json(json!({"items": items})).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Restart {
    /// The `cursor` of an export.
    after: Option<i64>,
    /// Milliseconds since the epoch.
    since: Option<Time>,
}

async fn restart_push(mut cx: Cx, Json(asked): Json<Restart>) -> Result<Response, Refused> {
    let from = match (asked.after, asked.since) {
        (None, None) => push::From::Here,
        (Some(place), None) => push::From::After(place),
        (None, Some(time)) => push::From::Since(time),
        _ => return Err(Refused::BadRequest("give `after`, or `since`, or none of them".to_owned())),
    };
    let mut after = cx.again();
    push::replay(&mut cx, from).await?;
    cx.commit().await?;
    list_pushes_of(&mut after).await
}
