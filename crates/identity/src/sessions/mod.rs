//! Login sessions: one browser in which one user is signed in. The `sid` of OpenID Connect.
//!
//! The cookie is random and stored as a keyed hash; each login makes a new one, so that a cookie planted
//! beforehand is worth nothing afterwards (session fixation). A session ends when unused for a while, at
//! an absolute age, or when it is ended. Only in the last case the grants made in it end too, and the event feed says
//! so: a client that was given access goes on when the person has closed the browser.

mod store;
#[cfg(test)]
mod tests;

use ::store::StoreError;
use base::Time;
use base::event::Revoked;
use base::ids::{SessionId, UserId};
use http::{HeaderMap, HeaderValue};
use web::SameSite;

pub use store::{hold, list_of_user};

use crate::audit::{self, Act, Record};
use crate::{Cx, events, grants};

pub const COOKIE: &str = "session";

/// Authentication context class of a password login: one factor, which is knowledge.
pub const ACR_PASSWORD: &str = "urn:cardea:acr:password";
/// Authentication method of RFC 8176.
pub const AMR_PASSWORD: &str = "pwd";

/// `last_seen_at` is written at most this often.
const SEEN_EVERY_MS: i64 = 60_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub session_id: SessionId,
    pub user_id: UserId,
    pub auth_time: Time,
    pub acr: String,
    pub amr: Vec<String>,
    pub user_agent: String,
    pub network: String,
    pub created_at: Time,
    pub last_seen_at: Time,
    pub expires_at: Time,
}

/// How a user has just proved who they are.
#[derive(Debug, Clone)]
pub struct Login<'a> {
    pub user_id: &'a UserId,
    pub acr: &'a str,
    pub amr: &'a [&'a str],
    pub user_agent: &'a str,
}

/// The session of the browser that sent these headers, if its user may still log in.
///
/// To be asked before the request's own transaction writes: now and then it notes, in one of its own, that the
/// session was seen. So a page is never made with a writing transaction open only for that.
pub async fn current(cx: &mut Cx, headers: &HeaderMap) -> Result<Option<Session>, StoreError> {
    let session = find(cx, headers).await?;
    if let Some(session) = &session
        && cx.now.ms().saturating_sub(session.last_seen_at.ms()) >= SEEN_EVERY_MS
    {
        let mut own = cx.again();
        store::seen(&mut own, &session.session_id).await?;
        own.commit().await?;
    }
    Ok(session)
}

async fn find(cx: &mut Cx, headers: &HeaderMap) -> Result<Option<Session>, StoreError> {
    let Some(cookie) = cx.identity.kit.cookies().read(headers, COOKIE) else {
        return Ok(None);
    };
    let hash = hash_of(cx, &cookie);
    store::find_by_cookie(cx, &hash).await
}

/// Signs a user in. The same user again keeps the session, with a new cookie and time; another user's session
/// in this browser ends.
pub async fn start(
    cx: &mut Cx,
    headers: &HeaderMap,
    login: &Login<'_>,
) -> Result<(SessionId, HeaderValue), StoreError> {
    let before = find(cx, headers).await?;
    let cookie = base::random::text::<32>();
    let hash = hash_of(cx, &cookie);
    let session_id = match before {
        Some(session) if session.user_id == *login.user_id => {
            store::renew(cx, &session.session_id, &hash, login).await?;
            session.session_id
        }
        other => {
            if let Some(session) = other {
                end(cx, &session.session_id, "another user signed in").await?;
            }
            store::insert(cx, &hash, login).await?
        }
    };
    let header = cx.identity.kit.cookies().set(COOKIE, &cookie, None, SameSite::Lax);
    let header = header.ok_or_else(|| StoreError::Bug("a session cookie that is no header".into()))?;
    Ok((session_id, header))
}

/// Ends a session and the grants made in it. False if it has ended before.
pub async fn end(cx: &mut Cx, session_id: &SessionId, reason: &'static str) -> Result<bool, StoreError> {
    let Some(user_id) = store::end(cx, session_id).await? else {
        return Ok(false);
    };
    grants::revoke_of_session(cx, session_id, reason).await?;
    events::append(cx, Revoked::Session(session_id.to_string()), reason).await?;
    let record = Record {
        subject: Some(user_id),
        object: Some(session_id.to_string()),
        detail: serde_json::json!({"reason": reason}),
        ..Record::default()
    };
    audit::record(cx, Act::SessionEnded, record).await?;
    Ok(true)
}

/// Ends the sessions of a user, but for one, and all that was granted in others, also in those that have expired.
pub async fn end_of_user(
    cx: &mut Cx,
    user_id: &UserId,
    but: Option<&SessionId>,
    reason: &'static str,
) -> Result<(), StoreError> {
    end_living(cx, user_id, but, reason).await?;
    grants::revoke_of_other_sessions(cx, user_id, but, reason).await
}

/// As [`end_of_user`], for who revokes all grants of the user anyway.
pub async fn end_living(
    cx: &mut Cx,
    user_id: &UserId,
    but: Option<&SessionId>,
    reason: &'static str,
) -> Result<(), StoreError> {
    for session in list_of_user(cx, user_id).await? {
        if Some(&session.session_id) != but {
            end(cx, &session.session_id, reason).await?;
        }
    }
    Ok(())
}

fn hash_of(cx: &Cx, cookie: &str) -> String {
    jose::hash::base64url(&cx.identity.seal.mac("session cookie").tag(cookie.as_bytes()))
}
