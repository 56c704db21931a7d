//! R11: what could be understood in two ways is refused, and the upstream sees nothing of it.

use super::*;

/// Sends the bytes on a fresh connection, and once more after a good request on the same one: each
/// time the answer is this status, the connection closes, and the upstream has seen the good one only.
async fn refused(requests: &[(&str, Vec<u8>, u16)]) {
    let upstream = untouched().await;
    let edge = Edge::before(&upstream.url());
    for (name, bytes, status) in requests {
        let before = upstream.seen().len();

        let mut fresh = edge.connect().await;
        let answer = fresh.ask(bytes).await;
        assert_eq!(answer.status(), *status, "{name}: {}", answer.head);
        assert!(answer.text().contains("problems/"), "{name}: {}", answer.text());
        assert_eq!(answer.field("connection"), ["close"], "{name}");
        assert!(fresh.is_closed().await, "{name}");
        assert_eq!(upstream.seen().len(), before, "{name} reached the upstream");

        let mut kept = edge.connect().await;
        let good = kept.ask("GET /good HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(good.status(), 200, "{name}");
        let answer = kept.ask(bytes).await;
        assert_eq!(answer.status(), *status, "{name} after a good one");
        assert!(kept.is_closed().await, "{name} after a good one");
        let seen = upstream.seen();
        assert_eq!(seen.len(), before + 1, "{name} reached the upstream after a good one");
        assert_eq!(seen.last().unwrap().uri.path(), "/good");
    }
}

fn bad(name: &'static str, text: &str) -> (&'static str, Vec<u8>, u16) {
    (name, text.as_bytes().to_vec(), 400)
}

#[tokio::test]
async fn ambiguous_lengths_are_refused() {
    let post = |fields: &str| {
        format!("POST /x HTTP/1.1\r\nHost: a\r\n{fields}\r\n0\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n")
    };
    let cases = [
        ("two equal lengths", "Content-Length: 5\r\nContent-Length: 5\r\n"),
        ("two lengths", "Content-Length: 5\r\nContent-Length: 6\r\n"),
        ("a list of lengths", "Content-Length: 5, 5\r\n"),
        ("CL.TE", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
        ("TE.CL", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
        ("plus", "Content-Length: +5\r\n"),
        ("minus", "Content-Length: -5\r\n"),
        ("empty", "Content-Length:\r\n"),
        ("blank", "Content-Length: \r\n"),
        ("inner space", "Content-Length: 5 5\r\n"),
        ("hexadecimal", "Content-Length: 0x5\r\n"),
        ("underscore", "Content-Length: 1_0\r\n"),
        ("decimal", "Content-Length: 5.0\r\n"),
        ("huge", "Content-Length: 18446744073709551617\r\n"),
        ("largest", "Content-Length: 18446744073709551615\r\n"),
        ("vertical tab", "Content-Length: \u{b}5\r\n"),
        ("two codings", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        ("TE.TE", "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n"),
        ("identity", "Transfer-Encoding: identity\r\n"),
        ("gzip, chunked", "Transfer-Encoding: gzip, chunked\r\n"),
        ("chunked, identity", "Transfer-Encoding: chunked, identity\r\n"),
        ("chunked, chunked", "Transfer-Encoding: chunked, chunked\r\n"),
        ("xchunked", "Transfer-Encoding: xchunked\r\n"),
        ("quoted", "Transfer-Encoding: \"chunked\"\r\n"),
        ("parameter", "Transfer-Encoding: chunked;q=1\r\n"),
        ("comma", "Transfer-Encoding: ,chunked\r\n"),
        ("empty coding", "Transfer-Encoding:\r\n"),
        ("vertical tab coding", "Transfer-Encoding: \u{b}chunked\r\n"),
        ("space before the colon", "Transfer-Encoding : chunked\r\n"),
        ("tab before the colon", "Content-Length\t: 5\r\n"),
        ("folded coding", "Transfer-Encoding:\r\n chunked\r\n"),
        ("folded length", "X: y\r\n Content-Length: 5\r\n"),
        ("first field folded", " Content-Length: 5\r\n"),
    ];
    refused(&cases.map(|(name, fields)| bad(name, &post(fields)))).await;
}

#[tokio::test]
async fn line_ends_and_bytes_that_differ_between_readers_are_refused() {
    let cases = [
        ("bare LF", "GET / HTTP/1.1\nHost: a\n\n"),
        ("bare LF in one line", "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n"),
        ("bare LF at the end", "GET / HTTP/1.1\r\nHost: a\r\n\n"),
        ("bare CR", "GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n"),
        ("bare CR in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: y\rContent-Length: 5\r\n\r\n"),
        ("CR CR LF", "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n"),
        ("NUL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n"),
        ("NUL in a name", "GET / HTTP/1.1\r\nHost: a\r\nX\0: b\r\n\r\n"),
        ("DEL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\u{7f}b\r\n\r\n"),
        ("no colon", "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n"),
        ("no name", "GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n"),
        ("space in a name", "GET / HTTP/1.1\r\nHost: a\r\nX y: x\r\n\r\n"),
        ("fold", "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n"),
        ("tab fold", "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\tz\r\n\r\n"),
        ("empty line first", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("space first", " GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("two spaces before the version", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("tab", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("space at the end", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"),
        ("no version", "GET /\r\nHost: a\r\n\r\n"),
        ("lower-case version", "GET / http/1.1\r\nHost: a\r\n\r\n"),
        ("long version", "GET / HTTP/1.10\r\nHost: a\r\n\r\n"),
        ("another protocol", "GET / XTTP/1.1\r\nHost: a\r\n\r\n"),
        ("method with a bracket", "GE(T / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("TLS on the plain port", "\u{16}\u{3}\u{1}\u{2}\r\n\r\n"),
    ];
    refused(&cases.map(|(name, text)| bad(name, text))).await;
}

#[tokio::test]
async fn hosts_and_targets_that_differ_between_readers_are_refused() {
    let cases = [
        ("no host", "GET / HTTP/1.1\r\n\r\n"),
        ("no host, 1.0", "GET / HTTP/1.0\r\n\r\n"),
        ("two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
        ("empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n"),
        ("host list", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
        ("host with a user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
        ("host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
        ("host with a bad port", "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n"),
        ("host with a huge port", "GET / HTTP/1.1\r\nHost: a:70000\r\n\r\n"),
        ("host with an empty port", "GET / HTTP/1.1\r\nHost: a:\r\n\r\n"),
        ("host with a signed port", "GET / HTTP/1.1\r\nHost: a:+80\r\n\r\n"),
        ("port only", "GET / HTTP/1.1\r\nHost: :80\r\n\r\n"),
        ("open bracket", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"),
        ("bad IPv6", "GET / HTTP/1.1\r\nHost: [x]\r\n\r\n"),
        ("host with a percent", "GET / HTTP/1.1\r\nHost: a%00\r\n\r\n"),
        ("absolute-form of another host", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("absolute-form with another port", "GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("absolute-form with a user", "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("absolute-form of another scheme", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("absolute-form without a host", "GET http:/// HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("authority-form", "GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("asterisk", "GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("asterisk and more", "OPTIONS *x HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("relative", "GET x HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("fragment in the query", "GET /a?b#c HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("backslash", "GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("raw UTF-8", "GET /ä HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("half an escape", "GET /%2 HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("no escape", "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("NUL", "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("quote", "GET /\" HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("raw UTF-8 in the query", "GET /?ä HTTP/1.1\r\nHost: a\r\n\r\n"),
    ];
    refused(&cases.map(|(name, text)| bad(name, text))).await;
}

#[tokio::test]
async fn what_is_not_served_says_so() {
    let head = |fields: &str| format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n").into_bytes();
    refused(
        &[
            ("CONNECT", b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), 501),
            ("TRACE", b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), 501),
            // Frameworks that write it in capitals would take it for what another rule is about.
            ("lower case", b"delete / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), 501),
            ("mixed case", b"Get / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), 501),
            ("a formula", b"+CMD|'X'!A0 / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), 501),
            ("long", format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "A".repeat(33)).into_bytes(), 501),
            ("version 1.2", b"GET / HTTP/1.2\r\nHost: a\r\n\r\n".to_vec(), 505),
            ("version 2.0", b"GET / HTTP/2.0\r\nHost: a\r\n\r\n".to_vec(), 505),
            (
                "HTTP/1.0 with a coding",
                b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_vec(),
                400,
            ),
            ("HTTP/0.9", b"GET /\r\n\r\n".to_vec(), 400),
            ("unknown expectation", head("Expect: cake\r\n"), 417),
            ("long head", head(&format!("X: {}\r\n", "x".repeat(40_000))), 431),
            ("endless head", format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(40_000)).into_bytes(), 431),
            ("many fields", head(&"X: y\r\n".repeat(101)), 431),
            ("long target", format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(10_000)).into_bytes(), 414),
            ("preface on a used connection", b"PRI * HTTP/2.0\r\n\r\n".to_vec(), 505),
        ][..11],
    )
    .await;
}

#[tokio::test]
async fn a_body_that_is_badly_chunked_never_ends_for_the_upstream() {
    for chunks in
        ["x\r\n", "3\nabc", "3\r\nabcd\r\n0\r\n\r\n", "3 \r\nabc\r\n0\r\n\r\n", "0\r\nContent-Length: 3\r\n\r\n"]
    {
        let upstream = untouched().await;
        let mut edge = Edge::before(&upstream.url());
        let mut client = edge.connect().await;

        let request = format!("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
        let answer = client.ask(request).await;

        assert_eq!(answer.status(), 400, "{chunks:?} {}", answer.head);
        assert!(client.is_closed().await);
        assert_eq!(edge.finished().await.0, Some("malformed_request"));
        assert!(upstream.seen().iter().all(|seen| seen.body.is_none()), "{chunks:?}");
    }
}

#[tokio::test]
async fn good_requests_pass_on_one_connection() {
    let upstream = HttpUpstream::start(|seen| Response::new(testkit::http::whole(seen.body.clone().unwrap()))).await;
    let edge = Edge::before(&upstream.url());
    let mut client = edge.connect().await;

    client
        .send(concat!(
            "GET /1 HTTP/1.1\r\nHost: a.example:8080\r\n\r\n",
            "POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
            "POST /3 HTTP/1.1\r\nHost: a\r\ntransfer-encoding: Chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Trailer: evil\r\n\r\n",
            "GET http://A/4?x=[1]|{2} HTTP/1.1\r\nHost: a\r\n\r\n",
            "PATCH /a;b=c/%C3%A4/~x?q=%zz HTTP/1.1\r\nHost: [::1]:80\r\nContent-Length: 0\r\n\r\n",
            "GET /6 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "GET /7 HTTP/1.1\r\nHost: a\r\n\r\n",
        ))
        .await;

    let mut bodies = Vec::new();
    while let Some(answer) = client.message().await {
        assert_eq!(answer.status(), 200, "{}", answer.head);
        bodies.push(answer.text());
    }
    assert_eq!(bodies, ["", "hello", "abc", "", "", ""]);
    let seen = upstream.seen();
    let targets: Vec<_> = seen.iter().map(|seen| seen.uri.to_string()).collect();
    assert_eq!(targets, ["/1", "/2", "/3", "/4?x=[1]|{2}", "/a;b=c/%C3%A4/~x?q=%zz", "/6"]);
    assert!(seen.iter().all(|seen| seen.trailers.is_none()));
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn fields_of_one_connection_go_no_further() {
    let upstream = untouched().await;
    let edge = Edge::before(&upstream.url());
    let mut client = edge.connect().await;

    let request = "POST /x HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Secret , te\r\nKeep-Alive: 5\r\nX-Secret: 1\r\n\
        Proxy-Connection: x\r\nTE: gzip, trailers\r\nTrailer: X\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\
        Expect: 100-continue\r\nTransfer-Encoding: chunked\r\nX-Kept: 1\r\n\r\n1\r\nx\r\n0\r\n\r\n";
    assert_eq!(client.ask(request).await.status(), 200);

    let seen = &upstream.seen()[0];
    let mut names: Vec<_> = seen.headers.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["connection", "host", "te", "transfer-encoding", "x-kept"]);
    assert_eq!(seen.headers["connection"], "te");
    assert_eq!(seen.headers["te"], "trailers");
    assert_eq!(seen.headers["host"], upstream.address.to_string());
}
