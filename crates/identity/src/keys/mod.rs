//! Signing keys and their life: announced → active → retired → removed, by schedule and by command.
//!
//! An announced key stands in the JWKS before it signs, so that every verifier knows it by then; a retired
//! one stays until nothing it signed is alive. Both moments are written when the successor is made, so a
//! key's state follows from its row and the time, the same on every node. Private keys are sealed at rest
//! and wiped from their row once they no longer sign. A killed key leaves the JWKS at once.

mod http;
mod plan;
mod store;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use ::store::{Db, StoreError};
use base::Time;
use base::event::Revoked;
use base::ids::KeyId;
use jose::{Algorithm, KeySet, SigningKey};
use serde_json::{Value, json};

pub use http::routes;
pub use plan::State;

use crate::audit::{self, Act};
use crate::error::{OAuthError, server_error};
use crate::watched::Watched;
use crate::{Cx, Identity, events};

const TOPIC: &str = "keys";

/// A key, as far as everybody may know.
#[derive(Debug, Clone)]
pub struct KeyInfo {
    pub kid: KeyId,
    pub algorithm: Algorithm,
    pub generation: i64,
    pub public_jwk: Value,
    pub announced_at: Time,
    pub active_at: Time,
    pub retired_at: Option<Time>,
    pub removed_at: Option<Time>,
    pub killed_at: Option<Time>,
}

struct RingKey {
    info: KeyInfo,
    /// None once it no longer signs.
    signing: Option<SigningKey>,
}

/// All keys that still matter, in memory.
pub struct Ring {
    keys: Vec<Arc<RingKey>>,
    verifying: KeySet,
}

pub struct KeyRing(Watched<Ring>);

impl KeyRing {
    pub fn new(db: &Db) -> Self {
        Self(Watched::new(db, TOPIC))
    }

    pub fn forget(&self) {
        self.0.forget();
    }
}

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Jose(#[from] jose::JoseError),
    #[error("there is no such key, or it was killed before")]
    NotFound,
}

/// The ring as the database has it now.
pub async fn ring(identity: &Identity) -> Result<Arc<Ring>, StoreError> {
    let seal = &identity.key_seal;
    let now = identity.clock.now();
    identity.keys.0.get(&identity.db, |tx| store::load(tx, seal, now)).await
}

impl Ring {
    /// The key that signs now: for this algorithm, or for the first configured one.
    pub fn signer(&self, identity: &Identity, algorithm: Option<Algorithm>) -> Result<&SigningKey, OAuthError> {
        let now = identity.clock.now();
        let algorithm = algorithm.or(identity.config.keys.algorithms.first().copied()).unwrap_or_default();
        let active =
            |key: &&Arc<RingKey>| key.info.algorithm == algorithm && plan::state(&key.info, now) == State::Active;
        let newest = self.keys.iter().filter(active).max_by_key(|key| key.info.active_at);
        newest
            .and_then(|key| key.signing.as_ref())
            .ok_or_else(|| server_error("the service has no key to sign with").cause(algorithm))
    }

    /// The JWK set of this moment (RFC 7517 §5).
    pub fn jwks(&self, now: Time) -> Value {
        let published = |key: &&Arc<RingKey>| plan::is_published(&key.info, now);
        let keys: Vec<&Value> = self.keys.iter().filter(published).map(|key| &key.info.public_jwk).collect();
        json!({"keys": keys})
    }

    /// Verifies what this system signed itself (JWT access tokens, `id_token_hint`).
    pub fn verifying(&self) -> &KeySet {
        &self.verifying
    }
}

/// Makes the keys that the schedule asks for, and wipes private keys that no longer sign. To be run at
/// start and each minute, on any number of nodes.
pub async fn tick(cx: &mut Cx) -> Result<(), KeyError> {
    for (key, planned) in make_due(cx).await? {
        insert(cx, key, planned).await?;
    }
    if store::wipe(cx).await? > 0 {
        cx.tx.notify(TOPIC);
    }
    Ok(())
}

/// All of them before the first write, since RSA keys take a while: nobody waits for the transaction meanwhile.
async fn make_due(cx: &mut Cx) -> Result<Vec<(SigningKey, plan::Planned)>, KeyError> {
    let mut made = Vec::new();
    for algorithm in cx.identity.config.keys.algorithms.clone() {
        let keys = store::of_algorithm(cx, algorithm).await?;
        if let Some(planned) = plan::due(&keys, &cx.identity.config.keys, cx.now) {
            made.push((generate(algorithm).await?, planned));
        }
    }
    Ok(made)
}

/// When the key of a rotation by command takes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakesOver {
    /// After it was announced for as long as the schedule says.
    Announced,
    /// At once; verifiers that keep a JWKS fetch it again when they meet an unknown `kid`.
    AtOnce,
}

/// Makes a successor now. None if another node made it at the same moment.
pub async fn rotate(cx: &mut Cx, algorithm: Algorithm, takes_over: TakesOver) -> Result<Option<KeyId>, KeyError> {
    let keys = store::of_algorithm(cx, algorithm).await?;
    let active_at = match takes_over {
        TakesOver::Announced => cx.now.plus(cx.identity.config.keys.announce),
        TakesOver::AtOnce => cx.now,
    };
    let key = generate(algorithm).await?;
    insert(cx, key, plan::Planned { generation: plan::next_generation(&keys), active_at }).await
}

/// Takes a key out of the JWKS at once and for ever; if it was signing, its successor signs from now on.
pub async fn kill(cx: &mut Cx, kid: &KeyId) -> Result<(), KeyError> {
    let Some(dying) = store::find(cx, kid).await? else {
        return Err(KeyError::NotFound);
    };
    let others = store::of_algorithm(cx, dying.algorithm).await?;
    let now = cx.now;
    let survives = |key: &&KeyInfo| key.kid != *kid && plan::may_still_sign(key, now);
    let successor = others.iter().filter(survives).min_by_key(|key| key.active_at).cloned();
    // Generated before the first write, since it takes a while.
    let fresh = if successor.is_none() { Some(generate(dying.algorithm).await?) } else { None };

    if !store::kill(cx, kid).await? {
        return Err(KeyError::NotFound);
    }
    if let Some(successor) = successor.filter(|key| key.active_at > cx.now)
        && plan::state(&dying, cx.now) == State::Active
    {
        store::activate_now(cx, &successor.kid).await?;
    }
    if let Some(active) = others.iter().filter(survives).find(|key| key.retired_at.is_some())
        && plan::state(&dying, cx.now) == State::Announced
    {
        // It was to retire for the sake of the one that is gone.
        store::keep_on(cx, &active.kid).await?;
    }
    if let Some(fresh) = fresh {
        let planned = plan::Planned { generation: plan::next_generation(&others), active_at: cx.now };
        insert(cx, fresh, planned).await?;
    }
    let record = audit::Record { object: Some(kid.to_string()), ..audit::Record::default() };
    audit::record(cx, Act::KeyKilled, record).await?;
    events::append(cx, Revoked::Key(kid.to_string()), "key killed").await?;
    cx.tx.notify(TOPIC);
    Ok(())
}

pub async fn list(cx: &mut Cx) -> Result<Vec<KeyInfo>, StoreError> {
    store::list(cx).await
}

impl KeyInfo {
    pub fn state(&self, now: Time) -> State {
        plan::state(self, now)
    }
}

/// RSA keys take long to find: not on the threads that answer requests.
async fn generate(algorithm: Algorithm) -> Result<SigningKey, KeyError> {
    let made = tokio::task::spawn_blocking(move || SigningKey::generate(algorithm)).await;
    Ok(made.unwrap_or(Err(jose::JoseError::Failed))?)
}

async fn insert(cx: &mut Cx, key: SigningKey, planned: plan::Planned) -> Result<Option<KeyId>, KeyError> {
    let kid = KeyId(key.kid().to_owned());
    if !store::insert(cx, &key, planned).await? {
        return Ok(None);
    }
    store::retire_before(cx, key.algorithm(), planned, lifetime_after(&cx.identity)).await?;
    let record = audit::Record {
        object: Some(kid.to_string()),
        detail: json!({"algorithm": key.algorithm(), "active_at": planned.active_at}),
        ..audit::Record::default()
    };
    audit::record(cx, Act::KeyCreated, record).await?;
    cx.tx.notify(TOPIC);
    Ok(Some(kid))
}

/// How long a retired key stays in the JWKS: as scheduled, and never less than what it signed may live.
fn lifetime_after(identity: &Identity) -> Duration {
    let lifetimes = identity.config.lifetimes;
    let longest = lifetimes.access_token.max(lifetimes.id_token).max(lifetimes.inner_token);
    identity.config.keys.retire.max(longest.saturating_add(Duration::from_secs(300)))
}
