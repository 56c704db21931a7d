//! What passes between the engine and the pipeline for one request.

use std::sync::Arc;
use std::time::Duration;

use base::ids::RequestId;
use base::time::Stopwatch;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use super::Head;
use crate::upstreams::Upstream;

/// The steps that decide about a request (`pipeline.rs`); the engine is generic over it so that it
/// can be driven by a scripted one.
pub trait Pipeline: Send + Sync + 'static {
    /// Decides from the head alone; the body has not been read.
    fn decide(&self, head: &Head<'_>, exchange: &mut Exchange) -> impl Future<Output = Decision>;

    /// Called once when the exchange is over, however it ended.
    fn finished(&self, exchange: &Exchange, outcome: &Outcome);
}

/// One request's own notes, from its first byte to its last log line.
#[derive(Debug)]
pub struct Exchange {
    pub request_id: RequestId,
    pub started: Stopwatch,
    /// W3C trace context sent on: `traceparent` of the span that the gateway opens.
    pub traceparent: Option<String>,
    /// Name of the matched route, once there is one.
    pub route: Option<Arc<str>>,
    pub service: Option<Arc<str>>,
    pub client_id: Option<Arc<str>>,
    pub subject: Option<Arc<str>>,
    /// Why it was denied: the slug that is also a counter and the end of the problem type.
    pub denied: Option<&'static str>,
    /// How the token was found: `hit`, `miss`, `negative`, …
    pub token_cache: Option<&'static str>,
}

/// What the pipeline makes of a request.
#[derive(Debug)]
pub enum Decision {
    /// The gateway answers itself: a denial, a preflight, metadata.
    Answer(Response<Bytes>),
    Forward(Box<Forward>),
}

/// A request that may pass, ready to be sent. Only `forward.rs` makes one, from a permit.
#[derive(Debug)]
pub struct Forward {
    pub upstream: Arc<Upstream>,
    /// The canonical path (the one that was matched and decided on), with the query.
    pub path_and_query: String,
    /// End-to-end header fields of the outgoing request; the engine adds only framing and Host.
    pub headers: HeaderMap,
    /// `Host`/`:authority` of the outgoing request; `None` = the endpoint's own.
    pub authority: Option<HeaderValue>,
    /// Set on the answer, replacing what the upstream says.
    pub answer_headers: Vec<(HeaderName, HeaderValue)>,
    /// Removed from the answer.
    pub answer_strip: Vec<HeaderName>,
    /// Until the head of the answer.
    pub head_timeout: Duration,
    /// Between two pieces of a body, in either direction.
    pub idle_timeout: Duration,
    pub max_body_bytes: u64,
    /// The request may be sent a second time if the first attempt got no answer (RFC 9110 §9.2.2).
    pub retry_safe: bool,
}

/// How an exchange ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub status: StatusCode,
    pub request_bytes: u64,
    pub response_bytes: u64,
    /// Endpoint that answered, if one was asked.
    pub endpoint: Option<Arc<str>>,
    pub attempts: u32,
    /// The client went away, or the upstream broke off, in the middle of the answer.
    pub broken_off: bool,
}
