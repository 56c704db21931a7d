//! The interface as programs meet it: who comes in, what is described, what a repeat does.

mod fits;
mod furniture;
mod lists;

use std::collections::BTreeSet;
use std::sync::Arc;

use ::http::{Method, Request, Response, StatusCode, header};
use ::store::params;
use axum::Router;
use base::peer::{Limits, Peer, PeerError};
use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use serde_json::{Value, json};
use testkit::db::TestDb;
use testkit::store_test;

use self::fits::misfits;
use self::furniture::furnished;
use super::describe::{document, schemas};
use super::*;
use crate::actor::{Right, Role, Share};
use crate::cx::Cx;
use crate::router::{self, list};
use crate::tests::{Answer, ISSUER, Platform, URL, exchange, request, send};
use crate::{MIGRATIONS, Operator, PROVIDER};

/// An issuer whose tokens say what it answers: `subject`, `subject/audience`, `subject/audience/scope`.
struct Issuer;

impl Peer for Issuer {
    fn call(&self, request: Request<Bytes>, _: Limits) -> BoxFuture<'_, Result<Response<Bytes>, PeerError>> {
        let path = request.uri().path().to_owned();
        let body = match path.as_str() {
            "/.well-known/openid-configuration" => {
                json!({"issuer": ISSUER, "introspection_endpoint": format!("{ISSUER}/introspect")})
            }
            _ => introspected(&request),
        };
        Box::pin(async move { Ok(Response::new(Bytes::from(body.to_string()))) })
    }
}

fn introspected(request: &Request<Bytes>) -> Value {
    assert!(request.headers()[header::AUTHORIZATION].to_str().unwrap().starts_with("Basic "));
    let form: Vec<(String, String)> = serde_urlencoded::from_bytes(request.body()).unwrap();
    let token = &form.iter().find(|(name, _)| name == "token").unwrap().1;
    let parts: Vec<&str> = token.split('|').collect();
    match parts.as_slice() {
        ["dead"] => json!({"active": false}),
        ["machine"] => json!({"active": true, "sub": "dev", "client_id": "dev", "aud": URL, "scope": "management"}),
        ["machine-of-others"] => json!({"active": true, "client_id": "dev", "aud": URL, "scope": "management"}),
        ["passed-on"] => json!({
            "active": true, "sub": "dev", "client_id": "relay", "sub_kind": "client", "aud": URL, "scope": "management",
        }),
        [subject] => json!({"active": true, "iss": ISSUER, "sub": subject, "aud": URL, "scope": "openid management"}),
        [subject, audience] => json!({"active": true, "sub": subject, "aud": [audience], "scope": "management"}),
        [subject, _, scope] => json!({"active": true, "sub": subject, "aud": URL, "scope": scope, "exp": 1}),
        _ => json!({"active": false}),
    }
}

/// People of each role, known by tokens of their names.
async fn peopled(db: TestDb) -> Platform {
    let p = Platform::asking(db, Arc::new(Issuer)).await;
    let mut cx = Cx::system(&p.management);
    for name in [PROVIDER, "acme", "other"] {
        let sql =
            "INSERT INTO organisations (organisation, name, created_at) VALUES ($1, $1, 0) ON CONFLICT DO NOTHING";
        cx.tx.execute(sql, &params![name]).await.unwrap();
    }
    for (name, organisation, role) in [
        ("ada", PROVIDER, Role::Administrator),
        ("pat", PROVIDER, Role::Publisher),
        ("aud", PROVIDER, Role::Auditor),
        ("own", "acme", Role::Owner),
        ("dev", "acme", Role::Developer),
        ("far", "other", Role::Owner),
    ] {
        let sql =
            "INSERT INTO people (person, issuer, subject, name, created_at, seen_at) VALUES ($1, $2, $1, $1, 0, 0)";
        cx.tx.execute(sql, &params![name, ISSUER]).await.unwrap();
        let sql = "INSERT INTO members (organisation, person, role, since) VALUES ($1, $2, $3, 0)";
        cx.tx.execute(sql, &params![organisation, name, role.as_str()]).await.unwrap();
    }
    cx.commit().await.unwrap();
    p
}

async fn call(p: &Platform, operation: &Operation, path: &str, token: Option<&str>) -> Answer {
    let body = (operation.method != Method::GET).then_some(&operation.example);
    send(p.public(), operation.method.clone(), path, token, body).await
}

/// Who has too little, and who has just enough.
fn actors(needs: Needs) -> (&'static [&'static str], &'static str) {
    match needs {
        Needs::Token => (&["nobody-we-know"], "dev"),
        Needs::Right(Right::Read) => (&["own", "far"], "aud"),
        Needs::Right(Right::Publish) => (&["own", "far", "aud"], "pat"),
        Needs::Right(Right::Administer) => (&["own", "far", "aud", "pat"], "ada"),
        Needs::Share(Share::See) => (&["far"], "dev"),
        Needs::Share(Share::Develop) => (&["far", "aud"], "dev"),
        Needs::Share(Share::Own) => (&["far", "aud", "dev"], "own"),
    }
}

store_test!(every_operation_is_refused_to_who_has_too_little, MIGRATIONS, |db: TestDb| async move {
    let p = peopled(db).await;
    let address = furnished(&p).await;

    for operation in described() {
        let (what, path) = (format!("{} {}", operation.method, operation.path), address(operation.path));
        for token in [None, Some("dead"), Some("pat|https://elsewhere.example"), Some("")] {
            let answer = call(&p, &operation, &path, token).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{what} with {token:?}");
            assert!(answer.headers.contains_key(header::WWW_AUTHENTICATE), "{what}");
            assert!(answer.body["request_id"].is_string(), "{what}: {}", answer.text);
        }
        for token in actors(operation.needs).0 {
            let answer = call(&p, &operation, &path, Some(token)).await;
            let hidden = matches!(operation.needs, Needs::Share(_)) && answer.status == StatusCode::NOT_FOUND;
            let refused = answer.status == StatusCode::FORBIDDEN || hidden;
            assert!(refused, "{what} by {token}: {} {}", answer.status, answer.text);
        }
    }
});

store_test!(every_operation_is_open_to_who_has_just_enough, MIGRATIONS, |db: TestDb| async move {
    let p = peopled(db).await;
    let address = furnished(&p).await;
    let document = document(URL, ISSUER);
    let (reading, writing): (Vec<_>, Vec<_>) =
        described().into_iter().partition(|operation| operation.method == Method::GET);

    for operation in reading.into_iter().chain(writing) {
        let what = format!("{} {}", operation.method, operation.path);
        let answer = call(&p, &operation, &address(operation.path), Some(actors(operation.needs).1)).await;
        let let_in = ![StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&answer.status);
        assert!(let_in && !answer.status.is_server_error(), "{what}: {} {}", answer.status, answer.text);
        let there = operation.method != Method::GET || answer.status == StatusCode::OK;
        assert!(there, "{what}: {} {}", answer.status, answer.text);
        if let (true, Some(schema)) = (answer.status.is_success(), operation.schema()) {
            let misfits = misfits(&document, schema, &answer.body);
            assert!(misfits.is_empty(), "{what}: {misfits:?} in {}", answer.text);
        }
    }
});

store_test!(every_route_is_described, MIGRATIONS, |db: TestDb| async move {
    let p = peopled(db).await;
    let known: BTreeSet<(String, String)> =
        described().iter().map(|one| (one.method.to_string(), one.path.to_owned())).collect();

    let mut found = BTreeSet::new();
    for (path, guard, _) in list() {
        if guard != Guard::Api {
            continue;
        }
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let path_there = path.replace(['{', '}'], "");
            let answer = send(p.public(), method.parse().unwrap(), &path_there, None, None).await;
            if answer.status != StatusCode::METHOD_NOT_ALLOWED {
                found.insert((method.to_owned(), path.to_owned()));
            }
        }
    }

    assert!(found.is_subset(&known), "not in `operations()`: {:?}", found.difference(&known));
    assert!(known.is_subset(&found), "described, and not there: {:?}", known.difference(&found));
    assert_eq!(described().iter().map(|one| one.id).collect::<BTreeSet<_>>().len(), known.len(), "names are unique");
});

#[test]
fn the_description_is_a_document_that_we_would_import() {
    let document = document(URL, ISSUER);

    crate::registry::check_document(&document).unwrap();
    let mut places = vec![&document];
    while let Some(place) = places.pop() {
        match place {
            Value::Object(members) => {
                if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
                    assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference} leads nowhere");
                }
                places.extend(members.values());
            }
            Value::Array(items) => places.extend(items),
            _ => {}
        }
    }
    let names = shapes().len() + 2;
    assert!(schemas().as_object().unwrap().len() >= names, "two schemas have one name");
}

store_test!(a_token_needs_its_scope_and_its_time, MIGRATIONS, |db: TestDb| async move {
    let p = peopled(db).await;
    let status =
        async |token: &str| send(p.public(), Method::GET, "/management/v1/audit", Some(token), None).await.status;

    assert_eq!(status("pat").await, StatusCode::OK);
    assert_eq!(status("pat|https://portal.example|openid").await, StatusCode::UNAUTHORIZED, "expired");
    assert_eq!(status("pat|https://portal.example/").await, StatusCode::OK);
    assert_eq!(status("pat|https://portal.example.evil").await, StatusCode::UNAUTHORIZED);
    let mut cx = Cx::system(&p.management);
    cx.tx.execute("DELETE FROM members WHERE person = 'pat'", &[]).await.unwrap();
    cx.commit().await.unwrap();
    assert_eq!(status("pat").await, StatusCode::FORBIDDEN, "a membership that ended counts at once");
});

store_test!(without_the_identity_system_nobody_comes_in_and_is_told_why, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;

    let answer = send(p.public(), Method::GET, "/management/v1/apis", Some("pat"), None).await;

    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert_eq!(answer.body["type"], "https://cardea.dev/problems/peer_failed");
});

fn with_key(key: &str, path: &str, body: &Value) -> Request<axum::body::Body> {
    let mut request = request(Method::POST, path, None, Some(body));
    request.headers_mut().insert("idempotency-key", key.parse().unwrap());
    request.extensions_mut().insert(Operator("root".to_owned()));
    request
}

fn operator(p: &Platform) -> Router {
    router::operator(p.management.clone())
}

fn sample(name: &str) -> Value {
    json!({"name": name, "spec": {"title": "Sample", "version": "1"}})
}

store_test!(a_hundred_repeats_have_one_effect, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let post = || exchange(operator(&p), with_key("k-1", "/management/v1/apis", &sample("a")));

    let answers = join_all((0..100).map(|_| post())).await;

    let statuses: BTreeSet<u16> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    assert!(statuses.is_subset(&BTreeSet::from([201, 409])) && statuses.contains(&201), "{statuses:?}");
    let audit = p.operate(Method::GET, "/management/v1/audit", None).await;
    assert_eq!(audit.body["items"].as_array().unwrap().len(), 1);
    let later = post().await;
    assert_eq!((later.status, &later.headers["idempotency-replayed"]), (StatusCode::CREATED, &"true".parse().unwrap()));
    let first = answers.iter().find(|answer| answer.status == StatusCode::CREATED).unwrap();
    assert_eq!((&later.text, &later.headers[header::LOCATION]), (&first.text, &first.headers[header::LOCATION]));
    assert_ne!(later.headers["x-request-id"], first.headers["x-request-id"]);
});

store_test!(a_key_is_for_one_request_and_one_caller, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    exchange(operator(&p), with_key("k", "/management/v1/apis", &sample("a"))).await;

    let other_body = exchange(operator(&p), with_key("k", "/management/v1/apis", &sample("b"))).await;
    let other_path = exchange(operator(&p), with_key("k", "/management/v1/import", &sample("a"))).await;
    let mut somebody = with_key("k", "/management/v1/apis", &sample("b"));
    somebody.extensions_mut().insert(Operator("other".to_owned()));
    let somebody = exchange(operator(&p), somebody).await;

    assert_eq!(
        (other_body.status, other_path.status),
        (StatusCode::UNPROCESSABLE_ENTITY, StatusCode::UNPROCESSABLE_ENTITY)
    );
    assert_eq!(other_body.body["type"], "https://cardea.dev/problems/idempotency_mismatch");
    assert_eq!(somebody.status, StatusCode::CREATED);
    for bad in ["", "a b", &"k".repeat(256)] {
        let answer = exchange(operator(&p), with_key(bad, "/management/v1/apis", &sample("c"))).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{bad}");
    }
});

store_test!(what_had_no_effect_may_be_tried_again, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let bad = json!({"name": "a", "spec": {"title": "", "version": "1"}});

    let refused = exchange(operator(&p), with_key("k", "/management/v1/apis", &bad)).await;
    let again = exchange(operator(&p), with_key("k", "/management/v1/apis", &sample("a"))).await;

    assert_eq!((refused.status, again.status), (StatusCode::UNPROCESSABLE_ENTITY, StatusCode::CREATED));
});

store_test!(a_key_outlives_the_process_and_ends_after_a_day, MIGRATIONS, |db: TestDb| async move {
    use std::time::Duration;
    let p = Platform::on(db).await;
    let post = |p: &Platform| exchange(operator(p), with_key("k", "/management/v1/apis", &sample("a")));
    post(&p).await;

    // Another process on the same database.
    let config = crate::tests::config(&p.db);
    let second = crate::Management::with_db(config, p.clock.shared(), p.db.db.clone()).await.unwrap();
    let replayed = exchange(router::operator(second), with_key("k", "/management/v1/apis", &sample("a"))).await;
    p.clock.advance(Duration::from_secs(23 * 3600));
    p.management.minute().await.unwrap();
    let kept = post(&p).await;
    p.clock.advance(Duration::from_secs(2 * 3600));
    p.management.minute().await.unwrap();
    let over = post(&p).await;

    assert_eq!((replayed.status, kept.status), (StatusCode::CREATED, StatusCode::CREATED));
    assert_eq!(over.status, StatusCode::CONFLICT, "asked anew, and there is an `a` already");
    assert_eq!(over.body["type"], "https://cardea.dev/problems/conflict");
});

store_test!(
    a_claim_that_was_left_behind_is_taken_over_and_its_holder_cannot_commit,
    MIGRATIONS,
    |db: TestDb| async move {
        let p = Platform::on(db).await;
        let mut cx = Cx::system(&p.management);
        // As a process does that is killed, or hangs, before its effect.
        let first = super::store::claim(&mut cx, "operator:root", "k", "request").await.unwrap();
        cx.commit().await.unwrap();
        let super::store::Claimed::Yours(attempt) = first else { panic!("it is nobody else's") };
        let mut cx = Cx::system(&p.management);
        assert!(matches!(
            super::store::claim(&mut cx, "operator:root", "k", "request").await,
            Ok(super::store::Claimed::InFlight)
        ));
        drop(cx);

        p.clock.advance(super::idempotency::LEASE + std::time::Duration::from_secs(1));
        let mut cx = Cx::system(&p.management);
        let second = super::store::claim(&mut cx, "operator:root", "k", "request").await.unwrap();
        cx.commit().await.unwrap();

        assert!(matches!(second, super::store::Claimed::Yours(number) if number == attempt + 1));
        let mut late = Cx::system(&p.management);
        late.claim = Some(Claim { caller: "operator:root".to_owned(), key: "k".to_owned(), attempt });
        assert!(late.commit().await.is_err());
    }
);

store_test!(tags_keep_two_from_overwriting_each_other, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let made = p.operate(Method::POST, "/management/v1/apis", Some(&sample("a"))).await;
    let etag = made.headers[header::ETAG].clone();
    let put = |tag: &str, title: &str| {
        let body = json!({"spec": {"title": title, "version": "1"}});
        let mut request = request(Method::PUT, "/management/v1/apis/a", None, Some(&body));
        request.headers_mut().insert(header::IF_MATCH, tag.parse().unwrap());
        request.extensions_mut().insert(Operator("root".to_owned()));
        exchange(operator(&p), request)
    };

    assert_eq!(put(etag.to_str().unwrap(), "first").await.status, StatusCode::OK);
    let late = put(etag.to_str().unwrap(), "second").await;
    assert_eq!(
        (late.status, late.body["type"].as_str().unwrap()),
        (StatusCode::PRECONDITION_FAILED, "https://cardea.dev/problems/precondition_failed")
    );
    assert_eq!(put("*", "third").await.status, StatusCode::PRECONDITION_FAILED);
});

store_test!(every_error_is_a_problem, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let ask = async |method: Method, path: &str, body: Option<&Value>| p.operate(method, path, body).await;
    let long = json!({"document": "x".repeat(9 << 20)});

    for (answer, status) in [
        (ask(Method::PATCH, "/management/v1/apis", None).await, 405),
        (ask(Method::GET, "/management/v1/nowhere", None).await, 404),
        (ask(Method::GET, "/management/v1/apis/nobody", None).await, 404),
        (ask(Method::GET, "/management/v1/apis?limit=many", None).await, 400),
        (ask(Method::GET, "/management/v1/apis/%ff", None).await, 400),
        (ask(Method::POST, "/management/v1/apis", None).await, 400),
        (ask(Method::POST, "/management/v1/apis", Some(&json!(["x", null]))).await, 400),
        (ask(Method::POST, "/management/v1/apis", Some(&json!({"nam": "x"}))).await, 422),
        (ask(Method::POST, "/management/v1/import", Some(&long)).await, 413),
    ] {
        assert_eq!(answer.status.as_u16(), status, "{}", answer.text);
        assert_eq!(answer.headers[header::CONTENT_TYPE], "application/problem+json", "{status}");
        assert_eq!(answer.body["status"], status);
        assert_eq!(answer.body["request_id"].as_str().unwrap(), answer.headers["x-request-id"]);
    }
});

store_test!(what_is_no_access_token_of_a_person_goes_nowhere, MIGRATIONS, |db: TestDb| async move {
    let p = peopled(db).await;

    for token in ["crt_AAAA", "ccs_secret", "cra_x", "cad_x", "cac_x", "cia_x", "cat_AAAAAAAAAAAA"] {
        let answer = send(p.public(), Method::GET, "/management/v1/me", Some(token), None).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{token}");
    }
    for machine in ["machine", "machine-of-others", "passed-on"] {
        let answer = send(p.public(), Method::GET, "/management/v1/me", Some(machine), None).await;
        assert_eq!(
            answer.status,
            StatusCode::FORBIDDEN,
            "{machine}: a client that is called like a person is not that person"
        );
    }
});

store_test!(answers_are_kept_by_nobody_and_forms_have_an_end, MIGRATIONS, |db: TestDb| async move {
    let p = peopled(db).await;
    let _address = furnished(&p).await;

    for path in ["/management/v1/plans", "/management/v1/usage", "/management/v1/invoices", "/", "/nothing"] {
        let answer = send(p.public(), Method::GET, path, Some("ada"), None).await;
        assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store", "{path}");
        assert_eq!(answer.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff", "{path}");
        assert!(answer.headers.contains_key(header::STRICT_TRANSPORT_SECURITY), "{path}");
    }
    let mut large = request(Method::POST, "/logout", None, None);
    *large.body_mut() = axum::body::Body::from(vec![b'a'; 300 << 10]);
    assert_eq!(exchange(p.public(), large).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    let import = request(Method::POST, "/console/import", None, Some(&json!({"document": "x".repeat(1 << 20)})));
    let answer = exchange(p.public(), import).await;
    assert_eq!((answer.status, &answer.headers[header::LOCATION]), (StatusCode::SEE_OTHER, &"/login".parse().unwrap()));
});

store_test!(the_catalogue_for_programs_is_made_once_and_never_stale, MIGRATIONS, |db: TestDb| async move {
    let p = peopled(db).await;
    let catalogue = async || send(p.public(), Method::GET, "/.well-known/api-catalog", None, None).await.text;
    assert!(!catalogue().await.contains("apis/sample"));
    let mut sample = sample("sample");
    sample["spec"]["visibility"] = "public".into();
    p.operate(Method::POST, "/management/v1/apis", Some(&sample)).await;
    p.operate(Method::POST, "/management/v1/apis/sample/publish", None).await;

    assert!(catalogue().await.contains("apis/sample"));
    assert_eq!(catalogue().await, catalogue().await);

    p.operate(Method::POST, "/management/v1/apis/sample/withdraw", None).await;
    assert!(!catalogue().await.contains("apis/sample"));
});
