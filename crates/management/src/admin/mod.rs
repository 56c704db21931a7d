//! The administration interface: what all its handlers have in common, and what describes it.
//!
//! The operations themselves are the slices'. Errors are problems (RFC 9457), lists have opaque cursors and a `Link`
//! to the next page (RFC 8288), a POST with an `Idempotency-Key` has its effect once. The OpenAPI document is made
//! of the same list that the tests go through: an operation that is not described does not pass them.

mod answer;
mod apply;
mod audit;
mod describe;
mod idempotency;
mod plans;
pub(crate) mod shape;
mod store;
#[cfg(test)]
mod tests;
mod token;

use axum::routing::{get, post};
use serde_json::{Value, json};

pub(crate) use answer::{All, Asked, Listed, Sent, created, cursor, done, expected, ok, opened, tagged};
pub(crate) use describe::{Needs, Operation};
pub(crate) use idempotency::{Claim, done as effect_done, idempotent};
pub(crate) use store::sweep;
pub(crate) use token::{SCOPE, Tokens, authenticate};

use shape::{about, body, list, moment, named, object, or_null, text, unless_said, whole, word};

use crate::actor::Right;
use crate::router::{Guard, Route};
use crate::{applications, billing, people, publish, registry, subscriptions, usage};

/// What a slice says of its operations, and of what they answer.
type Described = (fn() -> Vec<Operation>, fn() -> Vec<(&'static str, Value)>);

/// All slices that have operations; one that is missing here fails a test.
const SLICES: [Described; 9] = [
    (registry::operations, registry::shapes),
    (publish::operations, publish::shapes),
    (people::operations, people::shapes),
    (applications::operations, applications::shapes),
    (crate::plans::operations, crate::plans::shapes),
    (subscriptions::operations, subscriptions::shapes),
    (usage::operations, usage::shapes),
    (billing::operations, billing::shapes),
    (operations, own_shapes),
];

pub(crate) fn described() -> Vec<Operation> {
    SLICES.iter().flat_map(|(operations, _)| operations()).collect()
}

/// The schemas of `components`, by name.
fn shapes() -> Vec<(&'static str, Value)> {
    SLICES.iter().flat_map(|(_, shapes)| shapes()).collect()
}

pub(crate) fn routes() -> Vec<Route> {
    vec![
        ("/management/v1/openapi.json", Guard::Public, get(describe::show)),
        ("/management/v1/apply", Guard::Api, post(apply::apply_resources)),
        ("/management/v1/export", Guard::Api, get(apply::export_resources)),
        ("/management/v1/audit", Guard::Api, get(audit::list_audit)),
    ]
}

fn operations() -> Vec<Operation> {
    vec![
        Operation::post("/management/v1/apply", "applyResources", "resources", Needs::Right(Right::Publish))
            .summary("Brings APIs and plans to what a set of resources says, and publishes them; a second time changes nothing")
            .body(body([
                ("resources", list(named("Resource"))),
                ("prune?", about(unless_said(false), "Also remove what the set does not name, of the kinds that it names")),
                ("dryRun?", unless_said(false)),
                ("allowBreaking?", unless_said(false)),
            ]))
            .example(json!({"resources": []}))
            .answer(object([("changes", list(named("Change")))])),
        Operation::get("/management/v1/export", "exportResources", "resources", Needs::Right(Right::Read))
            .summary("All APIs with what serves them, and all plans, as `apply` takes them back")
            .answer(object([("resources", list(named("Resource")))])),
        Operation::get("/management/v1/audit", "listAudit", "audit", Needs::Right(Right::Read))
            .summary("Who did what to what, the newest first")
            .query("object", text(), "Of this object only, such as `api:orders`")
            .query("organisation", text(), "Of this organisation only")
            .pages(named("AuditEntry")),
    ]
}

/// What is said the same everywhere, and what this slice answers.
fn own_shapes() -> Vec<(&'static str, Value)> {
    let anything = || json!({"type": "object", "additionalProperties": true});
    vec![
        (
            "Problem",
            object([
                ("type", json!({"type": "string", "format": "uri"})),
                ("title", text()),
                ("status", whole()),
                ("detail?", text()),
                ("request_id", text()),
                ("errors?", list(object([("pointer", about(text(), "RFC 6901")), ("detail", text())]))),
            ]),
        ),
        ("Done", object([("done", json!({"type": "boolean", "const": true}))])),
        ("Resource", object([("kind", text()), ("name", text()), ("spec", anything())])),
        (
            "Change",
            object([
                ("kind", text()),
                ("name", text()),
                ("change", word(&["add", "modify", "remove"])),
                ("before?", about(anything(), "The spec")),
                ("after?", about(anything(), "The spec")),
            ]),
        ),
        (
            "AuditEntry",
            object([
                ("id", text()),
                ("at", moment()),
                ("actor", text()),
                ("act", text()),
                ("object", text()),
                ("organisation", or_null(text())),
                ("requestId", text()),
                ("detail", about(json!({}), "What belongs to the act")),
            ]),
        ),
    ]
}
