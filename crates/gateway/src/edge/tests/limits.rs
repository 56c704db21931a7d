//! R14: clients that are slow or many.

use super::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn quick() -> Limits {
    Limits {
        head_time: Duration::from_millis(30),
        keep_alive: Duration::from_millis(30),
        idle_time: Duration::from_millis(30),
        ..Limits::default()
    }
}

#[tokio::test]
async fn a_slow_head_is_not_waited_for() {
    let mut edge = Edge::start(super::limits(quick()), None, |_, _| answer(200, "yes"));

    let mut silent = edge.connect().await;
    assert!(silent.is_closed().await);

    let mut slow = edge.connect().await;
    let answer = slow.ask("GET / HTTP/1.1\r\nHost: a\r\nX: ").await;
    assert_eq!((answer.status(), answer.field("connection")), (408, vec!["close"]));
    assert_eq!(edge.finished().await.0, Some("head_timeout"));
    assert!(slow.is_closed().await);
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let edge = Edge::start(super::limits(quick()), None, |_, _| answer(200, "yes"));
    let mut client = edge.connect().await;
    assert_eq!(client.ask(GET).await.status(), 200);

    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_stalled_body_is_given_up() {
    let upstream = untouched().await;
    let edge = Edge::with(config(), super::upstream(&[&upstream.url()]), |forward| {
        forward.idle_timeout = Duration::from_millis(30);
    });
    let mut client = edge.connect().await;

    let answer = client.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe").await;

    assert_eq!(answer.status(), 408);
    assert!(client.is_closed().await);
    assert!(upstream.seen().iter().all(|seen| seen.body.is_none()));
}

#[tokio::test]
async fn a_client_that_does_not_read_is_given_up() {
    let upstream = HttpUpstream::start(|_| Response::new(testkit::http::whole(vec![b'x'; 64 * 1024 * 1024]))).await;
    let mut edge = Edge::with(config(), super::upstream(&[&upstream.url()]), |forward| {
        forward.idle_timeout = Duration::from_millis(50);
    });
    let mut client = edge.connect().await;
    client.send(GET).await;

    let (_, outcome) = edge.finished().await;

    assert!(outcome.broken_off && outcome.response_bytes < 64 * 1024 * 1024, "{outcome:?}");
}

#[tokio::test]
async fn connections_are_limited() {
    let limits = Limits { connections_per_client: 2, ..Limits::default() };
    let edge = Edge::start(super::limits(limits), None, |_, _| answer(200, "yes"));
    let mut first = edge.connect().await;
    let mut second = edge.connect().await;
    assert_eq!(first.ask(GET).await.status(), 200);
    assert_eq!(second.ask(GET).await.status(), 200);

    assert!(edge.connect().await.is_closed().await);
    assert_eq!(first.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.status(), 200);
    assert!(first.is_closed().await);
    drop(first);

    let mut again = edge.connect().await;
    assert_eq!(again.ask(GET).await.status(), 200);
}

#[tokio::test]
async fn many_slow_clients_do_not_keep_a_good_one_waiting() {
    let edge = Edge::start(config(), None, |_, _| answer(200, "yes"));
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut client = edge.connect().await;
        client.send("GET / HTTP/1.1\r\nX").await;
        slow.push(client);
    }
    let mut flood = edge.connect().await;
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(10_000));
    assert_eq!(flood.ask(many).await.status(), 431);

    assert_eq!(edge.connect().await.ask(GET).await.status(), 200);
}
