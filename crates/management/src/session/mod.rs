//! Signing in to portal and console: OpenID Connect Core 1.0 as any relying party (authorization code, PKCE of
//! RFC 7636, `iss` of RFC 9207), RP-Initiated Logout 1.0, and the one-time link that opens the console.
//!
//! A sign-in under way is no row: it travels in `state`, sealed and bound to the browser. A session is a row; the
//! browser has a random cookie, the row a keyed hash of it, and each sign-in makes a new one. It ends when unused
//! for a while, at an absolute age, or by signing out.

mod feed;
mod http;
pub mod link;
mod login;
mod store;
#[cfg(test)]
mod tests;

use std::time::Duration;

use ::http::{HeaderMap, HeaderValue};
use ::store::StoreError;
use base::Time;
use web::SameSite;

pub(crate) use feed::follow;
pub(crate) use http::{by_link, routes};
pub(crate) use store::{choose_organisation, purge};

use crate::error::Refused;
use crate::{Actor, Cx, Management};

const COOKIE: &str = "portal";

/// However much it is used.
const LIFETIME: Duration = Duration::from_secs(12 * 3600);
/// Unused for this long.
const IDLE: Duration = Duration::from_secs(2 * 3600);
/// `seen_at` is written at most this often.
const SEEN_EVERY: Duration = Duration::from_secs(60);

/// How somebody came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Signed in at the identity system.
    Login,
    /// By the one-time link; the program's operator vouches for them.
    Link,
}

impl Way {
    fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Link => "link",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub id: String,
    pub person: String,
    pub way: Way,
    /// The organisation that the person looks at; none chosen yet.
    pub organisation: Option<String>,
    pub seen_at: Time,
    pub expires_at: Time,
}

/// What the identity system said when somebody signed in.
pub(crate) struct IdToken<'a> {
    pub text: &'a str,
    /// Its own session.
    pub sid: Option<&'a str>,
}

/// The session of the browser that sent these headers; the context's actor becomes its person.
///
/// To be asked before the request's own transaction writes: now and then it notes, in one of its own, that the
/// session was seen.
pub(crate) async fn enter(cx: &mut Cx, headers: &HeaderMap) -> Result<Option<Session>, Refused> {
    let Some(cookie) = cx.management.kit.cookies().read(headers, COOKIE) else { return Ok(None) };
    let hash = hash_of(&cx.management, &cookie);
    let Some(session) = store::find(cx, &hash).await? else { return Ok(None) };
    let Some(person) = crate::people::person(cx, &session.person).await? else { return Ok(None) };
    cx.actor = Actor::Person(person);
    if cx.now.since(session.seen_at) >= SEEN_EVERY {
        let mut own = cx.again();
        store::seen(&mut own, &session.id).await?;
        own.commit().await?;
    }
    Ok(Some(session))
}

/// Signs a person in, in this browser: a session that was there before ends, and a cookie that was planted
/// beforehand is worth nothing afterwards (session fixation).
pub(crate) async fn start(
    cx: &mut Cx,
    headers: &HeaderMap,
    person: &str,
    way: Way,
    id_token: Option<&IdToken<'_>>,
) -> Result<HeaderValue, Refused> {
    if let Some(old) = cx.management.kit.cookies().read(headers, COOKIE) {
        let hash = hash_of(&cx.management, &old);
        store::end(cx, &hash).await?;
    }
    let cookie = base::random::text::<32>();
    let hash = hash_of(&cx.management, &cookie);
    let sealed = id_token.map(|token| seal(cx, ID_TOKEN, token.text.as_bytes()));
    let sid = id_token.and_then(|token| token.sid);
    store::insert(cx, &hash, (person, way), sealed.as_deref(), sid).await?;
    let header = cx.management.kit.cookies().set(COOKIE, &cookie, None, SameSite::Lax);
    Ok(header.ok_or_else(|| StoreError::Bug("a session cookie that is no header".into()))?)
}

/// Ends the browser's session. Gives the ID token that it began with, for the identity system to know whom to
/// sign out.
pub(crate) async fn end(cx: &mut Cx, headers: &HeaderMap) -> Result<Option<String>, Refused> {
    let Some(cookie) = cx.management.kit.cookies().read(headers, COOKIE) else { return Ok(None) };
    let hash = hash_of(&cx.management, &cookie);
    let sealed = store::end(cx, &hash).await?;
    let opened = sealed.and_then(|sealed| open(cx, ID_TOKEN, &sealed));
    Ok(opened.and_then(|bytes| String::from_utf8(bytes).ok()))
}

/// A place of ours to go back to after signing in; whatever is none becomes the first page.
pub(crate) fn safe_return(to: &str) -> &str {
    let inside = to.starts_with('/') && !to.starts_with("//") && to.len() <= 1024;
    // A browser takes `\` for `/`, and drops tabs and line ends before it looks.
    let plain = to.bytes().all(|byte| (b'!'..=b'~').contains(&byte) && byte != b'\\');
    if inside && plain && !to.starts_with("/login") { to } else { "/" }
}

const ID_TOKEN: &[u8] = b"id token";

fn seal(cx: &Cx, purpose: &[u8], content: &[u8]) -> String {
    jose::hash::base64url(&cx.management.seal.derive("session").seal(purpose, content))
}

fn open(cx: &Cx, purpose: &[u8], sealed: &str) -> Option<Vec<u8>> {
    cx.management.seal.derive("session").open(purpose, &jose::hash::base64url_decode(sealed)?)
}

fn hash_of(management: &Management, cookie: &str) -> String {
    jose::hash::base64url(&management.seal.mac("session cookie").tag(cookie.as_bytes()))
}
