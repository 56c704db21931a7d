//! Introspection (RFC 7662): one endpoint, three forms of one answer, chosen by `Accept`:
//! JSON; `application/jwt`, the phantom token, a JWT access token (RFC 9068) for one audience, signed now,
//! or 204 when the token is not active; `application/token-introspection+jwt` (RFC 9701).
//!
//! A caller learns only of tokens that are meant for an audience it may introspect; any other token is
//! inactive to it. What it learns is cut down to that audience: scopes and claims that belong to others
//! are left out. Nothing is written. No answer may be cached for longer than what it says is true.

mod accept;
mod http;

use std::time::Duration;

use base::Time;
use serde_json::{Value, json};

pub use accept::{Form, negotiate};
pub use http::routes;

use crate::claims;
use crate::clients::Client;
use crate::error::{OAuthError, invalid_target};
use crate::handles::AccessToken;
use crate::scopes::{Audiences, Catalog};
use crate::token::issue::{about_the_login, audience_claim};
use crate::token::live::Live;

/// What a caller may know of a token: JSON members as RFC 7662 §2.2 names them.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    pub members: Value,
    /// The one audience that a JWT can be for.
    pub audience: Option<String>,
    pub expires_at: Time,
    pub token: AccessToken,
}

/// The audiences a request is about: all that the caller may introspect, or the one it names in `resource`,
/// a parameter of ours at this endpoint. An audience it may not introspect is its operator's mistake, and
/// told as one.
fn asked(caller: &Client, resources: &[&str]) -> Result<Audiences, OAuthError> {
    match resources {
        [] => Ok(caller.spec.introspect.clone()),
        [one] if caller.spec.introspect.contains(one) => Ok(Audiences::one(one)),
        _ => Err(invalid_target("the caller may not introspect tokens for this resource")),
    }
}

/// None if nothing in the token is for these audiences, or nothing of its scopes is left.
fn tell(catalog: &Catalog, issuer: &str, live: &Live, asked: &Audiences) -> Option<Told> {
    let audiences = live.audiences.intersection(asked);
    if audiences.is_empty() {
        return None;
    }
    let mut scopes = base::scope::Scopes::default();
    for audience in audiences.iter() {
        scopes = scopes.union(&catalog.scopes_for(&live.scopes, audience));
    }
    let forgotten = live.scopes.iter().any(|scope| !catalog.knows(scope));
    if scopes.is_empty() && forgotten {
        return None;
    }
    // A claim may have gone since the token was issued: its scope goes with it, and a token whose last
    // scope goes is no token any more.
    let contracted = claims::contracted(catalog, live.person.as_ref(), &live.client, &scopes);
    let audiences = catalog.audiences_left(&audiences, &scopes, &contracted.scopes);
    if audiences.is_empty() || (contracted.scopes.is_empty() && !scopes.is_empty()) {
        return None;
    }
    let mut members = json!({
        "iss": issuer,
        "sub": live.grant.subject(),
        "aud": audience_claim(&audiences, issuer),
        "client_id": live.grant.client_id,
        "scope": contracted.scopes,
        "jti": live.token.jti,
        "iat": live.token.issued_at.seconds(),
        "exp": live.token.expires_at.seconds(),
        "grant_id": live.grant.grant_id,
    });
    about_the_login(&mut members, &live.grant);
    if let Value::Object(members) = &mut members {
        members.extend(contracted.claims);
    }
    let audience = audiences.iter().next().filter(|_| audiences.len() == 1).map(str::to_owned);
    Some(Told { members, audience, expires_at: live.token.expires_at, token: live.token.clone() })
}

/// How long an answer may be kept: whole seconds, never beyond the token or the JWT in the answer.
fn max_age(told: &Told, inner_token: Duration, now: Time) -> u64 {
    // `exp` of both is in whole seconds.
    let exp = told.expires_at.min(now.plus(inner_token)).seconds();
    Time::from_seconds(exp).since(now).as_secs()
}
