//! Backends that are dead, slow or broken.

use super::*;

const PARTS: &str = "
kind: Composition
name: parts
spec:
  match: { path: /parts }
  auth: { issuer: main }
  audience: https://page.internal
  deadline: 250ms
  steps:
  - { name: good, request: { service: good, path: /good } }
  - { name: dead, required: false, request: { service: dead, path: /dead } }
  - { name: slow, required: false, fallback: [soon], request: { service: slow, path: /slow } }
  output: { body: { good: '${ steps.good.body.path }', dead: '${ steps.dead.body }', slow: '${ steps.slow.body }' } }
  partial: { status: 203 }
";

#[tokio::test(flavor = "multi_thread")]
async fn one_backend_dead_and_one_slow_leave_the_right_answer_within_the_deadline() {
    let (good, slow) = (telling().await, Silent::start().await);
    let house = House::start(&[("good", good.url()), ("dead", dead()), ("slow", slow.server.url())], PARTS).await;

    let watch = base::time::Stopwatch::start();
    let answer = house.get("/parts", "alice").await;

    assert!(watch.elapsed().as_millis() >= 250 && watch.elapsed().as_secs() < 5);
    assert_eq!(answer.status(), 203, "{}", answer.text());
    let body = body(&answer);
    assert_eq!((&body["good"], &body["dead"], &body["slow"]), (&json!("/v1/good"), &Value::Null, &json!(["soon"])));
    assert_eq!(
        answer.field("cardea-parts"),
        ["good;outcome=done;status=200, dead;outcome=failed;error=unreachable, slow;outcome=fallback;error=deadline"]
    );
    // What is given up is not left open.
    slow.went.notified().await;
    let metrics = house.gateway.metrics_text();
    assert!(metrics.contains("part=\"slow\",outcome=\"fallback\",error=\"deadline\""), "{metrics}");
    assert!(metrics.contains("composition=\"parts\",ending=\"partial\"} 1"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_required_part_that_fails_gives_the_status_of_its_trouble_and_its_name() {
    let broken = HttpUpstream::start(|_| {
        Response::builder().status(500).body(whole("secret stack trace of the backend")).unwrap()
    })
    .await;
    let closing = RawUpstream::start(|_, mut connection| async move {
        connection.head().await;
    })
    .await;
    let slow = Silent::start().await;
    for (url, status, trouble) in [
        (dead(), 502, "part_unreachable"),
        (broken.url(), 502, "part_status"),
        (closing.url(), 502, "part_broken_off"),
        (slow.server.url(), 504, "composition_deadline"),
    ] {
        let spec = PARTS.replace("name: dead, required: false", "name: dead");
        let good = telling().await;
        let house = House::start(&[("good", good.url()), ("dead", url), ("slow", good.url())], &spec).await;

        let answer = house.get("/parts", "alice").await;

        assert_eq!((answer.status(), slug(&answer).as_str()), (status, trouble));
        assert_eq!(answer.field("content-type"), ["application/problem+json"]);
        let body = body(&answer);
        assert!(body["detail"].as_str().unwrap().starts_with("part `dead`: "), "{body}");
        assert_eq!(body["request_id"], answer.field("x-request-id")[0]);
        assert_eq!(body["parts"][1]["outcome"], "failed");
        assert!(!answer.text().contains("stack trace") && !answer.text().contains("127.0.0.1"));
        // Counted at the end of the exchange, of which the client does not hear.
        let counted = format!("cardea_denied_total{{reason=\"{trouble}\"}} 1");
        while !house.gateway.metrics_text().contains(&counted) {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_is_passed_on_is_the_backends_answer_and_no_denial() {
    let missing = HttpUpstream::start(|_| Response::builder().status(404).body(whole("not here")).unwrap()).await;
    let good = telling().await;
    let spec = PARTS.replace("name: dead, required: false,", "name: dead, pass: [404],");
    let house = House::start(&[("good", good.url()), ("dead", missing.url()), ("slow", good.url())], &spec).await;

    let answer = house.get("/parts", "alice").await;

    assert_eq!((answer.status(), slug(&answer).as_str()), (404, "part_status"));
    assert!(!answer.text().contains("not here"));
    let ended = "ending=\"failed\"} 1";
    while !house.gateway.metrics_text().contains(ended) {
        tokio::task::yield_now().await;
    }
    // The exchange has ended when the next one has been served on the same gateway.
    assert_eq!(house.get("/parts", "alice").await.status(), 404);
    assert!(!house.gateway.metrics_text().contains("reason=\"part_status\""));
}
