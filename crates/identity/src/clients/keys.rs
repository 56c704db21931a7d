//! The public keys of clients: part of their documents, or published at an address of theirs.
//!
//! What is published is fetched through the egress filter, within limits, and kept. A key that is not among the kept
//! ones is a reason to ask again, but not more often than the cool-down: anybody can name a key that does not exist.

use std::sync::Arc;
use std::time::Duration;

use base::peer::Limits;
use bytes::Bytes;
use http::{Request, StatusCode, header};
use jose::KeySet;
use quick_cache::sync::Cache;
use tokio::sync::Mutex;

use crate::Identity;

const LIMITS: Limits = Limits { time: Duration::from_secs(5), body_bytes: 64 * 1024 };
const KEPT: usize = 1000;
/// After this time what is kept is asked for anew, …
const FRESH_MS: u64 = 10 * 60 * 1000;
/// … and if there is no answer, it is used no longer than this.
const STALE_MS: u64 = 24 * 3600 * 1000;
/// Between two questions to one address.
const COOL_DOWN_MS: u64 = 30 * 1000;

/// Why there are no keys: an outage, not a denial.
#[derive(Debug, thiserror::Error)]
#[error("the client's keys cannot be fetched")]
pub(crate) struct NoKeys;

/// What clients publish, by address.
pub struct PublishedKeys(Cache<String, Arc<Mutex<Kept>>>);

#[derive(Default)]
struct Kept {
    keys: Option<(KeySet, u64)>,
    asked_at: Option<u64>,
}

impl Default for PublishedKeys {
    fn default() -> Self {
        Self(Cache::new(KEPT))
    }
}

/// The keys at an address. `unknown`: a key is named that is not among the kept ones.
pub(crate) async fn published(identity: &Identity, uri: &str, unknown: bool) -> Result<KeySet, NoKeys> {
    let made: Result<_, NoKeys> = identity.published_keys.0.get_or_insert_with(uri, || Ok(Arc::default()));
    let kept = made?;
    // Held while asking, so that one question is on its way at a time.
    let mut kept = kept.lock().await;
    let now = identity.clock.monotonic_ms();
    let age = kept.keys.as_ref().map(|(_, at)| now.saturating_sub(*at));
    let cool = kept.asked_at.is_none_or(|at| now.saturating_sub(at) >= COOL_DOWN_MS);
    if cool && (unknown || age.is_none_or(|age| age >= FRESH_MS)) {
        kept.asked_at = Some(now);
        if let Some(keys) = fetch(identity, uri).await {
            kept.keys = Some((keys, now));
        }
    }
    let usable = kept.keys.as_ref().filter(|(_, at)| now.saturating_sub(*at) < STALE_MS);
    usable.map(|(keys, _)| keys.clone()).ok_or(NoKeys)
}

async fn fetch(identity: &Identity, uri: &str) -> Option<KeySet> {
    let request = Request::get(uri).header(header::ACCEPT, "application/json").body(Bytes::new()).ok()?;
    let answer = match identity.config.peers.egress.call(request, LIMITS).await {
        Ok(answer) if answer.status() == StatusCode::OK => answer,
        Ok(answer) => {
            tracing::warn!(url = uri, status = answer.status().as_u16(), "a client's keys cannot be fetched");
            return None;
        }
        Err(error) => {
            tracing::warn!(url = uri, cause = %error, "a client's keys cannot be fetched");
            return None;
        }
    };
    let keys = KeySet::parse(answer.body()).ok();
    if keys.is_none() {
        tracing::warn!(url = uri, "a client publishes something that is no JWK set");
    }
    keys
}
