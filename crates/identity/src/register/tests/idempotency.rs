use std::sync::Arc;

use http::Method;
use serde_json::json;
use testkit::db::TestDb;
use testkit::store_test;

use super::{application, portal_spec, with};
use crate::MIGRATIONS;
use crate::clients::ClientSpec;
use crate::register::Policy;
use crate::tests::platform::Platform;

store_test!(a_repeated_key_gets_the_same_client_and_secret, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    p.market().await;
    let portal = p.portal(&portal_spec("portal")).await;
    let other = p.portal(&portal_spec("other")).await;
    let first = p.register_once(&portal.token, "app-1", &application()).await;
    assert_eq!(first.status, 201, "{}", first.body);

    p.advance(600);
    // The token is another one by now, and the members stand in another order.
    let token = p.register_token(&portal.caller).await;
    let mut reordered = json!({"software_id": "app-1"});
    for (name, value) in application().as_object().unwrap() {
        reordered[name] = value.clone();
    }
    let again = p.register_once(&token, "app-1", &reordered).await;

    assert_eq!((again.status.as_u16(), again.json()), (201, first.json()));
    // The key is the registrar's own, and stands for one request.
    let others = p.register_once(&other.token, "app-1", &application()).await;
    assert_ne!(others.text("client_id"), first.text("client_id"));
    let changed = p.register_once(&token, "app-1", &with("client_name", json!("Other"))).await;
    assert_eq!(changed.error(), (422, "invalid_request".to_owned()));
    let another = p.register_once(&token, "app-2", &application()).await;
    assert_ne!(another.text("client_id"), first.text("client_id"));
    let long = "k".repeat(256);
    assert_eq!(p.register_once(&token, &long, &application()).await.error().0, 400);
});

store_test!(of_50_simultaneous_requests_with_one_key_comes_one_client, MIGRATIONS, |db: TestDb| async move {
    let p = Arc::new(Platform::on(db).await);
    p.market().await;
    let portal = p.portal(&portal_spec("portal")).await;
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let (p, token) = (p.clone(), portal.token.clone());
            tokio::spawn(async move { p.register_once(&token, "app-1", &application()).await.json() })
        })
        .collect();

    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap());
    }

    assert!(answers[0]["client_secret"].is_string(), "{}", answers[0]);
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    let listed = p.json(Method::GET, "/register?software_id=app-1", &portal.token, &[], &json!({})).await.json();
    assert_eq!(listed["clients"].as_array().unwrap().len(), 1, "{listed}");
});

store_test!(a_request_that_fails_leaves_its_key_unused, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    p.market().await;
    let portal = p.portal(&portal_spec("portal")).await;

    let wrong = p.register_once(&portal.token, "app-1", &with("redirect_uris", json!([]))).await;
    let right = p.register_once(&portal.token, "app-1", &application()).await;

    assert_eq!((wrong.status.as_u16(), right.status.as_u16()), (400, 201), "{}", right.body);
});

store_test!(after_a_day_the_client_is_the_same_and_the_secret_is_told_no_more, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    p.market().await;
    let portal = p.portal(&portal_spec("portal")).await;
    let first = p.register_once(&portal.token, "app-1", &application()).await;
    p.advance(24 * 3600 + 1);
    crate::housekeeping::sweep(&p.identity).await.unwrap();
    let token = p.register_token(&portal.caller).await;

    let again = p.register_once(&token, "app-1", &application()).await;

    assert_eq!(again.text("client_id"), first.text("client_id"));
    assert!(again.json().get("client_secret").is_none());
    let rows =
        p.identity.db.begin().read("SELECT key_hash FROM registration_answers", &store::params![]).await.unwrap();
    assert!(rows.is_empty(), "the sealed secret is gone");
    // Both registration tokens are good until the newer one is used.
    let (old, new) = (first.text("registration_access_token"), again.text("registration_access_token"));
    assert_eq!(p.manage(Method::GET, &first, &old, &json!({})).await.status, 200);
    assert_eq!(p.manage(Method::GET, &first, &new, &json!({})).await.status, 200);
    assert_eq!(p.manage(Method::GET, &first, &old, &json!({})).await.status, 401);
    // A late repeat does not bring back what has been deleted.
    assert_eq!(p.manage(Method::DELETE, &first, &new, &json!({})).await.status, 204);
    assert_eq!(p.register_once(&token, "app-1", &application()).await.error().0, 409);
});

store_test!(no_registrar_has_more_clients_than_it_may_also_in_a_race, MIGRATIONS, |db: TestDb| async move {
    let p = Arc::new(Platform::on(db).await);
    p.market().await;
    let spec = portal_spec("portal");
    let registration = Some(Policy { max_clients: 3, ..spec.registration.clone().unwrap() });
    let portal = p.portal(&ClientSpec { registration, ..spec }).await;
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let (p, token) = (p.clone(), portal.token.clone());
            tokio::spawn(async move { p.register(&token, &application()).await.status.as_u16() })
        })
        .collect();

    let mut statuses = Vec::new();
    for task in tasks {
        statuses.push(task.await.unwrap());
    }

    let count = |status: u16| statuses.iter().filter(|one| **one == status).count();
    assert_eq!((count(201), count(403)), (3, 17), "{statuses:?}");
});
