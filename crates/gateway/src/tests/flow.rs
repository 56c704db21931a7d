use serde_json::{Value, json};

use super::house::{AUDIENCE, RESOURCES, TOKEN, answer, jwt_answer};
use super::{House, Sent};

#[tokio::test(flavor = "multi_thread")]
async fn an_opaque_token_comes_in_and_a_jwt_goes_on() {
    let house = House::new();
    let jwt = house.issuer.jwt(&json!({}));
    let told = jwt.clone();
    house.issuer.answers(move |_| Ok(jwt_answer(&told, Some("max-age=60"))));

    let sent =
        house.get("/orders/%34%32?a=b", &[("authorization", "bearer opaque-token-0001"), ("cookie", "c=1")]).await;

    let forward = sent.forward();
    assert_eq!(forward.headers["authorization"], format!("Bearer {jwt}"));
    assert_eq!(forward.headers["cookie"], "c=1");
    assert_eq!(forward.path_and_query, "/orders/42?a=b");
    assert_eq!(forward.answer_secret.as_deref(), Some(jwt.as_bytes()));
    assert!(!format!("{:?}", forward.headers).contains(TOKEN));
    assert_eq!(sent.exchange.route.as_deref(), Some("orders-read"));
    assert_eq!(sent.exchange.client_id.as_deref(), Some("shop"));
    assert_eq!(sent.exchange.token_cache, Some("miss"));

    let again = house.call(TOKEN).await;
    assert_eq!((again.status(), again.exchange.token_cache, house.issuer.asked()), (200, Some("hit"), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_question_is_form_encoded_and_authenticated() {
    let house = House::new();

    house.call("a+b/c~d==").await;

    let seen = house.issuer.seen.lock().unwrap();
    let (headers, body) = &seen[0];
    assert_eq!(body, "token=a%2Bb%2Fc%7Ed%3D%3D&token_type_hint=access_token&resource=https%3A%2F%2Forders.internal");
    assert_eq!(headers["accept"], "application/jwt");
    assert_eq!(headers["content-type"], "application/x-www-form-urlencoded");
    // RFC 6749 §2.3.1: `gate:way` and `s&e:c ret%`, each form-encoded before they are joined.
    assert_eq!(headers["authorization"], "Basic Z2F0ZSUzQXdheTpzJTI2ZSUzQWMrcmV0JTI1");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_service_gets_a_jwt_of_its_own_audience() {
    let house = House::with(&format!(
        "{RESOURCES}---\nkind: Service\nname: bills\nspec: {{ upstream: pool, audience: https://bills.internal }}\n---\nkind: Route\nname: bills\nspec: {{ match: {{ path: /bills }}, service: bills, auth: {{ issuer: main }} }}\n"
    ));
    let (orders, bills) = (house.issuer.jwt(&json!({})), house.issuer.jwt(&json!({"aud": "https://bills.internal"})));
    let (to_orders, to_bills) = (orders.clone(), bills.clone());
    house.issuer.answers(move |request| {
        let bills = request.body().ends_with(b"&resource=https%3A%2F%2Fbills.internal");
        Ok(jwt_answer(if bills { &to_bills } else { &to_orders }, None))
    });

    for _ in 0..2 {
        let bearer = [("authorization", "Bearer opaque-token-0001")];
        assert_eq!(
            house.get("/orders/1", &bearer).await.forward().headers["authorization"],
            format!("Bearer {orders}")
        );
        assert_eq!(house.get("/bills", &bearer).await.forward().headers["authorization"], format!("Bearer {bills}"));
    }
    assert_eq!(house.issuer.asked(), 2);
}

async fn denied(house: &House, method: &str, path: &str, headers: &[(&str, &str)]) -> (u16, String, Sent) {
    let sent = house.send(method, path, headers).await;
    assert_eq!(sent.answer().headers()["content-type"], "application/problem+json");
    assert_eq!(sent.field("x-request-id"), sent.exchange.request_id.as_str());
    let slug = sent.slug();
    assert_eq!(sent.exchange.denied, Some(slug.as_str()));
    (sent.status(), slug, sent)
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_the_challenge_says_where_to_get_one() {
    let house = House::new();

    for headers in [&[][..], &[("authorization", "Basic Bearer x")], &[("authorization", "DPoP x")]] {
        let (status, slug, sent) = denied(&house, "GET", "/orders/1?access_token=opaque-token-0001", headers).await;

        assert_eq!((status, slug.as_str()), (401, "token_missing"));
        assert_eq!(
            sent.field("www-authenticate"),
            "Bearer realm=\"orders\", scope=\"orders_read\", resource_metadata=\"https://api.test/.well-known/oauth-protected-resource/orders\""
        );
    }
    assert_eq!(house.issuer.asked(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_token_costs_no_question() {
    let house = House::new();

    for value in ["Bearer", "Bearer a b", "Bearer a&b", "Bearer %41"] {
        let (status, slug, sent) = denied(&house, "GET", "/orders/1", &[("authorization", value)]).await;
        assert_eq!((status, slug.as_str()), (401, "invalid_token"));
        assert!(sent.field("www-authenticate").contains("error=\"invalid_token\""));
    }
    let two = [("authorization", "Bearer a"), ("authorization", "Bearer a")];
    let (status, slug, sent) = denied(&house, "GET", "/orders/1", &two).await;
    assert_eq!((status, slug.as_str()), (400, "invalid_request"));
    assert!(sent.field("www-authenticate").contains("error=\"invalid_request\""));
    assert_eq!(house.issuer.asked(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn junk_costs_no_question_where_the_form_of_tokens_is_known() {
    let house = House::with(&RESOURCES.replace("cache: {", "tokenPrefix: cat_, cache: {"));
    let good = base::handle::encode("cat_", b"0123456789abcdef0123456789abcdef");
    let mut wrong = good.clone();
    wrong.pop();
    wrong.push(if good.ends_with('A') { 'B' } else { 'A' });

    for token in ["junk", "cat_", "cat_junkjunkjunk", &wrong, "a.b.c"] {
        assert_eq!(house.call(token).await.status(), 401, "{token}");
    }
    assert_eq!(house.issuer.asked(), 0);
    assert_eq!(house.call(&good).await.status(), 200);
    // A JWT access token of the issuer is no junk; only the issuer knows whether it is still active.
    assert_eq!(house.call(&house.issuer.jwt(&json!({"jti": "another"}))).await.status(), 200);
    assert_eq!(house.issuer.asked(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn scopes_and_claims_are_looked_at_on_every_request() {
    let house = House::new();
    let put = |token: &'static str| house.send("PUT", "/orders/1", token_header(token));

    house.call("shared").await;
    let sent = put("Bearer shared").await;
    assert_eq!((sent.status(), sent.slug().as_str(), house.issuer.asked()), (403, "insufficient_scope", 1));
    assert_eq!(
        sent.field("www-authenticate"),
        "Bearer realm=\"orders\", error=\"insufficient_scope\", scope=\"orders_write\", resource_metadata=\"https://api.test/.well-known/oauth-protected-resource/orders\""
    );
    for (tenant, status) in
        [(json!("a"), 200), (json!(["x", "b"]), 200), (json!("c"), 403), (json!(["x"]), 403), (Value::Null, 403)]
    {
        let house = House::new();
        let jwt = house.issuer.jwt(&json!({"scope": "orders_write", "tenant": tenant}));
        house.issuer.answers(move |_| Ok(jwt_answer(&jwt, None)));
        let sent = house.send("PUT", "/orders/1", token_header("Bearer t")).await;
        assert_eq!(sent.status(), status, "{tenant}");
    }
}

fn token_header(value: &'static str) -> &'static [(&'static str, &'static str)] {
    Box::leak(Box::new([("authorization", value)]))
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_and_methods_that_are_not_served_are_told_apart() {
    let house = House::new();

    assert_eq!(denied(&house, "GET", "/nothing", &[]).await.1, "no_route");
    let (status, _, sent) = denied(&house, "POST", "/orders/1", &[]).await;
    assert_eq!((status, sent.field("allow")), (405, "GET, HEAD, PUT"));
    for path in ["/orders/..", "/orders/%2e%2e/public/x", "/public/%2fx", "/public//x", "/public/..;/x", "/public/%00"]
    {
        assert_eq!(denied(&house, "GET", path, &[]).await.1, "bad_path", "{path}");
    }
    assert_eq!(house.send("OPTIONS", "*", &[]).await.status(), 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_route_needs_no_token_and_passes_none_on() {
    let house = House::new();

    let sent = house.get("/public/a/b", &[("authorization", "Bearer opaque-token-0001")]).await;

    assert!(!sent.forward().headers.contains_key("authorization"));
    assert_eq!(house.issuer.asked(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_system_behind_the_gateway_gets_what_was_sent() {
    let house = House::with(&format!(
        "{RESOURCES}---\nkind: Service\nname: identity\nspec: {{ upstream: pool, identity: {{ forward: as-received }}, host: preserve }}\n---\nkind: Route\nname: identity\nspec: {{ match: {{ path: '/auth/{{rest...}}' }}, service: identity, auth: none, rewrite: {{ path: '/{{rest...}}' }} }}\n"
    ));

    let sent = house.send("POST", "/auth/token", &[("authorization", "Basic Y2xpZW50OnNlY3JldA==")]).await;

    assert_eq!(sent.forward().headers["authorization"], "Basic Y2xpZW50OnNlY3JldA==");
    assert_eq!(sent.forward().path_and_query, "/token");
    assert_eq!(sent.forward().authority.as_ref().unwrap(), "api.test");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_is_answered_by_configuration() {
    let house = House::new();
    let ask = |origin: &'static str, method: &'static str| {
        house.send(
            "OPTIONS",
            "/orders/1",
            Box::leak(Box::new([("origin", origin), ("access-control-request-method", method)])),
        )
    };

    let allowed = ask("https://app.test", "PUT").await;
    assert_eq!(allowed.status(), 204);
    assert_eq!(allowed.field("access-control-allow-origin"), "https://app.test");
    assert_eq!(allowed.field("access-control-allow-credentials"), "true");
    assert_eq!(allowed.field("access-control-allow-methods"), "PUT");
    assert_eq!(allowed.field("access-control-allow-headers"), "authorization, content-type");
    let vary: Vec<_> = allowed.answer().headers().get_all("vary").iter().collect();
    assert!(vary.iter().any(|value| *value == "Origin"));

    let foreign = ask("https://evil.test", "PUT").await;
    assert_eq!((foreign.status(), foreign.field("access-control-allow-origin")), (204, ""));
    assert_eq!((foreign.field("access-control-allow-methods"), foreign.field("access-control-max-age")), ("", ""));

    // Not a preflight of a method that is served: an ordinary request, which the route does not take.
    assert_eq!(ask("https://app.test", "DELETE").await.status(), 405);
    assert_eq!(house.send("OPTIONS", "/orders/1", &[]).await.status(), 405);
    assert_eq!(house.issuer.asked(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_readable_for_an_allowed_origin_and_only_for_it() {
    let house = House::new();
    let origin = ("origin", "https://app.test");

    let denied = house.get("/orders/1", &[origin]).await;
    assert_eq!((denied.status(), denied.field("access-control-allow-origin")), (401, "https://app.test"));
    assert_eq!(
        denied.field("access-control-expose-headers"),
        "etag, x-request-id, ratelimit, ratelimit-policy, retry-after, deprecation, sunset"
    );

    let foreign = house.get("/orders/1", &[("origin", "https://app.test.evil.test")]).await;
    assert_eq!((foreign.field("access-control-allow-origin"), foreign.field("vary")), ("", "Origin"));

    let sent = house.get("/orders/1", &[origin, ("authorization", "Bearer t")]).await;
    let mut answer = http::HeaderMap::new();
    answer.insert("access-control-allow-origin", http::HeaderValue::from_static("*"));
    answer.insert("vary", http::HeaderValue::from_static("Accept-Encoding"));
    sent.forward().clean(&mut answer);
    sent.exchange.dress(&mut answer);
    assert_eq!(answer["access-control-allow-origin"], "https://app.test");
    assert_eq!(answer.get_all("vary").iter().count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_inner_jwt_does_not_leave_by_an_answer_header() {
    let house = House::new();
    let sent = house.call(TOKEN).await;
    let authorization = sent.forward().headers["authorization"].clone();
    let jwt = authorization.to_str().unwrap().strip_prefix("Bearer ").unwrap();

    let mut answer = http::HeaderMap::new();
    for (name, value) in
        [("x-debug", format!("got {jwt}!")), ("authorization", format!("Bearer {jwt}")), ("etag", "1".to_owned())]
    {
        answer.insert(name, http::HeaderValue::from_str(&value).unwrap());
    }
    sent.forward().clean(&mut answer);

    assert_eq!(answer.keys().map(http::HeaderName::as_str).collect::<Vec<_>>(), ["etag"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_of_the_protected_resource_is_served() {
    let house = House::new();

    let sent = house.get("/.well-known/oauth-protected-resource/orders", &[("host", "evil.test")]).await;

    let document: Value = serde_json::from_slice(sent.answer().body()).unwrap();
    assert_eq!(
        document,
        json!({
            "resource": "https://api.test/orders",
            "authorization_servers": ["http://issuer.test"],
            "scopes_supported": ["orders_read", "orders_write"],
            "bearer_methods_supported": ["header"],
        })
    );
    assert_eq!(house.get("/.well-known/oauth-protected-resource/other", &[]).await.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_issuer_gives_no_jwt_the_gateway_signs_one() {
    let house = House::with(&RESOURCES.replace("cache: {", "form: plain, cache: {"));
    let mut plain =
        house.issuer.claims(&json!({"active": true, "token_type": "Bearer", "exp": house.clock_seconds() + 90}));
    plain.as_object_mut().unwrap().remove("iss");
    let body = plain.to_string();
    house.issuer.answers(move |_| Ok(answer(200, Some("application/json; charset=utf-8"), &body, None)));

    let sent = house.call(TOKEN).await;

    let jwks = house.get("/.well-known/jwks.json", &[]).await;
    let keys = jose::KeySet::parse(jwks.answer().body()).unwrap();
    let jwt = sent.forward().headers["authorization"].to_str().unwrap().strip_prefix("Bearer ").unwrap().to_owned();
    let expected = jose::Expected {
        types: &["at+jwt"],
        issuer: Some("https://api.test"),
        audience: Some(AUDIENCE),
        algorithms: &[jose::Algorithm::Es256],
        now: base::Clock::now(&house.clock),
        leeway: std::time::Duration::ZERO,
        expiry_required: true,
    };
    let verified = keys.verify(&jwt, &expected).unwrap();
    assert_eq!(verified.text("sub"), Some("alice"));
    assert_eq!(verified.text("scope"), Some("openid orders_read"));
    assert_eq!(verified.text("token_issuer"), Some("http://issuer.test"));
    assert_eq!(verified.claims["exp"], house.clock_seconds() + 90);
    assert!(!verified.claims.contains_key("active"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_is_continued_and_forged_ids_are_not() {
    let house = House::new();
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    let sent =
        house.get("/public/x", &[("traceparent", parent), ("tracestate", "a=b"), ("x-request-id", "forged")]).await;
    let headers = &sent.forward().headers;
    let made = headers["traceparent"].to_str().unwrap();
    assert!(made.starts_with("00-0af7651916cd43dd8448eb211c80319c-") && made.ends_with("-01") && made != parent);
    assert_eq!(headers["tracestate"], "a=b");
    assert_eq!(headers["x-request-id"], sent.exchange.request_id.as_str());

    for wrong in [
        "",
        "00-0-0-0",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ] {
        let sent = house.get("/public/x", &[("traceparent", wrong), ("tracestate", "a=b")]).await;
        let headers = &sent.forward().headers;
        assert_eq!(headers["traceparent"].len(), 55);
        assert!(!headers.contains_key("tracestate"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_what_happened() {
    let house = House::new();
    house.call(TOKEN).await;
    house.call(TOKEN).await;
    house.get("/orders/1", &[]).await;

    let text = house.gateway.metrics_text();

    for line in [
        "cardea_token_lookups_total{reason=\"hit\"} 1",
        "cardea_token_lookups_total{reason=\"miss\"} 1",
        "cardea_denied_total{reason=\"token_missing\"} 1",
        "http_server_request_duration_seconds_count{http_request_method=\"GET\",http_response_status_code=\"200\",http_route=\"orders-read\"} 2",
        "cardea_introspection_duration_seconds_count{issuer=\"main\",outcome=\"active\"} 1",
        "cardea_token_cache_entries{issuer=\"main\"} 1",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(!text.contains(TOKEN));
}
