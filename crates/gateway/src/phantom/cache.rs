//! Facts that are kept, and "not active" that is kept, each bounded.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use base::Time;
use quick_cache::sync::Cache as Bounded;

use super::Facts;
use super::watermarks::Watermarks;

/// An issuer together with one endpoint and one set of credentials: another is another id, also after
/// a change of configuration. Ids are never given twice in a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct AuthorityId(u64);

impl AuthorityId {
    pub fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// An audience for which JWTs are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct AudienceId(u64);

impl AudienceId {
    /// The same id for the same text, for as long as the process lives.
    pub fn of(audience: &str) -> Self {
        static KNOWN: Mutex<Option<HashMap<Box<str>, u64>>> = Mutex::new(None);
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.get_or_insert_default();
        let next = u64::try_from(known.len()).unwrap_or(u64::MAX);
        Self(*known.entry(audience.into()).or_insert(next))
    }
}

/// No text is put together here, so that no two keys can be made alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub authority: AuthorityId,
    pub audience: AudienceId,
    /// HMAC-SHA256 of the token under a key of this process.
    pub token: [u8; 32],
}

/// Facts with how long and under which events they hold.
#[derive(Debug)]
pub(crate) struct Entry {
    pub facts: Arc<Facts>,
    /// Monotonic time until which they may be used again; `None` = not at all (`no-store`).
    pub until_ms: Option<u64>,
    /// The count of revocations when the question was sent.
    pub asked_at: u64,
    /// The count of revocations up to which the facts have been compared.
    pub checked: AtomicU64,
}

impl Entry {
    pub fn is_current(&self, monotonic_ms: u64, now: Time) -> bool {
        self.until_ms.is_some_and(|until| monotonic_ms < until)
            && self.facts.expires.is_none_or(|expires| now < expires)
    }

    /// Whether a revocation has come in since the question that means this token. One comparison of
    /// numbers where no revocation has come in at all.
    pub fn is_revoked(&self, marks: &Watermarks) -> bool {
        let count = marks.count();
        if self.checked.load(Ordering::Acquire) == count {
            return false;
        }
        if marks.is_dead(self.asked_at, &self.facts.subjects) {
            return true;
        }
        self.checked.store(count, Ordering::Release);
        false
    }
}

pub(crate) struct Cache {
    facts: Bounded<Key, Arc<Entry>>,
    inactive: Option<Bounded<Key, u64>>,
    /// Whose tokens were that are no longer active: so that those may find their calls. It lets nobody in.
    ended: Bounded<Key, Arc<str>>,
    /// Tokens that a revocation meant while we knew them. Nothing is decided by it: what is revoked may be given back.
    revoked: Bounded<Key, ()>,
}

/// Tokens that have ended, of which it is remembered whose they were, and whether by a revocation.
const ENDED: usize = 10_000;

impl Cache {
    /// `inactive`: whether "not active" is kept too.
    pub fn new(entries: usize, inactive: bool) -> Self {
        Self {
            facts: Bounded::new(entries.max(1)),
            inactive: inactive.then(|| Bounded::new((entries / 4).clamp(1, 50_000))),
            ended: Bounded::new(ENDED),
            revoked: Bounded::new(ENDED),
        }
    }

    /// The client that had this token, as long as it was active here.
    pub fn former_client(&self, key: &Key) -> Option<Arc<str>> {
        self.ended.get(key)
    }

    pub fn end(&self, key: Key, client: Arc<str>) {
        self.ended.insert(key, client);
    }

    pub fn get(&self, key: &Key) -> Option<Arc<Entry>> {
        self.facts.get(key)
    }

    pub fn put(&self, key: Key, entry: &Arc<Entry>) {
        if entry.until_ms.is_some() {
            self.facts.insert(key, Arc::clone(entry));
        } else {
            self.facts.remove(&key);
        }
    }

    pub fn forget(&self, key: &Key) {
        self.facts.remove(key);
    }

    pub fn revoke(&self, key: Key) {
        self.facts.remove(&key);
        self.revoked.insert(key, ());
    }

    pub fn was_revoked(&self, key: &Key) -> bool {
        self.revoked.get(key).is_some()
    }

    pub fn is_inactive(&self, key: &Key, monotonic_ms: u64) -> bool {
        let Some(inactive) = &self.inactive else { return false };
        inactive.get(key).is_some_and(|until| monotonic_ms < until)
    }

    pub fn put_inactive(&self, key: Key, until_ms: u64) {
        if let Some(inactive) = &self.inactive {
            inactive.insert(key, until_ms);
        }
    }

    pub fn clear(&self) {
        self.facts.clear();
    }

    pub fn len(&self) -> usize {
        self.facts.len()
    }
}
