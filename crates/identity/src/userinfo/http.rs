use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::{HeaderMap, StatusCode, header};

use super::claims_of;
use crate::error::{OAuthError, insufficient_scope, invalid_token};
use crate::token::bearer::bearer;
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
