//! Sending a request to an upstream, a second time if that is safe.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, PathAndQuery, Scheme as UriScheme};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;

use super::Scheme;
use super::body::{BodyFailure, Upload};
use super::exchange::{Forward, Outbound, Outcome, Pipeline};
use super::pool::{Lease, Sender};
use super::problem::Trouble;
use super::received::{Received, strip_framing};
use super::serve::Worker;
use super::timer::Alarm;
use crate::upstreams::{Endpoint, Upstream};

/// A request ready to be sent, as often as need be.
pub(super) struct Outgoing {
    method: Method,
    path_and_query: PathAndQuery,
    headers: HeaderMap,
    authority: Option<HeaderValue>,
    websocket: bool,
    te_trailers: bool,
    pub(super) upload: Upload,
}

impl Outgoing {
    pub(super) fn new(received: &Received, forward: &mut Forward, upload: Upload) -> Result<Self, Trouble> {
        let path = std::mem::take(&mut forward.path_and_query);
        // `*` is the target of a request about the server itself; the engine passes paths on.
        let path_and_query = match path.as_bytes().first() {
            Some(b'/') => PathAndQuery::from_maybe_shared(bytes::Bytes::from(path)).map_err(|_| Trouble::Unsendable)?,
            _ => return Err(Trouble::Unsendable),
        };
        let mut headers = std::mem::take(&mut forward.headers);
        strip_framing(&mut headers);
        Ok(Self {
            method: received.method.clone(),
            path_and_query,
            headers,
            authority: forward.authority.take(),
            websocket: received.websocket,
            te_trailers: received.te_trailers,
            upload,
        })
    }

    /// A request of the gateway's own.
    pub(super) fn own(outbound: Outbound) -> Result<Self, Trouble> {
        let Outbound { method, path_and_query, mut headers, authority, body, .. } = outbound;
        if !path_and_query.as_str().starts_with('/') {
            return Err(Trouble::Unsendable);
        }
        strip_framing(&mut headers);
        let upload = Upload::whole(body);
        Ok(Self { method, path_and_query, headers, authority, websocket: false, te_trailers: false, upload })
    }

    /// For HTTP/1.1: the target is the path, `Host` names the server, the framing is our own.
    fn http1(&self, endpoint: &Endpoint) -> Request<Upload> {
        let mut request = Request::new(self.upload.clone());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = Uri::from(self.path_and_query.clone());
        let headers = request.headers_mut();
        *headers = self.headers.clone();
        headers.insert(HOST, self.authority.as_ref().unwrap_or(endpoint.authority()).clone());
        if self.websocket {
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        } else if self.te_trailers {
            headers.insert(CONNECTION, HeaderValue::from_static("te"));
            headers.insert(TE, HeaderValue::from_static("trailers"));
        }
        match self.upload.declared() {
            Some(length) => {
                headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
            }
            None if self.upload.is_empty() => {}
            None => {
                headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            }
        }
        request
    }

    /// For HTTP/2: pseudo-header fields instead (RFC 9113 §8.3.1).
    fn h2(&self, endpoint: &Endpoint) -> Result<Request<Upload>, Trouble> {
        let scheme = match endpoint.spec().scheme {
            Scheme::Http => UriScheme::HTTP,
            Scheme::Https => UriScheme::HTTPS,
        };
        let authority = self.authority.as_ref().unwrap_or(endpoint.authority());
        let authority = Authority::try_from(authority.as_bytes()).map_err(|_| Trouble::Unsendable)?;
        let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query(self.path_and_query.clone());
        let mut request = Request::new(self.upload.clone());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri.build().map_err(|_| Trouble::Unsendable)?;
        *request.version_mut() = Version::HTTP_2;
        let headers = request.headers_mut();
        *headers = self.headers.clone();
        if self.te_trailers {
            headers.insert(TE, HeaderValue::from_static("trailers"));
        }
        if let Some(length) = self.upload.declared() {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        Ok(request)
    }
}

/// Where a request goes, and how.
#[derive(Clone, Copy)]
pub(super) struct Hop<'a> {
    pub(super) upstream: &'a Arc<Upstream>,
    /// Until the head of the answer.
    pub(super) head_timeout: Duration,
    /// It may be sent a second time if the first attempt got no answer (RFC 9110 §9.2.2).
    pub(super) retry_safe: bool,
}

/// One attempt's end.
struct Failed {
    trouble: Trouble,
    /// No byte of the request has been written, so that sending it again is not a second time.
    unsent: bool,
    /// The connection had waited; that it was closed says nothing about the endpoint.
    reused: bool,
}

/// Sends the request to the endpoint whose turn it is. A second attempt is made when the upstream
/// cannot have acted on the first, or may act twice (RFC 9110 §9.2.2), and nothing of the body is lost.
pub(super) async fn send<P: Pipeline>(
    worker: &Rc<Worker<P>>,
    hop: Hop<'_>,
    outgoing: &Outgoing,
    outcome: &mut Outcome,
) -> Result<(Response<Incoming>, Lease), Trouble> {
    let upstream = hop.upstream;
    let health = &upstream.spec().health;
    let mut avoid = None;
    let mut fresh = false;
    loop {
        let now_ms = worker.clock.monotonic_ms();
        let endpoint = upstream.pick(now_ms, avoid).ok_or(Trouble::Connect(super::connect::ConnectFailure::Name))?;
        outcome.attempts = outcome.attempts.saturating_add(1);
        outcome.endpoint = Some(Arc::clone(endpoint.label()));
        let failed = match attempt(worker, hop, outgoing, endpoint, fresh, &mut outcome.asked).await {
            Ok((response, lease)) => {
                match response.status() {
                    StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                        endpoint.failed(health, worker.clock.monotonic_ms());
                    }
                    _ => endpoint.succeeded(),
                }
                return Ok((response, lease));
            }
            Err(failed) => failed,
        };
        if let Some(trouble) = outgoing.upload.failure().and_then(body_trouble) {
            return Err(trouble);
        }
        if !failed.reused || failed.trouble == Trouble::HeadTimeout {
            endpoint.failed(health, worker.clock.monotonic_ms());
        }
        let again = failed.unsent || (hop.retry_safe && failed.trouble == Trouble::NoAnswer);
        if !again || !outgoing.upload.is_whole() || outcome.attempts >= 2 {
            return Err(failed.trouble);
        }
        // What else waits may have been closed as well.
        fresh = true;
        avoid = Some(endpoint.id());
    }
}

/// What a body's failure means for the answer; an upstream that stopped reading is not one.
pub(super) fn body_trouble(failure: BodyFailure) -> Option<Trouble> {
    match failure {
        BodyFailure::TooLarge => Some(Trouble::BodyTooLarge),
        BodyFailure::Malformed => Some(Trouble::BodyMalformed),
        BodyFailure::Stalled => Some(Trouble::BodyStalled),
        BodyFailure::ClientGone => Some(Trouble::ClientGone),
        BodyFailure::UpstreamGone => None,
    }
}

async fn attempt<P: Pipeline>(
    worker: &Rc<Worker<P>>,
    hop: Hop<'_>,
    outgoing: &Outgoing,
    endpoint: &Arc<Endpoint>,
    fresh: bool,
    asked: &mut bool,
) -> Result<(Response<Incoming>, Lease), Failed> {
    let mut lease = worker
        .pool
        .take(hop.upstream, endpoint, outgoing.websocket, fresh)
        .await
        .map_err(|failure| Failed { trouble: Trouble::Connect(failure), unsent: true, reused: false })?;
    *asked = true;
    let reused = lease.reused;
    let answered = match &mut lease.sender {
        Sender::Http1(connection) => {
            let request = outgoing.http1(endpoint);
            let answer = connection.sender.try_send_request(request);
            head_in_time(&mut connection.alarm, hop.head_timeout, &outgoing.upload, answer).await
        }
        Sender::H2(stream) => {
            let request = outgoing.h2(endpoint).map_err(|trouble| Failed { trouble, unsent: false, reused: true })?;
            let answer = stream.sender.try_send_request(request);
            head_in_time(&mut Alarm::default(), hop.head_timeout, &outgoing.upload, answer).await
        }
    };
    match answered {
        None => Err(Failed { trouble: Trouble::HeadTimeout, unsent: false, reused }),
        Some(Ok(response)) => Ok((response, lease)),
        Some(Err(mut error)) => {
            let unsent = error.take_message().is_some();
            let error = error.into_error();
            let bad = error.is_parse() || error.is_parse_too_large() || error.is_parse_status();
            tracing::debug!(endpoint = %endpoint.label(), reused, cause = %error, "no answer from upstream");
            Err(Failed { trouble: if bad { Trouble::BadAnswer } else { Trouble::NoAnswer }, unsent, reused })
        }
    }
}

/// Waits for the head of the answer. While the client has still to send, and while the upstream
/// takes what is sent, time does not count.
async fn head_in_time<T>(
    alarm: &mut Alarm,
    limit: Duration,
    upload: &Upload,
    answer: impl Future<Output = T>,
) -> Option<T> {
    let mut answer = std::pin::pin!(answer);
    let mut taken = 0;
    loop {
        if let Some(answered) = alarm.within(limit, answer.as_mut()).await {
            return Some(answered);
        }
        let before = std::mem::replace(&mut taken, upload.received());
        if !upload.waits_for_client() && taken == before {
            return None;
        }
    }
}
