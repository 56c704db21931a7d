use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode, header};
use serde_json::json;
use testkit::db::TestDb;
use testkit::store_test;

use super::{Platform, call, exchange, request, send};
use crate::router::{admin, admin_routes, public, public_routes};
use crate::{MIGRATIONS, Right};

fn holder(right: Right) -> &'static str {
    match right {
        Right::Evaluate => "gateway",
        Right::Snapshot => "reader",
        Right::Read => "auditor",
        Right::Administer => "root",
    }
}

store_test!(every_route_is_closed_without_and_with_too_little_credential, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let all = public_routes().into_iter().map(|route| (route, public(p.entitlement.clone())));
    let all = all.chain(admin_routes().into_iter().map(|route| (route, admin(p.entitlement.clone()))));
    let mut closed = 0;

    for ((method, path, right, _), router) in all {
        let Some(right) = right else {
            assert_eq!(path, "/.well-known/authzen-configuration");
            continue;
        };
        let path = path.replace("{version}", "1").replace("{type}", "User").replace("{id}", "a");
        let status = async |caller: Option<&str>| {
            send(router.clone(), method.clone(), &path, caller, Some(&json!({}))).await.status
        };
        closed += 1;
        assert_eq!(status(None).await, StatusCode::UNAUTHORIZED, "{method} {path}");
        assert_eq!(status(Some("nobody")).await, StatusCode::UNAUTHORIZED, "{method} {path}");
        for own in [Right::Evaluate, Right::Snapshot, Right::Read, Right::Administer] {
            let open = own == right || (own, right) == (Right::Administer, Right::Read);
            let answered = status(Some(holder(own))).await;
            assert!(answered != StatusCode::UNAUTHORIZED && answered != StatusCode::METHOD_NOT_ALLOWED, "{answered}");
            assert_eq!(answered != StatusCode::FORBIDDEN, open, "{method} {path} {own:?}: {answered}");
        }
    }
    assert_eq!(closed, 17);
});

store_test!(a_credential_comes_once_as_bearer_or_basic, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let with = |values: Vec<String>| {
        let mut with = request(Method::POST, "/access/v1/evaluation", None, Some(&call("alice")));
        for value in values {
            with.headers_mut().append(header::AUTHORIZATION, value.parse().unwrap());
        }
        let sent = exchange(p.public(), with);
        async move {
            let answer = sent.await;
            if answer.status == StatusCode::UNAUTHORIZED {
                assert!(answer.headers.contains_key(header::WWW_AUTHENTICATE));
            }
            answer.status
        }
    };
    let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
    let good = "Bearer secret of gateway".to_owned();

    assert_eq!(with(vec![good.clone()]).await, StatusCode::OK);
    assert_eq!(with(vec![basic("gateway:secret of gateway")]).await, StatusCode::OK);
    for bad in [
        vec![good.clone(), good],
        vec![basic("reader:secret of gateway")],
        vec![basic("gateway:secret of reader")],
        vec![basic("gateway:")],
        vec![basic("gateway")],
        vec!["Basic !".to_owned()],
        vec!["Bearer".to_owned()],
        vec!["Bearer secret of gatewa".to_owned()],
        vec!["Digest secret of gateway".to_owned()],
    ] {
        assert_eq!(with(bad.clone()).await, StatusCode::UNAUTHORIZED, "{bad:?}");
    }
});

store_test!(too_large_a_body_is_refused, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let mut question = call("alice");
    question["context"] = json!({"text": "x".repeat(600 * 1024)});

    assert_eq!(p.evaluate(&question).await.status, StatusCode::PAYLOAD_TOO_LARGE);
});

store_test!(an_operator_is_known_by_the_process_and_by_nothing_in_a_request, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let router = admin(p.entitlement.clone());
    let mut asked = request(Method::GET, "/admin/v1/policies", None, None);
    asked.headers_mut().insert("operator", "root".parse().unwrap());
    assert_eq!(exchange(router.clone(), asked).await.status, StatusCode::UNAUTHORIZED);

    let mut known = request(Method::GET, "/admin/v1/policies", None, None);
    known.extensions_mut().insert(crate::Operator::new("root"));
    let answer = exchange(router, known).await;

    assert_eq!((answer.status, &answer.body["version"]), (StatusCode::OK, &json!(0)));
});
