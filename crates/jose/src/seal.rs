//! Sealing of our own data: authenticated encryption that can be used for any number of messages.
//!
//! A sealed message is a version byte, a 24-byte nonce and XAES-256-GCM (C2SP): the first half of the
//! nonce and the key give a key of the message's own, so random nonces do not come near the 2^32
//! messages at which a single AES-GCM key ends (NIST SP 800-38D §8.3).

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cmac;
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use base::Secret;
use zeroize::{Zeroize as _, Zeroizing};

use crate::{JoseError, hash};

const VERSION: u8 = 1;
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;

/// How many bytes a sealed message is longer than its content.
pub const OVERHEAD_BYTES: usize = 1 + NONCE_BYTES + TAG_BYTES;

/// A key for sealing, from which keys for other uses are derived.
#[derive(Clone)]
pub struct SealingKey {
    /// Gives the keys below and those of other labels; never used on messages.
    root: hash::Mac,
    /// The key of XAES-256-GCM, which is a CMAC key.
    message: cmac::Key,
    /// Makes the nonces of [`SealingKey::seal_deterministic`].
    nonce: hash::Mac,
}

impl SealingKey {
    /// From at least 32 bytes of key material, by HKDF-SHA256 (RFC 5869).
    pub fn new(master: &Secret<Vec<u8>>) -> Result<Self, JoseError> {
        if master.expose().len() < 32 {
            return Err(JoseError::ShortSecret);
        }
        let mut root = Zeroizing::new([0_u8; 32]);
        let prk = Salt::new(HKDF_SHA256, b"cardea seal").extract(master.expose());
        prk.expand(&[b"root"], HKDF_SHA256)?.fill(root.as_mut_slice())?;
        Self::from_root(&root)
    }

    /// A separate key for one use.
    #[must_use]
    pub fn derive(&self, label: &str) -> Self {
        let root = Zeroizing::new(self.subkey("derive", label));
        Self::from_root(&root).unwrap_or_else(|_| impossible())
    }

    /// A separate keyed hash for one use.
    pub fn mac(&self, label: &str) -> hash::Mac {
        hash::Mac::new(Zeroizing::new(self.subkey("mac", label)).as_slice())
    }

    /// Encrypts under a random nonce. `aad` is not part of the result, but must be the same to open it.
    pub fn seal(&self, aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
        self.seal_with(base::random::bytes(), aad, plaintext)
    }

    /// Encrypts under a nonce that follows from the input: the same input gives the same result, which
    /// tells a reader that two contents are equal, and nothing else.
    pub fn seal_deterministic(&self, aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
        let aad_len = u64::try_from(aad.len()).unwrap_or(u64::MAX).to_be_bytes();
        let input = Zeroizing::new([&aad_len, aad, plaintext].concat());
        let tag = self.nonce.tag(&input);
        let mut nonce = [0; NONCE_BYTES];
        for (to, from) in nonce.iter_mut().zip(tag) {
            *to = from;
        }
        self.seal_with(nonce, aad, plaintext)
    }

    /// The content, if it was sealed with this key and `aad`.
    pub fn open(&self, aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (version, rest) = sealed.split_first()?;
        let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_BYTES>()?;
        if *version != VERSION || ciphertext.len() < TAG_BYTES {
            return None;
        }
        let mut out = ciphertext.to_vec();
        let (key, nonce) = self.message_key(nonce).ok()?;
        let len = key.open_in_place(nonce, Aad::from(aad), &mut out).ok()?.len();
        out.truncate(len);
        Some(out)
    }

    fn from_root(root: &[u8; 32]) -> Result<Self, JoseError> {
        let root = hash::Mac::new(root);
        let message = Zeroizing::new(root.tag(b"message"));
        let nonce = Zeroizing::new(root.tag(b"nonce"));
        Ok(Self { message: cmac::Key::new(cmac::AES_256, &*message)?, nonce: hash::Mac::new(&*nonce), root })
    }

    fn subkey(&self, purpose: &str, label: &str) -> [u8; 32] {
        self.root.tag(format!("{purpose}:{label}").as_bytes())
    }

    fn seal_with(&self, nonce: [u8; NONCE_BYTES], aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(plaintext.len() + OVERHEAD_BYTES);
        out.push(VERSION);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(plaintext);
        let (_, body) = out.split_at_mut(1 + NONCE_BYTES);
        let tag = self
            .message_key(&nonce)
            .and_then(|(key, nonce)| key.seal_in_place_separate_tag(nonce, Aad::from(aad), body))
            .unwrap_or_else(|_| impossible());
        out.extend_from_slice(tag.as_ref());
        out
    }

    /// XAES-256-GCM: the key of one message is CMAC(key, 0 i "X" 0 nonce[..12]) for i = 1, 2, and its
    /// nonce the other half.
    fn message_key(&self, nonce: &[u8; NONCE_BYTES]) -> Result<(LessSafeKey, Nonce), Unspecified> {
        let (salt, nonce) = nonce.split_at(NONCE_BYTES / 2);
        let mut input = [0_u8; 16];
        for (to, from) in input.iter_mut().skip(4).zip(salt) {
            *to = *from;
        }
        let mut key = Zeroizing::new([0_u8; 32]);
        for (counter, half) in (1..).zip(key.chunks_exact_mut(16)) {
            input[1] = counter;
            input[2] = b'X';
            cmac::sign_to_buffer(&self.message, &input, half)?;
        }
        input.zeroize();
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &*key)?);
        Ok((key, Nonce::try_assume_unique_for_key(nonce)?))
    }
}

/// AES fails only for a wrong key length, or for a message of 64 GiB; neither can be. A result that is not
/// sealed must not leave, so the process stops as it does without randomness.
fn impossible() -> ! {
    std::process::abort()
}

impl std::fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealingKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_xaes_256_gcm_come_out() {
        let nonce = *b"ABCDEFGHIJKLMNOPQRSTUVWX";
        for (byte, aad, expected) in [
            (1, "", "zlRu9jycxgdlkjYJszqaGXTpblLa8vz3B14icQ"),
            (3, "c2sp.org/XAES-256-GCM", "mG7BgyWT31RDoXlDf9CDvz_bQavXQKIfcet2nQ"),
        ] {
            let key = SealingKey {
                message: cmac::Key::new(cmac::AES_256, &[byte; 32]).unwrap(),
                ..SealingKey::from_root(&[0; 32]).unwrap()
            };

            let sealed = key.seal_with(nonce, aad.as_bytes(), b"XAES-256-GCM");

            assert_eq!(hash::base64url(&sealed[1 + NONCE_BYTES..]), expected);
        }
    }
}
