//! What it costs: the open month as it stands now, and the issued invoices, to be read, printed and taken along, with
//! the calls behind each line.

use axum::body::{Body, Bytes};
use axum::extract::Path;
use axum::response::Response;
use http::{HeaderValue, header};
use serde::Serialize;
use serde_json::Value;
use web::{When, when};

use crate::Cx;
use crate::actor::Share;
use crate::billing::{self, Invoice, Month};
use crate::error::Refused;
use crate::pages::{Halt, Visit};
use crate::people;
use crate::usage;
use crate::views::number;

#[derive(Serialize)]
struct LineView {
    what: &'static str,
    plan: String,
    application: String,
    subscription: String,
    month: String,
    units: String,
    tiers: Vec<String>,
    amount: String,
    /// There are calls behind it, to be taken along.
    calls: bool,
}

#[derive(Serialize)]
struct InvoiceView {
    id: String,
    number: String,
    month: String,
    issued: Option<When>,
    currency: String,
    total: String,
    organisation: String,
    lines: Vec<LineView>,
}

fn view(visit: &Visit, names: &[(String, String)], of: &Invoice) -> InvoiceView {
    // The same text of amounts as the interface has.
    let shown = billing::view(of);
    let amounts: Vec<String> = shown
        .get("lines")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|line| line.get("amount").and_then(Value::as_str).unwrap_or_default().to_owned())
        .collect();
    let currency = of.currency.as_str().to_owned();
    let lines = of.lines.iter().zip(amounts).map(|(line, amount)| {
        let name = names.iter().find(|(id, _)| *id == line.application).map(|(_, name)| name.clone());
        let tiers = line.tiers.iter().map(|tier| format!("{} × {} {}", number(tier.units), currency, tier.unit));
        LineView {
            what: match line.kind {
                billing::Kind::Monthly => "Monthly price",
                billing::Kind::Usage => "Calls",
                billing::Kind::Correction => "Correction",
            },
            plan: line.plan.clone(),
            application: name.unwrap_or_else(|| line.application.clone()),
            subscription: line.subscription.clone(),
            month: line.month.to_string(),
            units: if line.units == 0 { String::new() } else { number(line.units) },
            tiers: tiers.collect(),
            amount,
            calls: of.issued.is_some() && line.kind != billing::Kind::Monthly,
        }
    });
    InvoiceView {
        lines: lines.collect(),
        id: of.issued.as_ref().map(|issued| issued.id.clone()).unwrap_or_default(),
        number: of.issued.as_ref().map(billing::Issued::label).unwrap_or_default(),
        month: of.month.to_string(),
        issued: of.issued.as_ref().map(|issued| when(issued.at, visit.cx.now)),
        total: shown.get("total").and_then(Value::as_str).unwrap_or_default().to_owned(),
        organisation: of.organisation.clone(),
        currency,
    }
}

pub(super) async fn list(mut visit: Visit) -> Response {
    let made = list_page(&mut visit).await;
    visit.answer(made)
}

async fn list_page(visit: &mut Visit) -> Result<Response, Halt> {
    #[derive(Serialize)]
    struct Content {
        month: String,
        open: Vec<InvoiceView>,
        free: Vec<(String, String, String)>,
        issued: Vec<InvoiceView>,
    }
    let home = visit.home(Share::See)?;
    let month = Month::of(visit.cx.now);
    let names = super::subscribe::applications(visit, &home).await?;
    let statement = billing::statement(&mut visit.cx, &home, month).await?;
    let issued = billing::list(&mut visit.cx, &home).await?;
    let name =
        |id: &String| names.iter().find(|(known, _)| known == id).map_or_else(|| id.clone(), |(_, name)| name.clone());
    let free = statement.free.iter().map(|line| (line.plan.clone(), name(&line.application), number(line.units)));
    let content = Content {
        month: month.to_string(),
        free: free.collect(),
        open: statement.invoices.iter().map(|invoice| view(visit, &names, invoice)).collect(),
        issued: issued.iter().map(|invoice| view(visit, &names, invoice)).collect(),
    };
    Ok(visit.show("portal/invoices.html", content))
}

pub(super) async fn show(mut visit: Visit, Path(id): Path<String>) -> Response {
    let made = page(&mut visit, &id).await;
    visit.answer(made)
}

async fn page(visit: &mut Visit, id: &str) -> Result<Response, Halt> {
    #[derive(Serialize)]
    struct Content {
        invoice: InvoiceView,
        name: String,
        kept_days: u32,
    }
    visit.person()?;
    let invoice = billing::find(&mut visit.cx, id).await?;
    let names = super::subscribe::applications(visit, &invoice.organisation).await?;
    let name = people::organisation_name(&mut visit.cx, &invoice.organisation).await?;
    let kept_days = visit.cx.management.config.usage.kept_days;
    let content = Content { name: name.unwrap_or_default(), invoice: view(visit, &names, &invoice), kept_days };
    Ok(visit.show("portal/invoice.html", content))
}

pub(super) async fn csv(mut visit: Visit, Path(id): Path<String>) -> Response {
    let made = file(&mut visit, &id, "csv").await;
    visit.answer(made)
}

pub(super) async fn json(mut visit: Visit, Path(id): Path<String>) -> Response {
    let made = file(&mut visit, &id, "json").await;
    visit.answer(made)
}

async fn file(visit: &mut Visit, id: &str, kind: &str) -> Result<Response, Halt> {
    visit.person()?;
    let invoice = billing::find(&mut visit.cx, id).await?;
    let label = invoice.issued.as_ref().map(billing::Issued::label).unwrap_or_default();
    let (text, media_type) = match kind {
        "csv" => (billing::invoice_csv(&invoice), "text/csv; charset=utf-8"),
        _ => (billing::view(&invoice).to_string(), "application/json"),
    };
    Ok(attached(Body::from(text), media_type, &format!("{label}.{kind}")))
}

fn attached(body: Body, media_type: &'static str, name: &str) -> Response {
    let mut response = Response::new(body);
    web::harden(&mut response, &[], web::Scripts::None);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    if let Ok(value) = HeaderValue::try_from(format!("attachment; filename=\"{name}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    response
}

pub(super) async fn calls(mut visit: Visit, Path((id, line, format)): Path<(String, String, String)>) -> Response {
    let made = calls_file(&mut visit, &id, &line, &format).await;
    visit.answer(made)
}

/// So many calls are held in memory at once.
const PART: i64 = 1_000;

/// All calls behind a line, a part at a time: there may be millions.
async fn calls_file(visit: &mut Visit, id: &str, line: &str, format: &str) -> Result<Response, Halt> {
    visit.person()?;
    let invoice = billing::find(&mut visit.cx, id).await?;
    let at: usize = line.parse().map_err(|_| Refused::NotFound("such line"))?;
    let media_type = match format {
        "csv" => "text/csv; charset=utf-8",
        "json" => "application/json",
        _ => return Err(Refused::NotFound("such format").into()),
    };
    let label = invoice.issued.as_ref().map(billing::Issued::label).unwrap_or_default();
    // The first part before the answer begins, so that what is not there is said by its status.
    let first = billing::calls_of_line(&mut visit.cx, &invoice, at, 0, PART).await?;
    let parts = Parts { cx: visit.cx.again(), invoice, at, csv: format == "csv", next: Some(first), begun: false };
    let body = Body::from_stream(futures_util::stream::try_unfold(parts, next_part));
    Ok(attached(body, media_type, &format!("{label}-{at}.{format}")))
}

struct Parts {
    cx: Cx,
    invoice: Invoice,
    at: usize,
    csv: bool,
    next: Option<Vec<usage::Call>>,
    begun: bool,
}

async fn next_part(mut parts: Parts) -> Result<Option<(Bytes, Parts)>, Refused> {
    let Some(calls) = parts.next.take() else { return Ok(None) };
    if i64::try_from(calls.len()).is_ok_and(|many| many >= PART)
        && let Some(last) = calls.last().map(|call| call.seq)
    {
        let mut cx = parts.cx.again();
        parts.next = Some(billing::calls_of_line(&mut cx, &parts.invoice, parts.at, last, PART).await?);
    }
    let text = if parts.csv { csv_part(&parts, &calls) } else { json_part(&parts, &calls) };
    parts.begun = true;
    Ok(Some((Bytes::from(text), parts)))
}

fn csv_part(parts: &Parts, calls: &[usage::Call]) -> String {
    let head = if parts.begun { String::new() } else { billing::calls_csv_head() };
    format!("{head}{}", billing::calls_csv_rows(calls))
}

/// An array of CloudEvents.
fn json_part(parts: &Parts, calls: &[usage::Call]) -> String {
    let base = &parts.cx.management.config.url;
    let events: Vec<String> = calls.iter().map(|call| usage::cloud_event(base, call).to_string()).collect();
    let before = match (parts.begun, events.is_empty()) {
        (false, _) => "[",
        (true, true) => "",
        (true, false) => ",\n",
    };
    let after = if parts.next.is_none() { "]" } else { "" };
    format!("{before}{}{after}", events.join(",\n"))
}
