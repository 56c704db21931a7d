//! What a service is told of a call because it asks for it, and what the record of usage says of its way.

use base::handle;
use serde_json::json;

use super::House;
use super::house::{RESOURCES, answer};
use super::ledger::Ledger;

const PLANS: &str = r#"---
kind: Api
name: orders
spec: { title: Orders, version: "1", subscription: optional }
---
kind: Plan
name: small
spec: { title: Small, apis: [orders], rate: { requests: 9, per: 1m }, quota: { requests: 50, per: day } }
---
kind: Subscription
name: s1
spec: { client: shop, plan: small }
"#;

fn resources(more: &str) -> String {
    RESOURCES.replace("spec: { upstream: pool,", &format!("spec: {{ upstream: pool, api: orders, {more}")) + PLANS
}

fn token() -> String {
    handle::encode(handle::ACCESS_TOKEN, b"a token that is long enough to be one")
}

const FORGED: [(&str, &str); 4] = [
    ("cardea-token", "opaque;end=\"forged\""),
    ("Cardea-Plan", "\"gold\";units=0"),
    ("RateLimit", "\"rate\";r=999;t=1"),
    ("ratelimit-policy", "forged"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_asks_is_told_what_a_call_costs_and_the_end_of_its_token() {
    let house = House::with(&resources("identity: { tell: [token-end, plan] },"));
    let token = token();
    let bearer = format!("Bearer {token}");
    let headers = [&FORGED[..], &[("authorization", bearer.as_str())]].concat();

    let sent = house.get("/orders/42", &headers).await;
    let public = house.get("/public/x", &FORGED).await;

    let told = |name: &str| sent.forward().headers.get(name).map_or("", |value| value.to_str().unwrap());
    assert_eq!(told("cardea-token"), format!("opaque;end=\"{}\"", &token[token.len() - 6..]));
    assert_eq!(told("cardea-plan"), "\"small\";units=1");
    assert_eq!(
        (told("ratelimit"), told("ratelimit-policy")),
        (&*sent.told("ratelimit"), &*sent.told("ratelimit-policy"))
    );
    assert!(told("ratelimit").contains("\"rate\";r=8") && told("ratelimit").contains("\"quota\";r=49"));
    let all = format!("{:?}", sent.forward().headers);
    assert!(!all.contains(&token[..token.len() - 6]), "no more than its end: {all}");
    for name in ["cardea-token", "cardea-plan", "ratelimit", "ratelimit-policy"] {
        assert_eq!(public.forward().headers.get(name), None, "{name}: nobody says it in our place");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_does_not_ask_is_told_nothing() {
    let house = House::with(&resources(""));
    let bearer = format!("Bearer {}", token());

    let sent = house.get("/orders/42", &[FORGED[0], FORGED[1], ("authorization", &bearer)]).await;

    for name in ["cardea-token", "cardea-plan", "ratelimit"] {
        assert_eq!(sent.forward().headers.get(name), None, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_record_says_how_the_call_went() {
    let ledger = Ledger::new();
    let house = House::managed(&resources(""), &ledger);
    let token = token();

    house.call(&token).await;
    house.call(&token).await;
    house.send("PUT", "/orders/42", &[("authorization", &format!("Bearer {token}"))]).await;
    house.get("/orders/42", &[]).await;
    house.get("/public/x", &[]).await;
    house.issuer.answers(|_| Ok(answer(204, None, "", None)));
    house.call(&token.replace("cat_", "cab_")).await;
    ledger.until(|books| books.records.len() == 6).await;

    let books = ledger.books();
    let way = |at: usize| books.records[at].way.as_deref().unwrap().clone();
    for (at, record) in books.records.iter().enumerate() {
        let way = way(at);
        let times = [way.identified_ns, way.admitted_ns, way.permitted_ns];
        let known: Vec<u64> = times.into_iter().flatten().collect();
        assert!(known.is_sorted(), "{way:?}");
        assert!(known.last().is_none_or(|last| *last <= (record.micros + 1) * 1_000), "{record:?}");
        let reached = times.iter().filter(|time| time.is_some()).count();
        assert_eq!(reached, [3, 3, 2, 0, 3, 0][at], "{record:?}");
    }
    assert_eq!((way(0).token.as_deref(), way(1).token.as_deref()), (Some("miss"), Some("hit")));
    assert_eq!(way(1).token_end.as_deref(), Some(&token[token.len() - 6..]));
    assert_eq!(way(1).grant.as_deref(), Some("g1"));
    assert_eq!((way(0).rate_left, way(1).rate_left, way(1).quota_left), (Some(8), Some(7), Some(48)));
    assert_eq!((way(3).token, way(3).token_end, way(4).token), (None, None, None));
    assert_eq!((way(5).token.as_deref(), way(5).grant), (Some("miss"), None));
    let json = serde_json::to_value(&books.records[3]).unwrap();
    assert_eq!(json["way"], json!({}), "nothing was found out");
    assert!(!serde_json::to_string(&books.records).unwrap().contains(&token[..token.len() - 6]));
}
