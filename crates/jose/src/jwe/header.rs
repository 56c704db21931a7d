use serde_json::{Map, Value};

use super::{CONTENT_ENCRYPTION, KeyAlg};
use crate::header::MAX_TOKEN_BYTES;
use crate::{Rejected, hash, json};

/// What the header of a compact JWE says that matters; nothing of it is proven before decryption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncryptedHeader {
    pub alg: KeyAlg,
    pub kid: Option<String>,
    pub typ: Option<String>,
    pub cty: Option<String>,
}

/// The unverified header of a compact JWE, to look up the key; `None` for anything else, such as a JWS.
pub fn header_of(token: &str) -> Option<EncryptedHeader> {
    Parts::split(token).ok()?.header().ok().map(|(header, _)| header)
}

/// The five parts of a compact JWE (RFC 7516 §7.1).
pub(super) struct Parts<'a> {
    /// Still encoded: this text is the additional authenticated data.
    pub(super) header: &'a str,
    pub(super) key: Vec<u8>,
    pub(super) iv: Vec<u8>,
    pub(super) ciphertext: Vec<u8>,
    pub(super) tag: Vec<u8>,
}

impl<'a> Parts<'a> {
    pub(super) fn split(token: &'a str) -> Result<Self, Rejected> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Rejected::Malformed);
        }
        let mut parts = token.split('.');
        let header = parts.next().ok_or(Rejected::Malformed)?;
        let mut next = || parts.next().and_then(hash::base64url_decode).ok_or(Rejected::Malformed);
        let split = Self { header, key: next()?, iv: next()?, ciphertext: next()?, tag: next()? };
        if parts.next().is_some() { Err(Rejected::Malformed) } else { Ok(split) }
    }

    /// The header, and all of its members for those that one algorithm needs.
    pub(super) fn header(&self) -> Result<(EncryptedHeader, Map<String, Value>), Rejected> {
        let bytes = hash::base64url_decode(self.header).ok_or(Rejected::Malformed)?;
        let members = json::object(&bytes).ok_or(Rejected::Malformed)?;
        if members.contains_key("crit") {
            return Err(Rejected::Critical);
        }
        // Compressed content is an oracle and a bomb (RFC 8725 §3.6).
        if members.contains_key("zip") {
            return Err(Rejected::Algorithm);
        }
        let alg = text(&members, "alg")?.ok_or(Rejected::Malformed)?;
        let enc = text(&members, "enc")?.ok_or(Rejected::Malformed)?;
        if enc != CONTENT_ENCRYPTION {
            return Err(Rejected::Algorithm);
        }
        let header = EncryptedHeader {
            alg: KeyAlg::parse(&alg).ok_or(Rejected::Algorithm)?,
            kid: text(&members, "kid")?,
            typ: text(&members, "typ")?,
            cty: text(&members, "cty")?,
        };
        Ok((header, members))
    }
}

pub(super) fn text(members: &Map<String, Value>, name: &str) -> Result<Option<String>, Rejected> {
    match members.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(Rejected::Malformed),
    }
}
