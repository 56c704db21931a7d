//! The phantom token flow: an opaque token comes in, facts about it and a JWT for the service behind
//! come out (RFC 7662, RFC 9701; revocations by RFC 8417 and RFC 8936).
//!
//! What is kept is facts, never a verdict: scopes, claims and audience are looked at on every request.
//! Nothing here decides about a request; `token.rs` and `authorize.rs` do.

mod answer;
mod authority;
mod bearer;
mod cache;
mod cache_control;
mod discovery;
mod facts;
mod feed;
mod flight;
mod introspect;
mod keys;
mod mint;
#[cfg(test)]
mod tests;
mod watermarks;

pub(crate) use authority::{Audience, Authority, Core, World};
pub(crate) use bearer::{Bearer, bearer};
pub(crate) use cache::AudienceId;
pub(crate) use facts::Facts;
pub(crate) use mint::Minter;

/// Why there are no facts about a token. The first four are the caller's matter, the others ours or
/// the token service's: a denial and an outage are never mixed up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoFacts {
    /// Not a token of this issuer by its form; nobody was asked.
    Junk,
    /// The issuer says that the token is not active, or it is not an access token.
    Inactive(&'static str),
    /// The same, after a revocation of which we have heard.
    Revoked,
    /// Bound to a key (DPoP, mTLS) whose possession the caller has not shown.
    Bound,
    /// Too many questions at once.
    Busy,
    /// The token service gives no answer.
    Unavailable(&'static str),
    /// It gives an answer that cannot be trusted.
    Untrusted(&'static str),
    /// It does not take our own credentials.
    Refused,
}
