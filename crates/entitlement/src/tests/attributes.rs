use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base::Secret;
use base::peer::{Limits, Peer, PeerError};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};
use testkit::db::TestDb;
use testkit::store_test;

use super::{Platform, call, one_test};
use crate::MIGRATIONS;
use crate::config::{HttpSource, OnFailure};

/// A service that knows departments, and counts who asks.
#[derive(Default)]
struct Directory {
    asked: AtomicUsize,
    broken: AtomicUsize,
}

impl Peer for Directory {
    fn call(
        &self,
        request: Request<Bytes>,
        limits: Limits,
    ) -> futures_util::future::BoxFuture<'_, Result<Response<Bytes>, PeerError>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        assert_eq!(request.headers()["authorization"], "Bearer of the source");
        let asked: Value = serde_json::from_slice(request.body()).unwrap();
        let answer = |status: StatusCode, body: &str| {
            Ok(Response::builder().status(status).body(Bytes::from(body.to_owned())).unwrap())
        };
        let result = match (self.broken.load(Ordering::SeqCst), asked["id"].as_str().unwrap()) {
            (1, _) => Err(PeerError::TimedOut(limits.time)),
            (2, _) => answer(StatusCode::INTERNAL_SERVER_ERROR, "{}"),
            (3, _) => answer(StatusCode::OK, "[]"),
            (_, "alice") => answer(StatusCode::OK, r#"{"attributes": {"department": "sales"}}"#),
            _ => answer(StatusCode::NOT_FOUND, ""),
        };
        Box::pin(async move { result })
    }
}

const SALES: &str = r#"@id("sales") permit (principal is User, action == Action::"call", resource)
    when { principal has department && principal.department == "sales" };
    @id("open") permit (principal is Client, action == Action::"call", resource);"#;

fn source(peer: Arc<Directory>, on_failure: OnFailure) -> HttpSource {
    HttpSource {
        url: "https://people.example/attributes".to_owned(),
        types: vec!["user".to_owned()],
        bearer: Some(Secret::from("of the source")),
        time_out: Duration::from_millis(200),
        fresh: Duration::from_secs(60),
        cache: 100,
        on_failure,
        peer,
    }
}

store_test!(the_source_is_asked_once_while_its_answer_is_fresh, MIGRATIONS, |db: TestDb| async move {
    let service = Arc::new(Directory::default());
    let p = Platform::asking(db, source(service.clone(), OnFailure::Deny)).await;
    p.publish(SALES, "", one_test("deny")).await;

    assert!(p.decides(&call("alice")).await);
    assert!(p.decides(&call("alice")).await);
    assert!(!p.decides(&call("bob")).await);
    assert_eq!(service.asked.load(Ordering::SeqCst), 2);
    p.clock.advance(Duration::from_secs(61));
    assert!(p.decides(&call("alice")).await);
    assert_eq!(service.asked.load(Ordering::SeqCst), 3);
    // It is not asked about other types.
    let mut client = call("shop");
    client["subject"]["type"] = json!("client");
    assert!(p.decides(&client).await);
    assert_eq!(service.asked.load(Ordering::SeqCst), 3);
});

store_test!(stored_facts_outrank_the_source_and_the_source_the_asking_side, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::asking(db, source(Arc::default(), OnFailure::Deny)).await;
    p.publish(SALES, "", one_test("deny")).await;
    let mut lie = call("alice");
    lie["subject"]["properties"] = json!({"department": "press"});

    assert!(p.decides(&lie).await);
    p.put(json!([{"type": "User", "id": "alice", "attributes": {"department": "press"}}])).await;
    assert!(!p.decides(&call("alice")).await);
});

store_test!(without_an_answer_the_rule_decides, MIGRATIONS, |db: TestDb| async move {
    let service = Arc::new(Directory::default());
    let p = Platform::asking(db, source(service.clone(), OnFailure::Deny)).await;
    p.publish("permit (principal, action, resource);", "", one_test("allow")).await;

    for (how, why) in [(1, "did not answer within 200 ms"), (2, "status 500"), (3, "not what was asked for")] {
        service.broken.store(how, Ordering::SeqCst);
        let answer = p.evaluate(&call("alice")).await.body;
        assert_eq!(answer["decision"], false);
        let message = answer["context"]["error"]["message"].as_str().unwrap();
        assert!(
            message.starts_with("the attributes of the subject are not known: ") && message.contains(why),
            "{message}"
        );
    }
    // A failure is not remembered.
    service.broken.store(0, Ordering::SeqCst);
    assert!(p.decides(&call("alice")).await);
});

store_test!(a_source_that_may_be_missing_is_left_out, MIGRATIONS, |db: TestDb| async move {
    let service = Arc::new(Directory::default());
    service.broken.store(1, Ordering::SeqCst);
    let p = Platform::asking(db, source(service, OnFailure::Ignore)).await;
    p.publish("permit (principal, action, resource);", "", one_test("allow")).await;

    assert!(p.decides(&call("alice")).await);
});

store_test!(entities_are_written_shown_listed_and_removed, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let alice = json!({"type": "User", "id": "alice", "attributes": {"name": "Alice"}, "parents": [{"type": "Group", "id": "g"}]});
    p.put(json!([alice, {"type": "Group", "id": "g"}])).await;

    assert_eq!(p.get("/admin/v1/entities/User/alice").await.body, alice);
    let listed = p.get("/admin/v1/entities").await.body;
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
    let rest = p.get("/admin/v1/entities?after_type=Group&after_id=g").await.body;
    assert_eq!(rest["items"], json!([alice]));
    let gone = p.admin(Method::DELETE, "/admin/v1/entities/User/alice", None).await;
    assert_eq!((gone.status, &gone.body["deleted"]), (StatusCode::OK, &json!(1)));
    assert_eq!(p.admin(Method::DELETE, "/admin/v1/entities/User/alice", None).await.status, StatusCode::NOT_FOUND);
    assert_eq!(p.get("/admin/v1/entities/User/alice").await.status, StatusCode::NOT_FOUND);
});
