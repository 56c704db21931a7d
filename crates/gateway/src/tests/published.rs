//! What management publishes: in force at once, refused whole, kept over restarts.

use catalog::published::{Document, Published, PublishedSubscription};
use serde_json::{Value, json};

use super::House;
use super::house::{RESOURCES, TOKEN};
use super::ledger::Ledger;

fn document(kind: &str, name: &str, spec: Value) -> Document {
    Document { kind: kind.to_owned(), name: name.to_owned(), spec }
}

/// An API with a route and a plan; the issuer is the gateway's own.
fn published(version: u64, requests: u64) -> Published {
    let resources = vec![
        document("Api", "parts", json!({"title": "Parts", "version": "1"})),
        document(
            "Plan",
            "free",
            json!({"title": "Free", "apis": ["parts"], "quota": {"requests": requests, "per": "day"}}),
        ),
        document(
            "Service",
            "parts",
            json!({"upstream": "pool", "api": "parts", "audience": "https://orders.internal"}),
        ),
        document(
            "Route",
            "parts",
            json!({"match": {"path": "/parts"}, "service": "parts", "auth": {"issuer": "main"}}),
        ),
    ];
    let subscription = PublishedSubscription {
        id: "1".to_owned(),
        client: "shop".to_owned(),
        plan: "free".to_owned(),
        organisation: "acme".to_owned(),
    };
    Published { version, resources, subscriptions: vec![subscription] }
}

async fn call(house: &House) -> u16 {
    house.get("/parts", &[("authorization", &format!("Bearer {TOKEN}"))]).await.status()
}

async fn serving(ledger: &Ledger, version: u64) {
    ledger
        .until(|books| {
            books.last.as_ref().is_some_and(|(serving, refused)| *serving == Some(version) && refused.is_none())
        })
        .await;
}

#[tokio::test]
async fn what_is_published_is_served_beside_the_gateways_own() {
    let ledger = Ledger::new();
    let house = House::managed(RESOURCES, &ledger);
    assert_eq!(call(&house).await, 404);

    ledger.publish(published(1, 1));
    serving(&ledger, 1).await;

    assert_eq!((call(&house).await, call(&house).await), (200, 429));
    assert_eq!(house.call(TOKEN).await.status(), 200);
    ledger.publish(published(2, 2));
    serving(&ledger, 2).await;
    assert_eq!((call(&house).await, call(&house).await), (200, 429));
}

#[tokio::test]
async fn a_bad_set_is_refused_whole_and_management_is_told() {
    let ledger = Ledger::new();
    let house = House::managed(RESOURCES, &ledger);
    ledger.publish(published(1, 5));
    serving(&ledger, 1).await;

    let mut bad = published(2, 5);
    bad.resources[2].spec["upstream"] = json!("nope");
    ledger.publish(bad);
    ledger.until(|books| books.last.as_ref().is_some_and(|last| last.1.is_some())).await;

    let (serving, refused) = ledger.books().last.clone().unwrap();
    assert_eq!(serving, Some(1));
    assert_eq!(
        refused.unwrap(),
        "version 2 is refused; published Service/parts: /spec/upstream: there is no Upstream `nope`"
    );
    assert_eq!(call(&house).await, 200);
    let check = house.gateway.ready().checks.into_iter().find(|check| check.name == "published").unwrap();
    assert!(!check.ok && check.detail.starts_with("version 1 is served; version 2 is refused"), "{check:?}");
}

#[tokio::test]
async fn an_older_set_than_the_one_that_is_served_brings_nothing_back() {
    let ledger = Ledger::new();
    let mut house = House::managed(RESOURCES, &ledger);
    let mut newer = published(7, 5);
    newer.subscriptions.clear();
    ledger.publish(newer);
    serving(&ledger, 7).await;
    assert_eq!(call(&house).await, 403);

    for restart in [false, true] {
        if restart {
            house.restart();
            ledger.books().last = None;
        }
        ledger.publish(published(6, 5));
        ledger.until(|books| books.last.as_ref().is_some_and(|last| last.1.is_some())).await;
        let (serving, refused) = ledger.books().last.clone().unwrap();
        assert_eq!(serving, Some(7));
        assert!(refused.unwrap().starts_with("version 6 is older than version 7"));
        assert_eq!(call(&house).await, 403, "the subscription has ended");
    }
    ledger.publish(published(8, 5));
    serving(&ledger, 8).await;
    assert_eq!(call(&house).await, 200);
}

#[tokio::test]
async fn what_was_good_is_served_after_a_restart_without_management() {
    let ledger = Ledger::new();
    let mut house = House::managed(RESOURCES, &ledger);
    ledger.publish(published(7, 5));
    serving(&ledger, 7).await;
    assert_eq!(call(&house).await, 200);

    ledger.down(true);
    house.restart();
    assert_eq!(call(&house).await, 200);
    // Also when its own resources have been spoilt meanwhile.
    std::fs::write(house.file(), "kind: Nonsense").unwrap();
    house.restart();
    assert_eq!(call(&house).await, 200);
}

#[tokio::test]
async fn management_says_nothing_about_issuers_and_foreign_secrets() {
    let ledger = Ledger::new();
    let _house = House::managed(RESOURCES, &ledger);
    let with = |kind: &str, spec: Value| {
        let mut set = published(1, 5);
        set.resources.push(document(kind, "x", spec));
        set
    };
    let composition = |secret: &str| {
        json!({"match": {"path": "/c"}, "auth": "none", "output": {},
            "tokens": {"t": {"endpoint": "https://evil.test/token", "as": "x", "secret": secret}}})
    };
    for (number, mut set) in [
        with("Issuer", json!({"issuer": "https://evil.test", "jwks": {}})),
        with("Subscription", json!({"client": "evil", "plan": "free"})),
        with("Upstream", json!({"endpoints": ["https://a.test"], "tls": {"ca": "file:/etc/shadow"}})),
        with("Composition", composition("file:gateway.secret")),
        with("Composition", composition("file:published/../gateway.secret")),
        with("Composition", composition("env:SECRET")),
    ]
    .into_iter()
    .enumerate()
    {
        set.version = 10 + u64::try_from(number).unwrap();
        let told = format!("version {} is refused", set.version);
        ledger.publish(set);
        ledger
            .until(|books| {
                books.last.as_ref().is_some_and(|last| last.1.as_ref().is_some_and(|text| text.starts_with(&told)))
            })
            .await;
        let refused = ledger.books().last.clone().unwrap().1.unwrap();
        assert!(refused.contains("/kind: ") || refused.contains("refers to secrets as"), "{refused}");
    }
}

#[tokio::test]
async fn a_set_that_was_refused_for_the_gateways_own_fault_is_taken_when_that_is_mended() {
    let ledger = Ledger::new();
    let own = format!(
        "{RESOURCES}---\nkind: Route\nname: parts\nspec: {{ match: {{ path: /other }}, service: orders, auth: none }}\n"
    );
    let house = House::managed(&own, &ledger);
    ledger.publish(published(3, 5));
    ledger.until(|books| books.last.as_ref().is_some_and(|last| last.1.is_some())).await;
    assert_eq!(call(&house).await, 404);

    std::fs::write(house.file(), RESOURCES).unwrap();
    house.gateway.reload().unwrap();
    // The next answer of any kind is the occasion.
    ledger.publish(published(4, 5));
    serving(&ledger, 4).await;
    assert_eq!(call(&house).await, 200);
}
