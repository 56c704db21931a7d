use std::time::Duration;

use base::Time;
use http::{HeaderMap, Method, StatusCode, header};
use policy::Snapshot;
use serde_json::json;
use testkit::db::TestDb;
use testkit::store_test;

use super::{ALL, Answer, Platform, call, exchange, one_test, request};
use crate::MIGRATIONS;

const NONE: &str = "@id(\"none\") forbid (principal, action, resource);";

async fn fetch(p: &Platform, query: &str, known: Option<&str>) -> Answer {
    let mut asked = request(Method::GET, &format!("/policy/v1/snapshot{query}"), Some("reader"), None);
    if let Some(known) = known {
        asked.headers_mut().insert(header::IF_NONE_MATCH, known.parse().unwrap());
    }
    exchange(p.public(), asked).await
}

fn tag(headers: &HeaderMap) -> String {
    headers[header::ETAG].to_str().unwrap().to_owned()
}

store_test!(whoever_takes_the_snapshot_decides_the_same, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    p.publish("permit (principal in Group::\"staff\", action, resource);", "", one_test("deny")).await;
    p.put(json!([{"type": "User", "id": "alice", "parents": [{"type": "Group", "id": "staff"}]}])).await;

    let answer = fetch(&p, "", None).await;
    let snapshot: Snapshot = serde_json::from_value(answer.body).unwrap();
    let engine = snapshot.compile().unwrap();

    assert_eq!((snapshot.version, tag(&answer.headers)), (1, snapshot.etag()));
    for user in ["alice", "bob"] {
        let mut question: policy::Question = serde_json::from_value(call(user)).unwrap();
        question.now = Time::from_ms(0);
        assert_eq!(engine.decide(&question).allow, p.decides(&call(user)).await);
    }
    assert!(p.decides(&call("alice")).await);
});

store_test!(an_unchanged_snapshot_is_not_sent_again, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let first = tag(&fetch(&p, "", None).await.headers);

    let again = fetch(&p, "", Some(&first)).await;
    assert_eq!((again.status, tag(&again.headers)), (StatusCode::NOT_MODIFIED, first.clone()));
    p.publish(ALL, "", one_test("allow")).await;
    let second = fetch(&p, "", Some(&first)).await;
    assert_eq!(second.status, StatusCode::OK);
    p.put(json!([{"type": "User", "id": "alice"}])).await;
    let third = fetch(&p, "", Some(&tag(&second.headers))).await;
    assert_eq!(third.status, StatusCode::OK);
    // The same version once more is another state.
    p.post("/admin/v1/policies/versions/1/publish", &json!({})).await;
    assert_eq!(fetch(&p, "", Some(&tag(&third.headers))).await.status, StatusCode::OK);
});

store_test!(who_waits_gets_a_change_at_once, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    p.publish(ALL, "", one_test("allow")).await;
    let known = tag(&fetch(&p, "", None).await.headers);

    let waiting = fetch(&p, "?wait=60", Some(&known));
    let changing = async {
        tokio::task::yield_now().await;
        p.publish(NONE, "", one_test("deny")).await;
    };
    let both = async { tokio::join!(waiting, changing) };
    let (answer, ()) = tokio::time::timeout(Duration::from_secs(30), both).await.unwrap();

    assert_eq!((answer.status, &answer.body["version"]), (StatusCode::OK, &json!(2)));
});

store_test!(who_waits_in_vain_is_told_that_nothing_changed, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let known = tag(&fetch(&p, "", None).await.headers);

    let answer = fetch(&p, "?wait=1", Some(&known)).await;

    assert_eq!((answer.status, answer.body.is_null()), (StatusCode::NOT_MODIFIED, true));
});

store_test!(who_knows_nothing_does_not_wait, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;

    let answer = tokio::time::timeout(Duration::from_secs(20), fetch(&p, "?wait=60", None)).await.unwrap();

    assert_eq!((answer.status, &answer.body["version"]), (StatusCode::OK, &json!(0)));
});
