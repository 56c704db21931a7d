//! Publication: the policies in force and the entities, for those who decide in their own process.
//!
//! `GET` with `If-None-Match` answers 304 while nothing has changed. With `wait` it answers as soon as
//! something has, so that a change is in force everywhere at once and nobody asks in a loop.

pub mod http;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use crate::SharedEntitlement;
use crate::error::Refused;
use crate::live::Live;

/// The longest wait that is granted.
pub const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The snapshot, or `None` if it still has the tag `known` when the time is over.
pub async fn fetch(
    entitlement: &SharedEntitlement,
    known: Option<&str>,
    wait: Duration,
) -> Result<Option<Arc<Live>>, Refused> {
    let mut counter = entitlement.live.watch();
    let changed = async {
        loop {
            counter.mark_unchanged();
            let live = entitlement.live.get(entitlement).await?;
            if known.is_none_or(|known| !matches(known, &live.etag)) {
                return Ok(live);
            }
            if counter.changed().await.is_err() {
                return Err(Refused::Conflict("the service is stopping"));
            }
        }
    };
    if wait.is_zero() {
        let live = entitlement.live.get(entitlement).await?;
        return Ok(known.is_none_or(|known| !matches(known, &live.etag)).then_some(live));
    }
    match tokio::time::timeout(wait.min(LONGEST_WAIT), changed).await {
        Ok(result) => result.map(Some),
        Err(_) => Ok(None),
    }
}

/// `If-None-Match` (RFC 9110 §13.1.2): one of the tags, compared weakly, or `*`.
fn matches(known: &str, etag: &str) -> bool {
    known.split(',').map(str::trim).any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == etag)
}
