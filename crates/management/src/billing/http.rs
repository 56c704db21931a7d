//! Statements, invoices, and the calls behind their lines.

use axum::Json;
use axum::extract::{Path, Query};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderName, HeaderValue, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Invoice, Line, Month, calls_csv, invoice_csv};
use crate::Cx;
use crate::error::Refused;
use crate::router::{Guard, Route};
use crate::usage::{self, Call};

pub fn routes() -> Vec<Route> {
    vec![
        ("/management/v1/organisations/{organisation}/statement", Guard::Api, get(show_statement)),
        (
            "/management/v1/organisations/{organisation}/invoices",
            Guard::Api,
            get(list_invoices_of).post(issue_invoices_of),
        ),
        ("/management/v1/invoices", Guard::Api, get(list_invoices)),
        ("/management/v1/invoices/issue", Guard::Api, post(issue_invoices)),
        ("/management/v1/invoices/due", Guard::Api, get(list_due)),
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
    Query(asked): Query<OfMonth>,
) -> Result<Response, Refused> {
    let month = asked.month.as_deref().map_or_else(|| Ok(Month::of(cx.now)), month)?;
    let statement = super::statement(&mut cx, &organisation, month).await?;
    let free = |line: &Line| {
        json!({"subscription": line.subscription, "application": line.application, "plan": line.plan,
            "units": line.units})
    };
    Ok(Json(json!({
        "month": statement.month.to_string(),
        "invoices": statement.invoices.iter().map(super::view).collect::<Vec<_>>(),
        "free": statement.free.iter().map(free).collect::<Vec<_>>(),
    }))
    .into_response())
}

async fn list_invoices_of(mut cx: Cx, Path(organisation): Path<String>) -> Result<Response, Refused> {
    let found = super::list(&mut cx, &organisation).await?;
    let items: Vec<Value> = found.iter().map(brief).collect();
    Ok(Json(json!({"items": items})).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Issue {
    month: String,
}

async fn issue_invoices_of(
    cx: Cx,
    Path(organisation): Path<String>,
    Json(asked): Json<Issue>,
) -> Result<Response, Refused> {
    let issued = super::issue(&cx, &organisation, month(&asked.month)?).await?;
    Ok(Json(json!({"items": issued.iter().map(super::view).collect::<Vec<_>>()})).into_response())
}

/// Of all organisations.
async fn issue_invoices(cx: Cx, Json(asked): Json<Issue>) -> Result<Response, Refused> {
    let (issued, not) = super::issue_all(&cx, month(&asked.month)?).await?;
    let not: Vec<Value> =
        not.into_iter().map(|(organisation, why)| json!({"organisation": organisation, "why": why})).collect();
    Ok(Json(json!({"items": issued.iter().map(brief).collect::<Vec<_>>(), "notIssued": not})).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    cursor: Option<i64>,
    limit: Option<u32>,
}

async fn list_invoices(mut cx: Cx, Query(page): Query<Page>) -> Result<Response, Refused> {
    let limit = i64::from(page.limit.unwrap_or(100).clamp(1, 1000));
    let found = super::list_all(&mut cx, page.cursor, limit).await?;
    let full = i64::try_from(found.len()).is_ok_and(|many| many == limit);
    let next = found.last().filter(|_| full).and_then(|last| last.issued.as_ref()).map(|issued| issued.number);
    let items: Vec<Value> = found.iter().map(brief).collect();
    Ok(Json(json!({"items": items, "next": next})).into_response())
}

/// What the clock could not issue, and why.
async fn list_due(mut cx: Cx) -> Result<Response, Refused> {
    let view = |due: &super::Due| {
        json!({
            "organisation": due.organisation, "issuedUpTo": due.closed.map(|month| month.to_string()),
            "failures": due.failures, "nextAt": due.next_at, "error": due.error,
        })
    };
    let items: Vec<Value> = super::due(&mut cx).await?.iter().map(view).collect();
    Ok(Json(json!({"items": items})).into_response())
}

async fn show_invoice(mut cx: Cx, Path(id): Path<String>) -> Result<Response, Refused> {
    Ok(Json(super::view(&super::find(&mut cx, &id).await?)).into_response())
}

async fn show_invoice_csv(mut cx: Cx, Path(id): Path<String>) -> Result<Response, Refused> {
    let invoice = super::find(&mut cx, &id).await?;
    let name = invoice.issued.as_ref().map_or_else(String::new, super::Issued::label);
    Ok(as_csv(&name, invoice_csv(&invoice)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Calls {
    cursor: Option<i64>,
    limit: Option<u32>,
    /// `csv`, or CloudEvents in JSON.
    format: Option<String>,
}

async fn list_line_calls(
    mut cx: Cx,
    Path((id, line)): Path<(String, String)>,
    Query(asked): Query<Calls>,
) -> Result<Response, Refused> {
    let invoice = super::find(&mut cx, &id).await?;
    let line: usize = line.parse().map_err(|_| Refused::NotFound("such line"))?;
    let limit = asked.limit.unwrap_or(1000).clamp(1, 10_000);
    let after = asked.cursor.unwrap_or(0);
    let found = super::calls_of_line(&mut cx, &invoice, line, after, i64::from(limit)).await?;
    let base = &cx.management.config.url;
    let is_csv = asked.format.as_deref() == Some("csv");
    let mut response = if is_csv {
        as_csv(&format!("{id}-{line}"), calls_csv(&found))
    } else {
        let events: Vec<Value> = found.iter().map(|call| usage::cloud_event(base, call)).collect();
        usage::as_cloud_events(&events)
    };
    let full = u32::try_from(found.len()).is_ok_and(|many| many == limit);
    let next = found.last().filter(|_| full).map(|last: &Call| last.seq);
    let format = if is_csv { "&format=csv" } else { "" };
    let link = next.map(|next| {
        let path = format!("{base}/management/v1/invoices/{id}/lines/{line}/calls");
        format!("<{path}?cursor={next}&limit={limit}{format}>; rel=\"next\"")
    });
    if let Some(Ok(link)) = link.map(|link| HeaderValue::from_str(&link)) {
        response.headers_mut().insert(header::LINK, link);
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
