//! The wire between two roles of one process: the same HTTP messages, handed to the router without a socket.

use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use base::peer::{Limits, Peer, PeerError, SharedPeer};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tower::ServiceExt as _;

/// Calls the router for addresses of its own origin, and goes out for all others.
pub struct RouterPeer {
    origin: Origin,
    router: Router,
    outside: SharedPeer,
}

#[derive(Debug, PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

impl Origin {
    fn of(uri: &Uri) -> Option<Self> {
        let scheme = uri.scheme_str()?.to_ascii_lowercase();
        let default = if scheme == "https" { 443 } else { 80 };
        let host = uri.host()?.to_ascii_lowercase();
        Some(Self { scheme, host, port: uri.port_u16().unwrap_or(default) })
    }
}

impl RouterPeer {
    /// `None` if `issuer` is not the URL of a server.
    pub fn new(issuer: &str, router: Router, outside: SharedPeer) -> Option<Self> {
        let origin = Origin::of(&issuer.parse().ok()?)?;
        Some(Self { origin, router, outside })
    }

    async fn inside(&self, request: Request<Bytes>, limits: Limits) -> Result<Response<Bytes>, PeerError> {
        let mut request = request.map(Body::from);
        // As over a connection: only path and query, and an address of this machine at the other end.
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = path.map(Uri::from).unwrap_or_default();
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))));
        let response = self.router.clone().oneshot(request).await.map_err(|never| match never {})?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, limits.body_bytes).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() { PeerError::TooLarge(limits.body_bytes) } else { PeerError::BrokenOff }
        })?;
        Ok(Response::from_parts(parts, body.to_bytes()))
    }
}

impl Peer for RouterPeer {
    fn call(&self, request: Request<Bytes>, limits: Limits) -> BoxFuture<'_, Result<Response<Bytes>, PeerError>> {
        if Origin::of(request.uri()).is_none_or(|origin| origin != self.origin) {
            return self.outside.call(request, limits);
        }
        Box::pin(async move {
            let answer = tokio::time::timeout(limits.time, self.inside(request, limits)).await;
            answer.unwrap_or(Err(PeerError::TimedOut(limits.time)))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use axum::routing::get;

    use super::*;

    const LIMITS: Limits = Limits { time: Duration::from_secs(5), body_bytes: 8 };

    struct Outside;

    impl Peer for Outside {
        fn call(&self, _: Request<Bytes>, _: Limits) -> BoxFuture<'_, Result<Response<Bytes>, PeerError>> {
            Box::pin(async { Ok(Response::new(Bytes::from_static(b"outside"))) })
        }
    }

    async fn ask(url: &str) -> Result<String, PeerError> {
        let router =
            Router::new().route("/a", get(|| async { "inside" })).route("/long", get(|| async { "far too long" }));
        let peer = RouterPeer::new("http://localhost:8081", router, Arc::new(Outside)).unwrap();
        let answer = peer.call(Request::get(url).body(Bytes::new()).unwrap(), LIMITS).await?;
        Ok(String::from_utf8(answer.body().to_vec()).unwrap())
    }

    #[tokio::test]
    async fn its_own_origin_is_answered_without_a_socket() {
        assert_eq!(ask("http://localhost:8081/a?b=c").await.unwrap(), "inside");
        assert_eq!(ask("http://LOCALHOST:8081/a").await.unwrap(), "inside");
    }

    #[tokio::test]
    async fn every_other_origin_is_outside() {
        for url in [
            "http://localhost:8082/a",
            "https://localhost:8081/a",
            "http://localhost/a",
            "http://localhost.evil:8081/a",
        ] {
            assert_eq!(ask(url).await.unwrap(), "outside", "{url}");
        }
    }

    #[tokio::test]
    async fn an_answer_larger_than_allowed_is_an_error() {
        assert!(matches!(ask("http://localhost:8081/long").await, Err(PeerError::TooLarge(8))));
    }
}
