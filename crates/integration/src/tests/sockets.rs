//! Real connections: scripted upstreams on the loopback.

use std::sync::Arc;
use std::time::Duration;

use base::peer::HttpPeer;
use http::{Response, StatusCode};
use serde_json::{Value, json};
use testkit::http::{HttpUpstream, RawUpstream, whole};
use tokio::sync::Notify;

use super::{Hands, body, compile_against, input, parts, runner};
use crate::{Ending, PeerCaller};

fn json_answer(value: &Value) -> Response<testkit::http::AnyBody> {
    Response::builder().header("content-type", "application/json").body(whole(value.to_string())).unwrap()
}

#[tokio::test]
async fn one_backend_dead_and_one_slow_leave_the_right_answer_in_time() {
    let orders = HttpUpstream::start(|seen| json_answer(&json!({"path": seen.uri.path()}))).await;
    let arrived = Arc::new(Notify::new());
    let told = Arc::clone(&arrived);
    let slow = HttpUpstream::streaming(move |_| {
        let told = Arc::clone(&told);
        async move {
            told.notify_one();
            std::future::pending().await
        }
    })
    .await;
    let dead = RawUpstream::start(|_, connection| async move { drop(connection) }).await;
    let backends = format!(
        "kind: Upstream\nname: orders\nspec: {{ endpoints: ['{}'] }}\n---\nkind: Upstream\nname: slow\nspec: {{ endpoints: ['{}'] }}\n---\nkind: Upstream\nname: dead\nspec: {{ endpoints: ['{}'] }}\n",
        orders.url(),
        slow.url(),
        dead.url()
    );
    let page = compile_against(
        &backends,
        "
deadline: 20s
steps:
- { name: order, request: { upstream: orders, path: '/orders/${ request.params.id }' } }
- { name: slow, required: false, fallback: soon, request: { upstream: slow, path: / } }
- { name: dead, required: false, request: { upstream: dead, path: / } }
output: { body: { order: '${ steps.order.body.path }', slow: '${ steps.slow.body }', dead: '${ steps.dead.body }' } }
partial: { status: 203 }
",
    )
    .unwrap();
    let hands = Hands::default();
    let runner = runner(&PeerCaller::new(HttpPeer::shared()), &hands);
    let running = tokio::spawn(async move { runner.run(&page, input()).await });

    arrived.notified().await;
    while orders.seen().is_empty() || dead.connections() == 0 {
        tokio::task::yield_now().await;
    }
    // The two answers are read before time moves on: they arrive over sockets, in no fixed number of turns.
    for _ in 0..2_000 {
        tokio::task::yield_now().await;
    }
    hands.advance(Duration::from_secs(20)).await;

    let answer = running.await.unwrap();
    assert_eq!(answer.status, StatusCode::NON_AUTHORITATIVE_INFORMATION, "{:?}", parts(&answer));
    assert_eq!(answer.report.ending, Ending::Partial);
    let body = body(&answer);
    assert_eq!(body["order"], "/orders/7");
    assert_eq!(body["slow"], "soon");
    assert_eq!(body["dead"], Value::Null);
    assert_eq!(body["parts"][1]["outcome"], "fallback");
    assert_eq!(body["parts"][2]["outcome"], "failed");
    assert_eq!(answer.report.duration_ms, 20_000);
}
