//! The way out: one request to one service or upstream.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base::peer::{Limits, PeerError, SharedPeer};
use bytes::Bytes;
use catalog::{Service, Upstream};
use http::{Request, Response};

/// Whom a step calls.
#[derive(Debug, Clone)]
pub enum Target {
    /// With the service's path prefix, `Host` and time limits.
    Service(Arc<Service>),
    Upstream(Arc<Upstream>),
}

impl Target {
    pub fn name(&self) -> &str {
        match self {
            Self::Service(service) => &service.name,
            Self::Upstream(upstream) => &upstream.name,
        }
    }

    pub fn upstream(&self) -> &Arc<Upstream> {
        match self {
            Self::Service(service) => &service.upstream,
            Self::Upstream(upstream) => upstream,
        }
    }

    /// The path as the endpoint gets it.
    pub fn path(&self, path: &str) -> String {
        match self {
            Self::Service(service) => format!("{}{path}", service.prefix()),
            Self::Upstream(_) => path.to_owned(),
        }
    }
}

/// One request. Its URI is path and query only, with the service's prefix; `Host` is the caller's.
#[derive(Debug)]
pub struct Call<'a> {
    pub target: &'a Target,
    pub request: Request<Bytes>,
    pub time: Duration,
    /// Bytes of the answer's body; more is [`CallError::TooLarge`].
    pub body_bytes: usize,
}

/// Sends a request and takes the whole answer. Dropping the future gives up the request.
/// Production has two: the gateway's pool of connections, which belongs to one thread, and the direct one
/// of `cardea compose run`.
pub trait Caller {
    fn call(&self, call: Call<'_>) -> impl Future<Output = Result<Response<Bytes>, CallError>>;
}

/// Calls upstreams over a [`Peer`](base::peer::Peer), each endpoint in turn: for `cardea compose run` and tests.
#[derive(Clone)]
pub struct PeerCaller {
    peer: SharedPeer,
    turn: Arc<AtomicUsize>,
}

impl PeerCaller {
    pub fn new(peer: SharedPeer) -> Self {
        Self { peer, turn: Arc::default() }
    }
}

impl Caller for PeerCaller {
    async fn call(&self, call: Call<'_>) -> Result<Response<Bytes>, CallError> {
        let endpoints = &call.target.upstream().spec.endpoints;
        let turn = self.turn.fetch_add(1, Ordering::Relaxed).checked_rem(endpoints.len()).unwrap_or_default();
        let endpoint = endpoints.get(turn).ok_or(CallError::Unreachable)?;
        let url = format!("{}{}", endpoint.url.origin(), call.request.uri());
        let mut request = call.request;
        *request.uri_mut() = url.parse().map_err(|_| CallError::Unreachable)?;
        let limits = Limits { time: call.time, body_bytes: call.body_bytes };
        Ok(self.peer.call(request, limits).await?)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    #[error("the backend could not be reached")]
    Unreachable,
    #[error("the backend did not answer in time")]
    TimedOut,
    #[error("the backend's answer is too large")]
    TooLarge,
    #[error("the backend's answer broke off")]
    BrokenOff,
    /// Nothing was sent.
    #[error("too many requests are on their way to the backend")]
    Busy,
}

impl From<PeerError> for CallError {
    fn from(error: PeerError) -> Self {
        match error {
            PeerError::Unreachable | PeerError::Forbidden => Self::Unreachable,
            PeerError::TimedOut(_) => Self::TimedOut,
            PeerError::TooLarge(_) => Self::TooLarge,
            PeerError::BrokenOff => Self::BrokenOff,
        }
    }
}
