use std::sync::Arc;

use crate::{PolicySet, Source, Suite};

const POLICY: &str = include_str!("../../examples/patient/policy.cedar");
const SCHEMA: &str = include_str!("../../examples/patient/schema.cedarschema");
const TESTS: &str = include_str!("../../examples/patient/tests.yaml");

fn run(policy: &str) -> Vec<String> {
    let source = Source::text("policy.cedar", policy).with_schema(SCHEMA);
    let policies = Arc::new(PolicySet::compile(&source).unwrap());
    let suite: Suite = serde_saphyr::from_str(TESTS).unwrap();
    suite.run(&policies).into_iter().map(|failure| format!("{}: {}", failure.test, failure.message)).collect()
}

#[test]
fn the_regulated_example_holds_and_each_condition_broken_once_refuses_for_that_reason() {
    assert_eq!(run(POLICY), Vec::<String>::new());
}

#[test]
fn a_policy_that_lost_a_condition_fails_its_tests() {
    for (id, expected) in [
        ("own-patients", "another doctor: expected deny, and it was allowed by doctors-read-records"),
        ("enrolled-device", "a device that is not enrolled: expected deny, and it was allowed by doctors-read-records"),
        ("hospital-network", "from home: expected deny, and it was allowed by doctors-read-records"),
    ] {
        let start = POLICY.find(&format!("@id(\"{id}\")")).unwrap();
        let end = start + POLICY[start..].find(';').unwrap() + 1;
        let weaker = format!("{}{}", &POLICY[..start], &POLICY[end..]);

        assert_eq!(run(&weaker), [expected]);
    }
}

#[test]
fn a_failure_says_which_condition_is_missing() {
    let stricter = POLICY.replace("principal in Role::\"doctor\",\n    action == Action::\"read_record\",\n    resource\n)", 
        "principal in Role::\"doctor\",\n    action == Action::\"read_record\",\n    resource\n) when { resource has ward }");

    let failures = run(&stricter);

    assert!(failures[0].ends_with("it was denied: doctors-read-records: when { resource has ward }"), "{failures:?}");
}

#[test]
fn a_test_whose_question_does_not_fit_fails_also_where_it_expects_a_denial() {
    let yaml = "tests:\n  - name: a typo\n    question: {subject: {type: user, id: a}, action: {name: cal}, \
        resource: {type: operation, id: b}}\n    expect: deny\n";
    let suite: Suite = serde_saphyr::from_str(yaml).unwrap();
    let policies = Arc::new(PolicySet::compile(&Source::text("p", "")).unwrap());

    assert_eq!(suite.run(&policies)[0].message, "the question could not be decided: the schema has no action `cal`");
}
