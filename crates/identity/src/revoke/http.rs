use axum::Router;
use axum::body::Bytes;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::{HeaderMap, StatusCode, header};

use crate::clients::touch_secret;
use crate::error::{OAuthError, invalid_request};
use crate::token::client_auth::authenticate;
use crate::token::form::Form;
use crate::{Cx, SharedIdentity, cors};

/// Guard: client.
pub fn routes() -> Router<SharedIdentity> {
    cors::open(Router::new().route("/revoke", post(revoke_token)))
}

async fn revoke_token(mut cx: Cx, headers: HeaderMap, body: Bytes) -> Result<Response, OAuthError> {
    let form = Form::read(&headers, &body)?;
    let by = authenticate(&mut cx, &headers, &form).await?;
    // `token_type_hint` only saves a server look-ups (§2.1); here the token says what it is.
    let token = form.get("token").ok_or_else(|| invalid_request("`token` is missing"))?;
    if let Some(secret_id) = &by.secret_id {
        touch_secret(&mut cx, secret_id).await?;
    }
    super::revoke(&mut cx, &by.client, token).await?;
    cx.commit().await?;
    Ok((StatusCode::OK, [(header::CACHE_CONTROL, "no-store")]).into_response())
}
