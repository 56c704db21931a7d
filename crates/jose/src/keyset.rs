//! Sets of public keys (RFC 7517 §5), parsed once.

use std::sync::Arc;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256,
    RsaPublicKeyComponents,
};
use serde::Deserialize;
use serde_json::Value;

use crate::header::Header;
use crate::jwk::{Jwk, Public};
use crate::{Algorithm, JoseError, Rejected};

/// A set is read up to this many keys, so that a hostile one costs little.
const MAX_KEYS: usize = 100;
/// A token without `kid` is tried with at most this many keys.
const MAX_TRIED: usize = 8;

/// Public keys of one party. Cloning is cheap.
#[derive(Clone, Default)]
pub struct KeySet(Arc<Vec<Arc<PublicKey>>>);

struct PublicKey {
    kid: String,
    /// One parsed key per algorithm that this key may be used with: one, or two for an RSA key that
    /// names none.
    uses: Vec<(Algorithm, ParsedPublicKey)>,
}

impl KeySet {
    /// Reads a JWK set. Keys that cannot verify here are skipped, as RFC 7517 §5 asks.
    pub fn parse(jwks_json: &[u8]) -> Result<Self, JoseError> {
        #[derive(Deserialize)]
        struct Jwks {
            keys: Vec<Value>,
        }
        let jwks: Jwks = serde_json::from_slice(jwks_json).map_err(|_| JoseError::BadKeySet)?;
        Ok(Self::from_jwks(jwks.keys))
    }

    /// A set of these JWKs; those that cannot verify here are skipped.
    pub fn from_jwks(keys: impl IntoIterator<Item = Value>) -> Self {
        let parsed = keys.into_iter().take(MAX_KEYS).filter_map(|key| PublicKey::from_jwk(&key));
        Self(Arc::new(parsed.map(Arc::new).collect()))
    }

    pub fn contains(&self, kid: &str) -> bool {
        self.0.iter().any(|key| key.kid == kid)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The ids of the keys, in the order of the set.
    pub fn kids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|key| key.kid.as_str())
    }

    /// The set less the keys of this id, for instance a revoked one.
    #[must_use]
    pub fn without(&self, kid: &str) -> Self {
        Self(Arc::new(self.0.iter().filter(|key| key.kid != kid).cloned().collect()))
    }

    /// Checks a signature with the keys that the header may mean. `kid` is only compared with the ids in
    /// the set; without `kid` the keys of the right algorithm are tried.
    pub(crate) fn check(&self, header: &Header, signed: &[u8], signature: &[u8]) -> Result<(), Rejected> {
        let mut known = false;
        let mut tried = 0;
        for key in self.0.iter() {
            if header.kid.as_ref().is_some_and(|kid| *kid != key.kid) {
                continue;
            }
            known = true;
            let Some((_, parsed)) = key.uses.iter().find(|(algorithm, _)| *algorithm == header.alg) else {
                continue;
            };
            tried += 1;
            if tried > MAX_TRIED {
                break;
            }
            if parsed.verify_sig(signed, signature).is_ok() {
                return Ok(());
            }
        }
        match (known, tried) {
            (false, _) => Err(Rejected::UnknownKey { kid: header.kid.clone() }),
            (true, 0) => Err(Rejected::Algorithm),
            (true, _) => Err(Rejected::Signature),
        }
    }
}

impl PublicKey {
    fn from_jwk(value: &Value) -> Option<Self> {
        let jwk = Jwk::from_value(value).ok()?;
        let signs = jwk.usage.as_deref().is_none_or(|usage| usage == "sig")
            && jwk.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        // A private key in a public document is a key that everybody may sign with.
        if !signs || jwk.is_private() {
            return None;
        }
        let public = jwk.public().ok()?;
        let fitting: &[Algorithm] = match &public {
            Public::P256(_) => &[Algorithm::Es256],
            Public::Ed25519(_) => &[Algorithm::EdDsa],
            Public::Rsa { .. } => &[Algorithm::Rs256, Algorithm::Ps256],
            Public::X25519(_) => &[],
        };
        let named = jwk.alg.as_deref();
        let mut uses = Vec::new();
        for algorithm in fitting {
            // RFC 9864 names Ed25519 on its own; it is the same signature.
            let ed25519 = named == Some("Ed25519") && *algorithm == Algorithm::EdDsa;
            if named.is_none_or(|name| name == algorithm.as_str()) || ed25519 {
                uses.push((*algorithm, parse(*algorithm, &public)?));
            }
        }
        if uses.is_empty() {
            return None;
        }
        Some(Self { kid: jwk.kid.unwrap_or_else(|| public.thumbprint()), uses })
    }
}

fn parse(algorithm: Algorithm, public: &Public) -> Option<ParsedPublicKey> {
    let parsed = match (algorithm, public) {
        (Algorithm::Es256, Public::P256(point)) => ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point),
        (Algorithm::EdDsa, Public::Ed25519(x)) => ParsedPublicKey::new(&ED25519, x),
        (Algorithm::Rs256, Public::Rsa { n, e }) => {
            RsaPublicKeyComponents { n, e }.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
        }
        (Algorithm::Ps256, Public::Rsa { n, e }) => {
            RsaPublicKeyComponents { n, e }.to_parsed_public_key(&RSA_PSS_2048_8192_SHA256)
        }
        _ => return None,
    };
    parsed.ok()
}

impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.kids()).finish()
    }
}
