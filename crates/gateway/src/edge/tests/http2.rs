//! HTTP/2 on both sides, and R13.

use http::{Request, Version};
use http_body::Frame;
use http_body_util::BodyExt as _;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use testkit::http::{AnyBody, HttpUpstream, whole};

use super::*;
use crate::upstreams::Protocol;

async fn client(address: SocketAddr) -> SendRequest<AnyBody> {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (sender, connection) = http2::Builder::new(TokioExecutor::new()).handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn get(path: &str) -> Request<AnyBody> {
    Request::get(format!("http://a.example{path}")).body(whole("")).unwrap()
}

async fn over_h2(url: &str) -> Edge {
    let mut spec = spec(&[url]);
    spec.protocol = Protocol::H2;
    Edge::with(config(), Arc::new(Upstream::new(spec).unwrap()), |_| {})
}

async fn text(response: Response<hyper::body::Incoming>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn many_requests_share_a_connection_on_both_sides() {
    let upstream = HttpUpstream::start(|seen| Response::new(whole(seen.uri.path().to_owned()))).await;
    let edge = over_h2(&upstream.url()).await;
    let mut client = client(edge.address).await;
    let answers = (0..50).map(|number| client.send_request(get(&format!("/{number}"))));
    for (number, answer) in futures_util::future::join_all(answers).await.into_iter().enumerate() {
        assert_eq!(text(answer.unwrap()).await, format!("/{number}"));
    }

    assert_eq!(upstream.connections(), 1);
    let seen = &upstream.seen()[0];
    assert_eq!(
        (seen.version, seen.uri.authority().unwrap().as_str()),
        (Version::HTTP_2, upstream.address.to_string().as_str())
    );
    assert!(!seen.headers.contains_key("host"));
}

#[tokio::test]
async fn trailers_pass_as_grpc_needs_them() {
    let upstream = HttpUpstream::streaming(|request| async move {
        assert_eq!(request.headers()["te"], "trailers");
        let (_, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        let frames = vec![Ok(Frame::data(body)), Ok(Frame::trailers(trailers))];
        Response::new(http_body_util::StreamBody::new(futures_util::stream::iter(frames)).boxed())
    })
    .await;
    let mut edge = over_h2(&upstream.url()).await;
    let mut client = client(edge.address).await;

    for _ in 0..2 {
        let mut request =
            Request::post("http://a/orders.Orders/Get").header("te", "trailers").body(whole("\0\0\0\0\0"));
        *request.as_mut().unwrap().version_mut() = Version::HTTP_2;
        let answer = client.send_request(request.unwrap()).await.unwrap();
        let collected = answer.into_body().collect().await.unwrap();
        assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
        assert_eq!(collected.to_bytes(), "\0\0\0\0\0");
        let (_, outcome) = edge.finished().await;
        assert_eq!((outcome.request_bytes, outcome.response_bytes, outcome.broken_off), (5, 5, false));
    }
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn trailers_of_a_request_stay_outside() {
    let upstream = untouched().await;
    let edge = Edge::before(&upstream.url());
    let mut trailers = HeaderMap::new();
    trailers.insert("x-user", "admin".parse().unwrap());
    let frames = vec![Ok(Frame::data(Bytes::from_static(b"x"))), Ok(Frame::trailers(trailers))];
    let body = http_body_util::StreamBody::new(futures_util::stream::iter(frames)).boxed();

    let answer = client(edge.address).await.send_request(Request::post("http://a/").body(body).unwrap()).await.unwrap();

    assert_eq!(answer.status(), 200);
    let seen = &upstream.seen()[0];
    assert_eq!(seen.body.as_deref(), Some(b"x".as_slice()));
    assert!(seen.trailers.is_none() && !seen.headers.contains_key("x-user"));
}

#[tokio::test]
async fn a_cookie_in_pieces_is_put_together() {
    let upstream = untouched().await;
    let edge = Edge::before(&upstream.url());
    let request = Request::get("http://a/").header("cookie", "a=1").header("cookie", "b=2").body(whole("")).unwrap();

    client(edge.address).await.send_request(request).await.unwrap();

    let cookies: Vec<_> = upstream.seen()[0].headers.get_all("cookie").iter().cloned().collect();
    assert_eq!(cookies, ["a=1; b=2"]);
}

#[tokio::test]
async fn odd_heads_are_refused() {
    let upstream = untouched().await;
    let edge = Edge::before(&upstream.url());
    let mut client = client(edge.address).await;
    let build = |builder: http::request::Builder| builder.body(whole("")).unwrap();
    for (request, status) in [
        (build(Request::get("http://a/").header("host", "b")), 400),
        (build(Request::get("http://u@a/")), 400),
        (build(Request::get("http://a/%zz")), 400),
        (build(Request::get("http://a/\"")), 400),
        (build(Request::builder().method("TRACE").uri("http://a/")), 501),
        (build(Request::builder().method("delete").uri("http://a/")), 501),
        (build(Request::get(format!("http://a/{}", "x".repeat(10_000)))), 414),
        (build((0..150).fold(Request::get("http://a/"), |request, _| request.header("x", "y"))), 431),
        (build(Request::get("http://a/").header("x", "y".repeat(60_000))), 431),
    ] {
        let uri = request.uri().to_string();
        let answer = client.send_request(request).await.unwrap();
        assert_eq!(answer.status(), status, "{uri}");
    }
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused() {
    let upstream = untouched().await;
    let edge = Edge::with(config(), super::upstream(&[&upstream.url()]), |forward| forward.max_body_bytes = 4);
    let mut client = client(edge.address).await;
    let frames = vec![Ok(Frame::data(Bytes::from_static(b"hel"))), Ok(Frame::data(Bytes::from_static(b"lo")))];
    let body = http_body_util::StreamBody::new(futures_util::stream::iter(frames)).boxed();

    let answer = client.send_request(Request::post("http://a/").body(body).unwrap()).await.unwrap();

    assert_eq!(answer.status(), 413);
    assert!(upstream.seen().iter().all(|seen| seen.body.is_none()));
}

#[tokio::test]
async fn draining_ends_a_connection_after_its_requests() {
    let (asked, mut heard) = mpsc::unbounded_channel();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let upstream = HttpUpstream::streaming(move |_| {
        let gate = Arc::clone(&opened);
        asked.send(()).unwrap();
        async move {
            gate.acquire().await.unwrap().forget();
            Response::new(whole("late"))
        }
    })
    .await;
    let edge = Edge::before(&upstream.url());
    let mut client = client(edge.address).await;
    let answer = tokio::spawn(client.send_request(get("/")));
    heard.recv().await.unwrap();

    let draining = tokio::spawn(edge.running.drain(Duration::from_secs(20)));
    gate.add_permits(1);

    assert_eq!(text(answer.await.unwrap().unwrap()).await, "late");
    draining.await.unwrap();
    assert!(client.ready().await.is_err());
}

#[tokio::test]
async fn an_answer_that_a_client_does_not_take_is_let_go() {
    let upstream = HttpUpstream::start(|_| Response::new(whole(vec![b'x'; 8 * 1024 * 1024]))).await;
    let quick = Limits { idle_time: Duration::from_millis(30), ..Limits::default() };
    let mut edge = Edge::with(super::limits(quick), super::upstream(&[&upstream.url()]), |_| {});
    let mut client = client(edge.address).await;

    // Its body is not read, so that the stream's window stays closed.
    let answer = client.send_request(get("/")).await.unwrap();
    let (_, outcome) = edge.finished().await;
    assert!(outcome.broken_off && outcome.response_bytes < 8 * 1024 * 1024, "{outcome:?}");
    let other = client.send_request(Request::head("http://a/").body(whole("")).unwrap()).await.unwrap();
    assert_eq!(other.status(), 200);

    assert!(answer.into_body().collect().await.is_err());
}

/// A frame of RFC 9113 §4.1.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// `:method: GET`, `:scheme: http`, `:path: /`, `:authority: a`.
const BLOCK: &[u8] = &[0x82, 0x86, 0x84, 0x01, 0x01, b'a'];

fn goaway_code(bytes: &[u8]) -> Option<u8> {
    let at = bytes.windows(6).position(|window| window[0..1] == [7] && window[1..6] == [0, 0, 0, 0, 0])?;
    bytes.get(at + 13).copied()
}

#[tokio::test]
async fn rapid_resets_end_the_connection() {
    let upstream = untouched().await;
    let edge = Edge::before(&upstream.url());
    let mut hostile = edge.connect().await;
    let mut bytes = [PREFACE, &frame(4, 0, 0, &[])].concat();
    for stream in 0..2_000_u32 {
        bytes.extend(frame(HEADERS, END_STREAM | END_HEADERS, stream * 2 + 1, BLOCK));
        bytes.extend(frame(RST_STREAM, 0, stream * 2 + 1, &[0, 0, 0, 8]));
    }

    hostile.send(bytes).await;

    let answer = hostile.rest().await;
    assert_eq!(goaway_code(&answer), Some(11), "ENHANCE_YOUR_CALM expected");
    assert!(upstream.seen().len() < 200, "{}", upstream.seen().len());
    assert_eq!(edge.connect().await.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.status(), 200);
}

#[tokio::test]
async fn endless_continuations_end_the_connection() {
    let upstream = untouched().await;
    let edge = Edge::before(&upstream.url());
    let mut hostile = edge.connect().await;
    let mut bytes = [PREFACE, &frame(4, 0, 0, &[]), &frame(HEADERS, END_STREAM, 1, BLOCK)].concat();
    let field: Vec<u8> = [&[0, 1, b'x', 100][..], &[b'y'; 100]].concat();
    for _ in 0..20_000 {
        bytes.extend(frame(CONTINUATION, 0, 1, &field));
    }

    hostile.send(bytes).await;

    assert!(goaway_code(&hostile.rest().await).is_some_and(|code| code != 0));
    assert!(upstream.seen().is_empty());
}
