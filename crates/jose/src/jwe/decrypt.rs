use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::PrivateKey;
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey};
use base::Secret;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::agreement::{self, ContentKey};
use super::encrypt::fitting;
use super::header::{Parts, text};
use super::{CEK_BYTES, KeyAlg};
use crate::jwk::{self, Jwk, Public};
use crate::{Expected, JoseError, KeySet, Rejected, Verified, hash};

/// A private key for decryption, parsed once and bound to one algorithm.
pub struct DecryptionKey {
    kid: String,
    private_key: Private,
    public: Value,
    private: Secret<String>,
}

enum Private {
    Rsa(OaepPrivateDecryptingKey),
    Agreement(PrivateKey),
}

impl DecryptionKey {
    /// A new key: RSA with 2048 bits, or P-256.
    pub fn generate(alg: KeyAlg) -> Result<Self, JoseError> {
        Self::from_jwk(&match alg {
            KeyAlg::RsaOaep256 => jwk::generate_rsa(alg.as_str(), "enc")?,
            KeyAlg::EcdhEsA256Kw => jwk::generate_p256(alg.as_str(), "enc")?,
        })
    }

    /// A new key for ECDH-ES+A256KW on X25519 (RFC 8037 §3.2).
    pub fn generate_x25519() -> Result<Self, JoseError> {
        Self::from_jwk(&jwk::generate_x25519(KeyAlg::EcdhEsA256Kw.as_str())?)
    }

    /// Reads a private JWK, which must name its `alg`.
    pub fn from_jwk(private_jwk: &Secret<String>) -> Result<Self, JoseError> {
        let jwk = Jwk::from_json(private_jwk.expose())?;
        let alg = jwk.alg.as_deref().and_then(KeyAlg::parse).ok_or(JoseError::UnknownAlgorithm)?;
        let public = jwk.public()?;
        if fitting(&public)? != alg || jwk.usage.as_deref().is_some_and(|usage| usage != "enc") {
            return Err(JoseError::BadKey);
        }
        let private_key = match &public {
            Public::Rsa { .. } => {
                let pkcs8: Pkcs8V1Der<'_> = jwk.rsa_pair()?.as_der()?;
                Private::Rsa(OaepPrivateDecryptingKey::new(PrivateDecryptingKey::from_pkcs8(pkcs8.as_ref())?)?)
            }
            public => {
                let (curve, point) = agreement::curve(public)?;
                let key = PrivateKey::from_private_key(curve, &jwk.private_value()?)?;
                if key.compute_public_key()?.as_ref() != point {
                    return Err(JoseError::BadKey);
                }
                Private::Agreement(key)
            }
        };
        let kid = jwk.kid.clone().unwrap_or_else(|| public.thumbprint());
        let private = jwk.to_private_json(&public, &kid, alg.as_str(), "enc")?;
        let public = public.to_value(&kid, alg.as_str(), "enc");
        Ok(Self { kid, private_key, public, private })
    }

    /// The private JWK as JSON, with `kid`, `alg` and `use`.
    pub fn to_jwk(&self) -> Secret<String> {
        self.private.clone()
    }

    pub fn kid(&self) -> &str {
        &self.kid
    }

    pub fn algorithm(&self) -> KeyAlg {
        match self.private_key {
            Private::Rsa(_) => KeyAlg::RsaOaep256,
            Private::Agreement(_) => KeyAlg::EcdhEsA256Kw,
        }
    }

    /// The public JWK, with `kid`, `alg` and `use`.
    pub fn public_jwk(&self) -> Value {
        self.public.clone()
    }

    /// Decrypts a signed token and verifies what was inside. Content that is not signed is refused.
    pub fn decrypt_and_verify(
        &self,
        token: &str,
        keys: &KeySet,
        expected: &Expected<'_>,
    ) -> Result<Verified, Rejected> {
        let content = self.decrypt(token)?;
        let signed = std::str::from_utf8(&content).map_err(|_| Rejected::Malformed)?;
        keys.verify(signed, expected)
    }

    /// Decrypts a compact JWE. The content has no proven origin.
    pub fn decrypt(&self, token: &str) -> Result<Vec<u8>, Rejected> {
        let parts = Parts::split(token)?;
        let (header, members) = parts.header()?;
        if header.alg != self.algorithm() {
            return Err(Rejected::Algorithm);
        }
        // RFC 7516 §11.5: a key that does not decrypt must look like content that does not, so a random
        // key takes its place and the tag decides.
        let cek = self.content_key(&parts.key, &members)?.unwrap_or_else(|| Zeroizing::new(base::random::bytes()));
        open(&cek, &parts).ok_or(Rejected::Decryption)
    }

    /// `None` if the key does not decrypt.
    fn content_key(&self, encrypted: &[u8], members: &Map<String, Value>) -> Result<Option<ContentKey>, Rejected> {
        match &self.private_key {
            Private::Rsa(key) => Ok(rsa_content_key(key, encrypted)),
            Private::Agreement(key) => {
                let epk = members.get("epk").ok_or(Rejected::Malformed)?;
                let epk = Jwk::from_value(epk).and_then(|epk| epk.public()).map_err(|_| Rejected::Malformed)?;
                let party = |name| match text(members, name)? {
                    None => Ok(Vec::new()),
                    Some(text) => hash::base64url_decode(&text).ok_or(Rejected::Malformed),
                };
                let (apu, apv) = (party("apu")?, party("apv")?);
                let kek = agreement::agree(key, &epk, &apu, &apv).map_err(|_| Rejected::Decryption)?;
                Ok(agreement::unwrap(&kek, encrypted).ok())
            }
        }
    }
}

fn rsa_content_key(key: &OaepPrivateDecryptingKey, encrypted: &[u8]) -> Option<ContentKey> {
    let mut buffer = Zeroizing::new(vec![0; key.min_output_size()]);
    let plain = key.decrypt(&OAEP_SHA256_MGF1SHA256, encrypted, &mut buffer, None).ok()?;
    <[u8; CEK_BYTES]>::try_from(&*plain).ok().map(Zeroizing::new)
}

fn open(cek: &ContentKey, parts: &Parts<'_>) -> Option<Vec<u8>> {
    // Only the full tag: AES-GCM with a shortened one is easy to forge (RFC 7518 §5.3).
    if parts.tag.len() != 16 {
        return None;
    }
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, cek.as_slice()).ok()?);
    let nonce = Nonce::try_assume_unique_for_key(&parts.iv).ok()?;
    let mut content = [parts.ciphertext.as_slice(), &parts.tag].concat();
    let len = key.open_in_place(nonce, Aad::from(parts.header.as_bytes()), &mut content).ok()?.len();
    content.truncate(len);
    Some(content)
}

impl std::fmt::Debug for DecryptionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DecryptionKey").field("kid", &self.kid).field("alg", &self.algorithm()).finish_non_exhaustive()
    }
}
