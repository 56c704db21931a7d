//! The way of a call: client → gateway → token service → upstream, and what each step of the gateway decided and took.
//!
//! A gateway that tells nothing but the outcome (an older one) leaves the times away; where the call ended is then
//! read from the reason.

use catalog::usage::Way;
use serde::Serialize;

use super::{number, time_of};
use crate::usage::Call;

/// Who is shown the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    Provider,
    /// Is not told which policies there are, nor what would be if others were enforced.
    Consumer,
}

/// A step of the gateway, as far as the record tells.
#[derive(Serialize)]
pub(crate) struct StepView {
    pub name: &'static str,
    pub said: String,
    /// `stop`: here it ended; `skipped`: not reached
    pub state: &'static str,
    pub took: Option<String>,
    /// Of the whole time, in hundredths: where it begins and how much it is, for a drawing.
    pub from: String,
    pub share: String,
}

/// What the map shows at its places.
#[derive(Serialize)]
pub(crate) struct MapView {
    pub token: String,
    /// Time in the gateway itself.
    pub gateway: Option<String>,
    /// `asked`, `not` (it was known already) or `off` (nothing was to be asked)
    pub asked: &'static str,
    pub service: String,
    /// `passed`, `failed` or `off`
    pub upstream: &'static str,
    pub answered: String,
    /// Whether the gateway itself said no.
    pub stopped: bool,
}

const STEPS: [&str; 5] = ["Route", "Token", "Plan", "Rights", "Upstream"];
const ROUTE: usize = 0;
const TOKEN: usize = 1;
const PLAN: usize = 2;
const RIGHTS: usize = 3;
const UPSTREAM: usize = 4;

/// The step at which it ended; the last one if nothing was refused.
fn ended(of: &Call) -> usize {
    let reason = of.reason.as_deref().unwrap_or_default();
    if matches!(reason, "api_retired" | "usage_unavailable")
        && of.way.as_ref().is_none_or(|way| way.permitted_ns.is_none())
    {
        return ROUTE;
    }
    match &of.way {
        Some(Way { permitted_ns: Some(_), .. }) => UPSTREAM,
        Some(Way { admitted_ns: Some(_), .. }) => RIGHTS,
        Some(Way { identified_ns: Some(_), .. }) => PLAN,
        Some(_) => TOKEN,
        None if of.outcome == "served" => UPSTREAM,
        None if reason.contains("token") => TOKEN,
        None if matches!(reason, "no_subscription" | "rate_limited" | "quota_exceeded") => PLAN,
        None if of.outcome == "refused" => RIGHTS,
        None => UPSTREAM,
    }
}

/// Whether the last step, too, did what it should.
fn is_whole(of: &Call) -> bool {
    of.outcome == "served"
}

pub(super) fn steps(of: &Call, reader: Reader) -> Vec<StepView> {
    let ended = ended(of);
    let said = [format!("{} → {}", of.method, of.operation), token(of), plan(of), rights(of, reader), upstream(of)];
    let spans = spans(of, ended);
    let whole = nanos_of(of.micros).max(1);
    let mut out = Vec::new();
    for (at, ((name, said), span)) in STEPS.into_iter().zip(said).zip(spans).enumerate() {
        let (said, state) = match at.cmp(&ended) {
            std::cmp::Ordering::Less => (said, "passed"),
            std::cmp::Ordering::Equal if at == UPSTREAM && is_whole(of) => (said, "passed"),
            std::cmp::Ordering::Equal => (stopped(of, at, said), "stop"),
            std::cmp::Ordering::Greater => ("not reached".to_owned(), "skipped"),
        };
        let (begin, end) = span.unwrap_or_default();
        let shown = span.filter(|_| state != "skipped");
        out.push(StepView {
            name,
            said,
            state,
            took: shown.map(|(begin, end)| nanos(end.saturating_sub(begin))),
            from: hundredths(begin, whole),
            share: hundredths(end.saturating_sub(begin), whole),
        });
    }
    out
}

pub(super) fn map(of: &Call, steps: &[StepView]) -> MapView {
    let ended = ended(of);
    let way = of.way.as_ref();
    let found = way.and_then(|way| way.token.as_deref());
    let took = |at: usize| steps.get(at).and_then(|step| step.took.clone());
    let (asked, service) = match found {
        Some("miss") => ("asked", took(TOKEN).map_or_else(|| "asked".to_owned(), |took| format!("asked: {took}"))),
        Some("revoked") => ("asked", "told: revoked".to_owned()),
        Some("junk") => ("not", "not asked: no token of its".to_owned()),
        Some(_) => ("not", "not asked: known".to_owned()),
        None if way.is_some() => ("off", "not asked".to_owned()),
        None => ("off", "not told".to_owned()),
    };
    let reached = ended == UPSTREAM;
    MapView {
        token: way.and_then(|way| way.token_end.as_deref()).map_or_else(
            || if found.is_some() { "a token" } else { "no token" }.to_owned(),
            |end| format!("token …{end}"),
        ),
        gateway: way.and_then(|way| way.permitted_ns).map(nanos),
        asked,
        service,
        upstream: match (reached, is_whole(of)) {
            (true, true) => "passed",
            (true, false) => "failed",
            (false, _) => "off",
        },
        answered: match reached {
            true => {
                [Some(of.status.to_string()), took(UPSTREAM)].into_iter().flatten().collect::<Vec<_>>().join(" in ")
            }
            false => "not called".to_owned(),
        },
        stopped: !reached,
    }
}

/// From when to when each step went on, in nanoseconds from the head of the request.
fn spans(of: &Call, ended: usize) -> [Option<(u64, u64)>; 5] {
    let Some(way) = &of.way else { return [None; 5] };
    let whole = nanos_of(of.micros);
    let ends = [None, way.identified_ns, way.admitted_ns, way.permitted_ns, None];
    let mut spans = [None; 5];
    let mut begin = 0;
    for (at, (span, end)) in spans.iter_mut().zip(ends).enumerate().skip(TOKEN).take_while(|(at, _)| *at <= ended) {
        // A call ends with its last step, whichever that is.
        let end = if at == ended { whole } else { end.unwrap_or(begin) }.max(begin);
        *span = Some((begin, end));
        begin = end;
    }
    spans
}

fn stopped(of: &Call, at: usize, said: String) -> String {
    let reason = of.reason.as_deref().unwrap_or("failed");
    match at {
        ROUTE => format!("{}: {reason}", of.status),
        _ => format!("{}: {reason}; {said}", of.status),
    }
}

fn token(of: &Call) -> String {
    let Some(way) = &of.way else {
        return of.client.as_deref().map_or_else(|| "nobody known".to_owned(), |client| format!("client {client}"));
    };
    let what = way.token_end.as_deref().map_or_else(|| "token".to_owned(), |end| format!("opaque …{end}"));
    let known = of.client.is_some();
    match way.token.as_deref() {
        None => "no token was looked up".to_owned(),
        Some("hit") => format!("{what} → JWT, from what is kept"),
        Some("miss") if known => format!("{what} → JWT, the token service was asked"),
        Some("miss") => format!("{what}, the token service was asked"),
        Some("negative") => format!("{what}, not active when the token service was asked before"),
        Some("revoked") => format!("{what}, revoked"),
        Some("junk") => "not of the form of a token; nobody was asked".to_owned(),
        Some(other) => format!("{what}, {other}"),
    }
}

fn plan(of: &Call) -> String {
    let Some(plan) = &of.plan else {
        return if of.subscription.is_some() { "subscription known" } else { "no plan asked for" }.to_owned();
    };
    let mut said = format!("plan {plan}, {} unit{}", of.units, if of.units == 1 { "" } else { "s" });
    if let Some(left) = of.way.as_ref().and_then(|way| way.rate_left) {
        said.push_str(&format!("; {} left at this moment", number(i64::try_from(left).unwrap_or(i64::MAX))));
    }
    if let Some(left) = of.way.as_ref().and_then(|way| way.quota_left) {
        said.push_str(&format!("; {} left of the quota", number(i64::try_from(left).unwrap_or(i64::MAX))));
    }
    said
}

fn rights(of: &Call, reader: Reader) -> String {
    let mut said = match of.reason.as_deref() {
        Some("insufficient_scope" | "insufficient_claims") => vec!["audience, scopes, claims".to_owned()],
        _ => vec!["audience, scopes and claims are there".to_owned()],
    };
    if let Some(way) = &of.way {
        let ids = way.policies.as_deref().filter(|ids| reader == Reader::Provider && !ids.is_empty());
        said.extend(way.verdict.as_deref().map(|verdict| match ids {
            Some(ids) => format!("policy {}: {verdict}", ids.replace(' ', ", ")),
            None => format!("policies: {verdict}"),
        }));
        let shadowed = way.shadowed.as_deref().filter(|_| reader == Reader::Provider);
        said.extend(shadowed.map(|why| format!("would be refused if it were enforced: {why}")));
    }
    said.join("; ")
}

fn upstream(of: &Call) -> String {
    format!("answered {}", of.status)
}

fn nanos_of(micros: i64) -> u64 {
    u64::try_from(micros).unwrap_or(0).saturating_mul(1_000)
}

/// `0.4 µs`, `12 µs`, `1.2 ms`
fn nanos(nanos: u64) -> String {
    match nanos {
        ..10_000 => format!("{}.{} µs", nanos / 1_000, nanos % 1_000 / 100),
        _ => time_of(i64::try_from(nanos / 1_000).unwrap_or(i64::MAX)),
    }
}

/// Of 100, with two digits: as a drawing wants it.
fn hundredths(part: u64, whole: u64) -> String {
    let of = part.saturating_mul(10_000).checked_div(whole).unwrap_or(0).min(10_000);
    format!("{}.{:02}", of / 100, of % 100)
}
