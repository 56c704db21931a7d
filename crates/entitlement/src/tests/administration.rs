use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::db::TestDb;
use testkit::store_test;

use super::{ALL, Platform, call, config, one_test, send};
use crate::MIGRATIONS;

const NONE: &str = "@id(\"none\") forbid (principal, action, resource);";

fn draft(text: &str, tests: Value) -> Value {
    json!({"source": {"files": [{"name": "p.cedar", "text": text}]}, "tests": tests})
}

async fn publish(p: &Platform, version: i64) -> super::Answer {
    p.post(&format!("/admin/v1/policies/versions/{version}/publish"), &json!({"comment": "now"})).await
}

store_test!(a_version_is_in_force_from_its_publication_to_the_next, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    assert!(!p.decides(&call("alice")).await);

    let first = p.publish(ALL, "", one_test("allow")).await;
    assert!(p.decides(&call("alice")).await);
    let second = p.publish(NONE, "", one_test("deny")).await;
    assert!(!p.decides(&call("alice")).await);
    // The way back.
    assert_eq!(publish(&p, first).await.status, StatusCode::OK);
    assert!(p.decides(&call("alice")).await);

    assert_eq!((first, second), (1, 2));
    let history = p.get("/admin/v1/policies/history").await.body;
    let items = history["items"].as_array().unwrap();
    let versions: Vec<i64> = items.iter().map(|item| item["version"].as_i64().unwrap()).collect();
    assert_eq!(versions, [1, 2, 1]);
    assert_eq!((&items[0]["author"], &items[0]["comment"]), (&json!("root"), &json!("now")));
    let versions = p.get("/admin/v1/policies/versions").await.body;
    assert_eq!((versions["active"].as_i64(), versions["items"].as_array().unwrap().len()), (Some(1), 2));
    let shown = p.get("/admin/v1/policies/versions/2").await.body;
    assert_eq!(shown["source"]["files"][0]["text"], NONE);
    assert_eq!(shown["author"], "root");
    assert_eq!(p.get("/admin/v1/policies/versions/3").await.status, StatusCode::NOT_FOUND);
    assert_eq!(publish(&p, 3).await.status, StatusCode::NOT_FOUND);
});

store_test!(what_does_not_compile_is_not_taken_and_its_faults_are_placed, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let bad = draft("permit (principal, action, resource)\nwhen { principal.shoe == 1 };", one_test("allow"));

    for path in ["/admin/v1/policies/check", "/admin/v1/policies/versions"] {
        let answer = p.post(path, &bad).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
        let detail = answer.body["errors"][0]["detail"].as_str().unwrap();
        assert!(detail.starts_with("p.cedar:2:8: ") && detail.contains("shoe"), "{detail}");
    }
    assert_eq!(p.get("/admin/v1/policies/versions").await.body["items"], json!([]));
});

store_test!(a_version_whose_tests_fail_is_kept_and_not_published, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    p.publish(ALL, "", one_test("allow")).await;

    let report = p.post("/admin/v1/policies/check", &draft(NONE, one_test("allow"))).await;
    let created = p.post("/admin/v1/policies/versions", &draft(NONE, one_test("allow"))).await;
    let refused = publish(&p, 2).await;
    let untested = p.post("/admin/v1/policies/versions", &draft(NONE, json!({"tests": []}))).await;
    let refused_too = publish(&p, 3).await;

    assert_eq!(report.body["failures"][0]["message"], "expected allow, and it was denied by none: no permit fits");
    assert_eq!((created.status, untested.status), (StatusCode::CREATED, StatusCode::CREATED));
    assert_eq!(
        (refused.status, refused_too.status),
        (StatusCode::UNPROCESSABLE_ENTITY, StatusCode::UNPROCESSABLE_ENTITY)
    );
    assert_eq!(refused.body["errors"][0]["detail"], "one: expected allow, and it was denied by none: no permit fits");
    assert!(p.decides(&call("alice")).await);
});

store_test!(entities_and_policies_fit_each_other_always, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let badge = "entity User in [Group, Role] { badge?: Long };";
    p.publish(ALL, badge, one_test("allow")).await;
    p.put(json!([{"type": "User", "id": "alice", "attributes": {"badge": 7}}])).await;

    let unfit = p
        .post("/admin/v1/entities", &json!({"put": [{"type": "User", "id": "bob", "attributes": {"badge": "x"}}]}))
        .await;
    assert_eq!(unfit.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(unfit.body["errors"][0]["detail"], "`User` `bob`: `attributes.badge` is not a whole number");
    // A schema without the attribute that a stored entity has.
    p.post("/admin/v1/policies/versions", &draft(ALL, one_test("allow"))).await;
    let refused = publish(&p, 2).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(refused.body["errors"][0]["detail"], "`User` `alice`: `User` has no attribute `badge`");
    let gone = p.admin(Method::DELETE, "/admin/v1/entities/User/alice", None).await;
    assert_eq!((gone.status, publish(&p, 2).await.status), (StatusCode::OK, StatusCode::OK));
});

store_test!(of_two_changes_at_once_that_rest_on_each_other_one_is_refused, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let badge = "entity User in [Group, Role] { badge?: Long };";
    p.publish(ALL, badge, one_test("allow")).await;
    p.post("/admin/v1/policies/versions", &draft(ALL, one_test("allow"))).await;
    let alice = json!({"put": [{"type": "User", "id": "alice", "attributes": {"badge": 7}}]});

    let (published, put) = tokio::join!(publish(&p, 2), p.post("/admin/v1/entities", &alice));

    let fine = [published.status, put.status].iter().filter(|status| **status == StatusCode::OK).count();
    assert_eq!(fine, 1, "{} {}", published.body, put.body);
    // Whatever came first, decisions go on.
    assert!(p.decides(&call("alice")).await);
});

store_test!(many_versions_at_once_have_each_their_number, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let one = draft(ALL, one_test("allow"));
    let create = || async {
        loop {
            let answer = p.post("/admin/v1/policies/versions", &one).await;
            if answer.status == StatusCode::CREATED {
                return answer.body["version"].as_i64().unwrap();
            }
            assert!(
                [StatusCode::CONFLICT, StatusCode::SERVICE_UNAVAILABLE].contains(&answer.status),
                "{}",
                answer.body
            );
        }
    };

    let (a, b, c, d) = tokio::join!(create(), create(), create(), create());

    let mut numbers = [a, b, c, d];
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3, 4]);
});

/// Nodes share a database only at PostgreSQL.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_node_decides_by_what_was_published_here() {
    let here = Platform::on(testkit::db::postgres(MIGRATIONS).await).await;
    let there = crate::Entitlement::open(config(&here.db), here.clock.shared()).await.unwrap();
    let mut changes = there.live.watch();
    changes.mark_unchanged();

    here.publish(ALL, "", one_test("allow")).await;

    let live = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            changes.changed().await.unwrap();
            let live = there.live.get(&there).await.unwrap();
            if live.version == 1 {
                return live;
            }
        }
    });
    let question = serde_json::from_value(call("alice")).unwrap();
    assert!(live.await.unwrap().engine.decide(&question).allow);
}

store_test!(a_question_is_explained_also_by_a_version_not_in_force, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    p.publish(ALL, "", one_test("allow")).await;
    let text = "@id(\"lab\") permit (principal, action == Action::\"call\", resource)
        when { context.network has zone && context.network.zone == \"lab\" };";
    p.post("/admin/v1/policies/versions", &draft(text, one_test("deny"))).await;

    let today = p.post("/admin/v1/policies/explain", &json!({"question": call("alice")})).await.body;
    let then = p.post("/admin/v1/policies/explain", &json!({"question": call("alice"), "version": 2})).await.body;

    assert_eq!((&today["explanation"]["decision"]["allow"], &today["missing"]), (&json!(true), &json!([])));
    assert_eq!(then["explanation"]["decision"]["verdict"], "not_permitted");
    assert_eq!(then["explanation"]["considered"][0]["policy"]["reads"], json!(["context.network.zone"]));
    assert_eq!(then["missing"][0], "lab: when { context.network has zone }");
});

store_test!(a_publication_over_something_else_does_not_happen, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let first = p.publish(ALL, "", one_test("allow")).await;
    p.publish(NONE, "", one_test("deny")).await;
    let path = format!("/admin/v1/policies/versions/{first}/publish");

    let stale = p.post(&path, &json!({"comment": "back", "activation": 1})).await;
    let done = p.post(&path, &json!({"comment": "back", "activation": 2, "on_behalf_of": "Ann\u{0}\nOperator"})).await;

    assert_eq!((stale.status, done.status), (StatusCode::CONFLICT, StatusCode::OK), "{}", done.body);
    assert_eq!(done.body["author"], "root for AnnOperator");
    assert!(p.decides(&call("alice")).await);
    let history = p.get("/admin/v1/policies/history").await.body;
    assert_eq!(history["items"].as_array().unwrap().len(), 3, "{history}");
});

store_test!(who_reads_learns_whether_it_may_publish, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    p.publish(ALL, "", one_test("allow")).await;

    for (caller, may) in [("auditor", false), ("root", true)] {
        let router = crate::router::admin(p.entitlement.clone());
        let state = send(router, Method::GET, "/admin/v1/policies", Some(caller), None).await;
        assert_eq!((state.status, &state.body["may_publish"]), (StatusCode::OK, &json!(may)), "{caller}");
    }
});
