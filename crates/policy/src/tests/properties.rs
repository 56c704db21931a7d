//! Random policies and questions: their order means nothing, forbid wins, and a sliced set decides as the whole.

use cedar_policy::{Authorizer, Decision as Cedar, PolicySet as CedarSet};
use proptest::prelude::*;
use serde_json::json;

use super::{NOW, with};
use crate::{Engine, Party, Question, Verdict};

const PRINCIPALS: &[&str] = &[
    "principal",
    "principal is User",
    "principal in Group::\"g1\"",
    "principal == User::\"u1\"",
    "principal in Group::\"g0\"",
    "principal is Client in Group::\"g1\"",
];
const ACTIONS: &[&str] =
    &["action", "action == Action::\"call\"", "action in [Action::\"call\", Action::\"issue_token\"]"];
const RESOURCES: &[&str] = &[
    "resource",
    "resource in Api::\"a1\"",
    "resource == Operation::\"o1\"",
    "resource is Operation in Api::\"a0\"",
    "resource is Operation",
    "resource in Operation::\"o2\"",
];
const CONDITIONS: &[&str] = &["", "when { context.network has zone }", "unless { context.network has zone }"];

fn policy() -> impl Strategy<Value = String> {
    let pick = |words: &'static [&'static str]| prop::sample::select(words);
    (any::<bool>(), pick(PRINCIPALS), pick(ACTIONS), pick(RESOURCES), pick(CONDITIONS)).prop_map(
        |(permit, principal, action, resource, condition)| {
            let effect = if permit { "permit" } else { "forbid" };
            // Only calls have a context with a network, in every environment that the scope allows.
            format!("{effect} ({principal}, {action}, {resource}) {condition};")
        },
    )
}

fn question() -> impl Strategy<Value = Question> {
    (0..2_usize, 0..3_usize, 0..3_usize, any::<bool>()).prop_map(|(kind, who, what, zone)| {
        let subject = Party::new(["user", "client"][kind], &format!("u{who}"));
        let question = Question::new(subject, "call", Party::new("operation", &format!("o{what}")), NOW);
        if zone { question.context("network", json!({"zone": "z"})) } else { question }
    })
}

fn engine(policies: &[String]) -> Engine {
    let text: Vec<String> = policies.iter().enumerate().map(|(n, policy)| format!("@id(\"{n}\") {policy}")).collect();
    let member = |kind: &str, id: &str, of: &str, parent: &str| json!({"type": kind, "id": id, "parents": [{"type": of, "id": parent}]});
    let entities = json!([
        member("User", "u1", "Group", "g1"),
        member("User", "u2", "Group", "g0"),
        member("Client", "u1", "Group", "g1"),
        member("Group", "g1", "Group", "g0"),
        member("Operation", "o1", "Api", "a1"),
        member("Operation", "o2", "Api", "a0"),
    ]);
    with(&text.join("\n"), "", entities)
}

/// As Cedar itself decides, over all policies in one set.
fn whole(engine: &Engine, question: &Question) -> bool {
    let asked = engine.ask(question).unwrap();
    let all = CedarSet::from_policies(engine.policies().policies.values().map(|one| one.policy.clone())).unwrap();
    Authorizer::new().is_authorized(&asked.request, &all, &asked.entities).decision() == Cedar::Allow
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn a_sliced_set_decides_as_the_whole(
        policies in prop::collection::vec(policy(), 0..12),
        questions in prop::collection::vec(question(), 1..8),
    ) {
        let engine = engine(&policies);
        for question in &questions {
            prop_assert_eq!(engine.decide(question).allow, whole(&engine, question), "{:?}", question);
        }
    }

    #[test]
    fn order_means_nothing(
        (one, other) in prop::collection::vec(policy(), 1..8)
            .prop_flat_map(|policies| (Just(policies.clone()), Just(policies).prop_shuffle())),
        question in question(),
    ) {
        let (one, other) = (engine(&one).decide(&question), engine(&other).decide(&question));

        prop_assert_eq!((one.allow, one.verdict, one.reasons.len()), (other.allow, other.verdict, other.reasons.len()));
    }

    #[test]
    fn a_forbid_wins_and_a_permit_never_takes_away(
        policies in prop::collection::vec(policy(), 0..8),
        question in question(),
    ) {
        let before = engine(&policies).decide(&question);

        let forbid = "forbid (principal, action == Action::\"call\", resource);".to_owned();
        let forbidden = engine(&[policies.clone(), vec![forbid]].concat()).decide(&question);
        let permit = "permit (principal, action == Action::\"call\", resource);".to_owned();
        let permitted = engine(&[policies, vec![permit]].concat()).decide(&question);

        prop_assert_eq!((forbidden.allow, forbidden.verdict), (false, Verdict::Forbidden));
        prop_assert_eq!(permitted.allow, before.verdict != Verdict::Forbidden);
    }
}
