//! The decision log: who asked what, and how it was decided.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use axum::response::Response;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::json;
use web::{When, when};

use super::{Stop, answer};
use crate::actor::Right;
use crate::pages::Visit;
use crate::policies::{self, Decided, Search, Trouble};
use crate::usage;

const PAGE: u32 = 50;

#[derive(Serialize)]
struct DecisionView {
    at: When,
    allow: bool,
    verdict: String,
    subject: [String; 2],
    action: String,
    resource: [String; 2],
    reasons: Vec<String>,
    version: i64,
    caller: String,
    request_id: String,
    /// The call that it was about, where the ledger has it.
    call: Option<String>,
    /// The same question, to be explained.
    explain: String,
}

/// The filters as they were typed.
#[derive(Default, Serialize)]
struct Typed {
    subject: String,
    resource: String,
    decision: String,
    request_id: String,
    from: String,
    until: String,
}

pub(super) async fn list(mut visit: Visit) -> Response {
    let made = list_page(&mut visit).await;
    answer(&visit, made)
}

async fn list_page(visit: &mut Visit) -> Result<Response, Stop> {
    #[derive(Serialize)]
    struct Content {
        decisions: Vec<DecisionView>,
        next: Option<String>,
        typed: Typed,
        filtered: bool,
        wrong: Vec<String>,
    }
    visit.need(Right::Read)?;
    let typed = |name: &str| visit.query.text(name).trim().to_owned();
    let typed = Typed {
        subject: typed("subject"),
        resource: typed("resource"),
        decision: typed("decision"),
        request_id: typed("request_id"),
        from: typed("from"),
        until: typed("until"),
    };
    let mut wrong = Vec::new();
    let search = search(visit, &typed, &mut wrong);
    let mut content = Content { decisions: Vec::new(), next: None, filtered: search.filtered(), typed, wrong };
    let mut status = StatusCode::UNPROCESSABLE_ENTITY;
    if content.wrong.is_empty() {
        match policies::decisions(&visit.cx, &search).await {
            Ok(found) => {
                status = StatusCode::OK;
                content.next = found.next.map(|cursor| visit.with("cursor", &cursor));
                content.decisions = views(visit, found.items).await?;
            }
            Err(Trouble::Refused { title, errors, .. }) => {
                content.wrong = [title].into_iter().chain(errors).collect();
            }
            Err(trouble) => return Err(trouble.into()),
        }
    }
    Ok(visit.show_with(status, "console/policy_decisions.html", content))
}

fn search(visit: &Visit, typed: &Typed, wrong: &mut Vec<String>) -> Search {
    let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let mut moment = |name: &str, text: &str| {
        if text.is_empty() {
            return None;
        }
        let at = milliseconds(text);
        if at.is_none() {
            wrong.push(format!("{name}: write it as 2026-11-22T14:05, in UTC"));
        }
        at
    };
    Search {
        from: moment("From", &typed.from),
        until: moment("Until", &typed.until),
        subject: some(&typed.subject),
        resource: some(&typed.resource),
        decision: some(&typed.decision).filter(|word| ["allow", "deny"].contains(&word.as_str())),
        request_id: some(&typed.request_id),
        cursor: visit.query.one("cursor").map(str::to_owned),
        limit: PAGE,
    }
}

/// As a field for date and time sends it; UTC, as all times on pages.
fn milliseconds(text: &str) -> Option<i64> {
    let at: DateTime = text.parse().ok()?;
    Some(at.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond())
}

async fn views(visit: &mut Visit, found: Vec<Decided>) -> Result<Vec<DecisionView>, Stop> {
    let mut known: BTreeMap<String, bool> = BTreeMap::new();
    let mut out = Vec::new();
    for one in found {
        let id = one.request_id.clone();
        if !id.is_empty() && !known.contains_key(&id) {
            let call = usage::find_call(&mut visit.cx, &id).await?;
            known.insert(id.clone(), call.is_some());
        }
        let call = known.get(&id).is_some_and(|known| *known).then(|| format!("/console/calls/{id}"));
        out.push(DecisionView {
            at: when(one.decided_at, visit.cx.now),
            allow: one.decision == "allow",
            explain: question(&one),
            verdict: one.verdict.replace('_', " "),
            subject: [one.subject_type, one.subject_id],
            action: one.action,
            resource: [one.resource_type, one.resource_id],
            reasons: one.reasons,
            version: one.version,
            caller: one.caller,
            request_id: id,
            call,
        });
    }
    Ok(out)
}

/// As much of the question as the log knows, and what its words say: the API of an operation, the client of a token.
fn question(of: &Decided) -> String {
    let kind = of.resource_type.to_lowercase();
    let api = of.resource_id.split_once('/').map(|(api, _)| api).filter(|_| kind == "operation");
    let properties = api.map_or_else(String::new, |api| json!({"api": api}).to_string());
    let context = match of.action.as_str() {
        "issue_token" => json!({"client": of.resource_id}).to_string(),
        _ => String::new(),
    };
    let version = if of.version > 0 { of.version.to_string() } else { String::new() };
    let pairs = [
        ("subject_type", of.subject_type.as_str()),
        ("subject_id", &of.subject_id),
        ("action", &of.action),
        ("resource_type", &of.resource_type),
        ("resource_id", &of.resource_id),
        ("resource_properties", &properties),
        ("context", &context),
        ("version", &version),
        ("logged", "1"),
    ];
    let pairs: Vec<_> = pairs.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    format!("/console/policies/explain?{}", serde_urlencoded::to_string(pairs).unwrap_or_default())
}
