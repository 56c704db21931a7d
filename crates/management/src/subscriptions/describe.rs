//! Its operations and what they answer, for the OpenAPI document. What is used of a quota is shown with them.

use serde_json::{Value, json};

use super::State;
use crate::actor::{Right, Share};
use crate::admin::shape::{about, body, flag, moment, named, object, or_null, text, whole, word};
use crate::admin::{Needs, Operation};

const PUBLISH: Needs = Needs::Right(Right::Publish);
const DEVELOP: Needs = Needs::Share(Share::Develop);

pub(crate) fn operations() -> Vec<Operation> {
    let tag = "subscriptions";
    let of = "/management/v1/organisations/{organisation}/subscriptions";
    let see = Needs::Share(Share::See);
    let listed = |operation: Operation| {
        operation
            .query("application", text(), "Of this application only")
            .query("plan", text(), "To this plan only")
            .query("state", state(), "In this state only")
            .pages(named("Subscription"))
    };
    vec![
        listed(
            Operation::get("/management/v1/subscriptions", "listSubscriptions", tag, Needs::Right(Right::Read))
                .summary("All subscriptions"),
        ),
        listed(Operation::get(of, "listSubscriptionsOf", tag, see).summary("Subscriptions of an organisation")),
        Operation::post(of, "createSubscription", tag, DEVELOP)
            .summary("Subscribes an application to a plan; at once, or after the provider's yes, as the plan says")
            .body(body([("application", text()), ("plan", text()), ("note?", or_null(text()))]))
            .example(json!({"application": "none", "plan": "free"}))
            .answer(named("Subscription"))
            .creates(),
        Operation::get("/management/v1/subscriptions/{subscription}", "getSubscription", tag, see)
            .summary("A subscription")
            .answer(named("Subscription")),
        Operation::get("/management/v1/subscriptions/{subscription}/quota", "getQuota", tag, see)
            .summary("What is used of its quota, and what is left")
            .answer(named("QuotaNow")),
    ]
    .into_iter()
    .chain(moves(tag))
    .collect()
}

fn moves(tag: &'static str) -> Vec<Operation> {
    let reason = || body([("reason", text())]);
    let example = || json!({"reason": "test"});
    let moves = [
        Operation::post("/management/v1/subscriptions/{subscription}/approve", "approveSubscription", tag, PUBLISH)
            .summary("Says yes; with `plan` only if that plan is the one that is asked for")
            .body(body([("note?", or_null(text())), ("plan?", or_null(text()))])),
        Operation::post("/management/v1/subscriptions/{subscription}/reject", "rejectSubscription", tag, PUBLISH)
            .summary("Says no, and why")
            .body(reason())
            .example(example()),
        Operation::post("/management/v1/subscriptions/{subscription}/suspend", "suspendSubscription", tag, PUBLISH)
            .summary("Gateways refuse its calls until it is resumed")
            .body(reason())
            .example(example()),
        Operation::post("/management/v1/subscriptions/{subscription}/resume", "resumeSubscription", tag, PUBLISH)
            .summary("Gateways take its calls again"),
        Operation::post("/management/v1/subscriptions/{subscription}/cancel", "cancelSubscription", tag, DEVELOP)
            .summary("Ends it for good")
            .body(body([("reason?", or_null(text()))])),
        Operation::post("/management/v1/subscriptions/{subscription}/plan", "changePlan", tag, DEVELOP)
            .summary("Goes over to another plan, now or later")
            .body(body([("plan", text()), ("from?", or_null(moment()))]))
            .example(json!({"plan": "other"})),
    ];
    moves.into_iter().map(|operation| operation.answer(named("Subscription"))).collect()
}

pub(crate) fn shapes() -> Vec<(&'static str, Value)> {
    vec![
        (
            "Subscription",
            object([
                ("id", text()),
                ("organisation", text()),
                ("application", text()),
                ("client", about(or_null(text()), "Its `client_id`, as soon as it has one")),
                ("plan", text()),
                ("state", state()),
                ("note", about(or_null(text()), "What the applicant says")),
                ("requestedAt", moment()),
                ("requestedBy", text()),
                ("decidedAt", or_null(moment())),
                ("decidedBy", or_null(text())),
                ("reason", about(or_null(text()), "What the applicant is told")),
                ("next", or_null(named("NextPlan"))),
                ("changedAt", moment()),
            ]),
        ),
        ("NextPlan", object([("plan", text()), ("agreed", flag()), ("from", moment())])),
        (
            "QuotaNow",
            object([
                ("per", word(&["hour", "day", "week", "month"])),
                ("begins", moment()),
                ("ends", moment()),
                ("requests", whole()),
                ("used", whole()),
                ("remaining", whole()),
                ("hard", flag()),
            ]),
        ),
    ]
}

fn state() -> Value {
    word(&State::ALL.map(State::as_str))
}
