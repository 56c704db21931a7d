use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, header};
use serde_json::Value;

use super::Asked;
use crate::callers::Called;
use crate::error::Refused;
use crate::{SharedEntitlement, json};

pub async fn evaluate(
    State(entitlement): State<SharedEntitlement>,
    called: Called,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<Response, Refused> {
    let question = super::question(json::read(&headers, &bytes)?).map_err(Refused::BadRequest)?;
    let answer = super::answer(&entitlement, &called, Asked::One(Box::new(question))).await?;
    Ok(fresh(answer))
}

pub async fn evaluate_many(
    State(entitlement): State<SharedEntitlement>,
    called: Called,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<Response, Refused> {
    let asked = super::questions(json::read(&headers, &bytes)?)?;
    let answer = super::answer(&entitlement, &called, asked).await?;
    Ok(fresh(answer))
}

pub async fn metadata(State(entitlement): State<SharedEntitlement>) -> Response {
    let mut response = Json(super::metadata(&entitlement.config.url)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    response
}

/// A decision is for now.
fn fresh(answer: Value) -> Response {
    let mut response = Json(answer).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
