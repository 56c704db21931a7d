use axum::body::Body;
use base::Secret;
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use proptest::prelude::*;
use serde_json::{Value, json};
use testkit::db::TestDb;
use testkit::store_test;
use tower::ServiceExt as _;

use super::documents::{read, written};
use super::{AdminTokens, guard, list, routes};
use crate::MIGRATIONS;
use crate::accounts::UserSpec;
use crate::clients::{self, ClientSpec, GrantType};
use crate::tests::platform::Platform;

const TOKEN: &str = "cad_the-token-of-the-tests";

struct Answer {
    status: StatusCode,
    body: Value,
}

async fn send(p: &Platform, request: Request<Body>) -> Answer {
    let tokens =
        AdminTokens::new(vec![("root".to_owned(), Secret::from(TOKEN)), ("nobody".to_owned(), Secret::from(""))]);
    let response = guard(routes(p.identity.clone()), tokens).oneshot(request).await.unwrap();
    let status = response.status();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    Answer { status, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) }
}

fn request(method: &str, path: &str, body: &Value) -> http::request::Builder {
    let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(path);
    if !body.is_null() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    request
}

fn text(body: &Value) -> Body {
    if body.is_null() { Body::empty() } else { Body::from(body.to_string()) }
}

async fn ask(p: &Platform, method: &str, path: &str, body: Value) -> Answer {
    let bearer = format!("Bearer {TOKEN}");
    let request = request(method, path, &body).header(header::AUTHORIZATION, bearer).body(text(&body)).unwrap();
    send(p, request).await
}

async fn ok(p: &Platform, method: &str, path: &str, body: Value) -> Value {
    let answer = ask(p, method, path, body).await;
    assert!(answer.status.is_success(), "{method} {path}: {} {}", answer.status, answer.body);
    answer.body
}

fn shop() -> Value {
    json!([
        {"kind": "Client", "name": "shop", "spec": {
            "grantTypes": ["authorization_code"], "redirectUris": ["https://shop.example/cb"], "scopes": ["orders_read"],
        }},
        {"kind": "Scope", "name": "orders_read", "spec": {"audience": "https://orders.internal"}},
        {"kind": "ResourceServer", "name": "orders", "spec": {"audience": "https://orders.internal"}},
        {"kind": "User", "name": "Alice", "spec": {"email": "alice@example.com", "attributes": {"account_nr": "7"}}},
    ])
}

fn changes(answer: &Value) -> Vec<String> {
    let all = answer["changes"].as_array().unwrap();
    all.iter()
        .map(|change| format!("{} {}", change["change"].as_str().unwrap(), change["name"].as_str().unwrap()))
        .collect()
}

store_test!(every_route_wants_the_token, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;

    for (path, _) in list() {
        let path = path.replace(['{', '}'], "x");
        for method in ["GET", "PUT", "POST", "DELETE"] {
            for bad in
                [None, Some("Bearer wrong"), Some("Bearer "), Some("Bearer"), Some("Basic Y2FkOg=="), Some(TOKEN)]
            {
                let mut request = request(method, &path, &json!({}));
                if let Some(bad) = bad {
                    request = request.header(header::AUTHORIZATION, bad);
                }

                let answer = send(&p, request.body(text(&json!({}))).unwrap()).await;

                assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{method} {path} with {bad:?}");
            }
        }
    }
});

store_test!(two_authorizations_are_none, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let bearer = format!("Bearer {TOKEN}");
    let twice = request("GET", "/admin/v1/clients", &Value::Null)
        .header(header::AUTHORIZATION, &bearer)
        .header(header::AUTHORIZATION, &bearer);

    let answer = send(&p, twice.body(Body::empty()).unwrap()).await;

    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
});

store_test!(without_the_guard_the_handlers_refuse, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let request = Request::get("/admin/v1/clients").header(header::AUTHORIZATION, format!("Bearer {TOKEN}"));

    let response = routes(p.identity.clone()).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();

    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
});

store_test!(a_set_applied_twice_changes_nothing_the_second_time, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;

    let first = ok(&p, "POST", "/admin/v1/apply", json!({"resources": shop()})).await;
    let second = ok(&p, "POST", "/admin/v1/apply", json!({"resources": shop()})).await;

    assert_eq!(changes(&first), ["add orders", "add orders_read", "add shop", "add alice"]);
    assert_eq!(changes(&second), ["none orders", "none orders_read", "none shop", "none alice"]);
});

store_test!(what_is_exported_is_what_is_applied, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    ok(&p, "POST", "/admin/v1/apply", json!({"resources": shop()})).await;

    let exported = ok(&p, "GET", "/admin/v1/export", Value::Null).await;
    let applied = ok(&p, "POST", "/admin/v1/apply", json!({"resources": exported["resources"], "prune": true})).await;

    assert_eq!(exported["resources"].as_array().unwrap().len(), 4);
    assert!(changes(&applied).iter().all(|change| change.starts_with("none ")), "{applied}");
});

store_test!(a_set_is_applied_whole_or_not_at_all, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let mut set = shop();
    set[3]["spec"]["email"] = json!("no address");

    let refused = ask(&p, "POST", "/admin/v1/apply", json!({"resources": set})).await;

    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(refused.body["errors"][0]["pointer"], "/resources/3/spec/email", "{}", refused.body);
    assert_eq!(ok(&p, "GET", "/admin/v1/export", Value::Null).await["resources"], json!([]));
});

store_test!(a_dry_run_says_what_would_change_and_changes_nothing, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;

    let answer = ok(&p, "POST", "/admin/v1/apply", json!({"resources": shop(), "dryRun": true})).await;

    assert_eq!(changes(&answer).len(), 4);
    assert_eq!(ok(&p, "GET", "/admin/v1/export", Value::Null).await["resources"], json!([]));
});

store_test!(pruning_touches_only_the_kinds_of_the_set, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    ok(&p, "POST", "/admin/v1/apply", json!({"resources": shop()})).await;
    let other = json!([{"kind": "Client", "name": "other", "spec": {}}]);

    let answer = ok(&p, "POST", "/admin/v1/apply", json!({"resources": other, "prune": true})).await;

    assert_eq!(changes(&answer), ["add other", "remove shop"]);
    assert_eq!(ok(&p, "GET", "/admin/v1/users", Value::Null).await["items"][0]["name"], "alice");
});

store_test!(a_change_is_shown_with_what_was_before, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    ok(&p, "POST", "/admin/v1/apply", json!({"resources": shop()})).await;
    let renamed = json!([{"kind": "User", "name": "alice", "spec": {"name": "Alice"}}]);

    let answer = ok(&p, "POST", "/admin/v1/apply", json!({"resources": renamed})).await;

    assert_eq!(answer["changes"][0]["before"]["email"], "alice@example.com");
    assert_eq!(answer["changes"][0]["after"], json!({"name": "Alice"}));
});

store_test!(what_exists_is_not_made_again, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let create = |name: &'static str| {
        request("PUT", "/admin/v1/clients/shop", &json!({}))
            .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"))
            .header(header::IF_NONE_MATCH, "*")
            .body(text(&json!({"displayName": name})))
            .unwrap()
    };

    let first = send(&p, create("one")).await;
    let second = send(&p, create("two")).await;

    assert_eq!((first.status, second.status), (StatusCode::OK, StatusCode::PRECONDITION_FAILED));
    let shown = ok(&p, "GET", "/admin/v1/clients/shop", Value::Null).await;
    assert_eq!(shown["spec"]["displayName"], "one");
});

store_test!(a_secret_is_shown_once, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    ok(&p, "PUT", "/admin/v1/clients/shop", json!({})).await;

    let added = ok(&p, "POST", "/admin/v1/clients/shop/secrets", json!({})).await;
    let shown = ok(&p, "GET", "/admin/v1/clients/shop", Value::Null).await;

    let secret = added["secret"].as_str().unwrap();
    assert!(!shown.to_string().contains(secret), "{shown}");
    assert_eq!(shown["secrets"][0]["id"], added["id"]);
    let path = format!("/admin/v1/clients/shop/secrets/{}", added["id"].as_str().unwrap());
    ok(&p, "DELETE", &path, Value::Null).await;
    assert_eq!(ask(&p, "DELETE", &path, Value::Null).await.status, StatusCode::NOT_FOUND);
});

store_test!(lists_come_in_pages, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    for name in ["a", "b", "c"] {
        ok(&p, "PUT", &format!("/admin/v1/clients/{name}"), json!({})).await;
        ok(&p, "PUT", &format!("/admin/v1/users/{name}"), json!({})).await;
    }

    for kind in ["clients", "users"] {
        let first = ok(&p, "GET", &format!("/admin/v1/{kind}?limit=2"), Value::Null).await;
        let cursor = first["next"].as_str().unwrap();
        let second = ok(&p, "GET", &format!("/admin/v1/{kind}?limit=2&cursor={cursor}"), Value::Null).await;

        assert_eq!(first["items"].as_array().unwrap().len(), 2);
        assert_eq!(second["items"][0]["name"], "c");
        assert!(second["next"].is_null());
    }
});

store_test!(the_audit_log_names_the_administrator, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    ok(&p, "PUT", "/admin/v1/clients/shop", json!({})).await;
    ok(&p, "POST", "/admin/v1/clients/shop/disable", json!({})).await;

    let records = ok(&p, "GET", "/admin/v1/audit?client=shop", Value::Null).await;
    let others = ok(&p, "GET", "/admin/v1/audit?client=other", Value::Null).await;
    let verified = ok(&p, "GET", "/admin/v1/audit/verify", Value::Null).await;

    let acts: Vec<&str> = records["items"].as_array().unwrap().iter().map(|r| r["act"].as_str().unwrap()).collect();
    assert_eq!(acts, ["client.disabled", "client.created"]);
    assert_eq!(records["items"][0]["actor"], "admin:root");
    assert_eq!(others["items"], json!([]));
    assert_eq!(verified["whole"], true);
});

store_test!(keys_are_rotated_and_killed, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let before = ok(&p, "GET", "/admin/v1/keys", Value::Null).await;
    let old = before["items"][0]["kid"].as_str().unwrap().to_owned();

    let rotated = ok(&p, "POST", "/admin/v1/keys/rotate", json!({"now": true})).await;
    ok(&p, "POST", &format!("/admin/v1/keys/{old}/kill"), json!({})).await;

    let after = ok(&p, "GET", "/admin/v1/keys", Value::Null).await;
    let state = |kid: &str| {
        let key = after["items"].as_array().unwrap().iter().find(|key| key["kid"] == kid).cloned();
        key.unwrap()["state"].as_str().unwrap().to_lowercase()
    };
    assert_eq!(state(&old), "killed");
    assert_eq!(state(rotated["kids"][0].as_str().unwrap()), "active");
    assert_eq!(ask(&p, "POST", "/admin/v1/keys/none/kill", json!({})).await.status, StatusCode::NOT_FOUND);
    assert_eq!(
        ask(&p, "POST", "/admin/v1/keys/rotate", json!({"algorithm": "HS256"})).await.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
});

store_test!(what_is_not_there_is_not_found, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;

    for (method, path) in [
        ("GET", "/admin/v1/clients/x"),
        ("DELETE", "/admin/v1/clients/x"),
        ("POST", "/admin/v1/clients/x/disable"),
        ("GET", "/admin/v1/users/x"),
        ("POST", "/admin/v1/users/x/enable"),
        ("GET", "/admin/v1/users/x/sessions"),
        ("GET", "/admin/v1/scopes/x"),
        ("DELETE", "/admin/v1/resource-servers/x"),
        ("POST", "/admin/v1/sessions/x/end"),
        ("POST", "/admin/v1/grants/x/revoke"),
    ] {
        let answer = ask(&p, method, path, Value::Null).await;

        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method} {path}");
        assert!(answer.body["request_id"].is_string(), "{method} {path}: {}", answer.body);
    }
    let token = ask(&p, "POST", "/admin/v1/tokens/revoke", json!({"token": "cat_none"})).await;
    assert_eq!(token.status, StatusCode::NOT_FOUND);
});

fn words() -> impl Strategy<Value = Vec<String>> {
    proptest::collection::btree_set("[a-z]{1,6}", 0..4).prop_map(|set| set.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_client_is_read_as_it_was_written(
        name in "[a-z]{1,8}", display in "[ -~]{0,12}", scopes in words(), audiences in words(),
        public in any::<bool>(), events in any::<bool>(), value in "[a-z]{0,4}",
    ) {
        let mut spec = ClientSpec::named(&name);
        spec.display_name = display;
        spec.scopes = scopes.into_iter().collect();
        spec.audiences = audiences.iter().map(String::as_str).collect();
        spec.events = events;
        spec.attributes.insert("empty".to_owned(), json!(value));
        if public {
            spec.token_endpoint_auth_method = crate::clients::AuthMethod::None;
        }

        let again: ClientSpec = read("Client", &name, &written("Client", &spec)).unwrap();

        prop_assert_eq!(again, spec);
    }

    #[test]
    fn a_user_is_read_as_it_was_written(name in "[a-z]{1,8}", person in proptest::option::of("[ -~]{0,12}"), value in "[a-z]{0,4}") {
        let mut spec: UserSpec = serde_json::from_value(json!({"username": name})).unwrap();
        spec.name = person;
        spec.attributes.insert("a".to_owned(), json!([value]));

        let again: UserSpec = read("User", &name, &written("User", &spec)).unwrap();

        prop_assert_eq!(again, spec);
    }
}

store_test!(the_answer_names_the_secret_it_holds, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    // All at one moment of the clock.
    for n in 0..8 {
        let id = format!("robot-{n}");
        p.apply(&ClientSpec { grant_types: vec![GrantType::ClientCredentials], ..ClientSpec::named(&id) }).await;
        let path = format!("/admin/v1/clients/{id}/secrets");
        for _ in 0..2 {
            let added = ok(&p, "POST", &path, json!({})).await;
            let secrets = clients::list_secrets(&mut p.cx(), &id.as_str().into()).await.unwrap();
            let named = secrets.iter().find(|info| info.secret_id == added["id"].as_str().unwrap()).unwrap();
            assert!(added["secret"].as_str().unwrap().ends_with(&named.hint), "{added} {named:?}");
        }
    }
});
