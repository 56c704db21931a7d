//! Bodies of requests, and writes that are undone.

use super::*;

const WRITE: &str = "
kind: Composition
name: write
spec:
  match: { path: /orders, methods: [POST] }
  auth: { issuer: main }
  audience: https://page.internal
  deadline: 20s
  maxBody: 64
  steps:
  - name: order
    request: { service: orders, method: POST, path: /orders, body: { sku: '${ request.body.sku }' } }
    compensate: { service: orders, method: DELETE, path: '/orders/${ request.id }' }
  - { name: pay, after: [order], request: { service: pay, method: POST, path: /pay, body: { sum: 1 } } }
  output: { status: 201, body: { order: '${ steps.order.body.path }' } }
";

fn post(body: &str, kind: &str) -> String {
    format!(
        "POST /orders HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer token-bob\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_read_as_json_and_is_bounded() {
    let backend = telling().await;
    let house = House::start(&[("orders", backend.url()), ("pay", backend.url())], WRITE).await;

    let answer = house.ask(&post("{\"sku\": \"a-1\"}", "application/json; charset=utf-8")).await;
    assert_eq!((answer.status(), body(&answer)), (201, json!({"order": "/v1/orders"})));
    assert_eq!(backend.seen()[0].body.as_deref(), Some(b"{\"sku\":\"a-1\"}".as_slice()));
    let chunked = "POST /orders HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer token-bob\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    let pieces = |text: &str| format!("{chunked}5\r\n{{\"sku\r\n{:x}\r\n{text}\r\n0\r\n\r\n", text.len());
    assert_eq!(house.ask(&pieces("\": \"b\"}")).await.status(), 201);
    assert_eq!(backend.seen()[2].body.as_deref(), Some(b"{\"sku\":\"b\"}".as_slice()));

    let before = backend.seen().len();
    let long = "x".repeat(80);
    for (sent, status, problem) in [
        (post("{\"sku\": ", "application/json"), 400, "body_malformed"),
        (post("sku=a", "application/x-www-form-urlencoded"), 415, "body_not_json"),
        (post(&format!("{{\"sku\": \"{long}\"}}"), "application/json"), 413, "body_too_large"),
        (pieces(&format!("\": \"{long}\"}}")), 413, "body_too_large"),
        // Nothing is there that the step needs.
        (post("{}", "application/json"), 400, "part_bad_value"),
        (post("", "application/json"), 400, "part_bad_value"),
    ] {
        let answer = house.ask(&sent).await;
        assert_eq!((answer.status(), slug(&answer).as_str()), (status, problem), "{sent}");
        assert_eq!(body(&answer)["request_id"], answer.field("x-request-id")[0]);
    }
    assert_eq!(backend.seen().len(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_sent_once_and_undone_when_the_next_fails() {
    let orders = telling().await;
    let closing = RawUpstream::start(|_, mut connection| async move {
        connection.head().await;
    })
    .await;
    let house = House::start(&[("orders", orders.url()), ("pay", closing.url())], WRITE).await;

    let answer = house.ask(&post("{\"sku\": \"a\"}", "application/json")).await;

    assert_eq!((answer.status(), slug(&answer).as_str()), (502, "part_broken_off"));
    assert_eq!(closing.connections(), 1);
    let lines: Vec<String> = orders.seen().iter().map(|seen| format!("{} {}", seen.method, seen.uri)).collect();
    let id = answer.field("x-request-id")[0];
    assert_eq!(lines, ["POST /v1/orders".to_owned(), format!("DELETE /v1/orders/{id}")]);
    assert_eq!(body(&answer)["compensated"][0]["done"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_takes_its_steps_along_and_what_they_did() {
    let (tell, mut undone) = tokio::sync::mpsc::unbounded_channel();
    let orders = HttpUpstream::start(move |seen| {
        tell.send((seen.method.to_string(), bearer(&seen.headers))).unwrap();
        json_answer(&json!({}))
    })
    .await;
    let pay = Silent::start().await;
    let house = House::start(&[("orders", orders.url()), ("pay", pay.server.url())], WRITE).await;

    let mut connection = house.connect().await;
    connection.send(post("{\"sku\": \"a\"}", "application/json")).await;
    pay.came.notified().await;
    drop(connection);

    pay.went.notified().await;
    let (done, undo) = (undone.recv().await.unwrap(), undone.recv().await.unwrap());
    assert_eq!((done.0.as_str(), undo.0.as_str()), ("POST", "DELETE"));
    assert_eq!(done.1, undo.1);
}
