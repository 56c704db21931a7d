//! Its operations and what they answer, for the OpenAPI document.

use serde_json::{Value, json};

use crate::actor::Right;
use crate::admin::shape::{about, body, moment, named, object, or_null, unless_said, whole};
use crate::admin::{Needs, Operation};

pub(crate) fn operations() -> Vec<Operation> {
    let tag = "publication";
    let (read, write) = (Needs::Right(Right::Read), Needs::Right(Right::Publish));
    vec![
        Operation::get("/management/v1/publication", "getPublication", tag, read)
            .summary("What gateways are given now: its number, and how much there is of each kind")
            .answer(named("Publication")),
        Operation::post("/management/v1/apis/{api}/publish", "publishApi", tag, write)
            .summary("Gives a revision of an API to the gateways; refused with 409 if clients would notice")
            .body(body([
                ("revision?", about(or_null(whole()), "Default: the newest")),
                ("allowBreaking?", unless_said(false)),
            ]))
            .answer(named("Api")),
        Operation::post("/management/v1/apis/{api}/withdraw", "withdrawApi", tag, write)
            .summary("Takes an API away from the gateways; its history stays")
            .answer(named("Api")),
    ]
}

pub(crate) fn shapes() -> Vec<(&'static str, Value)> {
    let number = || json!({"type": "integer", "minimum": 0});
    vec![(
        "Publication",
        object([
            ("version", whole()),
            ("changedAt", or_null(moment())),
            ("apis", number()),
            ("routes", number()),
            ("compositions", number()),
            ("plans", number()),
            ("subscriptions", number()),
        ]),
    )]
}
