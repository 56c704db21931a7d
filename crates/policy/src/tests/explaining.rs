use serde_json::json;

use super::{call, engine};
use crate::{Explanation, Outcome};

const TEXT: &str = r#"
    @id("lab") permit (principal, action == Action::"call", resource in Api::"orders")
    when { context.network has zone && context.network.zone == "lab" && context.time.hour == 0 };
    @id("night") forbid (principal, action == Action::"call", resource)
    unless { context.time.hour == 0 || context.time.hour == 1 };
    @id("stock") permit (principal, action == Action::"call", resource in Api::"stock");
    @id("tokens") permit (principal, action == Action::"issue_token", resource);
"#;

fn outcomes(explanation: &Explanation, id: &str) -> (bool, Outcome, Vec<(String, Outcome)>) {
    let one = explanation.considered.iter().find(|one| one.policy.id == id).unwrap();
    let conditions = one.conditions.iter().map(|condition| (condition.text.clone(), condition.outcome)).collect();
    (one.applies, one.scope, conditions)
}

#[test]
fn an_explanation_shows_each_policy_and_each_condition() {
    let engine = engine(TEXT);
    let explanation = engine.explain(&call("orders.list").context("network", json!({"zone": "home"})));

    let ids: Vec<&str> = explanation.considered.iter().map(|one| one.policy.id.as_str()).collect();
    assert_eq!(ids, ["night", "lab", "stock"]);
    let (applies, scope, conditions) = outcomes(&explanation, "lab");
    assert_eq!((applies, scope), (false, Outcome::Holds));
    assert_eq!(
        conditions,
        [
            ("when { context.network has zone }".to_owned(), Outcome::Holds),
            ("when { context.network.zone == \"lab\" }".to_owned(), Outcome::Fails),
            ("when { context.time.hour == 0 }".to_owned(), Outcome::Holds),
        ]
    );
    assert_eq!(outcomes(&explanation, "stock"), (false, Outcome::Fails, vec![]));
    let (applies, scope, conditions) = outcomes(&explanation, "night");
    assert_eq!((applies, scope), (false, Outcome::Holds));
    assert_eq!(conditions.iter().map(|(_, outcome)| *outcome).collect::<Vec<_>>(), [Outcome::Fails, Outcome::Holds]);
    assert_eq!(explanation.missing().len(), 1);
}

#[test]
fn a_condition_behind_one_that_fails_is_not_reached() {
    let explanation = engine(TEXT).explain(&call("orders.list"));

    let (_, _, conditions) = outcomes(&explanation, "lab");
    let outcomes: Vec<Outcome> = conditions.into_iter().map(|(_, outcome)| outcome).collect();
    assert_eq!(outcomes, [Outcome::Fails, Outcome::NotReached, Outcome::Holds]);
}

#[test]
fn what_is_explained_is_what_is_decided() {
    let engine = engine(TEXT);
    for zone in ["lab", "home"] {
        for operation in ["orders.list", "stock.list", "other.list"] {
            let question = call(operation).context("network", json!({"zone": zone}));
            let explanation = engine.explain(&question);
            assert_eq!(explanation.decision, engine.decide(&question));
            if !explanation.decision.allow {
                assert_eq!(engine.missing(&question, 10), explanation.missing());
                assert_eq!(engine.missing(&question, 0), Vec::<String>::new());
            }
        }
    }
}
