//! The certification scenario of AuthZEN Authorization API 1.0, levels Basic, Batch and Discovery: its
//! fixture, its eight decisions, and its rules on form.

use axum::body::Body;
use http::{Method, Request, StatusCode, header};
use serde_json::{Value, json};
use testkit::db::TestDb;
use testkit::store_test;

use super::{Platform, URL, exchange, request, send};
use crate::MIGRATIONS;

const SCHEMA: &str = r#"
    entity user { role?: String };
    entity record { status?: String };
    type Soft = { action: { soft?: Bool } };
    action read, write, delete appliesTo { principal: [user], resource: [record], context: Soft };
"#;

const POLICY: &str = r#"
    @id("readers")
    permit (principal, action == Action::"read", resource)
    when { principal == user::"alice" || principal == user::"bob" };

    @id("alice-writes")
    permit (principal == user::"alice", action == Action::"write", resource);

    @id("archived") @reason("The record is archived.")
    forbid (principal, action == Action::"write", resource)
    when { resource has status && resource.status == "archived" }
    unless { principal has role && principal.role == "admin" };

    @id("admins-write-archived")
    permit (principal, action == Action::"write", resource)
    when { principal has role && principal.role == "admin" && resource has status && resource.status == "archived" };

    @id("soft-delete")
    permit (principal == user::"alice", action == Action::"delete", resource)
    when { context.action has soft && context.action.soft };
"#;

async fn platform(db: TestDb) -> Platform {
    let p = Platform::on(db).await;
    let test =
        json!({"tests": [{"name": "alice reads", "question": ask("alice", "read", "record-1"), "expect": "allow"}]});
    p.publish(POLICY, SCHEMA, test).await;
    p.put(json!([
        {"type": "user", "id": "alice"},
        {"type": "user", "id": "bob", "attributes": {"role": "admin"}},
        {"type": "record", "id": "record-1", "attributes": {"status": "active"}},
        {"type": "record", "id": "record-2", "attributes": {"status": "archived"}},
    ]))
    .await;
    p
}

fn ask(subject: &str, action: &str, record: &str) -> Value {
    json!({
        "subject": {"type": "user", "id": subject},
        "action": {"name": action},
        "resource": {"type": "record", "id": record},
    })
}

/// A question with one member replaced.
fn but(mut question: Value, member: &str, value: Value) -> Value {
    question[member] = value;
    question
}

fn without(mut question: Value, member: &str) -> Value {
    question.as_object_mut().unwrap().remove(member);
    question
}

fn archived() -> Value {
    json!({"type": "record", "id": "record-2", "properties": {"status": "archived"}})
}

fn admin() -> Value {
    json!({"type": "user", "id": "bob", "properties": {"role": "admin"}})
}

store_test!(the_eight_decisions_come_out, MIGRATIONS, |db: TestDb| async move {
    let p = platform(db).await;
    let delete = |soft: bool| {
        but(ask("alice", "delete", "record-1"), "action", json!({"name": "delete", "properties": {"soft": soft}}))
    };

    for (expected, question) in [
        (true, ask("alice", "read", "record-1")),
        (true, ask("alice", "write", "record-1")),
        (true, ask("bob", "read", "record-1")),
        (false, ask("bob", "write", "record-1")),
        (false, but(ask("alice", "write", "record-2"), "resource", archived())),
        (true, but(but(ask("bob", "write", "record-2"), "resource", archived()), "subject", admin())),
        (true, delete(true)),
        (false, delete(false)),
    ] {
        assert_eq!(p.decides(&question).await, expected, "{question}");
        // The same question, the same answer; and what is not known changes nothing.
        assert_eq!(p.decides(&question).await, expected, "{question}");
        let more = but(but(question, "foo", json!("bar")), "futureField", json!({"nested": true}));
        let more = but(more, "context", json!({"time": "2025-06-27T18:03-07:00", "ip": "192.168.1.1"}));
        assert_eq!(p.decides(&more).await, expected, "{more}");
    }
    let rich = json!({
        "subject": {"type": "user", "id": "alice", "properties": {"department": "Sales", "role": "manager"}},
        "action": {"name": "read", "properties": {"method": "GET"}},
        "resource": {"type": "record", "id": "record-1", "properties": {"status": "active", "owner": "bob"}},
    });
    assert!(p.decides(&rich).await);
});

store_test!(a_question_that_is_not_whole_is_a_bad_request, MIGRATIONS, |db: TestDb| async move {
    let p = platform(db).await;
    let good = || ask("alice", "read", "record-1");

    for bad in [
        without(good(), "subject"),
        without(good(), "action"),
        without(good(), "resource"),
        but(good(), "subject", json!({"id": "alice"})),
        but(good(), "subject", json!({"type": "user"})),
        but(good(), "action", json!({})),
        but(good(), "resource", json!({"id": "record-1"})),
        but(good(), "resource", json!({"type": "record"})),
        but(good(), "subject", json!("alice")),
        but(good(), "action", json!({"name": 123})),
        but(good(), "context", json!([])),
        but(good(), "subject", json!({"type": "user", "id": "alice", "properties": []})),
        but(good(), "subject", json!(null)),
        json!([good()]),
    ] {
        for path in ["/access/v1/evaluation", "/access/v1/evaluations"] {
            assert_eq!(p.ask(path, &bad).await.status, StatusCode::BAD_REQUEST, "{path} {bad}");
        }
    }
    let raw = |content_type: &str, body: &str| {
        let mut raw = request(Method::POST, "/access/v1/evaluation", Some("gateway"), None);
        raw.headers_mut().insert(header::CONTENT_TYPE, content_type.parse().unwrap());
        *raw.body_mut() = Body::from(body.to_owned());
        exchange(p.public(), raw)
    };
    let text = good().to_string();
    assert_eq!(raw("application/json", &text).await.status, StatusCode::OK);
    assert_eq!(raw("application/json; charset=utf-8", &text).await.status, StatusCode::OK);
    assert_eq!(raw("text/plain", &text).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(raw("application/json", "").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(raw("application/json", &text[1..]).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(raw("application/json", &format!("{text}{text}")).await.status, StatusCode::BAD_REQUEST);
    // Two readers of one text could see two questions.
    let twice = text.replacen('{', r#"{"action":{"name":"write"},"#, 1);
    assert_eq!(raw("application/json", &twice).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(raw("application/json", &"[".repeat(100_000)).await.status, StatusCode::BAD_REQUEST);
});

store_test!(what_the_policies_do_not_know_is_denied_and_said, MIGRATIONS, |db: TestDb| async move {
    let p = platform(db).await;

    for (question, message) in [
        (ask("alice", "fly", "record-1"), "the schema has no action `fly`"),
        (
            but(ask("alice", "read", "record-1"), "subject", json!({"type": "spaceship", "id": "1"})),
            "the schema has no entity type `spaceship`",
        ),
        (
            but(
                ask("carl", "read", "record-1"),
                "subject",
                json!({"type": "user", "id": "carl", "properties": {"role": 1}}),
            ),
            "`subject.role` is not a text",
        ),
    ] {
        let answer = p.evaluate(&question).await;
        assert_eq!((answer.status, &answer.body["decision"]), (StatusCode::OK, &json!(false)));
        assert_eq!(answer.body["context"]["error"]["message"], message);
    }
});

store_test!(a_denial_names_the_condition_that_lacks, MIGRATIONS, |db: TestDb| async move {
    let p = platform(db).await;
    let hard = json!({"name": "delete", "properties": {"soft": false}});

    let answer = p.evaluate(&but(ask("alice", "delete", "record-1"), "action", hard)).await.body;

    assert_eq!(
        answer["context"]["reason_admin"]["403"],
        "no policy permits it; not fulfilled: soft-delete: when { context.action.soft }"
    );
    assert_eq!(answer["context"].get("policies"), None);
});

store_test!(a_batch_answers_each_in_order, MIGRATIONS, |db: TestDb| async move {
    let p = platform(db).await;
    let write = |subject: Value, evaluations: Value| json!({"subject": subject, "action": {"name": "write"}, "evaluations": evaluations});
    let alice = json!({"type": "user", "id": "alice"});
    let active = json!({"type": "record", "id": "record-1", "properties": {"status": "active"}});

    for (expected, batch) in [
        (
            vec![true, true],
            json!({"subject": alice, "action": {"name": "read"}, "evaluations": [
            {"resource": {"type": "record", "id": "record-1"}}, {"resource": {"type": "record", "id": "record-2"}}]}),
        ),
        (
            vec![true, false],
            json!({"subject": {"type": "user", "id": "bob"}, "resource": active, "evaluations": [
            {"action": {"name": "read"}}, {"action": {"name": "write"}}]}),
        ),
        (vec![true, false], write(alice.clone(), json!([{"resource": active}, {"resource": archived()}]))),
        (
            vec![false, true],
            json!({"action": {"name": "write"}, "resource": archived(), "evaluations": [
            {"subject": alice}, {"subject": admin()}]}),
        ),
        (
            vec![true, false],
            json!({"evaluations": [ask("alice", "read", "record-1"), ask("bob", "write", "record-1")]}),
        ),
        // A member is inherited whole or replaced whole.
        (
            vec![true, false],
            but(write(alice.clone(), json!([{}, {"resource": archived()}])), "resource", active.clone()),
        ),
        (
            vec![true, false],
            but(
                json!({"subject": alice, "action": {"name": "read"}, "evaluations": [
            {"resource": active}, {}]}),
                "options",
                json!({"evaluations_semantic": "execute_all", "another": 1}),
            ),
        ),
        // An incomplete default is no fault where each brings its own.
        (vec![true], but(write(alice.clone(), json!([{"resource": active}])), "resource", json!({}))),
    ] {
        let answer = p.ask("/access/v1/evaluations", &batch).await;
        assert_eq!(answer.status, StatusCode::OK);
        let decisions: Vec<bool> = answer.body["evaluations"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["decision"].as_bool().unwrap())
            .collect();
        assert_eq!(decisions, expected, "{batch}");
        assert_eq!(answer.body.get("decision"), None);
    }
});

store_test!(the_three_semantics_end_where_they_should, MIGRATIONS, |db: TestDb| async move {
    let p = platform(db).await;
    let check = async |semantic: &str, actions: &[&str], expected: &[bool]| {
        let items: Vec<Value> = actions.iter().map(|action| json!({"action": {"name": action}})).collect();
        let batch = json!({
            "subject": {"type": "user", "id": "bob"}, "resource": {"type": "record", "id": "record-1"},
            "options": {"evaluations_semantic": semantic}, "evaluations": items,
        });
        let answer = p.ask("/access/v1/evaluations", &batch).await;
        let all = answer.body["evaluations"].as_array().unwrap().clone();
        let decisions: Vec<bool> = all.iter().map(|one| one["decision"].as_bool().unwrap()).collect();
        assert_eq!(decisions, expected, "{semantic} {actions:?}");
    };

    check("execute_all", &["read", "write", "read"], &[true, false, true]).await;
    check("deny_on_first_deny", &["read", "write", "read"], &[true, false]).await;
    check("deny_on_first_deny", &["read", "read"], &[true, true]).await;
    check("permit_on_first_permit", &["write", "read", "write"], &[false, true]).await;
    check("permit_on_first_permit", &["write", "write"], &[false, false]).await;
    let evaluations = json!([ask("bob", "read", "record-1")]);
    for bad in [
        json!({"evaluations": evaluations, "options": {"evaluations_semantic": "whatever"}}),
        json!({"evaluations": evaluations, "options": {"evaluations_semantic": 1}}),
        json!({"evaluations": evaluations, "subject": "alice"}),
        json!({"evaluations": {}}),
        json!({"evaluations": vec![ask("bob", "read", "record-1"); 101]}),
    ] {
        assert_eq!(p.ask("/access/v1/evaluations", &bad).await.status, StatusCode::BAD_REQUEST);
    }
});

store_test!(without_a_list_it_is_a_single_question, MIGRATIONS, |db: TestDb| async move {
    let p = platform(db).await;

    for question in [ask("alice", "read", "record-1"), but(ask("alice", "read", "record-1"), "evaluations", json!([]))]
    {
        let answer = p.ask("/access/v1/evaluations", &question).await;
        assert_eq!((answer.status, &answer.body["decision"]), (StatusCode::OK, &json!(true)));
        assert_eq!(answer.body.get("evaluations"), None);
    }
});

store_test!(a_requests_id_comes_back, MIGRATIONS, |db: TestDb| async move {
    let p = platform(db).await;
    let with_id = |id: Option<&str>, path: &str, caller: Option<&str>| {
        let mut with: Request<Body> = request(Method::POST, path, caller, Some(&ask("alice", "read", "record-1")));
        if let Some(id) = id {
            with.headers_mut().insert("x-request-id", id.parse().unwrap());
        }
        exchange(p.public(), with)
    };
    let id = "bfe9eb29-ab87-4ca3-be83-a1d5d8305716";

    for (path, caller) in [("/access/v1/evaluation", Some("gateway")), ("/access/v1/evaluation", None), ("/no", None)] {
        assert_eq!(with_id(Some(id), path, caller).await.headers["x-request-id"], id);
    }
    assert_eq!(
        with_id(Some(&"x".repeat(500)), "/access/v1/evaluation", Some("gateway")).await.headers["x-request-id"].len(),
        500
    );
    let own = with_id(None, "/access/v1/evaluation", Some("gateway")).await;
    assert_eq!((own.status, own.headers["x-request-id"].len()), (StatusCode::OK, 32));
});

store_test!(metadata_names_the_endpoints, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;

    let answer = send(p.public(), Method::GET, "/.well-known/authzen-configuration", None, None).await;

    assert_eq!(
        (answer.status, answer.headers[header::CONTENT_TYPE].to_str().unwrap()),
        (StatusCode::OK, "application/json")
    );
    let expected = json!({
        "policy_decision_point": URL,
        "access_evaluation_endpoint": "https://pdp.example/access/v1/evaluation",
        "access_evaluations_endpoint": "https://pdp.example/access/v1/evaluations",
    });
    assert_eq!(answer.body, expected);
});
