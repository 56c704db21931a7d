//! Comma separated values (RFC 4180), safe to open in a spreadsheet.

use super::{Invoice, Issued, amount};
use crate::usage::{Call, rfc3339};

/// One row per line.
pub fn invoice_csv(invoice: &Invoice) -> String {
    let mut out = row(&[
        "invoice",
        "organisation",
        "month",
        "currency",
        "line",
        "kind",
        "period",
        "subscription",
        "application",
        "plan",
        "units",
        "amount",
    ]
    .map(str::to_owned));
    let number = invoice.issued.as_ref().map_or_else(|| "draft".to_owned(), Issued::label);
    for (at, line) in (1_u64..).zip(&invoice.lines) {
        out.push_str(&row(&[
            number.clone(),
            invoice.organisation.clone(),
            invoice.month.to_string(),
            invoice.currency.as_str().to_owned(),
            at.to_string(),
            line.kind.as_str().to_owned(),
            line.month.to_string(),
            line.subscription.clone(),
            line.application.clone(),
            line.plan.clone(),
            line.units.to_string(),
            amount(line.amount, &invoice.currency),
        ]));
    }
    out
}

/// One row per call.
pub fn calls_csv(calls: &[Call]) -> String {
    format!("{}{}", calls_csv_head(), calls_csv_rows(calls))
}

/// For files that are written in parts.
pub fn calls_csv_head() -> String {
    row(&[
        "gateway",
        "number",
        "request_id",
        "time",
        "api",
        "operation",
        "method",
        "client",
        "subscription",
        "plan",
        "status",
        "outcome",
        "units",
    ]
    .map(str::to_owned))
}

pub fn calls_csv_rows(calls: &[Call]) -> String {
    let mut out = String::new();
    for call in calls {
        out.push_str(&row(&[
            call.gateway.clone(),
            call.number.to_string(),
            call.request_id.clone(),
            rfc3339(call.at),
            call.api.clone(),
            call.operation.clone(),
            call.method.clone(),
            call.client.clone().unwrap_or_default(),
            call.subscription.clone().unwrap_or_default(),
            call.plan.clone().unwrap_or_default(),
            call.status.to_string(),
            call.outcome.clone(),
            call.units.to_string(),
        ]));
    }
    out
}

fn row(cells: &[String]) -> String {
    let cells: Vec<String> = cells.iter().map(|text| cell(text)).collect();
    format!("{}\r\n", cells.join(","))
}

/// Quoted where it must be. What a spreadsheet would take for a formula is made a text; numbers stay numbers.
fn cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '@', '\t', '\r'])
        || (text.starts_with('-') && !text.bytes().skip(1).all(|byte| byte.is_ascii_digit() || byte == b'.'));
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}
