//! Requests on their way to an upstream and answers on their way back.

use super::*;

#[tokio::test]
async fn the_pipeline_may_answer_itself() {
    let mut edge = Edge::start(config(), None, |_, _| answer(403, "no"));
    let mut client = edge.connect().await;

    let first = client.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc").await;
    let second = client.ask("HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;

    assert_eq!((first.status(), first.text().as_str()), (403, "no"));
    assert_eq!(second.status(), 403);
    assert!(client.is_closed().await);
    let (_, outcome) = edge.finished().await;
    assert_eq!((outcome.status.as_u16(), outcome.response_bytes, outcome.broken_off), (403, 2, false));
}

#[tokio::test]
async fn a_drained_edge_ends_its_threads() {
    let edge = Edge::start(limits(Limits::default()), None, |_, _| answer(200, "yes"));
    let mut client = edge.connect().await;
    assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.status(), 200);

    edge.running.drain(Duration::from_secs(5)).await;

    assert!(client.is_closed().await);
    assert!(tokio::net::TcpStream::connect(edge.address).await.is_err());
}
