//! Usage of the visitor's organisation: by day, what is left, the last calls with the reason of each refusal, and one
//! call by its request id.

use std::time::Duration;

use axum::extract::Path;
use axum::response::Response;
use base::Time;
use serde::Serialize;

use super::subscribe::{self, Mine};
use crate::actor::Share;
use crate::error::Refused;
use crate::pages::{Halt, Visit};
use crate::usage::{self, CallFilter, Figures, Group, Question, Scope, Step};
use crate::views::{self, Bar, CallView, FiguresView, Reader};

const CALLS: i64 = 50;
const DAY: Duration = Duration::from_secs(86_400);

/// Days that can be chosen.
const DAYS: [u32; 3] = [7, 30, 90];

/// A line of the table, and a column of the chart.
#[derive(Serialize)]
pub(crate) struct Line {
    pub label: String,
    #[serde(flatten)]
    pub figures: FiguresView,
}

/// Usage over some days, for the portal and the console alike.
#[derive(Serialize)]
pub(crate) struct Days {
    pub days: u32,
    pub choices: [u32; 3],
    pub total: FiguresView,
    pub lines: Vec<Line>,
    pub bars: Vec<Bar>,
    pub parts: Vec<Line>,
    pub group: &'static str,
}

pub(crate) fn chosen_days(visit: &Visit) -> u32 {
    let asked = visit.query.text("days").parse().unwrap_or(30);
    if DAYS.contains(&asked) { asked } else { 30 }
}

/// By day, every one of them, and by group.
pub(crate) async fn days(
    visit: &mut Visit,
    organisation: Option<&str>,
    api: Option<&str>,
    group: Group,
) -> Result<Days, Halt> {
    let days = chosen_days(visit);
    let day = 86_400_000;
    let today = Time::from_ms(visit.cx.now.ms().div_euclid(day).saturating_mul(day));
    let from = today.minus(DAY.saturating_mul(days.saturating_sub(1)));
    let mut question = Question {
        organisation: organisation.map(str::to_owned),
        subscription: None,
        client: None,
        api: api.map(str::to_owned),
        from,
        until: today.plus(DAY),
        step: Step::Day,
        group: Group::None,
    };
    let lines = usage::report(&mut visit.cx, &question).await?;
    let mut total = Figures::default();
    let mut columns: Vec<(String, Figures)> = Vec::new();
    for at in 0..days {
        let begins = from.plus(DAY.saturating_mul(at));
        let figures = lines.iter().find(|line| line.begins == begins).map(|line| line.figures).unwrap_or_default();
        add(&mut total, &figures);
        columns.push((views::day(begins), figures));
    }
    (question.step, question.group) = (Step::Whole, group);
    let parts = usage::report(&mut visit.cx, &question).await?;
    Ok(Days {
        days,
        choices: DAYS,
        total: views::figures(&total),
        bars: views::bars(&columns),
        lines: columns
            .into_iter()
            .rev()
            .filter(|(_, figures)| figures.calls() > 0)
            .map(|(label, figures)| Line { label, figures: views::figures(&figures) })
            .collect(),
        parts: parts
            .into_iter()
            .map(|line| Line { label: line.label, figures: views::figures(&line.figures) })
            .collect(),
        group: group.as_str(),
    })
}

fn add(total: &mut Figures, one: &Figures) {
    total.served = total.served.saturating_add(one.served);
    total.refused = total.refused.saturating_add(one.refused);
    total.failed = total.failed.saturating_add(one.failed);
    total.units = total.units.saturating_add(one.units);
    total.micros = total.micros.saturating_add(one.micros);
}

/// A page of calls, and the address of the next one.
pub(crate) async fn calls(visit: &mut Visit, scope: Scope) -> Result<(Vec<CallView>, Option<String>), Halt> {
    let reader = if scope == Scope::All { Reader::Provider } else { Reader::Consumer };
    let outcome = visit.query.one("outcome").filter(|outcome| ["served", "refused", "failed"].contains(outcome));
    let filter = CallFilter {
        scope,
        outcome: outcome.map(str::to_owned),
        before: visit.query.one("before").and_then(|before| before.parse().ok()),
    };
    let found = usage::calls(&mut visit.cx, &filter, CALLS).await?;
    let full = i64::try_from(found.len()).unwrap_or(0) >= CALLS;
    let next = found.last().filter(|_| full).map(|last| visit.with("before", &last.seq.to_string()));
    let now = visit.cx.now;
    Ok((found.iter().map(|call| views::call(call, now, reader)).collect(), next))
}

pub(super) async fn show(mut visit: Visit) -> Response {
    let made = page(&mut visit).await;
    visit.answer(made)
}

async fn page(visit: &mut Visit) -> Result<Response, Halt> {
    #[derive(Serialize)]
    struct Content {
        usage: Days,
        mine: Vec<Mine>,
        calls: Vec<CallView>,
        next: Option<String>,
        outcome: String,
        request: String,
    }
    let home = visit.home(Share::See)?;
    if let Some(id) = visit.query.one("request").map(str::trim).filter(|id| !id.is_empty()) {
        let to = format!("/calls/{}", plain_id(id));
        return Ok(visit.go(&to));
    }
    let (calls, next) = calls(visit, Scope::Organisation(home.clone())).await?;
    let content = Content {
        usage: days(visit, Some(&home), None, Group::Api).await?,
        mine: subscribe::mine(visit, &home, None).await?,
        calls,
        next,
        outcome: visit.query.text("outcome").to_owned(),
        request: String::new(),
    };
    Ok(visit.show("portal/usage.html", content))
}

/// As it may stand in an address.
pub(crate) fn plain_id(id: &str) -> String {
    id.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')).take(128).collect()
}

pub(super) async fn show_call(mut visit: Visit, Path(id): Path<String>) -> Response {
    let made = call_page(&mut visit, &id).await;
    visit.answer(made)
}

async fn call_page(visit: &mut Visit, id: &str) -> Result<Response, Halt> {
    #[derive(Serialize)]
    struct Content {
        call: CallView,
    }
    visit.person()?;
    let found = usage::find_call(&mut visit.cx, id).await?;
    let found = found.ok_or(Refused::NotFound("call with this request id that you may see"))?;
    let now = visit.cx.now;
    Ok(visit.show("portal/call.html", Content { call: views::call(&found, now, Reader::Consumer) }))
}
