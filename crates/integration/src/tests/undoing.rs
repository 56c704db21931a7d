use http::StatusCode;
use serde_json::json;

use super::{Script, body, composition, input, ok, run, status};
use crate::CallError;

const BOOKING: &str = "
steps:
- name: flight
  request: { service: orders, path: /flights, method: POST, body: { id: '${ request.params.id }' } }
  compensate: { service: orders, path: '/flights/${ steps.flight.body.id }', method: DELETE }
- name: hotel
  after: [flight]
  request: { service: users, path: /hotels, method: PUT }
  compensate: { service: users, path: /hotels, method: DELETE }
- name: payment
  after: [hotel]
  request: { service: reviews, path: /payments, method: POST }
output: { body: { flight: '${ steps.flight.body.id }' } }
";

#[tokio::test]
async fn earlier_writes_are_undone_in_reverse_order() {
    let script = Script::at_once(|sent| match sent.service.as_str() {
        "reviews" => status(402, json!({})),
        _ => ok(json!({"id": "f1"})),
    });

    let answer = run(&composition(BOOKING), &script, input()).await;

    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert_eq!(
        script.lines(),
        ["POST /v1/flights", "PUT /hotels", "POST /payments", "DELETE /hotels", "DELETE /v1/flights/f1"]
    );
    let told = &body(&answer)["compensated"];
    assert_eq!(told[0], json!({"step": "hotel", "done": true, "status": 200, "attempts": 1}));
    assert_eq!(told[1]["step"], "flight");
}

#[tokio::test]
async fn a_write_that_may_have_arrived_is_undone_too() {
    let script = Script::at_once(|sent| match (sent.service.as_str(), sent.line.as_str()) {
        ("users", "PUT /hotels") => Err(CallError::BrokenOff),
        _ => ok(json!({"id": "f1"})),
    });

    let answer = run(&composition(BOOKING), &script, input()).await;

    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert_eq!(script.lines(), ["POST /v1/flights", "PUT /hotels", "DELETE /hotels", "DELETE /v1/flights/f1"]);
}

#[tokio::test]
async fn a_write_that_was_refused_is_not_undone_and_success_undoes_nothing() {
    let refused = Script::at_once(|sent| match sent.line.as_str() {
        "PUT /hotels" => status(409, json!({})),
        _ => ok(json!({"id": "f1"})),
    });
    run(&composition(BOOKING), &refused, input()).await;
    assert_eq!(refused.lines(), ["POST /v1/flights", "PUT /hotels", "DELETE /v1/flights/f1"]);

    let fine = Script::at_once(|_| ok(json!({"id": "f1"})));
    let answer = run(&composition(BOOKING), &fine, input()).await;
    assert_eq!(answer.body, r#"{"flight":"f1"}"#);
    assert_eq!(fine.sent().len(), 3);
}

#[tokio::test]
async fn what_could_not_be_undone_is_told() {
    let script = Script::at_once(|sent| match sent.line.as_str() {
        "POST /payments" => status(402, json!({})),
        "DELETE /hotels" => status(403, json!({})),
        // Its id is not there, so it cannot be said what to delete.
        "POST /v1/flights" => ok(json!({})),
        _ => ok(json!({"id": "f1"})),
    });

    let answer = run(&composition(BOOKING), &script, input()).await;

    let told = &body(&answer)["compensated"];
    assert_eq!(told[0], json!({"step": "hotel", "done": false, "status": 403, "error": "status", "attempts": 1}));
    assert_eq!(told[1], json!({"step": "flight", "done": false, "error": "mapping", "attempts": 0}));
}

#[tokio::test]
async fn gone_already_is_as_good_as_undone() {
    let script = Script::at_once(|sent| match sent.line.as_str() {
        "POST /payments" => status(402, json!({})),
        line if line.starts_with("DELETE") => status(404, json!({})),
        _ => ok(json!({"id": "f1"})),
    });

    let answer = run(&composition(BOOKING), &script, input()).await;

    assert!(answer.report.compensated.iter().all(|undone| undone.done));
}

#[tokio::test]
async fn what_was_done_for_an_answer_that_is_too_large_is_undone() {
    let script = Script::at_once(|_| ok(json!({"id": "f".repeat(2_000)})));
    let booking = format!("maxAnswer: 1KiB\n{BOOKING}");

    let answer = run(&composition(&booking), &script, input()).await;

    assert_eq!((answer.status, answer.problem), (StatusCode::BAD_GATEWAY, Some("composition_too_large")));
    let undone = script.lines();
    assert!(undone[3..].iter().any(|line| line == "DELETE /hotels"), "{undone:?}");
    assert!(undone[3..].iter().any(|line| line.starts_with("DELETE /v1/flights/f")), "{undone:?}");
}
