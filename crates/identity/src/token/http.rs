use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use http::{HeaderMap, header};

use super::form::Form;
use super::{exchange, issue};
use crate::error::OAuthError;
use crate::{Cx, SharedIdentity, cors};

/// Guard: client.
pub fn routes() -> Router<SharedIdentity> {
    cors::open(Router::new().route("/token", post(create_token)))
}

async fn create_token(
    State(identity): State<SharedIdentity>,
    mut cx: Cx,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, OAuthError> {
    let form = Form::read(&headers, &body)?;
    let (grant_type, outcome) = exchange(&mut cx, &headers, &form).await;
    identity.metrics.token(grant_type, outcome.as_ref().map_or_else(|error| error.code, |_| "issued"));
    if outcome.as_ref().err().is_none_or(|error| error.keep) {
        cx.commit().await?;
    }
    let answer = issue::finish(&identity, &outcome?).await?;
    // RFC 6749 §5.1.
    Ok(([(header::CACHE_CONTROL, "no-store"), (header::PRAGMA, "no-cache")], Json(answer)).into_response())
}
