//! A call as pages show it: when, what, why it was refused, and its way through the gateway's steps.

use base::Time;
use serde::Serialize;
use web::{When, when};

use super::time_of;
use crate::usage::Call;

#[derive(Serialize)]
pub(crate) struct CallView {
    pub id: String,
    pub at: When,
    pub clock: String,
    pub api: String,
    pub operation: String,
    pub method: String,
    pub client: Option<String>,
    pub organisation: Option<String>,
    pub subscription: Option<String>,
    pub plan: Option<String>,
    pub gateway: String,
    pub status: u16,
    pub outcome: String,
    pub tone: &'static str,
    pub reason: Option<String>,
    pub why: Option<&'static str>,
    pub todo: Option<&'static str>,
    pub units: i64,
    pub took: String,
    pub way: Vec<StepView>,
}

/// A step of the gateway, as far as the record tells.
#[derive(Serialize)]
pub(crate) struct StepView {
    pub name: &'static str,
    pub said: String,
    /// `stop`: here it ended; `skipped`: not reached
    pub state: &'static str,
}

pub(crate) fn call(of: &Call, now: Time) -> CallView {
    let told = of.reason.as_deref().map(reason);
    CallView {
        at: when(of.at, now),
        clock: clock(of.at),
        tone: match of.outcome.as_str() {
            "served" => "good",
            "refused" => "warn",
            _ => "bad",
        },
        why: told.map(|told| told.0),
        todo: told.map(|told| told.1),
        took: time_of(of.micros),
        way: way(of),
        id: of.request_id.clone(),
        api: of.api.clone(),
        operation: of.operation.clone(),
        method: of.method.clone(),
        client: of.client.clone(),
        organisation: of.organisation.clone(),
        subscription: of.subscription.clone(),
        plan: of.plan.clone(),
        gateway: of.gateway.clone(),
        status: of.status,
        outcome: of.outcome.clone(),
        reason: of.reason.clone(),
        units: of.units,
    }
}

/// `14:05:09.123`
fn clock(at: Time) -> String {
    jiff::Timestamp::from_millisecond(at.ms())
        .map(|at| at.to_zoned(jiff::tz::TimeZone::UTC).strftime("%H:%M:%S%.3f").to_string())
        .unwrap_or_default()
}

/// Why a gateway says no, in plain words, and what to do. By the ends of its problems' types.
pub(crate) fn reason(slug: &str) -> (&'static str, &'static str) {
    match slug {
        "token_missing" => ("There was no access token.", "Send `Authorization: Bearer` and an access token."),
        "invalid_token" => (
            "The access token is malformed, expired, revoked, or was issued for another API.",
            "Get a new token for this API. If new ones are refused too, look whether the application is suspended.",
        ),
        "token_bound" => (
            "The token is bound to a key and was sent as a bearer token.",
            "Send it with its proof, or get one without.",
        ),
        "insufficient_scope" => (
            "The access token has not the scope that this operation asks for.",
            "Ask for the scope when getting the token; the operation's page names it.",
        ),
        "insufficient_claims" => {
            ("A claim has not the value that the operation asks for.", "Ask the API's owner who may call it.")
        }
        "no_subscription" => (
            "The application has no subscription to a plan with this API.",
            "Subscribe on the API's page. A subscription that waits for approval does not count yet.",
        ),
        "rate_limited" => (
            "Calls came faster than the plan allows.",
            "Wait for the seconds in `Retry-After`, spread the calls, or choose a larger plan.",
        ),
        "quota_exceeded" => (
            "The plan's quota of this window is used up.",
            "Wait until the window ends (`RateLimit` says when), or choose a larger plan.",
        ),
        "api_retired" => ("The API has been retired.", "Look in the catalogue for what follows it."),
        "no_route" => ("No route matches host and path.", "Compare the address with the API's page."),
        "method_not_allowed" => ("This address does not take the method.", "See `Allow` in the answer."),
        "body_too_large" => ("The body was larger than the route takes.", "Send less at once."),
        slug if slug.contains("policy") || slug.contains("step_up") || slug.contains("authentication") => (
            "A policy said no.",
            "The answer's problem names what was missing; the policy's author can explain it by the request id.",
        ),
        slug if slug.starts_with("token_service") => {
            ("The identity system could not be asked, so the call was not let through.", "Try again in a few seconds.")
        }
        slug if slug.starts_with("upstream") || slug.starts_with("part") || slug.starts_with("composition") => {
            ("The backend did not answer as it should.", "Try again later; the API's owner sees it too.")
        }
        _ => {
            ("The gateway's answer says why.", "Read `detail` of the problem in the answer; its `type` names the kind.")
        }
    }
}

/// The gateway's steps in their order, with what the record says of each.
fn way(of: &Call) -> Vec<StepView> {
    let stopped_at = match (of.outcome.as_str(), of.reason.as_deref()) {
        ("served", _) => 6,
        (_, Some("api_retired" | "no_route" | "method_not_allowed" | "bad_path")) => 0,
        (_, Some(reason)) if reason.contains("token") => 1,
        (_, Some("no_subscription" | "rate_limited" | "quota_exceeded")) => 2,
        (_, Some("insufficient_scope" | "insufficient_claims")) => 3,
        ("refused", _) => 4,
        _ => 5,
    };
    let plan = match (&of.plan, &of.subscription) {
        (Some(plan), _) => format!("plan {plan}, {} unit{}", of.units, if of.units == 1 { "" } else { "s" }),
        (None, Some(_)) => "subscription known".to_owned(),
        (None, None) => "no plan asked for".to_owned(),
    };
    let client = of.client.as_deref().map_or_else(|| "nobody known".to_owned(), |client| format!("client {client}"));
    let steps: [(&'static str, String); 6] = [
        ("Route", format!("{} → {}", of.method, of.operation)),
        ("Token", client),
        ("Plan", plan),
        ("Scopes", "audience, scopes, claims".to_owned()),
        ("Policy", "as the route says".to_owned()),
        ("Backend", format!("answered {} in {}", of.status, time_of(of.micros))),
    ];
    let mut out = Vec::new();
    for (at, (name, said)) in steps.into_iter().enumerate() {
        let (said, state) = match at.cmp(&stopped_at) {
            std::cmp::Ordering::Less => (said, "passed"),
            std::cmp::Ordering::Equal => {
                (format!("{}: {}", of.status, of.reason.as_deref().unwrap_or("refused")), "stop")
            }
            std::cmp::Ordering::Greater => ("not reached".to_owned(), "skipped"),
        };
        out.push(StepView { name, said, state });
    }
    out
}
