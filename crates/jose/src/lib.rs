//! Signed and encrypted JSON (JOSE), hashes and sealing: the only crate that sees the cryptographic library.
//!
//! - JWS (RFC 7515) in compact form with ES256, EdDSA, RS256 and PS256; JWT claims (RFC 7519, RFC 8725);
//! - JWE (RFC 7516) in compact form with RSA-OAEP-256 or ECDH-ES+A256KW, and A256GCM: [`jwe`];
//! - JWK (RFC 7517, RFC 8037) and thumbprints (RFC 7638);
//! - keyed and plain hashes: [`hash`]; authenticated encryption of our own data: [`seal`].
//!
//! What is refused does not exist in the code: `none`, HMAC and RSA1_5 have no name here, keys are never
//! taken from a token (`jwk`, `jku`, `x5u`, `x5c`), and a signature is checked with the algorithm of the key.

mod algorithm;
mod der;
mod error;
pub mod hash;
mod header;
mod json;
pub mod jwe;
mod jwk;
mod keyset;
pub mod seal;
mod sign;
mod verify;

pub use algorithm::Algorithm;
pub use error::{JoseError, Rejected};
pub use header::{Header, header_of, unverified_text};
pub use keyset::KeySet;
pub use sign::SigningKey;
pub use verify::{Expected, Verified};

#[cfg(test)]
mod tests;
