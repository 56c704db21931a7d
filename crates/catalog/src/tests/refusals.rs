use super::{SKETCH, resources};
use crate::{Snapshot, parse};

/// The faults of a set, as a user reads them.
fn faults(text: &str) -> Vec<String> {
    let faults = match parse("set.yaml", text) {
        Ok(set) => match Snapshot::compile(&set) {
            Ok(_) => Vec::new(),
            Err(faults) => faults,
        },
        Err(faults) => faults,
    };
    faults.iter().map(ToString::to_string).collect()
}

/// The sketch with one thing replaced.
fn with(from: &str, to: &str) -> Vec<String> {
    assert!(SKETCH.contains(from), "{from}");
    faults(&SKETCH.replacen(from, to, 1))
}

#[test]
fn an_unknown_key_is_named_with_its_place_and_a_guess() {
    assert_eq!(
        with("methods: [GET]", "method: [GET]"),
        ["set.yaml:11:38: /spec/match/method: unknown key `method`, did you mean `methods`?"]
    );
    assert_eq!(with("maxTtl", "ttl").len(), 1);
    assert_eq!(
        with("name: main", "nane: main"),
        ["set.yaml:2:1: /nane: unknown key `nane`, did you mean `name`?", "set.yaml:1:1: /name: `name` is missing",]
    );
}

#[test]
fn an_unknown_kind_or_reference_is_named_with_a_guess() {
    assert_eq!(
        with("kind: Service", "kind: Servce")[0],
        "set.yaml:5:1: /kind: unknown kind `Servce`, did you mean `Service`?"
    );
    assert_eq!(
        with("upstream: orders-pool", "upstream: order-pool")[0],
        "set.yaml:7:9: /spec/upstream: there is no Upstream `order-pool`, did you mean `orders-pool`?"
    );
    assert!(with("issuer: main", "issuer: mian")[0].ends_with("there is no Issuer `mian`, did you mean `main`?"));
}

#[test]
fn a_literal_secret_is_refused_and_not_repeated() {
    let faults = with("secret: file:gateway.secret", "secret: hunter2");

    assert_eq!(faults.len(), 1);
    assert!(faults[0].contains("/spec/introspection/secret"), "{}", faults[0]);
    assert!(faults[0].contains("file:path"), "{}", faults[0]);
    assert!(!faults[0].contains("hunter2"), "{}", faults[0]);
}

#[test]
fn a_route_without_auth_is_refused() {
    let faults = with(", auth: { issuer: main, scopes: [orders_read] }", "");

    assert_eq!(faults, ["set.yaml:11:1: /spec/auth: `auth` is missing"]);
}

#[test]
fn all_faults_of_a_set_are_told() {
    let text = "kind: Route\nname: r\nspec:\n  match: { path: 'orders', methods: [get], bogus: 1 }\n  servce: orders\n  auth: maybe\n  limits: { timeout: 5 }\n---\nkind: Upstream\nname: u\nspec: { endpoints: [ftp://x], maxConcurrent: many }\n";

    let faults = faults(text);

    insta::assert_snapshot!(faults.join("\n"), @r"
    set.yaml:4:44: /spec/match/bogus: unknown key `bogus`; known here: path, methods, hosts
    set.yaml:5:3: /spec/servce: unknown key `servce`, did you mean `service`?
    set.yaml:6:3: /spec/auth: `maybe` is not `none`, nor a map with `issuer`
    set.yaml:7:13: /spec/limits/timeout: expected a duration with a unit, such as `300s`, `5m` or `250ms`, found a number
    set.yaml:11:21: /spec/endpoints/0: `ftp://x` is not an http or https URL
    set.yaml:11:31: /spec/maxConcurrent: expected a whole number, found text
    ");
}

#[test]
fn each_wrong_value_is_refused() {
    for (from, to) in [
        ("maxTtl: 300s", "maxTtl: 300"),
        ("maxTtl: 300s", "maxTtl: 300 parsecs"),
        ("maxLag: 5s", "maxLag: 0s"),
        ("maxTtl: 300s", "maxTtl: 99999999999999999999s"),
        ("issuer: http://localhost:8081", "issuer: localhost:8081"),
        ("issuer: http://localhost:8081", "issuer: http://u:p@localhost:8081"),
        ("issuer: http://localhost:8081", "issuer: http://localhost:8081/#f"),
        ("issuer: http://localhost:8081", "issuer: http://localhost:8081?a=b"),
        ("introspection: {", "jwks: {}, introspection: {"),
        ("/orders/{id}", "/orders/{id"),
        ("/orders/{id}", "/orders/x{id}"),
        ("/orders/{id}", "/{rest...}/a"),
        ("/orders/{id}", "/{a}/{a}"),
        ("/orders/{id}", "/a//b"),
        ("/orders/{id}", "/a/../b"),
        ("/orders/{id}", "/a%2fb"),
        ("[GET]", "[get]"),
        ("[GET]", "[CONNECT]"),
        ("[orders_read]", "['a b']"),
        ("[orders_read]", "[1]"),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000/base"),
        ("[http://127.0.0.1:9000]", "[]"),
        ("[http://127.0.0.1:9000]", "[{ url: 'http://h', wieght: 2 }]"),
        (", audience: https://orders.internal", ""),
        ("name: orders-read", "name: ../x"),
        ("name: orders-read", "name: ''"),
        ("spec: { upstream", "spec: [ { upstream"),
        ("auth: { issuer: main", "cors: { origins: ['*'], credentials: true }, auth: { issuer: main"),
        ("auth: { issuer: main", "cors: { origins: ['https://a.test/'] }, auth: { issuer: main"),
        ("methods: [GET]", "methods: [GET], hosts: ['a.test:80']"),
        ("service: orders,", "service: orders, rewrite: { path: '/{nope}' },"),
    ] {
        assert!(!with(from, to).is_empty(), "{to} was taken");
    }
}

#[test]
fn two_resources_of_one_name_are_refused() {
    let twice = format!("{SKETCH}---\n{}", SKETCH.split("---\n").nth(1).unwrap());

    assert_eq!(faults(&twice), ["set.yaml:18:1: /name: Service `orders` is already there, in set.yaml:5:1"]);
}

#[test]
fn what_is_no_yaml_is_refused_with_its_place() {
    let faults = faults("kind: Route\nname: [\n");

    assert_eq!(faults.len(), 1);
    assert!(faults[0].starts_with("set.yaml:"), "{}", faults[0]);
}

#[test]
fn a_key_that_stands_twice_is_refused() {
    assert_eq!(with("name: main", "name: main\nname: other").len(), 1);
}

#[test]
fn kinds_of_the_identity_system_pass_through() {
    let set = resources("kind: Client\nname: shop\nspec: { redirectUris: [https://shop.test/cb], grants: 2 }\n");

    assert_eq!(set[0].spec, serde_json::json!({"redirectUris": ["https://shop.test/cb"], "grants": 2}));
    assert!(Snapshot::compile(&set).is_ok());
}

#[test]
fn each_kind_has_a_schema_that_knows_its_keys() {
    for (kind, schema) in crate::schemas() {
        assert_eq!(schema["properties"]["kind"]["const"], kind);
        assert_eq!(schema["properties"]["spec"]["additionalProperties"], false, "{kind}");
    }
}

#[test]
fn hostile_yaml_is_refused_or_taken_without_harm() {
    let deep = format!("kind: Client\nname: x\nspec: {}1{}", "[".repeat(5_000), "]".repeat(5_000));
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\n";

    assert!(!faults(&deep).is_empty());
    assert!(!faults(bomb).is_empty());
    for text in ["", "---\n---\n", "null", "[]", "1", "\u{feff}", "kind: {}\nname: []\nspec: 1", "!!binary x"] {
        let _ = faults(text);
    }
}
