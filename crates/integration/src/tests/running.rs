use std::sync::Arc;
use std::time::Duration;

use catalog::Conflict;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::Barrier;

use super::{Hands, Script, body, composition, input, ok, parts, run, runner, status};
use crate::shape::{Misshapen, merge};
use crate::{CallError, Ending};

const THREE: &str = "
steps:
- name: order
  request: { service: orders, path: '/orders/${ request.params.id }' }
- name: user
  request: { service: users, path: '/users/${ steps.order.body.user }' }
- name: reviews
  required: false
  request: { service: reviews, path: /reviews }
output: { body: { order: '${ steps.order.body.id }', name: '${ steps.user.body.name }', reviews: '${ steps.reviews.body }' } }
";

fn backends() -> Script {
    Script::at_once(|sent| match sent.service.as_str() {
        "orders" => ok(json!({"id": 7, "user": "u1"})),
        "users" => ok(json!({"name": "Alice"})),
        _ => ok(json!(["good"])),
    })
}

#[tokio::test]
async fn parts_become_one_answer_in_the_order_of_their_needs() {
    let script = backends();

    let answer = run(&composition(THREE), &script, input()).await;

    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.body, r#"{"order":7,"name":"Alice","reviews":["good"]}"#);
    assert_eq!(script.lines(), ["GET /v1/orders/7", "GET /reviews", "GET /users/u1"]);
    assert_eq!(answer.report.ending, Ending::Complete);
    let header = answer.headers["cardea-parts"].to_str().unwrap();
    assert_eq!(header, "order;outcome=done;status=200, user;outcome=done;status=200, reviews;outcome=done;status=200");
}

#[tokio::test]
async fn independent_steps_run_side_by_side() {
    let steps: String =
        (0..5).map(|at| format!("- {{ name: s{at}, request: {{ service: users, path: /{at} }} }}\n")).collect();
    let page = composition(&format!("steps:\n{steps}output: {{ body: '${{ steps.s4.body }}' }}"));
    // Nobody is answered before all five have asked.
    let barrier = Arc::new(Barrier::new(5));
    let script = Script::new(move |_| {
        let barrier = Arc::clone(&barrier);
        async move {
            barrier.wait().await;
            ok(json!(1))
        }
    });

    let answer = run(&page, &script, input()).await;

    assert_eq!(body(&answer), json!(1));
}

#[tokio::test]
async fn no_more_steps_run_at_once_than_may() {
    let steps: String =
        (0..6).map(|at| format!("- {{ name: s{at}, request: {{ service: users, path: /{at} }} }}\n")).collect();
    let page = composition(&format!("concurrency: 2\nsteps:\n{steps}output: {{}}"));
    let hands = Hands::default();
    let timer = hands.timer();
    let script = Script::new(move |_| {
        let sleep = timer.sleep(Duration::from_millis(10));
        async move {
            sleep.await;
            ok(json!(1))
        }
    });
    let running = tokio::spawn({
        let runner = runner(&script, &hands);
        async move { runner.run(&page, input()).await }
    });

    for sent in [2, 4, 6] {
        Hands::settle().await;
        assert_eq!(script.sent().len(), sent);
        hands.advance(Duration::from_millis(10)).await;
    }

    assert_eq!(running.await.unwrap().report.duration_ms, 30);
}

#[tokio::test]
async fn a_dead_optional_part_leaves_a_partial_answer() {
    let script = Script::at_once(|sent| match sent.service.as_str() {
        "orders" => ok(json!({"id": 7, "user": "u1"})),
        "users" => ok(json!({"name": "Alice"})),
        _ => Err(CallError::Unreachable),
    });

    let answer = run(&composition(THREE), &script, input()).await;

    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.report.ending, Ending::Partial);
    let body = body(&answer);
    assert_eq!(body["reviews"], Value::Null);
    assert_eq!(body["name"], "Alice");
    assert_eq!(body["parts"][2]["name"], "reviews");
    assert_eq!(body["parts"][2]["error"], "unreachable");
    assert_eq!(body["parts"][2]["outcome"], "failed");

    let chosen = format!(
        "{}partial: {{ status: 203, member: _parts }}\n",
        THREE.replace("required: false", "required: false\n  fallback: [none]")
    );
    let answer = run(&composition(&chosen), &script, input()).await;
    assert_eq!(answer.status, StatusCode::NON_AUTHORITATIVE_INFORMATION);
    let body = super::body(&answer);
    assert_eq!(body["reviews"], json!(["none"]));
    assert_eq!(body["_parts"][2]["outcome"], "fallback");
}

#[tokio::test]
async fn a_composition_may_keep_its_parts_to_itself() {
    let page = composition(&format!("{THREE}partial: {{ report: never }}\n"));
    let partly = Script::at_once(|sent| match sent.service.as_str() {
        "reviews" => Err(CallError::Unreachable),
        _ => ok(json!({"id": 7, "user": "u1", "name": "Alice"})),
    });

    for script in [partly, Script::at_once(|_| Err(CallError::Unreachable))] {
        let answer = run(&page, &script, input()).await;
        assert!(!answer.headers.contains_key("cardea-parts"));
        assert_eq!(body(&answer).get("parts"), None);
        assert_eq!(answer.report.parts.len(), 3);
    }
}

#[tokio::test]
async fn trace_context_goes_along_with_each_step() {
    let mut input = input();
    input.along.insert("traceparent", http::HeaderValue::from_static("00-1"));
    let script = backends();

    run(&composition(THREE), &script, input).await;

    assert!(script.sent().iter().all(|sent| sent.headers["traceparent"] == "00-1"));
}

#[tokio::test]
async fn a_slow_optional_part_is_given_up_at_the_deadline() {
    let page = composition(&format!("deadline: 2s\n{}", THREE.trim_start()));
    let script = Script::new(|sent| async move {
        match sent.service.as_str() {
            "orders" => ok(json!({"id": 7, "user": "u1"})),
            "users" => ok(json!({"name": "Alice"})),
            _ => std::future::pending().await,
        }
    });
    let hands = Hands::default();
    let running = tokio::spawn({
        let runner = runner(&script, &hands);
        async move { runner.run(&page, input()).await }
    });

    hands.advance(Duration::from_millis(1_999)).await;
    assert!(!running.is_finished());
    hands.advance(Duration::from_millis(1)).await;

    let answer = running.await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(body(&answer)["name"], "Alice");
    assert_eq!(answer.report.duration_ms, 2_000);
    assert_eq!(script.given_up(), 1);
    assert!(matches!(parts(&answer)[2].as_str(), "reviews: Failed TimedOut x1" | "reviews: Failed Deadline x1"));
}

#[tokio::test]
async fn a_slow_required_part_is_a_504_and_gives_up_the_others() {
    let page = composition(
        &THREE
            .replace("- name: reviews\n", "- name: reviews\n  timeout: 1m\n")
            .replace("- name: order\n", "- name: order\n  timeout: 300ms\n"),
    );
    let script = Script::new(|_| std::future::pending());
    let hands = Hands::default();
    let running = tokio::spawn({
        let runner = runner(&script, &hands);
        async move { runner.run(&page, input()).await }
    });

    hands.advance(Duration::from_millis(300)).await;

    let answer = running.await.unwrap();
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    let body = body(&answer);
    assert_eq!(body["type"], "https://cardea.dev/problems/part_timed_out");
    assert_eq!(body["detail"], "part `order`: the backend did not answer in time");
    assert_eq!(body["parts"][1]["error"], "cancelled");
    assert_eq!(script.given_up(), 2);
    assert_eq!(script.lines(), ["GET /v1/orders/7", "GET /reviews"]);
}

#[tokio::test]
async fn a_chain_shares_the_deadline() {
    let page = composition(&format!("deadline: 2s\n{}", THREE.trim_start()));
    // The first of two has half of it, so that the second still has time.
    let script = Script::new(|sent| async move {
        if sent.service == "reviews" { ok(json!([])) } else { std::future::pending().await }
    });
    let hands = Hands::default();
    let running = tokio::spawn({
        let runner = runner(&script, &hands);
        async move { runner.run(&page, input()).await }
    });

    hands.advance(Duration::from_millis(1_000)).await;

    assert_eq!(running.await.unwrap().report.duration_ms, 1_000);
}

#[tokio::test]
async fn only_what_may_be_repeated_is_tried_again() {
    let spec = |method: &str, more: &str, retries: u32| {
        format!(
            "steps:\n- name: a\n  retries: {retries}\n  request: {{ service: orders, path: /x, method: {method}{more} }}\noutput: {{}}"
        )
    };
    let failing = || Script::at_once(|_| status(503, json!({})));
    for (method, more, retries, attempts) in [
        ("GET", "", 2, 3),
        ("PUT", "", 1, 2),
        ("POST", ", idempotencyKey: '${ request.id }'", 2, 3),
        ("POST", "", 0, 1),
    ] {
        let (script, hands) = (failing(), Hands::default());
        let page = composition(&spec(method, more, retries));
        let running = tokio::spawn({
            let runner = runner(&script, &hands);
            async move { runner.run(&page, input()).await }
        });
        hands.advance(Duration::from_secs(5)).await;
        let answer = running.await.unwrap();
        assert_eq!(script.sent().len(), attempts, "{method}");
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
        let keys: Vec<_> =
            script.sent().iter().filter_map(|sent| sent.headers.get("idempotency-key").cloned()).collect();
        assert!(keys.windows(2).all(|pair| pair[0] == pair[1]));
    }
    // A clear no is not asked again.
    let script = Script::at_once(|_| status(404, json!({})));
    run(&composition(&spec("GET", "", 3)), &script, input()).await;
    assert_eq!(script.sent().len(), 1);
}

#[tokio::test]
async fn a_status_may_pass_and_a_condition_may_leave_out() {
    let spec = "
steps:
- name: a
  pass: [404]
  request: { service: orders, path: /x }
- name: b
  when: steps.a.body.more
  fallback: nothing
  request: { service: users, path: /y }
output: { body: { b: '${ steps.b.body }', ok: '${ steps.b.ok }', status: '${ steps.b.status }' } }
";
    let missing = run(&composition(spec), &Script::at_once(|_| status(404, json!({}))), input()).await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    assert_eq!(body(&missing)["type"], "https://cardea.dev/problems/part_status");

    let left_out = run(&composition(spec), &Script::at_once(|_| ok(json!({"more": false}))), input()).await;
    assert_eq!(left_out.report.ending, Ending::Complete);
    assert_eq!(body(&left_out), json!({"b": "nothing", "ok": false, "status": 0}));
}

#[tokio::test]
async fn answers_that_cannot_be_used_say_why() {
    let spec = "
steps:
- name: a
  maxBody: 64
  request: { service: orders, path: /x }
output: { body: '${ steps.a.body.x }' }
";
    let large = run(&composition(spec), &Script::at_once(|_| ok(json!("x".repeat(100)))), input()).await;
    assert_eq!(parts(&large), ["a: Failed 200 TooLarge x1"]);
    let html = Script::at_once(|_| Ok(http::Response::new(bytes::Bytes::from_static(b"\x00\x01"))));
    assert_eq!(parts(&run(&composition(spec), &html, input()).await), ["a: Failed 200 BadAnswer x1"]);
    let broken = Script::at_once(|_| status(200, json!({})).map(|answer| answer.map(|_| "{".into())));
    assert_eq!(parts(&run(&composition(spec), &broken, input()).await), ["a: Failed 200 BadAnswer x1"]);
    let unlike = run(&composition(spec), &Script::at_once(|_| ok(json!({"y": 1}))), input()).await;
    assert_eq!(unlike.status, StatusCode::BAD_GATEWAY);
    assert_eq!(body(&unlike)["type"], "https://cardea.dev/problems/composition_shape");

    let whole = run(
        &composition(&format!("maxAnswer: 10\n{}", spec.trim_start())),
        &Script::at_once(|_| ok(json!({"x": "123456789"}))),
        input(),
    )
    .await;
    assert_eq!(body(&whole)["type"], "https://cardea.dev/problems/composition_too_large");
    assert_eq!(whole.report.ending, Ending::Failed);
}

#[tokio::test]
async fn answers_without_a_backend_are_compositions_without_steps() {
    let page = composition(
        "
cases:
- when: request.params.id == '0'
  answer: { status: 404, body: { error: none } }
- when: \"'plain' in request.query\"
  answer: { text: 'id ${ request.params.id }', headers: { x-mock: 'yes ${ request.id }' } }
output: { status: 201, body: { id: '${ request.params.id }', n: '${ int(request.params.id) * 2 }' } }
",
    );
    let script = Script::at_once(|_| Err(CallError::Unreachable));
    let with = |id: &str, query: &[(&str, &str)]| {
        let mut input = input();
        input.params = vec![("id".to_owned(), id.to_owned())];
        input.query = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        input
    };

    let made = run(&page, &script, with("21", &[])).await;
    assert_eq!((made.status.as_u16(), body(&made)), (201, json!({"id": "21", "n": 42})));
    let none = run(&page, &script, with("0", &[])).await;
    assert_eq!((none.status.as_u16(), body(&none)), (404, json!({"error": "none"})));
    let plain = run(&page, &script, with("5", &[("plain", "")])).await;
    assert_eq!(
        (plain.body.as_ref(), plain.headers["content-type"].to_str().unwrap()),
        (&b"id 5"[..], "text/plain; charset=utf-8")
    );
    assert_eq!(plain.headers["x-mock"], "yes r1");
    assert!(script.sent().is_empty());
}

#[test]
fn conflicts_of_a_merge_are_defined() {
    let values = || vec![json!({"a": 1, "in": {"x": 1}}), json!({"a": 2, "in": {"y": 2}}), json!({"b": 3})];
    let merged = |conflict, deep| merge(values(), conflict, deep);

    assert_eq!(merged(Conflict::Fail, true), Err(Misshapen::Conflict));
    assert_eq!(merged(Conflict::First, false), Ok(json!({"a": 1, "in": {"x": 1}, "b": 3})));
    assert_eq!(merged(Conflict::Last, false), Ok(json!({"a": 2, "in": {"y": 2}, "b": 3})));
    assert_eq!(merged(Conflict::Last, true), Ok(json!({"a": 2, "in": {"x": 1, "y": 2}, "b": 3})));
    let same = merge(vec![json!({"a": [1]}), json!({"a": [1]})], Conflict::Fail, false);
    assert_eq!(same, Ok(json!({"a": [1]})));
    assert_eq!(merge(vec![json!([1]), json!([2, 3])], Conflict::Fail, false), Ok(json!([1, 2, 3])));
    assert_eq!(merge(vec![json!([1]), json!({})], Conflict::Last, false), Err(Misshapen::Unlike));
    assert_eq!(merge(vec![json!(1)], Conflict::Last, false), Err(Misshapen::Unlike));
    assert_eq!(merge(vec![], Conflict::Fail, false), Ok(json!({})));
}

#[tokio::test]
async fn a_merged_answer_passes_over_what_is_missing() {
    let page = composition(
        "
steps:
- { name: a, request: { service: orders, path: /a } }
- { name: b, required: false, request: { service: users, path: /b } }
output: { merge: { of: [steps.a.body, '${ steps.b.body }', \"{'id': request.params.id}\"] } }
",
    );
    let script =
        Script::at_once(|sent| if sent.service == "orders" { ok(json!({"x": 1})) } else { status(500, json!({})) });

    let answer = run(&page, &script, input()).await;

    let mut body = body(&answer);
    assert!(body.as_object_mut().unwrap().remove("parts").is_some());
    assert_eq!(body, json!({"x": 1, "id": "7"}));
}
