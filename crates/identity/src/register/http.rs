use axum::body::Bytes;
use axum::extract::{Path, Query};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base::ids::ClientId;
use http::{HeaderMap, HeaderName, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::revocation::{self, Revocation};
use super::rotation::{self, Rotation};
use super::{Done, Error, MOST_LISTED, managed, registrar, store};
use crate::{Cx, SharedIdentity, clients};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Guards: a registrar's token (or none, where registration is open); a registration access token or its registrar's.
pub fn routes() -> Router<SharedIdentity> {
    Router::new()
        .route("/register", post(register_client).get(list_clients))
        .route("/register/{client}", get(show_client).put(update_client).delete(delete_client))
        .route("/register/{client}/secret", post(rotate_secret))
        .route("/register/{client}/revoke", post(revoke_tokens))
}

async fn register_client(mut cx: Cx, headers: HeaderMap, body: Bytes) -> Result<Response, Error> {
    let registrar = registrar(&mut cx, &headers).await?;
    let key = idempotency_key(&headers)?;
    let request = json(&headers, &body)?;
    let answer = super::register(&mut cx, &registrar, key, &request).await?;
    cx.commit().await?;
    Ok(respond(StatusCode::CREATED, &answer))
}

#[derive(Deserialize)]
struct Which {
    software_id: Option<String>,
    cursor: Option<String>,
    limit: Option<u32>,
}

/// Ours: a registrar's own clients, so that it can compare them with what it remembers.
async fn list_clients(mut cx: Cx, headers: HeaderMap, Query(which): Query<Which>) -> Result<Response, Error> {
    let registrar = match registrar(&mut cx, &headers).await? {
        registrar @ super::Registrar::Client(_) => registrar,
        // Of an initial access token there may be many holders, strangers to each other.
        super::Registrar::Initial(_) | super::Registrar::Open(_) => return Err(Error::unauthorized()),
    };
    let limit = which.limit.unwrap_or(MOST_LISTED).clamp(1, MOST_LISTED);
    let after = which.cursor.as_deref().unwrap_or_default();
    let software_id = which.software_id.as_deref();
    let listed = store::list(&mut cx, &registrar.name(), software_id, after, limit).await?;
    let full = u32::try_from(listed.len()).is_ok_and(|count| count == limit);
    let next = listed.last().filter(|_| full).map(|last| last.client_id.clone());
    let issuer = &cx.identity.config.issuer;
    let shown = listed.iter().map(|client| {
        json!({
            "client_id": client.client_id,
            "client_name": client.spec.get("displayName"),
            "software_id": client.software_id,
            "client_id_issued_at": client.created_at.seconds(),
            "registration_client_uri": format!("{issuer}/register/{}", client.client_id),
        })
    });
    Ok(respond(StatusCode::OK, &json!({"clients": shown.collect::<Vec<_>>(), "next": next})))
}

async fn show_client(mut cx: Cx, headers: HeaderMap, Path(client): Path<ClientId>) -> Result<Response, Error> {
    let managed = managed(&mut cx, &headers, &client).await?;
    let done = Done { client: managed.client, registration: managed.registration, secret: None, token: managed.own };
    let answer = done.answer(&mut cx).await?;
    cx.commit().await?;
    Ok(respond(StatusCode::OK, &answer))
}

async fn update_client(
    mut cx: Cx,
    headers: HeaderMap,
    Path(client): Path<ClientId>,
    body: Bytes,
) -> Result<Response, Error> {
    let managed = managed(&mut cx, &headers, &client).await?;
    let request = json(&headers, &body)?;
    let answer = super::update(&mut cx, managed, &request).await?;
    cx.commit().await?;
    Ok(respond(StatusCode::OK, &answer))
}

async fn delete_client(mut cx: Cx, headers: HeaderMap, Path(client): Path<ClientId>) -> Result<Response, Error> {
    let managed = managed(&mut cx, &headers, &client).await?;
    clients::delete(&mut cx, &managed.client.client_id).await?;
    cx.commit().await?;
    Ok((StatusCode::NO_CONTENT, [(header::CACHE_CONTROL, "no-store")]).into_response())
}

async fn rotate_secret(
    mut cx: Cx,
    headers: HeaderMap,
    Path(client): Path<ClientId>,
    body: Bytes,
) -> Result<Response, Error> {
    let managed = managed(&mut cx, &headers, &client).await?;
    let rotation = match body.is_empty() {
        true => Rotation::default(),
        false => serde_json::from_value(json(&headers, &body)?)
            .map_err(|_| Error::invalid_request("the body may have `overlap`, a number of seconds"))?,
    };
    let answer = rotation::rotate(&mut cx, &managed, &rotation).await?;
    cx.commit().await?;
    Ok(respond(StatusCode::OK, &answer))
}

/// Ours: the end of what the client holds, of one grant or of all.
async fn revoke_tokens(
    mut cx: Cx,
    headers: HeaderMap,
    Path(client): Path<ClientId>,
    body: Bytes,
) -> Result<Response, Error> {
    let managed = managed(&mut cx, &headers, &client).await?;
    let asked = match body.is_empty() {
        true => Revocation::default(),
        false => serde_json::from_value(json(&headers, &body)?)
            .map_err(|_| Error::invalid_request("the body may have `grant_id`, a text"))?,
    };
    let answer = revocation::revoke(&mut cx, &managed, &asked).await?;
    cx.commit().await?;
    Ok(respond(StatusCode::OK, &answer))
}

fn json(headers: &HeaderMap, body: &Bytes) -> Result<Value, Error> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(Error::invalid_request("the body must be application/json"));
    }
    // A list is none: its items would be taken for the members, in their order.
    match serde_json::from_slice(body) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err(Error::invalid_request("the body must be a JSON object")),
        Err(_) => Err(Error::invalid_request("the body is not JSON")),
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Error> {
    let wrong = || Error::invalid_request("Idempotency-Key must be 1 to 255 printable characters, once");
    let mut lines = headers.get_all(IDEMPOTENCY_KEY).iter();
    match (lines.next(), lines.next()) {
        (None, _) => Ok(None),
        (Some(line), None) => {
            let key = line.to_str().map_err(|_| wrong())?.trim();
            if (1..=255).contains(&key.len()) { Ok(Some(key)) } else { Err(wrong()) }
        }
        (Some(_), Some(_)) => Err(wrong()),
    }
}

fn respond(status: StatusCode, answer: &Value) -> Response {
    let headers = [(header::CACHE_CONTROL, "no-store"), (header::PRAGMA, "no-cache")];
    (status, headers, Json(answer)).into_response()
}
