use http::StatusCode;
use serde_json::json;
use testkit::db::TestDb;
use testkit::store_test;

use super::actors::{ORDERS, STOCK};
use super::platform::{ISSUER, Platform};
use crate::MIGRATIONS;

store_test!(a_client_gets_an_opaque_token_and_its_api_a_jwt, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;

    let answer = p.post_as(&m.robot, "/token", &[("grant_type", "client_credentials"), ("scope", "stock_read")]).await;

    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!((answer.header("cache-control"), answer.header("pragma")), ("no-store", "no-cache"));
    assert_eq!((answer.text("token_type").as_str(), answer.text("scope").as_str()), ("Bearer", "stock_read"));
    assert_eq!(answer.json()["expires_in"], 900);
    assert!(answer.json().get("refresh_token").is_none());
    let token = answer.text("access_token");
    assert!(token.starts_with("cat_") && token.len() < 160, "{token}");

    let phantom = p.post_accepting(&m.stock, "/introspect", "application/jwt", &[("token", &token)]).await;

    assert_eq!(phantom.status, StatusCode::OK, "{}", phantom.body);
    assert_eq!((phantom.header("content-type"), phantom.header("vary")), ("application/jwt", "accept"));
    assert_eq!(phantom.header("cache-control"), "max-age=300");
    let verified = p.verify(&phantom.body, "at+jwt", STOCK).await;
    let now = p.identity.clock.now().seconds();
    assert_eq!(verified.claims["iss"], ISSUER);
    assert_eq!(verified.claims["aud"], STOCK);
    assert_eq!((verified.text("sub"), verified.text("client_id")), (Some("robot"), Some("robot")));
    assert_eq!(verified.text("scope"), Some("stock_read"));
    assert_eq!((&verified.claims["iat"], &verified.claims["exp"]), (&json!(now), &json!(now + 300)));
    assert!(verified.text("jti").is_some() && verified.text("grant_id").is_some());
    assert!(!phantom.body.contains(&token));
    // What a gateway tells it by from a JWT that a client may bring.
    assert_eq!(verified.text("token_use"), Some("inner"));
    assert!(!p.is_active(&m.stock, &phantom.body).await);
});

store_test!(an_answer_is_never_kept_longer_than_it_is_true, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let token = p.tokens(&m.shop, &m.alice, "orders_read").await.text("access_token");

    p.advance(700);
    let late = p.post_accepting(&m.orders, "/introspect", "application/jwt", &[("token", &token)]).await;
    p.clock.advance(std::time::Duration::from_millis(199_500));
    let last = p.post_accepting(&m.orders, "/introspect", "application/jwt", &[("token", &token)]).await;
    p.advance(1);
    let over = p.post_accepting(&m.orders, "/introspect", "application/jwt", &[("token", &token)]).await;
    let over_json = p.post_as(&m.orders, "/introspect", &[("token", &token)]).await;

    assert_eq!(late.header("cache-control"), "max-age=200");
    assert_eq!((last.status, last.header("cache-control")), (StatusCode::OK, "no-store"));
    assert_eq!(
        (over.status, over.header("cache-control"), over.body.as_str()),
        (StatusCode::NO_CONTENT, "no-store", "")
    );
    assert_eq!((over_json.header("cache-control"), over_json.json()), ("no-store", json!({"active": false})));
});

store_test!(scopes_bring_claims_by_contract, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let token = p.tokens(&m.shop, &m.alice, "openid orders_read stock_read").await.text("access_token");

    let for_orders = p.introspect(&m.orders, &token).await;
    let for_stock = p.introspect(&m.stock, &token).await;

    assert_eq!((&for_orders["active"], &for_orders["token_type"]), (&json!(true), &json!("Bearer")));
    assert_eq!((&for_orders["scope"], &for_orders["aud"]), (&json!("orders_read"), &json!(ORDERS)));
    assert_eq!(for_orders["account_nr"], "4711");
    assert_eq!((&for_orders["sub"], &for_orders["sid"]), (&json!(m.alice.as_str()), &json!("session-1")));
    assert_eq!((&for_orders["acr"], &for_orders["amr"]), (&json!("1"), &json!(["pwd"])));
    assert_eq!((&for_stock["scope"], &for_stock["aud"]), (&json!("stock_read"), &json!(STOCK)));
    assert!(for_stock.get("account_nr").is_none());
});

store_test!(a_scope_without_its_claim_is_not_granted, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let bob = p.user("bob", &json!({"attributes": {"account_nr": ""}})).await;

    let both = p.tokens(&m.shop, &bob, "orders_read stock_read").await;
    let (_, code) = p.code("shop", &bob, "orders_read").await;
    let none = p.redeem(&m.shop, &code).await;

    assert_eq!(both.text("scope"), "stock_read");
    assert!(p.is_active(&m.stock, &both.text("access_token")).await);
    assert!(!p.is_active(&m.orders, &both.text("access_token")).await);
    assert_eq!(none.error(), (400, "invalid_scope".to_owned()));
});

store_test!(a_claim_that_goes_takes_its_scope_along, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let token = p.tokens(&m.shop, &m.alice, "orders_read stock_read").await.text("access_token");

    let mut tx = p.identity.db.begin();
    tx.execute("UPDATE users SET spec = '{}'", &[]).await.unwrap();
    tx.commit().await.unwrap();

    assert!(p.is_active(&m.stock, &token).await);
    assert!(!p.is_active(&m.orders, &token).await);
});

store_test!(a_deleted_scope_is_nobodys, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let both = p.tokens(&m.shop, &m.alice, "orders_read stock_read").await.text("access_token");
    let alone = p.tokens(&m.shop, &m.alice, "stock_read").await.text("access_token");

    let mut cx = p.cx();
    assert!(crate::scopes::delete(&mut cx, "stock_read").await.unwrap());
    cx.commit().await.unwrap();
    p.identity.scoping.forget();

    assert_eq!(p.introspect(&m.orders, &both).await["scope"], "orders_read");
    // A token whose last scope goes is no token any more.
    assert!(!p.is_active(&m.stock, &both).await);
    assert!(!p.is_active(&m.stock, &alone).await);
});

store_test!(the_caller_learns_only_of_tokens_for_its_audience, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let audiences_of = |caller: &str| match caller {
        "orders" => vec![ORDERS],
        "stock" => vec![STOCK],
        "gateway" => vec![ORDERS, STOCK],
        _ => vec![],
    };
    let mut tokens = Vec::new();
    for (scopes, audiences) in
        [("orders_read", vec![ORDERS]), ("stock_read", vec![STOCK]), ("orders_read stock_read", vec![ORDERS, STOCK])]
    {
        tokens.push((p.tokens(&m.shop, &m.alice, scopes).await.text("access_token"), audiences));
    }

    for (token, audiences) in &tokens {
        for caller in [&m.orders, &m.stock, &m.gateway, &m.robot, &m.shop] {
            let own = audiences_of(&caller.id);
            let common: Vec<&str> = audiences.iter().copied().filter(|audience| own.contains(audience)).collect();
            let case = format!("{} introspects a token for {audiences:?}", caller.id);

            assert_eq!(p.is_active(caller, token).await, !common.is_empty(), "{case}");
            for resource in [ORDERS, STOCK, "https://other.internal"] {
                let parameters = [("token", token.as_str()), ("resource", resource)];
                let answer = p.post_accepting(caller, "/introspect", "application/jwt", &parameters).await;
                match (own.contains(&resource), common.contains(&resource)) {
                    (false, _) => assert_eq!(answer.error(), (400, "invalid_target".to_owned()), "{case}"),
                    (true, false) => assert_eq!(answer.status, StatusCode::NO_CONTENT, "{case}"),
                    (true, true) => {
                        let verified = p.verify(&answer.body, "at+jwt", resource).await;
                        assert_eq!(verified.claims["aud"], resource, "{case}");
                    }
                }
            }
            let plain = p.post_accepting(caller, "/introspect", "application/jwt", &[("token", token)]).await;
            let expected = [StatusCode::NO_CONTENT, StatusCode::OK, StatusCode::BAD_REQUEST];
            assert_eq!(plain.status, expected[common.len()], "{case}");
        }
    }
});

store_test!(rfc_9701_answers_are_signed_for_the_caller, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let token = p.tokens(&m.shop, &m.alice, "orders_read").await.text("access_token");
    let accept = "application/token-introspection+jwt";

    let active = p.post_accepting(&m.orders, "/introspect", accept, &[("token", &token)]).await;
    let inactive = p.post_accepting(&m.orders, "/introspect", accept, &[("token", "cat_junk")]).await;

    assert_eq!(active.header("content-type"), accept);
    let verified = p.verify(&active.body, "token-introspection+jwt", "orders").await;
    assert_eq!(verified.claims["token_introspection"]["account_nr"], "4711");
    assert_eq!(verified.claims["token_introspection"]["active"], true);
    assert!(!verified.claims.contains_key("sub") && !verified.claims.contains_key("exp"));
    let verified = p.verify(&inactive.body, "token-introspection+jwt", "orders").await;
    assert_eq!(verified.claims["token_introspection"], json!({"active": false}));
    assert_eq!(inactive.header("cache-control"), "no-store");
});

store_test!(what_is_no_access_token_is_inactive, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let tokens = p.tokens(&m.shop, &m.alice, "openid orders_read").await;
    let access = tokens.text("access_token");
    let parameters = [("token", access.as_str())];
    let inner = p.post_accepting(&m.orders, "/introspect", "application/jwt", &parameters).await.body;
    let (_, code) = p.code("shop", &m.alice, "orders_read").await;

    for junk in [
        &tokens.text("refresh_token"),
        &tokens.text("id_token"),
        &inner,
        &code,
        "cat_",
        "junk",
        "eyJhbGciOiJub25lIn0.e30.",
        &access[..access.len() - 1],
        &access.to_uppercase(),
    ] {
        assert_eq!(p.introspect(&m.orders, junk).await, json!({"active": false}), "{junk}");
    }
    assert!(p.is_active(&m.orders, &access).await);
});

store_test!(introspection_asks_who_is_there, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let token = p.tokens(&m.shop, &m.alice, "orders_read").await.text("access_token");

    let nobody = p.post("/introspect", &[], &[("token", &token)]).await;
    let bearer = p.post("/introspect", &[("authorization", &format!("Bearer {token}"))], &[("token", &token)]).await;
    let without = p.post_as(&m.orders, "/introspect", &[]).await;

    assert_eq!(nobody.error(), (401, "invalid_client".to_owned()));
    assert_eq!(bearer.error(), (401, "invalid_client".to_owned()));
    assert!(nobody.header("www-authenticate").starts_with("Basic "));
    assert_eq!(without.error(), (400, "invalid_request".to_owned()));
});

store_test!(introspection_writes_nothing, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let token = p.tokens(&m.shop, &m.alice, "orders_read").await.text("access_token");
    let used = "SELECT last_used_at FROM client_secrets WHERE client_id = 'orders'";
    let records = "SELECT count(*) AS n FROM audit_records";
    let before = p.identity.db.begin().read_one(records, &[]).await.unwrap().unwrap().int("n").unwrap();

    assert!(p.is_active(&m.orders, &token).await);

    let after = p.identity.db.begin().read_one(records, &[]).await.unwrap().unwrap().int("n").unwrap();
    let last_used = p.identity.db.begin().read_one(used, &[]).await.unwrap().unwrap();
    assert_eq!((after, last_used.opt_int("last_used_at").unwrap()), (before, None));
});

// `exp` has no fractions of a second; an answer kept to the millisecond would outlive it.
store_test!(an_answer_is_not_kept_beyond_the_second_of_its_exp, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let into_second = u64::try_from(p.identity.clock.now().ms().rem_euclid(1000)).unwrap();
    p.clock.advance(std::time::Duration::from_millis(1900 - into_second));
    let token = p.tokens(&m.shop, &m.alice, "orders_read").await.text("access_token");

    let answer = p.post_accepting(&m.orders, "/introspect", "application/jwt", &[("token", &token)]).await;

    let exp = p.verify(&answer.body, "at+jwt", ORDERS).await.claims["exp"].as_i64().unwrap();
    let age: i64 = answer.header("cache-control").strip_prefix("max-age=").unwrap().parse().unwrap();
    assert!(p.identity.clock.now().ms() + age * 1000 <= exp * 1000, "kept for {age} s");
});
