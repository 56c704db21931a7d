//! Requests on their way to an upstream and answers on their way back.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};

use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use testkit::http::{AnyBody, RawUpstream, whole};

use super::*;

const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &str = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";

/// A body whose pieces the test sends one by one.
fn piecewise() -> (mpsc::UnboundedSender<Frame<Bytes>>, AnyBody) {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let stream = futures_util::stream::poll_fn(move |cx| {
        receiver.poll_recv(cx).map(|frame| frame.map(Ok::<Frame<Bytes>, Infallible>))
    });
    (sender, StreamBody::new(stream).boxed())
}

fn data(text: &'static str) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(text.as_bytes()))
}

/// An upstream that gives out, for each request, the sender of its answer's pieces.
async fn by_piece() -> (HttpUpstream, mpsc::UnboundedReceiver<mpsc::UnboundedSender<Frame<Bytes>>>) {
    let (senders, receiver) = mpsc::unbounded_channel();
    let upstream = HttpUpstream::streaming(move |_| {
        let (sender, body) = piecewise();
        senders.send(sender).unwrap();
        std::future::ready(Response::new(body))
    })
    .await;
    (upstream, receiver)
}

#[tokio::test]
async fn the_pipeline_may_answer_itself() {
    let mut edge = Edge::start(config(), None, |_, _| answer(403, "no"));
    let mut client = edge.connect().await;

    let first = client.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc").await;
    let second = client.ask("HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;

    assert_eq!((first.status(), first.text().as_str()), (403, "no"));
    assert_eq!((second.status(), second.text().as_str()), (403, ""));
    assert!(client.is_closed().await);
    let (_, outcome) = edge.finished().await;
    assert_eq!((outcome.status.as_u16(), outcome.response_bytes, outcome.broken_off), (403, 2, false));
}

#[tokio::test]
async fn an_answer_does_not_wait_for_a_large_body() {
    let edge = Edge::start(config(), None, |_, _| answer(401, "no"));
    let mut client = edge.connect().await;

    let answer = client.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\nabc").await;

    assert_eq!(answer.status(), 401);
    assert_eq!(answer.field("connection"), ["close"]);
}

#[tokio::test]
async fn bytes_are_counted_both_ways() {
    let upstream = HttpUpstream::saying("hello").await;
    let mut edge = Edge::before(&upstream.url());
    edge.connect().await.ask(POST).await;

    let (denied, outcome) = edge.finished().await;

    assert_eq!(denied, None);
    assert_eq!((outcome.request_bytes, outcome.response_bytes, outcome.attempts), (2, 5, 1));
    assert_eq!(outcome.endpoint.as_deref(), Some(upstream.address.to_string().as_str()));
    assert!(!outcome.broken_off);
}

#[tokio::test]
async fn an_event_arrives_before_the_next_one_is_sent() {
    let (upstream, mut senders) = by_piece().await;
    let edge = Edge::before(&upstream.url());
    let mut client = edge.connect().await;
    client.send(GET).await;
    let events = senders.recv().await.unwrap();

    events.send(data("data: 1\n\n")).unwrap();
    let head = client.head().await.unwrap();
    assert_eq!(head.field("transfer-encoding"), ["chunked"]);
    client.until("data: 1\n\n").await.unwrap();
    events.send(data("data: 2\n\n")).unwrap();
    client.until("data: 2\n\n").await.unwrap();
    drop(events);

    assert!(client.until("0\r\n\r\n").await.is_some());
    assert_eq!(client.stream.try_read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn a_body_is_passed_on_as_it_comes() {
    let (pieces, mut received) = mpsc::unbounded_channel();
    let upstream = HttpUpstream::streaming(move |request| {
        let pieces = pieces.clone();
        async move {
            let mut body = request.into_body();
            while let Some(Ok(frame)) = body.frame().await {
                let _ = pieces.send(frame.into_data().unwrap_or_default());
            }
            Response::new(whole("done"))
        }
    })
    .await;
    let edge = Edge::before(&upstream.url());
    let mut client = edge.connect().await;

    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n").await;
    assert_eq!(received.recv().await.unwrap(), "a");
    client.send("1\r\nb\r\n").await;
    assert_eq!(received.recv().await.unwrap(), "b");

    assert_eq!(client.ask("0\r\n\r\n").await.text(), "done");
}

#[tokio::test]
async fn a_slow_reader_slows_the_upstream_down() {
    const TOTAL: u64 = 192 * 1024 * 1024;
    // What the kernel's buffers of three sockets may hold on their own.
    const AHEAD: u64 = 64 * 1024 * 1024;
    let produced = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&produced);
    let upstream = HttpUpstream::streaming(move |_| {
        let count = Arc::clone(&count);
        let piece = Bytes::from(vec![b'x'; 64 * 1024]);
        let stream = futures_util::stream::poll_fn(move |_| {
            let before = count.fetch_add(64 * 1024, Ordering::SeqCst);
            let frame = (before < TOTAL).then(|| Ok::<_, Infallible>(Frame::data(piece.clone())));
            std::task::Poll::Ready(frame)
        });
        std::future::ready(Response::new(StreamBody::new(stream).boxed()))
    })
    .await;
    let edge = Edge::before(&upstream.url());
    let mut client = edge.connect().await;
    client.send(GET).await;
    client.head().await.unwrap();

    for megabytes in 1..=8_u64 {
        client.exactly(1024 * 1024).await.unwrap();
        for _ in 0..2_000 {
            tokio::task::yield_now().await;
        }
        let ahead = produced.load(Ordering::SeqCst) - megabytes * 1024 * 1024;
        assert!(ahead < AHEAD, "{ahead} bytes ahead");
    }
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused() {
    let upstream = untouched().await;
    let mut edge = Edge::with(config(), super::upstream(&[&upstream.url()]), |forward| forward.max_body_bytes = 4);

    let declared = edge.connect().await.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello").await;
    assert_eq!(declared.status(), 413);
    assert_eq!(upstream.connections(), 0);
    assert_eq!(edge.finished().await.0, Some("body_too_large"));

    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";
    let mut client = edge.connect().await;
    assert_eq!(client.ask(chunked).await.status(), 413);
    assert!(client.is_closed().await);
    assert!(upstream.seen().iter().all(|seen| seen.body.is_none()));

    let exact = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhell\r\n0\r\n\r\n";
    assert_eq!(edge.connect().await.ask(exact).await.status(), 200);
}

#[tokio::test]
async fn an_outage_says_what_is_out() {
    let gone = RawUpstream::start(|_, _| std::future::ready(())).await;
    let unreachable = {
        let socket = listen(SocketAddr::from(([127, 0, 0, 1], 0)), false).unwrap();
        format!("http://{}", socket.local_addr().unwrap())
    };
    let silent = RawUpstream::start(|_, mut connection| async move {
        connection.rest().await;
    })
    .await;
    let garbage = RawUpstream::start(|_, mut connection| async move {
        connection.head().await;
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!").await;
    })
    .await;
    let switching = RawUpstream::start(|_, mut connection| async move {
        connection.head().await;
        connection.send("HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n").await;
        connection.rest().await;
    })
    .await;
    for (url, status, slug) in [
        (gone.url(), 502, "upstream_no_answer"),
        (unreachable, 502, "upstream_unreachable"),
        (silent.url(), 504, "upstream_timeout"),
        (garbage.url(), 502, "upstream_bad_answer"),
        (switching.url(), 502, "upstream_bad_answer"),
    ] {
        let mut edge = Edge::with(config(), upstream(&[&url]), |forward| {
            forward.head_timeout = Duration::from_millis(50);
        });

        let answer = edge.connect().await.ask(GET).await;

        assert_eq!(answer.status(), status, "{slug}: {}", answer.text());
        assert_eq!(answer.field("content-type"), ["application/problem+json"]);
        assert_eq!(answer.field("cache-control"), ["no-store"]);
        assert!(answer.text().contains(&format!("problems/{slug}\"")), "{slug}: {}", answer.text());
        assert!(answer.text().contains(answer.field("x-request-id")[0]));
        assert_eq!(edge.finished().await.0, Some(slug));
    }
}

#[tokio::test]
async fn more_requests_than_an_upstream_may_have_are_shed() {
    let (upstream, mut senders) = by_piece().await;
    let mut spec = spec(&[&upstream.url()]);
    spec.max_in_flight = 1;
    let edge = Edge::with(config(), Arc::new(Upstream::new(spec).unwrap()), |_| {});
    let mut first = edge.connect().await;
    first.send(GET).await;
    let pieces = senders.recv().await.unwrap();
    first.head().await.unwrap();

    let busy = edge.connect().await.ask(GET).await;
    assert_eq!((busy.status(), busy.field("retry-after")), (503, vec!["1"]));

    drop(pieces);
    first.until("0\r\n\r\n").await.unwrap();
    let mut third = edge.connect().await;
    third.send(GET).await;
    senders.recv().await.unwrap();
    assert_eq!(third.head().await.unwrap().status(), 200);
}

#[tokio::test]
async fn answers_are_framed_anew() {
    let (answers, script) = std::sync::mpsc::channel::<&'static str>();
    let script = Arc::new(std::sync::Mutex::new(script));
    let upstream = RawUpstream::start(move |_, mut connection| {
        let script = Arc::clone(&script);
        async move {
            connection.head().await;
            let answer = script.lock().unwrap().recv().unwrap();
            connection.send(answer).await;
        }
    })
    .await;
    let edge = Edge::before(&upstream.url());
    let head = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
    let old = "GET / HTTP/1.0\r\nHost: a\r\n\r\n";
    for (request, sent, body, framing) in [
        (GET, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokmore", "ok", "content-length: 2"),
        (
            GET,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nok\r\n0\r\n\r\n",
            "ok",
            "transfer-encoding: chunked",
        ),
        (GET, "HTTP/1.1 200 OK\r\n\r\nto the end", "to the end", "transfer-encoding: chunked"),
        (GET, "HTTP/1.1 204 No Content\r\n\r\n", "", "204"),
        (GET, "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", "", "content-length: 7"),
        (head, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", "", "content-length: 7"),
        (
            GET,
            "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "ok",
            "200 OK",
        ),
        (old, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "ok", "connection: close"),
        (
            GET,
            "HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 3\r\nContent-Length: 0\r\n\r\n",
            "",
            "content-length: 0",
        ),
    ] {
        answers.send(sent).unwrap();
        let mut client = edge.connect().await;
        client.send(request).await;
        let answer = if request == head { client.head().await.unwrap() } else { client.message().await.unwrap() };

        assert_eq!(answer.text(), body, "{sent:?}");
        assert!(answer.head.contains(framing), "{sent:?} became {}", answer.head);
        assert_eq!(answer.field("date").len(), 1, "{sent:?}");
        let framings = answer.field("content-length").len() + answer.field("transfer-encoding").len();
        assert!(framings <= 1, "{}", answer.head);
        for hop in ["x-hop", "keep-alive"] {
            assert!(answer.field(hop).is_empty(), "{}", answer.head);
        }
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_made_whole() {
    let upstream = RawUpstream::start(|_, mut connection| async move {
        connection.head().await;
        connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
    })
    .await;
    let mut edge = Edge::before(&upstream.url());
    let mut client = edge.connect().await;
    client.send(GET).await;

    let all = String::from_utf8(client.rest().await).unwrap();

    assert!(all.ends_with("5\r\nhello\r\n"), "{all}");
    assert!(edge.finished().await.1.broken_off);
}

#[tokio::test]
async fn a_client_that_goes_away_frees_the_upstream() {
    let (upstream, mut senders) = by_piece().await;
    let mut edge = Edge::before(&upstream.url());

    let mut client = edge.connect().await;
    client.send(GET).await;
    let pieces = senders.recv().await.unwrap();
    client.head().await.unwrap();
    drop(client);
    pieces.closed().await;
    assert!(edge.finished().await.1.broken_off);

    let silent = RawUpstream::start(|_, mut connection| async move {
        connection.rest().await;
    })
    .await;
    let mut edge = Edge::before(&silent.url());
    let mut client = edge.connect().await;
    client.send(GET).await;
    drop(client);
    assert_eq!(edge.finished().await.1.status.as_u16(), 499);
}

#[tokio::test]
async fn a_client_is_told_to_go_on_only_when_the_body_is_wanted() {
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    let upstream = untouched().await;
    let edge = Edge::before(&upstream.url());
    let mut client = edge.connect().await;
    client.send(post).await;
    assert_eq!(client.head().await.unwrap().status(), 100);
    assert_eq!(client.ask("hi").await.status(), 200);
    assert!(!upstream.seen()[0].headers.contains_key("expect"));

    let denying = Edge::start(config(), None, |_, _| answer(401, "no"));
    let mut client = denying.connect().await;
    client.send(post).await;
    let first = client.head().await.unwrap();
    assert_eq!((first.status(), first.field("connection")), (401, vec!["close"]));
}

#[tokio::test]
async fn trailers_reach_a_client_that_takes_them() {
    let upstream = RawUpstream::start(|_, mut connection| async move {
        while connection.head().await.is_some() {
            let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Sum: 1\r\n\r\n";
            connection.send(chunked).await;
        }
    })
    .await;
    let edge = Edge::before(&upstream.url());
    for (te, expected) in [("TE: trailers\r\n", "x-sum: 1\r\n"), ("", "")] {
        let mut client = edge.connect().await;
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{te}\r\n")).await;

        let answer = client.message().await.unwrap();

        assert_eq!((answer.text().as_str(), answer.trailers.as_str()), ("x", expected));
    }
}

#[tokio::test]
async fn a_body_passes_with_any_method() {
    let upstream = untouched().await;
    let edge = Edge::before(&upstream.url());
    for method in ["GET", "DELETE", "POST", "QUERY"] {
        for body in ["Content-Length: 2\r\n\r\nhi", "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"] {
            let answer = edge.connect().await.ask(format!("{method} / HTTP/1.1\r\nHost: a\r\n{body}")).await;
            assert_eq!(answer.status(), 200);
            assert_eq!(upstream.seen().last().unwrap().body.as_deref(), Some(b"hi".as_slice()), "{method} {body}");
        }
    }
}

#[tokio::test]
async fn an_upstream_that_takes_nothing_is_not_waited_for() {
    let upstream = RawUpstream::start(|_, mut connection| async move {
        connection.head().await;
        std::future::pending::<()>().await;
    })
    .await;
    let edge = Edge::with(config(), super::upstream(&[&upstream.url()]), |forward| {
        forward.head_timeout = Duration::from_millis(50);
        forward.max_body_bytes = u64::MAX;
    });
    let client = edge.connect().await;
    let (mut reading, mut writing) = client.stream.into_split();
    let sending = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        let _ = writing.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n").await;
        while writing.write_all(&[b'x'; 64 * 1024]).await.is_ok() {}
    });
    let mut answer = [0; 12];
    tokio::io::AsyncReadExt::read_exact(&mut reading, &mut answer).await.unwrap();

    assert_eq!(&answer, b"HTTP/1.1 504");
    drop(reading);
    sending.await.unwrap();
}
