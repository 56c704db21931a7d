//! What of a grant a token request takes: never more than the grant, than the client may have today, and
//! than the claims contract lets it have.

use std::net::IpAddr;

use base::scope::Scopes;

use super::form::Form;
use crate::Cx;
use crate::claims;
use crate::clients::Client;
use crate::error::{OAuthError, invalid_grant, invalid_request, invalid_scope, invalid_target};
use crate::grants::Grant;
use crate::handles;
use crate::policy::{self, Requester, Ruling};
use crate::scopes::{self, Audiences};

/// The scopes and audiences of one access token, with the numbers of their sets.
#[derive(Debug, Clone)]
pub(super) struct Selection {
    pub scopes: Scopes,
    pub audiences: Audiences,
    pub scope_set: i64,
    pub audience_set: i64,
}

pub(super) fn requested_scopes(form: &Form) -> Result<Option<Scopes>, OAuthError> {
    let parsed = form.get("scope").map(Scopes::parse).transpose();
    parsed.map_err(|_| invalid_request("`scope` holds a character that is not allowed"))
}

/// Keeps the scopes whose contract is kept and that policy grants, and numbers the sets. Before the first write.
pub(super) async fn settle(
    cx: &Cx,
    requester: &Requester<'_>,
    scopes: &Scopes,
    audiences: Audiences,
) -> Result<Selection, OAuthError> {
    let catalog = scopes::catalog(&cx.identity).await?;
    let contracted = claims::contracted(&catalog, requester.person, &requester.client.spec, scopes);
    if contracted.scopes.is_empty() && !scopes.is_empty() {
        return Err(invalid_scope("a claim that the scope stands for is missing")
            .cause(format!("scopes without their claims: {}", contracted.missing)));
    }
    let granted = match policy::ask(cx, requester, &contracted.scopes).await? {
        Ruling::Granted { scopes, .. } => scopes,
        Ruling::Denied(denied) => return Err(denied.at_token_endpoint(requester.grant_type)),
    };
    let audiences = catalog.audiences_left(&audiences, scopes, &granted);
    let scope_set = handles::id_of(&cx.identity, &granted.to_string()).await?;
    let audience_set = handles::id_of(&cx.identity, &audiences.to_string()).await?;
    Ok(Selection { scopes: granted, audiences, scope_set, audience_set })
}

/// Whose grant a token request takes from, and how.
#[derive(Clone, Copy)]
pub(super) struct Taking<'a> {
    pub client: &'a Client,
    pub grant: &'a Grant,
    pub grant_type: &'static str,
}

/// The part of a user's grant that the request asks for; by default all of it.
pub(super) async fn of_grant(
    cx: &mut Cx,
    taking: Taking<'_>,
    requested: Option<Scopes>,
    resources: &[String],
) -> Result<Selection, OAuthError> {
    let Taking { client, grant, grant_type } = taking;
    let catalog = scopes::catalog(&cx.identity).await?;
    let asked: Audiences = resources.iter().map(String::as_str).collect();
    let covered = grant.audiences.intersection(&catalog.allowed_audiences(client));
    if !asked.is_subset(&covered) {
        // RFC 8707 §2.2: no widening.
        return Err(invalid_target("the grant does not cover this resource"));
    }
    let audiences = if asked.is_empty() { covered } else { asked };
    if requested.as_ref().is_some_and(|requested| !requested.is_subset(&grant.scopes)) {
        // RFC 6749 §6: no widening.
        return Err(invalid_scope("the grant does not cover this scope"));
    }
    let asked = requested.unwrap_or_else(|| grant.scopes.clone()).intersection(&client.spec.scopes);
    let scopes = catalog.scopes_within(&asked, &audiences);
    let mut audiences = audiences;
    if asked.iter().any(|scope| !catalog.knows(scope)) {
        if scopes.is_empty() {
            return Err(invalid_scope("none of the scopes is there any more"));
        }
        // Nobody knows to whom a scope belonged that is declared no more: an audience stays if it has another
        // scope here, or is the client's without one.
        let held = |audience: &&str| scopes.iter().any(|scope| catalog.audience_of(scope) == Some(*audience));
        let own = |audience: &&str| client.spec.audiences.contains(audience);
        audiences = audiences.iter().filter(|audience| held(audience) || own(audience)).collect();
    }
    // Who asks for less of the scopes, and names no resource, gets a token for fewer audiences.
    let audiences = match resources {
        [] => catalog.audiences_left(&audiences, &grant.scopes, &scopes),
        _ => audiences,
    };
    let person = match &grant.user_id {
        Some(user_id) => {
            let person = claims::person(cx, user_id).await?;
            Some(person.ok_or_else(|| invalid_grant("the grant is no longer valid"))?)
        }
        None => None,
    };
    let requester = Requester {
        client,
        person: person.as_ref(),
        grant_type,
        login: grant.into(),
        network: network_of(cx, &taking),
    };
    settle(cx, &requester, &scopes, audiences).await
}

/// Where the person is: at the moment of a code where the browser was; later only an application on the person's own
/// device is where the person is.
fn network_of(cx: &Cx, taking: &Taking<'_>) -> Option<IpAddr> {
    match taking.grant_type {
        "authorization_code" => taking.grant.network,
        _ => taking.client.is_public().then_some(cx.network),
    }
}
