use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::PrivateKey;
use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey};
use aws_lc_rs::signature::RsaPublicKeyComponents;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::agreement::{self, ContentKey};
use super::{CONTENT_ENCRYPTION, KeyAlg};
use crate::jwk::{Jwk, Public};
use crate::{JoseError, hash};

/// A recipient's public key, parsed once and bound to one algorithm.
pub struct EncryptionKey {
    kid: String,
    recipient: Recipient,
}

enum Recipient {
    Rsa(OaepPublicEncryptingKey),
    Agreement(Public),
}

impl EncryptionKey {
    /// Reads a public JWK. Without `alg` it gets the one that fits its type.
    pub fn from_jwk(jwk: &Value) -> Result<Self, JoseError> {
        let jwk = Jwk::from_value(jwk)?;
        if jwk.is_private() || jwk.usage.as_deref().is_some_and(|usage| usage != "enc") {
            return Err(JoseError::BadKey);
        }
        let public = jwk.public()?;
        let fitting = fitting(&public)?;
        if jwk.alg.as_deref().is_some_and(|alg| alg != fitting.as_str()) {
            return Err(JoseError::UnknownAlgorithm);
        }
        let kid = jwk.kid.unwrap_or_else(|| public.thumbprint());
        let recipient = match public {
            Public::Rsa { n, e } => {
                let key: PublicEncryptingKey = RsaPublicKeyComponents { n, e }.try_into()?;
                Recipient::Rsa(OaepPublicEncryptingKey::new(key)?)
            }
            public => {
                // A trial agreement, so that a bad point is refused now.
                let (curve, _) = agreement::curve(&public)?;
                agreement::agree(&PrivateKey::generate(curve)?, &public, &[], &[])?;
                Recipient::Agreement(public)
            }
        };
        Ok(Self { kid, recipient })
    }

    pub fn kid(&self) -> &str {
        &self.kid
    }

    pub fn algorithm(&self) -> KeyAlg {
        match self.recipient {
            Recipient::Rsa(_) => KeyAlg::RsaOaep256,
            Recipient::Agreement(_) => KeyAlg::EcdhEsA256Kw,
        }
    }

    /// Encrypts as a compact JWE. `cty` says what is inside, `JWT` for a signed token (RFC 7519 §5.2);
    /// empty leaves it out.
    pub fn encrypt(&self, cty: &str, plaintext: &[u8]) -> Result<String, JoseError> {
        let cek: ContentKey = Zeroizing::new(base::random::bytes());
        let mut header = Map::new();
        header.insert("alg".to_owned(), self.algorithm().as_str().into());
        header.insert("enc".to_owned(), CONTENT_ENCRYPTION.into());
        header.insert("kid".to_owned(), self.kid.as_str().into());
        if !cty.is_empty() {
            header.insert("cty".to_owned(), cty.into());
        }
        let key = match &self.recipient {
            Recipient::Rsa(key) => {
                let mut encrypted = vec![0; key.ciphertext_size()];
                key.encrypt(&OAEP_SHA256_MGF1SHA256, cek.as_slice(), &mut encrypted, None)?;
                encrypted
            }
            Recipient::Agreement(public) => {
                let (epk, wrapped) = wrap_for(public, &cek)?;
                header.insert("epk".to_owned(), epk);
                wrapped
            }
        };
        seal(&Value::Object(header).to_string(), &key, &cek, plaintext)
    }
}

/// The algorithm that a key of this type is for.
pub(super) fn fitting(public: &Public) -> Result<KeyAlg, JoseError> {
    match public {
        Public::Rsa { .. } => Ok(KeyAlg::RsaOaep256),
        Public::P256(_) | Public::X25519(_) => Ok(KeyAlg::EcdhEsA256Kw),
        Public::Ed25519(_) => Err(JoseError::BadKey),
    }
}

/// The ephemeral public key, and the content key wrapped for the recipient.
fn wrap_for(public: &Public, cek: &ContentKey) -> Result<(Value, Vec<u8>), JoseError> {
    let (curve, _) = agreement::curve(public)?;
    let ephemeral = PrivateKey::generate(curve)?;
    let own = ephemeral.compute_public_key()?.as_ref().to_vec();
    let own = if matches!(public, Public::P256(_)) { Public::P256(own) } else { Public::X25519(own) };
    let kek = agreement::agree(&ephemeral, public, &[], &[])?;
    Ok((Value::Object(own.members()), agreement::wrap(&kek, cek)?.to_vec()))
}

fn seal(header: &str, key: &[u8], cek: &ContentKey, plaintext: &[u8]) -> Result<String, JoseError> {
    let header = hash::base64url(header.as_bytes());
    let iv: [u8; 12] = base::random::bytes();
    let content = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, cek.as_slice())?);
    let mut ciphertext = plaintext.to_vec();
    let nonce = Nonce::assume_unique_for_key(iv);
    let tag = content.seal_in_place_separate_tag(nonce, Aad::from(header.as_bytes()), &mut ciphertext)?;
    let parts = [key, &iv, &ciphertext, tag.as_ref()];
    Ok(parts.iter().fold(header, |token, part| token + "." + &hash::base64url(part)))
}

impl std::fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EncryptionKey").field("kid", &self.kid).field("alg", &self.algorithm()).finish()
    }
}
