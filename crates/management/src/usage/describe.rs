//! Its operations and what they answer, for the OpenAPI document.

use serde_json::{Value, json};

use super::http::MOST_EXPORTED;
use super::report::{Group, Step};
use crate::actor::Right;
use crate::admin::shape::{about, body, flag, list, moment, named, object, or_null, text, whole, word};
use crate::admin::{Needs, Operation};

/// Batches of events (CloudEvents 1.0, JSON format §4).
pub(crate) const EVENTS: &str = "application/cloudevents-batch+json";

pub(crate) fn operations() -> Vec<Operation> {
    let tag = "usage";
    let read = Needs::Right(Right::Read);
    let of = |operation: Operation| {
        operation
            .query("organisation", text(), "Of this organisation; its members have to name it")
            .query("subscription", text(), "Of this subscription")
            .query("client", text(), "Of this client")
    };
    vec![
        Operation::get("/management/v1/gateways", "listGateways", tag, read)
            .summary("Gateways: what they serve, and what they refused")
            .pages(named("Gateway")),
        of(Operation::get("/management/v1/usage", "reportUsage", tag, read)
            .summary("Calls, counted; by time, and by what tells them apart"))
        .query("api", text(), "Of this API")
        .query("from", moment(), "Default: the begin of the month")
        .query("until", moment(), "Default: now")
        .query("step", word(&Step::ALL.map(Step::as_str)), "How time is cut; default: `day`")
        .query("group", word(&Group::ALL.map(Group::as_str)), "What a line stands for; default: `none`")
        .pages(named("UsageLine")),
        of(Operation::get("/management/v1/usage/calls", "listCalls", tag, read).summary("The last calls"))
            .query("outcome", outcome(), "Those only")
            .pages(named("Call")),
        Operation::get("/management/v1/usage/calls/{request_id}", "getCall", tag, Needs::Token)
            .summary("A call by its request id")
            .answer(named("Call")),
        Operation::get("/management/v1/usage/events", "exportEvents", tag, read)
            .summary("Calls as CloudEvents; `Link` always says where to go on, also from the end")
            .answer_as(EVENTS, list(named("CallEvent")))
            .paged(MOST_EXPORTED),
        Operation::get("/management/v1/usage/push", "listPushes", tag, read)
            .summary("How far receivers of calls have them")
            .pages(named("Push")),
        Operation::post("/management/v1/usage/push", "restartPush", tag, Needs::Right(Right::Administer))
            .summary("Sends calls again, or goes on: from behind a place, since a time, or from where it stands")
            .body(body([
                ("after?", about(or_null(text()), "The `cursor` of an export")),
                ("since?", or_null(moment())),
            ]))
            .answer(object([("items", list(named("Push")))])),
    ]
}

pub(crate) fn shapes() -> Vec<(&'static str, Value)> {
    vec![
        (
            "Gateway",
            object([
                ("id", text()),
                ("caller", about(text(), "What its token stands for")),
                ("name", text()),
                ("next", about(whole(), "The number of the record that is wanted next")),
                ("serving", about(or_null(whole()), "The publication that it serves")),
                ("refused", about(or_null(text()), "Why it serves no newer one")),
                ("firstSeenAt", moment()),
                ("seenAt", moment()),
            ]),
        ),
        (
            "UsageLine",
            object([
                ("begins", moment()),
                ("label", about(text(), "The API, client …; empty where nothing is told apart, or nobody knows")),
                ("calls", whole()),
                ("served", whole()),
                ("refused", whole()),
                ("failed", whole()),
                ("units", whole()),
                ("meanMicros", whole()),
            ]),
        ),
        (
            "Call",
            object([
                ("requestId", text()),
                ("at", moment()),
                ("api", text()),
                ("operation", text()),
                ("method", text()),
                ("client", or_null(text())),
                ("subscription", or_null(text())),
                ("plan", or_null(text())),
                ("organisation", or_null(text())),
                ("status", whole()),
                ("outcome", outcome()),
                ("reason", about(or_null(text()), "The end of the problem's `type`")),
                ("units", whole()),
                ("micros", about(whole(), "From the head of the request to the head of the answer")),
                ("told", about(or_null(text()), "What the caller was told")),
                ("parts", about(or_null(text()), "Of a composition: its parts, and how they ended")),
                ("policies", about(or_null(text()), "Those that decided; the provider's people are told")),
            ]),
        ),
        (
            "Push",
            object([
                ("url", text()),
                ("state", text()),
                ("cursor", about(text(), "Where it stands, as a cursor of the export")),
                ("waiting", about(whole(), "Calls that it has not taken yet")),
                ("failures", whole()),
                ("nextAt", or_null(moment())),
                ("takenAt", or_null(moment())),
                ("failedAt", or_null(moment())),
                ("error", or_null(text())),
                ("endedAt", or_null(moment())),
                ("configured", flag()),
            ]),
        ),
        (
            "CallEvent",
            object([
                ("specversion", json!({"type": "string", "const": "1.0"})),
                ("id", text()),
                ("source", text()),
                ("type", text()),
                ("subject", or_null(text())),
                ("time", json!({"type": "string", "format": "date-time"})),
                ("datacontenttype", text()),
                ("data", named("Call")),
            ]),
        ),
    ]
}

fn outcome() -> Value {
    word(&["served", "refused", "failed"])
}
