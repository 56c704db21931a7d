//! The protected header of a compact JWS (RFC 7515 §4).

use crate::{Algorithm, Rejected, hash, json};

/// Tokens longer than this are not looked at.
pub(crate) const MAX_TOKEN_BYTES: usize = 256 * 1024;

/// What a header says that matters. `jwk`, `jku`, `x5u` and `x5c` are not read: a token cannot bring
/// the key it is to be checked with (RFC 8725 §3.10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    pub alg: Algorithm,
    pub kid: Option<String>,
    pub typ: Option<String>,
}

/// The unverified header of a compact JWS, to look up whose keys are to be used. Decide nothing else by it.
pub fn header_of(token: &str) -> Option<Header> {
    Parts::split(token).ok()?.header().ok()
}

/// A claim of a compact JWS that nobody has verified, to look up whose keys are to be used. Decide nothing else by it.
pub fn unverified_text(token: &str, claim: &str) -> Option<String> {
    let payload = json::object(&Parts::split(token).ok()?.payload().ok()?)?;
    payload.get(claim)?.as_str().map(str::to_owned)
}

/// The three parts of a compact JWS (RFC 7515 §7.1), still encoded.
pub(crate) struct Parts<'a> {
    header: &'a str,
    payload: &'a str,
    pub(crate) signed: &'a str,
    signature: &'a str,
}

impl<'a> Parts<'a> {
    pub(crate) fn split(token: &'a str) -> Result<Self, Rejected> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Rejected::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Rejected::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(Rejected::Malformed)?;
        if payload.contains('.') || signature.is_empty() {
            return Err(Rejected::Malformed);
        }
        Ok(Self { header, payload, signed, signature })
    }

    pub(crate) fn header(&self) -> Result<Header, Rejected> {
        let bytes = hash::base64url_decode(self.header).ok_or(Rejected::Malformed)?;
        let members = json::object(&bytes).ok_or(Rejected::Malformed)?;
        // Nothing that `crit` could name is implemented, and an unencoded payload (RFC 7797) is one of
        // those: both are refused by presence, whatever their value.
        if members.contains_key("crit") || members.contains_key("b64") {
            return Err(Rejected::Critical);
        }
        let text = |name: &str| match members.get(name) {
            None => Ok(None),
            Some(serde_json::Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(Rejected::Malformed),
        };
        let alg = text("alg")?.ok_or(Rejected::Malformed)?;
        let alg = Algorithm::parse(&alg).ok_or(Rejected::Algorithm)?;
        Ok(Header { alg, kid: text("kid")?, typ: text("typ")? })
    }

    pub(crate) fn payload(&self) -> Result<Vec<u8>, Rejected> {
        hash::base64url_decode(self.payload).ok_or(Rejected::Malformed)
    }

    pub(crate) fn signature(&self) -> Result<Vec<u8>, Rejected> {
        hash::base64url_decode(self.signature).ok_or(Rejected::Malformed)
    }
}
