use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::header;

use crate::error::OAuthError;
use crate::{SharedIdentity, cors, keys};

pub fn routes() -> Router<SharedIdentity> {
    cors::open(Router::new().route("/jwks", get(show_jwks)))
}

async fn show_jwks(State(identity): State<SharedIdentity>) -> Result<Response, OAuthError> {
    let jwks = keys::ring(&identity).await?.jwks(identity.clock.now());
    // Never longer than half of what a key is announced for, so that no verifier meets one it has not seen.
    let kept = Duration::from_secs(300).min(identity.config.keys.announce / 2).as_secs();
    let headers = [
        (header::CONTENT_TYPE, "application/jwk-set+json".to_owned()),
        (header::CACHE_CONTROL, format!("public, max-age={kept}")),
    ];
    Ok((headers, Json(jwks)).into_response())
}
