//! Private keys and signing.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding,
    RsaKeyPair,
};
use base::Secret;
use serde::Serialize;
use serde_json::Value;

use crate::jwk::{self, Jwk, Public};
use crate::{Algorithm, JoseError, hash};

/// A private key, parsed once and bound to one algorithm (RFC 8725 §3.1).
pub struct SigningKey {
    kid: String,
    algorithm: Algorithm,
    pair: Pair,
    public: Value,
    private: Secret<String>,
}

enum Pair {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl SigningKey {
    /// A new key; RSA keys get 2048 bits. The key's id is its thumbprint.
    pub fn generate(algorithm: Algorithm) -> Result<Self, JoseError> {
        let alg = algorithm.as_str();
        let private = match algorithm {
            Algorithm::Es256 => jwk::generate_p256(alg, "sig"),
            Algorithm::EdDsa => jwk::generate_ed25519(alg),
            Algorithm::Rs256 | Algorithm::Ps256 => jwk::generate_rsa(alg, "sig"),
        };
        Self::from_jwk(&private?)
    }

    /// Reads a private JWK, which must name its `alg`. Without a `kid` it gets its thumbprint (RFC 7638).
    pub fn from_jwk(private_jwk: &Secret<String>) -> Result<Self, JoseError> {
        let jwk = Jwk::from_json(private_jwk.expose())?;
        let algorithm = jwk.alg.as_deref().and_then(Algorithm::parse).ok_or(JoseError::UnknownAlgorithm)?;
        if jwk.usage.as_deref().is_some_and(|usage| usage != "sig") {
            return Err(JoseError::BadKey);
        }
        let public = jwk.public()?;
        let pair = match (algorithm, &public) {
            (Algorithm::Es256, Public::P256(point)) => {
                let d = jwk.private_value()?;
                let alg = &ECDSA_P256_SHA256_FIXED_SIGNING;
                Pair::P256(EcdsaKeyPair::from_private_key_and_public_key(alg, &d, point)?)
            }
            (Algorithm::EdDsa, Public::Ed25519(x)) => {
                Pair::Ed25519(Ed25519KeyPair::from_seed_and_public_key(&jwk.private_value()?, x)?)
            }
            (Algorithm::Rs256 | Algorithm::Ps256, Public::Rsa { .. }) => Pair::Rsa(jwk.rsa_pair()?),
            _ => return Err(JoseError::BadKey),
        };
        let kid = jwk.kid.clone().unwrap_or_else(|| public.thumbprint());
        let private = jwk.to_private_json(&public, &kid, algorithm.as_str(), "sig")?;
        let public = public.to_value(&kid, algorithm.as_str(), "sig");
        Ok(Self { kid, algorithm, pair, public, private })
    }

    /// The private JWK as JSON, with `kid`, `alg` and `use`.
    pub fn to_jwk(&self) -> Secret<String> {
        self.private.clone()
    }

    pub fn kid(&self) -> &str {
        &self.kid
    }

    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The public JWK, with `kid`, `alg` and `use`.
    pub fn public_jwk(&self) -> Value {
        self.public.clone()
    }

    /// Signs claims as a compact JWS with the header `alg`, `typ` and `kid`; an empty `typ` is left out.
    pub fn sign(&self, typ: &str, claims: &impl Serialize) -> Result<String, JoseError> {
        let payload = serde_json::to_vec(claims).map_err(|_| JoseError::BadClaims)?;
        if payload.first() != Some(&b'{') {
            return Err(JoseError::BadClaims);
        }
        let header = self.header(typ)?;
        let mut token = String::with_capacity((header.len() + payload.len()) * 4 / 3 + 360);
        token.push_str(&hash::base64url(header.as_bytes()));
        token.push('.');
        token.push_str(&hash::base64url(&payload));
        let signature = self.signature(token.as_bytes())?;
        token.push('.');
        token.push_str(&hash::base64url(&signature));
        Ok(token)
    }

    fn header(&self, typ: &str) -> Result<String, JoseError> {
        let quoted = |text: &str| serde_json::to_string(text).map_err(|_| JoseError::Failed);
        let typ = if typ.is_empty() { String::new() } else { format!(",\"typ\":{}", quoted(typ)?) };
        Ok(format!("{{\"alg\":\"{}\"{typ},\"kid\":{}}}", self.algorithm, quoted(&self.kid)?))
    }

    pub(crate) fn signature(&self, message: &[u8]) -> Result<Vec<u8>, JoseError> {
        // The library takes its randomness from its own generator and ignores this argument.
        let random = SystemRandom::new();
        let rsa = |pair: &RsaKeyPair, padding: &'static dyn RsaEncoding| {
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(padding, &random, message, &mut signature)?;
            Ok(signature)
        };
        match &self.pair {
            Pair::P256(pair) => Ok(pair.sign(&random, message)?.as_ref().to_vec()),
            Pair::Ed25519(pair) => Ok(pair.try_sign(message)?.as_ref().to_vec()),
            Pair::Rsa(pair) if self.algorithm == Algorithm::Ps256 => rsa(pair, &RSA_PSS_SHA256),
            Pair::Rsa(pair) => rsa(pair, &RSA_PKCS1_SHA256),
        }
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).field("alg", &self.algorithm).finish_non_exhaustive()
    }
}
