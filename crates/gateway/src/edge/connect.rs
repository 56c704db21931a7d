//! A new connection to an endpoint: name, TCP, TLS.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, TlsStream};

use super::Scheme;
use super::stream::Stream;
use crate::upstreams::{Endpoint, Upstream};

/// Why there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConnectFailure {
    Name,
    Refused,
    Timeout,
    Tls,
    /// ALPN agreed on another protocol than the upstream is set to.
    Protocol,
}

/// How long the addresses of a name are believed.
const NAME_TTL_MS: u64 = 5_000;

/// The addresses of one endpoint's name, as one worker knows them.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: RefCell<Option<(Arc<[SocketAddr]>, u64)>>,
}

impl Names {
    async fn addresses(&self, endpoint: &Endpoint, now_ms: u64) -> Result<Arc<[SocketAddr]>, ConnectFailure> {
        let known = self.known.borrow().clone();
        if let Some((addresses, until_ms)) = &known
            && *until_ms > now_ms
        {
            return Ok(Arc::clone(addresses));
        }
        let spec = endpoint.spec();
        let found: Result<Arc<[SocketAddr]>, _> =
            tokio::net::lookup_host((spec.bare_host(), spec.port)).await.map(Iterator::collect);
        match (found, known) {
            (Ok(addresses), _) if !addresses.is_empty() => {
                *self.known.borrow_mut() = Some((Arc::clone(&addresses), now_ms.saturating_add(NAME_TTL_MS)));
                Ok(addresses)
            }
            // A name server that is down does not take an upstream down whose address we know.
            (_, Some((addresses, _))) => Ok(addresses),
            _ => Err(ConnectFailure::Name),
        }
    }
}

/// Connects within the upstream's time; `http1_only` for what HTTP/2 cannot carry.
pub(super) async fn connect(
    upstream: &Upstream,
    endpoint: &Endpoint,
    names: &Names,
    now_ms: u64,
    http1_only: bool,
) -> Result<Stream, ConnectFailure> {
    let attempt = async {
        let addresses = names.addresses(endpoint, now_ms).await?;
        let tcp = dial(&addresses, upstream.spec().connect_timeout).await?;
        match endpoint.spec().scheme {
            Scheme::Http => Ok(Stream::plain(tcp)),
            Scheme::Https => {
                let (Some(tls), Some(name)) = (upstream.tls(), endpoint.server_name()) else {
                    return Err(ConnectFailure::Tls);
                };
                let config = if http1_only { &tls.http1_only } else { &tls.negotiated };
                let connected = TlsConnector::from(Arc::clone(config)).connect(name.clone(), tcp).await;
                connected.map(|stream| Stream::tls(TlsStream::Client(stream))).map_err(|error| {
                    tracing::debug!(endpoint = %endpoint.label(), cause = %error, "TLS handshake with upstream failed");
                    ConnectFailure::Tls
                })
            }
        }
    };
    tokio::time::timeout(upstream.spec().connect_timeout, attempt).await.unwrap_or(Err(ConnectFailure::Timeout))
}

/// Tries the addresses in order, each with its share of the time.
async fn dial(addresses: &[SocketAddr], within: Duration) -> Result<TcpStream, ConnectFailure> {
    let share = within.checked_div(u32::try_from(addresses.len()).unwrap_or(1)).unwrap_or(within);
    let mut failure = ConnectFailure::Name;
    for address in addresses {
        // Where clouds tell a machine its credentials. Nothing that is served to others lives there, and who may
        // publish an API, or answers for a name, must not be able to ask it in our name.
        if base::egress::is_link_local(address.ip()) {
            failure = ConnectFailure::Refused;
            continue;
        }
        match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Heads and small bodies go out at once (Nagle's algorithm would wait for more).
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(_)) => failure = ConnectFailure::Refused,
            Err(_) => failure = ConnectFailure::Timeout,
        }
    }
    Err(failure)
}
