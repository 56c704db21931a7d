//! Verification of the JWT that the gateway sends (RFC 9068 §4).

use std::sync::Arc;
use std::time::Duration;

use base::SystemClock;
use base::peer::{HttpPeer, SharedPeer};
use base::time::SharedClock;
use jose::{Algorithm, Expected, Rejected};

use crate::keys::IssuerKeys;
use crate::{Denied, Principal, RequireTokenLayer};

/// Whose tokens are accepted, and for whom they must be.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The exact `iss`; its metadata is read at `{issuer}/.well-known/openid-configuration`.
    pub issuer: String,
    /// What `aud` must be or contain: the identifier of this API (RFC 8707).
    pub audience: String,
    /// The algorithms that tokens may be signed with; ES256 unless set.
    pub algorithms: Vec<Algorithm>,
    /// By how much the clocks of issuer and API may differ.
    pub leeway: Duration,
    /// The least time between two attempts to read the issuer's keys, however many tokens ask for it.
    pub cool_down: Duration,
    /// After this time the keys are read again, so that one that was withdrawn goes out of use.
    pub refresh_after: Duration,
}

impl Settings {
    pub fn new(issuer: impl Into<String>, audience: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            audience: audience.into(),
            algorithms: vec![Algorithm::Es256],
            leeway: Duration::from_secs(30),
            cool_down: Duration::from_secs(10),
            refresh_after: Duration::from_secs(300),
        }
    }
}

/// Verifies tokens of one issuer for one API. Cloning is cheap; all clones share the keys.
#[derive(Clone)]
pub struct Verifier(Arc<Inner>);

struct Inner {
    settings: Settings,
    keys: IssuerKeys,
    clock: SharedClock,
}

impl Verifier {
    /// A verifier that reads the issuer's keys over HTTP, trusting the certificates of the system.
    pub fn connect(settings: Settings) -> Self {
        Self::new(settings, Arc::new(HttpPeer::new(None)), SystemClock::shared())
    }

    pub fn new(settings: Settings, issuer: SharedPeer, clock: SharedClock) -> Self {
        let keys = IssuerKeys::new(&settings, issuer, clock.clone());
        Self(Arc::new(Inner { settings, keys, clock }))
    }

    /// The layer that lets only requests with a good token through.
    pub fn layer(&self) -> RequireTokenLayer {
        RequireTokenLayer::new(self.clone())
    }

    /// Who a token is for. The cause of a refusal goes into the log.
    pub async fn verify(&self, token: &str) -> Result<Principal, Denied> {
        let Inner { settings, keys, clock } = &*self.0;
        let expected = Expected {
            types: &["at+jwt"],
            issuer: Some(&settings.issuer),
            audience: Some(&settings.audience),
            algorithms: &settings.algorithms,
            now: clock.now(),
            leeway: settings.leeway,
            expiry_required: true,
        };
        let known = keys.current().await?;
        let mut result = known.verify(token, &expected);
        if matches!(result, Err(Rejected::UnknownKey { .. })) {
            result = keys.newer_than(&known).await?.verify(token, &expected);
        }
        let verified = result.map_err(|cause| refuse(cause.as_str()))?;
        Principal::from_claims(verified.claims).ok_or_else(|| refuse("claims"))
    }
}

fn refuse(cause: &'static str) -> Denied {
    tracing::info!(cause, "token refused");
    Denied::InvalidToken
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}
