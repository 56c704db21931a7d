//! Plans at the pipeline's edge: who is let through, who is refused, and what each is told.

use std::time::Duration;

use serde_json::{Value, json};

use super::House;
use super::house::{RESOURCES, TOKEN, jwt_answer};

const PLANS: &str = r#"---
kind: Api
name: orders
spec: { title: Orders, version: "1" }
---
kind: Plan
name: small
spec: { title: Small, apis: [orders], rate: { requests: 60, per: 1m, burst: 3 }, quota: { requests: 5, per: day } }
---
kind: Subscription
name: s1
spec: { client: shop, plan: small }
"#;

fn text() -> String {
    RESOURCES.replace("spec: { upstream: pool,", "spec: { upstream: pool, api: orders,") + PLANS
}

fn house() -> House {
    House::with(&text())
}

fn changed(from: &str, to: &str) -> House {
    let text = text();
    assert!(text.contains(from), "{from}");
    House::with(&text.replace(from, to))
}

/// The parameter of a policy in `RateLimit`.
fn number(field: &str, policy: &str, parameter: &str) -> u64 {
    let item = field.split(", ").find(|item| item.starts_with(&format!("\"{policy}\";"))).unwrap();
    let value = item.split(';').find_map(|part| part.strip_prefix(&format!("{parameter}="))).unwrap();
    value.parse().unwrap()
}

#[tokio::test]
async fn a_client_is_told_what_is_left_of_its_plan() {
    let house = house();

    let first = house.call(TOKEN).await;

    assert_eq!(first.status(), 200);
    assert_eq!(first.told("ratelimit-policy"), "\"rate\";q=60;w=60;cardea-burst=3, \"quota\";q=5;w=86400");
    let limit = first.told("ratelimit");
    assert_eq!((number(&limit, "rate", "r"), number(&limit, "rate", "t")), (2, 1));
    assert_eq!(number(&limit, "quota", "r"), 4);
    assert_eq!(first.exchange.subscription.as_deref(), Some("s1"));
    assert_eq!(first.exchange.plan.as_deref(), Some("small"));
    assert_eq!(first.exchange.operation.as_deref(), Some("orders-read"));
}

#[tokio::test]
async fn who_is_too_fast_is_refused_with_the_time_to_wait() {
    let house = house();
    for _ in 0..3 {
        assert_eq!(house.call(TOKEN).await.status(), 200);
    }

    let refused = house.call(TOKEN).await;

    assert_eq!(refused.status(), 429);
    assert_eq!(refused.field("retry-after"), "1");
    assert_eq!(number(refused.field("ratelimit"), "rate", "r"), 0);
    assert_eq!(number(refused.field("ratelimit"), "quota", "r"), 2, "what is refused takes nothing of the quota");
    let problem: Value = serde_json::from_slice(refused.answer().body()).unwrap();
    assert_eq!(problem["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded");
    assert_eq!((&problem["violated-policies"], &problem["code"]), (&json!(["rate"]), &json!("rate_limited")));
    assert_eq!(refused.exchange.denied, Some("rate_limited"));
    house.clock.advance(Duration::from_secs(1));
    assert_eq!(house.call(TOKEN).await.status(), 200);
}

#[tokio::test]
async fn a_quota_that_is_used_up_is_refused_until_its_window_ends() {
    let house = changed("burst: 3", "burst: 60");
    for left in [4, 3, 2, 1, 0] {
        assert_eq!(number(&house.call(TOKEN).await.told("ratelimit"), "quota", "r"), left);
    }

    let refused = house.call(TOKEN).await;

    assert_eq!((refused.status(), refused.exchange.denied), (429, Some("quota_exceeded")));
    let wait: u64 = refused.field("retry-after").parse().unwrap();
    assert_eq!(number(refused.field("ratelimit"), "quota", "t"), wait);
    house.clock.advance(Duration::from_secs(wait));
    house.issuer.answers({
        let jwt = house.issuer.jwt(&json!({}));
        move |_| Ok(jwt_answer(&jwt, None))
    });
    assert_eq!(house.call(TOKEN).await.status(), 200);
}

#[tokio::test]
async fn a_soft_quota_is_told_and_not_enforced() {
    let house = changed("burst: 3 }, quota: { requests: 5,", "burst: 60 }, quota: { requests: 1, hard: false,");

    assert_eq!(number(&house.call(TOKEN).await.told("ratelimit"), "quota", "r"), 0);
    let over = house.call(TOKEN).await;
    assert_eq!((over.status(), number(&over.told("ratelimit"), "quota", "r")), (200, 0));
}

#[tokio::test]
async fn in_shadow_nobody_is_refused_and_nothing_is_promised() {
    let house = changed("title: Small,", "title: Small, mode: shadow,");
    for _ in 0..3 {
        assert_eq!(house.call(TOKEN).await.exchange.shadowed, None);
    }

    let over = house.call(TOKEN).await;

    assert_eq!((over.status(), over.exchange.shadowed), (200, Some("rate_limited")));
    assert_eq!(over.told("ratelimit"), "");
    house.clock.advance(Duration::from_secs(60));
    house.call(TOKEN).await;
    assert_eq!(house.call(TOKEN).await.exchange.shadowed, Some("quota_exceeded"));
}

#[tokio::test]
async fn a_client_without_a_subscription_is_refused_where_one_is_needed() {
    let none = changed("client: shop", "client: other").call(TOKEN).await;
    assert_eq!((none.status(), none.slug().as_str()), (403, "no_subscription"));

    for needed in ["optional", "none"] {
        let text = text()
            .replace("client: shop", "client: other")
            .replace("version: \"1\"", &format!("version: \"1\", subscription: {needed}"));
        let house = House::with(&text);
        assert_eq!(house.call(TOKEN).await.status(), 200, "{needed}");
    }
    let nobody = house();
    let jwt = nobody.issuer.jwt(&json!({"client_id": null}));
    nobody.issuer.answers(move |_| Ok(jwt_answer(&jwt, None)));
    assert_eq!(nobody.call(TOKEN).await.status(), 403);
    assert_eq!(nobody.get("/public/x", &[]).await.status(), 200);
}

#[tokio::test]
async fn limits_of_an_optional_subscription_hold() {
    let house = changed("version: \"1\"", "version: \"1\", subscription: optional");
    for _ in 0..3 {
        house.call(TOKEN).await;
    }
    assert_eq!(house.call(TOKEN).await.status(), 429);
}

#[tokio::test]
async fn what_was_taken_stays_taken_over_a_change_of_resources() {
    let house = house();
    for _ in 0..3 {
        house.call(TOKEN).await;
    }
    std::fs::write(house.file(), text().replace("title: Small", "title: Smaller")).unwrap();
    house.gateway.reload().unwrap();

    assert_eq!(house.call(TOKEN).await.status(), 429);
    house.clock.advance(Duration::from_secs(1));
    assert_eq!(number(&house.call(TOKEN).await.told("ratelimit"), "quota", "r"), 1);
}

#[tokio::test]
async fn a_call_that_is_not_served_takes_nothing_of_the_quota() {
    let house = changed("burst: 3", "burst: 60");
    let jwt = house.issuer.jwt(&json!({"scope": "other"}));
    house.issuer.answers(move |_| Ok(jwt_answer(&jwt, None)));
    for _ in 0..6 {
        let refused = house.call("without-the-scope").await;
        assert_eq!((refused.status(), refused.slug().as_str()), (403, "insufficient_scope"));
        assert_eq!(number(refused.field("ratelimit"), "quota", "r"), 4);
    }
}

#[tokio::test]
async fn a_retired_api_is_gone_and_a_deprecated_one_says_so() {
    let dates = "deprecatedAt: 2023-06-30T23:59:59Z, sunsetAt: 2026-11-11T23:59:59Z";
    let with = |lifecycle: &str| changed("version: \"1\"", &format!("version: \"1\", lifecycle: {lifecycle}, {dates}"));

    let gone = with("retired").get("/orders/42", &[]).await;
    assert_eq!((gone.status(), gone.slug().as_str()), (410, "api_retired"));

    let deprecated = with("deprecated").call(TOKEN).await;
    assert_eq!(deprecated.status(), 200);
    assert_eq!(deprecated.told("deprecation"), "@1688169599");
    assert_eq!(deprecated.told("sunset"), "Wed, 11 Nov 2026 23:59:59 GMT");
}

#[tokio::test]
async fn scripts_of_an_allowed_origin_can_read_the_limits() {
    let house = house();
    for _ in 0..3 {
        house.call(TOKEN).await;
    }

    let authorization = format!("Bearer {TOKEN}");
    let refused = house.get("/orders/42", &[("authorization", &authorization), ("origin", "https://app.test")]).await;

    assert_eq!(refused.status(), 429);
    let exposed: Vec<&str> = refused.field("access-control-expose-headers").split(", ").collect();
    for name in ["ratelimit", "ratelimit-policy", "retry-after", "x-request-id"] {
        assert!(exposed.contains(&name), "{name}");
    }
}
