//! The issuer's keys: read once, kept while good, read again when a token names an unknown one.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use base::peer::{Limits, SharedPeer};
use base::time::SharedClock;
use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use jose::KeySet;
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::{Denied, Settings};

const LIMITS: Limits = Limits { time: Duration::from_secs(3), body_bytes: 256 * 1024 };

pub(crate) struct IssuerKeys(Arc<Shared>);

struct Shared {
    issuer: String,
    cool_down_ms: u64,
    refresh_after_ms: u64,
    peer: SharedPeer,
    clock: SharedClock,
    /// What requests read. Never locked over an `await`.
    state: RwLock<State>,
    /// Held by the one who reads from the issuer; holds `jwks_uri` once it is known.
    reading: Mutex<Option<Uri>>,
}

#[derive(Clone, Default)]
struct State {
    keys: Option<Arc<KeySet>>,
    read_at_ms: u64,
    /// When the last attempt began, and whether it failed.
    tried_at_ms: Option<u64>,
    failed: bool,
}

impl IssuerKeys {
    pub(crate) fn new(settings: &Settings, peer: SharedPeer, clock: SharedClock) -> Self {
        Self(Arc::new(Shared {
            issuer: settings.issuer.clone(),
            cool_down_ms: ms(settings.cool_down),
            refresh_after_ms: ms(settings.refresh_after),
            peer,
            clock,
            state: RwLock::default(),
            reading: Mutex::default(),
        }))
    }

    /// The keys at hand. Old ones are read anew by one request, while the others go on with them.
    pub(crate) async fn current(&self) -> Result<Arc<KeySet>, Denied> {
        let shared = &self.0;
        let state = shared.state();
        let Some(keys) = state.keys.clone() else {
            return self.read(None).await;
        };
        let age_ms = shared.clock.monotonic_ms().saturating_sub(state.read_at_ms);
        let due = age_ms >= shared.refresh_after_ms && shared.may_try(&state);
        if due && shared.reading.try_lock().is_ok() {
            return self.read(Some(&keys)).await.or(Ok(keys));
        }
        Ok(keys)
    }

    /// Keys that are not `known`, if the issuer has others. A flood of tokens with unknown keys costs
    /// one reading per cool-down; within it the answer is what the last reading says.
    pub(crate) async fn newer_than(&self, known: &Arc<KeySet>) -> Result<Arc<KeySet>, Denied> {
        self.read(Some(known)).await
    }

    /// Reads the keys in a task of its own: a client that hangs up must not break off what others wait
    /// for, or it could keep the keys from ever being read.
    async fn read(&self, known: Option<&Arc<KeySet>>) -> Result<Arc<KeySet>, Denied> {
        let (shared, known) = (self.0.clone(), known.cloned());
        let task = tokio::spawn(async move { shared.read(known).await });
        task.await.unwrap_or_else(|_| Err(self.0.unavailable()))
    }
}

impl Shared {
    async fn read(&self, known: Option<Arc<KeySet>>) -> Result<Arc<KeySet>, Denied> {
        let mut jwks_uri = self.reading.lock().await;
        let state = self.state();
        let is_newer = |keys: &Arc<KeySet>| known.as_ref().is_none_or(|known| !Arc::ptr_eq(known, keys));
        if let Some(keys) = state.keys.clone().filter(is_newer) {
            // Somebody else read them while this request waited for its turn.
            return Ok(keys);
        }
        if self.may_try(&state) {
            self.change(|state| state.tried_at_ms = Some(self.clock.monotonic_ms()));
            match self.fetch(&mut jwks_uri).await {
                Ok(keys) => {
                    let keys = Arc::new(keys);
                    self.change(|state| {
                        state.keys = Some(keys.clone());
                        state.read_at_ms = self.clock.monotonic_ms();
                        state.failed = false;
                    });
                    return Ok(keys);
                }
                Err(cause) => {
                    // The address may have moved.
                    *jwks_uri = None;
                    self.change(|state| state.failed = true);
                    tracing::warn!(issuer = %self.issuer, cause, "the issuer's keys cannot be read");
                }
            }
        }
        let state = self.state();
        // Without a good reading an unknown key is no proof of a bad token.
        match state.keys {
            Some(keys) if !state.failed => Ok(keys),
            _ => Err(self.unavailable()),
        }
    }

    async fn fetch(&self, jwks_uri: &mut Option<Uri>) -> Result<KeySet, &'static str> {
        let uri = match jwks_uri {
            Some(uri) => uri.clone(),
            None => jwks_uri.insert(self.discover().await?).clone(),
        };
        let body = self.get(uri).await?;
        let keys = KeySet::parse(&body).map_err(|_| "the key set cannot be read")?;
        if keys.is_empty() { Err("the key set holds no usable key") } else { Ok(keys) }
    }

    /// OpenID Connect Discovery §4: the metadata must name the issuer it was asked from.
    async fn discover(&self) -> Result<Uri, &'static str> {
        #[derive(Deserialize)]
        struct Metadata {
            issuer: String,
            jwks_uri: String,
        }
        let address = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let body = self.get(address.parse().map_err(|_| "the issuer is no URL")?).await?;
        let metadata: Metadata = serde_json::from_slice(&body).map_err(|_| "the metadata cannot be read")?;
        if metadata.issuer != self.issuer {
            return Err("the metadata names another issuer");
        }
        let uri: Uri = metadata.jwks_uri.parse().map_err(|_| "jwks_uri is no URL")?;
        // Keys come at least as safely as the metadata did.
        let fine = uri.scheme_str() == Some("https")
            || (uri.scheme_str() == Some("http") && self.issuer.starts_with("http://"));
        if fine { Ok(uri) } else { Err("jwks_uri is not https") }
    }

    async fn get(&self, uri: Uri) -> Result<Bytes, &'static str> {
        let request = Request::get(uri).header(header::ACCEPT, "application/json").body(Bytes::new());
        let request = request.map_err(|_| "the address cannot be asked")?;
        let response = self.peer.call(request, LIMITS).await.map_err(|_| "the issuer does not answer")?;
        if response.status() == StatusCode::OK { Ok(response.into_body()) } else { Err("the issuer does not say 200") }
    }

    fn may_try(&self, state: &State) -> bool {
        let now = self.clock.monotonic_ms();
        state.tried_at_ms.is_none_or(|tried| now.saturating_sub(tried) >= self.cool_down_ms)
    }

    fn unavailable(&self) -> Denied {
        let since = self.state().tried_at_ms.map_or(0, |tried| self.clock.monotonic_ms().saturating_sub(tried));
        Denied::Unavailable { retry_after: Duration::from_millis(self.cool_down_ms.saturating_sub(since)) }
    }

    fn state(&self) -> State {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner));
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
