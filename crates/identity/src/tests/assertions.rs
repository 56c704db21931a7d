//! `private_key_jwt`: what an assertion must be, one thing wrong at a time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base::peer::{Limits, Peer, PeerError};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use jose::{Algorithm, SigningKey};
use serde_json::{Value, json};
use testkit::db::TestDb;
use testkit::store_test;

use super::actors::{Answer, STOCK};
use super::platform::{ISSUER, Platform, config};
use crate::MIGRATIONS;
use crate::clients::{AuthMethod, ClientSpec, GrantType};
use crate::scopes::Audiences;

const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

fn signer_spec(key: &SigningKey) -> ClientSpec {
    ClientSpec {
        token_endpoint_auth_method: AuthMethod::PrivateKeyJwt,
        jwks: Some(json!({"keys": [key.public_jwk()]})),
        grant_types: vec![GrantType::ClientCredentials],
        scopes: base::scope::Scopes::parse("stock_read").unwrap(),
        introspect: Audiences::one(STOCK),
        ..ClientSpec::named("signer")
    }
}

/// Good claims; tests change one of them.
fn claims(p: &Platform) -> Value {
    let now = p.identity.clock.now().seconds();
    json!({
        "iss": "signer", "sub": "signer", "aud": ISSUER, "iat": now, "exp": now + 60, "jti": base::random::text::<9>(),
    })
}

async fn show(p: &Platform, assertion: &str) -> Answer {
    let form = [("grant_type", "client_credentials"), ("client_assertion_type", TYPE), ("client_assertion", assertion)];
    p.post("/token", &[], &form).await
}

store_test!(a_client_shows_itself_by_its_signature_at_each_endpoint, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    p.market().await;
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    p.apply(&signer_spec(&key)).await;

    let token = show(&p, &key.sign("JWT", &claims(&p)).unwrap()).await;
    assert_eq!(token.status, 200, "{}", token.body);
    let token = token.text("access_token");
    let assertion = || key.sign("client-authentication+jwt", &claims(&p)).unwrap();
    let with = |path: &'static str, assertion: String| {
        let (p, token) = (&p, token.clone());
        async move {
            let form = [("client_assertion_type", TYPE), ("client_assertion", assertion.as_str()), ("token", &token)];
            p.post(path, &[], &form).await
        }
    };
    let introspected = with("/introspect", assertion()).await;
    assert_eq!(introspected.json()["active"], true, "{}", introspected.body);
    assert_eq!(with("/revoke", assertion()).await.status, 200);
    assert_eq!(with("/introspect", assertion()).await.json()["active"], false);
    let used = assertion();
    assert_eq!(with("/introspect", used.clone()).await.status, 200);
    assert_eq!(with("/revoke", used).await.error(), (401, "invalid_client".to_owned()), "once, wherever that was");
});

store_test!(a_client_that_signs_polls_events_by_a_token_of_its_own, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    p.apply(&ClientSpec { events: true, ..signer_spec(&key) }).await;
    let token = async |scope: &str| {
        let assertion = key.sign("JWT", &claims(&p)).unwrap();
        let form = [
            ("grant_type", "client_credentials"),
            ("client_assertion_type", TYPE),
            ("client_assertion", &assertion),
            ("scope", scope),
        ];
        p.post("/token", &[], &form).await
    };
    let poll = async |token: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        let body = axum::body::Body::from(json!({"returnImmediately": true}).to_string());
        p.send(crate::tests::actors::request(http::Method::POST, "/events/poll", &headers, body)).await
    };

    let good = token("events.poll").await.text("access_token");
    let answer = poll(&good).await;
    assert_eq!(answer.status, 200, "{}", answer.body);

    // Not by a token for others too, nor for others, nor a person's, nor a gateway's.
    let wide = token("events.poll stock_read").await.text("access_token");
    let other = token("stock_read").await.text("access_token");
    let person = p.tokens(&m.shop, &m.alice, "openid stock_read").await.text("access_token");
    for wrong in [wide.as_str(), &other, &person, "nonsense", "cat_nonsense"] {
        let answer = poll(wrong).await;
        assert_eq!(answer.error(), (401, "invalid_token".to_owned()), "{}", answer.body);
        assert!(answer.header("www-authenticate").starts_with("Bearer"));
    }
    // Nobody gets it without asking for it, nor who may not poll; who may no more has none.
    assert_eq!(token("stock_read").await.text("scope"), "stock_read");
    let form = [("grant_type", "client_credentials"), ("scope", "events.poll")];
    assert_eq!(p.post_as(&m.robot, "/token", &form).await.error(), (400, "invalid_scope".to_owned()));
    p.apply(&ClientSpec { events: false, ..signer_spec(&key) }).await;
    assert!([401, 403].contains(&poll(&good).await.error().0));
});

store_test!(an_assertion_with_one_thing_wrong_shows_nothing, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    p.market().await;
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let stranger = SigningKey::generate(Algorithm::Es256).unwrap();
    p.apply(&signer_spec(&key)).await;
    let now = p.identity.clock.now().seconds();
    let token_endpoint = format!("{ISSUER}/token");
    let signed = |name: &str, value: Value| {
        let mut claims = claims(&p);
        claims[name] = value;
        key.sign("JWT", &claims).unwrap()
    };

    for (name, value) in [
        ("iss", json!("shop")),
        ("iss", json!("nobody")),
        ("sub", json!("shop")),
        ("sub", Value::Null),
        ("aud", json!("https://other.example")),
        ("aud", json!([ISSUER, "https://other.example"])),
        ("aud", json!([])),
        ("aud", Value::Null),
        ("aud", json!(format!("{ISSUER}/"))),
        ("exp", json!(now - 31)),
        ("exp", json!(now + 700)),
        ("exp", json!("soon")),
        ("exp", Value::Null),
        ("iat", json!(now + 60)),
        ("nbf", json!(now + 60)),
        ("jti", Value::Null),
        ("jti", json!("")),
        ("jti", json!("x".repeat(513))),
    ] {
        let answer = show(&p, &signed(name, value.clone())).await;
        assert_eq!(answer.error(), (401, "invalid_client".to_owned()), "{name} {value}");
    }
    for fine in [json!(token_endpoint), json!([ISSUER, token_endpoint])] {
        assert_eq!(show(&p, &signed("aud", fine.clone())).await.status, 200, "{fine}");
    }
    for forged in [
        stranger.sign("JWT", &claims(&p)).unwrap(),
        key.sign("at+jwt", &claims(&p)).unwrap(),
        format!("{}x", key.sign("JWT", &claims(&p)).unwrap()),
        "ey.ey.ey".to_owned(),
        "nonsense".to_owned(),
    ] {
        assert_eq!(show(&p, &forged).await.error(), (401, "invalid_client".to_owned()), "{forged}");
    }
});

store_test!(of_100_simultaneous_uses_of_one_assertion_one_counts, MIGRATIONS, |db: TestDb| async move {
    let p = Arc::new(Platform::on(db).await);
    p.market().await;
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    p.apply(&signer_spec(&key)).await;
    let assertion = key.sign("JWT", &claims(&p)).unwrap();
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let (p, assertion) = (p.clone(), assertion.clone());
            tokio::spawn(async move { show(&p, &assertion).await.status.as_u16() })
        })
        .collect();

    let mut good = 0;
    for task in tasks {
        good += usize::from(task.await.unwrap() == 200);
    }

    assert_eq!(good, 1);
    p.advance(3600);
    crate::housekeeping::sweep(&p.identity).await.unwrap();
    let rows = p.identity.db.begin().read("SELECT assertion_hash FROM client_assertions", &store::params![]).await;
    assert!(rows.unwrap().is_empty(), "it is forgotten when it has expired");
});

store_test!(a_client_has_one_way_and_keeps_to_it, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    p.apply(&signer_spec(&key)).await;
    let assertion = || key.sign("JWT", &claims(&p)).unwrap();
    let grant = ("grant_type", "client_credentials");

    // The shop has a secret, and an assertion by a key of its own making is nothing.
    let mut others = claims(&p);
    others["iss"] = json!("shop");
    others["sub"] = json!("shop");
    assert_eq!(show(&p, &key.sign("JWT", &others).unwrap()).await.error().0, 401);
    let (used, shown) = (assertion(), assertion());
    for (form, status) in [
        (vec![grant, ("client_id", "signer")], 401),
        (vec![grant, ("client_id", "signer"), ("client_secret", "x")], 401),
        (vec![grant, ("client_assertion", used.as_str())], 401),
        (vec![grant, ("client_assertion_type", "urn:x"), ("client_assertion", &used)], 401),
        (vec![grant, ("client_assertion_type", TYPE), ("client_assertion", &used), ("client_secret", "x")], 400),
        (vec![grant, ("client_assertion_type", TYPE), ("client_assertion", &used), ("client_id", "shop")], 400),
        (vec![grant, ("client_assertion_type", TYPE), ("client_assertion", &shown), ("client_id", "signer")], 200),
    ] {
        assert_eq!(p.post("/token", &[], &form).await.status.as_u16(), status, "{form:?}");
    }
    let both = [grant, ("client_assertion_type", TYPE), ("client_assertion", used.as_str())];
    assert_eq!(p.post("/token", &[("authorization", &m.shop.basic())], &both).await.status, 400);
    let secret = crate::clients::add_secret(&mut p.cx(), &"signer".into(), None).await;
    assert!(secret.is_err(), "it has none");
    // The algorithm is bound: by the key, and by the client's own word.
    let spec = signer_spec(&key);
    p.apply(&ClientSpec { token_endpoint_auth_signing_alg: Some(Algorithm::EdDsa), ..spec.clone() }).await;
    assert_eq!(show(&p, &assertion()).await.error().0, 401);
    p.apply(&ClientSpec { suspended: true, ..spec }).await;
    assert_eq!(show(&p, &assertion()).await.error().0, 401);
});

/// Publishes keys, or nothing; counts how often it is asked.
#[derive(Default)]
struct Publisher {
    keys: Mutex<Option<Value>>,
    asked: AtomicUsize,
}

impl Publisher {
    fn publish(&self, keys: &[&SigningKey]) {
        let keys: Vec<Value> = keys.iter().map(|key| key.public_jwk()).collect();
        *self.keys.lock().unwrap() = Some(json!({"keys": keys}));
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

struct Shared(Arc<Publisher>);

impl Peer for Shared {
    fn call(&self, request: Request<Bytes>, _: Limits) -> BoxFuture<'_, Result<Response<Bytes>, PeerError>> {
        assert_eq!(request.uri(), "https://signer.example/jwks");
        self.0.asked.fetch_add(1, Ordering::SeqCst);
        let keys = self.0.keys.lock().unwrap().clone();
        Box::pin(async move {
            let keys = keys.ok_or(PeerError::Unreachable)?;
            Ok(Response::new(Bytes::from(keys.to_string())))
        })
    }
}

store_test!(published_keys_are_kept_and_asked_for_again_with_patience, MIGRATIONS, |db: TestDb| async move {
    let publisher = Arc::new(Publisher::default());
    let mut config = config(&db, "a");
    config.peers.egress = Arc::new(Shared(publisher.clone()));
    let p = Platform::with(db, config).await;
    p.market().await;
    let (old, new) = (SigningKey::generate(Algorithm::Es256).unwrap(), SigningKey::generate(Algorithm::EdDsa).unwrap());
    let uri = Some("https://signer.example/jwks".to_owned());
    p.apply(&ClientSpec { jwks: None, jwks_uri: uri, ..signer_spec(&old) }).await;
    let by = async |key: &SigningKey| show(&p, &key.sign("JWT", &claims(&p)).unwrap()).await.status.as_u16();

    // An outage is not a denial.
    assert_eq!((by(&old).await, publisher.asked()), (503, 1));
    publisher.publish(&[&old]);
    assert_eq!((by(&old).await, publisher.asked()), (503, 1), "not again so soon");
    p.advance(30);
    assert_eq!((by(&old).await, by(&old).await, publisher.asked()), (200, 200, 2));
    // Whoever names keys that do not exist makes nobody ask more often.
    publisher.publish(&[&old, &new]);
    assert_eq!((by(&new).await, by(&new).await, publisher.asked()), (401, 401, 2));
    p.advance(30);
    assert_eq!((by(&new).await, by(&old).await, publisher.asked()), (200, 200, 3));
    // A key that is published no more is good for as long as the kept ones are fresh, …
    publisher.publish(&[&new]);
    assert_eq!(by(&old).await, 200);
    p.advance(601);
    assert_eq!((by(&old).await, by(&new).await, publisher.asked()), (401, 200, 4));
    // … and an outage is bridged for a day.
    *publisher.keys.lock().unwrap() = None;
    p.advance(3600);
    assert_eq!(by(&new).await, 200);
    p.advance(24 * 3600);
    assert_eq!(by(&new).await, 503);
});
