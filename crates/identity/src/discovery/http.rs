use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::{HeaderValue, header};

use crate::{SharedIdentity, cors};

/// Guard: public.
pub fn routes() -> Router<SharedIdentity> {
    let routes = Router::new()
        .route("/.well-known/openid-configuration", get(show_metadata))
        .route("/.well-known/oauth-authorization-server", get(show_metadata));
    cors::open(routes)
}

async fn show_metadata(State(identity): State<SharedIdentity>) -> Response {
    let mut response = Json(super::metadata(&identity.config)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    response
}
