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
        let value: Value = serde_json::from_slice(&self.0).map_err(not_json)?;
        if !value.is_object() {
            // What derives its reading would take the items of a list for its members, in their order.
            return Err(Refused::BadRequest("the body is to be a JSON object".to_owned()));
        }
        Resource::new("Body", "body", value).read::<T>().map_err(|faults| {
            let pointer = |text: &str| text.strip_prefix("/spec").unwrap_or(text).to_owned();
            let errors =
                faults.into_iter().map(|fault| FieldError { pointer: pointer(&fault.pointer), detail: fault.message });
            Refused::Invalid("the body has errors".to_owned(), errors.collect())
        })
    }

    /// For what programs of ours send often; the first fault ends it.
    pub fn quickly<T: DeserializeOwned>(&self) -> Result<T, Refused> {
        serde_json::from_slice(&self.0).map_err(not_json)
    }

    pub fn or_default<T: DeserializeOwned + Default>(&self) -> Result<T, Refused> {
        if self.0.is_empty() { Ok(T::default()) } else { self.read() }
    }
}

fn not_json(error: serde_json::Error) -> Refused {
    Refused::BadRequest(format!("the body is not the JSON that is expected: {error}"))
}

/// The query, whose faults are problems too.
pub(crate) struct Asked<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        read_query(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

fn read_query<T: DeserializeOwned>(query: &str) -> Result<T, Refused> {
    serde_urlencoded::from_str(query)
        .map_err(|error| Refused::BadRequest(format!("the query is not what is expected: {error}")))
}

/// Of a list of which nothing but a page can be asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct All {}

/// Which of a list is asked for, and which page of it, which has at most `MOST` items. Whoever follows `next` sees all
/// that was there when they began, each once: a cursor holds the key of the last item, never a number of items.
pub(crate) struct Listed<T = All, const MOST: usize = 500> {
    pub which: T,
    limit: usize,
    cursor: Option<String>,
    uri: Uri,
}

impl<T: DeserializeOwned, const MOST: usize, S: Send + Sync> FromRequestParts<S> for Listed<T, MOST> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let Ok(OriginalUri(uri)) = OriginalUri::from_request_parts(parts, state).await;
        let pairs: Vec<(String, String)> = read_query(uri.query().unwrap_or_default())?;
        let (mut limit, mut cursor, mut rest) = (None, None, Vec::new());
        for (name, value) in pairs {
            let place = match name.as_str() {
                "limit" => &mut limit,
                "cursor" => &mut cursor,
                _ => {
                    rest.push((name, value));
                    continue;
                }
            };
            if place.replace(value).is_some() {
                return Err(Refused::BadRequest(format!("`{name}` stands once")));
            }
        }
        let which = read_query(&serde_urlencoded::to_string(&rest).unwrap_or_default())?;
        let limit = match limit {
            None => MOST / 10,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=MOST).contains(limit))
                .ok_or_else(|| Refused::BadRequest(format!("`limit` is a number from 1 to {MOST}")))?,
        };
        Ok(Self { which, limit, cursor, uri })
    }
}

impl<T, const MOST: usize> Listed<T, MOST> {
    /// How many to look for: one more than is shown says that there is a next page.
    pub fn many(&self) -> i64 {
        i64::try_from(self.limit.saturating_add(1)).unwrap_or(i64::MAX)
    }

    /// The key of the last item of the page before.
    pub fn after<K: DeserializeOwned>(&self) -> Result<Option<K>, Refused> {
        self.cursor.as_deref().map(opened).transpose()
    }

    pub fn limit(&self) -> usize {
        self.limit
    }

    /// What was found behind [`after`](Self::after), as a page.
    pub fn page<I, K: Serialize>(&self, found: &[I], view: impl Fn(&I) -> Value, key: impl Fn(&I) -> K) -> Response {
        let (shown, next) = self.cut(found, key);
        self.whole_page(shown, view, next)
    }

    /// All of these, and where the next page begins.
    pub fn whole_page<I>(&self, shown: &[I], view: impl Fn(&I) -> Value, next: Option<impl Serialize>) -> Response {
        let items: Vec<Value> = shown.iter().map(view).collect();
        let mut response = ok(&json!({"items": items, "next": next.as_ref().map(cursor)}));
        if let Some(next) = &next {
            self.link(&mut response, next);
        }
        response
    }

    /// A page of a list that was read whole: it is short by its nature.
    pub fn page_of<I, K: Serialize + DeserializeOwned + Ord>(
        &self,
        mut all: Vec<I>,
        view: impl Fn(&I) -> Value,
        key: impl Fn(&I) -> K,
    ) -> Result<Response, Refused> {
        let after: Option<K> = self.after()?;
        all.retain(|item| after.as_ref().is_none_or(|after| key(item) > *after));
        all.sort_by_key(&key);
        Ok(self.page(&all, view, key))
    }

    /// As many as are shown, of what was found; and the key of the last one, where there is more.
    pub fn cut<'a, I, K>(&self, found: &'a [I], key: impl Fn(&I) -> K) -> (&'a [I], Option<K>) {
        let shown = found.get(..self.limit).unwrap_or(found);
        (shown, shown.last().filter(|_| found.len() > self.limit).map(key))
    }

    /// RFC 8288 §3, relative to the address that was asked.
    pub fn link(&self, response: &mut Response, next: &impl Serialize) {
        let kept = self.uri.query().unwrap_or_default().split('&');
        let kept = kept.filter(|pair| !pair.is_empty() && !pair.starts_with("cursor="));
        let query: String = kept.flat_map(|pair| [pair, "&"]).collect();
        let link = format!("<{}?{query}cursor={}>; rel=\"next\"", self.uri.path(), cursor(next));
        if let Ok(link) = HeaderValue::try_from(link) {
            response.headers_mut().insert(header::LINK, link);
        }
    }
}

/// Opaque: what is in it is ours to change.
pub(crate) fn cursor(key: &impl Serialize) -> String {
    base64url(&serde_json::to_vec(key).unwrap_or_default())
}

pub(crate) fn opened<K: DeserializeOwned>(cursor: &str) -> Result<K, Refused> {
    let value = base64url_decode(cursor).and_then(|bytes| serde_json::from_slice(&bytes).ok());
    value.ok_or_else(|| Refused::BadRequest("this cursor was not given out here; begin without one".to_owned()))
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
