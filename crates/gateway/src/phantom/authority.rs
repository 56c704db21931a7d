//! One issuer as the gateway knows it: its specification, what is kept of its answers, its keys, its
//! feed. It outlives changes of configuration that do not concern it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base::Secret;
use base::peer::{Limits, SharedPeer};
use base::time::SharedClock;
use catalog::IssuerSpec;
use integration::TokenSource;
use jose::hash::Mac;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use super::NoFacts;
use super::cache::{AudienceId, AuthorityId, Cache, Entry, Key};
use super::discovery::Discovery;
use super::facts::Facts;
use super::feed;
use super::flight::Flights;
use super::introspect;
use super::keys::Keys;
use super::mint::Minter;
use super::watermarks::Watermarks;
use crate::limits::Book;
use crate::metrics::Metrics;

/// What every issuer needs of its surroundings.
#[derive(Clone)]
pub(crate) struct World {
    pub peer: SharedPeer,
    pub clock: SharedClock,
    pub runtime: Handle,
    pub minter: Arc<Minter>,
    pub metrics: Arc<Metrics>,
    /// The gateway's own, in the data folder.
    pub folder: PathBuf,
    pub book: Arc<Book>,
    /// Of the steps of compositions.
    pub tokens: TokenSource,
}

/// For whom a JWT is asked.
#[derive(Debug, Clone)]
pub(crate) struct Audience {
    pub id: AudienceId,
    pub name: Arc<str>,
}

/// Ends the feed when the last snapshot that uses the issuer is gone.
pub(crate) struct Authority {
    core: Arc<Core>,
    feed: Option<AbortHandle>,
}

pub(crate) struct Core {
    pub(super) id: AuthorityId,
    pub(super) name: Arc<str>,
    pub(super) spec: IssuerSpec,
    secret: Secret<String>,
    pub(super) algorithms: Vec<jose::Algorithm>,
    pub(super) peer: SharedPeer,
    pub(super) clock: SharedClock,
    runtime: Handle,
    pub(super) minter: Arc<Minter>,
    pub(super) metrics: Arc<Metrics>,
    mac: Mac,
    pub(super) cache: Cache,
    flights: Flights,
    permits: Arc<Semaphore>,
    pub(super) discovery: Discovery,
    pub(super) keys: Keys,
    pub(super) marks: Watermarks,
    /// Monotonic time at which the last good poll was sent, plus one; 0 = there was none.
    pub(super) heard_ms: AtomicU64,
    pub(super) max_ttl: Duration,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("name", &self.name).finish_non_exhaustive()
    }
}

/// How the facts were come by; for the log and the counters.
pub(crate) type How = &'static str;

impl Authority {
    pub fn start(name: &Arc<str>, spec: &IssuerSpec, secret: Secret<String>, world: &World) -> Self {
        let core = Arc::new(Core::new(name, spec, secret, world));
        let feed = core.has_feed().then(|| world.runtime.spawn(feed::follow(Arc::clone(&core))).abort_handle());
        Self { core, feed }
    }

    pub fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// Whether this is still what configuration says, so that nothing that is kept need be lost.
    pub fn is(&self, spec: &IssuerSpec, secret: &Secret<String>) -> bool {
        self.core.spec == *spec && base::secret::equal(self.core.secret.expose().as_bytes(), secret.expose().as_bytes())
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        if let Some(feed) = &self.feed {
            feed.abort();
        }
    }
}

const MAX_DOCUMENT_BYTES: usize = 512 * 1024;
const FLIGHTS_WHEN_REVOKED: usize = 3;

impl Core {
    pub(super) fn new(name: &Arc<str>, spec: &IssuerSpec, secret: Secret<String>, world: &World) -> Self {
        let introspection = spec.introspection.as_ref();
        let timeout = introspection.map_or(Duration::from_secs(5), |spec| spec.timeout.0);
        let limits = Limits { time: timeout, body_bytes: MAX_DOCUMENT_BYTES };
        let cache = introspection.map(|spec| spec.cache.clone()).unwrap_or_default();
        let jwks = spec.jwks.as_ref();
        let key_age = jwks.map_or(Duration::from_secs(900), |jwks| jwks.max_ttl.0);
        let permits = introspection.map_or(1_024, |spec| spec.max_concurrent);
        Self {
            id: AuthorityId::next(),
            name: Arc::clone(name),
            secret,
            algorithms: spec.algorithms.iter().map(|algorithm| algorithm_of(*algorithm)).collect(),
            peer: Arc::clone(&world.peer),
            clock: Arc::clone(&world.clock),
            runtime: world.runtime.clone(),
            minter: Arc::clone(&world.minter),
            metrics: Arc::clone(&world.metrics),
            mac: Mac::random(),
            cache: Cache::new(
                usize::try_from(cache.max_entries).unwrap_or(usize::MAX),
                !cache.negative_ttl.0.is_zero(),
            ),
            flights: Flights::default(),
            permits: Arc::new(Semaphore::new(usize::try_from(permits).unwrap_or(1_024))),
            discovery: Discovery::new(spec.issuer.as_str(), limits),
            keys: Keys::new(
                jwks.and_then(|jwks| jwks.uri.as_ref()).map(ToString::to_string),
                u64::try_from(key_age.as_millis()).unwrap_or(u64::MAX),
                limits,
            ),
            marks: Watermarks::default(),
            heard_ms: AtomicU64::new(0),
            max_ttl: cache.max_ttl.0,
            spec: spec.clone(),
        }
    }

    pub fn issuer(&self) -> &str {
        self.spec.issuer.as_str()
    }

    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(super) fn secret(&self) -> &Secret<String> {
        &self.secret
    }

    /// What is known of a token, for one audience. Never a verdict.
    pub async fn facts(self: &Arc<Self>, token: &str, audience: &Audience) -> (Result<Arc<Facts>, NoFacts>, How) {
        if !self.may_be_ours(token) {
            return (Err(NoFacts::Junk), "junk");
        }
        let key = self.key(token, audience);
        let was = match self.kept(&key) {
            Kept::Good(facts) => return (Ok(facts), "hit"),
            Kept::Past(client) => client,
        };
        let (answer, how) = self.without(key, token, audience, was).await;
        match answer {
            // Only the issuer's word counts; that it was revoked is said where we have heard it.
            Err(NoFacts::Inactive(_)) if self.cache.was_revoked(&key) => (Err(NoFacts::Revoked), "revoked"),
            other => (other, how),
        }
    }

    /// Where nothing good is kept of a token; whose it was, if it was known once.
    async fn without(
        self: &Arc<Self>,
        key: Key,
        token: &str,
        audience: &Audience,
        was: Option<Arc<str>>,
    ) -> (Result<Arc<Facts>, NoFacts>, How) {
        if self.cache.is_inactive(&key, self.clock.monotonic_ms()) {
            return (Err(NoFacts::Inactive("the issuer said so")), "negative");
        }
        for _ in 0..FLIGHTS_WHEN_REVOKED {
            match self.ask(key, token, audience).await {
                // Something was revoked while the question was under way; what it was about is asked again.
                Ok(entry) if entry.is_revoked(&self.marks) => self.cache.revoke(key),
                Ok(entry) => return (Ok(Arc::clone(&entry.facts)), "miss"),
                Err(error) => {
                    if let (NoFacts::Inactive(_), Some(client)) = (&error, was) {
                        self.cache.end(key, client);
                    }
                    return (Err(error), "miss");
                }
            }
        }
        (Err(NoFacts::Unavailable("revocations come in faster than answers")), "miss")
    }

    /// Whose a token was that is no longer active, if this gateway has known it. Nothing may be decided by it.
    pub fn former_client(&self, token: &str, audience: &Audience) -> Option<Arc<str>> {
        self.cache.former_client(&self.key(token, audience))
    }

    fn key(&self, token: &str, audience: &Audience) -> Key {
        Key { authority: self.id, audience: audience.id, token: self.mac.tag(token.as_bytes()) }
    }

    /// Whether the feed is near enough for answers to be kept; always so without a feed.
    pub fn hears_revocations(&self) -> bool {
        let Some(lag) = self.lag() else { return true };
        self.max_lag().is_none_or(|most| lag.is_some_and(|lag| lag <= most))
    }

    /// How far the feed is behind at most; `None`: there is no feed; `Some(None)`: nothing heard yet.
    pub fn lag(&self) -> Option<Option<Duration>> {
        self.max_lag()?;
        let heard = self.heard_ms.load(Ordering::Acquire).checked_sub(1);
        Some(heard.map(|heard| Duration::from_millis(self.clock.monotonic_ms().saturating_sub(heard))))
    }

    pub fn has_keys_or_metadata(&self) -> bool {
        self.discovery.known().is_some() || !self.keys.is_empty()
    }

    pub fn cached(&self) -> usize {
        self.cache.len()
    }

    fn has_feed(&self) -> bool {
        self.max_lag().is_some()
    }

    pub(super) fn max_lag(&self) -> Option<Duration> {
        self.spec.introspection.as_ref()?.revocations.as_ref().map(|revocations| revocations.max_lag.0)
    }

    fn kept(&self, key: &Key) -> Kept {
        let Some(entry) = self.cache.get(key) else { return Kept::Past(None) };
        let client = || entry.facts.client_id.clone();
        if !self.hears_revocations() {
            return Kept::Past(client());
        }
        if entry.is_revoked(&self.marks) {
            self.cache.revoke(*key);
            return Kept::Past(client());
        }
        if entry.is_current(self.clock.monotonic_ms(), self.clock.now()) {
            return Kept::Good(Arc::clone(&entry.facts));
        }
        self.cache.forget(key);
        Kept::Past(client())
    }

    /// The form of Cardea's handles can be tested here: junk costs the issuer nothing. A JWT (some
    /// clients get those as access tokens) is looked at before the question is sent.
    fn may_be_ours(&self, token: &str) -> bool {
        if is_jwt(token) {
            return true;
        }
        let Some(spec) = &self.spec.introspection else { return false };
        match &spec.token_prefix {
            Some(prefix) => base::handle::is_well_formed(prefix, token),
            None => {
                let known = self.discovery.known();
                let prefix = known.as_ref().and_then(|known| known.access_token_prefix.as_deref());
                prefix.is_none_or(|prefix| base::handle::is_well_formed(prefix, token))
            }
        }
    }

    /// Whether the form of the issuer's handles is known, so that other opaque tokens are junk.
    pub(super) fn knows_its_handles(&self) -> bool {
        let configured = self.spec.introspection.as_ref().is_some_and(|spec| spec.token_prefix.is_some());
        configured || self.discovery.known().is_some_and(|known| known.access_token_prefix.is_some())
    }

    async fn ask(self: &Arc<Self>, key: Key, token: &str, audience: &Audience) -> Result<Arc<Entry>, NoFacts> {
        self.flights
            .join(&self.runtime, key, || {
                let permit = Arc::clone(&self.permits).try_acquire_owned().ok()?;
                let (core, audience, token) = (Arc::clone(self), audience.clone(), Secret::from(token));
                Some(async move {
                    let _permit = permit;
                    let started = base::time::Stopwatch::start();
                    let answer = introspect::ask(&core, &token, &audience).await;
                    core.metrics.introspected(&core.name, outcome(&answer), started.elapsed());
                    if let Err(NoFacts::Unavailable(cause) | NoFacts::Untrusted(cause)) = &answer {
                        tracing::warn!(issuer = %core.name, cause, "no facts about a token");
                    }
                    core.keep(key, &answer);
                    answer
                })
            })
            .await
    }

    fn keep(&self, key: Key, answer: &Result<Arc<Entry>, NoFacts>) {
        match answer {
            Ok(entry) => self.cache.put(key, entry),
            Err(NoFacts::Inactive(_)) => {
                self.cache.forget(&key);
                let ttl = self.spec.introspection.as_ref().map_or(Duration::ZERO, |spec| spec.cache.negative_ttl.0);
                let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(0);
                self.cache.put_inactive(key, self.clock.monotonic_ms().saturating_add(ttl_ms));
            }
            Err(_) => {}
        }
    }
}

/// What is kept of a token.
enum Kept {
    Good(Arc<Facts>),
    /// Nothing that holds; and whose it was, if that was known.
    Past(Option<Arc<str>>),
}

pub(super) fn is_jwt(token: &str) -> bool {
    token.bytes().filter(|byte| *byte == b'.').count() == 2
}

fn outcome(answer: &Result<Arc<Entry>, NoFacts>) -> &'static str {
    match answer {
        Ok(_) => "active",
        Err(NoFacts::Inactive(_) | NoFacts::Revoked | NoFacts::Junk) => "inactive",
        Err(NoFacts::Bound) => "bound",
        Err(NoFacts::Busy) => "busy",
        Err(NoFacts::Unavailable(_)) => "unavailable",
        Err(NoFacts::Untrusted(_)) => "untrusted",
        Err(NoFacts::Refused) => "refused",
    }
}

fn algorithm_of(algorithm: catalog::Algorithm) -> jose::Algorithm {
    match algorithm {
        catalog::Algorithm::ES256 => jose::Algorithm::Es256,
        catalog::Algorithm::EdDSA => jose::Algorithm::EdDsa,
        catalog::Algorithm::RS256 => jose::Algorithm::Rs256,
        catalog::Algorithm::PS256 => jose::Algorithm::Ps256,
    }
}
