//! Step 4: who asks? Finds out what is known about the token; decides nothing but whether there is one.

use std::sync::Arc;

use catalog::CanonicalPath;
use http::HeaderValue;

use crate::cors::Cleared;
use crate::deny::Deny;
use crate::edge::{Exchange, Head};
use crate::phantom::{Bearer, Facts, NoFacts, bearer};
use crate::pipeline::Stop;
use crate::snapshot::{LiveRoute, Protection};

/// A request of which it is known who sends it: nobody in particular on a public route.
#[derive(Debug)]
pub(crate) struct Identified<'a> {
    route: &'a LiveRoute,
    path: CanonicalPath<'a>,
    facts: Option<(Arc<Facts>, &'a Protection)>,
}

impl<'a> Identified<'a> {
    pub fn facts(&self) -> Option<(&Facts, &'a Protection)> {
        self.facts.as_ref().map(|(facts, protection)| (&**facts, *protection))
    }

    pub fn route(&self) -> &'a LiveRoute {
        self.route
    }

    pub fn into_parts(self) -> (&'a LiveRoute, CanonicalPath<'a>, Option<Arc<Facts>>) {
        (self.route, self.path, self.facts.map(|(facts, _)| facts))
    }
}

pub(crate) async fn identify<'a>(
    cleared: Cleared<'a>,
    head: &Head<'_>,
    exchange: &mut Exchange,
) -> Result<Identified<'a>, Stop> {
    let protection = cleared.route().protection();
    let facts = match protection {
        None => None,
        Some(protection) => Some((ask(protection, head, exchange).await?, protection)),
    };
    let (route, path) = cleared.into_parts();
    Ok(Identified { route, path, facts })
}

/// The last characters of an opaque token, by which a person knows it again: of one of ours they are the checksum.
/// Of a short one there would not be enough left to guess.
fn end_of(token: &str) -> Option<[u8; 6]> {
    let token = token.as_bytes();
    if token.len() < 32 || memchr::memchr(b'.', token).is_some() {
        return None;
    }
    token.last_chunk().copied()
}

async fn ask(protection: &Protection, head: &Head<'_>, exchange: &mut Exchange) -> Result<Arc<Facts>, Stop> {
    let invalid = |deny: Deny, challenge: &HeaderValue| Stop::Deny(deny, Some(challenge.clone()));
    let challenges = &protection.challenges;
    let token = match bearer(head.headers) {
        Bearer::Token(token) => token,
        Bearer::None => return Err(invalid(Deny::TokenMissing, &challenges.missing)),
        Bearer::Malformed => return Err(invalid(Deny::TokenInvalid, &challenges.invalid_token)),
        Bearer::Repeated => return Err(invalid(Deny::TwoCredentials, &challenges.invalid_request)),
    };
    let (facts, how) = protection.authority.facts(token, &protection.audience).await;
    exchange.token_cache = Some(how);
    // What is junk was never asked about, and may be anything.
    if !matches!(facts, Err(NoFacts::Junk)) {
        exchange.steps.token_end = end_of(token);
    }
    match facts {
        Ok(facts) => {
            exchange.steps.grant.clone_from(&facts.grant);
            exchange.client_id.clone_from(&facts.client_id);
            exchange.subject.clone_from(&facts.subject);
            Ok(facts)
        }
        Err(why @ (NoFacts::Junk | NoFacts::Inactive(_) | NoFacts::Revoked | NoFacts::Bound)) => {
            if matches!(why, NoFacts::Inactive(_) | NoFacts::Revoked) {
                exchange.client_id = protection.authority.former_client(token, &protection.audience);
            }
            Err(invalid(why.into(), &challenges.invalid_token))
        }
        Err(why) => Err(Deny::from(why).into()),
    }
}
