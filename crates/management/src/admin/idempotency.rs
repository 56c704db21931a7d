//! `Idempotency-Key` on POST: one effect, however often a client that saw no answer repeats itself.
//!
//! The key is claimed before the work, and marked as done in the transaction of the effect; so also one that was
//! killed between effect and answer is not done twice. A claim that nobody holds any more is taken over, and the one
//! who had it cannot commit. Answers are kept sealed for 24 hours: they may hold what is shown once.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use base::Problem;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use jose::hash::{base64url, base64url_decode, sha256};
use serde::{Deserialize, Serialize};

use super::store::{self, Claimed};
use crate::SharedManagement;
use crate::cx::{Called, Cx};
use crate::error::Refused;
use crate::router::BODY_LIMIT;
use ::store::StoreError;

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// How long an answer is kept.
pub(super) const KEPT: Duration = Duration::from_secs(24 * 3600);
/// No request lives so long: who has not committed by then never will.
pub(super) const LEASE: Duration = Duration::from_secs(120);

/// The answer's fields that belong to what was done.
const FIELDS: [HeaderName; 4] = [header::CONTENT_TYPE, header::LOCATION, header::ETAG, header::CACHE_CONTROL];

/// The right to do a thing, once.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub caller: String,
    pub key: String,
    pub attempt: i64,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    status: u16,
    fields: Vec<(String, String)>,
    body: String,
}

/// In the transaction of the effect. Who has lost the claim has no effect.
pub(crate) async fn done(cx: &mut Cx, claim: &Claim) -> Result<(), StoreError> {
    if store::effect(cx, claim).await? {
        return Ok(());
    }
    Err(StoreError::Conflict("another request has taken over its Idempotency-Key".into()))
}

pub(crate) async fn idempotent(State(management): State<SharedManagement>, request: Request, next: Next) -> Response {
    if request.method() != Method::POST || !request.headers().contains_key(KEY) {
        return next.run(request).await;
    }
    let Some(key) = key_of(request.headers()) else {
        let why = "`Idempotency-Key` stands once and has 1 to 255 visible characters";
        return Refused::BadRequest(why.to_owned()).into_response();
    };
    let caller = request.extensions().get::<Called>().map_or_else(String::new, |called| called.0.to_string());
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_LIMIT).await else { return too_large() };
    let fingerprint = fingerprint(&parts.uri.to_string(), &body);
    match claim(&management, &caller, &key, &fingerprint).await {
        Err(error) => error.into_response(),
        Ok(Claimed::Kept(Some(answer))) => replay(&management, &caller, &key, &answer),
        // Done, and the process ended before its answer was kept.
        Ok(Claimed::Kept(None)) => Problem::new(
            StatusCode::CONFLICT,
            "idempotency_answer_lost",
            "this was done already, and its answer is lost",
        )
        .detail("look at what it made; do not send it again")
        .into_response(),
        Ok(Claimed::Differs) => {
            let title = "this `Idempotency-Key` was used for another request";
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_mismatch", title).into_response()
        }
        Ok(Claimed::InFlight) => {
            let title = "a request with this `Idempotency-Key` is under way";
            let mut response: Response =
                Problem::new(StatusCode::CONFLICT, "idempotency_in_flight", title).into_response();
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            response
        }
        Ok(Claimed::Yours(attempt)) => {
            let claim = Claim { caller, key, attempt };
            let mut request = Request::from_parts(parts, Body::from(body));
            request.extensions_mut().insert(claim.clone());
            let response = next.run(request).await;
            finish(&management, &claim, response).await
        }
    }
}

fn key_of(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all(KEY).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let text = value.to_str().ok()?;
    ((1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())).then(|| text.to_owned())
}

fn fingerprint(target: &str, body: &[u8]) -> String {
    base64url(&sha256(&[target.as_bytes(), b"\n", body].concat()))
}

async fn claim(management: &SharedManagement, caller: &str, key: &str, fingerprint: &str) -> Result<Claimed, Refused> {
    let mut cx = Cx::system(management);
    let claimed = store::claim(&mut cx, caller, key, fingerprint).await?;
    cx.commit().await?;
    Ok(claimed)
}

/// Keeps the answer of what was done; what had no effect may be tried again.
async fn finish(management: &SharedManagement, claim: &Claim, response: Response) -> Response {
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let fields = FIELDS
        .iter()
        .filter_map(|name| Some((name.as_str().to_owned(), parts.headers.get(name)?.to_str().ok()?.to_owned())));
    let kept = Kept { status: parts.status.as_u16(), fields: fields.collect(), body: base64url(&body) };
    let plain = serde_json::to_vec(&kept).unwrap_or_default();
    let sealed = base64url(&management.seal.derive("idempotency").seal(&aad(&claim.caller, &claim.key), &plain));
    let mut cx = Cx::system(management);
    let stored = async {
        if parts.status.as_u16() < 400 || !store::release(&mut cx, claim).await? {
            store::keep(&mut cx, claim, &sealed).await?;
        }
        cx.commit().await
    };
    if let Err(cause) = stored.await {
        tracing::error!(%cause, "the answer to a request with an Idempotency-Key is not kept");
    }
    Response::from_parts(parts, Body::from(body))
}

fn replay(management: &SharedManagement, caller: &str, key: &str, sealed: &str) -> Response {
    let opened = base64url_decode(sealed)
        .and_then(|sealed| management.seal.derive("idempotency").open(&aad(caller, key), &sealed))
        .and_then(|plain| serde_json::from_slice::<Kept>(&plain).ok());
    let Some(kept) = opened else {
        return Refused::Conflict("this was done already, and its answer cannot be read".to_owned()).into_response();
    };
    let body = Bytes::from(base64url_decode(&kept.body).unwrap_or_default());
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(kept.status).unwrap_or(StatusCode::OK);
    for (name, value) in kept.fields {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

fn aad(caller: &str, key: &str) -> Vec<u8> {
    format!("{caller}\n{key}").into_bytes()
}

fn too_large() -> Response {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "the body is too large").into_response()
}
