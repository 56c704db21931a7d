use std::time::Duration;

use axum::body::Body;
use base::scope::Scopes;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode};
use jose::hash::left_half_hash;
use serde_json::json;
use testkit::db::TestDb;
use testkit::store_test;

use super::actors::{CALLBACK, Caller, ORDERS, STOCK, form, redemption, request, shop_spec};
use super::platform::{ISSUER, Platform};
use crate::MIGRATIONS;
use crate::clients::{self, AuthMethod, ClientSpec, TokenFormat};

store_test!(a_code_is_redeemed_for_tokens, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;

    let answer = p.tokens(&m.shop, &m.alice, "openid orders_read").await;

    assert_eq!(
        (answer.text("scope").as_str(), answer.json()["expires_in"].clone()),
        ("openid orders_read", json!(900))
    );
    assert!(answer.text("refresh_token").starts_with("crt_"));
    let id_token = p.verify(&answer.text("id_token"), "JWT", "shop").await;
    let now = p.identity.clock.now().seconds();
    let at_hash = left_half_hash(id_token.header.alg, &answer.text("access_token"));
    assert_eq!(
        serde_json::Value::Object(id_token.claims),
        json!({
            "iss": ISSUER, "sub": m.alice.as_str(), "aud": "shop", "azp": "shop", "iat": now, "exp": now + 600,
            "at_hash": at_hash, "auth_time": now, "acr": "1", "amr": ["pwd"], "sid": "session-1",
            "nonce": "n-0S6_WzA2Mj",
        })
    );
});

store_test!(without_openid_there_is_no_id_token, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;

    let answer = p.tokens(&m.shop, &m.alice, "orders_read").await.json();

    assert!(answer.get("id_token").is_none());
});

store_test!(each_wrong_parameter_of_a_redemption_is_refused, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let other = p.client(&ClientSpec { client_id: "other".into(), ..shop_spec() }).await;
    let (_, code) = p.code("shop", &m.alice, "openid orders_read").await;
    let wrong_verifier = "x".repeat(43);
    let other_code = code.replace("cac_", "crt_");

    for (name, value, error) in [
        ("code", "", "invalid_request"),
        ("code", "cac_junk", "invalid_grant"),
        ("code", &other_code, "invalid_grant"),
        ("code_verifier", "", "invalid_request"),
        ("code_verifier", &wrong_verifier, "invalid_grant"),
        ("code_verifier", "short", "invalid_request"),
        ("code_verifier", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", "invalid_grant"),
        ("redirect_uri", "", "invalid_grant"),
        ("redirect_uri", "https://shop.example/callback/", "invalid_grant"),
        ("grant_type", "", "invalid_request"),
        ("grant_type", "password", "unsupported_grant_type"),
        ("grant_type", "client_credentials", "unauthorized_client"),
        ("resource", "https://other.internal", "invalid_target"),
        ("resource", "not a uri", "invalid_target"),
    ] {
        let good = redemption(&code);
        let mut parameters: Vec<(&str, &str)> = good.into_iter().filter(|(own, _)| *own != name).collect();
        parameters.push((name, value));

        let answer = p.post_as(&m.shop, "/token", &parameters).await;

        assert_eq!(answer.error(), (400, error.to_owned()), "{name}={value}");
        assert_eq!(answer.header("cache-control"), "no-store", "{name}={value}");
    }
    // Who is not the code's client can neither redeem nor burn it, nor revoke what came of it.
    assert_eq!(p.redeem(&other, &code).await.error(), (400, "invalid_grant".to_owned()));
    let answer = p.redeem(&m.shop, &code).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(p.redeem(&other, &code).await.error(), (400, "invalid_grant".to_owned()));
    let stolen = [redemption(&code)[0], redemption(&code)[1], redemption(&code)[2], ("code_verifier", &wrong_verifier)];
    assert_eq!(p.post_as(&m.shop, "/token", &stolen).await.error(), (400, "invalid_grant".to_owned()));
    assert!(p.is_active(&m.orders, &answer.text("access_token")).await);
});

store_test!(a_code_expires, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let (_, code) = p.code("shop", &m.alice, "orders_read").await;

    p.advance(60);

    assert_eq!(p.redeem(&m.shop, &code).await.error(), (400, "invalid_grant".to_owned()));
});

store_test!(a_replayed_code_revokes_what_came_of_it, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let (_, code) = p.code("shop", &m.alice, "openid orders_read").await;
    let tokens = p.redeem(&m.shop, &code).await;
    assert!(p.is_active(&m.orders, &tokens.text("access_token")).await);

    // Also long after the code has expired.
    p.advance(300);
    let replay = p.redeem(&m.shop, &code).await;

    assert_eq!(replay.error(), (400, "invalid_grant".to_owned()));
    assert!(!p.is_active(&m.orders, &tokens.text("access_token")).await);
    assert_eq!(p.refresh(&m.shop, &tokens.text("refresh_token")).await.error(), (400, "invalid_grant".to_owned()));
});

store_test!(a_replay_that_asks_for_too_much_is_a_replay, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let (_, code) = p.code("shop", &m.alice, "openid orders_read").await;
    let tokens = p.redeem(&m.shop, &code).await;
    let mut parameters = redemption(&code).to_vec();
    parameters.push(("resource", "https://other.internal"));

    let replay = p.post_as(&m.shop, "/token", &parameters).await;

    assert_eq!(replay.error(), (400, "invalid_grant".to_owned()));
    assert!(!p.is_active(&m.orders, &tokens.text("access_token")).await);
});

store_test!(of_100_parallel_redemptions_one_succeeds, MIGRATIONS, |db: TestDb| async move {
    let p = std::sync::Arc::new(Platform::on(db).await);
    let m = p.market().await;
    let (_, code) = p.code("shop", &m.alice, "orders_read").await;
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let (p, shop, code) = (p.clone(), m.shop.clone(), code.clone());
            tokio::spawn(async move { p.redeem(&shop, &code).await })
        })
        .collect();

    let mut winners = Vec::new();
    for task in tasks {
        let answer = task.await.unwrap();
        match answer.status {
            StatusCode::OK => winners.push(answer.text("access_token")),
            _ => assert_eq!(answer.error(), (400, "invalid_grant".to_owned())),
        }
    }

    assert_eq!(winners.len(), 1);
    assert!(!p.is_active(&m.orders, &winners[0]).await);
});

store_test!(a_resource_narrows_the_token_and_never_widens_it, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let (_, code) = p.code("shop", &m.alice, "orders_read stock_read").await;
    let mut parameters = redemption(&code).to_vec();
    parameters.push(("resource", ORDERS));

    let narrow = p.post_as(&m.shop, "/token", &parameters).await;

    assert_eq!(narrow.text("scope"), "orders_read");
    assert!(p.is_active(&m.orders, &narrow.text("access_token")).await);
    assert!(!p.is_active(&m.stock, &narrow.text("access_token")).await);
    let refresh_token = narrow.text("refresh_token");
    let other = [("grant_type", "refresh_token"), ("refresh_token", &refresh_token), ("resource", STOCK)];
    let other = p.post_as(&m.shop, "/token", &other).await;
    assert_eq!(other.text("scope"), "stock_read");
    assert!(p.is_active(&m.stock, &other.text("access_token")).await);
});

store_test!(client_credentials_go_no_further_than_the_client, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let grant = ("grant_type", "client_credentials");

    for (parameter, error) in [
        (("scope", "orders_read"), "invalid_scope"),
        (("scope", "unknown"), "invalid_scope"),
        (("scope", "openid"), "invalid_scope"),
        (("scope", "bad\"scope"), "invalid_request"),
        (("resource", "https://other.internal"), "invalid_target"),
        (("audience", "https://other.internal"), "invalid_target"),
    ] {
        let answer = p.post_as(&m.robot, "/token", &[grant, parameter]).await;
        assert_eq!(answer.error(), (400, error.to_owned()), "{parameter:?}");
    }
    let by_default = p.post_as(&m.robot, "/token", &[grant]).await;
    let for_orders = p.post_as(&m.robot, "/token", &[grant, ("resource", ORDERS)]).await;
    assert_eq!((by_default.text("scope").as_str(), for_orders.text("scope").as_str()), ("stock_read", ""));
    assert!(p.is_active(&m.orders, &for_orders.text("access_token")).await);
    assert!(!p.is_active(&m.stock, &for_orders.text("access_token")).await);
});

store_test!(a_client_shows_itself_in_one_registered_way, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let by_post = ClientSpec {
        client_id: "poster".into(),
        token_endpoint_auth_method: AuthMethod::ClientSecretPost,
        grant_types: vec![clients::GrantType::ClientCredentials],
        scopes: Scopes::parse("stock_read").unwrap(),
        ..ClientSpec::named("poster")
    };
    let poster = p.client(&by_post).await;
    let (secret, robot_secret) = (poster.secret.clone().unwrap(), m.robot.secret.clone().unwrap());
    let grant = ("grant_type", "client_credentials");
    let wrong = Caller { secret: Some("wrong".to_owned()), ..m.robot.clone() };
    let unknown = Caller { id: "nobody".to_owned(), secret: Some("wrong".to_owned()) };
    let shown = |id: &str, secret: &str| Caller { id: id.to_owned(), secret: Some(secret.to_owned()) }.basic();

    let good = p.post("/token", &[], &[grant, ("client_id", "poster"), ("client_secret", &secret)]).await;
    assert_eq!(good.status, StatusCode::OK, "{}", good.body);

    let two_secrets = p.post("/token", &[], &[grant, ("client_id", "robot"), ("client_secret", &robot_secret)]).await;
    assert_eq!(two_secrets.error(), (401, "invalid_client".to_owned()));
    let unregistered = p.post("/token", &[("authorization", &shown("poster", &secret))], &[grant]).await;
    assert_eq!(unregistered.error(), (401, "invalid_client".to_owned()));
    let without = p.post("/token", &[], &[grant, ("client_id", "robot")]).await;
    assert_eq!(without.error(), (401, "invalid_client".to_owned()));
    let assertion = p.post("/token", &[], &[grant, ("client_id", "robot"), ("client_assertion", "x")]).await;
    assert_eq!(assertion.error(), (401, "invalid_client".to_owned()));

    let both = [grant, ("client_secret", robot_secret.as_str())];
    assert_eq!(p.post_as(&m.robot, "/token", &both).await.error(), (400, "invalid_request".to_owned()));
    let another = [grant, ("client_id", "poster")];
    assert_eq!(p.post_as(&m.robot, "/token", &another).await.error(), (400, "invalid_request".to_owned()));
    let basic = m.robot.basic();
    let headers = [("authorization", basic.as_str()), ("authorization", basic.as_str())];
    assert_eq!(p.post("/token", &headers, &[grant]).await.error(), (400, "invalid_request".to_owned()));

    let (no_such, bad) = (p.post_as(&unknown, "/token", &[grant]).await, p.post_as(&wrong, "/token", &[grant]).await);
    assert_eq!((no_such.status, &no_such.body), (bad.status, &bad.body));
    assert_eq!(no_such.header("www-authenticate"), bad.header("www-authenticate"));
    assert!(bad.header("www-authenticate").starts_with("Basic "));
});

store_test!(a_secret_with_special_characters_is_form_encoded_in_basic, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let odd = "p%w+r d:&=ä-long-enough-to-be-a-secret";
    let mut cx = p.cx();
    clients::ensure_secret(&mut cx, &"robot".into(), &odd.into()).await.unwrap();
    cx.commit().await.unwrap();
    let grant = [("grant_type", "client_credentials")];
    let encoded = form(&[(odd, "")]);
    let credentials = STANDARD.encode(format!("robot:{}", encoded.trim_end_matches('=')));
    let raw = STANDARD.encode(format!("robot:{odd}"));

    let right = p.post("/token", &[("authorization", &format!("Basic {credentials}"))], &grant).await;
    let wrong = p.post("/token", &[("authorization", &format!("Basic {raw}"))], &grant).await;

    assert_eq!(right.status, StatusCode::OK, "{}", right.body);
    assert_eq!(wrong.error().0, 401);
    drop(m);
});

store_test!(an_expired_secret_and_a_disabled_client_are_nobody, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let mut cx = p.cx();
    let expires_at = cx.now.plus(Duration::from_secs(60));
    let secret = clients::add_secret(&mut cx, &"robot".into(), Some(expires_at)).await.unwrap();
    cx.commit().await.unwrap();
    let second = Caller { id: "robot".to_owned(), secret: Some(secret.secret.expose().clone()) };
    let grant = [("grant_type", "client_credentials")];

    assert_eq!(p.post_as(&second, "/token", &grant).await.status, StatusCode::OK);
    assert_eq!(p.post_as(&m.robot, "/token", &grant).await.status, StatusCode::OK);
    p.advance(60);
    assert_eq!(p.post_as(&second, "/token", &grant).await.error(), (401, "invalid_client".to_owned()));
    let token = p.post_as(&m.robot, "/token", &grant).await.text("access_token");
    let mut cx = p.cx();
    assert!(clients::disable(&mut cx, &"robot".into()).await.unwrap());
    cx.commit().await.unwrap();

    assert_eq!(p.post_as(&m.robot, "/token", &grant).await.error(), (401, "invalid_client".to_owned()));
    assert!(!p.is_active(&m.stock, &token).await);
    let mut cx = p.cx();
    assert!(clients::enable(&mut cx, &"robot".into()).await.unwrap());
    cx.commit().await.unwrap();
    assert!(!p.is_active(&m.stock, &token).await);
    let again = p.post_as(&m.robot, "/token", &grant).await.text("access_token");
    assert!(p.is_active(&m.stock, &again).await);
});

store_test!(only_small_forms_are_read, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let basic = m.robot.basic();
    let send = async |content_type: &str, body: String| {
        let headers = [("content-type", content_type), ("authorization", basic.as_str())];
        p.send(request(Method::POST, "/token", &headers, Body::from(body))).await
    };
    let form_type = "application/x-www-form-urlencoded";

    let json = send("application/json", "{\"grant_type\":\"client_credentials\"}".to_owned()).await;
    let multipart = send("multipart/form-data", "grant_type=client_credentials".to_owned()).await;
    let twice = send(form_type, "grant_type=client_credentials&grant_type=client_credentials".to_owned()).await;
    let big = send(form_type, format!("grant_type=client_credentials&x={}", "a".repeat(64 * 1024))).await;
    let with_charset =
        send("application/x-www-form-urlencoded; charset=UTF-8", "grant_type=client_credentials".to_owned()).await;
    let by_get = p.get("/token?grant_type=client_credentials", &[("authorization", &basic)]).await;

    assert_eq!(json.error(), (400, "invalid_request".to_owned()));
    assert_eq!(multipart.error(), (400, "invalid_request".to_owned()));
    assert_eq!(twice.error(), (400, "invalid_request".to_owned()));
    assert_eq!(big.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(with_charset.status, StatusCode::OK);
    assert_eq!(by_get.status, StatusCode::METHOD_NOT_ALLOWED);
});

store_test!(browsers_may_call_from_any_origin_without_cookies, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let preflight = [("origin", "https://app.example"), ("access-control-request-method", "POST")];

    for path in ["/token", "/revoke", "/userinfo", "/jwks", "/.well-known/openid-configuration"] {
        let answer = p.send(request(Method::OPTIONS, path, &preflight, Body::empty())).await;
        let called = p.get(path, &[("origin", "https://app.example")]).await;

        assert_eq!(
            (answer.status, answer.header("access-control-allow-origin")),
            (StatusCode::NO_CONTENT, "*"),
            "{path}"
        );
        assert!(answer.header("access-control-allow-headers").contains("authorization"), "{path}");
        assert_eq!(called.header("access-control-allow-origin"), "*", "{path}");
        assert_eq!(called.header("access-control-allow-credentials"), "", "{path}");
    }
    for path in ["/introspect", "/events/poll", "/authorize"] {
        let answer = p.send(request(Method::OPTIONS, path, &preflight, Body::empty())).await;

        assert_eq!(answer.header("access-control-allow-origin"), "", "{path}");
    }
});

store_test!(a_client_may_have_jwt_access_tokens, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let spa = ClientSpec {
        client_id: "spa".into(),
        token_endpoint_auth_method: AuthMethod::None,
        access_token_format: TokenFormat::Jwt,
        ..shop_spec()
    };
    let spa = p.client(&spa).await;

    let tokens = p.tokens(&spa, &m.alice, "openid orders_read").await;

    let jwt = tokens.text("access_token");
    let verified = p.verify(&jwt, "at+jwt", ORDERS).await;
    assert!(verified.claims.get("token_use").is_none());
    assert_eq!((verified.text("client_id"), verified.text("account_nr")), (Some("spa"), Some("4711")));
    assert_eq!(verified.text("scope"), Some("openid orders_read"));
    assert!(p.is_active(&m.orders, &jwt).await);
    let userinfo = p.get("/userinfo", &[("authorization", &format!("Bearer {jwt}"))]).await;
    assert_eq!(userinfo.text("sub"), m.alice.as_str());
    assert_eq!(p.post_as(&spa, "/revoke", &[("token", &jwt)]).await.status, StatusCode::OK);
    assert!(!p.is_active(&m.orders, &jwt).await);
    // What an API got for it cannot be used as it.
    let second = p.refresh(&spa, &tokens.text("refresh_token")).await.text("access_token");
    let inner = p.post_accepting(&m.orders, "/introspect", "application/jwt", &[("token", &second)]).await.body;
    let userinfo = p.get("/userinfo", &[("authorization", &format!("Bearer {inner}"))]).await;
    assert_eq!(userinfo.status, StatusCode::UNAUTHORIZED);
    assert_eq!(CALLBACK, shop_spec().redirect_uris[0]);
});
