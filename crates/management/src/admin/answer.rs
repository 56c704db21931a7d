//! What is sent and what is answered.

use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, OriginalUri, Request};
use axum::response::{IntoResponse, Response};
use base::problem::FieldError;
use bytes::Bytes;
use catalog::Resource;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use jose::hash::{base64url, base64url_decode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::Refused;
use crate::registry::Expected;

/// A body, not yet read: who may not do a thing is not told what is wrong with how they asked for it.
pub(crate) struct Sent(Bytes);

impl<S: Send + Sync> FromRequest<S> for Sent {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        Bytes::from_request(request, state).await.map(Self).map_err(IntoResponse::into_response)
    }
}

impl Sent {
    /// All that is wrong is told at once, each fault with its pointer.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Refused> {
        let value: Value = serde_json::from_slice(&self.0)
            .map_err(|error| Refused::BadRequest(format!("the body is not the JSON that is expected: {error}")))?;
        Resource::new("Body", "body", value).read::<T>().map_err(|faults| {
            let pointer = |text: &str| text.strip_prefix("/spec").unwrap_or(text).to_owned();
            let errors =
                faults.into_iter().map(|fault| FieldError { pointer: pointer(&fault.pointer), detail: fault.message });
            Refused::Invalid("the body has errors".to_owned(), errors.collect())
        })
    }

    pub fn or_default<T: DeserializeOwned + Default>(&self) -> Result<T, Refused> {
        if self.0.is_empty() { Ok(T::default()) } else { self.read() }
    }
}

/// The query, whose faults are problems too.
pub(crate) struct Asked<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let query = parts.uri.query().unwrap_or_default();
        serde_urlencoded::from_str(query)
            .map(Self)
            .map_err(|error| Refused::BadRequest(format!("the query is not what is expected: {error}")))
    }
}

/// Which page of a list.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Paging {
    pub limit: Option<usize>,
    pub cursor: Option<String>,
}

impl Paging {
    pub fn limit(&self) -> usize {
        self.limit.unwrap_or(50).clamp(1, 500)
    }

    /// Where the page before ended, as it was given to [`page`].
    pub fn after<T: DeserializeOwned>(&self) -> Result<Option<T>, Refused> {
        let Some(cursor) = &self.cursor else { return Ok(None) };
        let value = base64url_decode(cursor).and_then(|bytes| serde_json::from_slice(&bytes).ok());
        value
            .map(Some)
            .ok_or_else(|| Refused::BadRequest("this cursor was not given out here; begin without one".to_owned()))
    }
}

/// A page: its items, and where the next one begins if there is more. Whoever follows `next` sees all that was there
/// when they began, each once: a cursor holds the key of the last item, never a number of items.
pub(crate) fn page<T: Serialize>(
    OriginalUri(uri): &OriginalUri,
    items: &[T],
    next: Option<impl Serialize>,
) -> Response {
    let next = next.and_then(|next| serde_json::to_vec(&next).ok()).map(|bytes| base64url(&bytes));
    let mut response = ok(&json!({"items": items, "next": next}));
    if let Some(link) = next.and_then(|next| HeaderValue::try_from(link(uri, &next)).ok()) {
        response.headers_mut().insert(header::LINK, link);
    }
    response
}

/// RFC 8288 §3, relative to the address that was asked.
fn link(uri: &Uri, cursor: &str) -> String {
    let kept =
        uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("cursor="));
    let query: Vec<&str> = kept.collect();
    let query = if query.is_empty() { String::new() } else { format!("{}&", query.join("&")) };
    format!("<{}?{query}cursor={cursor}>; rel=\"next\"", uri.path())
}

pub(crate) fn ok(value: &impl Serialize) -> Response {
    let mut response = Json(value).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

pub(crate) fn done() -> Response {
    ok(&json!({"done": true}))
}

pub(crate) fn created(location: &str, value: &impl Serialize) -> Response {
    let mut response = ok(value);
    *response.status_mut() = StatusCode::CREATED;
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// With the tag that `If-Match` takes.
pub(crate) fn tagged(mut response: Response, revision: i64) -> Response {
    if let Ok(etag) = HeaderValue::try_from(format!("\"{revision}\"")) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response
}

/// `If-None-Match: *` and `If-Match: "revision"` (RFC 9110 §13.1).
pub(crate) fn expected(headers: &HeaderMap) -> Result<Expected, Refused> {
    let text = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or("?").trim());
    match (text(header::IF_NONE_MATCH), text(header::IF_MATCH)) {
        (None, None) => Ok(Expected::Anything),
        (Some("*"), None) => Ok(Expected::Nothing),
        (None, Some(tag)) => tag
            .strip_prefix('"')
            .and_then(|tag| tag.strip_suffix('"'))
            .and_then(|tag| tag.parse().ok())
            .map(Expected::Head)
            .ok_or_else(|| Refused::Stale("`If-Match` takes one tag, as `ETag` gives it".to_owned())),
        _ => Err(Refused::BadRequest("one of `If-Match: \"…\"` and `If-None-Match: *` can be asked for".to_owned())),
    }
}
