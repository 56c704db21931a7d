//! Answers without a backend: they are made here, and everything before them holds as for a service.

use serde_json::{Value, json};

use super::House;
use super::house::RESOURCES;

const ANSWERS: &str = "---
kind: Route
name: motd
spec:
  match: { path: '/motd/{who}', methods: [GET] }
  auth: none
  cors: { origins: [https://app.test] }
  answer: { status: 203, headers: { cache-control: max-age=60 }, body: { hello: '${ request.params.who }', costs: '$${5}' } }
---
kind: Route
name: me
spec:
  match: { path: /me }
  service: orders
  auth: { issuer: main, scopes: [orders_read] }
  answer: { text: 'You are ${ claims.sub }.' }
---
kind: Route
name: parcels
spec:
  match: { path: /parcels }
  auth: none
  mock:
    examples:
    - { name: two, body: [{ id: '${ not.a.template }' }, { id: 2 }], headers: { x-total: '2' } }
    - { name: none, body: [] }
    - { name: gone, status: 410, text: gone }
";

fn house() -> House {
    House::with(&format!("{RESOURCES}{ANSWERS}"))
}

fn body(sent: &super::Sent) -> Value {
    serde_json::from_slice(sent.answer().body()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_made_from_the_request_alone() {
    let house = house();

    let sent = house.get("/motd/%C3%84nne", &[("origin", "https://app.test")]).await;

    assert_eq!((sent.status(), body(&sent)), (203, json!({"hello": "Änne", "costs": "${5}"})));
    assert_eq!(sent.field("content-type"), "application/json");
    assert_eq!(sent.field("cache-control"), "max-age=60");
    assert_eq!(sent.field("access-control-allow-origin"), "https://app.test");
    assert!(sent.field("cardea-parts").is_empty());
    assert_eq!(sent.exchange.route.as_deref(), Some("motd"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_in_the_place_of_a_service_asks_for_what_the_service_would() {
    let house = house();

    assert_eq!(house.get("/me", &[]).await.status(), 401);
    let sent = house.get("/me", &[("authorization", "Bearer opaque-token-0001")]).await;

    assert_eq!((sent.status(), sent.answer().body().as_ref()), (200, b"You are alice.".as_slice()));
    assert_eq!(sent.exchange.service.as_deref(), Some("orders"));
    assert_eq!(sent.exchange.client_id.as_deref(), Some("shop"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mock_gives_the_example_that_is_preferred_or_the_first() {
    let house = house();
    let first = json!([{"id": "${ not.a.template }"}, {"id": 2}]);

    for (prefer, status, applied) in [
        ("", 200, ""),
        ("example=none", 200, "example=none"),
        ("respond-async, Example = \"none\"; x=y", 200, "example=none"),
        ("code=410", 410, "code=410"),
        ("example=nothing", 200, ""),
        ("example=nothing, code=410", 410, "code=410"),
        ("code=999", 200, ""),
    ] {
        let sent = house.get("/parcels", &[("prefer", prefer)]).await;

        assert_eq!((sent.status(), sent.field("preference-applied")), (status, applied), "{prefer}");
        assert_eq!(sent.field("vary"), "Prefer");
        match applied {
            "" => assert_eq!((body(&sent), sent.field("x-total")), (first.clone(), "2")),
            "example=none" => assert_eq!(body(&sent), json!([])),
            _ => assert_eq!(sent.answer().body().as_ref(), b"gone"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_an_answer_is_refused() {
    let house = house();
    let route =
        |rest: &str| format!("{RESOURCES}---\nkind: Route\nname: x\nspec: {{ match: {{ path: /x }}, {rest} }}\n");
    for (rest, reason) in [
        ("auth: none", "one of `service`, `answer` and `mock` is needed"),
        ("auth: none, answer: {}, mock: { examples: [{ name: a }] }", "exclude each other"),
        ("auth: none, answer: {}, rewrite: { path: /y }", "there is no path to write anew"),
        ("auth: { issuer: main }, answer: {}", "`audience` is missing"),
        ("auth: none, service: orders, audience: a, answer: {}", "the service says whom"),
        ("auth: none, answer: { status: 100 }", "100 is not a status of an answer"),
        ("auth: none, answer: { headers: { connection: close } }", "is written by the gateway itself"),
        ("auth: none, answer: { body: { a: '${ steps.a.body }' } }", "steps"),
        ("auth: none, mock: { examples: [] }", "at least one example"),
        ("auth: none, mock: { examples: [{ name: a }, { name: a }] }", "there are two examples `a`"),
        ("auth: none, mock: { examples: [{ name: 'a b' }] }", "is not a name for an example"),
        ("auth: none, mock: { examples: [{ name: a, body: 1, text: a }] }", "exclude each other"),
        ("auth: none, mock: { examples: [{ name: a, headers: { x: \"a\\nb\" } }] }", "holds one line"),
    ] {
        std::fs::write(house.file(), route(rest)).unwrap();

        let faults = house.gateway.reload().unwrap_err();

        assert!(faults.iter().any(|fault| fault.to_string().contains(reason)), "{rest}: {faults:?}");
        assert!(faults[0].to_string().contains("set.yaml:"));
    }
}

const METERED: &str = r#"---
kind: Api
name: orders
spec: { title: Orders, version: "1" }
---
kind: Plan
name: small
spec: { title: Small, apis: [orders], quota: { requests: 2, per: day } }
---
kind: Subscription
name: s1
spec: { client: shop, plan: small }
---
kind: Composition
name: page
spec:
  match: { path: '/page/{id}' }
  api: orders
  operation: readPage
  auth: { issuer: main, scopes: [orders_read] }
  audience: https://orders.internal
  steps: [{ name: order, request: { service: orders, path: '/${ request.params.id }' } }]
  output: {}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn compositions_and_own_answers_are_calls_of_their_api_as_any_other() {
    let ledger = super::ledger::Ledger::new();
    let resources = RESOURCES.replace("spec: { upstream: pool,", "spec: { upstream: pool, api: orders,");
    let house = House::managed(&format!("{resources}{ANSWERS}{METERED}"), &ledger);
    let bearer = [("authorization", "Bearer opaque-token-0001")];

    let answered = house.get("/me", &bearer).await;
    // There is no backend in this house: that takes nothing of the quota.
    let failed = house.get("/page/1", &bearer).await;
    let stranger = house.get("/page/1", &[]).await;
    let last = house.get("/me", &bearer).await;
    let over = house.get("/page/1", &bearer).await;

    ledger.until(|books| books.records.len() == 5).await;
    let books = ledger.books();
    let told = |sent: &super::Sent| {
        let record = books.records.iter().find(|record| record.id == sent.exchange.request_id.as_str()).unwrap();
        (record.operation.clone(), record.status, record.reason.clone(), record.units, record.plan.clone())
    };
    let plan = || Some("small".to_owned());
    assert_eq!(told(&answered), ("me".to_owned(), 200, None, 1, plan()));
    assert_eq!(told(&failed), ("readPage".to_owned(), 502, Some("part_unreachable".to_owned()), 0, plan()));
    assert_eq!(told(&stranger), ("readPage".to_owned(), 401, Some("token_missing".to_owned()), 0, None));
    assert_eq!(told(&last).3, 1);
    assert_eq!(told(&over), ("readPage".to_owned(), 429, Some("quota_exceeded".to_owned()), 0, plan()));
}
