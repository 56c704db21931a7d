//! Quick decisions are those of Cedar, question by question; and they are quick where it matters.

use cedar_policy::Authorizer;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{NOW, with};
use crate::quick::{Literals, program};
use crate::{Authentication, Call, CallFacts, Caller, Decision, Device, Engine, Party, Target};

const SCHEMA: &str = "
    entity Record in [Api] { doctor: User, readers?: Set<User>, tags?: Set<String>, level?: Long, folder?: Group };
    type Claims = { tenant?: String, n?: Long, list?: Set<String>, deep?: { a?: Bool } };
    type HttpRequest = { method?: String, path?: String, host?: String, scopes?: Set<String>, params?: { id?: String } };
    action read appliesTo { principal: [User, Client], resource: [Record], context: Facts };
";

const PRINCIPALS: &[&str] = &[
    "principal",
    "principal is User",
    "principal in Group::\"g1\"",
    "principal == User::\"u1\"",
    "principal in Role::\"r0\"",
    "principal is User in Group::\"g0\"",
];
const RESOURCES: &[&str] = &[
    "resource",
    "resource is Record",
    "resource in Api::\"a1\"",
    "resource == Record::\"r1\"",
    "resource is Record in Api::\"a0\"",
];

/// What can stand in a `when`: each is checked against the schema by itself.
const CONDITIONS: &[&str] = &[
    "true",
    "principal == resource.doctor",
    "principal is User && principal in resource.doctor",
    "resource.doctor in Group::\"g0\"",
    "resource.doctor in [Group::\"g1\", Group::\"g2\"]",
    "resource.doctor has department && resource.doctor.department == \"d1\"",
    "resource.doctor has department && resource.doctor.department like \"d*\"",
    "principal is User && principal has department && principal.department like \"*1\"",
    "principal is User && principal has department && [\"d1\", \"d2\"].contains(principal.department)",
    "principal is User && resource has readers && resource.readers.contains(principal)",
    "resource has readers && principal is User && principal in resource.readers",
    "resource has readers && resource.readers == [User::\"u1\", User::\"u2\", User::\"u1\"]",
    "resource has tags && resource.tags.containsAny([\"x\", \"y\"])",
    "resource has tags && resource.tags.containsAll([\"x\"])",
    "resource has tags && [\"x\", \"y\", \"z\"].containsAll(resource.tags)",
    "resource has tags && resource.tags.isEmpty()",
    "resource has level && resource.level > 3",
    "resource has level && resource.level - 9223372036854775807 < 0 - 5",
    "resource has level && resource.level * 4611686018427387904 > 0",
    "resource has level && -resource.level == 3",
    "resource has level && (if resource.level >= 2 then true else resource.level + 1 == 1)",
    "resource has folder && principal in resource.folder",
    "resource has folder && resource.folder in Group::\"g0\"",
    "context has client && context.client == Client::\"c1\"",
    "context has client && context.client in Group::\"g0\"",
    "context has client && context.client has name && context.client.name == \"shop\"",
    "context.claims has tenant && context.claims.tenant == \"t1\"",
    "context.claims has n && context.claims.n + 1 < 4",
    "context.claims has list && context.claims.list.contains(\"x\")",
    "context.claims has deep.a && context.claims.deep.a",
    "context.claims has deep && context.claims.deep has a",
    "context.network has address && context.network.address.isInRange(ip(\"10.20.0.0/16\"))",
    "context.network has address && context.network.address.isIpv6()",
    "context.network has address && (context.network.address.isLoopback() || context.network.address.isMulticast())",
    "context.network has address && context.network.address == ip(\"10.20.1.1\")",
    "context.network has zone",
    "context.network has address && context.network.address.isInRange(ip(\"::ffff:0a14:0101/128\"))",
    "context.time.now > 1767225000 && context.time.hour < 12",
    "context.time.weekday == 4",
    "context.authentication has auth_time && context.time.now - context.authentication.auth_time <= 900",
    "context.authentication has amr && context.authentication.amr.contains(\"otp\")",
    "context.authentication has acr && context.authentication.acr == \"2\"",
    "context.device has enrolled && context.device.enrolled",
    "context.device has owner && context.device.owner == principal",
    "context.request has method && context.request.method == \"GET\"",
    "context.request has path && context.request.path like \"/records/*/x\"",
    "context.request has scopes && context.request.scopes.contains(\"s1\")",
    "context.request has params && context.request.params has id && context.request.params.id == \"r1\"",
    "resource in Api::\"a1\" && resource.doctor != User::\"u1\"",
    "!(resource.doctor is User) || principal is Client",
    "User::\"u1\" in Group::\"g1\"",
    "context.request == context.request",
];

fn policy() -> impl Strategy<Value = String> {
    let pick = |words: &'static [&'static str]| prop::sample::select(words);
    let condition = (any::<bool>(), pick(CONDITIONS))
        .prop_map(|(when, condition)| format!("{} {{ {condition} }}", if when { "when" } else { "unless" }));
    let permit = prop::bool::weighted(0.7);
    (permit, pick(PRINCIPALS), pick(RESOURCES), prop::collection::vec(condition, 0..3)).prop_map(
        |(permit, principal, resource, conditions)| {
            let effect = if permit { "permit" } else { "forbid" };
            format!("{effect} ({principal}, action == Action::\"read\", {resource}) {};", conditions.join(" "))
        },
    )
}

#[derive(Debug, Clone)]
struct Asked {
    party: Party,
    facts: CallFacts,
    record: Party,
    address: &'static str,
    path: &'static str,
    param: &'static str,
}

fn asked() -> impl Strategy<Value = Asked> {
    let subject = (
        0..2_usize,
        0..4_usize,
        any::<bool>(),
        prop::sample::select(vec![json!(null), json!("d1"), json!("e2"), json!(7)]),
    )
        .prop_map(|(kind, who, groups, department)| {
            let party = Party::new(["user", "client"][kind], &format!("u{who}")).property("department", department);
            if groups { party.property("groups", json!(["g2", "g1"])).property("roles", json!("r0")) } else { party }
        });
    let claims = prop::sample::select(vec![
        json!({}),
        json!({"tenant": "t1", "n": 2, "list": ["x"], "deep": {"a": true}, "other": 1}),
        json!({"tenant": "t2", "n": 9_223_372_036_854_775_807_i64, "deep": {}}),
        json!({"tenant": 1}),
    ]);
    let facts = (claims, any::<bool>(), prop::sample::select(vec![None, Some("tablet"), Some("other")]), any::<bool>())
        .prop_map(|(claims, login, device, client)| CallFacts {
            client: client.then(|| "c1".to_owned()),
            authentication: if login {
                Authentication { auth_time: Some(NOW.seconds() - 60), acr: Some("2".into()), amr: vec!["otp".into()] }
            } else {
                Authentication::default()
            },
            device: Device { id: device.map(str::to_owned), enrolled: Some(true), ..Device::default() },
            claims: claims.as_object().cloned().unwrap(),
            request: crate::HttpRequest { scopes: vec!["s1".into()], ..crate::HttpRequest::default() },
            ..CallFacts::default()
        });
    let record = (
        0..5_usize,
        prop::sample::select(vec![
            json!(null),
            json!({"level": 4}),
            json!({"doctor": "u1", "tags": ["x", "y"]}),
            json!({"doctor": "u3", "readers": ["u1", "u2"]}),
        ]),
    )
        .prop_map(|(what, properties)| {
            let mut party = Party::new("record", &format!("r{what}"));
            party.properties = properties.as_object().cloned().unwrap_or_default();
            party
        });
    let addresses =
        prop::sample::select(vec!["10.20.1.1", "::ffff:10.20.1.1", "127.0.0.1", "2001:db8::1", "224.0.0.1"]);
    let paths = prop::sample::select(vec!["/records/1/x", "/records/x", "/"]);
    (subject, facts, record, addresses, paths, prop::sample::select(vec!["r1", "r2"]))
        .prop_map(|(party, facts, record, address, path, param)| Asked { party, facts, record, address, path, param })
}

fn engine(policies: &[String]) -> Engine {
    let text: Vec<String> = policies.iter().enumerate().map(|(n, policy)| format!("@id(\"{n}\") {policy}")).collect();
    let entities = json!([
        {"type": "User", "id": "u1", "parents": [{"type": "Group", "id": "g1"}], "attributes": {"department": "d1"}},
        {"type": "User", "id": "u2", "parents": [{"type": "Group", "id": "g2"}, {"type": "Role", "id": "r0"}]},
        {"type": "Group", "id": "g1", "parents": [{"type": "Group", "id": "g0"}]},
        {"type": "Client", "id": "c1", "parents": [{"type": "Group", "id": "g1"}], "attributes": {"name": "shop"}},
        {"type": "Device", "id": "tablet", "attributes": {"owner": "u1", "enrolled": true}},
        {"type": "Record", "id": "r1", "parents": [{"type": "Api", "id": "a1"}],
         "attributes": {"doctor": "u1", "readers": ["u2", "u9"], "tags": ["x"], "level": 3, "folder": "g1"}},
        {"type": "Record", "id": "r2", "parents": [{"type": "Api", "id": "a0"}], "attributes": {"doctor": "u2", "tags": []}},
        {"type": "Record", "id": "r3", "attributes": {"doctor": "u9", "readers": ["u1", "u2"], "level": -3, "folder": "g9"}},
    ]);
    with(&text.join("\n"), SCHEMA, entities)
}

fn prepare(engine: &Engine, asked: &Asked) -> (Caller, Target) {
    let caller = engine.caller(asked.party.clone(), "read", &asked.facts);
    (caller, engine.target(asked.record.clone(), "read", &["id"]))
}

fn call<'a>(asked: &'a Asked, params: &'a [(&'a str, &'a str)]) -> Call<'a> {
    let address = asked.address.parse().unwrap();
    Call { address, method: "GET", path: asked.path, host: "api.test", params, now: NOW }
}

/// As it is decided about calls, whether quickly, and as Cedar decides.
fn both(engine: &Engine, asked: &Asked) -> (Decision, bool, Decision) {
    let (caller, target) = prepare(engine, asked);
    let params = [("id", asked.param)];
    let call = call(asked, &params);
    let quick = engine.quick(&caller, &target, &call).is_ok();
    let question = engine.question(&caller, &target, &call);
    (engine.decide_call(&caller, &target, &call), quick, engine.decide(&question))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, max_shrink_iters: 100, ..ProptestConfig::default() })]

    #[test]
    fn a_quick_decision_is_the_one_of_cedar(
        policies in prop::collection::vec(policy(), 1..12),
        asked in prop::collection::vec(asked(), 24),
    ) {
        let engine = engine(&policies);
        for asked in &asked {
            let (ours, _, cedars) = both(&engine, asked);
            prop_assert_eq!(ours, cedars, "{:?}", asked);
        }
    }

    /// Policy by policy: where the walk is sure, Cedar says the same of this policy alone.
    #[test]
    fn each_policy_applies_where_it_does_for_cedar(
        more in prop::collection::vec(policy(), 20),
        asked in prop::collection::vec(asked(), 12),
    ) {
        let each = CONDITIONS.iter().map(|condition| permit(condition));
        let all = each.chain(more).filter(|policy| !SLOW.iter().any(|slow| policy.contains(slow)));
        let engine = engine(&all.collect::<Vec<_>>());
        let (mut sure, mut unsure) = (0, 0);
        for asked in &asked {
            let (caller, target) = prepare(&engine, asked);
            let params = [("id", asked.param)];
            let call = call(asked, &params);
            let question = engine.question(&caller, &target, &call);
            let Ok(given) = engine.ask(&question) else {
                prop_assert!(engine.quick(&caller, &target, &call).is_err());
                continue;
            };
            let walked = engine.walk(&caller, &target, &call, |program, applies| {
                let policy = engine.policies().policies.values().find(|one| one.info.id == program.info.id).unwrap();
                match applies {
                    Ok(applies) => {
                        let set = cedar_policy::PolicySet::from_policies([policy.policy.clone()]).unwrap();
                        let answer = Authorizer::new().is_authorized(&given.request, &set, &given.entities);
                        let errors: Vec<_> = answer.diagnostics().errors().map(ToString::to_string).collect();
                        assert_eq!(errors, [""; 0], "{} {asked:?}", program.info.id);
                        assert_eq!(applies, answer.diagnostics().reason().next().is_some(), "{} {asked:?}", policy.policy);
                        sure += 1;
                    }
                    Err(_) => unsure += 1,
                }
                Ok(())
            });
            prop_assert!(walked.is_ok(), "{asked:?}");
        }
        prop_assert!(sure + unsure == 0 || sure > unsure * 10, "{} sure, {} unsure", sure, unsure);
    }
}

#[test]
fn conditions_that_people_write_are_decided_quickly() {
    let engine = engine(&CONDITIONS.iter().map(|one| permit(one)).collect::<Vec<_>>());
    let policies = engine.policies();

    let slow: Vec<&str> = CONDITIONS
        .iter()
        .enumerate()
        .filter(|(n, _)| {
            let policy = &policies.policies[&cedar_policy::PolicyId::new(n.to_string())];
            program(&policy.policy, &policy.info, &policies.shapes, &mut Literals::default()).is_none()
        })
        .map(|(_, condition)| *condition)
        .collect();

    assert_eq!(slow, SLOW);
}

fn permit(condition: &str) -> String {
    format!("permit (principal, action == Action::\"read\", resource) when {{ {condition} }};")
}

/// What a policy names need not be gathered; an address in a form that has another.
const SLOW: &[&str] = &[
    "context.network has address && context.network.address.isInRange(ip(\"::ffff:0a14:0101/128\"))",
    "User::\"u1\" in Group::\"g1\"",
];

#[test]
fn what_another_engine_prepared_is_not_used() {
    let permit = engine(&["permit (principal, action, resource);".to_owned()]);
    let forbid = engine(&["forbid (principal, action, resource);".to_owned()]);
    let caller = permit.caller(Party::new("user", "u1"), "read", &CallFacts::default());
    let target = permit.target(Party::new("record", "r1"), "read", &[]);
    let call = Call { address: [127, 0, 0, 1].into(), method: "GET", path: "/", host: "h", params: &[], now: NOW };

    assert!(permit.decide_call(&caller, &target, &call).allow);
    assert!(permit.quick(&caller, &target, &call).is_ok());
    assert!(!forbid.decide_call(&caller, &target, &call).allow);
    assert!(forbid.quick(&caller, &target, &call).is_err());
}

#[test]
fn circles_and_own_words_for_our_facts_are_left_to_cedar() {
    let all = "permit (principal, action, resource);";
    let decide = |schema: &str, entities: Value| {
        let engine = with(all, schema, entities);
        let caller = engine.caller(Party::new("user", "u1"), "call", &CallFacts::default());
        let target = engine.target(Party::new("operation", "o1"), "call", &[]);
        let call = Call { address: [127, 0, 0, 1].into(), method: "GET", path: "/", host: "h", params: &[], now: NOW };
        let quick = engine.quick(&caller, &target, &call).is_ok();
        (
            engine.decide_call(&caller, &target, &call).allow,
            quick,
            engine.decide(&engine.question(&caller, &target, &call)).allow,
        )
    };
    let circle = json!([
        {"type": "Group", "id": "a", "parents": [{"type": "Group", "id": "b"}]},
        {"type": "Group", "id": "b", "parents": [{"type": "Group", "id": "a"}]},
        {"type": "User", "id": "u1", "parents": [{"type": "Group", "id": "a"}]},
    ]);

    assert_eq!(decide("", json!([])), (true, true, true));
    assert_eq!(decide("", circle), (false, false, false));
    let (ours, quick, cedars) = decide("type Network = { address?: Long };", json!([]));
    assert_eq!((ours, quick, cedars), (false, false, false), "an address is no number");
    let (ours, quick, cedars) = decide("type HttpRequest = { tenant: String };", json!([]));
    assert_eq!((ours, quick, cedars), (false, false, false), "nobody tells the tenant");
}
