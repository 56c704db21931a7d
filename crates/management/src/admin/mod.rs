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
mod slices;
mod store;
#[cfg(test)]
mod tests;
mod token;

use axum::routing::{get, post};
use http::Method;
use serde_json::json;

pub(crate) use answer::{Asked, Paging, Sent, created, done, expected, ok, page, tagged};
pub(crate) use describe::{Needs, Operation};
pub(crate) use idempotency::{Claim, done as effect_done, idempotent};
pub(crate) use store::sweep;
pub(crate) use token::{SCOPE, Tokens, authenticate};

use crate::actor::Right;
use crate::router::{Guard, Route};
use crate::{publish, registry};

/// All operations, slice by slice; one that is missing here fails a test.
pub(crate) fn described() -> Vec<Operation> {
    let slices = [registry::operations, publish::operations, slices::operations, operations];
    slices.into_iter().flat_map(|operations| operations()).collect()
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
    let resource = json!({"$ref": "#/components/schemas/Resource"});
    vec![
        Operation::new(Method::POST, "/management/v1/apply", "applyResources", "resources", Needs::Right(Right::Publish))
            .summary("Brings APIs and plans to what a set of resources says, and publishes them; a second time changes nothing")
            .body(json!({"type": "object", "additionalProperties": false, "required": ["resources"], "properties": {
                "resources": {"type": "array", "items": resource},
                "prune": {"type": "boolean", "default": false, "description": "Also remove what the set does not name, of the kinds that it names"},
                "dryRun": {"type": "boolean", "default": false},
                "allowBreaking": {"type": "boolean", "default": false}}}))
            .example(json!({"resources": []}))
            .answer(json!({"type": "object", "required": ["changes"], "properties": {"changes": {"type": "array", "items": {
                "type": "object", "required": ["kind", "name", "change"], "properties": {
                    "kind": {"type": "string"}, "name": {"type": "string"},
                    "change": {"enum": ["add", "modify", "remove"]}, "before": {}, "after": {}}}}}})),
        Operation::new(Method::GET, "/management/v1/export", "exportResources", "resources", Needs::Right(Right::Read))
            .summary("All APIs with what serves them, and all plans, as `apply` takes them back")
            .answer(json!({"type": "object", "required": ["resources"], "properties": {"resources": {"type": "array", "items": resource}}})),
        Operation::new(Method::GET, "/management/v1/audit", "listAudit", "audit", Needs::Right(Right::Read))
            .summary("Who did what to what, the newest first")
            .query("object", "Of this object only, such as `api:orders`")
            .query("organisation", "Of this organisation only")
            .pages(json!({"type": "object", "required": ["id", "at", "actor", "act", "object", "requestId"], "properties": {
                "id": {"type": "string"}, "at": {"type": "integer"}, "actor": {"type": "string"}, "act": {"type": "string"},
                "object": {"type": "string"}, "organisation": {"type": ["string", "null"]},
                "requestId": {"type": "string"}, "detail": {}}})),
    ]
}
