use std::sync::Arc;
use std::time::Duration;

use base::Secret;
use base::ids::ClientId;
use base::scope::Scopes;
use http::StatusCode;
use testkit::db::TestDb;
use testkit::store_test;

use super::actors::{Caller, shop_spec};
use super::platform::Platform;
use crate::applied::{Applied, Refused};
use crate::clients::{self, ApplicationType, AuthMethod, Client, ClientSpec, GrantType, NoRedirect};
use crate::scopes::Audiences;
use crate::{MIGRATIONS, scopes};

fn native(uris: &[&str]) -> Client {
    let spec = ClientSpec {
        application_type: ApplicationType::Native,
        redirect_uris: uris.iter().map(|uri| (*uri).to_owned()).collect(),
        ..ClientSpec::named("app")
    };
    Client { client_id: spec.client_id.clone(), spec, epoch: 0, disabled_at: None }
}

fn web(uris: &[&str]) -> Client {
    let mut client = native(uris);
    client.spec.application_type = ApplicationType::Web;
    client
}

#[test]
fn a_redirect_uri_is_compared_as_it_stands() {
    let client = web(&["https://shop.example/callback?a=1"]);

    assert!(client.redirect_uri(Some("https://shop.example/callback?a=1")).is_ok());
    for other in [
        "https://shop.example/callback",
        "https://shop.example/callback?a=1&b=2",
        "https://shop.example/callback?a=1#x",
        "https://shop.example/callback/?a=1",
        "https://shop.example:443/callback?a=1",
        "https://SHOP.example/callback?a=1",
        "https://shop.example/x/../callback?a=1",
        "https://shop.example@evil.example/callback?a=1",
        "http://shop.example/callback?a=1",
        " https://shop.example/callback?a=1",
    ] {
        assert_eq!(client.redirect_uri(Some(other)), Err(NoRedirect::Unknown), "{other}");
    }
}

#[test]
fn only_the_port_of_a_native_clients_loopback_address_is_free() {
    let client = native(&["http://127.0.0.1/callback", "http://[::1]:7000/callback", "http://localhost/callback"]);

    for fine in [
        "http://127.0.0.1/callback",
        "http://127.0.0.1:1234/callback",
        "http://[::1]/callback",
        "http://[::1]:65535/callback",
        "http://localhost/callback",
    ] {
        assert_eq!(client.redirect_uri(Some(fine)).unwrap().as_str(), fine);
    }
    for other in [
        "http://127.0.0.1:1234/other",
        "http://127.0.0.1:1234/callback?x=1",
        "http://127.0.0.1:/callback",
        "http://127.0.0.1:65536/callback",
        "http://127.0.0.1:80@evil.example/callback",
        "http://127.0.0.1.evil.example/callback",
        "http://127.0.0.1@evil.example/callback",
        "http://127.0.0.2:1234/callback",
        "https://127.0.0.1:1234/callback",
        "http://localhost:1234/callback",
    ] {
        assert_eq!(client.redirect_uri(Some(other)), Err(NoRedirect::Unknown), "{other}");
    }
    let same = web(&["http://127.0.0.1/callback"]);
    assert_eq!(same.redirect_uri(Some("http://127.0.0.1:1234/callback")), Err(NoRedirect::Unknown));
}

#[test]
fn the_only_redirect_uri_may_be_left_out() {
    let one = web(&["https://a.example/"]);
    let two = web(&["https://a.example/", "https://b.example/"]);

    assert_eq!(one.redirect_uri(None).unwrap().asked(), None);
    assert_eq!(two.redirect_uri(None), Err(NoRedirect::Missing));
}

async fn faults(p: &Platform, spec: &ClientSpec) -> Vec<String> {
    match clients::apply(&mut p.cx(), spec).await {
        Err(Refused::Invalid(faults)) => faults.into_iter().map(|fault| fault.pointer).collect(),
        other => panic!("{other:?}"),
    }
}

store_test!(a_wrong_document_is_refused_with_its_place, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let with = |uri: &str| ClientSpec { redirect_uris: vec![uri.to_owned()], ..shop_spec() };
    let native = |uri: &str| ClientSpec { application_type: ApplicationType::Native, ..with(uri) };

    for uri in [
        "http://shop.example/cb",
        "https://shop.example/cb#x",
        "https://shop.example/*",
        "https://user:pw@shop.example/cb",
        "/relative",
        "javascript:alert(1)",
        "com.example.app:/cb",
        "https://shop.example/ä",
        // Whose host it is depends on who reads it.
        "https://shop.example\\@evil.example/cb",
        "https:shop.example/cb",
        "https:/shop.example/cb",
        "https://shop.example/<cb>",
    ] {
        assert_eq!(faults(&p, &with(uri)).await, ["/redirectUris/0"], "{uri}");
    }
    assert_eq!(faults(&p, &native("app:/cb")).await, ["/redirectUris/0"]);
    assert!(clients::apply(&mut p.cx(), &native("com.example.app:/cb")).await.is_ok());
    assert!(clients::apply(&mut p.cx(), &with("http://127.0.0.1:9000/cb")).await.is_ok());
    assert_eq!(faults(&p, &ClientSpec { redirect_uris: vec![], ..shop_spec() }).await, ["/redirectUris"]);
    assert_eq!(faults(&p, &ClientSpec { client_id: "a b".into(), ..shop_spec() }).await, ["/clientId"]);
    // What is demanded of every login must be something that a login can be.
    let demanding = |acr: &str| ClientSpec { default_acr: Some(acr.to_owned()), ..shop_spec() };
    assert_eq!(faults(&p, &demanding("urn:example:gold")).await, ["/defaultAcr"]);
    assert!(clients::apply(&mut p.cx(), &demanding(crate::sessions::ACR_PASSWORD)).await.is_ok());
    let public = ClientSpec { token_endpoint_auth_method: AuthMethod::None, ..shop_spec() };
    let robot = ClientSpec { grant_types: vec![GrantType::ClientCredentials], ..public.clone() };
    assert_eq!(faults(&p, &robot).await, ["/grantTypes"]);
    let guard = ClientSpec { introspect: Audiences::one("x"), ..public };
    assert_eq!(faults(&p, &guard).await, ["/tokenEndpointAuthMethod"]);
});

#[test]
fn an_unknown_member_of_a_document_is_an_error() {
    let good = serde_json::json!({"clientId": "a", "scopes": ["read", "write"], "introspect": ["https://a"]});
    let mut typo = good.clone();
    typo["scope"] = serde_json::json!(["read"]);

    let spec: ClientSpec = serde_json::from_value(good).unwrap();
    assert_eq!((spec.scopes.to_string().as_str(), spec.introspect.len()), ("read write", 1));
    assert!(serde_json::from_value::<ClientSpec>(typo).is_err());
}

store_test!(applying_says_what_it_did, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let changed = ClientSpec { display_name: "Shop".to_owned(), ..shop_spec() };
    let mut done = Vec::new();
    for spec in [shop_spec(), shop_spec(), changed] {
        let mut cx = p.cx();
        done.push(clients::apply(&mut cx, &spec).await.unwrap());
        cx.commit().await.unwrap();
    }

    assert_eq!(done, [Applied::Created, Applied::Unchanged, Applied::Updated]);
    let client = clients::find(&mut p.cx(), &"shop".into()).await.unwrap().unwrap();
    assert_eq!((client.display_name(), client.epoch), ("Shop", 0));
});

store_test!(what_is_taken_away_at_the_same_moment_is_noticed, MIGRATIONS, |db: TestDb| async move {
    let p = Arc::new(Platform::on(db).await);
    let wide = ClientSpec { scopes: Scopes::parse("orders_read stock_read").unwrap(), ..shop_spec() };
    let narrow = ClientSpec { scopes: Scopes::parse("orders_read").unwrap(), ..shop_spec() };
    p.apply(&narrow).await;
    let tasks: Vec<_> = (0..20)
        .map(|n| {
            let (p, spec) = (p.clone(), if n % 2 == 0 { narrow.clone() } else { wide.clone() });
            tokio::spawn(async move {
                let mut cx = p.cx();
                let applied = clients::apply(&mut cx, &spec).await.unwrap();
                cx.commit().await.unwrap();
                i64::from(applied == Applied::Updated)
            })
        })
        .collect();

    let mut updates = 0;
    for task in tasks {
        updates += task.await.unwrap();
    }

    // Each update made it the other of the two, the first one the wide one.
    let client = clients::find(&mut p.cx(), &"shop".into()).await.unwrap().unwrap();
    assert!(updates > 0);
    assert_eq!((client.epoch, client.spec == narrow), (updates / 2, updates % 2 == 0));
});

store_test!(of_20_parallel_secrets_two_live, MIGRATIONS, |db: TestDb| async move {
    let p = Arc::new(Platform::on(db).await);
    p.apply(&shop_spec()).await;
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let p = p.clone();
            tokio::spawn(async move {
                let mut cx = p.cx();
                let added = clients::add_secret(&mut cx, &"shop".into(), None).await;
                cx.commit().await.unwrap();
                match added {
                    Ok(_) => 1,
                    Err(Refused::NotAllowed(_)) => 0,
                    Err(other) => panic!("{other}"),
                }
            })
        })
        .collect();

    let mut added = 0;
    for task in tasks {
        added += task.await.unwrap();
    }

    let secrets = clients::list_secrets(&mut p.cx(), &"shop".into()).await.unwrap();
    assert_eq!((added, secrets.len()), (2, 2));
});

store_test!(a_secret_is_exchanged_without_an_outage, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let id = ClientId::from("robot");
    let grant = [("grant_type", "client_credentials")];
    let next = Caller { id: "robot".to_owned(), secret: Some(p.secret_of("robot").await) };

    let (old, new) = (p.post_as(&m.robot, "/token", &grant).await, p.post_as(&next, "/token", &grant).await);
    let secrets = clients::list_secrets(&mut p.cx(), &id).await.unwrap();
    let first = secrets.iter().find(|info| m.robot.secret.as_ref().unwrap().ends_with(&info.hint)).unwrap();
    let mut cx = p.cx();
    assert!(clients::remove_secret(&mut cx, &id, &first.secret_id).await.unwrap());
    cx.commit().await.unwrap();

    assert_eq!((old.status, new.status), (StatusCode::OK, StatusCode::OK));
    assert_eq!(p.post_as(&m.robot, "/token", &grant).await.error(), (401, "invalid_client".to_owned()));
    assert_eq!(p.post_as(&next, "/token", &grant).await.status, StatusCode::OK);
});

store_test!(last_use_is_written_once_a_minute, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let mut used = Vec::new();
    for seconds in [0, 59, 2] {
        p.advance(seconds);
        p.post_as(&m.robot, "/token", &[("grant_type", "client_credentials")]).await;
        let secrets = clients::list_secrets(&mut p.cx(), &"robot".into()).await.unwrap();
        used.push(secrets[0].last_used_at.unwrap());
    }

    assert_eq!(used[0], used[1]);
    assert_eq!(used[2], used[0].plus(Duration::from_secs(61)));
});

store_test!(a_chosen_secret_must_be_long_and_is_added_once, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    p.apply(&shop_spec()).await;
    let id = ClientId::from("shop");
    let chosen = Secret::from("0123456789abcdef0123456789abcdef");
    let mut cx = p.cx();
    let first = clients::ensure_secret(&mut cx, &id, &chosen).await.unwrap();
    let second = clients::ensure_secret(&mut cx, &id, &chosen).await.unwrap();
    cx.commit().await.unwrap();

    assert!(first && !second);
    let short = clients::ensure_secret(&mut p.cx(), &id, &Secret::from("short")).await;
    assert!(matches!(short, Err(Refused::NotAllowed(_))));
});

store_test!(a_deleted_client_leaves_nothing_that_works, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let tokens = p.tokens(&m.shop, &m.alice, "orders_read").await;
    let mut cx = p.cx();
    assert!(clients::delete(&mut cx, &"shop".into()).await.unwrap());
    cx.commit().await.unwrap();
    assert!(!p.is_active(&m.orders, &tokens.text("access_token")).await);

    // A new one of the same name inherits nothing.
    let shop = p.client(&shop_spec()).await;

    assert!(!p.is_active(&m.orders, &tokens.text("access_token")).await);
    assert_eq!(p.refresh(&shop, &tokens.text("refresh_token")).await.error(), (400, "invalid_grant".to_owned()));
    assert_eq!(p.refresh(&m.shop, &tokens.text("refresh_token")).await.error(), (401, "invalid_client".to_owned()));
});

store_test!(a_contract_cannot_name_claims_of_the_token_itself, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    for claim in ["sub", "aud", "scope", "exp", "cnf", "active", "handle"] {
        let spec = serde_json::from_value(serde_json::json!({"name": "evil", "claims": {claim: "user.x"}})).unwrap();
        assert!(matches!(scopes::apply(&mut p.cx(), &spec).await, Err(Refused::Invalid(_))), "{claim}");
    }
    for name in ["", "two words", "openid"] {
        let document = serde_json::json!({"name": name, "claims": {"x": "user.x"}});
        let spec = serde_json::from_value(document).unwrap();
        assert!(matches!(scopes::apply(&mut p.cx(), &spec).await, Err(Refused::Invalid(_))), "{name}");
    }
});
