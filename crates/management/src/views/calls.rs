//! A call as pages show it: when, what, why it was refused, and its way through the gateway's steps.

use base::Time;
use serde::Serialize;
use web::{When, when};

use super::time_of;
use super::way::{self, MapView, Reader, StepView};
use crate::usage::Call;

#[derive(Serialize)]
pub(crate) struct CallView {
    pub id: String,
    /// Its place in the ledger.
    pub seq: i64,
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
    /// In the words of a policy's author.
    pub told: Option<String>,
    /// The policies that decided, for those who may know.
    pub policies: Vec<String>,
    /// Of a composed answer from which something is missing.
    pub parts: Vec<PartView>,
    /// The caller was not shown them.
    pub hidden_parts: bool,
    /// A policy refused it: the decision log has more.
    pub by_policy: bool,
    pub units: i64,
    pub took: String,
    pub way: Vec<StepView>,
    pub map: MapView,
    /// What the token was issued under; for the provider's people.
    pub grant: Option<String>,
}

/// How a step of a composition went.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct PartView {
    pub name: String,
    /// done, fallback, failed, skipped
    pub outcome: String,
    pub tone: &'static str,
    pub status: Option<String>,
    pub why: Option<&'static str>,
}

pub(crate) fn call(of: &Call, now: Time, reader: Reader) -> CallView {
    let way = way::steps(of, reader);
    let is_revoked = of.way.as_ref().is_some_and(|way| way.token.as_deref() == Some("revoked"));
    let told = match of.reason.as_deref() {
        Some("invalid_token") if is_revoked => Some(("The access token has been revoked.", "Get a new token.")),
        other => other.map(reason),
    };
    let passed = of.way.as_ref();
    let policies =
        passed.and_then(|way| way.policies.as_deref()).filter(|_| of.reason.as_deref().is_some_and(is_policy));
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
        told: passed.and_then(|way| way.told.clone()),
        policies: policies.unwrap_or_default().split_whitespace().map(str::to_owned).collect(),
        parts: passed.and_then(|way| way.parts.as_deref()).map(parts_of).unwrap_or_default(),
        hidden_parts: passed.is_some_and(|way| way.parts_withheld),
        by_policy: matches!(
            of.reason.as_deref(),
            Some("policy_denied" | "policy_unavailable" | "insufficient_user_authentication")
        ),
        took: time_of(of.micros),
        map: way::map(of, &way),
        way,
        grant: of.way.as_ref().and_then(|way| way.grant.clone()).filter(|_| reader == Reader::Provider),
        id: of.request_id.clone(),
        seq: of.seq,
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
        "policy_denied" => (
            "A policy does not allow this call.",
            "What its author says stands below and in the answer; the operator finds the policies by the request id.",
        ),
        "policy_unavailable" => (
            "It could not be decided whether the call is allowed, so it was not let through.",
            "Try again in a few seconds; if it goes on, the operator sees why in the gateway's log.",
        ),
        "insufficient_user_authentication" => (
            "A policy asks for a fresher or stronger login.",
            "Send the person to the authorization server with what `WWW-Authenticate` names (RFC 9470).",
        ),
        "part_identity" => (
            "A step of the composition got no token for its backend.",
            "Look whether the access token has the scopes that the operation asks for; the rest is the operator's.",
        ),
        "part_bad_value" => (
            "A value of the request is missing, or cannot stand where a step needs it.",
            "Compare it with the API's page.",
        ),
        "part_unreachable" => {
            ("A backend that the answer needs could not be reached.", "Try again later; the API's owner sees it too.")
        }
        "part_timed_out" | "composition_deadline" => {
            ("A backend that the answer needs did not answer in time.", "Try again later; the API's owner sees it too.")
        }
        "part_status" => (
            "A backend that the answer needs answered with a status that is not expected.",
            "Below stands which part it was; the API's owner sees it too.",
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

/// Whether it is for policies to say so.
fn is_policy(reason: &str) -> bool {
    matches!(reason, "policy_denied" | "policy_unavailable" | "insufficient_user_authentication")
}

/// The list of RFC 9651 that gateways write: `stock;outcome=failed;error=unreachable, …`
fn parts_of(list: &str) -> Vec<PartView> {
    list.split(", ").filter_map(part_of).collect()
}

fn part_of(item: &str) -> Option<PartView> {
    let (name, parameters) = item.split_once(';')?;
    let value = |wanted: &str| {
        let mut pairs = parameters.split(';').filter_map(|parameter| parameter.split_once('='));
        pairs.find(|(name, _)| *name == wanted).map(|(_, value)| value)
    };
    let outcome = value("outcome")?;
    Some(PartView {
        name: name.to_owned(),
        tone: match outcome {
            "done" => "good",
            "skipped" => "",
            "fallback" => "warn",
            _ => "bad",
        },
        outcome: outcome.to_owned(),
        status: value("status").map(str::to_owned),
        why: value("error").map(trouble),
    })
}

fn trouble(word: &str) -> &'static str {
    match word {
        "unreachable" => "its backend could not be reached",
        "timed_out" => "its backend did not answer in time",
        "too_large" => "its answer was larger than it may be",
        "broken_off" => "its answer broke off",
        "busy" => "too many requests were on their way to its backend",
        "status" => "its backend answered with a status that is not expected",
        "bad_answer" => "its answer was neither JSON nor text",
        "mapping" => "what its request is made of was not there",
        "bad_value" => "a value of the request cannot stand where it is needed",
        "identity" => "there was no token for its backend",
        "deadline" => "the deadline of the whole was over",
        "cancelled" => "it was given up, since a required part failed",
        _ => "it did not go well",
    }
}
