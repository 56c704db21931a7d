use http::Method;
use serde_json::{Value, json};
use testkit::db::TestDb;
use testkit::store_test;

use super::{application, caller, portal_spec};
use crate::clients::{self, ClientSpec, Consent};
use crate::tests::actors::{Answer, Caller, ORDERS};
use crate::tests::platform::Platform;
use crate::{MIGRATIONS, audit, scopes};

fn update_of(app: &Answer) -> Value {
    let mut body = application();
    body["client_id"] = app.json()["client_id"].clone();
    body
}

async fn stock_token(p: &Platform, by: &Caller) -> Answer {
    p.post_as(by, "/token", &[("grant_type", "client_credentials"), ("scope", "stock_read")]).await
}

store_test!(only_its_own_token_or_its_registrar_manages_a_client, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    p.market().await;
    let portal = p.portal(&portal_spec("portal")).await;
    let other = p.portal(&portal_spec("other")).await;
    let app = p.app(&portal).await;
    let strange = p.app(&other).await.text("registration_access_token");
    let body = update_of(&app);

    for method in [Method::GET, Method::PUT, Method::DELETE] {
        for wrong in ["", "nonsense", strange.as_str(), &app.text("client_secret")] {
            let answer = p.manage(method.clone(), &app, wrong, &body).await;
            assert_eq!(answer.error().0, 401, "{method} {wrong}");
        }
        let answer = p.manage(method.clone(), &app, &other.token, &body).await;
        assert_eq!(answer.error().0, 404, "{method} by another registrar");
    }
    let own = app.text("registration_access_token");
    let shown = p.manage(Method::GET, &app, &own, &json!({})).await;
    assert_eq!(shown.text("registration_access_token"), own);
    assert!(shown.json().get("client_secret").is_none(), "it is known to nobody any more");
    let by_registrar = p.manage(Method::GET, &app, &portal.token, &json!({})).await;
    assert_eq!((by_registrar.status.as_u16(), by_registrar.text("client_name").as_str()), (200, "Weather"));
    assert_eq!(p.manage(Method::DELETE, &app, &portal.token, &json!({})).await.status, 204);
});

store_test!(an_update_is_the_whole_document_and_changes_the_token, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    p.market().await;
    let portal = p.portal(&portal_spec("portal")).await;
    let app = p.app(&portal).await;
    let first = app.text("registration_access_token");
    let mut body = update_of(&app);
    body["client_name"] = json!("Weather 2");
    body.as_object_mut().unwrap().remove("software_id");

    let changed = p.manage(Method::PUT, &app, &first, &body).await;

    assert_eq!(changed.status, 200, "{}", changed.body);
    assert_eq!(changed.text("client_name"), "Weather 2");
    assert!(changed.json().get("software_id").is_none() && changed.json().get("client_secret").is_none());
    assert_eq!(stock_token(&p, &caller(&app)).await.status, 200, "its secret is as it was");
    // The answer may have been lost: the token before is good until the newer one is used.
    let second = changed.text("registration_access_token");
    assert_ne!(first, second);
    let repeated = p.manage(Method::PUT, &app, &first, &body).await.text("registration_access_token");
    assert_eq!(p.manage(Method::GET, &app, &second, &json!({})).await.status, 401, "the lost one never was");
    assert_eq!(p.manage(Method::GET, &app, &repeated, &json!({})).await.status, 200);
    assert_eq!(p.manage(Method::GET, &app, &first, &json!({})).await.status, 401);
});

store_test!(an_update_gives_nothing_that_was_not_to_be_had, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    p.market().await;
    let portal = p.portal(&portal_spec("portal")).await;
    let app = p.app(&portal).await;
    let own = app.text("registration_access_token");
    let wrong = async |name: &str, value: Value| {
        let mut body = update_of(&app);
        body[name] = value;
        p.manage(Method::PUT, &app, &own, &body).await.error()
    };
    let refused = (400, "invalid_client_metadata".to_owned());

    assert_eq!(wrong("client_id", json!("portal")).await, refused);
    assert_eq!(wrong("client_id", Value::Null).await, refused);
    assert_eq!(wrong("client_secret", json!("one of my own, which is long enough to be one")).await, refused);
    assert_eq!(wrong("registration_access_token", json!(own)).await, refused);
    assert_eq!(wrong("client_id_issued_at", json!(0)).await, refused);
    assert_eq!(wrong("scope", json!("openid orders_write")).await, refused);
    assert_eq!(wrong("redirect_uris", json!(["http://evil.example/"])).await.1, "invalid_redirect_uri");
    let mut body = update_of(&app);
    body["client_secret"] = json!(app.text("client_secret"));
    assert_eq!(p.manage(Method::PUT, &app, &own, &body).await.status, 200, "it may say what it is");

    // What the operator has said of it stays, and what it lost is lost at once.
    let client = clients::find(&mut p.cx(), &app.text("client_id").as_str().into()).await.unwrap().unwrap();
    p.apply(&ClientSpec { consent: Consent::Implicit, introspect: scopes::Audiences::one(ORDERS), ..client.spec })
        .await;
    let token = stock_token(&p, &caller(&app)).await.text("access_token");
    let mut body = update_of(&app);
    body["scope"] = json!("openid");
    let changed = p.manage(Method::PUT, &app, &portal.token, &body).await;
    assert_eq!(changed.status, 200, "{}", changed.body);
    let client = clients::find(&mut p.cx(), &app.text("client_id").as_str().into()).await.unwrap().unwrap();
    assert_eq!((client.spec.consent, client.spec.introspect.len()), (Consent::Implicit, 1));
    let gateway = p
        .client(&ClientSpec {
            introspect: scopes::Audiences::one(crate::tests::actors::STOCK),
            ..ClientSpec::named("g")
        })
        .await;
    assert!(!p.is_active(&gateway, &token).await);
});

store_test!(a_deleted_client_is_gone_with_its_tokens, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let portal = p.portal(&portal_spec("portal")).await;
    let app = p.app(&portal).await;
    let own = app.text("registration_access_token");
    let token = stock_token(&p, &caller(&app)).await.text("access_token");
    assert!(p.is_active(&m.stock, &token).await);

    let deleted = p.manage(Method::DELETE, &app, &own, &json!({})).await;

    assert_eq!((deleted.status.as_u16(), deleted.body.as_str()), (204, ""));
    assert!(!p.is_active(&m.stock, &token).await);
    assert_eq!(stock_token(&p, &caller(&app)).await.error(), (401, "invalid_client".to_owned()));
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        assert_eq!(p.manage(method, &app, &own, &update_of(&app)).await.error().0, 401);
    }
    // The registrar, whose token is good, is told that there is none.
    assert_eq!(p.manage(Method::DELETE, &app, &portal.token, &json!({})).await.error().0, 404);
});

store_test!(a_secret_is_exchanged_without_an_outage, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    p.market().await;
    let portal = p.portal(&portal_spec("portal")).await;
    let app = p.app(&portal).await;
    let own = app.text("registration_access_token");
    let path = format!("/register/{}/secret", app.text("client_id"));
    let rotate = async |body: Value| p.json(Method::POST, &path, &own, &[], &body).await;
    let with = |secret: &str| Caller { id: app.text("client_id"), secret: Some(secret.to_owned()) };
    let first = app.text("client_secret");
    assert_eq!(stock_token(&p, &with(&first)).await.status, 200);

    // The answer of the first exchange is lost: the secret in use outlives a second one.
    let lost = rotate(json!({"overlap": 3600})).await.text("client_secret");
    let second = rotate(json!({"overlap": 3600})).await;

    let end = second.json()["previous_client_secret_expires_at"].as_i64().unwrap();
    assert_eq!(end, p.identity.clock.now().seconds() + 3600);
    let second = second.text("client_secret");
    for (secret, status) in [(&first, 200), (&second, 200), (&lost, 401)] {
        assert_eq!(stock_token(&p, &with(secret)).await.status, status);
    }
    p.advance(3601);
    for (secret, status) in [(&first, 401), (&second, 200)] {
        assert_eq!(stock_token(&p, &with(secret)).await.status, status);
    }
    // After a leak the old one ends at once.
    let third = rotate(json!({"overlap": 0})).await.text("client_secret");
    for (secret, status) in [(&second, 401), (&third, 200)] {
        assert_eq!(stock_token(&p, &with(secret)).await.status, status);
    }
    assert_eq!(rotate(json!({"overlap": 31 * 24 * 3600})).await.error().0, 400);
    assert_eq!(rotate(json!({"overlap": -1})).await.error().0, 400);
    assert_eq!(p.json(Method::POST, &path, "nonsense", &[], &json!({})).await.error().0, 401);
});

store_test!(who_leaves_secrets_behind_has_none, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    p.market().await;
    let portal = p.portal(&portal_spec("portal")).await;
    let app = p.app(&portal).await;
    let mut body = update_of(&app);
    body["token_endpoint_auth_method"] = json!("none");
    body["grant_types"] = json!(["authorization_code"]);

    let public = p.manage(Method::PUT, &app, &portal.token, &body).await;
    let secrets = clients::list_secrets(&mut p.cx(), &app.text("client_id").as_str().into()).await.unwrap();
    let back = p.manage(Method::PUT, &app, &portal.token, &update_of(&app)).await;

    assert_eq!((public.status.as_u16(), secrets.len()), (200, 0), "{}", public.body);
    assert!(public.json().get("client_secret_expires_at").is_none());
    let with = |secret: String| Caller { id: app.text("client_id"), secret: Some(secret) };
    assert_eq!(stock_token(&p, &with(back.text("client_secret"))).await.status, 200);
    assert_eq!(stock_token(&p, &with(app.text("client_secret"))).await.status, 401);
});

store_test!(a_suspended_application_is_dead_until_it_is_resumed, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let m = p.market().await;
    let portal = p.portal(&portal_spec("portal")).await;
    let app = p.app(&portal).await;
    let own = app.text("registration_access_token");
    let token = stock_token(&p, &caller(&app)).await.text("access_token");
    let id = app.text("client_id").as_str().into();
    let mut cx = p.cx();
    assert!(clients::suspend(&mut cx, &id).await.unwrap());
    cx.commit().await.unwrap();

    assert!(!p.is_active(&m.stock, &token).await);
    assert_eq!(stock_token(&p, &caller(&app)).await.error(), (401, "invalid_client".to_owned()));
    assert_eq!(p.manage(Method::PUT, &app, &own, &update_of(&app)).await.error().0, 403, "it cannot resume itself");
    assert_eq!(p.manage(Method::GET, &app, &own, &json!({})).await.status, 200);

    let mut cx = p.cx();
    assert!(clients::resume(&mut cx, &id).await.unwrap());
    cx.commit().await.unwrap();
    assert_eq!(stock_token(&p, &caller(&app)).await.status, 200);
    assert!(!p.is_active(&m.stock, &token).await, "what was out then stays dead");
});

store_test!(who_manages_a_client_ends_what_it_holds, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let gate = p.market().await.gateway;
    let portal = p.portal(&portal_spec("portal")).await;
    let other = p.portal(&portal_spec("other")).await;
    let (app, neighbour) = (p.app(&portal).await, p.app(&portal).await);
    let tokens = [caller(&app), caller(&neighbour)];
    let (one, two) = (stock_token(&p, &tokens[0]).await, stock_token(&p, &tokens[1]).await);
    let (one, two) = (one.text("access_token"), two.text("access_token"));
    let (grant, strange) = (p.introspect(&gate, &one).await, p.introspect(&gate, &two).await);
    let (grant, strange) = (&grant["grant_id"], &strange["grant_id"]);
    let path = format!("/register/{}/revoke", app.text("client_id"));
    let ask = async |token: &str, body: Value| p.json(Method::POST, &path, token, &[], &body).await;

    // Deny by default: nobody, another registrar, another client's token, its own secret; another client's grant.
    for wrong in ["", "nonsense", &neighbour.text("registration_access_token"), &app.text("client_secret"), &one] {
        assert_eq!(ask(wrong, json!({})).await.error().0, 401, "{wrong}");
    }
    assert_eq!(ask(&other.token, json!({"grant_id": grant})).await.error().0, 404);
    assert_eq!(ask(&portal.token, json!({"grant_id": strange})).await.error().0, 404);
    assert_eq!(ask(&portal.token, json!({"grant_id": "no such"})).await.error().0, 404);
    assert_eq!(ask(&portal.token, json!({"grant": grant})).await.error().0, 400, "a wrong word is not all of them");
    assert!(p.is_active(&gate, &one).await && p.is_active(&gate, &two).await);

    let revoked = ask(&portal.token, json!({"grant_id": grant})).await;

    assert_eq!((revoked.status.as_u16(), &revoked.json()["revoked"]), (200, &json!(1)), "{}", revoked.body);
    assert!(!p.is_active(&gate, &one).await && p.is_active(&gate, &two).await);
    assert_eq!(ask(&portal.token, json!({"grant_id": grant})).await.json()["revoked"], 0, "it was before");
    let again = stock_token(&p, &tokens[0]).await.text("access_token");
    assert!(p.is_active(&gate, &again).await, "the client goes on");

    let all = ask(&portal.token, json!({})).await;

    assert_eq!(all.json()["revoked"], 1);
    assert!(!p.is_active(&gate, &again).await && p.is_active(&gate, &two).await);
    let page = audit::list(&mut p.cx(), &audit::Filter::default(), None, 100).await.unwrap();
    let by: Vec<_> = page.entries.into_iter().filter(|entry| entry.act.ends_with("revoked")).collect();
    let acts: Vec<&str> = by.iter().map(|entry| entry.act.as_str()).collect();
    assert_eq!(acts, ["client.tokens_revoked", "grant.revoked"]);
    assert!(by.iter().all(|entry| entry.actor.contains("portal")), "{by:?}");
});
