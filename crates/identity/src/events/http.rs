use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use http::{HeaderMap, HeaderName, header};
use serde::Deserialize;
use serde_json::json;

use super::poll::{self, DEFAULT_WAIT, MAX_WAIT, PollRequest};
use crate::clients::{self, touch_secret};
use crate::cx::Actor;
use crate::error::{OAuthError, access_denied, invalid_request, invalid_token};
use crate::scopes::EVENTS_POLL;
use crate::token::bearer::bearer;
use crate::token::client_auth::{Authenticated, authenticate_confidential};
use crate::token::form::Form;
use crate::token::live;
use crate::{Cx, SharedIdentity};

const STREAM: HeaderName = HeaderName::from_static("cardea-stream");

/// Guard: client.
pub fn routes() -> Router<SharedIdentity> {
    Router::new().route("/events/poll", post(poll_events))
}

#[derive(Deserialize)]
struct Place {
    stream: Option<String>,
    /// Milliseconds to hold an empty answer.
    wait: Option<u64>,
}

/// Who polls. The body is JSON, so that a client shows itself by header: by its secret, or by a token of its own that
/// it got by `private_key_jwt`.
async fn receiver(cx: &mut Cx, headers: &HeaderMap) -> Result<Authenticated, OAuthError> {
    let refused = || access_denied("the client may not poll events");
    let by = match bearer(headers)? {
        None => authenticate_confidential(cx, headers, &Form::parse(b"")?).await?,
        Some(token) => {
            let live = live::for_us(cx, token, EVENTS_POLL).await?;
            let live = live.ok_or_else(|| {
                let error = invalid_token("the token is not good for events");
                error.challenge("Bearer realm=\"cardea\", error=\"invalid_token\"")
            })?;
            let client = clients::find(cx, &live.client.client_id).await?.ok_or_else(refused)?;
            cx.actor = Actor::Client(client.client_id.clone());
            Authenticated { client, secret_id: None }
        }
    };
    if by.client.spec.events { Ok(by) } else { Err(refused()) }
}

async fn poll_events(
    State(identity): State<SharedIdentity>,
    mut cx: Cx,
    Query(place): Query<Place>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, OAuthError> {
    let by = receiver(&mut cx, &headers).await?;
    let stream = place.stream.as_deref().unwrap_or("default");
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if !(1..=64).contains(&stream.len()) || !stream.bytes().all(fine) {
        return Err(invalid_request("`stream` must be 1 to 64 letters, digits, - . _ or ~"));
    }
    let request: PollRequest = match body.first() {
        None => PollRequest::default(),
        // An array would be read as the members in their order.
        Some(b'[') => return Err(invalid_request("the body is not a poll request")),
        Some(_) => serde_json::from_slice(&body).map_err(|_| invalid_request("the body is not a poll request"))?,
    };
    let opened = poll::place(&mut cx, &by.client.client_id, stream, &request).await?;
    if let (true, Some(secret_id)) = (opened.wrote, &by.secret_id) {
        touch_secret(&mut cx, secret_id).await?;
    }
    cx.commit().await?;

    let wait = place.wait.map_or(DEFAULT_WAIT, Duration::from_millis).min(MAX_WAIT);
    let answer = poll::poll(&identity, &by.client.client_id, opened.position, request, wait).await?;

    identity.metrics.events(answer.sets.len());
    let continuity = if opened.is_new { "new" } else { "resumed" };
    let headers = [(header::CACHE_CONTROL, "no-store"), (STREAM, continuity)];
    let body = json!({"sets": answer.sets, "moreAvailable": answer.more_available});
    Ok((headers, Json(body)).into_response())
}
