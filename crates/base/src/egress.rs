//! Outgoing connections to addresses that somebody else chose: which of them may be dialled.
//!
//! Operators name their own services freely. An address that arrives in a registration, a document
//! or a page goes through [`is_public`] at connect time, after name resolution.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioExecutor;
use tower::Service;

use crate::peer::{self, Limits, Peer, PeerError, SharedPeer};

/// Which addresses may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reach {
    /// The public Internet, by https.
    #[default]
    Public,
    /// Every address, also this machine's, with or without TLS: for development and closed networks.
    Anywhere,
}

impl Reach {
    pub fn allows(self, address: IpAddr) -> bool {
        self == Self::Anywhere || is_public(address)
    }
}

/// A peer whose address somebody else chose. The filter looks at what is dialled, after name resolution, so that
/// a name which resolves to an inner address (or to another one a moment later) leads nowhere. Follows no redirect.
#[derive(Debug, Clone)]
pub struct EgressPeer {
    client: Client<HttpsConnector<HttpConnector<Filtered>>, Full<Bytes>>,
    reach: Reach,
}

impl EgressPeer {
    /// `tls` is the rustls configuration of the process; `None` trusts the system's roots.
    pub fn new(reach: Reach, tls: Option<rustls::ClientConfig>) -> Self {
        let mut http = HttpConnector::new_with_resolver(Filtered(reach));
        http.enforce_http(false);
        http.set_connect_timeout(Some(Duration::from_secs(5)));
        http.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls.unwrap_or_else(peer::system_trust))
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(http);
        // Nothing is kept open towards strangers.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        Self { client, reach }
    }

    pub fn shared(reach: Reach) -> SharedPeer {
        Arc::new(Self::new(reach, None))
    }

    /// An address literal is dialled without the resolver, so it is looked at here.
    fn may_call(&self, uri: &http::Uri) -> bool {
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let literal_fits = host.parse::<IpAddr>().is_ok_and(|address| self.reach.allows(address));
        let fits = literal_fits || host.parse::<IpAddr>().is_err();
        fits && !host.is_empty() && (self.reach == Reach::Anywhere || uri.scheme_str() == Some("https"))
    }
}

impl Peer for EgressPeer {
    fn call(&self, request: Request<Bytes>, limits: Limits) -> BoxFuture<'_, Result<Response<Bytes>, PeerError>> {
        Box::pin(async move {
            if !self.may_call(request.uri()) {
                return Err(PeerError::Forbidden);
            }
            peer::exchange(&self.client, request, limits).await
        })
    }
}

/// The system's resolver, less the addresses that may not be called.
#[derive(Debug, Clone, Copy)]
struct Filtered(Reach);

impl Service<Name> for Filtered {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = BoxFuture<'static, Result<Self::Response, io::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let reach = self.0;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = found.filter(|address| reach.allows(address.ip())).collect();
            if allowed.is_empty() {
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, "no address that may be called"));
            }
            Ok(allowed.into_iter())
        })
    }
}

/// Whether an address is on the public Internet (RFC 6890 special-purpose ranges are not).
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => match embedded_v4(v6) {
            Some(v4) => is_public_v4(v4),
            None => is_public_v6(v6),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_unspecified()
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_broadcast()
        || address.is_documentation()
        || address.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19));
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    // Only 2000::/3 is global unicast; of it 2001::/23 and 2001:db8::/32 are special.
    first & 0xe000 == 0x2000 && !(first == 0x2001 && (second < 0x0200 || second == 0x0db8)) && first != 0x3fff
}

/// Whether an address is of this link alone (RFC 3927, RFC 4291 §2.5.6), or the one of those beyond that are used like
/// it: clouds tell machines about themselves there, credentials among it.
pub fn is_link_local(address: IpAddr) -> bool {
    const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => match embedded_v4(v6) {
            Some(v4) => v4.is_link_local(),
            None => v6.segments().first().is_some_and(|first| first & 0xffc0 == 0xfe80) || v6 == METADATA_V6,
        },
    }
}

/// The IPv4 address inside mapped, NAT64 and 6to4 addresses.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let v4 = |high: u16, low: u16| {
        let [w, x] = high.to_be_bytes();
        let [y, z] = low.to_be_bytes();
        Ipv4Addr::new(w, x, y, z)
    };
    match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0 | 0xffff) | (0x64, 0xff9b, 0, 0, 0, 0) => Some(v4(g, h)),
        (0x2002, high, low, ..) => Some(v4(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inner_addresses_are_not_public() {
        for text in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "64:ff9b::10.0.0.1",
            "2002:7f00:1::",
            "2001:db8::1",
            "2001::1",
        ] {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn where_machines_learn_about_themselves_is_link_local_however_it_is_written() {
        for text in [
            "169.254.169.254",
            "169.254.170.2",
            "::ffff:169.254.169.254",
            "64:ff9b::169.254.169.254",
            "2002:a9fe:a9fe::",
            "fe80::1",
            "febf::1",
            "fd00:ec2::254",
        ] {
            assert!(is_link_local(text.parse().unwrap()), "{text}");
        }
        for text in ["127.0.0.1", "10.0.0.1", "169.253.0.1", "::1", "fd00::1", "fec0::1", "2606:4700::1111"] {
            assert!(!is_link_local(text.parse().unwrap()), "{text}");
        }
    }

    async fn called(reach: Reach, url: &str) -> Result<u16, PeerError> {
        let request = Request::get(url).body(Bytes::new()).unwrap();
        let limits = Limits { time: Duration::from_secs(5), body_bytes: 1024 };
        let tls = peer::client_config(rustls::RootCertStore::empty());
        EgressPeer::new(reach, Some(tls)).call(request, limits).await.map(|answer| answer.status().as_u16())
    }

    #[tokio::test]
    async fn inner_addresses_are_not_called_however_they_are_written() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answering = tokio::spawn(async move {
            use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
            let mut count = 0;
            while let Ok((mut stream, _)) = listener.accept().await {
                count += 1;
                let mut head = [0; 1024];
                let _ = stream.read(&mut head).await;
                let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await;
                if count == 1 {
                    break;
                }
            }
        });

        for host in ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "localhost", "127.1", "0x7f.1", "2130706433"] {
            let error = called(Reach::Public, &format!("https://{host}:{port}/")).await.unwrap_err();
            assert!(matches!(error, PeerError::Forbidden | PeerError::Unreachable), "{host}: {error}");
        }
        let plain = called(Reach::Public, "http://example.org/").await;
        assert!(matches!(plain, Err(PeerError::Forbidden)), "without TLS");
        // None of these has reached it: the first connection is this one.
        assert_eq!(called(Reach::Anywhere, &format!("http://localhost:{port}/")).await.unwrap(), 204);
        answering.await.unwrap();
    }

    #[test]
    fn outer_addresses_are_public() {
        for text in ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "2a00:1450::1", "64:ff9b::1.1.1.1"] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }
}
