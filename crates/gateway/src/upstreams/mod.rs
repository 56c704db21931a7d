//! Upstreams: groups of endpoints, their order, their health and what is on its way to them.
//!
//! Connections are not here: they belong to a worker thread of the engine (`edge/pool.rs`). What is
//! here is shared by all workers and changes by atomics only.

mod spec;
#[cfg(test)]
mod tests;
mod trust;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use http::HeaderValue;
use rustls::pki_types::ServerName;

use crate::edge::Scheme;
pub use spec::{BadSpec, EndpointSpec, HealthSpec, Protocol, TlsSpec, UpstreamSpec};

/// A compiled `Upstream` resource with its live state. A snapshot whose `spec()` is the same as that
/// of the one before takes over its `Arc`, so that health and counts survive a reload.
#[derive(Debug)]
pub struct Upstream {
    spec: UpstreamSpec,
    endpoints: Vec<Arc<Endpoint>>,
    /// Indices of endpoints in the order of turns; an endpoint of weight 3 is in it three times.
    turns: Vec<usize>,
    next_turn: AtomicUsize,
    in_flight: AtomicU32,
    tls: Option<ClientTls>,
}

/// TLS towards an upstream: what is offered by ALPN (RFC 7301) depends on the protocol wanted.
#[derive(Debug)]
pub(crate) struct ClientTls {
    pub(crate) negotiated: Arc<rustls::ClientConfig>,
    pub(crate) http1_only: Arc<rustls::ClientConfig>,
}

/// One address that an upstream answers at.
#[derive(Debug)]
pub struct Endpoint {
    /// Unlike any other endpoint of this process, also of earlier snapshots.
    id: u64,
    spec: EndpointSpec,
    /// `host:port`, as logs and metrics name it.
    label: Arc<str>,
    authority: HeaderValue,
    server_name: Option<ServerName<'static>>,
    failures: AtomicU32,
    open_until_ms: AtomicU64,
}

/// How an endpoint is doing, for `/readyz` and metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointState {
    pub endpoint: Arc<str>,
    /// It failed too often and is left alone for a while.
    pub ejected: bool,
    pub failures: u32,
}

impl Upstream {
    /// Compiles a spec. Certificates are read here, not while serving.
    pub fn new(spec: UpstreamSpec) -> Result<Self, BadSpec> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);

        spec.check()?;
        let endpoints = spec
            .endpoints
            .iter()
            .map(|endpoint| Endpoint::new(NEXT_ID.fetch_add(1, Ordering::Relaxed), endpoint, &spec).map(Arc::new))
            .collect::<Result<Vec<_>, _>>()?;
        let secure = spec.endpoints.iter().any(|endpoint| endpoint.scheme == Scheme::Https);
        let tls = if secure { Some(trust::client_tls(&spec)?) } else { None };
        let turns = spec::turns(&spec.endpoints);
        Ok(Self { spec, endpoints, turns, next_turn: AtomicUsize::new(0), in_flight: AtomicU32::new(0), tls })
    }

    pub fn spec(&self) -> &UpstreamSpec {
        &self.spec
    }

    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// Requests that are on their way or being answered, by all workers.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub fn endpoint_states(&self, now_ms: u64) -> Vec<EndpointState> {
        self.endpoints
            .iter()
            .map(|endpoint| EndpointState {
                endpoint: Arc::clone(&endpoint.label),
                ejected: !endpoint.is_open(now_ms),
                failures: endpoint.failures.load(Ordering::Relaxed),
            })
            .collect()
    }

    pub(crate) fn tls(&self) -> Option<&ClientTls> {
        self.tls.as_ref()
    }

    /// The endpoint whose turn it is, passing over ejected ones and `avoid`. When nothing else is
    /// left they are asked anyway: a guess at health must not make an outage.
    pub(crate) fn pick(&self, now_ms: u64, avoid: Option<u64>) -> Option<&Arc<Endpoint>> {
        let start = self.next_turn.fetch_add(1, Ordering::Relaxed);
        let in_turn = || {
            let first = start.checked_rem(self.turns.len()).unwrap_or(0);
            let (before, from) = self.turns.split_at_checked(first).unwrap_or((&[], &self.turns));
            from.iter().chain(before).filter_map(|index| self.endpoints.get(*index))
        };
        in_turn()
            .find(|endpoint| endpoint.is_open(now_ms) && avoid != Some(endpoint.id))
            .or_else(|| in_turn().find(|endpoint| avoid != Some(endpoint.id)))
            .or_else(|| in_turn().next())
    }

    /// Takes a place among the requests in flight; `None` when all are taken.
    pub(crate) fn admit(self: &Arc<Self>) -> Option<InFlight> {
        let before = self.in_flight.fetch_add(1, Ordering::AcqRel);
        let place = InFlight { upstream: Arc::clone(self) };
        (before < self.spec.max_in_flight).then_some(place)
    }
}

/// A place among an upstream's requests in flight, given back when dropped.
#[derive(Debug)]
pub(crate) struct InFlight {
    upstream: Arc<Upstream>,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.upstream.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Endpoint {
    fn new(id: u64, endpoint: &EndpointSpec, spec: &UpstreamSpec) -> Result<Self, BadSpec> {
        let bad = || BadSpec::Endpoint(endpoint.to_string());
        let authority = HeaderValue::try_from(endpoint.authority()).map_err(|_| bad())?;
        let server_name = match endpoint.scheme {
            Scheme::Http => None,
            Scheme::Https => {
                let name = spec.tls.server_name.as_deref().unwrap_or(endpoint.bare_host());
                Some(ServerName::try_from(name.to_owned()).map_err(|_| bad())?)
            }
        };
        Ok(Self {
            id,
            label: format!("{}:{}", endpoint.host, endpoint.port).into(),
            authority,
            server_name,
            spec: endpoint.clone(),
            failures: AtomicU32::new(0),
            open_until_ms: AtomicU64::new(0),
        })
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn spec(&self) -> &EndpointSpec {
        &self.spec
    }

    pub(crate) fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// What `Host` or `:authority` says when the request is addressed to the endpoint itself.
    pub(crate) fn authority(&self) -> &HeaderValue {
        &self.authority
    }

    pub(crate) fn server_name(&self) -> Option<&ServerName<'static>> {
        self.server_name.as_ref()
    }

    fn is_open(&self, now_ms: u64) -> bool {
        self.open_until_ms.load(Ordering::Relaxed) <= now_ms
    }

    pub(crate) fn succeeded(&self) {
        // Written only when it changes, so that workers do not fight over the cache line.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
            self.open_until_ms.store(0, Ordering::Relaxed);
        }
    }

    /// Counts a failure to connect, or an answer that says that the server behind is down.
    pub(crate) fn failed(&self, health: &HealthSpec, now_ms: u64) {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if health.max_failures != 0 && failures >= health.max_failures {
            let wait_ms = u64::try_from(health.open_for.as_millis()).unwrap_or(u64::MAX);
            self.open_until_ms.store(now_ms.saturating_add(wait_ms), Ordering::Relaxed);
        }
    }
}
