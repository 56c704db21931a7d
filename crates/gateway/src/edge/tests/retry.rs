//! Second attempts, connections that wait, and endpoints that fail.

use testkit::http::{RawUpstream, whole};

use super::*;

const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &str = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";

/// An upstream that closes without an answer, after it has read a head.
async fn closing() -> RawUpstream {
    RawUpstream::start(|_, mut connection| async move {
        connection.head().await;
    })
    .await
}

#[tokio::test]
async fn a_request_is_repeated_only_if_that_is_safe() {
    let good = HttpUpstream::saying("good").await;
    for (request, status, attempts) in [
        (GET, 200, 2),
        ("DELETE / HTTP/1.1\r\nHost: a\r\n\r\n", 200, 2),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 502, 1),
        (POST, 502, 1),
        // Its body has been given away.
        ("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", 502, 1),
    ] {
        let closing = closing().await;
        let mut edge = Edge::before_both(&closing.url(), &good.url());
        let answer = edge.connect().await.ask(request).await;

        assert_eq!(answer.status(), status, "{request}");
        assert_eq!(edge.finished().await.1.attempts, attempts, "{request}");
        assert_eq!(closing.connections(), 1, "{request}");
    }
}

#[tokio::test]
async fn a_request_is_repeated_once_only() {
    let closing = closing().await;
    let mut edge = Edge::before(&closing.url());

    assert_eq!(edge.connect().await.ask(GET).await.status(), 502);

    assert_eq!(edge.finished().await.1.attempts, 2);
    assert_eq!(closing.connections(), 2);
}

#[tokio::test]
async fn what_was_never_sent_may_be_sent_elsewhere() {
    let good = HttpUpstream::saying("good").await;
    let dead = {
        let socket = listen(SocketAddr::from(([127, 0, 0, 1], 0)), false).unwrap();
        format!("http://{}", socket.local_addr().unwrap())
    };
    let edge = Edge::before_both(&dead, &good.url());

    assert_eq!(edge.connect().await.ask(POST).await.text(), "good");
    assert_eq!(good.seen()[0].body.as_deref(), Some(b"hi".as_slice()));
}

#[tokio::test]
async fn a_connection_that_was_closed_while_it_waited_is_replaced() {
    // Answers one request per connection, and closes when the second arrives.
    let stale = RawUpstream::start(|_, mut connection| async move {
        connection.head().await;
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        connection.head().await;
    })
    .await;
    let edge = Edge::before(&stale.url());
    let mut client = edge.connect().await;

    for _ in 0..3 {
        assert_eq!(client.ask(GET).await.text(), "ok");
    }

    assert_eq!(stale.connections(), 3);
}

#[tokio::test]
async fn connections_are_used_again() {
    let upstream = HttpUpstream::saying("x").await;
    let edge = Edge::before(&upstream.url());
    for _ in 0..5 {
        edge.connect().await.ask(POST).await;
    }
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn a_failing_endpoint_is_left_alone() {
    let good = HttpUpstream::saying("good").await;
    let failing = HttpUpstream::start(|_| {
        let mut response = Response::new(whole("down"));
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response
    })
    .await;
    let edge = Edge::before_both(&good.url(), &failing.url());
    let mut client = edge.connect().await;
    for _ in 0..20 {
        client.ask(GET).await;
    }
    assert_eq!(failing.seen().len(), 5);
    assert_eq!(good.seen().len(), 15);
}

#[tokio::test]
async fn nothing_is_left_behind_by_many_requests() {
    let good = HttpUpstream::saying("good").await;
    let shared = upstream(&[&good.url()]);
    let mut edge = Edge::with(config(), Arc::clone(&shared), |_| {});
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..32 {
        let address = edge.address;
        clients.spawn(async move {
            let mut connection = RawConnection::connect(address).await;
            for _ in 0..20 {
                let answer = connection.ask(if number % 2 == 0 { GET } else { POST }).await;
                assert_eq!(answer.text(), "good");
            }
            // Half of them leave in the middle of a request.
            if number % 4 == 0 {
                connection.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf").await;
            }
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
    for _ in 0..32 * 20 + 8 {
        edge.finished().await;
    }

    assert_eq!(shared.in_flight(), 0);
    assert!(good.connections() <= 32 + 8, "{}", good.connections());
    while edge.running.connections() > 0 {
        tokio::task::yield_now().await;
    }
}
