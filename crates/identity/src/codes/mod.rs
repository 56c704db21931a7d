//! Authorization codes (RFC 6749 §4.1.2) and the proof that goes with them (PKCE, RFC 7636).
//!
//! A code is random, lives for a minute, is stored as a keyed hash, and is taken by one guarded UPDATE
//! that names everything it is bound to. So who does not know the verifier can neither redeem a code nor
//! burn it for the one who does, and a replay that revokes the grant is one that proved all of it
//! (RFC 6749 §4.1.2, RFC 9700 §2.1.1).

mod store;

use ::store::StoreError;
use base::ids::{ClientId, GrantId};
use base::{Secret, handle};

use crate::Cx;
use crate::clients::RedirectUri;

/// An S256 code challenge (RFC 7636 §4.2). `plain` has no name here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeChallenge(String);

impl CodeChallenge {
    /// The base64url text of a SHA-256 hash, as `code_challenge` brings it.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = jose::hash::base64url_decode(text)?;
        (bytes.len() == 32).then(|| Self(text.to_owned()))
    }

    /// The challenge of a verifier, if the verifier is well-formed (RFC 7636 §4.1).
    pub fn of_verifier(verifier: &str) -> Option<Self> {
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        ((43..=128).contains(&verifier.len()) && verifier.bytes().all(fine))
            .then(|| Self(jose::hash::base64url(&jose::hash::sha256(verifier.as_bytes()))))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Makes the code of a grant, and remembers what it is bound to.
pub async fn issue(
    cx: &mut Cx,
    grant_id: &GrantId,
    client_id: &ClientId,
    redirect_uri: &RedirectUri,
    code_challenge: &CodeChallenge,
) -> Result<Secret<String>, StoreError> {
    let code = handle::encode(handle::CODE, &base::random::bytes::<32>());
    let row = store::NewCode {
        code_hash: hash_of(cx, &code),
        grant_id,
        client_id,
        redirect_uri: redirect_uri.asked(),
        code_challenge,
        expires_at: cx.now.plus(cx.identity.config.lifetimes.code),
    };
    store::insert(cx, row).await?;
    Ok(Secret::new(code))
}

/// What a client brings to the token endpoint.
#[derive(Clone, Copy)]
pub struct Presented<'a> {
    pub code: &'a str,
    pub client_id: &'a ClientId,
    pub redirect_uri: Option<&'a str>,
    pub code_challenge: &'a CodeChallenge,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redeemed {
    /// Taken now, by this request alone.
    Taken(GrantId),
    /// All is right, but the code was used before: the grant is to be revoked.
    Replayed(GrantId),
    /// Unknown, expired, or bound to something else; the text is for the log.
    Refused(&'static str),
}

/// The grant of a code that fits, before it is taken: for reading only. None of a code that was used: nothing of
/// its grant is to be settled, it is to be revoked.
pub async fn peek(cx: &mut Cx, presented: Presented<'_>) -> Result<Option<GrantId>, StoreError> {
    let hash = hash_of(cx, presented.code);
    let fits = |row: &store::CodeRow| row.used_at.is_none() && row.why_not(presented).is_none();
    Ok(store::find(cx, &hash).await?.filter(fits).map(|row| row.grant_id))
}

/// Takes the code: of any number of requests with the same code exactly one gets [`Redeemed::Taken`].
pub async fn redeem(cx: &mut Cx, presented: Presented<'_>) -> Result<Redeemed, StoreError> {
    if !handle::is_well_formed(handle::CODE, presented.code) {
        return Ok(Redeemed::Refused("malformed"));
    }
    let hash = hash_of(cx, presented.code);
    if let Some(grant_id) = store::take(cx, &hash, presented).await? {
        return Ok(Redeemed::Taken(grant_id));
    }
    let Some(row) = store::find(cx, &hash).await? else {
        return Ok(Redeemed::Refused("unknown"));
    };
    Ok(match row.why_not(presented) {
        Some(reason) => Redeemed::Refused(reason),
        None if row.used_at.is_some() => Redeemed::Replayed(row.grant_id),
        None => Redeemed::Refused("expired"),
    })
}

fn hash_of(cx: &Cx, code: &str) -> String {
    jose::hash::base64url(&cx.identity.hashes.codes.tag(code.as_bytes()))
}

impl store::CodeRow {
    fn why_not(&self, presented: Presented<'_>) -> Option<&'static str> {
        if self.client_id != *presented.client_id {
            return Some("another client's");
        }
        if self.redirect_uri.as_deref() != presented.redirect_uri {
            return Some("another redirect_uri");
        }
        if self.code_challenge != presented.code_challenge.as_str() {
            return Some("another verifier");
        }
        None
    }
}
