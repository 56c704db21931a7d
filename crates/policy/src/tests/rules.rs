use serde_json::json;

use super::{NOW, call, engine, with};
use crate::{Party, Question, Verdict};

#[test]
fn nothing_is_permitted_unless_a_policy_permits_it() {
    let decision = engine("").decide(&call("orders.list"));

    assert!(!decision.allow);
    assert_eq!((decision.verdict, decision.reasons.len()), (Verdict::NotPermitted, 0));
}

#[test]
fn a_forbid_outranks_every_permit() {
    let engine = engine(
        r#"@id("all") permit (principal, action, resource);
           @id("more") permit (principal, action == Action::"call", resource in Api::"orders");
           @id("never") @reason("closed") @advice_contact("ops") forbid (principal, action, resource in Api::"orders");"#,
    );

    let orders = engine.decide(&call("orders.list"));
    let others = engine.decide(&call("stock.list"));

    assert_eq!((orders.allow, orders.verdict, orders.reason()), (false, Verdict::Forbidden, Some("closed")));
    assert_eq!(orders.reasons.iter().map(|info| info.id.as_str()).collect::<Vec<_>>(), ["never"]);
    assert_eq!(orders.advice(), [("contact", "ops")].into());
    assert_eq!((others.allow, others.verdict), (true, Verdict::Permitted));
}

#[test]
fn a_policy_that_cannot_be_evaluated_denies_also_where_another_permits() {
    let engine = engine(
        r#"permit (principal, action, resource);
           @id("overflow") forbid (principal, action == Action::"call", resource)
           when { context.time.now * 9223372036854775807 > 0 };"#,
    );

    let decision = engine.decide(&call("orders.list"));

    assert_eq!((decision.allow, decision.verdict), (false, Verdict::Failed));
    assert!(decision.errors[0].contains("overflow"), "{:?}", decision.errors);
}

#[test]
fn roles_and_groups_are_reached_over_others() {
    let text = r#"permit (principal in Group::"staff", action == Action::"call", resource in Api::"orders");"#;
    let entities = json!([
        {"type": "User", "id": "alice", "parents": [{"type": "Group", "id": "berlin"}]},
        {"type": "Group", "id": "berlin", "parents": [{"type": "Group", "id": "europe"}]},
        {"type": "Group", "id": "europe", "parents": [{"type": "Group", "id": "staff"}]},
        {"type": "Operation", "id": "orders.list", "parents": [{"type": "Api", "id": "orders"}]},
    ]);
    let engine = with(text, "", entities);
    let ask = |user: &str, operation: &str| {
        engine.decide(&Question::new(Party::new("user", user), "call", Party::new("operation", operation), NOW)).allow
    };

    assert!(ask("alice", "orders.list"));
    assert!(!ask("bob", "orders.list"));
    assert!(!ask("alice", "orders.delete"));
}

#[test]
fn groups_of_a_token_count_like_stored_ones() {
    let engine = engine(r#"permit (principal in Role::"clerk", action == Action::"call", resource);"#);
    let mut question = call("orders.list");

    assert!(!engine.decide(&question).allow);
    question.subject = question.subject.property("roles", json!(["guest", "clerk"]));
    assert!(engine.decide(&question).allow);
    question.subject.properties.insert("roles".to_owned(), json!([7]));
    assert_eq!(engine.decide(&question).verdict, Verdict::Failed);
}

#[test]
fn what_is_stored_outranks_what_the_asking_side_says() {
    let text = r#"permit (principal is User, action == Action::"call", resource)
                  when { principal has clearance && principal.clearance >= 3 };"#;
    let engine = with(text, "", json!([{"type": "User", "id": "alice", "attributes": {"clearance": 1}}]));
    let ask = |user: &str| {
        let subject = Party::new("user", user).property("clearance", 9);
        engine.decide(&Question::new(subject, "call", Party::new("operation", "orders.list"), NOW)).allow
    };

    assert!(!ask("alice"));
    assert!(ask("bob"));
}

#[test]
fn time_comes_from_whoever_decides() {
    // 2026-01-01T00:00:00Z, a Thursday.
    let engine = engine(
        r#"permit (principal, action == Action::"call", resource)
           when { context.time == {now: 1767225600, hour: 0, weekday: 4} };"#,
    );
    let lie = json!({"now": 1, "hour": 12, "weekday": 1});

    assert!(engine.decide(&call("orders.list").context("time", lie)).allow);
}

#[test]
fn an_address_has_one_form() {
    let engine = engine(
        r#"permit (principal, action == Action::"call", resource)
           when { context.network has address && context.network.address.isInRange(ip("10.0.0.0/8")) };"#,
    );
    let ask = |address: &str| engine.decide(&call("orders.list").context("network", json!({"address": address})));

    assert!(ask("10.1.2.3").allow);
    assert!(ask("::ffff:10.1.2.3").allow);
    assert!(!ask("11.1.2.3").allow);
    assert_eq!(ask("ten").errors, ["`context.network.address` is not an IP address"]);
}

#[test]
fn asked_about_itself_a_subject_has_one_description() {
    let text = r#"permit (principal, action == Action::"rename", resource) when { principal == resource }
                  unless { resource has department && resource.department == "frozen" };"#;
    let schema = "action rename appliesTo { principal: [User], resource: [User] };";
    let engine = with(text, schema, json!([]));
    let subject = Party::new("user", "alice").property("department", "frozen");
    let resource = Party::new("user", "alice").property("department", "other");

    assert!(!engine.decide(&Question::new(subject, "rename", resource.clone(), NOW)).allow);
    assert!(engine.decide(&Question::new(resource.clone(), "rename", resource, NOW)).allow);
}

#[test]
fn a_step_up_is_advised_only_where_it_would_help() {
    let login = "@id(\"login\") @advice_max_age(\"900\") forbid (principal, action, resource)
        unless { context.authentication has auth_time };";
    let factor =
        "@id(\"factor\") @advice_acr_values(\"mfa phr\") @advice_max_age(\"60\") forbid (principal, action, resource)
        unless { context.authentication has acr };";
    let zone = "@id(\"zone\") forbid (principal, action, resource) unless { context.network has zone };";
    let question = call("orders.list");

    let one = engine(login).decide(&question).step_up().unwrap();
    assert_eq!((one.acr_values.len(), one.max_age), (0, Some(900)));
    let both = engine(&format!("{login}{factor}")).decide(&question).step_up().unwrap();
    assert_eq!((both.acr_values, both.max_age), (vec!["mfa".to_owned(), "phr".to_owned()], Some(60)));
    assert_eq!(engine(&format!("{login}{zone}")).decide(&question).step_up(), None, "no login brings a zone");
    assert_eq!(engine("").decide(&question).step_up(), None);
    let permitted = engine("@advice_max_age(\"1\") permit (principal, action, resource);").decide(&question);
    assert_eq!((permitted.allow, permitted.step_up()), (true, None));
}
