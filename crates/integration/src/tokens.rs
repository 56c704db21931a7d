//! Tokens for steps: exchanged for the caller's (RFC 8693), or the gateway's own (RFC 6749 §4.4).
//!
//! A token is kept under what it was asked for with: endpoint, the caller's whole token, audience and
//! scopes. The key holds these as they are, not a digest or a joined text, so two callers cannot meet
//! in one entry. One flight per key; entries are bounded and end before their tokens do.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use base::Secret;
use base::peer::{Limits, SharedPeer};
use base::time::SharedClock;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use catalog::TokenKind;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, StatusCode};
use quick_cache::sync::Cache;
use serde::Deserialize;

use crate::composition::Identity;
use crate::input::{Subject, bearer};

/// A token endpoint and who we are there.
#[derive(Debug, Clone)]
pub struct TokenEndpoint {
    pub url: Arc<str>,
    pub client_id: Arc<str>,
    pub secret: Secret<String>,
}

/// Why there is no token. What was sent and answered is not part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("there is no such token endpoint")]
    NoEndpoint,
    #[error("the caller has no token that could be passed on")]
    NoSubject,
    #[error("the token endpoint cannot be reached")]
    Unreachable,
    #[error("the token endpoint refuses")]
    Refused,
    #[error("the token endpoint's answer cannot be used")]
    BadAnswer,
}

/// Gets and keeps tokens. Cheap to share.
#[derive(Debug, Clone)]
pub struct TokenSource {
    /// By the names that compositions have for them.
    endpoints: Arc<HashMap<String, TokenEndpoint>>,
    shared: Arc<Shared>,
}

struct Shared {
    peer: SharedPeer,
    clock: SharedClock,
    cache: Cache<Key, Arc<Kept>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenSource").finish_non_exhaustive()
    }
}

#[derive(Debug, Clone)]
struct Key {
    url: Arc<str>,
    /// Who we are there, and by which secret: a composition that names a client of which it has not the secret gets
    /// none of the tokens that another one has got with it.
    client_id: Arc<str>,
    secret: Secret<String>,
    /// `None`: our own token.
    subject: Option<Secret<String>>,
    audience: Option<String>,
    scopes: Vec<String>,
    kind: TokenKind,
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        let same = match (&self.subject, &other.subject) {
            (Some(a), Some(b)) => base::secret::equal(a.expose().as_bytes(), b.expose().as_bytes()),
            (None, None) => true,
            _ => false,
        };
        let ours = || base::secret::equal(self.secret.expose().as_bytes(), other.secret.expose().as_bytes());
        same && ours()
            && self.kind == other.kind
            && self.url == other.url
            && self.client_id == other.client_id
            && self.audience == other.audience
            && self.scopes == other.scopes
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.url.hash(state);
        self.client_id.hash(state);
        self.subject.as_ref().map(Secret::expose).hash(state);
        self.audience.hash(state);
        self.scopes.hash(state);
    }
}

struct Kept {
    authorization: HeaderValue,
    until_ms: u64,
}

/// Kept no longer, whatever the endpoint says: so long may a change of rights take to be felt.
const LONGEST: Duration = Duration::from_secs(300);
/// Not used in the last seconds, in which it may end on its way.
const MARGIN: Duration = Duration::from_secs(10);
const LIMITS: Limits = Limits { time: Duration::from_secs(5), body_bytes: 64 * 1024 };

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

#[derive(Deserialize)]
struct Granted {
    access_token: Secret<String>,
    token_type: String,
    #[serde(default)]
    expires_in: Option<u64>,
}

impl TokenSource {
    /// Knows no endpoint yet. `entries` bounds what is kept.
    pub fn new(peer: SharedPeer, clock: SharedClock, entries: usize) -> Self {
        Self { endpoints: Arc::default(), shared: Arc::new(Shared { peer, clock, cache: Cache::new(entries) }) }
    }

    /// One that goes to these endpoints and keeps its tokens where this one does.
    #[must_use]
    pub fn with(&self, endpoints: HashMap<String, TokenEndpoint>) -> Self {
        Self { endpoints: Arc::new(endpoints), shared: Arc::clone(&self.shared) }
    }

    /// What a step sends as `Authorization`, if anything.
    pub(crate) async fn authorization(
        &self,
        identity: &Identity,
        subject: Option<&Subject>,
    ) -> Result<Option<HeaderValue>, TokenError> {
        let (request, subject) = match identity {
            Identity::None | Identity::Forward => return Ok(at_hand(identity, subject)),
            Identity::Exchange(request) => (request, Some(subject.ok_or(TokenError::NoSubject)?.token())),
            Identity::ClientCredentials(request) => (request, None),
        };
        let endpoint =
            request.from.as_deref().and_then(|name| self.endpoints.get(name)).ok_or(TokenError::NoEndpoint)?;
        let key = Key {
            url: Arc::clone(&endpoint.url),
            client_id: Arc::clone(&endpoint.client_id),
            secret: endpoint.secret.clone(),
            subject,
            audience: request.audience.clone(),
            scopes: request.scopes.clone(),
            kind: request.kind.unwrap_or(TokenKind::Jwt),
        };
        self.kept(key, endpoint).await.map(Some)
    }

    async fn kept(&self, key: Key, endpoint: &TokenEndpoint) -> Result<HeaderValue, TokenError> {
        let now = || self.shared.clock.monotonic_ms();
        let over = |kept: &Arc<Kept>| kept.until_ms <= now();
        self.shared.cache.remove_if(&key, over);
        match self.shared.cache.get_value_or_guard_async(&key).await {
            Ok(kept) => Ok(kept.authorization.clone()),
            // If this future is dropped, the guard is, and the next in line asks.
            Err(guard) => {
                let granted = self.ask(&key, endpoint).await?;
                let life = Duration::from_secs(granted.expires_in.unwrap_or(0)).min(LONGEST).saturating_sub(MARGIN);
                let until_ms = now().saturating_add(u64::try_from(life.as_millis()).unwrap_or(0));
                let authorization = bearer(&granted.access_token).ok_or(TokenError::BadAnswer)?;
                // Also a token that is not kept serves those who wait for it now; the next look removes it.
                let _ = guard.insert(Arc::new(Kept { authorization: authorization.clone(), until_ms }));
                Ok(authorization)
            }
        }
    }

    async fn ask(&self, key: &Key, endpoint: &TokenEndpoint) -> Result<Granted, TokenError> {
        let scope = key.scopes.join(" ");
        let requested = match key.kind {
            TokenKind::Jwt => JWT,
            TokenKind::AccessToken => ACCESS_TOKEN,
        };
        let mut form: Vec<(&str, &str)> = Vec::with_capacity(7);
        match &key.subject {
            Some(subject) => form.extend([
                ("grant_type", EXCHANGE),
                ("subject_token", subject.expose().as_str()),
                ("subject_token_type", ACCESS_TOKEN),
                ("requested_token_type", requested),
            ]),
            None => form.push(("grant_type", "client_credentials")),
        }
        form.extend(key.audience.as_deref().map(|audience| ("audience", audience)));
        if !scope.is_empty() {
            form.push(("scope", &scope));
        }
        let body = serde_urlencoded::to_string(form).map_err(|_| TokenError::BadAnswer)?;
        let mut message = Request::new(Bytes::from(body));
        *message.method_mut() = Method::POST;
        *message.uri_mut() = endpoint.url.parse().map_err(|_| TokenError::NoEndpoint)?;
        let headers = message.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(AUTHORIZATION, basic(endpoint)?);
        let answer = self.shared.peer.call(message, LIMITS).await.map_err(|error| {
            tracing::warn!(token.endpoint = %key.url, cause = %error, "no token: the token endpoint cannot be reached");
            TokenError::Unreachable
        })?;
        if answer.status() != StatusCode::OK {
            tracing::warn!(token.endpoint = %key.url, status = answer.status().as_u16(), "no token: the token endpoint refuses");
            return Err(if answer.status().is_server_error() { TokenError::Unreachable } else { TokenError::Refused });
        }
        let granted: Granted = serde_json::from_slice(answer.body()).map_err(|_| TokenError::BadAnswer)?;
        // RFC 6749 §7.1: a token of a type that we do not know is not used. RFC 8693 §2.2.1: `N_A` says that it is
        // no access token, as a JWT may be.
        let type_fits = granted.token_type.eq_ignore_ascii_case("bearer")
            || (key.kind == TokenKind::Jwt && key.subject.is_some() && granted.token_type.eq_ignore_ascii_case("n_a"));
        let usable = type_fits && !granted.access_token.expose().is_empty();
        if usable { Ok(granted) } else { Err(TokenError::BadAnswer) }
    }
}

/// What a step sends for which nobody need be asked.
pub(crate) fn at_hand(identity: &Identity, subject: Option<&Subject>) -> Option<HeaderValue> {
    match identity {
        // A public composition has nobody to tell of.
        Identity::Forward => subject.map(|subject| subject.authorization().clone()),
        _ => None,
    }
}

/// RFC 6749 §2.3.1: both halves are form-encoded first.
fn basic(endpoint: &TokenEndpoint) -> Result<HeaderValue, TokenError> {
    let encode =
        |text: &str| serde_urlencoded::to_string([("", text)]).map(|text| text.trim_start_matches('=').to_owned());
    let (Ok(id), Ok(secret)) = (encode(&endpoint.client_id), encode(endpoint.secret.expose())) else {
        return Err(TokenError::NoEndpoint);
    };
    let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(format!("{id}:{secret}"))))
        .map_err(|_| TokenError::NoEndpoint)?;
    value.set_sensitive(true);
    Ok(value)
}
