use std::time::Duration;

use serde_json::{Value, json};
use testkit::clock::START;
use testkit::db::TestDb;
use testkit::store_test;

use super::{ALL, Platform, call, config, one_test};
use crate::config::{Config, LogSettings};
use crate::{MIGRATIONS, decisions};

async fn search(p: &Platform, query: &str) -> Vec<Value> {
    let answer = p.get(&format!("/admin/v1/decisions?{query}")).await;
    answer.body["items"].as_array().unwrap_or_else(|| panic!("{}", answer.body)).clone()
}

store_test!(a_decision_is_found_by_time_subject_resource_and_outcome, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let text = format!("{ALL} @id(\"not-bob\") forbid (principal == User::\"bob\", action, resource);");
    p.publish(&text, "", one_test("allow")).await;
    let first = p.evaluate(&call("alice")).await;
    p.clock.advance(Duration::from_secs(10));
    p.evaluate(&call("bob")).await;
    let mut strange = call("alice");
    strange["resource"]["type"] = json!("x".repeat(1_000));
    p.evaluate(&strange).await;
    decisions::flush(&p.entitlement).await.unwrap();

    let all = search(&p, "").await;
    assert_eq!(all.len(), 3);
    assert_eq!(search(&p, "subject=bob").await.len(), 1);
    assert_eq!(search(&p, "resource=orders.list&decision=deny").await.len(), 2);
    assert_eq!(search(&p, &format!("from={}", START.ms() + 1)).await.len(), 2);
    let early = search(&p, &format!("until={}", START.ms() + 1)).await;
    assert_eq!(early.len(), 1);
    assert_eq!(early[0]["decision_id"], first.body["context"]["decision_id"]);
    assert_eq!((&early[0]["caller"], &early[0]["version"]), (&json!("gateway"), &json!(1)));
    assert_eq!((&early[0]["decision"], &early[0]["reasons"]), (&json!("allow"), &json!(["all"])));
    let id = first.headers["x-request-id"].to_str().unwrap();
    assert_eq!(search(&p, &format!("request_id={id}")).await.len(), 1);
    let denied = search(&p, "subject=bob").await;
    assert_eq!((&denied[0]["verdict"], &denied[0]["reasons"]), (&json!("forbidden"), &json!(["not-bob"])));
    // No attribute and no endless text gets into the log.
    assert!(!all.iter().any(|one| one.to_string().contains("properties")));
    assert!(all.iter().all(|one| one["resource_type"].as_str().unwrap().len() <= 256));
});

store_test!(pages_of_decisions_join_without_gap, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    for n in 0..7 {
        p.evaluate(&call(&format!("u{n}"))).await;
    }
    decisions::flush(&p.entitlement).await.unwrap();

    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = p.get(&format!("/admin/v1/decisions?limit=3{cursor}")).await.body;
        seen.extend(page["items"].as_array().unwrap().iter().map(|one| one["subject_id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    seen.sort();
    assert_eq!(seen, ["u0", "u1", "u2", "u3", "u4", "u5", "u6"]);
});

store_test!(a_full_queue_slows_nobody_and_is_counted, MIGRATIONS, |db: TestDb| async move {
    let log = LogSettings { queue: 2, batch: 10, retention: Duration::from_secs(3600) };
    let config = Config { log, ..config(&db) };
    let p = Platform::with(db, config).await;

    // Nobody writes: the third finds the queue full, and is decided all the same.
    for _ in 0..5 {
        assert!(!p.decides(&call("alice")).await);
    }

    assert_eq!(p.entitlement.metrics.dropped(), 3);
    assert!(p.entitlement.metrics.render().contains("cardea_entitlement_decisions_not_logged_total 3"));
    assert_eq!(decisions::flush(&p.entitlement).await.unwrap(), 2);
});

store_test!(the_writer_writes_as_they_come, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let writer = tokio::spawn(p.entitlement.clone().write_decisions());
    p.evaluate(&call("alice")).await;

    let found = tokio::time::timeout(Duration::from_secs(20), async {
        while search(&p, "subject=alice").await.is_empty() {
            tokio::task::yield_now().await;
        }
    });

    assert!(found.await.is_ok());
    writer.abort();
});

store_test!(decisions_leave_when_their_time_is_over, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    p.evaluate(&call("old")).await;
    p.clock.advance(Duration::from_secs(3_000));
    p.evaluate(&call("new")).await;
    decisions::flush(&p.entitlement).await.unwrap();
    p.clock.advance(Duration::from_secs(1_000));

    p.entitlement.minute().await.unwrap();

    let left: Vec<String> =
        search(&p, "").await.iter().map(|one| one["subject_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(left, ["new"]);
});

store_test!(what_gateways_decided_is_written_once_and_under_their_name, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let report = |id: &str, verdict: &str| {
        json!({"id": id, "at": 1_767_225_600_000_i64, "request_id": "r1", "subject_type": "User", "subject_id": "ann",
            "action": "call", "resource_type": "Operation", "resource_id": "orders/list", "verdict": verdict,
            "reasons": ["own-patients"], "version": 3})
    };
    let send = async |body: Value| {
        crate::tests::send(p.public(), http::Method::POST, "/policy/v1/decisions", Some("reader"), Some(&body)).await
    };

    assert_eq!(send(json!({"decisions": [report("a", "forbidden"), report("b", "permitted")]})).await.body["taken"], 2);
    decisions::flush(&p.entitlement).await.unwrap();
    assert_eq!(send(json!({"decisions": [report("a", "forbidden")]})).await.status, 200);
    assert_eq!(send(json!({"decisions": [report("c", "maybe")]})).await.status, 400);
    assert_eq!(send(json!({"decisions": vec![report("d", "failed"); 1001]})).await.status, 400);
    decisions::flush(&p.entitlement).await.unwrap();

    let found = p.get("/admin/v1/decisions?request_id=r1&decision=deny").await.body;
    assert_eq!(found["items"].as_array().unwrap().len(), 1);
    let one = &found["items"][0];
    assert_eq!(
        (&one["caller"], &one["decision_id"], &one["version"]),
        (&json!("reader"), &json!("reader.a"), &json!(3))
    );
});
