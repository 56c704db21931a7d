//! What happens now: the overview, the last calls with the way of each, the gateways, usage.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::RawQuery;
use axum::response::Response;
use serde::Serialize;
use web::{When, when};

use super::live::{self, Live};
use crate::actor::Right;
use crate::error::Refused;
use crate::pages::{Halt, Visit};
use crate::portal::usage as shared;
use crate::publish;
use crate::session;
use crate::subscriptions::{self, Filter};
use crate::usage::{self, Group, Scope, push};
use crate::views::{CallView, number};

/// A gateway that has been silent for longer is shown as such.
const SILENT: Duration = Duration::from_secs(30);

#[derive(Serialize)]
struct GatewayView {
    id: String,
    name: String,
    caller: String,
    serving: Option<u64>,
    current: bool,
    refused: Option<String>,
    seen: When,
    first: When,
    silent: bool,
    next: u64,
}

async fn all_gateways(visit: &mut Visit) -> Result<(Vec<GatewayView>, u64), Halt> {
    let version = publish::publication(&mut visit.cx).await?.version;
    let now = visit.cx.now;
    let gateways = usage::gateways(&mut visit.cx).await?.into_iter().map(|gateway| GatewayView {
        current: gateway.serving == Some(version),
        serving: gateway.serving,
        refused: gateway.refused,
        seen: when(gateway.seen_at, now),
        first: when(gateway.first_seen_at, now),
        silent: now.since(gateway.seen_at) > SILENT,
        next: gateway.next,
        id: gateway.id,
        name: gateway.name,
        caller: gateway.caller,
    });
    Ok((gateways.collect(), version))
}

pub(super) async fn overview(mut visit: Visit, query: RawQuery) -> Response {
    let made = match session::by_link(&visit, query).await {
        Some(opened) => opened,
        None => make_overview(&mut visit).await,
    };
    visit.answer(made)
}

async fn make_overview(visit: &mut Visit) -> Result<Response, Halt> {
    #[derive(Serialize)]
    struct Content {
        usage: shared::Days,
        live: Live,
        gateways: Vec<GatewayView>,
        version: u64,
        waiting: usize,
        apis: usize,
    }
    visit.need(Right::Read)?;
    let (gateways, version) = all_gateways(visit).await?;
    let filter = Filter { to_decide: Some(()), ..Filter::default() };
    let content = Content {
        usage: shared::days(visit, None, None, Group::Api).await?,
        live: live::live(visit).await?,
        waiting: subscriptions::list(&mut visit.cx, &filter, 100).await?.len(),
        apis: crate::registry::published(&mut visit.cx).await?.len(),
        gateways,
        version,
    };
    Ok(visit.show("console/overview.html", content))
}

pub(super) async fn calls(mut visit: Visit) -> Response {
    let made = calls_page(&mut visit).await;
    visit.answer(made)
}

async fn calls_page(visit: &mut Visit) -> Result<Response, Halt> {
    #[derive(Serialize)]
    struct Content {
        calls: Vec<CallView>,
        next: Option<String>,
        outcome: String,
        first_page: bool,
    }
    visit.need(Right::Read)?;
    if let Some(id) = visit.query.one("request").map(str::trim).filter(|id| !id.is_empty()) {
        let to = format!("/console/calls/{}", shared::plain_id(id));
        return Ok(visit.go(&to));
    }
    let (calls, next) = shared::calls(visit, Scope::All).await?;
    let content = Content {
        calls,
        next,
        outcome: visit.query.text("outcome").to_owned(),
        first_page: visit.query.one("before").is_none(),
    };
    Ok(visit.show("console/calls.html", content))
}

pub(super) async fn gateways(mut visit: Visit) -> Response {
    let made = gateways_page(&mut visit).await;
    visit.answer(made)
}

async fn gateways_page(visit: &mut Visit) -> Result<Response, Halt> {
    #[derive(Serialize)]
    struct Content {
        gateways: Vec<GatewayView>,
        version: u64,
        known: Vec<String>,
    }
    visit.need(Right::Read)?;
    let (gateways, version) = all_gateways(visit).await?;
    let known = visit.cx.management.config.gateways.iter().map(|gateway| gateway.name.clone()).collect();
    Ok(visit.show("console/gateways.html", Content { gateways, version, known }))
}

pub(super) async fn usage(mut visit: Visit) -> Response {
    let made = usage_page(&mut visit).await;
    visit.answer(made)
}

#[derive(Serialize)]
struct PushView {
    url: String,
    word: &'static str,
    tone: &'static str,
    waiting: String,
    taken: Option<When>,
    failed: Option<When>,
    error: Option<String>,
    failures: i64,
    next: Option<When>,
    configured: bool,
}

async fn pushes(visit: &mut Visit) -> Result<Vec<PushView>, Halt> {
    let now = visit.cx.now;
    let view = |(configured, state): (bool, push::State)| PushView {
        url: state.shown(),
        word: state.word(),
        tone: match state.word() {
            "current" => "good",
            "behind" => "info",
            "failing" => "warn",
            _ => "bad",
        },
        waiting: match state.waiting {
            push::MOST_WAITING => format!("{} or more", number(push::MOST_WAITING)),
            waiting => number(waiting),
        },
        taken: state.taken_at.map(|at| when(at, now)),
        failed: state.failed_at.map(|at| when(at, now)),
        failures: state.failures,
        next: (state.word() == "failing").then(|| when(state.next_at, now)),
        error: state.error,
        configured,
    };
    Ok(push::states(&mut visit.cx).await?.into_iter().map(view).collect())
}

async fn usage_page(visit: &mut Visit) -> Result<Response, Halt> {
    #[derive(Serialize)]
    struct Content {
        usage: shared::Days,
        pushes: Vec<PushView>,
        may_restart: bool,
    }
    visit.need(Right::Read)?;
    let group = Group::parse(visit.query.text("by")).filter(|group| *group != Group::None).unwrap_or(Group::Api);
    let content = Content {
        usage: shared::days(visit, None, None, group).await?,
        pushes: pushes(visit).await?,
        may_restart: visit.cx.actor.may(Right::Administer),
    };
    Ok(visit.show("console/usage.html", content))
}

pub(super) async fn restart_push(mut visit: Visit, body: Bytes) -> Response {
    let made = restart(&mut visit, &body).await;
    visit.answer(made)
}

async fn restart(visit: &mut Visit, body: &[u8]) -> Result<Response, Halt> {
    visit.need(Right::Administer)?;
    let fields = visit.form(body)?;
    let from = match fields.text("action") {
        "go-on" => push::From::Here,
        "again" => {
            let days: u64 = fields.text("back").parse().map_err(|_| Refused::invalid("/back", "a number of days"))?;
            push::From::Since(visit.cx.now.minus(Duration::from_secs(days.saturating_mul(86_400))))
        }
        _ => return Err(Refused::BadRequest("the form says nothing to do".to_owned()).into()),
    };
    let mut cx = visit.cx.again();
    push::replay(&mut cx, from).await?;
    cx.commit().await?;
    Ok(visit.go("/console/usage"))
}
