//! What an upstream is made of, as plain data.

use std::fmt;
use std::time::Duration;

use crate::edge::Scheme;

/// An upstream as an operator describes it. Equal specs may share one live [`super::Upstream`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamSpec {
    pub name: String,
    pub endpoints: Vec<EndpointSpec>,
    pub protocol: Protocol,
    /// Name resolution, TCP and TLS together.
    pub connect_timeout: Duration,
    /// Requests that may be on their way at once, over all workers; more are answered 503.
    pub max_in_flight: u32,
    /// Connections kept open without a request, per worker thread and endpoint.
    pub max_idle: usize,
    /// How long a connection is kept open without a request.
    pub max_idle_time: Duration,
    pub tls: TlsSpec,
    pub health: HealthSpec,
}

impl UpstreamSpec {
    /// An upstream with the usual limits.
    pub fn new(name: impl Into<String>, endpoints: Vec<EndpointSpec>) -> Self {
        Self {
            name: name.into(),
            endpoints,
            protocol: Protocol::Auto,
            connect_timeout: Duration::from_secs(3),
            max_in_flight: 10_000,
            max_idle: 128,
            max_idle_time: Duration::from_secs(30),
            tls: TlsSpec::default(),
            health: HealthSpec::default(),
        }
    }

    pub(super) fn check(&self) -> Result<(), BadSpec> {
        if self.endpoints.is_empty() {
            return Err(BadSpec::NoEndpoint);
        }
        if self.endpoints.iter().all(|endpoint| endpoint.weight == 0) {
            return Err(BadSpec::NoWeight);
        }
        match self.endpoints.iter().find(|endpoint| !endpoint.is_valid()) {
            Some(endpoint) => Err(BadSpec::Endpoint(endpoint.to_string())),
            None => Ok(()),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointSpec {
    pub scheme: Scheme,
    /// A name, an IPv4 address, or an IPv6 address in brackets.
    pub host: String,
    pub port: u16,
    /// Share of turns; 0 = none.
    pub weight: u32,
}

impl EndpointSpec {
    /// From `http://host[:port]` or `https://…`, without path, query or user.
    pub fn parse(url: &str) -> Result<Self, BadSpec> {
        let bad = || BadSpec::Endpoint(url.to_owned());
        let parsed = url::Url::parse(url).map_err(|_| bad())?;
        let scheme = match parsed.scheme() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(bad()),
        };
        let plain = matches!(parsed.path(), "" | "/")
            && parsed.query().is_none()
            && parsed.fragment().is_none()
            && parsed.username().is_empty()
            && parsed.password().is_none();
        let host = parsed.host_str().filter(|host| plain && !host.is_empty()).ok_or_else(bad)?;
        let port = parsed.port_or_known_default().ok_or_else(bad)?;
        Ok(Self { scheme, host: host.to_owned(), port, weight: 1 })
    }

    /// Host and port as in a URL: the port is left out when it is the scheme's own.
    pub fn authority(&self) -> String {
        match (self.scheme, self.port) {
            (Scheme::Http, 80) | (Scheme::Https, 443) => self.host.clone(),
            _ => format!("{}:{}", self.host, self.port),
        }
    }

    /// The host without the brackets of an IPv6 address, as sockets and certificates want it.
    pub(crate) fn bare_host(&self) -> &str {
        self.host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&self.host)
    }

    fn is_valid(&self) -> bool {
        self.port != 0 && url::Host::parse(&self.host).is_ok()
    }
}

impl fmt::Display for EndpointSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme.as_str(), self.host, self.port)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// What ALPN agrees on with `https`, HTTP/1.1 with `http`.
    Auto,
    Http1,
    /// HTTP/2, with `http` by prior knowledge (RFC 9113 §3.3).
    H2,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSpec {
    /// Certificates that sign the endpoints' ones, as PEM; `None` = those of the operating system.
    pub ca_pem: Option<String>,
    /// The name that the certificate must bear; `None` = the endpoint's host.
    pub server_name: Option<String>,
    pub verify: bool,
}

impl Default for TlsSpec {
    fn default() -> Self {
        Self { ca_pem: None, server_name: None, verify: true }
    }
}

/// Passive health: an endpoint that fails several times in a row is left alone for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthSpec {
    /// Failures in a row until it is ejected; 0 = never.
    pub max_failures: u32,
    pub open_for: Duration,
}

impl Default for HealthSpec {
    fn default() -> Self {
        Self { max_failures: 5, open_for: Duration::from_secs(10) }
    }
}

/// Why a spec cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSpec {
    #[error("an upstream needs at least one endpoint")]
    NoEndpoint,
    #[error("at least one endpoint needs a weight above 0")]
    NoWeight,
    #[error("`{0}` is not an endpoint: write `http://host:port` or `https://host:port`")]
    Endpoint(String),
    #[error("`ca` holds no certificate in PEM form")]
    NoCertificate,
    #[error("the TLS settings cannot be used: {0}")]
    Tls(String),
}

/// Longest list of turns; beyond it weights are scaled down.
const MAX_TURNS: u32 = 1000;

/// The endpoints' indices by smooth weighted round robin: heavy ones are spread, not in a row.
pub(super) fn turns(endpoints: &[EndpointSpec]) -> Vec<usize> {
    let total: u64 = endpoints.iter().map(|endpoint| u64::from(endpoint.weight)).sum();
    let scale = |weight: u32| -> i64 {
        let weight = u64::from(weight);
        let scaled =
            if total > u64::from(MAX_TURNS) { (weight * u64::from(MAX_TURNS)).div_ceil(total) } else { weight };
        i64::try_from(scaled).unwrap_or(0)
    };
    let mut divisor = 0;
    for endpoint in endpoints {
        divisor = greatest_common_divisor(divisor, scale(endpoint.weight));
    }
    let weights: Vec<i64> =
        endpoints.iter().map(|endpoint| scale(endpoint.weight).checked_div(divisor).unwrap_or(0)).collect();
    let rounds: i64 = weights.iter().sum();
    let mut credit = vec![0_i64; weights.len()];
    let mut turns = Vec::new();
    for _ in 0..rounds {
        for (credit, weight) in credit.iter_mut().zip(&weights) {
            *credit += weight;
        }
        // The first of the greatest, so that equal weights keep the order they are written in.
        let best = credit.iter_mut().enumerate().max_by_key(|(index, credit)| (**credit, std::cmp::Reverse(*index)));
        if let Some((index, credit)) = best {
            *credit -= rounds;
            turns.push(index);
        }
    }
    turns
}

fn greatest_common_divisor(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { greatest_common_divisor(b, a.checked_rem(b).unwrap_or(0)) }
}
