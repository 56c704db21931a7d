//! Software statements: who is believed, and what their word is worth.

use http::Method;
use jose::{Algorithm, KeySet, SigningKey};
use serde_json::{Value, json};
use testkit::db::TestDb;
use testkit::store_test;

use super::{portal_spec, with};
use crate::MIGRATIONS;
use crate::register::StatementIssuer;
use crate::tests::platform::{ISSUER, Platform, config};

const VENDOR: &str = "https://vendor.example";

/// A platform that believes the vendor.
async fn trusting(db: TestDb, key: &SigningKey) -> Platform {
    let mut config = config(&db, "a");
    config.statement_issuers =
        vec![StatementIssuer { issuer: VENDOR.to_owned(), keys: KeySet::from_jwks([key.public_jwk()]) }];
    Platform::with(db, config).await
}

fn claims(p: &Platform) -> Value {
    let now = p.identity.clock.now().seconds();
    json!({
        "iss": VENDOR, "iat": now, "exp": now + 60, "software_id": "vendor-app", "client_name": "The vendor's own",
        "redirect_uris": ["https://vendor.example/cb"], "sub": "nobody", "jti": "1",
    })
}

store_test!(what_a_statement_says_stands_before_the_request, MIGRATIONS, |db: TestDb| async move {
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let p = trusting(db, &key).await;
    p.market().await;
    let portal = p.portal(&portal_spec("portal")).await;
    let statement = key.sign("JWT", &claims(&p)).unwrap();
    let mut request = with("software_statement", json!(statement));
    request["client_name"] = json!("Something better");
    request["redirect_uris"] = json!(["https://evil.example/cb"]);

    let made = p.register(&portal.token, &request).await;

    assert_eq!(made.status, 201, "{}", made.body);
    let shown = made.json();
    assert_eq!(shown["client_name"], "The vendor's own");
    assert_eq!(shown["redirect_uris"], json!(["https://vendor.example/cb"]));
    assert_eq!((&shown["software_id"], &shown["software_statement"]), (&json!("vendor-app"), &json!(statement)));
    assert!(shown.get("sub").is_none() && shown.get("iss").is_none(), "not metadata");

    // An update does not get rid of it, neither by silence nor by words; its time may be over by then.
    p.clock.advance(std::time::Duration::from_secs(3600));
    let path = format!("/register/{}", made.text("client_id"));
    let mut token = made.text("registration_access_token");
    for said in [json!(null), json!(statement)] {
        let mut update = request.clone();
        update["client_id"] = shown["client_id"].clone();
        update["software_statement"] = said;
        let after = p.json(Method::PUT, &path, &token, &[], &update).await;
        assert_eq!(after.status, 200, "{}", after.body);
        assert_eq!(after.json()["redirect_uris"], json!(["https://vendor.example/cb"]));
        assert_eq!(after.json()["software_statement"], json!(statement));
        token = after.text("registration_access_token");
    }
    let mut update = request.clone();
    update["client_id"] = shown["client_id"].clone();
    let over = key.sign("JWT", &json!({"iss": VENDOR, "exp": 1, "client_name": "Other"})).unwrap();
    update["software_statement"] = json!(over);
    let refused = p.json(Method::PUT, &path, &token, &[], &update).await;
    assert_eq!(refused.error(), (400, "invalid_software_statement".to_owned()));
});

store_test!(a_statement_with_one_thing_wrong_is_refused, MIGRATIONS, |db: TestDb| async move {
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let stranger = SigningKey::generate(Algorithm::Es256).unwrap();
    let p = trusting(db, &key).await;
    p.market().await;
    let portal = p.portal(&portal_spec("portal")).await;
    let changed = |name: &str, value: Value| {
        let mut claims = claims(&p);
        claims[name] = value;
        key.sign("JWT", &claims).unwrap()
    };
    let good = key.sign("JWT", &claims(&p)).unwrap();
    let unsigned = {
        let part = |value: &Value| jose::hash::base64url(value.to_string().as_bytes());
        format!("{}.{}.", part(&json!({"alg": "none"})), part(&claims(&p)))
    };
    let (invalid, unapproved) = ("invalid_software_statement", "unapproved_software_statement");

    for (statement, error) in [
        (json!(stranger.sign("JWT", &claims(&p)).unwrap()), invalid),
        (json!(unsigned), invalid),
        (json!(format!("{good}x")), invalid),
        (json!("nonsense"), invalid),
        (json!(""), invalid),
        (json!(7), invalid),
        (json!({"software_id": "x"}), invalid),
        (json!(changed("exp", json!(1))), invalid),
        (json!(changed("aud", json!("https://elsewhere.example"))), invalid),
        (json!(changed("iss", json!("https://other.example"))), unapproved),
        (json!(changed("iss", json!(format!("{VENDOR}/")))), unapproved),
        (json!(changed("iss", Value::Null)), invalid),
    ] {
        let answer = p.register(&portal.token, &with("software_statement", statement.clone())).await;
        assert_eq!(answer.error(), (400, error.to_owned()), "{statement}");
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    // A statement gives nobody more than the policy allows.
    let wide = changed("scope", json!("client.register"));
    let answer = p.register(&portal.token, &with("software_statement", json!(wide))).await;
    assert_eq!(answer.error(), (400, "invalid_client_metadata".to_owned()));
    let listed = p.json(Method::GET, "/register", &portal.token, &[], &json!({})).await;
    assert_eq!(listed.json()["clients"], json!([]), "nothing has been registered");
    // For us among others is for us.
    let several = changed("aud", json!(["https://elsewhere.example", ISSUER]));
    assert_eq!(p.register(&portal.token, &with("software_statement", json!(several))).await.status, 201);
});

store_test!(where_nobody_is_trusted_no_statement_is_taken, MIGRATIONS, |db: TestDb| async move {
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let p = Platform::on(db).await;
    p.market().await;
    let portal = p.portal(&portal_spec("portal")).await;
    let statement = key.sign("JWT", &claims(&p)).unwrap();

    let answer = p.register(&portal.token, &with("software_statement", json!(statement))).await;

    assert_eq!(answer.error(), (400, "unapproved_software_statement".to_owned()));
});
