use std::time::Duration;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;

use crate::SharedEntitlement;
use crate::error::Refused;

#[derive(Debug, Default, Deserialize)]
pub struct Waiting {
    /// Seconds to wait for a change.
    #[serde(default)]
    wait: u64,
}

pub async fn show_snapshot(
    State(entitlement): State<SharedEntitlement>,
    Query(waiting): Query<Waiting>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let (status, etag, body) = match super::fetch(&entitlement, known, Duration::from_secs(waiting.wait)).await? {
        Some(live) => (StatusCode::OK, live.etag.clone(), Body::from(live.body.clone())),
        None => (StatusCode::NOT_MODIFIED, known.unwrap_or_default().to_owned(), Body::empty()),
    };
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    if status == StatusCode::OK {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        headers.insert(header::ETAG, etag);
    }
    Ok(response)
}
