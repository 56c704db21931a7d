//! WebSocket (RFC 6455) through the edge.

use futures_util::{SinkExt as _, StreamExt as _};
use testkit::http::RawUpstream;
use tokio_tungstenite::tungstenite::Message;

use super::*;

async fn echo() -> RawUpstream {
    RawUpstream::start(|_, connection| async move {
        let mut socket = tokio_tungstenite::accept_async(connection.stream).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() {
                socket.send(message).await.unwrap();
            }
        }
    })
    .await
}

#[tokio::test]
async fn messages_pass_both_ways() {
    let upstream = echo().await;
    let mut edge = Edge::before(&upstream.url());
    let stream = tokio::net::TcpStream::connect(edge.address).await.unwrap();
    let (mut socket, answer) = tokio_tungstenite::client_async("ws://a/chat", stream).await.unwrap();
    assert_eq!(answer.status(), 101);

    for size in [1, 1_000, 100_000] {
        let text = "x".repeat(size);
        socket.send(Message::text(text.clone())).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap().to_text().unwrap(), text);
    }
    socket.close(None).await.unwrap();
    while let Some(Ok(_)) = socket.next().await {}
    drop(socket);

    let (_, outcome) = edge.finished().await;
    assert_eq!((outcome.status.as_u16(), outcome.broken_off), (101, false));
    assert!(outcome.request_bytes > 101_000 && outcome.response_bytes > 101_000, "{outcome:?}");
}

#[tokio::test]
async fn what_is_sent_together_with_the_request_is_not_lost() {
    let upstream = RawUpstream::start(|_, mut connection| async move {
        connection.head().await;
        connection
            .send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhello")
            .await;
        let early = connection.exactly(5).await.unwrap();
        connection.send(early).await;
    })
    .await;
    let edge = Edge::before(&upstream.url());
    let mut client = edge.connect().await;

    client
        .send("GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\nearly")
        .await;

    assert_eq!(client.head().await.unwrap().field("upgrade"), ["websocket"]);
    assert_eq!(client.rest().await, b"helloearly");
}

#[tokio::test]
async fn a_refusal_leaves_the_connection_as_it_is() {
    let upstream = untouched().await;
    let edge = Edge::before(&upstream.url());
    let mut client = edge.connect().await;
    let upgrade = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

    assert_eq!(client.ask(upgrade).await.status(), 200);
    assert_eq!(client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.status(), 200);

    assert_eq!(upstream.seen()[0].headers["upgrade"], "websocket");
}

#[tokio::test]
async fn no_other_protocol_is_switched_to() {
    let upstream = untouched().await;
    let edge = Edge::before(&upstream.url());
    let fields = [
        "Connection: Upgrade\r\nUpgrade: h2c\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n",
        "Upgrade: websocket\r\n",
        "Connection: Upgrade\r\nUpgrade: TLS/1.2\r\n",
    ];
    for fields in fields {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        assert_eq!(edge.connect().await.ask(request).await.status(), 200);
    }
    for seen in upstream.seen() {
        assert!(!seen.headers.contains_key("upgrade") && !seen.headers.contains_key("connection"), "{seen:?}");
    }
}

#[tokio::test]
async fn a_tunnel_in_which_nothing_moves_is_closed() {
    let upstream = echo().await;
    let edge = Edge::with(config(), super::upstream(&[&upstream.url()]), |forward| {
        forward.idle_timeout = Duration::from_millis(30)
    });
    let stream = tokio::net::TcpStream::connect(edge.address).await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async("ws://a/", stream).await.unwrap();

    assert!(!matches!(socket.next().await, Some(Ok(_))));
}
