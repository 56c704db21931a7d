//! Follows what management publishes: one long poll after the other, beside the data path. A new version is
//! compiled together with the gateway's own resources; one that is not good is refused whole, told to
//! management, and tried again when the gateway's own resources change.

use std::sync::{Arc, Weak};
use std::time::Duration;

use base::time::Stopwatch;
use catalog::Fault;
use catalog::published::Published;

use crate::loader::Loader;
use crate::management::{Backoff, Management, NoAnswer, version_of};

/// What management may wait with its answer.
const WAIT: Duration = Duration::from_secs(30);
/// A server that answers at once that there is nothing new is not asked more often than this.
const AT_LEAST: Duration = Duration::from_millis(500);

pub(crate) async fn follow(loader: Weak<Loader>, management: Arc<Management>) {
    let mut backoff = Backoff::default();
    let mut known = {
        let Some(loader) = loader.upgrade() else { return };
        let version = loader.published().version;
        let known = (version > 0).then_some(version);
        management.stand(|standing| standing.serving = known);
        known
    };
    let mut refused = None;
    loop {
        let asked = Stopwatch::start();
        let answer = management.snapshot(known, WAIT).await;
        let Some(loader) = loader.upgrade() else { return };
        let new = answer.and_then(|answer| answer.map(|answer| read(&answer)).transpose());
        match new {
            Ok(Some(published)) => {
                backoff.reset();
                known = Some(published.version);
                refused = take(&loader, &management, published).await;
            }
            Ok(None) => {
                backoff.reset();
                refused = again(&loader, &management, refused).await;
                drop(loader);
                tokio::time::sleep(AT_LEAST.saturating_sub(asked.elapsed())).await;
            }
            Err(error) => {
                tracing::warn!(cause = %error, "what management has published cannot be fetched; what was good goes on");
                drop(loader);
                tokio::time::sleep(backoff.next()).await;
            }
        }
    }
}

fn read(answer: &http::Response<bytes::Bytes>) -> Result<Published, NoAnswer> {
    let published: Published = serde_json::from_slice(answer.body()).map_err(|_| NoAnswer::Unreadable)?;
    // The version is named twice; a cache between that mixes answers up is found here.
    let same = version_of(answer).is_none_or(|version| version == published.version);
    if same { Ok(published) } else { Err(NoAnswer::Unreadable) }
}

/// A version that is refused, and the set of resources that it was refused with.
struct Refused {
    published: Published,
    with: Option<u64>,
}

async fn take(loader: &Arc<Loader>, management: &Management, published: Published) -> Option<Refused> {
    let version = published.version;
    let served = loader.published().version;
    if version < served {
        // What was taken away since would be there again: a subscription that ended, a route that let too much pass.
        let text = format!(
            "version {version} is older than version {served}, which goes on being served; if management was restored \
             from a backup, publish until its version is higher, or stop this gateway, remove `{}` and start it",
            loader.published_file().display()
        );
        tracing::error!(published.version = version, "{text}");
        management.stand(|standing| standing.refused = Some(text));
        return None;
    }
    let with = loader.live().as_ref().map(|live| live.version.number);
    let result = {
        let (loader, published) = (Arc::clone(loader), published.clone());
        tokio::task::spawn_blocking(move || loader.publish(published)).await
    };
    match result.ok()? {
        Ok(_) => {
            tracing::info!(published.version = version, "what management has published is served");
            management.stand(|standing| {
                standing.serving = Some(version);
                standing.refused = None;
            });
            None
        }
        Err(faults) => {
            for fault in &faults {
                tracing::error!(published.version = version, cause = %fault, "what management has published is refused");
            }
            management.stand(|standing| standing.refused = Some(reason(version, &faults)));
            Some(Refused { published, with })
        }
    }
}

/// The fault may have been in the gateway's own resources.
async fn again(loader: &Arc<Loader>, management: &Management, refused: Option<Refused>) -> Option<Refused> {
    let refused = refused?;
    if loader.live().as_ref().map(|live| live.version.number) == refused.with {
        return Some(refused);
    }
    take(loader, management, refused.published).await
}

/// For management's page: short, with the first faults.
fn reason(version: u64, faults: &[Fault]) -> String {
    const SHOWN: usize = 5;
    let mut text = format!("version {version} is refused");
    for fault in faults.iter().take(SHOWN) {
        text.push_str("; ");
        text.push_str(&fault.to_string());
    }
    if faults.len() > SHOWN {
        text.push_str("; and others");
    }
    text
}
