//! Management, as the gateway knows it: two addresses and a token. It is asked from beside the data path
//! only; when it is away, calls go on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base::Secret;
use base::peer::{Limits, PeerError, SharedPeer};
use base::time::SharedClock;
use bytes::Bytes;
use catalog::usage::UsageBatch;
use http::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderValue, Method, Request, Response};

/// Where management is, and how it knows this gateway.
#[derive(Debug, Clone)]
pub struct ManagementConfig {
    /// Without a slash at the end.
    pub url: String,
    /// The token that management has for this gateway.
    pub token: Secret<String>,
    /// What people call this gateway.
    pub name: String,
}

pub(crate) struct Management {
    config: ManagementConfig,
    peer: SharedPeer,
    clock: SharedClock,
    standing: Mutex<Standing>,
    /// Monotonic time of its last good answer, plus one; 0 = there was none.
    answered_ms: AtomicU64,
}

/// What management is told with each batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The published version that is served.
    pub serving: Option<u64>,
    /// Why a newer one is not.
    pub refused: Option<String>,
}

/// Why there is no answer to build on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    #[error("management is not configured as a URL")]
    BadUrl,
    #[error("{0}")]
    Peer(#[from] PeerError),
    #[error("management answers with status {0}")]
    Status(u16),
    /// It will refuse the same for ever; why, in its own words.
    #[error("management refuses it with status {status}: {why}")]
    Refused { status: u16, why: String },
    #[error("management's answer cannot be read")]
    Unreadable,
}

const USAGE_TIME: Duration = Duration::from_secs(20);
const USAGE_BYTES: usize = 16 * 1024 * 1024;
const SNAPSHOT_BYTES: usize = 128 * 1024 * 1024;
/// On top of what it is asked to wait.
const SNAPSHOT_TIME: Duration = Duration::from_secs(20);

impl Management {
    pub fn new(config: ManagementConfig, peer: SharedPeer, clock: SharedClock) -> Self {
        Self { config, peer, clock, standing: Mutex::default(), answered_ms: AtomicU64::new(0) }
    }

    pub fn name(&self) -> &str {
        &self.config.name
    }

    pub fn standing(&self) -> Standing {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn stand(&self, change: impl FnOnce(&mut Standing)) {
        change(&mut self.standing.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// How long ago it answered last; `None`: not yet.
    pub fn heard(&self) -> Option<Duration> {
        let at = self.answered_ms.load(Ordering::Relaxed).checked_sub(1)?;
        Some(Duration::from_millis(self.clock.monotonic_ms().saturating_sub(at)))
    }

    fn answered(&self) {
        self.answered_ms.store(self.clock.monotonic_ms().saturating_add(1), Ordering::Relaxed);
    }

    /// Its answer, of which the status may be 200 or 409.
    pub async fn send_usage(&self, batch: &UsageBatch) -> Result<Response<Bytes>, NoAnswer> {
        let body = Bytes::from(serde_json::to_vec(batch).map_err(|_| NoAnswer::Unreadable)?);
        let mut request = self.request(Method::POST, "/gateway/v1/usage")?.map(|_| body);
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let answer = self.peer.call(request, Limits { time: USAGE_TIME, body_bytes: USAGE_BYTES }).await?;
        match answer.status().as_u16() {
            200 | 409 => {
                self.answered();
                Ok(answer)
            }
            // What is in the request, or how large it is; not who asks, where, or when.
            status @ (400 | 413 | 422) => Err(NoAnswer::Refused { status, why: reason(answer.body()) }),
            status => Err(NoAnswer::Status(status)),
        }
    }

    /// Waits for a snapshot that is not `known`; `None` if there is none after `wait`.
    pub async fn snapshot(&self, known: Option<u64>, wait: Duration) -> Result<Option<Response<Bytes>>, NoAnswer> {
        let path = format!("/gateway/v1/snapshot?wait={}", wait.as_secs());
        let mut request = self.request(Method::GET, &path)?;
        if let Some(known) = known.and_then(|known| HeaderValue::try_from(format!("\"{known}\"")).ok()) {
            request.headers_mut().insert(IF_NONE_MATCH, known);
        }
        let limits = Limits { time: wait.saturating_add(SNAPSHOT_TIME), body_bytes: SNAPSHOT_BYTES };
        let answer = self.peer.call(request, limits).await?;
        match answer.status().as_u16() {
            200 => {
                self.answered();
                Ok(Some(answer))
            }
            304 => {
                self.answered();
                Ok(None)
            }
            status => Err(NoAnswer::Status(status)),
        }
    }

    fn request(&self, method: Method, path: &str) -> Result<Request<Bytes>, NoAnswer> {
        let uri = format!("{}{path}", self.config.url.trim_end_matches('/'));
        let mut request = Request::new(Bytes::new());
        *request.method_mut() = method;
        *request.uri_mut() = uri.parse().map_err(|_| NoAnswer::BadUrl)?;
        let bearer = format!("Bearer {}", self.config.token.expose());
        let mut bearer = HeaderValue::try_from(bearer).map_err(|_| NoAnswer::BadUrl)?;
        bearer.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, bearer);
        Ok(request)
    }
}

/// Of a problem (RFC 9457): its detail, or its title.
fn reason(body: &[u8]) -> String {
    const MOST: usize = 300;
    let problem: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let text = ["detail", "title"].iter().find_map(|name| problem.get(*name)?.as_str()).unwrap_or("without a reason");
    text.chars().filter(|letter| !letter.is_control()).take(MOST).collect()
}

/// The version in an `ETag` (RFC 9110 §8.8.3), strong or weak.
pub(crate) fn version_of(answer: &Response<Bytes>) -> Option<u64> {
    let tag = answer.headers().get(ETAG)?.to_str().ok()?;
    tag.trim_start_matches("W/").trim_matches('"').parse().ok()
}

/// Longer after each failure, up to eight seconds, and never the same for all gateways.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    pub fn next(&mut self) -> Duration {
        const FIRST_MS: u64 = 100;
        const MOST_MS: u64 = 8_000;
        let most = FIRST_MS.saturating_mul(1_u64.checked_shl(self.failures.min(16)).unwrap_or(u64::MAX)).min(MOST_MS);
        self.failures = self.failures.saturating_add(1);
        let [a, b] = base::random::bytes::<2>();
        let share = u64::from(u16::from_le_bytes([a, b]));
        // Between a half and the whole of it.
        Duration::from_millis((most / 2).saturating_add((most / 2).saturating_mul(share) / u64::from(u16::MAX)))
    }
}
