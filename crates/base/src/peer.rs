//! How pillars talk to each other: standard HTTP messages, over a socket or by a call in process.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::TokioExecutor;

/// Why a peer gave no answer. What it was asked is not part of it, since that may be secret.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PeerError {
    #[error("the peer could not be reached")]
    Unreachable,
    #[error("the address is not one that may be called")]
    Forbidden,
    #[error("the peer did not answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    #[error("the peer's answer is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the peer's answer broke off")]
    BrokenOff,
}

/// Limits of one call.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub time: Duration,
    pub body_bytes: usize,
}

/// Sends one request to a peer and takes the whole answer, within the limits.
/// Production has two: [`HttpPeer`] and the router call of a single process.
pub trait Peer: Send + Sync + 'static {
    fn call(&self, request: Request<Bytes>, limits: Limits) -> BoxFuture<'_, Result<Response<Bytes>, PeerError>>;
}

pub type SharedPeer = Arc<dyn Peer>;

/// A peer behind HTTP/1.1 or HTTP/2, with or without TLS. Follows no redirect.
#[derive(Debug, Clone)]
pub struct HttpPeer {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl HttpPeer {
    /// `tls` is the rustls configuration of the process; `None` trusts the system's roots.
    pub fn new(tls: Option<rustls::ClientConfig>) -> Self {
        let tls = tls.unwrap_or_else(system_trust);
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_connect_timeout(Some(Duration::from_secs(5)));
        http.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(http);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(64)
            .build(connector);
        Self { client }
    }

    pub fn shared() -> SharedPeer {
        Arc::new(Self::new(None))
    }
}

impl Peer for HttpPeer {
    fn call(&self, request: Request<Bytes>, limits: Limits) -> BoxFuture<'_, Result<Response<Bytes>, PeerError>> {
        Box::pin(exchange(&self.client, request, limits))
    }
}

/// One request and the whole answer, within the limits.
pub(crate) async fn exchange<C>(
    client: &Client<C, Full<Bytes>>,
    request: Request<Bytes>,
    limits: Limits,
) -> Result<Response<Bytes>, PeerError>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let exchange = async move {
        let response = client.request(request.map(Full::new)).await.map_err(|error| {
            tracing::debug!(cause = %error, "peer unreachable");
            PeerError::Unreachable
        })?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, limits.body_bytes).collect().await.map_err(|error| {
            if error.is::<http_body_util::LengthLimitError>() {
                PeerError::TooLarge(limits.body_bytes)
            } else {
                PeerError::BrokenOff
            }
        })?;
        Ok(Response::from_parts(parts, body.to_bytes()))
    };
    tokio::time::timeout(limits.time, exchange).await.unwrap_or(Err(PeerError::TimedOut(limits.time)))
}

/// A rustls configuration that trusts the certificates of the operating system.
pub fn system_trust() -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (_added, _ignored) = roots.add_parsable_certificates(found.certs);
    client_config(roots)
}

/// A rustls client configuration with these roots.
pub fn client_config(roots: rustls::RootCertStore) -> rustls::ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    match builder.with_safe_default_protocol_versions() {
        Ok(builder) => builder.with_root_certificates(roots).with_no_client_auth(),
        // aws-lc-rs implements both protocol versions; a build without them cannot do any TLS.
        Err(_) => std::process::abort(),
    }
}
