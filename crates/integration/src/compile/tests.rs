use serde_json::json;

use crate::openapi;
use crate::tests::{compile, composition, faults, input};

#[test]
fn dependencies_are_found_from_what_is_read() {
    let page = composition(
        "
steps:
- name: lines
  request: { service: orders, path: '/lines/${ steps.order.body.id }', query: { u: '${ steps.user.body.id }' } }
- name: order
  request: { service: orders, path: '/orders/${ request.params.id }' }
- name: user
  when: steps.order.ok
  request: { service: users, path: /users/me }
- name: last
  after: [lines]
  request: { service: users, path: /users/last }
- name: free
  request: { service: reviews, path: /reviews }
output: { body: { order: '${ steps.order.body }' } }
",
    );

    let preview = page.preview(None);
    assert_eq!(preview.levels, [vec!["order", "free"], vec!["user"], vec!["lines"], vec!["last"]]);
    assert_eq!(preview.steps[0].waits_for, ["order", "user"]);
    assert_eq!(preview.steps[0].path, "/v1/lines/…");
    assert_eq!(preview.steps[1].path, "/v1/orders/…");
    // Four steps share the ten seconds, the last of the chain has what is left.
    assert_eq!(preview.steps[1].timeout_ms, 2_500);
    assert_eq!(preview.steps[2].runs, None);

    let dry = page.preview(Some(input()));
    assert_eq!(dry.steps[1].path, "/v1/orders/7");
    assert_eq!(dry.steps[0].path, "/v1/lines/…");
    assert_eq!(dry.steps[4].runs, Some(true));
}

#[test]
fn a_cycle_is_refused_and_shown() {
    let step = |name: &str, reads: &str| {
        format!("- {{ name: {name}, request: {{ service: users, path: '/x/${{ steps.{reads}.body }}' }} }}\n")
    };
    let steps = ["steps:\n".to_owned(), step("a", "b"), step("b", "c"), step("c", "a"), step("d", "a")].concat();

    let found = faults(&format!("{steps}output: {{}}\n"));

    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("set.yaml:"), "{found:?}");
    assert!(found[0].ends_with("/spec/steps/0: steps wait for each other: a → b → c → a"), "{found:?}");
    let own = faults(&format!("steps:\n{}output: {{}}\n", step("a", "a")));
    assert!(own[0].ends_with("steps wait for each other: a → a"), "{own:?}");
}

/// One fault, which says all of this.
fn refused(steps: &str, says: &[&str]) {
    let found = faults(&format!("{steps}\noutput: {{}}\n"));
    assert_eq!(found.len(), 1, "{found:#?}");
    for text in says {
        assert!(found[0].contains(text), "`{text}` in {found:?}");
    }
}

#[test]
fn what_cannot_work_is_refused_with_its_place() {
    refused(
        "steps:\n- name: a\n  request: { service: order, path: /x }",
        &["set.yaml:26:16: /spec/steps/0/request/service", "there is no Service `order`, did you mean `orders`?"],
    );
    refused(
        "steps:\n- name: a\n  request: { service: orders, path: '/x/${ steps.b.body }' }",
        &["/spec/steps/0/request/path: at character 7", "there is no `steps.b.body` here"],
    );
    refused("steps:\n- name: a\n  request: { path: /x }", &["exactly one of `service` and `upstream`"]);
    refused("steps:\n- name: a-b\n  request: { service: orders, path: /x }", &["is not a name for a step"]);
    refused(
        "steps:\n- name: a\n  request: { service: orders, path: /x }\n- name: a\n  request: { service: orders, path: /x }",
        &["/spec/steps/1/name", "there are two steps `a`"],
    );
    refused("steps:\n- name: a\n  request: { service: orders, path: /x/../y }", &["`.` or `..` segment"]);
    refused("steps:\n- name: a\n  request: { service: orders, path: '/x?y=1' }", &["/spec/steps/0/request/path"]);
    refused("steps:\n- name: a\n  request: { service: orders, path: /x, method: get }", &["/request/method"]);
    refused(
        "steps:\n- name: a\n  request: { service: orders, path: /x, headers: { Authorization: x } }",
        &["is written by the gateway itself"],
    );
    refused(
        "steps:\n- name: a\n  retries: 1\n  request: { service: orders, path: /x, method: POST }",
        &["/spec/steps/0/retries", "is not idempotent"],
    );
    refused(
        "steps:\n- name: a\n  compensate: { service: orders, path: /x, method: POST }\n  request: { service: orders, path: /x, method: POST }",
        &["/spec/steps/0/compensate/method", "at least once"],
    );
    refused("steps:\n- name: a\n  request: { service: orders, path: /x, body: { a: '${ 1 +' } }", &["/request/body/a"]);
    refused(
        "steps:\n- name: a\n  identity: { exchange: { audience: x } }\n  request: { service: orders, path: /x }",
        &["`from` says which"],
    );
    refused(
        "steps:\n- name: a\n  identity: own\n  request: { service: orders, path: /x }",
        &["`own` is not `forward`"],
    );
    refused(
        "steps:\n- name: a\n  requird: false\n  request: { service: orders, path: /x }",
        &["did you mean `required`?"],
    );
    refused(
        "steps:\n- name: a\n  after: [bb]\n  request: { service: orders, path: /x }",
        &["/after/0", "there is no step `bb`"],
    );
    refused("deadline: 0s", &["/spec/deadline"]);
    assert!(compile("steps:\n- name: a\n  retries: 1\n  request: { service: orders, path: /x, method: POST, idempotencyKey: '${ request.id }' }\noutput: {}").is_ok());
}

#[test]
fn a_member_for_the_report_may_not_meet_one_of_the_answer() {
    let found = faults("output: { body: { parts: 1 } }");
    assert!(found[0].contains("/spec/partial/member"), "{found:?}");
    assert_eq!(faults("output: { body: { parts: 1 } }\npartial: { report: never }"), Vec::<String>::new());
}

#[test]
fn all_faults_are_told_at_once() {
    let found = faults(
        "
steps:
- name: a
  when: claimz.x
  request: { service: nowhere, path: /x }
- name: b
  request: { service: orders, path: y }
output: { status: 99, body: '${ nothing }' }
",
    );
    assert_eq!(found.len(), 5, "{found:#?}");
}

#[test]
fn the_composed_api_describes_itself() {
    let page = composition(
        "
steps:
- name: order
  pass: [404]
  request: { service: orders, path: '/orders/${ request.params.id }', query: { full: '${ request.query.?full }' } }
  when: has(request.headers.accept)
output: { body: { id: '${ request.params.id }', order: '${ steps.order.body }', label: 'n ${ request.params.id }', v: 1 } }
partial: { status: 203 }
",
    );

    let document = openapi("Shop", "https://api.example.com", [&page]);

    let operation = &document["paths"]["/page/{id}"]["get"];
    assert_eq!(operation["operationId"], "page-get");
    let parameters: Vec<_> = operation["parameters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| (p["in"].as_str().unwrap(), p["name"].as_str().unwrap()))
        .collect();
    assert_eq!(parameters, [("path", "id"), ("query", "full")]);
    let schema = &operation["responses"]["200"]["content"]["application/json"]["schema"];
    assert_eq!(schema["properties"]["id"], json!({"type": "string"}));
    assert_eq!(schema["properties"]["order"], json!({}));
    assert_eq!(schema["properties"]["label"], json!({"type": "string"}));
    assert_eq!(schema["properties"]["v"], json!({"const": 1}));
    let statuses: Vec<&String> = operation["responses"].as_object().unwrap().keys().collect();
    assert_eq!(statuses, ["200", "203", "404", "502", "503", "504"]);
}

#[test]
fn the_example_of_the_handbook_compiles() {
    let page = include_str!("../../../../docs/compositions.md");
    let example = page.split("```").nth(1).and_then(|block| block.strip_prefix("yaml\n")).expect("a YAML block");
    let around = "
kind: Issuer
name: main
spec: { issuer: http://localhost:8081, introspection: { as: gateway, secret: file:x } }
---
kind: Upstream
name: pool
spec: { endpoints: [http://127.0.0.1:9] }
";
    let services = ["orders", "customers", "reviews"]
        .map(|name| format!("---\nkind: Service\nname: {name}\nspec: {{ upstream: pool }}\n"));
    let set = catalog::parse("page.yaml", &format!("{around}{}---\n{example}", services.concat())).expect("YAML");
    let snapshot = catalog::Snapshot::compile(&set).expect("services");

    let composition = crate::Composition::compile(set.last().expect("the composition"), &snapshot);

    let levels = composition.map(|composition| composition.preview(None).levels);
    assert_eq!(levels, Ok(vec![vec!["order".to_owned(), "reviews".to_owned()], vec!["customer".to_owned()]]));
}
