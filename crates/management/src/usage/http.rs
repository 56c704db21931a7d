//! `POST /gateway/v1/usage`, and what people and programs see of the ledger.

use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base::{Problem, Time};
use catalog::Window;
use catalog::usage::{Gap, Outcome, UsageBatch};
use http::{HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{CallFilter, Gateway, Group, Question, Scope, Step, Taken, events, push, report};
use crate::Cx;
use crate::actor::{Actor, Right};
use crate::admin::{All, Listed, Sent, ok, opened};
use crate::error::Refused;
use crate::router::{Guard, Route};

/// More in one batch would hold the ledger's writer for too long.
const MOST_RECORDS: usize = 10_000;
/// How often a batch is looked at anew when another one of the same gateway came in between.
const TRIES: usize = 8;

/// Events in one answer.
pub(super) const MOST_EXPORTED: usize = 10_000;

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

async fn take_usage(mut cx: Cx, sent: Sent) -> Result<Response, Refused> {
    let Actor::Gateway(caller) = cx.actor.clone() else { return Err(Refused::NoRight) };
    let batch: UsageBatch = sent.quickly()?;
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

async fn list_gateways(mut cx: Cx, asked: Listed) -> Result<Response, Refused> {
    cx.need(Right::Read)?;
    let view = |gateway: &Gateway| {
        json!({
            "id": gateway.id, "caller": gateway.caller, "name": gateway.name, "next": gateway.next,
            "serving": gateway.serving, "refused": gateway.refused, "firstSeenAt": gateway.first_seen_at,
            "seenAt": gateway.seen_at,
        })
    };
    asked.page_of(super::gateways(&mut cx).await?, view, |gateway| gateway.id.clone())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
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

async fn report_usage(mut cx: Cx, listed: Listed<UsageQuestion>) -> Result<Response, Refused> {
    let asked = &listed.which;
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
        organisation: asked.organisation.clone(),
        subscription: asked.subscription.clone(),
        client: asked.client.clone(),
        api: asked.api.clone(),
        from: asked.from.unwrap_or(Time::from_ms(month)),
        until: asked.until.unwrap_or(Time::from_ms(i64::MAX)),
        step,
        group,
    };
    let lines = super::report(&mut cx, &question).await?;
    listed.page_of(lines, report::view, |line| (line.begins, line.label.clone()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CallsQuestion {
    organisation: Option<String>,
    subscription: Option<String>,
    client: Option<String>,
    outcome: Option<Outcome>,
}

async fn list_calls(mut cx: Cx, listed: Listed<CallsQuestion>) -> Result<Response, Refused> {
    let asked = &listed.which;
    let scope = match (asked.subscription.clone(), asked.organisation.clone(), asked.client.clone()) {
        (Some(subscription), None, None) => Scope::Subscription(subscription),
        (None, Some(organisation), None) => Scope::Organisation(organisation),
        (None, Some(organisation), Some(client)) => Scope::Client { organisation, client },
        (None, None, None) => Scope::All,
        _ => {
            let words = "give `subscription`, or `organisation`, or `organisation` and `client`, or none of them";
            return Err(Refused::BadRequest(words.to_owned()));
        }
    };
    let outcome = asked.outcome.map(|outcome| outcome.as_str().to_owned());
    let filter = CallFilter { scope, outcome, before: listed.after()? };
    let found = super::calls(&mut cx, &filter, listed.many()).await?;
    Ok(listed.page(&found, events::view, |call| call.seq))
}

async fn show_call(mut cx: Cx, Path(request_id): Path<String>) -> Result<Response, Refused> {
    let found = super::find_call(&mut cx, &request_id).await?.ok_or(Refused::NotFound("such call"))?;
    Ok(ok(&events::view(&found)))
}

/// `Link: rel="next"` always says where to go on, also from the end.
async fn export_events(mut cx: Cx, asked: Listed<All, MOST_EXPORTED>) -> Result<Response, Refused> {
    cx.need(Right::Read)?;
    let after: i64 = asked.after()?.unwrap_or(0);
    let found = super::exported(&mut cx, after, asked.many()).await?;
    let (shown, _) = asked.cut(&found, |call| call.seq);
    let base = &cx.management.config.url;
    let batch: Vec<Value> = shown.iter().map(|call| super::cloud_event(base, call)).collect();
    let mut response = events::as_cloud_events(&batch);
    asked.link(&mut response, &shown.last().map_or(after, |last| last.seq));
    Ok(response)
}

async fn list_pushes(mut cx: Cx, asked: Listed) -> Result<Response, Refused> {
    asked.page_of(push::states(&mut cx).await?, push_view, |(_, state)| state.url.clone())
}

fn push_view((configured, state): &(bool, push::State)) -> Value {
    let mut view = state.view();
    if let Some(members) = view.as_object_mut() {
        members.insert("configured".to_owned(), (*configured).into());
    }
    view
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Restart {
    /// The `cursor` of an export.
    after: Option<String>,
    /// Milliseconds since the epoch.
    since: Option<Time>,
}

async fn restart_push(mut cx: Cx, sent: Sent) -> Result<Response, Refused> {
    cx.need(Right::Administer)?;
    let asked: Restart = sent.or_default()?;
    let from = match (asked.after, asked.since) {
        (None, None) => push::From::Here,
        (Some(place), None) => push::From::After(opened(&place)?),
        (None, Some(time)) => push::From::Since(time),
        _ => return Err(Refused::BadRequest("give `after`, or `since`, or none of them".to_owned())),
    };
    let mut after = cx.again();
    push::replay(&mut cx, from).await?;
    cx.commit().await?;
    let states = push::states(&mut after).await?;
    Ok(ok(&json!({"items": states.iter().map(push_view).collect::<Vec<_>>()})))
}
