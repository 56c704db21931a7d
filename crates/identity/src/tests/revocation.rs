use http::StatusCode;
use serde_json::json;
use testkit::db::TestDb;
use testkit::store_test;

use super::actors::shop_spec;
use super::platform::Platform;
use crate::MIGRATIONS;
use crate::clients::ClientSpec;

store_test!(an_access_token_dies_alone, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let first = p.tokens(&m.shop, &m.alice, "orders_read").await;
    let second = p.refresh(&m.shop, &first.text("refresh_token")).await;

    let answer = p.post_as(&m.shop, "/revoke", &[("token", &first.text("access_token"))]).await;

    assert_eq!((answer.status, answer.header("cache-control")), (StatusCode::OK, "no-store"));
    assert!(!p.is_active(&m.orders, &first.text("access_token")).await);
    assert!(p.is_active(&m.orders, &second.text("access_token")).await);
    assert_eq!(p.refresh(&m.shop, &second.text("refresh_token")).await.status, StatusCode::OK);
});

store_test!(a_refresh_token_takes_its_grant_along, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let first = p.tokens(&m.shop, &m.alice, "orders_read").await;
    let second = p.refresh(&m.shop, &first.text("refresh_token")).await;
    let other = p.tokens(&m.shop, &m.alice, "orders_read").await;

    // The hint is wrong, and does not matter.
    let parameters = [("token", &*second.text("refresh_token")), ("token_type_hint", "access_token")];
    let answer = p.post_as(&m.shop, "/revoke", &parameters).await;

    assert_eq!(answer.status, StatusCode::OK);
    for token in [first.text("access_token"), second.text("access_token")] {
        assert!(!p.is_active(&m.orders, &token).await);
    }
    assert_eq!(p.refresh(&m.shop, &second.text("refresh_token")).await.error(), (400, "invalid_grant".to_owned()));
    assert!(p.is_active(&m.orders, &other.text("access_token")).await);
});

store_test!(nobody_revokes_what_is_not_theirs_nor_learns_of_it, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let other = p.client(&ClientSpec { client_id: "other".into(), ..shop_spec() }).await;
    let tokens = p.tokens(&m.shop, &m.alice, "orders_read").await;

    for token in [&*tokens.text("access_token"), &tokens.text("refresh_token"), "cat_junk", "junk"] {
        let answer = p.post_as(&other, "/revoke", &[("token", token)]).await;
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, ""));
    }

    assert!(p.is_active(&m.orders, &tokens.text("access_token")).await);
    assert_eq!(p.refresh(&m.shop, &tokens.text("refresh_token")).await.status, StatusCode::OK);
    let nobody = p.post("/revoke", &[], &[("token", &*tokens.text("access_token"))]).await;
    assert_eq!(nobody.error(), (401, "invalid_client".to_owned()));
    let without = p.post_as(&m.shop, "/revoke", &[]).await;
    assert_eq!(without.error(), (400, "invalid_request".to_owned()));
});

store_test!(userinfo_tells_what_the_scopes_allow, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let ask = async |scopes: &str| {
        let token = p.tokens(&m.shop, &m.alice, scopes).await.text("access_token");
        p.get("/userinfo", &[("authorization", &format!("bearer {token}"))]).await
    };

    assert_eq!(ask("openid").await.json(), json!({"sub": m.alice.as_str()}));
    assert_eq!(
        ask("openid profile email orders_read").await.json(),
        json!({
            "sub": m.alice.as_str(), "preferred_username": "alice", "name": "Alice",
            "email": "alice@example.org", "email_verified": false,
        })
    );
    let without = ask("orders_read").await;
    assert_eq!(without.error(), (403, "insufficient_scope".to_owned()));
    assert!(without.header("www-authenticate").contains("insufficient_scope"));
});

store_test!(userinfo_takes_the_token_from_the_header_only, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let token = p.tokens(&m.shop, &m.alice, "openid").await.text("access_token");
    let good = format!("Bearer {token}");

    let by_post = p.post("/userinfo", &[("authorization", &good)], &[]).await;
    let in_body = p.post("/userinfo", &[], &[("access_token", &token)]).await;
    let in_query = p.get(&format!("/userinfo?access_token={token}"), &[]).await;
    let twice = p.get("/userinfo", &[("authorization", &good), ("authorization", &good)]).await;
    let odd = p.get("/userinfo", &[("authorization", &format!("{good} x"))]).await;
    let junk = p.get("/userinfo", &[("authorization", "Bearer cat_junk")]).await;

    assert_eq!(by_post.text("sub"), m.alice.as_str());
    for answer in [&in_body, &in_query] {
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::UNAUTHORIZED, ""));
        assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"cardea\"");
    }
    for answer in [&twice, &odd] {
        assert_eq!(answer.error(), (400, "invalid_request".to_owned()));
    }
    assert_eq!(junk.error(), (401, "invalid_token".to_owned()));
    assert!(junk.header("www-authenticate").contains("error=\"invalid_token\""));
});
