//! Statements, invoices, and the calls behind their lines.

use std::cmp::Reverse;

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderName, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Invoice, Line, Month, calls_csv, invoice_csv};
use crate::Cx;
use crate::actor::Right;
use crate::admin::{Asked, Listed, Sent, ok};
use crate::error::Refused;
use crate::router::{Guard, Route};
use crate::usage::{self, Call};

/// Calls in one answer.
pub(super) const MOST_CALLS: usize = 10_000;

pub fn routes() -> Vec<Route> {
    vec![
        ("/management/v1/organisations/{organisation}/statement", Guard::Api, get(show_statement)),
        (
            "/management/v1/organisations/{organisation}/invoices",
            Guard::Api,
            get(list_invoices_of).post(issue_invoices_of),
        ),
        ("/management/v1/invoices", Guard::Api, get(list_invoices).post(issue_invoices)),
        ("/management/v1/billing/due", Guard::Api, get(list_due)),
        ("/management/v1/invoices/{invoice}", Guard::Api, get(show_invoice)),
        ("/management/v1/invoices/{invoice}/csv", Guard::Api, get(show_invoice_csv)),
        ("/management/v1/invoices/{invoice}/lines/{line}/calls", Guard::Api, get(list_line_calls)),
    ]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfMonth {
    month: Option<String>,
}

fn month(text: &str) -> Result<Month, Refused> {
    Month::parse(text).ok_or_else(|| Refused::invalid("/month", "a month is written `2026-11`"))
}

/// What a month costs; default: this one, so far.
async fn show_statement(
    mut cx: Cx,
    Path(organisation): Path<String>,
    Asked(asked): Asked<OfMonth>,
) -> Result<Response, Refused> {
    let month = asked.month.as_deref().map_or_else(|| Ok(Month::of(cx.now)), month)?;
    let statement = super::statement(&mut cx, &organisation, month).await?;
    let free = |line: &Line| {
        json!({"subscription": line.subscription, "application": line.application, "plan": line.plan,
            "units": line.units})
    };
    Ok(ok(&json!({
        "month": statement.month.to_string(),
        "invoices": statement.invoices.iter().map(super::view).collect::<Vec<_>>(),
        "free": statement.free.iter().map(free).collect::<Vec<_>>(),
    })))
}

async fn list_invoices_of(mut cx: Cx, Path(organisation): Path<String>, asked: Listed) -> Result<Response, Refused> {
    let found = super::list(&mut cx, &organisation).await?;
    asked.page_of(found, brief, |invoice| Reverse(number(invoice)))
}

/// Issued ones have one.
fn number(invoice: &Invoice) -> i64 {
    invoice.issued.as_ref().map_or(0, |issued| issued.number)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Issue {
    month: String,
}

async fn issue_invoices_of(cx: Cx, Path(organisation): Path<String>, sent: Sent) -> Result<Response, Refused> {
    cx.need(Right::Administer)?;
    let asked: Issue = sent.read()?;
    let issued = super::issue(&cx, &organisation, month(&asked.month)?).await?;
    Ok(ok(&json!({"items": issued.iter().map(super::view).collect::<Vec<_>>()})))
}

/// Of all organisations.
async fn issue_invoices(cx: Cx, sent: Sent) -> Result<Response, Refused> {
    cx.need(Right::Administer)?;
    let asked: Issue = sent.read()?;
    let (issued, not) = super::issue_all(&cx, month(&asked.month)?).await?;
    let not: Vec<Value> =
        not.into_iter().map(|(organisation, why)| json!({"organisation": organisation, "why": why})).collect();
    Ok(ok(&json!({"items": issued.iter().map(brief).collect::<Vec<_>>(), "notIssued": not})))
}

async fn list_invoices(mut cx: Cx, asked: Listed) -> Result<Response, Refused> {
    let found = super::list_all(&mut cx, asked.after()?, asked.many()).await?;
    Ok(asked.page(&found, brief, number))
}

/// What the clock could not issue, and why.
async fn list_due(mut cx: Cx, asked: Listed) -> Result<Response, Refused> {
    let view = |due: &super::Due| {
        json!({
            "organisation": due.organisation, "issuedUpTo": due.closed.map(|month| month.to_string()),
            "failures": due.failures, "nextAt": due.next_at, "error": due.error,
        })
    };
    asked.page_of(super::due(&mut cx).await?, view, |due| due.organisation.clone())
}

async fn show_invoice(mut cx: Cx, Path(id): Path<String>) -> Result<Response, Refused> {
    Ok(ok(&super::view(&super::find(&mut cx, &id).await?)))
}

async fn show_invoice_csv(mut cx: Cx, Path(id): Path<String>) -> Result<Response, Refused> {
    let invoice = super::find(&mut cx, &id).await?;
    let name = invoice.issued.as_ref().map_or_else(String::new, super::Issued::label);
    Ok(as_csv(&name, invoice_csv(&invoice)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Calls {
    #[serde(default)]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    /// CloudEvents in JSON.
    #[default]
    Events,
    Csv,
}

async fn list_line_calls(
    mut cx: Cx,
    Path((id, line)): Path<(String, String)>,
    asked: Listed<Calls, MOST_CALLS>,
) -> Result<Response, Refused> {
    let invoice = super::find(&mut cx, &id).await?;
    let number: usize = line.parse().map_err(|_| Refused::NotFound("such line"))?;
    let after = asked.after()?.unwrap_or(0);
    let found = super::calls_of_line(&mut cx, &invoice, number, after, asked.many()).await?;
    let (shown, next) = asked.cut(&found, |call: &Call| call.seq);
    let mut response = match asked.which.format {
        Format::Csv => as_csv(&format!("{id}-{number}"), calls_csv(shown)),
        Format::Events => {
            let base = &cx.management.config.url;
            let events: Vec<Value> = shown.iter().map(|call| usage::cloud_event(base, call)).collect();
            usage::as_cloud_events(&events)
        }
    };
    if let Some(next) = next {
        asked.link(&mut response, &next);
    }
    Ok(response)
}

/// Without lines.
fn brief(invoice: &Invoice) -> Value {
    let mut view = super::view(invoice);
    if let Some(members) = view.as_object_mut() {
        members.remove("lines");
    }
    view
}

fn as_csv(name: &str, text: String) -> Response {
    let fields: [(HeaderName, String); 3] = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8; header=present".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}.csv\"")),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    (fields, text).into_response()
}
