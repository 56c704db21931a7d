//! Each wrong answer of a token service gets its right status, and nothing is sent on.

use std::time::Duration;

use base::peer::PeerError;
use bytes::Bytes;
use http::Response;
use jose::{Algorithm, SigningKey};
use serde_json::{Value, json};

use super::House;
use super::house::{RESOURCES, TOKEN, answer, jwt_answer};

type Answer = Result<Response<Bytes>, PeerError>;

fn house(form: &str) -> House {
    House::with(&RESOURCES.replace("cache: {", &format!("form: {form}, cache: {{")))
}

async fn check(house: &House, name: &str, given: Answer, status: u16, slug: &str) {
    house.issuer.answers(move |_| given.as_ref().map(copy).map_err(Clone::clone));
    // A token of its own, so that nothing that was kept before answers for it.
    let sent = house.call(&format!("{TOKEN}-{}", name.len() + house.issuer.asked() * 1000)).await;
    match status {
        200 => assert_eq!(sent.status(), 200, "{name}"),
        _ => assert_eq!((sent.status(), sent.slug().as_str()), (status, slug), "{name}"),
    }
}

fn copy(response: &Response<Bytes>) -> Response<Bytes> {
    let mut copy = Response::new(response.body().clone());
    *copy.status_mut() = response.status();
    *copy.headers_mut() = response.headers().clone();
    copy
}

const OUT: (u16, &str) = (503, "token_service_unavailable");
const BAD: (u16, &str) = (502, "token_service_untrusted");
const NO: (u16, &str) = (401, "invalid_token");

#[tokio::test(flavor = "multi_thread")]
async fn a_jwt_is_verified_before_it_goes_on() {
    let house = house("jwt");
    let now = house.clock_seconds();
    let with = |changes: Value| Ok(jwt_answer(&house.issuer.jwt(&changes), None));
    let stranger = SigningKey::generate(Algorithm::Es256).unwrap();
    let typed = |typ: &str| Ok(jwt_answer(&house.issuer.sign(typ, &house.issuer.claims(&json!({}))), None));
    let good = house.issuer.jwt(&json!({}));
    let (head, tail) = good.rsplit_once('.').unwrap();
    let unsigned = format!("eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.{}.", good.split('.').nth(1).unwrap());
    let twisted = format!("{head}.{}{}", if tail.starts_with('A') { "B" } else { "A" }, &tail[1..]);

    for (name, answer, (status, slug)) in [
        ("good", with(json!({})), (200, "")),
        ("audience in a list", with(json!({"aud": ["x", "https://orders.internal"]})), (200, "")),
        ("other issuer", with(json!({"iss": "http://evil.test"})), BAD),
        ("issuer with a slash", with(json!({"iss": "http://issuer.test/"})), BAD),
        ("other audience", with(json!({"aud": "https://other.internal"})), BAD),
        ("no audience", with(json!({"aud": null})), BAD),
        ("expired", with(json!({"exp": now - 6})), BAD),
        ("no expiry", with(json!({"exp": null})), BAD),
        ("not yet", with(json!({"nbf": now + 60})), BAD),
        ("ID token", typed("JWT"), BAD),
        ("logout token", typed("logout+jwt"), BAD),
        ("no type", typed(""), BAD),
        ("strange key", Ok(jwt_answer(&stranger.sign("at+jwt", &house.issuer.claims(&json!({}))).unwrap(), None)), BAD),
        ("alg none", Ok(jwt_answer(&unsigned, None)), BAD),
        ("twisted signature", Ok(jwt_answer(&twisted, None)), BAD),
        ("cut", Ok(jwt_answer(head, None)), BAD),
        ("empty", Ok(jwt_answer("", None)), BAD),
        ("bound to a key", with(json!({"cnf": {"jkt": "x"}})), (401, "token_bound")),
    ] {
        check(&house, name, answer, status, slug).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn statuses_and_media_types_count() {
    let house = house("jwt");
    let jwt = house.issuer.jwt(&json!({}));
    let of = |status: u16, media_type: Option<&str>, body: &str| Ok(answer(status, media_type, body, None));
    let jwt_type = Some("application/jwt");
    let inactive = "{\"active\": false}";
    let mut twice = answer(200, jwt_type, &jwt, None);
    twice.headers_mut().append("content-type", http::HeaderValue::from_static("text/html"));

    for (name, answer, (status, slug)) in [
        ("good with parameter", of(200, Some("Application/JWT; charset=utf-8"), &jwt), (200, "")),
        ("no content", of(204, None, ""), NO),
        ("inactive as JSON", of(200, Some("application/json"), inactive), NO),
        ("inactive as JWT", of(200, jwt_type, inactive), NO),
        ("inactive as HTML", of(200, Some("text/html"), inactive), NO),
        ("inactive as nothing", of(200, None, inactive), NO),
        ("active as JSON", of(200, Some("application/json"), "{\"active\": true}"), BAD),
        ("JWT as text", of(200, Some("text/plain"), &jwt), BAD),
        ("JWT as introspection", of(200, Some("application/token-introspection+jwt"), &jwt), BAD),
        ("JWT as nothing", of(200, None, &jwt), BAD),
        ("two media types", Ok(twice), BAD),
        ("created", of(201, jwt_type, &jwt), BAD),
        ("redirect", of(302, jwt_type, &jwt), BAD),
        ("bad request", of(400, jwt_type, &jwt), BAD),
        ("not found", of(404, jwt_type, &jwt), BAD),
        ("unauthorized", of(401, jwt_type, &jwt), (502, "token_service_refused")),
        ("forbidden", of(403, jwt_type, &jwt), (502, "token_service_refused")),
        ("too many", of(429, jwt_type, &jwt), OUT),
        ("error", of(500, jwt_type, &jwt), OUT),
        ("error that says inactive", of(500, Some("application/json"), inactive), OUT),
        ("unavailable", of(503, jwt_type, inactive), OUT),
        ("no text", Ok(Response::new(Bytes::from_static(b"\xff\xfe"))), BAD),
        ("unreachable", Err(PeerError::Unreachable), OUT),
        ("broken off", Err(PeerError::BrokenOff), OUT),
        ("hanging", Err(PeerError::TimedOut(Duration::from_secs(5))), OUT),
        ("1 MB", Err(PeerError::TooLarge(65_536)), BAD),
    ] {
        check(&house, name, answer, status, slug).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_json_is_taken_at_its_exact_word() {
    let house = house("plain");
    let now = house.clock_seconds();
    let with = |changes: Value| {
        let mut claims = house.issuer.claims(&json!({"active": true}));
        for (name, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => claims.as_object_mut().unwrap().remove(name),
                value => claims.as_object_mut().unwrap().insert(name.clone(), value.clone()),
            };
        }
        Ok(answer(200, Some("application/json"), &claims.to_string(), None))
    };
    let raw = |body: &str| Ok(answer(200, Some("application/json"), body, None));

    for (name, answer, (status, slug)) in [
        ("good", with(json!({})), (200, "")),
        ("bearer", with(json!({"token_type": "Bearer"})), (200, "")),
        ("false", with(json!({"active": false})), NO),
        ("true as text", with(json!({"active": "true"})), BAD),
        ("one", with(json!({"active": 1})), BAD),
        ("unsaid", with(json!({"active": null})), BAD),
        ("refresh token", with(json!({"token_type": "refresh_token"})), NO),
        ("refresh token of another product", with(json!({"typ": "Refresh"})), NO),
        ("ID token", with(json!({"token_use": "id"})), NO),
        ("inner JWT", with(json!({"token_use": "inner"})), NO),
        ("token type no text", with(json!({"token_type": 1})), NO),
        ("DPoP", with(json!({"token_type": "DPoP"})), (401, "token_bound")),
        ("bound", with(json!({"cnf": {"x5t#S256": "x"}})), (401, "token_bound")),
        ("other issuer", with(json!({"iss": "http://evil.test"})), BAD),
        ("no issuer", with(json!({"iss": null})), (200, "")),
        ("other audience", with(json!({"aud": "https://other.internal"})), NO),
        ("no audience", with(json!({"aud": null})), NO),
        ("expired", with(json!({"exp": now - 6})), NO),
        ("expiry no number", with(json!({"exp": "soon"})), BAD),
        ("not yet", with(json!({"nbf": now + 60})), NO),
        ("list", raw("[{\"active\":true}]"), BAD),
        ("twice", raw("{\"active\":true,\"active\":true,\"aud\":\"https://orders.internal\"}"), BAD),
        ("false then true", raw("{\"active\":false,\"active\":true,\"aud\":\"https://orders.internal\"}"), BAD),
        ("trailing", raw("{\"active\":true} x"), BAD),
        ("no content", Ok(answer(204, None, "", None)), BAD),
    ] {
        check(&house, name, answer, status, slug).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jwt_within_json_is_verified_like_any() {
    let house = house("json-member");
    let jwt = house.issuer.jwt(&json!({}));
    let wrong = house.issuer.jwt(&json!({"aud": "x"}));
    let of = |body: Value| Ok(answer(200, Some("application/json"), &body.to_string(), None));

    for (name, answer, (status, slug)) in [
        ("jwt", of(json!({"active": true, "jwt": jwt})), (200, "")),
        ("phantom_token", of(json!({"active": true, "phantom_token": jwt})), (200, "")),
        ("inactive with a jwt", of(json!({"active": false, "jwt": jwt})), NO),
        ("unsaid", of(json!({"jwt": jwt})), BAD),
        ("no jwt", of(json!({"active": true})), BAD),
        ("wrong jwt", of(json!({"active": true, "jwt": wrong})), BAD),
        ("refresh token", of(json!({"active": true, "token_type": "refresh_token", "jwt": jwt})), NO),
    ] {
        check(&house, name, answer, status, slug).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_answer_is_verified_and_never_itself_sent_on() {
    let house = house("rfc9701");
    let now = house.clock_seconds();
    let inner = house.issuer.claims(&json!({"active": true}));
    let signed = |typ: &str, changes: Value| {
        let mut claims =
            json!({"iss": "http://issuer.test", "aud": "gate:way", "iat": now, "token_introspection": inner});
        for (name, value) in changes.as_object().unwrap() {
            claims.as_object_mut().unwrap().insert(name.clone(), value.clone());
        }
        let jwt = house.issuer.sign(typ, &claims);
        Ok(answer(200, Some("application/token-introspection+jwt"), &jwt, None))
    };
    let typ = "token-introspection+jwt";

    for (name, answer, (status, slug)) in [
        ("good", signed(typ, json!({})), (200, "")),
        ("inactive", signed(typ, json!({"token_introspection": {"active": false}})), NO),
        ("no answer in it", signed(typ, json!({"token_introspection": 1})), BAD),
        ("for another", signed(typ, json!({"aud": "other"})), BAD),
        ("by another", signed(typ, json!({"iss": "http://evil.test"})), BAD),
        ("an access token", signed("at+jwt", json!({})), BAD),
        ("expired", signed(typ, json!({"exp": now - 60})), BAD),
    ] {
        check(&house, name, answer, status, slug).await;
    }
    house.issuer.answers({
        let good = signed(typ, json!({})).unwrap();
        move |_| Ok(copy(&good))
    });
    let sent = house.call("once-more").await;
    let authorization = sent.forward().headers["authorization"].to_str().unwrap().to_owned();
    let header = jose::header_of(authorization.strip_prefix("Bearer ").unwrap()).unwrap();
    assert_eq!(header.typ.as_deref(), Some("at+jwt"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_jwt_is_verified_here() {
    let house = House::with(&RESOURCES.replace(
        "introspection: { as: 'gate:way', secret: file:gateway.secret, cache: { maxTtl: 300s } }",
        "jwks: {}\n  types: [JWT]\n  audiences: [their-name-for-us]",
    ));
    let token = |typ: &str, changes: Value| house.issuer.sign(typ, &house.issuer.claims(&changes));

    let good = token("JWT", json!({}));
    assert_eq!(house.call(&good).await.forward().headers["authorization"], format!("Bearer {good}"));
    assert_eq!(house.call(&token("JWT", json!({"aud": "their-name-for-us"}))).await.status(), 200);
    for wrong in [
        token("at+jwt", json!({})),
        token("JWT", json!({"aud": "x"})),
        token("JWT", json!({"iss": "x"})),
        token("JWT", json!({"exp": 1})),
        token("JWT", json!({"token_use": "inner"})),
        "a.b.c".to_owned(),
        "opaque".to_owned(),
    ] {
        assert_eq!(house.call(&wrong).await.status(), 401);
    }
    assert_eq!(house.issuer.asked(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_unknown_keys_is_one_fetch() {
    let house = house("jwt");
    house.call(TOKEN).await;
    let before = house.issuer.key_fetches.load(std::sync::atomic::Ordering::SeqCst);
    house.clock.advance(Duration::from_secs(10));

    for number in 0..20 {
        let stranger = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let jwt = stranger.sign("at+jwt", &house.issuer.claims(&json!({}))).unwrap();
        check(&house, &"x".repeat(number), Ok(jwt_answer(&jwt, None)), BAD.0, BAD.1).await;
    }

    assert_eq!(house.issuer.key_fetches.load(std::sync::atomic::Ordering::SeqCst) - before, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_is_fetched_when_it_is_needed() {
    let house = house("jwt");
    house.call(TOKEN).await;
    house.clock.advance(Duration::from_secs(10));
    *house.issuer.key.lock().unwrap() = std::sync::Arc::new(SigningKey::generate(Algorithm::Es256).unwrap());

    let jwt = house.issuer.jwt(&json!({}));
    check(&house, "new key", Ok(jwt_answer(&jwt, None)), 200, "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_keys_and_metadata_serve_on_while_new_ones_cannot_be_had() {
    let house = house("jwt");
    house.call(TOKEN).await;
    *house.issuer.documents_down.lock().unwrap() = true;
    house.clock.advance(Duration::from_secs(3_600));

    let jwt = house.issuer.jwt(&json!({}));
    check(&house, "old keys", Ok(jwt_answer(&jwt, None)), 200, "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_keys_nothing_is_believed() {
    let house = house("jwt");
    *house.issuer.documents_down.lock().unwrap() = true;

    let jwt = house.issuer.jwt(&json!({}));
    check(&house, "no keys", Ok(jwt_answer(&jwt, None)), OUT.0, OUT.1).await;
}
