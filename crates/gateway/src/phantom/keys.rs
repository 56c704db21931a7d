//! The issuer's keys (RFC 7517): fetched when needed, fetched again when a token names an unknown one,
//! at most once per cool-down; the last good set is kept when the issuer is away (R28).

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};

use arc_swap::ArcSwap;
use base::peer::Limits;
use jose::{Expected, KeySet, Rejected, Verified};
use tokio::sync::Mutex;

use super::NoFacts;
use super::authority::Core;
use super::discovery;

pub(crate) struct Keys {
    /// Where configuration says that they are; else the metadata does.
    uri: Option<String>,
    max_age_ms: u64,
    limits: Limits,
    set: ArcSwap<KeySet>,
    fetched: Mutex<Fetched>,
    /// Killed by an event; a set that still has them does not bring them back.
    dead: RwLock<HashSet<String>>,
}

#[derive(Default)]
struct Fetched {
    tried_ms: Option<u64>,
    got_ms: Option<u64>,
    /// When a token named a key that was not there. Counted apart: the first such token after a
    /// fetch is most likely signed by a key that is new, and only more of them are likely made up.
    missed_ms: Option<u64>,
}

const COOL_DOWN_MS: u64 = 5_000;

impl Keys {
    pub fn new(uri: Option<String>, max_age_ms: u64, limits: Limits) -> Self {
        Self {
            uri,
            max_age_ms,
            limits,
            set: ArcSwap::from_pointee(KeySet::default()),
            fetched: Mutex::default(),
            dead: RwLock::default(),
        }
    }

    /// The claims of a token that one of the issuer's keys has signed. `Ok(Err(…))`: it is not that.
    pub async fn verify(
        &self,
        core: &Core,
        token: &str,
        expected: &Expected<'_>,
    ) -> Result<Result<Verified, Rejected>, NoFacts> {
        self.refresh(core, false).await.or_else(|error| if self.is_empty() { Err(error) } else { Ok(()) })?;
        let set = self.set.load_full();
        let first = set.verify(token, expected);
        if !matches!(first, Err(Rejected::UnknownKey { .. })) {
            return Ok(first);
        }
        if self.refresh(core, true).await.is_err() {
            return Ok(first);
        }
        let again = self.set.load_full();
        if Arc::ptr_eq(&set, &again) { Ok(first) } else { Ok(again.verify(token, expected)) }
    }

    /// A key is dead from now on.
    pub fn kill(&self, kid: &str) {
        self.dead.write().unwrap_or_else(PoisonError::into_inner).insert(kid.to_owned());
        self.set.rcu(|set| set.without(kid));
    }

    /// Fetches at the next use, whatever the cool-down says.
    pub async fn expire(&self) {
        *self.fetched.lock().await = Fetched::default();
    }

    pub fn is_empty(&self) -> bool {
        self.set.load().is_empty()
    }

    /// Fetches the set if there is none, if it is old, or if one key is `missing`.
    async fn refresh(&self, core: &Core, missing: bool) -> Result<(), NoFacts> {
        let before = self.set.load_full();
        let mut fetched = if missing || before.is_empty() {
            self.fetched.lock().await
        } else {
            // Somebody fetches already; until then the keys that are there will do.
            match self.fetched.try_lock() {
                Ok(fetched) => fetched,
                Err(_) => return Ok(()),
            }
        };
        let now = core.clock.monotonic_ms();
        let fresh = fetched.got_ms.is_some_and(|got| now.saturating_sub(got) < self.max_age_ms);
        if fresh && !missing {
            return Ok(());
        }
        // Somebody else has fetched while we waited, or has just tried.
        if !Arc::ptr_eq(&before, &self.set.load_full()) {
            return Ok(());
        }
        let last = if missing && fresh { fetched.missed_ms } else { fetched.tried_ms };
        if last.is_some_and(|last| now.saturating_sub(last) < COOL_DOWN_MS) {
            return Err(NoFacts::Unavailable("the issuer's keys cannot be fetched"));
        }
        fetched.tried_ms = Some(now);
        if missing {
            fetched.missed_ms = Some(now);
        }
        let uri = match &self.uri {
            Some(uri) => uri.clone(),
            None => {
                let metadata = core.discovery.metadata(&core.peer, &core.clock).await?;
                metadata.jwks_uri.clone().ok_or(NoFacts::Untrusted("the metadata names no `jwks_uri`"))?
            }
        };
        let body = discovery::get(&core.peer, &uri, self.limits).await?;
        let mut set = KeySet::parse(&body).map_err(|_| NoFacts::Untrusted("the issuer's keys cannot be read"))?;
        for kid in self.dead.read().unwrap_or_else(PoisonError::into_inner).iter() {
            set = set.without(kid);
        }
        fetched.got_ms = Some(core.clock.monotonic_ms());
        self.set.store(Arc::new(set));
        Ok(())
    }
}
