use serde_json::json;

use super::{NOW, call, compile, engine, with};
use crate::{Directory, EntitySpec, Limits, Party, PolicySet, Question, Source, Verdict};

const ALL: &str = "permit (principal, action, resource);";

fn refused(question: &Question, expected: &str) {
    let decision = engine(ALL).decide(question);

    assert_eq!((decision.allow, decision.verdict), (false, Verdict::Failed));
    assert_eq!(decision.errors, [expected]);
}

#[test]
fn what_the_schema_does_not_know_is_denied_also_where_all_is_permitted() {
    let mut question = call("orders.list");
    assert!(engine(ALL).decide(&question).allow);

    question.action.name = "fly".to_owned();
    refused(&question, "the schema has no action `fly`");
    let mut question = call("orders.list");
    question.subject.kind = "spaceship".to_owned();
    refused(&question, "the schema has no entity type `spaceship`");
    let mut question = call("orders.list");
    question.resource = Party::new("user", "bob");
    refused(&question, "the action does not apply to these types");
}

#[test]
fn a_declared_attribute_has_its_declared_type_or_nothing_is_decided() {
    let network = |value| call("orders.list").context("network", value);
    refused(&network(json!("here")), "`context.network` is not an object");
    refused(&network(json!({"zone": 1})), "`context.network.zone` is not a text");
    let authentication = |value| call("orders.list").context("authentication", value);
    refused(&authentication(json!({"auth_time": 1.5})), "`context.authentication.auth_time` is not a whole number");
    refused(&authentication(json!({"auth_time": "1"})), "`context.authentication.auth_time` is not a whole number");
    refused(&authentication(json!({"amr": "pwd"})), "`context.authentication.amr` is not a list");
    refused(&authentication(json!({"amr": [1]})), "`context.authentication.amr` is not a text");
    let device = call("orders.list").context("device", json!({"enrolled": "yes"}));
    refused(&device, "`context.device.enrolled` is not true or false");
}

#[test]
fn what_is_not_declared_and_what_is_null_is_left_out() {
    let mut question = call("orders.list").context("weather", json!({"sun": true})).context("network", json!(null));
    question.subject = question.subject.property("shoe_size", 47);

    assert!(engine(ALL).decide(&question).allow);
}

#[test]
fn a_missing_attribute_that_must_be_there_denies() {
    let schema = "entity Invoice { total: Long }; action pay appliesTo { principal: [User], resource: [Invoice] };";
    let engine = with(ALL, schema, json!([]));
    let ask = |resource| engine.decide(&Question::new(Party::new("user", "alice"), "pay", resource, NOW));

    assert!(ask(Party::new("invoice", "7").property("total", 3)).allow);
    assert_eq!(ask(Party::new("invoice", "7")).errors, ["`resource.total` is missing"]);
}

#[test]
fn another_systems_spelling_finds_the_type_and_two_that_fit_find_none() {
    let schema = "entity Patient_Record; entity patientRecord;
        action open appliesTo { principal: [User], resource: [Patient_Record, patientRecord] };";
    let engine = with(ALL, schema, json!([]));
    let ask = |kind: &str| engine.decide(&Question::new(Party::new("USER", "a"), "open", Party::new(kind, "1"), NOW));

    assert!(ask("patientRecord").allow);
    assert!(ask("Patient_Record").allow);
    assert_eq!(ask("patient-record").verdict, Verdict::Failed);
}

#[test]
fn attributes_may_name_entities_and_reach_theirs() {
    let schema = "entity Doc { author: User, readers?: Set<User> };
        action read appliesTo { principal: [User], resource: [Doc] };";
    let text = r#"permit (principal, action == Action::"read", resource)
        when { resource.author has department && principal has department &&
               resource.author.department == principal.department };
        permit (principal, action == Action::"read", resource)
        when { resource has readers && resource.readers.contains(principal) };"#;
    let engine = with(
        text,
        schema,
        json!([
            {"type": "User", "id": "alice", "attributes": {"department": "sales"}},
            {"type": "User", "id": "bob", "attributes": {"department": "sales"}},
            {"type": "User", "id": "eve", "attributes": {"department": "press"}},
            {"type": "Doc", "id": "plan", "attributes": {"author": "bob"}},
        ]),
    );
    let ask = |user: &str, doc: Party| engine.decide(&Question::new(Party::new("user", user), "read", doc, NOW)).allow;

    assert!(ask("alice", Party::new("doc", "plan")));
    assert!(!ask("eve", Party::new("doc", "plan")));
    let shared = Party::new("doc", "memo")
        .property("author", json!({"type": "user", "id": "bob"}))
        .property("readers", json!(["eve"]));
    assert!(ask("eve", shared.clone()));
    assert!(!ask("mallory", shared));
    assert!(!ask("eve", Party::new("doc", "memo").property("author", json!({"type": "group", "id": "bob"}))));
}

#[test]
fn a_directory_takes_only_what_fits() {
    let policies = compile(ALL);
    let check = |spec: serde_json::Value, expected: &str| {
        let specs: Vec<EntitySpec> = serde_json::from_value(spec).unwrap();
        assert_eq!(Directory::new(&policies, &specs).unwrap_err(), [expected]);
    };

    check(json!([{"type": "Robot", "id": "1"}]), "`Robot` `1`: the schema has no entity type `Robot`");
    check(
        json!([{"type": "User", "id": "a", "attributes": {"shoe": 1}}]),
        "`User` `a`: `User` has no attribute `shoe`",
    );
    check(
        json!([{"type": "User", "id": "a", "attributes": {"clearance": "high"}}]),
        "`User` `a`: `attributes.clearance` is not a whole number",
    );
    check(
        json!([{"type": "User", "id": "a", "parents": [{"type": "Api", "id": "b"}]}]),
        "`User` `a`: a `User` is not a member of a `Api`",
    );
    check(json!([{"type": "User", "id": "a"}, {"type": "User", "id": "a"}]), "`User` `a` stands twice");
}

#[test]
fn size_and_reach_are_bounded() {
    let limits = Limits { entities: 3, entity_bytes: 100, parents: 1, reach: 1, ..Limits::default() };
    let policies = PolicySet::compile_with(&Source::text("p", ALL), limits).unwrap();
    let fault = |specs: serde_json::Value| {
        let specs: Vec<EntitySpec> = serde_json::from_value(specs).unwrap();
        Directory::new(&policies, &specs).err().unwrap_or_default().join("")
    };
    let group =
        |id: &str, parent: &str| json!({"type": "Group", "id": id, "parents": [{"type": "Group", "id": parent}]});

    assert!(fault(json!([1, 2, 3, 4].map(|n| json!({"type": "Role", "id": n.to_string()})))).contains("at most 3"));
    let long = json!([{"type": "User", "id": "a", "attributes": {"name": "x".repeat(100)}}]);
    assert!(fault(long).contains("more than 100 bytes"));
    let two = json!([{"type": "Group", "id": "a",
        "parents": [{"type": "Group", "id": "b"}, {"type": "Group", "id": "c"}]}]);
    assert!(fault(two).contains("more than 1 parents"));

    let specs: Vec<EntitySpec> =
        serde_json::from_value(json!([group("a", "b"), group("b", "c"), group("c", "d")])).unwrap();
    let directory = Directory::new(&policies, &specs).unwrap();
    let engine = crate::Engine::new(policies.into(), directory.into());
    let mut question = call("orders.list");
    question.subject = question.subject.property("groups", "a");
    assert_eq!(engine.decide(&question).errors, ["the question reaches more than 1 entities"]);
}

#[test]
fn groups_in_a_circle_deny_and_do_not_hang() {
    let group =
        |id: &str, parent: &str| json!({"type": "Group", "id": id, "parents": [{"type": "Group", "id": parent}]});
    let engine = with(ALL, "", json!([group("a", "b"), group("b", "a")]));
    let mut question = call("orders.list");
    question.subject = question.subject.property("groups", "a");

    assert_eq!(engine.decide(&question).errors, ["groups are members of each other in a circle"]);
}

#[test]
fn a_stored_device_is_what_is_stored_of_it() {
    let own = "permit (principal, action, resource) when { context.device has enrolled && context.device.enrolled &&
        context.device has owner && context.device.owner == principal };";
    let entities = json!([
        {"type": "Device", "id": "tablet", "attributes": {"enrolled": true, "owner": "alice"}},
        {"type": "Device", "id": "phone", "attributes": {"owner": "alice"}},
    ]);
    let engine = with(own, "", entities);
    let ask = |device| engine.decide(&call("orders.list").context("device", device)).allow;

    assert!(ask(json!({"id": "tablet"})));
    assert!(ask(json!({"id": "tablet", "enrolled": false})), "the organisation knows better");
    assert!(!ask(json!({"id": "phone", "enrolled": true, "owner": "alice"})), "it is not said to be enrolled");
    assert!(ask(json!({"id": "other", "enrolled": true, "owner": "alice"})), "one that is not stored is as told");
    assert!(!ask(json!({"id": 7, "enrolled": true, "owner": "alice"})));
}

#[test]
fn claims_reach_the_policies_in_the_types_that_are_declared() {
    let text = "permit (principal, action, resource) when { context.claims has tenant && context.claims.tenant == \"a\"
        && context has client && context.client == Client::\"shop\" };";
    let engine = with(text, "type Claims = { tenant?: String };", json!([]));
    let ask =
        |claims, client: &str| engine.decide(&call("orders.list").context("claims", claims).context("client", client));

    assert!(ask(json!({"tenant": "a", "other": {"x": 1}}), "shop").allow);
    assert!(!ask(json!({"tenant": "a"}), "other").allow);
    assert!(!ask(json!({"tenant": "b"}), "shop").allow);
    assert_eq!(ask(json!({"tenant": 1}), "shop").errors, ["`context.claims.tenant` is not a text"]);
}
