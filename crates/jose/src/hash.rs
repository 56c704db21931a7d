//! Hashes, keyed hashes and the text form of bytes.

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::Algorithm;

/// SHA-256 (FIPS 180-4).
pub fn sha256(data: &[u8]) -> [u8; 32] {
    first_32(digest::digest(&digest::SHA256, data).as_ref())
}

/// HMAC-SHA-256 (RFC 2104) under one key, prepared once.
#[derive(Clone)]
pub struct Mac(hmac::Key);

impl Mac {
    pub fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// Under a fresh key that only this process knows.
    pub fn random() -> Self {
        Self::new(&base::random::bytes::<32>())
    }

    pub fn tag(&self, data: &[u8]) -> [u8; 32] {
        first_32(hmac::sign(&self.0, data).as_ref())
    }

    /// Compares in constant time; only the whole tag counts.
    pub fn verify(&self, data: &[u8], tag: &[u8]) -> bool {
        hmac::verify(&self.0, data, tag).is_ok()
    }
}

impl std::fmt::Debug for Mac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mac(…)")
    }
}

/// Base64url without padding (RFC 7515 §2).
pub fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads base64url; padding, white space, other alphabets and unused bits that are set are refused, so
/// that each byte string has one text only.
pub fn base64url_decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// `at_hash`, `c_hash` and `s_hash` (OpenID Connect Core §3.1.3.6): the left half of the hash that the
/// algorithm of the ID Token uses, which is SHA-512 for Ed25519 (RFC 8032 §5.1).
pub fn left_half_hash(algorithm: Algorithm, value: &str) -> String {
    let hash = match algorithm {
        Algorithm::Es256 | Algorithm::Rs256 | Algorithm::Ps256 => &digest::SHA256,
        Algorithm::EdDsa => &digest::SHA512,
    };
    let digest = digest::digest(hash, value.as_bytes());
    let bytes = digest.as_ref();
    let (left, _) = bytes.split_at(bytes.len() / 2);
    base64url(left)
}

/// The first 32 bytes of a digest that has at least as many.
fn first_32(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0_u8; 32];
    for (to, from) in out.iter_mut().zip(bytes) {
        *to = *from;
    }
    out
}
