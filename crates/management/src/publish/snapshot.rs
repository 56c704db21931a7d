//! The snapshot as bytes, made once for each number.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use catalog::published::Published;
use serde_json::Value;

use super::{assemble, in_force, store};
use crate::cx::Cx;
use crate::error::Refused;
use crate::registry::value;
use crate::subscriptions;

/// The last one that was made.
#[derive(Debug, Default)]
pub struct Publications {
    snapshot: Mutex<Option<(u64, Arc<Snapshot>)>>,
    catalogue: Mutex<Option<(u64, Bytes)>>,
}

impl Publications {
    /// The catalogue for programs, if it was made of what this number stands for.
    pub(crate) fn catalogue(&self, version: u64) -> Option<Bytes> {
        let kept = self.catalogue.lock().unwrap_or_else(PoisonError::into_inner);
        kept.as_ref().filter(|(number, _)| *number == version).map(|(_, bytes)| bytes.clone())
    }

    pub(crate) fn keep_catalogue(&self, version: u64, bytes: &Bytes) {
        *self.catalogue.lock().unwrap_or_else(PoisonError::into_inner) = Some((version, bytes.clone()));
    }
}

#[derive(Debug)]
pub struct Snapshot {
    pub published: Published,
    pub bytes: Bytes,
}

/// A reader that is overtaken so often takes its turn with the writers.
const TRIES: usize = 4;

/// What gateways are given now.
pub async fn current(cx: &mut Cx) -> Result<Arc<Snapshot>, Refused> {
    for attempt in 0..TRIES {
        if attempt + 1 == TRIES {
            store::hold(cx).await?;
        }
        let before = store::publication(cx).await?.version;
        if let Some(kept) = kept(cx, before) {
            return Ok(kept);
        }
        let resources = assemble(cx, None).await?;
        let subscriptions = in_force(subscriptions::published(cx).await?, &resources);
        // Each statement sees what is committed at its moment; the same number again says that it was one moment.
        if store::publication(cx).await?.version != before {
            continue;
        }
        let published = Published { version: before, resources, subscriptions };
        let bytes =
            Bytes::from(serde_json::to_vec(&published).unwrap_or_else(|_| Value::Null.to_string().into_bytes()));
        let snapshot = Arc::new(Snapshot { published, bytes });
        keep(cx, &snapshot);
        return Ok(snapshot);
    }
    Err(Refused::Conflict("what is published changes all the time; try again".to_owned()))
}

fn kept(cx: &Cx, version: u64) -> Option<Arc<Snapshot>> {
    let kept = cx.management.publications.snapshot.lock().unwrap_or_else(PoisonError::into_inner);
    kept.as_ref().filter(|(number, _)| *number == version).map(|(_, snapshot)| Arc::clone(snapshot))
}

fn keep(cx: &Cx, snapshot: &Arc<Snapshot>) {
    let mut kept = cx.management.publications.snapshot.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.as_ref().is_none_or(|(number, _)| *number < snapshot.published.version) {
        *kept = Some((snapshot.published.version, Arc::clone(snapshot)));
    }
}

impl Snapshot {
    pub fn etag(&self) -> String {
        format!("\"{}\"", self.published.version)
    }

    /// How much there is of a kind.
    pub fn count(&self, kind: &str) -> Value {
        match kind {
            "Subscription" => value(&self.published.subscriptions.len()),
            kind => super::count(&self.published.resources, kind),
        }
    }
}
