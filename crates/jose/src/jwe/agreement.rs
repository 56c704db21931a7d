//! ECDH-ES+A256KW (RFC 7518 §4.6): agree on a key, wrap the content key with it.

use aws_lc_rs::agreement::{self, Algorithm, ECDH_P256, PrivateKey, UnparsedPublicKey, X25519};
use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrap as _};
use zeroize::Zeroizing;

use super::{CEK_BYTES, KeyAlg};
use crate::jwk::Public;
use crate::{JoseError, hash};

pub(super) type ContentKey = Zeroizing<[u8; CEK_BYTES]>;

const WRAPPED_BYTES: usize = CEK_BYTES + 8;

/// The curve and the encoded public key.
pub(super) fn curve(public: &Public) -> Result<(&'static Algorithm, &[u8]), JoseError> {
    match public {
        Public::P256(point) => Ok((&ECDH_P256, point)),
        Public::X25519(x) => Ok((&X25519, x)),
        Public::Ed25519(_) | Public::Rsa { .. } => Err(JoseError::BadKey),
    }
}

/// The key encryption key between a private and a public key on the same curve. A point that is not on
/// the curve, or an X25519 value of small order, gives none.
pub(super) fn agree(private: &PrivateKey, public: &Public, apu: &[u8], apv: &[u8]) -> Result<ContentKey, JoseError> {
    let (curve, point) = curve(public)?;
    let peer = UnparsedPublicKey::new(curve, point);
    agreement::agree(private, peer, JoseError::BadKey, |secret| {
        Ok(Zeroizing::new(concat_kdf(secret, KeyAlg::EcdhEsA256Kw.as_str(), apu, apv, 256)))
    })
}

pub(super) fn wrap(kek: &ContentKey, cek: &ContentKey) -> Result<[u8; WRAPPED_BYTES], JoseError> {
    let mut wrapped = [0; WRAPPED_BYTES];
    AesKek::new(&AES_256, kek.as_slice())?.wrap(cek.as_slice(), &mut wrapped)?;
    Ok(wrapped)
}

pub(super) fn unwrap(kek: &ContentKey, wrapped: &[u8]) -> Result<ContentKey, JoseError> {
    if wrapped.len() != WRAPPED_BYTES {
        return Err(JoseError::Failed);
    }
    let mut cek = Zeroizing::new([0; CEK_BYTES]);
    AesKek::new(&AES_256, kek.as_slice())?.unwrap(wrapped, cek.as_mut_slice())?;
    Ok(cek)
}

/// Concat KDF with SHA-256 (NIST SP 800-56A §5.8.1 as RFC 7518 §4.6.2 uses it), one round: up to 256 bits.
pub(super) fn concat_kdf(secret: &[u8], algorithm: &str, apu: &[u8], apv: &[u8], bits: u32) -> [u8; 32] {
    let mut input = Zeroizing::new(Vec::with_capacity(secret.len() + 64));
    input.extend_from_slice(&1_u32.to_be_bytes());
    input.extend_from_slice(secret);
    for part in [algorithm.as_bytes(), apu, apv] {
        input.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        input.extend_from_slice(part);
    }
    input.extend_from_slice(&bits.to_be_bytes());
    hash::sha256(&input)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_7518_appendix_c_comes_out() {
        let shared = [
            158, 86, 217, 29, 129, 113, 53, 211, 114, 131, 66, 131, 191, 132, 38, 156, 251, 49, 110, 163, 218, 128,
            106, 72, 246, 218, 167, 121, 140, 254, 144, 196,
        ];

        let key = concat_kdf(&shared, "A128GCM", b"Alice", b"Bob", 128);

        assert_eq!(hash::base64url(&key[..16]), "VqqN6vgjbSBcIijNcacQGg");
    }
}
