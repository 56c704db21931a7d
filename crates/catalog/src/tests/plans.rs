use serde_json::json;

use super::{SKETCH, resources};
use crate::published::{Document, Published, PublishedSubscription};
use crate::usage::{Outcome, Total, UsageAnswer, UsageBatch, UsageRecord, Way};
use crate::{Fault, Needed, PlanSpec, Snapshot};

const PLANS: &str = r#"---
kind: Api
name: orders
spec: { title: Orders, version: "1.4.0", lifecycle: deprecated, deprecatedAt: 2026-01-01T00:00:00Z, sunsetAt: 2027-01-01T00:00:00Z }
---
kind: Api
name: echo
spec: { title: Echo, version: "1", subscription: optional }
---
kind: Plan
name: free
spec: { title: Free, apis: [orders, echo], rate: { requests: 60, per: 1m }, quota: { requests: 10000, per: month }, price: { currency: EUR, monthly: "9.00", tiers: [{ upTo: 10000, unit: "0" }, { upTo: 100000, unit: "0.001" }, { unit: "0.0005" }] } }
---
kind: Plan
name: echo-only
spec: { title: Echo, apis: [echo], mode: shadow }
---
kind: Subscription
name: s1
spec: { client: shop, plan: free }
"#;

fn text() -> String {
    SKETCH.replace("upstream: orders-pool,", "upstream: orders-pool, api: orders,") + PLANS
}

/// The faults of the good set with one thing replaced.
fn with(from: &str, to: &str) -> Vec<String> {
    let text = text();
    assert!(text.contains(from), "{from}");
    let faults = match crate::parse("set.yaml", &text.replacen(from, to, 1)) {
        Ok(set) => Snapshot::compile(&set).err().unwrap_or_default(),
        Err(faults) => faults,
    };
    faults.iter().map(Fault::to_string).collect()
}

fn published(id: &str, client: &str, plan: &str) -> PublishedSubscription {
    PublishedSubscription { id: id.into(), client: client.into(), plan: plan.into(), organisation: "acme".into() }
}

#[test]
fn a_client_leads_to_its_plan() {
    let snapshot = Snapshot::compile(&resources(&text())).unwrap();
    let plan_of = |api: &str, client: &str| {
        let api = snapshot.api(api).unwrap();
        snapshot.subscription(api, client).map(|found| found.plan.name.to_string())
    };

    assert_eq!(plan_of("orders", "shop").as_deref(), Some("free"));
    assert_eq!(plan_of("echo", "shop").as_deref(), Some("free"));
    assert_eq!(plan_of("orders", "other"), None);
    let route = &snapshot.routes[0];
    assert_eq!(route.api.as_ref().unwrap().name.as_ref(), "orders");
    assert_eq!(route.operation.as_ref(), "orders-read");
}

#[test]
fn two_subscriptions_of_a_client_to_one_api_are_refused() {
    let second = format!("{}---\nkind: Subscription\nname: s2\nspec: {{ client: shop, plan: echo-only }}\n", text());

    let faults = Snapshot::compile(&resources(&second)).unwrap_err();

    assert_eq!(faults.len(), 1);
    assert!(faults[0].message.contains("client `shop` is subscribed to API `echo` already, by `s1`"), "{}", faults[0]);
}

#[test]
fn of_published_subscriptions_the_newest_holds_and_files_before_them() {
    let set = resources(&text());
    let forward =
        [published("02", "app", "echo-only"), published("01", "app", "free"), published("03", "shop", "free")];
    let mut backward = forward.clone();
    backward.reverse();
    for subscriptions in [forward, backward] {
        let snapshot = Snapshot::compile_published(&set, &subscriptions).unwrap();
        let id = |api: &str, client: &str| {
            snapshot.subscription(snapshot.api(api).unwrap(), client).map(|found| found.id.to_string())
        };

        assert_eq!(id("echo", "app").as_deref(), Some("02"));
        assert_eq!(id("orders", "app").as_deref(), Some("01"));
        assert_eq!(id("orders", "shop").as_deref(), Some("s1"));
    }
}

#[test]
fn a_published_subscription_to_an_unknown_plan_is_refused() {
    let faults = Snapshot::compile_published(&resources(&text()), &[published("1", "app", "fre")]).unwrap_err();

    assert_eq!(faults[0].to_string(), "published subscription 1: /plan: there is no Plan `fre`, did you mean `free`?");
}

#[test]
fn each_wrong_plan_or_api_is_refused() {
    assert_eq!(with("title: Orders", "title: Order"), Vec::<String>::new());
    for (from, to) in [
        ("api: orders,", "api: order,"),
        ("apis: [orders, echo]", "apis: [orders, ecco]"),
        ("apis: [orders, echo]", "apis: [orders, orders]"),
        ("apis: [orders, echo]", "apis: []"),
        ("requests: 60,", "requests: 0,"),
        ("requests: 60,", "requests: 60, burst: 0,"),
        ("requests: 60,", "requests: -1,"),
        ("requests: 60,", "requests: 10000001,"),
        ("per: 1m", "per: 0s"),
        ("per: 1m", "per: 2d"),
        ("requests: 10000", "requests: 0"),
        ("per: month", "per: year"),
        ("currency: EUR", "currency: euro"),
        ("\"9.00\"", "9.00"),
        ("\"9.00\"", "\"9,00\""),
        ("\"9.00\"", "\"-9.00\""),
        ("\"0.0005\"", "\"0.0000005\""),
        ("upTo: 100000,", "upTo: 10000,"),
        ("upTo: 100000,", ""),
        ("{ unit: \"0.0005\" }", "{ upTo: 200000, unit: \"0.0005\" }"),
        ("mode: shadow", "mode: off"),
        ("lifecycle: deprecated", "lifecycle: active"),
        ("lifecycle: deprecated", "lifecycle: old"),
        ("sunsetAt: 2027", "sunsetAt: 2025"),
        ("2026-01-01T00:00:00Z", "yesterday"),
        ("title: Orders", "title: ' '"),
        ("version: \"1.4.0\"", "version: 1.4"),
        ("client: shop", "client: ''"),
        ("plan: free", "plan: fre"),
    ] {
        assert_eq!(with(from, to).len(), 1, "{from} -> {to}: {:?}", with(from, to));
    }
}

#[test]
fn an_api_of_a_composition_must_be_there() {
    let text = |api: &str| {
        format!(
            "{}---\nkind: Composition\nname: c\nspec: {{ match: {{ path: /c }}, auth: none, api: {api}, output: {{}} }}\n",
            self::text()
        )
    };

    assert!(Snapshot::compile(&resources(&text("echo"))).is_ok());
    assert_eq!(Snapshot::compile(&resources(&text("nope"))).unwrap_err()[0].pointer, "/spec/api");
}

#[test]
fn a_plan_is_written_as_it_is_read() {
    let set = resources(&text());
    let plan = set.iter().find(|resource| resource.name == "free").unwrap();
    let spec: PlanSpec = plan.read().unwrap();

    let again: PlanSpec = serde_json::from_value(serde_json::to_value(&spec).unwrap()).unwrap();

    assert_eq!(again, spec);
    assert_eq!(again.price.unwrap().tiers[1].unit.micros(), 1_000);
}

#[test]
fn what_is_published_is_read_back_and_its_faults_say_so() {
    let document = Document { kind: "Api".into(), name: "a".into(), spec: json!({"title": "A"}) };
    let published =
        Published { version: 17, resources: vec![document.clone()], subscriptions: vec![published("1", "c", "p")] };
    let json = serde_json::to_value(&published).unwrap();

    assert_eq!(
        json,
        json!({
            "version": 17,
            "resources": [{"kind": "Api", "name": "a", "spec": {"title": "A"}}],
            "subscriptions": [{"id": "1", "client": "c", "plan": "p", "organisation": "acme"}],
        })
    );
    assert_eq!(serde_json::from_value::<Published>(json).unwrap(), published);
    let faults = Snapshot::compile(&[document.resource()]).unwrap_err();
    assert_eq!(faults[0].to_string(), "published Api/a: /spec/version: `version` is missing");
}

#[test]
fn usage_is_read_back() {
    let record = UsageRecord {
        id: "r".into(),
        at: 1,
        api: "orders".into(),
        operation: "list".into(),
        method: "GET".into(),
        client: Some("shop".into()),
        subscription: Some("s1".into()),
        plan: None,
        status: 200,
        outcome: Outcome::Served,
        reason: None,
        units: 1,
        micros: 250,
        way: Some(Box::new(Way { token: Some("hit".into()), identified_ns: Some(700), ..Way::default() })),
    };
    let batch = UsageBatch {
        gateway: "g".into(),
        name: "edge-1".into(),
        first: 9,
        records: vec![record],
        serving: Some(17),
        refused: None,
        seen: 3,
    };
    let json = serde_json::to_value(&batch).unwrap();

    assert_eq!(json["records"][0]["outcome"], "served");
    assert_eq!(json["records"][0].get("plan"), None);
    assert_eq!(json["records"][0]["way"], serde_json::json!({"token": "hit", "identifiedNs": 700}));
    assert_eq!(serde_json::from_value::<UsageBatch>(json).unwrap(), batch);
    let totals = vec![Total { subscription: "s1".into(), window: 0, used: 4 }];
    let answer = UsageAnswer { next: 10, totals, cursor: 4 };
    assert_eq!(serde_json::from_value::<UsageAnswer>(serde_json::to_value(&answer).unwrap()).unwrap(), answer);
}

#[test]
fn a_plan_is_about_the_clients_of_one_issuer() {
    let other = "---
kind: Issuer
name: partner
spec: { issuer: https://partner.example, introspection: { as: gateway, secret: file:gateway.secret } }
---
kind: Service
name: partners
spec: { upstream: orders-pool, audience: https://partners.internal, api: echo }
---
kind: Route
name: partners
spec: { match: { path: /partners }, service: partners, auth: { issuer: partner } }
";
    let refused = Snapshot::compile(&resources(&(text() + other))).unwrap_err();

    let told: Vec<String> = refused.iter().map(Fault::to_string).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("/spec/apis") && told[0].contains("(`main`, `partner`)"), "{told:?}");
    // Where nobody needs a subscription nobody's is used up; and each issuer may have its own.
    let without = text().replace("subscription: optional", "subscription: none") + other;
    Snapshot::compile(&resources(&without)).unwrap();
    let apart = text().replace("apis: [orders, echo]", "apis: [orders]") + other;
    Snapshot::compile(&resources(&apart)).unwrap();
}

#[test]
fn policies_are_about_the_people_of_one_issuer() {
    let with = |second: &str| {
        format!(
            "{SKETCH}---
kind: Issuer
name: partner
spec: {{ issuer: https://partner.example, introspection: {{ as: gateway, secret: file:gateway.secret }} }}
---
kind: PolicySource
name: central
spec: {{ snapshot: {{ url: 'http://pdp.test', secret: file:pdp.secret }} }}
---
kind: PolicySource
name: partners
spec: {{ snapshot: {{ url: 'http://partners.test', secret: file:pdp.secret }} }}
---
kind: Route
name: own
spec: {{ match: {{ path: /own }}, service: orders, auth: {{ issuer: main }}, policy: {{ source: central }} }}
---
kind: Route
name: other
spec: {{ match: {{ path: /other }}, service: orders, auth: {{ issuer: partner }}, policy: {{ source: {second} }} }}
"
        )
    };
    let refused = Snapshot::compile(&resources(&with("central"))).unwrap_err();

    let told: Vec<String> = refused.iter().map(Fault::to_string).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("people of several issuers (`main`, `partner`)"), "{told:?}");
    Snapshot::compile(&resources(&with("partners"))).unwrap();
}

#[test]
fn a_public_route_of_an_api_with_subscriptions_says_that_it_asks_for_none() {
    let route = |more: &str| {
        format!(
            "{}---\nkind: Route\nname: open\nspec: {{ match: {{ path: /open }}, service: orders, auth: none{more} }}\n",
            text()
        )
    };
    let composition = |more: &str| {
        format!(
            "{}---\nkind: Composition\nname: c\nspec: {{ match: {{ path: /c }}, auth: none, api: orders, output: {{}}{more} }}\n",
            text()
        )
    };
    for text in [route(""), composition(""), route(", subscription: required")] {
        let faults = Snapshot::compile(&resources(&text)).unwrap_err();
        assert_eq!((faults.len(), faults[0].pointer.as_str()), (1, "/spec/auth"), "{faults:?}");
        assert!(faults[0].message.contains("`subscription: none`"), "it says what to do: {faults:?}");
    }
    for text in [route(", subscription: none"), composition(", subscription: none"), route(", subscription: optional")]
    {
        let snapshot = Snapshot::compile(&resources(&text)).unwrap();
        assert_ne!(snapshot.routes.last().unwrap().subscription, Needed::Required);
    }
    let without_api = text()
        + "---\nkind: Composition\nname: c\nspec: { match: { path: /c }, auth: none, output: {}, subscription: required }\n";
    assert_eq!(Snapshot::compile(&resources(&without_api)).unwrap_err()[0].pointer, "/spec/subscription");
}
