use policy::{Call, Party};
use serde_json::{Map, Value, json};

use super::caller::question;
use crate::phantom::Facts;

fn facts(claims: Value) -> Facts {
    let Value::Object(claims) = claims else { panic!("an object") };
    Facts::new(claims, None, None)
}

fn asked(claims: Value) -> policy::Question {
    let call = Call {
        address: "::ffff:192.0.2.1".parse().unwrap(),
        method: "GET",
        path: "/a",
        host: "api.test",
        params: &[("id", "7")],
        now: base::Time::from_seconds(1_767_225_600),
    };
    question(&facts(claims), "call", Party::new("Operation", "a/b"), &call)
}

#[test]
fn a_client_that_acts_for_itself_is_the_subject() {
    let person = asked(json!({"sub": "ann", "client_id": "shop"})).subject;
    let client = asked(json!({"sub": "shop", "client_id": "shop"})).subject;
    let without = asked(json!({"client_id": "shop"})).subject;
    let passed_on = json!({"sub": "shop", "client_id": "relay", "act": {"sub": "relay"}, "sub_kind": "client"});
    let passed_on = asked(passed_on).subject;

    assert_eq!((person.kind.as_str(), person.id.as_str()), ("User", "ann"));
    assert_eq!((client.kind.as_str(), client.id.as_str()), ("Client", "shop"));
    assert_eq!((without.kind.as_str(), without.id.as_str()), ("Client", "shop"));
    assert_eq!((passed_on.kind.as_str(), passed_on.id.as_str()), ("Client", "shop"));
}

#[test]
fn what_the_issuer_says_of_login_and_device_is_told_and_nothing_is_made_up() {
    let known = asked(json!({
        "sub": "ann", "client_id": "shop", "auth_time": 5, "acr": "2", "amr": ["otp"], "scope": "a b",
        "device": {"id": "t7", "enrolled": true}, "preferred_username": "Ann",
    }));
    let wrong = asked(json!({"sub": "ann", "auth_time": "5", "acr": 2, "amr": "otp", "device": "t7", "device_id": 7}));

    assert_eq!(known.context["authentication"], json!({"auth_time": 5, "acr": "2", "amr": ["otp"]}));
    assert_eq!(known.context["device"], json!({"id": "t7", "enrolled": true}));
    assert_eq!(known.context["request"]["scopes"], json!(["a", "b"]));
    assert_eq!(known.context["request"]["params"], json!({"id": "7"}));
    assert_eq!(known.context["network"], json!({"address": "192.0.2.1"}), "one address has one form");
    assert_eq!(known.subject.properties["username"], "Ann");
    assert_eq!(wrong.context["authentication"], Value::Object(Map::new()));
    assert_eq!(wrong.context["device"], Value::Object(Map::new()));
    assert!(!asked(json!({"sub": "ann"})).context.contains_key("client"));
}
