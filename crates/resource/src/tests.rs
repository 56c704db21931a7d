mod issuer;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::routing::get;
use axum::{Json, Router};
use base::Clock as _;
use futures_util::future::join_all;
use http::header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Request, StatusCode};
use jose::SigningKey;
use serde_json::{Value, json};
use testkit::ManualClock;
use tower::ServiceExt as _;

use super::*;
use issuer::{ISSUER, Issuer};

const API: &str = "https://api.test/orders";

/// An API behind a verifier, its issuer and the time.
struct Stage {
    issuer: Arc<Issuer>,
    key: SigningKey,
    clock: ManualClock,
    verifier: Verifier,
    app: Router,
}

async fn list_orders(principal: Principal) -> Result<Json<Value>, Denied> {
    principal.require_scope("orders:read")?;
    Ok(Json(json!({"subject": principal.subject, "client": principal.client_id, "tenant": principal.claim("tenant")})))
}

impl Stage {
    fn new() -> Self {
        let key = SigningKey::generate(Algorithm::Es256).unwrap();
        let issuer = Arc::new(Issuer::with_key(&key));
        let clock = ManualClock::new();
        let verifier = Verifier::new(Settings::new(ISSUER, API), issuer.clone(), clock.shared());
        let app = Router::new().route("/orders", get(list_orders)).layer(verifier.layer());
        Self { issuer, key, clock, verifier, app }
    }

    fn claims(&self) -> Value {
        let now = self.clock.now().seconds();
        json!({"iss": ISSUER, "aud": API, "sub": "alice", "client_id": "shop", "scope": "orders:read profile",
               "iat": now, "exp": now + 100_000, "jti": "1", "tenant": "north"})
    }

    /// The good claims with one changed, or removed by null.
    fn claims_with(&self, name: &str, value: Value) -> Value {
        let mut claims = self.claims();
        claims[name] = value.clone();
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        }
        claims
    }

    fn token(&self) -> String {
        self.key.sign("at+jwt", &self.claims()).unwrap()
    }

    fn token_of(&self, key: &SigningKey) -> String {
        key.sign("at+jwt", &self.claims()).unwrap()
    }

    async fn ask(&self, authorization: &[&str]) -> (StatusCode, http::HeaderMap, Value) {
        let mut request = Request::get("/orders");
        for value in authorization {
            request = request.header(AUTHORIZATION, *value);
        }
        let response = self.app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 10_000).await.unwrap();
        (parts.status, parts.headers, serde_json::from_slice(&body).unwrap())
    }

    async fn status(&self, token: &str) -> StatusCode {
        self.ask(&[&format!("Bearer {token}")]).await.0
    }

    fn keys_read(&self) -> usize {
        self.issuer.keys_read.load(Ordering::SeqCst)
    }

    fn publish(&self, keys: &[&SigningKey]) {
        *self.issuer.keys.lock().unwrap() = keys.iter().map(|key| key.public_jwk()).collect();
    }

    fn set_down(&self, down: bool) {
        self.issuer.down.store(down, Ordering::SeqCst);
    }
}

fn another_key() -> SigningKey {
    SigningKey::generate(Algorithm::Es256).unwrap()
}

#[tokio::test]
async fn a_good_token_names_the_caller() {
    let stage = Stage::new();
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let (status, _, body) = stage.ask(&[&format!("{scheme} {}", stage.token())]).await;

        assert_eq!(status, StatusCode::OK);
        assert_eq!(body, json!({"subject": "alice", "client": "shop", "tenant": "north"}));
    }
    assert_eq!((stage.issuer.metadata_read.load(Ordering::SeqCst), stage.keys_read()), (1, 1));
}

#[tokio::test]
async fn a_token_is_the_same_to_other_libraries() {
    let stage = Stage::new();
    let claims = stage.claims_with("exp", json!(4_102_444_800_i64));
    let token = stage.key.sign("at+jwt", &claims).unwrap();
    let jwk = stage.key.public_jwk().to_string();

    let ours = stage.verifier.verify(&token).await.unwrap();
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::ES256);
    validation.set_audience(&[API]);
    validation.set_issuer(&[ISSUER]);
    let read: jsonwebtoken::jwk::Jwk = serde_json::from_str(&jwk).unwrap();
    let decoding = jsonwebtoken::DecodingKey::from_jwk(&read).unwrap();
    let theirs = jsonwebtoken::decode::<Value>(&token, &decoding, &validation).unwrap();
    let jwk: jwt_compact::jwk::JsonWebKey<'_> = serde_json::from_str(&jwk).unwrap();
    let untrusted = jwt_compact::UntrustedToken::new(&token).unwrap();
    let validator_key = (&jwk).try_into().unwrap();
    let es256 = jwt_compact::alg::Es256;
    let compact = jwt_compact::AlgorithmExt::validator::<Value>(&es256, &validator_key).validate(&untrusted).unwrap();

    assert_eq!(Value::Object(ours.claims), claims);
    assert_eq!(theirs.claims, claims);
    assert_eq!(compact.claims().custom["sub"], "alice");
}

#[tokio::test]
async fn a_token_with_one_fault_is_refused() {
    let stage = Stage::new();
    let now = stage.clock.now().seconds();
    let mut bad: Vec<String> = [
        ("iss", json!("https://attacker.test")),
        ("iss", Value::Null),
        ("aud", json!("https://api.test/other")),
        ("aud", Value::Null),
        ("exp", json!(now - 31)),
        ("exp", Value::Null),
        ("nbf", json!(now + 31)),
        ("sub", Value::Null),
        ("sub", json!("")),
        ("client_id", Value::Null),
        ("client_id", json!(["shop"])),
        ("scope", json!(["orders:read"])),
        ("scope", json!("orders:read \"")),
    ]
    .into_iter()
    .map(|(claim, value)| stage.key.sign("at+jwt", &stage.claims_with(claim, value)).unwrap())
    .collect();
    // an ID token, a logout token, an event
    bad.extend(["JWT", "", "logout+jwt", "secevent+jwt"].map(|typ| stage.key.sign(typ, &stage.claims()).unwrap()));
    bad.push(stage.token_of(&another_key()));
    bad.push(stage.token_of(&SigningKey::generate(Algorithm::EdDsa).unwrap()));
    bad.push(format!("{}x", stage.token()));
    bad.push("cat_opaque".to_owned());
    bad.push(String::new());
    for token in bad {
        let (status, headers, body) = stage.ask(&[&format!("Bearer {token}")]).await;

        assert_eq!(status, StatusCode::UNAUTHORIZED, "{token}");
        assert_eq!(headers[WWW_AUTHENTICATE], "Bearer error=\"invalid_token\"");
        assert_eq!(headers["content-type"], "application/problem+json");
        assert_eq!(body["status"], 401);
    }
    assert_eq!(stage.status(&stage.token()).await, StatusCode::OK);
}

#[tokio::test]
async fn an_algorithm_that_is_not_pinned_is_refused() {
    let stage = Stage::new();
    let other = SigningKey::generate(Algorithm::EdDsa).unwrap();
    stage.publish(&[&stage.key, &other]);

    assert_eq!(stage.status(&stage.token_of(&other)).await, StatusCode::UNAUTHORIZED);
    assert_eq!(stage.status(&stage.token()).await, StatusCode::OK);
}

#[tokio::test]
async fn a_request_without_one_token_is_refused() {
    let stage = Stage::new();
    let bearer = format!("Bearer {}", stage.token());
    for (authorization, status, challenge) in [
        (vec![], StatusCode::UNAUTHORIZED, "Bearer"),
        (vec!["Basic YTpi"], StatusCode::UNAUTHORIZED, "Bearer"),
        (vec!["Bearer"], StatusCode::UNAUTHORIZED, "Bearer"),
        (vec![&bearer[..], &bearer[..]], StatusCode::BAD_REQUEST, "Bearer error=\"invalid_request\""),
        (vec!["Basic YTpi", &bearer[..]], StatusCode::BAD_REQUEST, "Bearer error=\"invalid_request\""),
    ] {
        let (answered, headers, _) = stage.ask(&authorization).await;

        assert_eq!((answered, &headers[WWW_AUTHENTICATE]), (status, &http::HeaderValue::from_static(challenge)));
    }
}

#[tokio::test]
async fn a_missing_scope_is_named() {
    let stage = Stage::new();
    for scope in [json!("profile"), json!("orders:readall"), json!(""), Value::Null] {
        let token = stage.key.sign("at+jwt", &stage.claims_with("scope", scope)).unwrap();

        let (status, headers, body) = stage.ask(&[&format!("Bearer {token}")]).await;

        assert_eq!(status, StatusCode::FORBIDDEN);
        assert_eq!(headers[WWW_AUTHENTICATE], "Bearer error=\"insufficient_scope\", scope=\"orders:read\"");
        assert!(body["type"].as_str().unwrap().ends_with("/insufficient_scope"));
    }
}

#[tokio::test]
async fn a_route_without_the_layer_does_not_answer() {
    let bare = Router::new().route("/orders", get(list_orders));
    let request = Request::get("/orders").header(AUTHORIZATION, "Bearer x").body(Body::empty()).unwrap();

    assert_eq!(bare.oneshot(request).await.unwrap().status(), StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn a_flood_of_unknown_keys_costs_one_reading_per_cool_down() {
    let stage = Stage::new();
    stage.status(&stage.token()).await;
    let unknown: Vec<String> = (0..20).map(|_| stage.token_of(&another_key())).collect();
    for readings in 2..5 {
        stage.clock.advance(Duration::from_secs(10));

        let answers = join_all(unknown.iter().map(|token| stage.status(token))).await;

        assert!(answers.iter().all(|status| *status == StatusCode::UNAUTHORIZED));
        assert_eq!(stage.keys_read(), readings);
    }
}

#[tokio::test]
async fn a_new_key_is_found() {
    let stage = Stage::new();
    stage.status(&stage.token()).await;
    let new = another_key();
    stage.publish(&[&stage.key, &new]);

    assert_eq!(stage.status(&stage.token_of(&new)).await, StatusCode::UNAUTHORIZED, "within the cool-down");
    stage.clock.advance(Duration::from_secs(10));
    assert_eq!(stage.status(&stage.token_of(&new)).await, StatusCode::OK);
    assert_eq!(stage.status(&stage.token()).await, StatusCode::OK);
}

#[tokio::test]
async fn a_withdrawn_key_goes_out_of_use() {
    let stage = Stage::new();
    stage.status(&stage.token()).await;
    stage.publish(&[&another_key()]);

    stage.clock.advance(Duration::from_secs(299));
    assert_eq!(stage.status(&stage.token()).await, StatusCode::OK);
    stage.clock.advance(Duration::from_secs(1));
    assert_eq!(stage.status(&stage.token()).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn while_the_issuer_is_down_the_last_good_keys_serve() {
    let stage = Stage::new();
    stage.status(&stage.token()).await;
    stage.set_down(true);
    for _ in 0..3 {
        stage.clock.advance(Duration::from_secs(1_000));
        assert_eq!(stage.status(&stage.token()).await, StatusCode::OK);
    }
    assert_eq!(
        stage.status(&stage.token_of(&another_key())).await,
        StatusCode::SERVICE_UNAVAILABLE,
        "an unknown key is no proof of a bad token now"
    );
    stage.set_down(false);
    stage.clock.advance(Duration::from_secs(10));
    assert_eq!(stage.status(&stage.token_of(&another_key())).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_empty_or_broken_set_does_not_replace_a_good_one() {
    let stage = Stage::new();
    stage.status(&stage.token()).await;
    for keys in [vec![], vec![json!({"kty": "oct", "k": "AAAA"})]] {
        *stage.issuer.keys.lock().unwrap() = keys;
        stage.clock.advance(Duration::from_secs(1_000));

        assert_eq!(stage.status(&stage.token()).await, StatusCode::OK);
    }
}

#[tokio::test]
async fn before_the_first_keys_it_is_an_outage() {
    let stage = Stage::new();
    stage.set_down(true);
    for _ in 0..5 {
        let (status, headers, _) = stage.ask(&[&format!("Bearer {}", stage.token())]).await;

        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(headers[RETRY_AFTER], "11");
        assert!(!headers.contains_key(WWW_AUTHENTICATE));
    }
    assert_eq!(stage.issuer.metadata_read.load(Ordering::SeqCst), 1);

    stage.set_down(false);
    stage.clock.advance(Duration::from_secs(10));
    assert_eq!(stage.status(&stage.token()).await, StatusCode::OK);
}

#[tokio::test]
async fn metadata_that_is_not_the_issuers_is_refused() {
    for metadata in [
        json!({"issuer": "https://attacker.test", "jwks_uri": format!("{ISSUER}/jwks")}),
        json!({"issuer": format!("{ISSUER}/"), "jwks_uri": format!("{ISSUER}/jwks")}),
        json!({"issuer": ISSUER, "jwks_uri": "http://login.test/jwks"}),
        json!({"issuer": ISSUER, "jwks_uri": "file:///jwks"}),
        json!({"issuer": ISSUER, "jwks_uri": "/jwks"}),
        json!({"issuer": ISSUER, "jwks_uri": format!("{ISSUER}/elsewhere")}),
        json!({"issuer": ISSUER}),
        json!([]),
    ] {
        let stage = Stage::new();
        *stage.issuer.metadata.lock().unwrap() = metadata.clone();

        assert_eq!(stage.status(&stage.token()).await, StatusCode::SERVICE_UNAVAILABLE, "{metadata}");
    }
}

#[tokio::test]
async fn many_first_requests_read_the_keys_once() {
    let stage = Stage::new();
    let token = stage.token();

    let answers = join_all((0..50).map(|_| stage.status(&token))).await;

    assert!(answers.iter().all(|status| *status == StatusCode::OK));
    assert_eq!((stage.issuer.metadata_read.load(Ordering::SeqCst), stage.keys_read()), (1, 1));
}

#[tokio::test]
async fn a_client_that_hangs_up_does_not_break_off_the_reading() {
    let stage = Stage::new();
    let answers = stage.issuer.answers.forget_permits(1_000);
    let token = stage.token();
    let mut request = Box::pin(stage.status(&token));
    while stage.issuer.metadata_read.load(Ordering::SeqCst) == 0 {
        let polled = std::future::poll_fn(|cx| Poll::Ready(request.as_mut().poll(cx))).await;
        assert!(polled.is_pending());
        tokio::task::yield_now().await;
    }

    drop(request);
    stage.issuer.answers.add_permits(answers);

    assert_eq!(stage.status(&token).await, StatusCode::OK);
    assert_eq!((stage.issuer.metadata_read.load(Ordering::SeqCst), stage.keys_read()), (1, 1));
}
