//! Its operations and what they answer, for the OpenAPI document.

use serde_json::{Value, json};

use super::Kind;
use super::http::MOST_CALLS;
use crate::actor::{Right, Share};
use crate::admin::shape::{about, body, list, moment, named, object, or_null, text, whole, word};
use crate::admin::{Needs, Operation};
use crate::usage::EVENTS;

pub(crate) fn operations() -> Vec<Operation> {
    let tag = "billing";
    let of = "/management/v1/organisations/{organisation}/invoices";
    let (see, administer) = (Needs::Share(Share::See), Needs::Right(Right::Administer));
    let issue = |operation: Operation| operation.body(body([("month", month())])).example(json!({"month": "2025-12"}));
    let csv = || json!({"type": "string"});
    vec![
        Operation::get("/management/v1/organisations/{organisation}/statement", "getStatement", tag, see)
            .summary("What a month costs")
            .query("month", month(), "Default: this one, so far")
            .answer(named("Statement")),
        Operation::get(of, "listInvoicesOf", tag, see)
            .summary("Invoices of an organisation, the newest first")
            .pages(named("InvoiceHead")),
        issue(
            Operation::post(of, "issueInvoicesOf", tag, administer)
                .summary("Issues the invoices of a month that is over"),
        )
        .answer(object([("items", list(named("Invoice")))])),
        Operation::get("/management/v1/invoices", "listInvoices", tag, Needs::Right(Right::Read))
            .summary("All invoices, the newest first")
            .pages(named("InvoiceHead")),
        issue(
            Operation::post("/management/v1/invoices", "issueInvoices", tag, administer)
                .summary("Issues the invoices of all organisations for a month that is over"),
        )
        .answer(object([
            ("items", list(named("InvoiceHead"))),
            ("notIssued", list(object([("organisation", text()), ("why", text())]))),
        ])),
        Operation::get("/management/v1/billing/due", "listInvoicesDue", tag, Needs::Right(Right::Read))
            .summary("Whose invoices are due and not issued, and why")
            .pages(named("InvoicesDue")),
        Operation::get("/management/v1/invoices/{invoice}", "getInvoice", tag, see)
            .summary("An invoice with its lines")
            .answer(named("Invoice")),
        Operation::get("/management/v1/invoices/{invoice}/csv", "getInvoiceCsv", tag, see)
            .summary("An invoice as CSV")
            .answer_as("text/csv", csv()),
        Operation::get("/management/v1/invoices/{invoice}/lines/{line}/calls", "listLineCalls", tag, see)
            .summary("The calls behind a line of an invoice, as long as single calls are kept")
            .query("format", word(&["events", "csv"]), "Default: `events`")
            .answer_as(EVENTS, list(named("CallEvent")))
            .answer_as("text/csv", csv())
            .paged(MOST_CALLS),
    ]
}

pub(crate) fn shapes() -> Vec<(&'static str, Value)> {
    let head = || {
        [
            ("id", about(or_null(text()), "`null`: a draft")),
            ("number", or_null(text())),
            ("state", word(&["draft", "issued"])),
            ("issuedAt", or_null(moment())),
            ("issuedBy", or_null(text())),
            ("organisation", text()),
            ("month", month()),
            ("currency", text()),
            ("total", money()),
        ]
    };
    let [id, number, state, at, by, organisation, its_month, currency, total] = head();
    let lines = ("lines", list(named("InvoiceLine")));
    vec![
        ("InvoiceHead", object(head())),
        ("Invoice", object([id, number, state, at, by, organisation, its_month, currency, total, lines])),
        (
            "InvoiceLine",
            object([
                ("kind", word(&Kind::ALL.map(Kind::as_str))),
                ("month", month()),
                ("subscription", text()),
                ("application", text()),
                ("plan", text()),
                ("units", about(whole(), "Less than none where a correction takes back")),
                ("tiers", list(named("InvoiceTier"))),
                ("amount", money()),
            ]),
        ),
        (
            "InvoiceTier",
            object([
                ("upTo?", about(whole(), "The last unit that it holds for")),
                ("units", whole()),
                ("unit", money()),
                ("amount", money()),
            ]),
        ),
        (
            "Statement",
            object([("month", month()), ("invoices", list(named("Invoice"))), ("free", list(named("FreeUse")))]),
        ),
        (
            "InvoicesDue",
            object([
                ("organisation", text()),
                ("issuedUpTo", or_null(month())),
                ("failures", whole()),
                ("nextAt", or_null(moment())),
                ("error", about(or_null(text()), "`null`: it was not tried yet")),
            ]),
        ),
        ("FreeUse", object([("subscription", text()), ("application", text()), ("plan", text()), ("units", whole())])),
    ]
}

fn month() -> Value {
    json!({"type": "string", "pattern": "^[0-9]{4}-(0[1-9]|1[0-2])$", "description": "Such as `2026-11`"})
}

fn money() -> Value {
    json!({"type": "string", "description": "A decimal number, such as `12.50`"})
}
