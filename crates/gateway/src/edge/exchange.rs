//! What passes between the engine and the pipeline for one request.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use base::Time;
use base::ids::RequestId;
use base::time::Stopwatch;
use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version};

use integration::CallError;
use tokio_util::sync::CancellationToken;

use super::{Head, Scheme};
use crate::limits::Held;
use crate::policy::Judged;
use crate::upstreams::Upstream;

/// The steps that decide about a request (`pipeline.rs`); the engine is generic over it so that it
/// can be driven by a scripted one.
pub trait Pipeline: Send + Sync + 'static {
    /// Decides from the head alone; the body has not been read.
    fn decide(&self, head: &Head<'_>, exchange: &mut Exchange) -> impl Future<Output = Decision>;

    /// Called before the head of an answer goes out, unless the client has gone: with its
    /// status. An error stands in place of the answer, and is not asked about again.
    fn answering(&self, _exchange: &mut Exchange, _status: StatusCode) -> Result<(), Box<Response<Bytes>>> {
        Ok(())
    }

    /// Called once when the exchange is over, however it ended.
    fn finished(&self, exchange: &Exchange, outcome: &Outcome);
}

/// One request's own notes, from its first byte to its last log line.
#[derive(Debug)]
pub struct Exchange {
    pub request_id: RequestId,
    /// When the head was there.
    pub at: Time,
    pub started: Stopwatch,
    /// W3C trace context sent on: `traceparent` of the span that the gateway opens.
    pub traceparent: Option<String>,
    /// Name of the matched route, once there is one.
    pub route: Option<Arc<str>>,
    pub service: Option<Arc<str>>,
    /// Whose operation it is, once that is known: the exchange is then a call, of which usage is kept.
    pub api: Option<Arc<str>>,
    pub operation: Option<Arc<str>>,
    pub subscription: Option<Arc<str>>,
    pub plan: Option<Arc<str>>,
    /// A unit of a quota that the call holds while it is under way.
    pub held: Option<Held>,
    /// Whether its usage has been seen to.
    pub recorded: bool,
    /// Why it would have been refused, had the plan or the policy been enforced.
    pub shadowed: Option<&'static str>,
    /// What policies said.
    pub policy: Option<Judged>,
    pub client_id: Option<Arc<str>>,
    pub subject: Option<Arc<str>>,
    /// Why it was denied: the slug that is also a counter and the end of the problem type.
    pub denied: Option<&'static str>,
    /// How the parts of a composed answer went.
    pub parts: Option<HeaderValue>,
    /// The same for the record of usage, where one is missing: as the client was told, and as it was not.
    pub missing_parts: [Option<String>; 2],
    /// What the client was told beyond `denied`.
    pub told: Option<String>,
    /// How the token was found: `hit`, `miss`, `negative`, …
    pub token_cache: Option<&'static str>,
    pub steps: Steps,
    /// What the log says of the request.
    pub request: Option<Box<RequestLine>>,
    /// Added to whatever answer is sent, also to the engine's own (a 502 must be readable for scripts
    /// of an allowed origin as well).
    pub answer_headers: Vec<(HeaderName, HeaderValue)>,
}

/// What the pipeline's steps took and found, for the record of usage. Nothing is decided by it.
#[derive(Debug, Default)]
pub struct Steps {
    /// From the head of the request to the end of the step, where it was come to.
    pub identified: Option<Duration>,
    pub admitted: Option<Duration>,
    pub permitted: Option<Duration>,
    /// The last characters of an opaque token.
    pub token_end: Option<[u8; 6]>,
    /// What the token was issued under.
    pub grant: Option<Arc<str>>,
    /// Calls that the plan still had room for.
    pub rate_left: Option<u64>,
    pub quota_left: Option<u64>,
}

/// The request as logs and metrics know it; never the query, which may hold what is secret.
#[derive(Debug, Clone)]
pub struct RequestLine {
    pub method: Method,
    pub path: String,
    pub authority: String,
    pub scheme: Scheme,
    pub version: Version,
    pub client: IpAddr,
}

impl Exchange {
    pub fn begin(now: Time) -> Self {
        Self {
            request_id: RequestId::unique(now),
            at: now,
            started: Stopwatch::start(),
            traceparent: None,
            route: None,
            service: None,
            api: None,
            operation: None,
            subscription: None,
            plan: None,
            held: None,
            recorded: false,
            shadowed: None,
            policy: None,
            client_id: None,
            subject: None,
            denied: None,
            parts: None,
            missing_parts: [None, None],
            told: None,
            token_cache: None,
            steps: Steps::default(),
            request: None,
            answer_headers: Vec::new(),
        }
    }

    /// The time until now, where a record of the call is kept: other requests do not pay for the clock.
    pub fn lap(&self) -> Option<Duration> {
        self.api.as_ref().map(|_| self.started.elapsed())
    }

    /// Puts what is to be on every answer of this exchange onto one that the engine makes itself.
    pub fn dress(&self, headers: &mut HeaderMap) {
        set_all(headers, &self.answer_headers);
    }
}

/// What the pipeline makes of a request.
#[derive(Debug)]
pub enum Decision {
    /// The gateway answers itself: a denial, a preflight, metadata.
    Answer(Response<Bytes>),
    Forward(Box<Forward>),
    /// The gateway makes the answer itself, out of calls of its own.
    Compose(Compose),
}

/// A request whose answer the gateway makes. Only `compose.rs` makes one, from a permit.
pub struct Compose {
    /// The body is wanted, whole; otherwise it is left unread.
    pub wants_body: bool,
    pub max_body_bytes: u64,
    /// Between two pieces of the body.
    pub idle_timeout: Duration,
    /// Somebody else works for the answer.
    pub calls: bool,
    /// It has to be told when the client goes away, and given time to undo what it did; other work is
    /// just dropped.
    pub outlives_client: bool,
    pub work: Box<dyn Work>,
}

impl std::fmt::Debug for Compose {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compose").finish_non_exhaustive()
    }
}

/// What makes an answer. It stays on the worker's thread.
pub trait Work {
    fn run(self: Box<Self>, means: Means) -> LocalBoxFuture<'static, Composed>;
}

/// What the engine lends to [`Work`].
pub struct Means {
    /// Empty where it is not wanted.
    pub body: Bytes,
    pub calls: Rc<dyn Calls>,
    /// Cancelled when the client goes away.
    pub gone: CancellationToken,
}

/// Sends requests of the gateway's own over the worker's connections. Dropping the future gives one up.
pub trait Calls {
    fn call(&self, outbound: Outbound) -> LocalBoxFuture<'_, Result<Response<Bytes>, CallError>>;
}

/// A request of the gateway's own.
#[derive(Debug)]
pub struct Outbound {
    pub upstream: Arc<Upstream>,
    pub method: Method,
    pub path_and_query: PathAndQuery,
    pub headers: HeaderMap,
    /// `Host`/`:authority`; `None` = the endpoint's own.
    pub authority: Option<HeaderValue>,
    pub body: Bytes,
    /// Until the head of the answer.
    pub head_timeout: Duration,
    /// Between two pieces of the answer.
    pub idle_timeout: Duration,
    pub max_answer_bytes: usize,
}

/// The answer that was made.
#[derive(Debug)]
pub struct Composed {
    pub response: Response<Bytes>,
    /// Of a failure: the slug of its problem.
    pub failed: Option<&'static str>,
    /// How its parts went, for the log.
    pub parts: Option<HeaderValue>,
    /// The same where one is missing: as the client was told, and as it was not.
    pub missing_parts: [Option<String>; 2],
    /// Requests that were sent.
    pub attempts: u32,
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
    /// Removed from the answer; what the exchange has in `answer_headers` is set afterwards.
    pub answer_strip: Vec<HeaderName>,
    /// A text that must not reach the client: a header field of the answer that holds it is removed.
    pub answer_secret: Option<Bytes>,
    /// Until the head of the answer.
    pub head_timeout: Duration,
    /// Between two pieces of a body, in either direction.
    pub idle_timeout: Duration,
    pub max_body_bytes: u64,
    /// The request may be sent a second time if the first attempt got no answer (RFC 9110 §9.2.2).
    pub retry_safe: bool,
}

impl Forward {
    /// Makes the head of the upstream's answer fit to be passed on; `exchange` has the rest.
    pub fn clean(&self, headers: &mut HeaderMap) {
        for name in &self.answer_strip {
            headers.remove(name);
        }
        if let Some(secret) = &self.answer_secret {
            remove_secret(headers, secret);
        }
    }
}

/// Removes the fields that hold this text.
pub(crate) fn remove_secret(headers: &mut HeaderMap, secret: &[u8]) {
    if secret.is_empty() {
        return;
    }
    // To make the finder costs as much as a tenth of the request, and hardly any value is long enough.
    let mut finder = None;
    let leaking: Vec<HeaderName> = headers
        .iter()
        .filter(|(_, value)| value.len() >= secret.len())
        .filter(|(_, value)| {
            let finder = finder.get_or_insert_with(|| memchr::memmem::Finder::new(secret));
            finder.find(value.as_bytes()).is_some()
        })
        .map(|(name, _)| name.clone())
        .collect();
    for name in leaking {
        headers.remove(name);
    }
}

/// Each replaces what is there, but for `Vary`, which is a list that both sides add to.
fn set_all(headers: &mut HeaderMap, fields: &[(HeaderName, HeaderValue)]) {
    for (name, value) in fields {
        if *name == http::header::VARY {
            headers.append(name, value.clone());
        } else {
            headers.insert(name, value.clone());
        }
    }
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
    /// An endpoint was connected to, so that it may have begun to work; other than `attempts` without those that ended
    /// before that.
    pub asked: bool,
    /// The client went away, or the upstream broke off, in the middle of the answer.
    pub broken_off: bool,
}
