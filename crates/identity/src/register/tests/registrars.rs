use std::sync::Arc;
use std::time::Duration;

use base::scope::Scopes;
use http::{Method, StatusCode};
use serde_json::json;
use testkit::db::TestDb;
use testkit::store_test;

use super::{application, portal_spec, with};
use crate::MIGRATIONS;
use crate::admin::{Document, apply};
use crate::register::Policy;
use crate::register::initial::{self, NewToken};
use crate::tests::platform::Platform;

async fn initial_token(p: &Platform, uses: Option<u32>, lifetime: Option<Duration>) -> (String, String) {
    let policy = Policy { scopes: Scopes::parse("stock_read").unwrap(), ..Policy::default() };
    let mut cx = p.cx();
    let made = initial::create(&mut cx, NewToken { name: "x".to_owned(), policy, uses, lifetime }).await.unwrap();
    cx.commit().await.unwrap();
    (made.0.token_id, made.1.expose().clone())
}

store_test!(a_registrar_sees_its_own_clients_only, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    p.market().await;
    let portal = p.portal(&portal_spec("portal")).await;
    let other = p.portal(&portal_spec("other")).await;
    p.app(&other).await;
    let first = p.app(&portal).await;
    let second = p.register(&portal.token, &with("software_id", json!("app-2"))).await;
    let list = async |query: &str| {
        p.json(Method::GET, &format!("/register{query}"), &portal.token, &[], &json!({})).await.json()
    };
    let ids = |listed: &serde_json::Value| -> Vec<String> {
        listed["clients"].as_array().unwrap().iter().map(|one| one["client_id"].as_str().unwrap().to_owned()).collect()
    };

    let all = list("").await;
    assert_eq!(ids(&all), [first.text("client_id"), second.text("client_id")]);
    assert_eq!(all["clients"][0]["client_name"], "Weather");
    assert!(all["clients"][0].get("client_secret").is_none());
    assert_eq!(ids(&list("?software_id=app-2").await), [second.text("client_id")]);
    assert!(ids(&list("?software_id=app-3").await).is_empty());
    assert!(ids(&list("?software_id=").await).is_empty());
    let page = list("?limit=1").await;
    assert_eq!(ids(&page), [first.text("client_id")]);
    let rest = list(&format!("?limit=1&cursor={}", page["next"].as_str().unwrap())).await;
    assert_eq!(ids(&rest), [second.text("client_id")]);
});

store_test!(an_initial_token_is_good_for_its_uses_and_its_time, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    p.market().await;
    let (_, twice) = initial_token(&p, Some(2), None).await;
    let (id, hour) = initial_token(&p, None, Some(Duration::from_secs(3600))).await;

    // What is refused takes no use, nor does a repeat.
    assert_eq!(p.register(&twice, &with("scope", json!("orders_read"))).await.error().0, 400);
    let first = p.register_once(&twice, "a", &application()).await;
    assert_eq!(p.register_once(&twice, "a", &application()).await.json(), first.json());
    assert_eq!(p.register(&twice, &application()).await.status, 201);
    assert_eq!(p.register(&twice, &application()).await.error().0, 401);
    assert_eq!(p.register_once(&twice, "a", &application()).await.json(), first.json(), "a repeat always answers");
    // Its clients go on by their own tokens, within its policy.
    let mut body = application();
    body["client_id"] = json!(first.text("client_id"));
    let own = first.text("registration_access_token");
    assert_eq!(p.manage(Method::PUT, &first, &own, &body).await.status, 200);

    assert_eq!(p.register(&hour, &application()).await.status, 201);
    p.advance(3600);
    assert_eq!(p.register(&hour, &application()).await.error().0, 401);
    let mut cx = p.cx();
    assert!(initial::list(&mut cx).await.unwrap().is_empty());
    assert!(initial::delete(&mut cx, &id).await.unwrap() && !initial::delete(&mut cx, &id).await.unwrap());
});

// Two developers are given the same token: neither sees or takes over what the other has registered.
store_test!(holders_of_one_initial_token_are_strangers_to_each_other, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    p.market().await;
    let (_, shared) = initial_token(&p, None, None).await;
    let victim = p.register(&shared, &application()).await;
    let id = victim.text("client_id");

    let listed = p.json(Method::GET, "/register", &shared, &[], &json!({})).await;
    assert_eq!((listed.error().0, listed.body.contains(&id)), (401, false));
    let mut body = application();
    body["client_id"] = json!(id);
    body["redirect_uris"] = json!(["https://evil.example/cb"]);
    for (method, path, body) in [
        (Method::GET, format!("/register/{id}"), json!({})),
        (Method::PUT, format!("/register/{id}"), body),
        (Method::POST, format!("/register/{id}/secret"), json!({"overlap": 0})),
        (Method::DELETE, format!("/register/{id}"), json!({})),
    ] {
        let refused = p.json(method.clone(), &path, &shared, &[], &body).await;
        assert_eq!(refused.error().0, 401, "{method} {path}: {}", refused.body);
    }

    let own = victim.text("registration_access_token");
    let kept = p.manage(Method::GET, &victim, &own, &json!({})).await;
    assert_eq!(
        (kept.status, kept.json()["redirect_uris"].clone()),
        (StatusCode::OK, victim.json()["redirect_uris"].clone())
    );
});

store_test!(a_one_time_token_registers_one_client_also_in_a_race, MIGRATIONS, |db: TestDb| async move {
    let p = Arc::new(Platform::on(db).await);
    p.market().await;
    let (_, once) = initial_token(&p, Some(1), None).await;
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let (p, token) = (p.clone(), once.clone());
            tokio::spawn(async move { p.register(&token, &application()).await.status.as_u16() })
        })
        .collect();

    let mut made = 0;
    for task in tasks {
        made += usize::from(task.await.unwrap() == 201);
    }

    assert_eq!(made, 1);
});

// A file of an operator that prunes must not end the applications of developers.
store_test!(files_leave_registered_clients_alone, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    p.market().await;
    let portal = p.portal(&portal_spec("portal")).await;
    let app = p.app(&portal).await;
    let one = Document { kind: "Client".to_owned(), name: "only".to_owned(), spec: json!({}) };

    let mut cx = p.cx();
    let changes = apply(&mut cx, &[one], true).await.unwrap();
    cx.commit().await.unwrap();

    assert!(changes.iter().any(|change| change.name == "shop" && change.change == "remove"));
    let own = app.text("registration_access_token");
    assert_eq!(p.manage(Method::GET, &app, &own, &json!({})).await.status, 200);
    // Its registrar is gone: what it is it may stay, and no more.
    let mut body = application();
    body["client_id"] = json!(app.text("client_id"));
    let changed = p.manage(Method::PUT, &app, &own, &body).await;
    assert_eq!(changed.status, 200, "{}", changed.body);
    body["scope"] = json!("openid stock_read orders_read");
    let own = changed.text("registration_access_token");
    assert_eq!(p.manage(Method::PUT, &app, &own, &body).await.error().0, 400);
});
