//! Access tokens of people: asked about at the issuer (RFC 7662), with our own client's credentials.
//!
//! Facts about a token are kept for a moment, never a verdict: audience, scope and memberships are looked at with
//! each request. A token that is not meant for us is no credential here, whatever it may be elsewhere.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base::handle;
use http::StatusCode;
use jose::hash::Mac;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Semaphore;

use super::store;
use crate::actor::Actor;
use crate::cx::Cx;
use crate::error::Refused;
use crate::{Management, SharedManagement, people};

/// The scope of tokens that this interface takes.
pub(crate) const SCOPE: &str = "management";

/// How long a revoked token may still be taken.
const FACTS_MS: u64 = 30_000;
const MOST_FACTS: usize = 4_096;
/// Questions to the identity system that are under way at a time, and how long one more waits for its turn.
const MOST_AT_ONCE: usize = 32;
const PATIENCE: Duration = Duration::from_secs(2);

/// What is known of tokens, by their keyed hash.
pub(crate) struct Tokens {
    mac: Mac,
    facts: Mutex<HashMap<[u8; 32], (Facts, u64)>>,
    /// Anybody may send any token: the identity system is not asked by more at once than it bears.
    room: Semaphore,
}

#[derive(Debug, Clone)]
struct Facts {
    subject: String,
    /// It was given to a client for itself.
    is_machine: bool,
    audiences: Vec<String>,
    scopes: Vec<String>,
    /// NumericDate.
    expires: Option<i64>,
}

#[derive(Deserialize)]
struct Introspected {
    active: bool,
    #[serde(default)]
    iss: Option<String>,
    #[serde(default)]
    sub: Option<String>,
    #[serde(default)]
    client_id: Option<String>,
    /// `client`: a client whose token another client has exchanged.
    #[serde(default)]
    sub_kind: Option<String>,
    #[serde(default)]
    aud: Value,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    exp: Option<i64>,
}

impl Tokens {
    pub fn new(mac: Mac) -> Self {
        Self { mac, facts: Mutex::default(), room: Semaphore::new(MOST_AT_ONCE) }
    }

    /// Something was revoked; what, the identity system says when it is asked again.
    pub fn forget(&self) {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn known(&self, hash: &[u8; 32], now: u64) -> Option<Facts> {
        let facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        facts.get(hash).filter(|(_, until)| *until > now).map(|(facts, _)| facts.clone())
    }

    fn keep(&self, hash: [u8; 32], found: &Facts, now: u64) {
        let mut facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        if facts.len() >= MOST_FACTS {
            facts.retain(|_, (_, until)| *until > now);
        }
        if facts.len() < MOST_FACTS {
            facts.insert(hash, (found.clone(), now + FACTS_MS));
        }
    }
}

/// Who holds this token.
pub(crate) async fn authenticate(management: &SharedManagement, token: &str) -> Result<Actor, Refused> {
    if token.is_empty() || token.len() > 8_192 || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Refused::Unauthenticated);
    }
    if !may_be_access_token(token) {
        return Err(Refused::Unauthenticated);
    }
    let config = &management.config;
    let hash = management.tokens.mac.tag(token.as_bytes());
    let facts = match management.tokens.known(&hash, management.clock.monotonic_ms()) {
        Some(facts) => facts,
        None => {
            let asking = tokio::time::timeout(PATIENCE, management.tokens.room.acquire()).await;
            let Ok(Ok(_turn)) = asking else {
                return Err(Refused::Upstream("the identity system is asked too much at once; try again".to_owned()));
            };
            let facts = introspect(management, token).await?.ok_or(Refused::Unauthenticated)?;
            management.tokens.keep(hash, &facts, management.clock.monotonic_ms());
            facts
        }
    };
    let over = facts.expires.is_some_and(|expires| management.clock.now().seconds() >= expires);
    let meant_for_us = facts.audiences.iter().any(|audience| audience.trim_end_matches('/') == config.url);
    if over || !meant_for_us {
        return Err(Refused::Unauthenticated);
    }
    // A program that is known by the same word as a person is not that person (RFC 9068 §5).
    if facts.is_machine {
        return Err(Refused::NoRight);
    }
    if !facts.scopes.iter().any(|scope| scope == SCOPE) {
        return Err(Refused::NoRight);
    }
    let mut cx = Cx::system(management);
    let id = store::person(&mut cx, &config.issuer, &facts.subject).await?.ok_or(Refused::NoRight)?;
    let person = people::person(&mut cx, &id).await?;
    // Somebody of whom we have never heard: a client by itself, or a person who has not logged in here yet.
    person.map(Actor::Person).ok_or(Refused::NoRight)
}

/// Other credentials of ours are sent nowhere, whatever they were sent here for; junk in the form of ours neither.
fn may_be_access_token(token: &str) -> bool {
    const OTHERS: [&str; 6] = [
        handle::REFRESH_TOKEN,
        handle::CODE,
        handle::CLIENT_SECRET,
        handle::REGISTRATION_TOKEN,
        handle::INITIAL_TOKEN,
        handle::ADMIN_TOKEN,
    ];
    if token.starts_with(handle::ACCESS_TOKEN) {
        return handle::decode(handle::ACCESS_TOKEN, token).is_some();
    }
    !OTHERS.iter().any(|prefix| token.starts_with(prefix))
}

/// `None`: not active.
async fn introspect(management: &Management, token: &str) -> Result<Option<Facts>, Refused> {
    let metadata = management.issuer.metadata(management).await?;
    let endpoint = metadata.need(metadata.introspection_endpoint.as_ref(), "introspection endpoint")?;
    let fields = [("token", token), ("token_type_hint", "access_token")];
    let (status, answer) = management.issuer.post(management, endpoint, &fields).await?;
    if status != StatusCode::OK {
        tracing::error!(status = status.as_u16(), "the identity system does not tell us about tokens");
        return Err(Refused::Upstream("the identity system does not tell about tokens".to_owned()));
    }
    let found: Introspected = serde_json::from_value(answer)
        .map_err(|_| Refused::Upstream("the identity system's answer is not understood".to_owned()))?;
    if !found.active {
        return Ok(None);
    }
    if found.iss.as_deref().is_some_and(|issuer| issuer != management.config.issuer) {
        return Ok(None);
    }
    let audiences = match found.aud {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    let scopes = found.scope.split(' ').map(str::to_owned).collect();
    // Without a subject (RFC 7662 §2.2: optional) there is no person. RFC 9068 §2.2: a client by itself is its own.
    let is_machine = found.sub.is_none() || found.sub == found.client_id || found.sub_kind.as_deref() == Some("client");
    let subject = found.sub.unwrap_or_default();
    Ok(Some(Facts { subject, is_machine, audiences, scopes, expires: found.exp }))
}
