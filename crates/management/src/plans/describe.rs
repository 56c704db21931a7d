//! Its operations and what they answer, for the OpenAPI document.

use serde_json::{Value, json};

use crate::actor::{Right, Share};
use crate::admin::shape::{body, moment, named, object, or_null, text, whole};
use crate::admin::{Needs, Operation};

pub(crate) fn operations() -> Vec<Operation> {
    let tag = "plans";
    let (read, write) = (Needs::Right(Right::Read), Needs::Right(Right::Publish));
    vec![
        Operation::get("/management/v1/plans", "listPlans", tag, read)
            .summary("All plans, also those that are out of sale")
            .pages(named("Plan")),
        Operation::get("/management/v1/plans/{plan}", "getPlan", tag, read).summary("A plan").answer(named("Plan")),
        Operation::put("/management/v1/plans/{plan}", "putPlan", tag, write)
            .summary("Makes or changes a plan; gateways are told at once")
            .body(body([("spec", named("PlanSpec"))]))
            .example(json!({"spec": {"title": "Sample", "apis": ["sample"]}}))
            .answer(named("Plan")),
        Operation::delete("/management/v1/plans/{plan}", "retirePlan", tag, write)
            .summary("No new subscriptions to a plan")
            .empty(),
        Operation::get("/management/v1/plans/{plan}/versions", "listPlanVersions", tag, read)
            .summary("What a plan was, and since when; the oldest first")
            .pages(named("PlanVersion")),
        Operation::get(
            "/management/v1/organisations/{organisation}/plans",
            "listOfferedPlans",
            tag,
            Needs::Share(Share::See),
        )
        .summary("Plans that an organisation may subscribe to")
        .pages(named("Plan")),
    ]
}

pub(crate) fn shapes() -> Vec<(&'static str, Value)> {
    vec![
        (
            "Plan",
            object([
                ("name", text()),
                ("version", whole()),
                ("spec", named("PlanSpec")),
                ("createdAt", moment()),
                ("changedAt", moment()),
                ("retiredAt", or_null(moment())),
            ]),
        ),
        (
            "PlanVersion",
            object([("version", whole()), ("since", moment()), ("changedBy", text()), ("spec", named("PlanSpec"))]),
        ),
    ]
}
