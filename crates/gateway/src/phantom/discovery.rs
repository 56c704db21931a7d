//! The issuer's metadata (OpenID Connect Discovery 1.0, RFC 8414): fetched when first needed, kept,
//! and checked to be the issuer's own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use base::peer::{Limits, SharedPeer};
use base::time::SharedClock;
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::NoFacts;

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Metadata {
    issuer: String,
    pub jwks_uri: Option<String>,
    pub introspection_endpoint: Option<String>,
    /// Of Cardea's own identity system: what its handles begin with.
    #[serde(default, rename = "cardea_access_token_prefix")]
    pub access_token_prefix: Option<String>,
}

pub(crate) struct Discovery {
    issuer: String,
    limits: Limits,
    found: ArcSwapOption<Metadata>,
    /// Monotonic time from which on they are fetched anew.
    stale_at_ms: AtomicU64,
    /// When it was last tried, so that those who wait in an outage do not each try on their own.
    tried_ms: Mutex<Option<u64>>,
}

const COOL_DOWN_MS: u64 = 1_000;
const MAX_AGE_MS: u64 = 15 * 60 * 1_000;

impl Discovery {
    pub fn new(issuer: &str, limits: Limits) -> Self {
        Self {
            issuer: issuer.to_owned(),
            limits,
            found: ArcSwapOption::empty(),
            stale_at_ms: AtomicU64::new(0),
            tried_ms: Mutex::new(None),
        }
    }

    /// What is known already, without asking.
    pub fn known(&self) -> Option<Arc<Metadata>> {
        self.found.load_full()
    }

    pub async fn metadata(&self, peer: &SharedPeer, clock: &SharedClock) -> Result<Arc<Metadata>, NoFacts> {
        let known = self.known();
        let is_fresh = || clock.monotonic_ms() < self.stale_at_ms.load(Ordering::Acquire);
        let mut tried = match known {
            Some(known) if is_fresh() => return Ok(known),
            // One asks anew; for the others, and if that fails, what is known will do.
            Some(known) => match self.tried_ms.try_lock() {
                Ok(tried) => tried,
                Err(_) => return Ok(known),
            },
            None => self.tried_ms.lock().await,
        };
        let known = self.known();
        if let Some(known) = known.as_ref().filter(|_| is_fresh()) {
            return Ok(Arc::clone(known));
        }
        let now = clock.monotonic_ms();
        let mut last = NoFacts::Unavailable("the issuer's metadata cannot be fetched");
        if tried.is_none_or(|tried| now.saturating_sub(tried) >= COOL_DOWN_MS) {
            for url in self.addresses() {
                match self.fetch(peer, &url).await {
                    Ok(metadata) => {
                        let metadata = Arc::new(metadata);
                        self.found.store(Some(Arc::clone(&metadata)));
                        self.stale_at_ms.store(now.saturating_add(MAX_AGE_MS), Ordering::Release);
                        return Ok(metadata);
                    }
                    Err(error) => last = error,
                }
            }
            *tried = Some(clock.monotonic_ms());
        }
        known.ok_or(last)
    }

    /// OpenID Connect Discovery §4 appends, RFC 8414 §3 inserts.
    fn addresses(&self) -> [String; 2] {
        let issuer = self.issuer.trim_end_matches('/');
        let origin_end = issuer.find("://").map_or(0, |at| at + 3);
        let path_at =
            issuer.get(origin_end..).and_then(|rest| rest.find('/')).map_or(issuer.len(), |at| origin_end + at);
        let (origin, path) = issuer.split_at_checked(path_at).unwrap_or((issuer, ""));
        [
            format!("{issuer}/.well-known/openid-configuration"),
            format!("{origin}/.well-known/oauth-authorization-server{path}"),
        ]
    }

    async fn fetch(&self, peer: &SharedPeer, url: &str) -> Result<Metadata, NoFacts> {
        let body = get(peer, url, self.limits).await?;
        let metadata: Metadata =
            serde_json::from_slice(&body).map_err(|_| NoFacts::Untrusted("the issuer's metadata cannot be read"))?;
        // RFC 8414 §3.3: or somebody else's metadata would be taken for the issuer's.
        if metadata.issuer != self.issuer {
            return Err(NoFacts::Untrusted("the metadata is that of another issuer"));
        }
        Ok(metadata)
    }
}

/// Fetches a document of JSON.
pub(super) async fn get(peer: &SharedPeer, url: &str, limits: Limits) -> Result<Bytes, NoFacts> {
    let request = Request::builder()
        .method(Method::GET)
        .uri(url)
        .header(http::header::ACCEPT, "application/json")
        .body(Bytes::new())
        .map_err(|_| NoFacts::Untrusted("the issuer names an address that is none"))?;
    let response = peer.call(request, limits).await.map_err(|error| {
        tracing::warn!(url, cause = %error, "the issuer gives no answer");
        NoFacts::Unavailable("the issuer gives no answer")
    })?;
    match response.status() {
        StatusCode::OK => Ok(response.into_body()),
        status if status.is_server_error() => Err(NoFacts::Unavailable("the issuer answers with an error")),
        _ => Err(NoFacts::Untrusted("the issuer does not have the document")),
    }
}
