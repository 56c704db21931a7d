//! HTTP/2 towards clients (RFC 9113), by hyper and h2, which see to framing; what is checked here is
//! what they leave to the application.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use http::header::{CONTENT_LENGTH, HOST, TE};
use http::{Method, Request, Response, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};

use super::body::Download;
use super::exchange::Pipeline;
use super::handle::{handle, refusal};
use super::limits::Limits;
use super::pool::LocalExecutor;
use super::received::{Received, Refusal, Source, Target, is_authority, lists_token, strip_connection_fields};
use super::serve::{Peer, Worker};
use super::stream::Stream;
use super::timer::Idle;

/// Serves a connection to its end.
pub(super) async fn serve<P: Pipeline>(worker: &Rc<Worker<P>>, stream: Stream, peer: Peer) {
    let tls = stream.is_tls();
    let limits = &worker.limits;
    let active = Rc::new(Cell::new(Activity::default()));
    let service = service_fn(|request: Request<Incoming>| {
        let worker = Rc::clone(worker);
        let active = Active::begin(&active);
        async move {
            let response = exchange(&worker, request, peer, tls).await;
            drop(active);
            Ok::<_, Infallible>(response)
        }
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
    let mut seen = active.get();
    let mut closing = false;
    let ended = poll_fn(|cx| {
        if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
            return Poll::Ready(ended);
        }
        let now = active.get();
        if now.requests != seen.requests || now.active > 0 {
            seen = now;
            idle.moved();
        }
        if !closing && (draining.as_mut().poll(cx).is_ready() || idle.poll(cx).is_ready()) {
            closing = true;
            connection.as_mut().graceful_shutdown();
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    });
    if let Err(error) = ended.await {
        tracing::debug!(cause = %error, "HTTP/2 connection ended");
    }
}

/// What a connection is doing, to tell an idle one.
#[derive(Debug, Clone, Copy, Default)]
struct Activity {
    active: usize,
    requests: u64,
}

struct Active(Rc<Cell<Activity>>);

impl Active {
    fn begin(counter: &Rc<Cell<Activity>>) -> Self {
        let now = counter.get();
        counter.set(Activity { active: now.active.saturating_add(1), requests: now.requests.wrapping_add(1) });
        Self(Rc::clone(counter))
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        let now = self.0.get();
        self.0.set(Activity { active: now.active.saturating_sub(1), ..now });
    }
}

async fn exchange<P: Pipeline>(
    worker: &Rc<Worker<P>>,
    request: Request<Incoming>,
    peer: Peer,
    tls: bool,
) -> Response<Download<P>> {
    let (parts, incoming) = request.into_parts();
    match receive(parts, peer, tls, &worker.limits) {
        Err(reason) => refusal(worker, reason).response,
        Ok(received) => {
            let source = if incoming.is_end_stream() { Source::Empty } else { Source::H2(incoming) };
            let mut answer = handle(worker, &received, source).await;
            // Only HTTP/1.1 switches protocols; RFC 8441 is not served.
            *answer.response.version_mut() = Version::HTTP_2;
            answer.response.headers_mut().remove(http::header::TRANSFER_ENCODING);
            answer.response
        }
    }
}

fn receive(parts: http::request::Parts, peer: Peer, tls: bool, limits: &Limits) -> Result<Received, Refusal> {
    let http::request::Parts { method, uri, mut headers, .. } = parts;
    if method == Method::CONNECT || method == Method::TRACE {
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

/// `:authority`, or `Host` where there is none; both only if they say the same (RFC 9113 §8.3.1).
fn authority(uri: &http::Uri, headers: &http::HeaderMap) -> Result<String, Refusal> {
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
