//! The token endpoint (RFC 6749 §3.2): THE LIST of grants, one file per grant, and what they share.
//!
//! Order within a grant: read everything, number the sets, then write, then commit, and only then seal and
//! sign, so that nobody waits for a signature while a transaction is open.

pub mod assertion;
mod authorization_code;
pub mod bearer;
pub mod client_auth;
mod client_credentials;
mod exchange;
pub mod form;
mod http;
pub mod issue;
pub mod live;
mod refresh_token;
mod select;
mod store;

use ::http::HeaderMap;

pub use http::routes;

use crate::Cx;
use crate::clients::{GrantType, touch_secret};
use crate::error::{OAuthError, invalid_request, unauthorized_client, unsupported_grant_type};
use client_auth::{Authenticated, authenticate};
use form::Form;
use issue::Plan;

/// THE LIST: every `grant_type`, also as discovery names them.
pub const GRANTS: [(&str, GrantType); 4] = [
    ("authorization_code", GrantType::AuthorizationCode),
    ("refresh_token", GrantType::RefreshToken),
    ("client_credentials", GrantType::ClientCredentials),
    (exchange::GRANT_TYPE, GrantType::TokenExchange),
];

/// What a token request comes to. An error may say `.keep()`: what was written is committed all the same.
async fn exchange(cx: &mut Cx, headers: &HeaderMap, form: &Form) -> (&'static str, Result<Plan, OAuthError>) {
    let named = form.get("grant_type").and_then(|name| GRANTS.iter().find(|(own, _)| *own == name));
    let label = named.map_or("none", |(name, _)| name);
    // The client first: who is nobody learns nothing else (RFC 6749 §3.2.1).
    let by = match authenticate(cx, headers, form).await {
        Ok(by) => by,
        Err(error) => return (label, Err(error)),
    };
    let Some((_, grant_type)) = named else {
        return (label, Err(not_a_grant(form)));
    };
    (label, run(cx, &by, *grant_type, form).await)
}

fn not_a_grant(form: &Form) -> OAuthError {
    match form.get("grant_type") {
        None => invalid_request("`grant_type` is missing"),
        Some(_) => unsupported_grant_type("the grant type is not supported"),
    }
}

async fn run(cx: &mut Cx, by: &Authenticated, grant_type: GrantType, form: &Form) -> Result<Plan, OAuthError> {
    if !by.client.may_use(grant_type) {
        return Err(unauthorized_client("the client may not use this grant type"));
    }
    let plan = match grant_type {
        GrantType::AuthorizationCode => authorization_code::exchange(cx, by, form).await?,
        GrantType::RefreshToken => refresh_token::exchange(cx, by, form).await?,
        GrantType::ClientCredentials => client_credentials::exchange(cx, by, form).await?,
        GrantType::TokenExchange => exchange::exchange(cx, by, form).await?,
    };
    if let Some(secret_id) = &by.secret_id {
        touch_secret(cx, secret_id).await?;
    }
    Ok(plan)
}
