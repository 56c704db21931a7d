//! HTTP/2 towards clients (RFC 9113), by hyper and h2, which see to framing; what is checked here is
//! what they leave to the application.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, COOKIE, HOST, HeaderMap, HeaderValue, TE};
use http::{Method, Request, Response, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};

use super::body::{BodyFailure, Download};
use super::exchange::Pipeline;
use super::handle::{handle, refusal};
use super::limits::Limits;
use super::pool::LocalExecutor;
use super::received::{
    Received, Refusal, Source, Target, is_authority, is_served, lists_token, strip_connection_fields,
};
use super::serve::{Peer, Worker};
use super::stream::Stream;
use super::timer::Idle;

/// Serves a connection to its end.
pub(super) async fn serve<P: Pipeline>(worker: &Rc<Worker<P>>, stream: Stream, peer: Peer) {
    let tls = stream.is_tls();
    let limits = &worker.limits;
    let streams = Rc::new(Streams::new());
    let service = service_fn(|request: Request<Incoming>| {
        let worker = Rc::clone(worker);
        let open = Open::begin(&streams);
        async move { Ok::<_, Infallible>(exchange(&worker, request, peer, tls, open).await) }
    });
    let connection = http2::Builder::new(LocalExecutor)
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.h2_streams)
        .max_pending_accept_reset_streams(limits.h2_pending_resets)
        .max_local_error_reset_streams(limits.h2_error_resets)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(limits.h2_stream_window)
        .initial_connection_window_size(limits.h2_connection_window)
        .max_send_buf_size(limits.h2_send_buffer)
        .keep_alive_interval(limits.keep_alive)
        .keep_alive_timeout(limits.head_time)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let mut draining = pin!(worker.draining.cancelled());
    let mut idle = Idle::new(limits.keep_alive);
    let mut look = pin!(tokio::time::sleep(limits.idle_time));
    let mut seen = 0;
    let mut closing = false;
    let ended = poll_fn(|cx| {
        if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
            return Poll::Ready(ended);
        }
        if streams.begun.get() != seen || streams.open.get() > 0 {
            seen = streams.begun.get();
            idle.moved();
        }
        if !closing && (draining.as_mut().poll(cx).is_ready() || idle.poll(cx).is_ready()) {
            closing = true;
            connection.as_mut().graceful_shutdown();
            cx.waker().wake_by_ref();
        }
        while look.as_mut().poll(cx).is_ready() {
            streams.drop_stalled();
            look.set(tokio::time::sleep(limits.idle_time));
        }
        Poll::Pending
    });
    if let Err(error) = ended.await {
        tracing::debug!(cause = %error, "HTTP/2 connection ended");
    }
}

/// The streams of one connection: how many there are, and which of them a slow client holds up.
struct Streams<P: Pipeline> {
    open: Cell<usize>,
    begun: Cell<u64>,
    answers: RefCell<Vec<Weak<Slot<P>>>>,
}

impl<P: Pipeline> Streams<P> {
    fn new() -> Self {
        Self { open: Cell::new(0), begun: Cell::new(0), answers: RefCell::default() }
    }

    fn watch(&self, slot: &Rc<Slot<P>>) {
        let mut answers = self.answers.borrow_mut();
        // Those that are over are left out now and then, so that a busy connection keeps no trail.
        if answers.len() > self.open.get().saturating_mul(2).saturating_add(16) {
            answers.retain(|slot| slot.strong_count() > 0);
        }
        answers.push(Rc::downgrade(slot));
    }

    /// hyper asks for more of an answer only when the client has room for it. An answer that nobody
    /// has asked for since the last look is let go, with what it holds of the upstream.
    fn drop_stalled(&self) {
        self.answers.borrow_mut().retain(|slot| {
            let Some(slot) = slot.upgrade() else { return false };
            match slot.state.get() {
                Wanted::Yes => {}
                Wanted::No => slot.state.set(Wanted::NotForLong),
                Wanted::NotForLong => {
                    if let Some(mut download) = slot.download.borrow_mut().take() {
                        download.finish.break_off();
                    }
                }
            }
            true
        });
    }
}

/// One stream among the open ones.
struct Open<P: Pipeline>(Rc<Streams<P>>);

impl<P: Pipeline> Open<P> {
    fn begin(streams: &Rc<Streams<P>>) -> Self {
        streams.open.set(streams.open.get().saturating_add(1));
        streams.begun.set(streams.begun.get().wrapping_add(1));
        Self(Rc::clone(streams))
    }

    /// The answer, watched.
    fn answer(self, download: Download<P>) -> Answered<P> {
        let slot = Rc::new(Slot { state: Cell::new(Wanted::No), download: RefCell::new(Some(download)) });
        self.0.watch(&slot);
        Answered { slot, _open: self }
    }
}

impl<P: Pipeline> Drop for Open<P> {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get().saturating_sub(1));
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// The client has room, and it is the upstream that has nothing.
    Yes,
    No,
    /// Not since one look ago.
    NotForLong,
}

struct Slot<P: Pipeline> {
    state: Cell<Wanted>,
    download: RefCell<Option<Download<P>>>,
}

/// An answer's body that can be let go while hyper holds it.
struct Answered<P: Pipeline> {
    slot: Rc<Slot<P>>,
    _open: Open<P>,
}

impl<P: Pipeline> Body for Answered<P> {
    type Data = Bytes;
    type Error = BodyFailure;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFailure>>> {
        let mut download = self.slot.download.borrow_mut();
        let Some(download) = download.as_mut() else { return Poll::Ready(Some(Err(BodyFailure::ClientGone))) };
        let polled = Pin::new(download).poll_frame(cx);
        self.slot.state.set(if polled.is_pending() { Wanted::Yes } else { Wanted::No });
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.slot.download.borrow().as_ref().is_some_and(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.slot.download.borrow().as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

async fn exchange<P: Pipeline>(
    worker: &Rc<Worker<P>>,
    request: Request<Incoming>,
    peer: Peer,
    tls: bool,
    open: Open<P>,
) -> Response<Answered<P>> {
    let (parts, incoming) = request.into_parts();
    let response = match receive(parts, peer, tls, &worker.limits) {
        Err(reason) => refusal(worker, reason).response,
        Ok(received) => {
            let source = if incoming.is_end_stream() { Source::Empty } else { Source::H2(incoming) };
            handle(worker, &received, source).await.response
        }
    };
    let mut response = response.map(|download| open.answer(download));
    *response.version_mut() = Version::HTTP_2;
    response
}

fn receive(parts: http::request::Parts, peer: Peer, tls: bool, limits: &Limits) -> Result<Received, Refusal> {
    let http::request::Parts { method, uri, mut headers, .. } = parts;
    if !is_served(&method) {
        return Err(Refusal::METHOD);
    }
    if headers.len() > limits.head_fields {
        return Err(Refusal::HEAD_TOO_LARGE);
    }
    let authority = authority(&uri, &headers)?;
    let text = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    if text.len() > limits.target_bytes {
        return Err(Refusal::TARGET_TOO_LONG);
    }
    let target = Target::parse(text.as_bytes())
        .filter(|target| target.path() != "*" || method == Method::OPTIONS)
        .ok_or(Refusal::bad("the request target is not a path with an optional query"))?;
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let length = match (lengths.next(), lengths.next()) {
        (None, _) => None,
        (Some(length), None) => Some(
            length
                .to_str()
                .ok()
                .filter(|length| length.bytes().all(|byte| byte.is_ascii_digit()))
                .and_then(|length| length.parse().ok())
                .ok_or(Refusal::bad("Content-Length is not a number"))?,
        ),
        _ => return Err(Refusal::bad("there is more than one Content-Length")),
    };
    let te_trailers = lists_token(&headers, TE, "trailers");
    join_cookies(&mut headers)?;
    strip_connection_fields(&mut headers);
    Ok(Received {
        method,
        target,
        version: Version::HTTP_2,
        authority,
        headers,
        peer: peer.address,
        tls,
        length,
        websocket: false,
        te_trailers,
    })
}

/// HTTP/2 may send a cookie in pieces; everybody else wants one field (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) -> Result<(), Refusal> {
    let pieces: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if pieces.len() > 1 {
        let joined = HeaderValue::from_bytes(&pieces.join(b"; ".as_slice()));
        headers.insert(COOKIE, joined.map_err(|_| Refusal::bad("the value of a field holds a control character"))?);
    }
    Ok(())
}

/// `:authority`, or `Host` where there is none; both only if they say the same (RFC 9113 §8.3.1).
fn authority(uri: &http::Uri, headers: &HeaderMap) -> Result<String, Refusal> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (host, None) => host,
        _ => return Err(Refusal::bad("there is more than one Host")),
    };
    let named = uri.authority().map(http::uri::Authority::as_str);
    let text = match (named, host) {
        (Some(named), Some(host)) if !named.as_bytes().eq_ignore_ascii_case(host.as_bytes()) => {
            return Err(Refusal::bad(":authority and Host differ"));
        }
        (Some(named), _) => named.as_bytes(),
        (None, Some(host)) => host.as_bytes(),
        (None, None) => return Err(Refusal::bad("there is no :authority")),
    };
    if !is_authority(text) {
        return Err(Refusal::bad(":authority is not a host with an optional port"));
    }
    String::from_utf8(text.to_vec()).map_err(|_| Refusal::bad(":authority is not a host with an optional port"))
}
