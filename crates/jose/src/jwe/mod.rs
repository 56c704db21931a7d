//! Encryption to one recipient (RFC 7516 compact form) with RSA-OAEP-256 or ECDH-ES+A256KW, and A256GCM.
//!
//! Encryption alone proves no origin: whoever has the public key can encrypt. Tokens are therefore
//! signed, then encrypted (RFC 7519 §11.2), and [`DecryptionKey::decrypt_and_verify`] does the way back.

mod agreement;
mod decrypt;
mod encrypt;
mod header;

pub use decrypt::DecryptionKey;
pub use encrypt::EncryptionKey;
pub use header::{EncryptedHeader, header_of};

/// The one content encryption algorithm (RFC 7518 §5.3).
pub const CONTENT_ENCRYPTION: &str = "A256GCM";

const CEK_BYTES: usize = 32;

/// The key management algorithms of RFC 7518 §4.1 that Cardea speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyAlg {
    /// RSAES-OAEP with SHA-256 and MGF1 with SHA-256.
    RsaOaep256,
    /// ECDH-ES with AES key wrap, on P-256 or X25519.
    EcdhEsA256Kw,
}

impl KeyAlg {
    pub const ALL: [Self; 2] = [Self::RsaOaep256, Self::EcdhEsA256Kw];

    /// The registered name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RsaOaep256 => "RSA-OAEP-256",
            Self::EcdhEsA256Kw => "ECDH-ES+A256KW",
        }
    }

    /// Reads the registered name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|alg| alg.as_str() == name)
    }
}
