//! Opaque handles without rows: what an access or refresh token says is sealed inside it, for us alone.
//!
//! An access token names its grant and the grant's epoch, so that revoking is one counter; its scopes and
//! audiences are named by number (interned sets), so that it stays short. The same content goes, under
//! another label, into the `handle` claim of JWT access tokens, so that these can be introspected and
//! revoked like opaque ones while an inner JWT cannot be passed off as either.
//!
//! A refresh token is sealed deterministically: who repeats a refresh gets the same successor.

mod sets;
#[cfg(test)]
mod tests;

use base::ids::{GrantId, TokenId};
use base::{Secret, Time, handle};
use jose::hash::{Mac, base64url, base64url_decode};
use jose::seal::SealingKey;

pub use sets::{Sets, audiences, id_of, scopes};

const ACCESS: &[u8] = b"access token 1";
const REFERENCE: &[u8] = b"jwt access token 1";
const INNER: &[u8] = b"inner jwt 1";
const REFRESH: &[u8] = b"refresh token 1";

/// What an access token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessToken {
    pub grant_id: GrantId,
    pub epoch: i64,
    pub client_epoch: i64,
    pub scope_set: i64,
    pub audience_set: i64,
    pub issued_at: Time,
    pub expires_at: Time,
    pub jti: TokenId,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshToken {
    pub grant_id: GrantId,
    pub generation: i64,
}

/// The keys of handles, derived once.
#[derive(Debug)]
pub struct Handles {
    access: SealingKey,
    refresh: SealingKey,
}

/// The keys under which what is looked up by hash is hashed.
#[derive(Debug)]
pub struct Hashes {
    pub codes: Mac,
    pub client_secrets: Mac,
    /// Registration and initial access tokens, and idempotency keys.
    pub registration: Mac,
}

impl Hashes {
    pub fn new(seal: &SealingKey) -> Self {
        Self {
            codes: seal.mac("codes"),
            client_secrets: seal.mac("client secrets"),
            registration: seal.mac("registration"),
        }
    }
}

impl Handles {
    pub fn new(seal: &SealingKey) -> Self {
        Self { access: seal.derive("access tokens"), refresh: seal.derive("refresh tokens") }
    }

    pub fn seal_access(&self, token: &AccessToken) -> Secret<String> {
        Secret::new(handle::encode(handle::ACCESS_TOKEN, &self.access.seal(ACCESS, &token.to_bytes())))
    }

    /// None for anything that this system did not make, or that was changed.
    pub fn open_access(&self, text: &str) -> Option<AccessToken> {
        let sealed = handle::decode(handle::ACCESS_TOKEN, text)?;
        AccessToken::from_bytes(&self.access.open(ACCESS, &sealed)?)
    }

    /// The `handle` claim of a JWT access token.
    pub fn seal_reference(&self, token: &AccessToken) -> String {
        base64url(&self.access.seal(REFERENCE, &token.to_bytes()))
    }

    pub fn open_reference(&self, text: &str) -> Option<AccessToken> {
        AccessToken::from_bytes(&self.access.open(REFERENCE, &base64url_decode(text)?)?)
    }

    /// The `handle` claim of an inner JWT: by it the one who received the JWT can exchange it, and do nothing else.
    pub fn seal_inner(&self, token: &AccessToken) -> String {
        base64url(&self.access.seal(INNER, &token.to_bytes()))
    }

    pub fn open_inner(&self, text: &str) -> Option<AccessToken> {
        AccessToken::from_bytes(&self.access.open(INNER, &base64url_decode(text)?)?)
    }

    pub fn seal_refresh(&self, token: &RefreshToken) -> Secret<String> {
        let mut bytes = Vec::with_capacity(32);
        put_text(&mut bytes, token.grant_id.as_str());
        put_int(&mut bytes, token.generation);
        Secret::new(handle::encode(handle::REFRESH_TOKEN, &self.refresh.seal_deterministic(REFRESH, &bytes)))
    }

    pub fn open_refresh(&self, text: &str) -> Option<RefreshToken> {
        let sealed = handle::decode(handle::REFRESH_TOKEN, text)?;
        let bytes = self.refresh.open(REFRESH, &sealed)?;
        let mut rest = bytes.as_slice();
        let grant_id = GrantId(take_text(&mut rest)?);
        let generation = take_int(&mut rest)?;
        rest.is_empty().then_some(RefreshToken { grant_id, generation })
    }
}

impl AccessToken {
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        put_text(&mut out, self.grant_id.as_str());
        put_int(&mut out, self.epoch);
        put_int(&mut out, self.client_epoch);
        put_int(&mut out, self.scope_set);
        put_int(&mut out, self.audience_set);
        put_int(&mut out, self.issued_at.ms());
        put_int(&mut out, self.expires_at.ms().saturating_sub(self.issued_at.ms()));
        out.extend_from_slice(self.jti.as_str().as_bytes());
        out
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let grant_id = GrantId(take_text(&mut rest)?);
        let epoch = take_int(&mut rest)?;
        let client_epoch = take_int(&mut rest)?;
        let scope_set = take_int(&mut rest)?;
        let audience_set = take_int(&mut rest)?;
        let issued_at = Time::from_ms(take_int(&mut rest)?);
        let expires_at = Time::from_ms(issued_at.ms().checked_add(take_int(&mut rest)?)?);
        let jti = TokenId(String::from_utf8(rest.to_vec()).ok()?);
        Some(Self { grant_id, epoch, client_epoch, scope_set, audience_set, issued_at, expires_at, jti })
    }
}

/// Seven bits a byte, the lowest first, the top bit set on all but the last. Nothing sealed here is negative.
fn put_int(out: &mut Vec<u8>, value: i64) {
    let mut rest = u64::try_from(value).unwrap_or(0);
    loop {
        let low = u8::try_from(rest & 0x7f).unwrap_or(0);
        rest >>= 7;
        if rest == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

fn take_int(rest: &mut &[u8]) -> Option<i64> {
    let mut value = 0_u64;
    for shift in (0..63).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return i64::try_from(value).ok();
        }
    }
    None
}

/// Ids are 32 hexadecimal digits; as 16 bytes they make a token shorter. Other texts go as they are.
fn put_text(out: &mut Vec<u8>, text: &str) {
    match from_hex(text) {
        Some(bytes) => {
            out.push(0);
            out.extend_from_slice(&bytes);
        }
        None => {
            put_int(out, i64::try_from(text.len()).unwrap_or(0));
            out.extend_from_slice(text.as_bytes());
        }
    }
}

fn take_text(rest: &mut &[u8]) -> Option<String> {
    let len = usize::try_from(take_int(rest)?).ok()?;
    if len == 0 {
        let (bytes, after) = rest.split_first_chunk::<16>()?;
        *rest = after;
        return Some(to_hex(bytes));
    }
    let (bytes, after) = rest.split_at_checked(len)?;
    *rest = after;
    String::from_utf8(bytes.to_vec()).ok()
}

fn from_hex(text: &str) -> Option<[u8; 16]> {
    if text.len() != 32 || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    Some(u128::from_str_radix(text, 16).ok()?.to_be_bytes())
}

fn to_hex(bytes: &[u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(*bytes))
}
