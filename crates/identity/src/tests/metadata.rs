use testkit::db::TestDb;
use testkit::store_test;

use super::platform::{ISSUER, Platform};
use crate::MIGRATIONS;

store_test!(both_documents_are_the_same_whatever_the_host, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let openid = p.get("/.well-known/openid-configuration", &[]).await;
    let forged = [
        ("host", "evil.example"),
        ("x-forwarded-host", "evil.example"),
        ("forwarded", "host=evil.example;proto=http"),
        ("x-forwarded-proto", "http"),
    ];

    let oauth = p.get("/.well-known/oauth-authorization-server", &forged).await;

    assert_eq!(openid.json(), oauth.json());
    assert!(!oauth.body.contains("evil"));
    assert_eq!(oauth.text("issuer"), ISSUER);
    insta::assert_json_snapshot!("metadata", openid.json());
});

store_test!(every_endpoint_that_is_listed_is_there, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let metadata = p.get("/.well-known/openid-configuration", &[]).await.json();
    let mut count = 0;
    for (name, value) in metadata.as_object().unwrap() {
        if !name.ends_with("_endpoint") && name != "jwks_uri" {
            continue;
        }
        let path = value.as_str().unwrap().strip_prefix(ISSUER).unwrap();

        let (by_get, by_post) = (p.get(path, &[]).await, p.post(path, &[], &[]).await);

        assert!(by_get.status != 404 && by_post.status != 404, "{name}");
        assert!(by_get.header("x-request-id").len() == 32, "{name}");
        count += 1;
    }
    assert_eq!(count, 8);
});
