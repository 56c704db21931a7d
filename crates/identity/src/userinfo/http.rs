use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::{HeaderMap, StatusCode, header};

use super::claims_of;
use crate::error::{OAuthError, insufficient_scope, invalid_request, invalid_token};
use crate::token::live;
use crate::{Cx, SharedIdentity, cors, scopes};

/// Guard: token(openid).
pub fn routes() -> Router<SharedIdentity> {
    cors::open(Router::new().route("/userinfo", get(show_userinfo).post(show_userinfo)))
}

async fn show_userinfo(
    State(identity): State<SharedIdentity>,
    mut cx: Cx,
    headers: HeaderMap,
) -> Result<Response, OAuthError> {
    let Some(token) = bearer(&headers)? else {
        // RFC 6750 §3.1: who brought nothing is told nothing but what to bring.
        return Ok((StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer realm=\"cardea\"")]).into_response());
    };
    let live = live::find(&mut cx, token).await?.ok_or_else(|| {
        let error = invalid_token("the token is unknown, expired or revoked");
        error.challenge("Bearer realm=\"cardea\", error=\"invalid_token\"")
    })?;
    let Some(person) = live.person.as_ref().filter(|_| live.scopes.contains("openid")) else {
        let error = insufficient_scope("the token needs the scope openid");
        return Err(error.challenge("Bearer realm=\"cardea\", error=\"insufficient_scope\", scope=\"openid\""));
    };
    let catalog = scopes::catalog(&identity).await?;
    let claims = claims_of(&catalog, person, &live.client, &live.scopes);
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(claims)).into_response())
}

/// The token of the one Authorization header; the scheme is Bearer in any case, and exactly that.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, OAuthError> {
    let mut lines = headers.get_all(header::AUTHORIZATION).iter();
    let (line, second) = (lines.next(), lines.next());
    let wrong = || {
        let error = invalid_request("there must be one Authorization header with a bearer token");
        error.challenge("Bearer realm=\"cardea\", error=\"invalid_request\"")
    };
    if second.is_some() {
        return Err(wrong());
    }
    let Some(line) = line else {
        return Ok(None);
    };
    let line = line.to_str().map_err(|_| wrong())?;
    let Some((scheme, token)) = line.split_once(' ') else {
        return Err(wrong());
    };
    if !scheme.eq_ignore_ascii_case("Bearer") {
        return Ok(None);
    }
    let token = token.trim_start_matches(' ');
    if token.is_empty() || token.contains(char::is_whitespace) {
        return Err(wrong());
    }
    Ok(Some(token))
}
