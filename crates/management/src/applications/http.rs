//! `/management/v1/…/applications`, and the comparison with the identity system.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Query};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use http::{StatusCode, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Application, Filter, State, Wanted};
use crate::Cx;
use crate::actor::{Right, Share};
use crate::error::Refused;
use crate::router::{Guard, Route};

pub fn routes() -> Vec<Route> {
    vec![
        ("/management/v1/applications", Guard::Api, get(list_applications)),
        (
            "/management/v1/organisations/{organisation}/applications",
            Guard::Api,
            get(list_applications_of).post(create_application),
        ),
        (
            "/management/v1/applications/{application}",
            Guard::Api,
            get(show_application).put(update_application).delete(delete_application),
        ),
        ("/management/v1/applications/{application}/credentials", Guard::Api, post(take_credentials)),
        ("/management/v1/applications/{application}/secret", Guard::Api, post(rotate_secret)),
        ("/management/v1/applications/{application}/retry", Guard::Api, post(retry_application)),
        ("/management/v1/reconcile", Guard::Api, post(reconcile_clients)),
    ]
}

#[derive(Deserialize)]
struct Question {
    state: Option<String>,
    cursor: Option<String>,
    limit: Option<u32>,
}

async fn list_applications(cx: Cx, Query(question): Query<Question>) -> Result<Response, Refused> {
    cx.need(Right::Read)?;
    page(cx, None, question).await
}

async fn list_applications_of(
    cx: Cx,
    Path(organisation): Path<String>,
    Query(question): Query<Question>,
) -> Result<Response, Refused> {
    cx.need_for(&organisation, Share::See)?;
    page(cx, Some(organisation), question).await
}

async fn page(mut cx: Cx, organisation: Option<String>, question: Question) -> Result<Response, Refused> {
    let state = match question.state.as_deref() {
        None => None,
        Some(word) => Some(State::parse(word).ok_or_else(|| {
            Refused::BadRequest("`state` is intended, registered, failed, deleting or deleted".to_owned())
        })?),
    };
    let limit = question.limit.unwrap_or(50).clamp(1, 500);
    let filter = Filter { organisation, state, after: question.cursor };
    let found = super::list(&mut cx, &filter, limit.into()).await?;
    let full = u32::try_from(found.len()).is_ok_and(|many| many == limit);
    let next = found.last().filter(|_| full).map(|last| last.id.clone());
    let items: Vec<Value> = found.iter().map(view).collect();
    Ok(shown(StatusCode::OK, &json!({"items": items, "next": next})))
}

async fn create_application(mut cx: Cx, Path(organisation): Path<String>, body: Bytes) -> Result<Response, Refused> {
    cx.need_for(&organisation, Share::Develop)?;
    let wanted: Wanted = read(&body)?;
    let made = super::create(&mut cx, &organisation, &wanted).await?;
    let mut response = after(cx, made, StatusCode::CREATED).await?;
    let location = format!("/management/v1/applications/{}", response.1);
    if let Ok(location) = location.parse() {
        response.0.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response.0)
}

async fn show_application(mut cx: Cx, Path(id): Path<String>) -> Result<Response, Refused> {
    Ok(shown(StatusCode::OK, &view(&super::see(&mut cx, &id).await?)))
}

async fn update_application(mut cx: Cx, Path(id): Path<String>, body: Bytes) -> Result<Response, Refused> {
    super::see(&mut cx, &id).await?;
    let wanted: Wanted = read(&body)?;
    let changed = super::update(&mut cx, &id, &wanted).await?;
    Ok(after(cx, changed, StatusCode::OK).await?.0)
}

async fn delete_application(mut cx: Cx, Path(id): Path<String>) -> Result<Response, Refused> {
    super::delete(&mut cx, &id).await?;
    let management = cx.management.clone();
    cx.commit().await?;
    let found = super::go_on(&management, &id).await?;
    let state = found.map_or("deleted", |found| found.state.as_str());
    let status = if state == "deleted" { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok(shown(status, &json!({"id": id, "state": state})))
}

/// The client's id and secret: told once.
async fn take_credentials(mut cx: Cx, Path(id): Path<String>) -> Result<Response, Refused> {
    let taken = super::take_credentials(&mut cx, &id).await?;
    let taken = taken.ok_or_else(|| {
        Refused::Conflict("there is no secret that has not been shown; exchange it for another".to_owned())
    })?;
    cx.commit().await?;
    Ok(shown(StatusCode::OK, &json!({"clientId": taken.client, "clientSecret": taken.secret.expose()})))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotation {
    /// Seconds for which the secret in use stays good.
    overlap: Option<u64>,
}

async fn rotate_secret(mut cx: Cx, Path(id): Path<String>, body: Bytes) -> Result<Response, Refused> {
    super::see(&mut cx, &id).await?;
    let asked: Rotation = if body.is_empty() { Rotation::default() } else { read(&body)? };
    let changed = super::rotate(&mut cx, &id, asked.overlap.map(Duration::from_secs)).await?;
    Ok(after(cx, changed, StatusCode::OK).await?.0)
}

async fn retry_application(mut cx: Cx, Path(id): Path<String>) -> Result<Response, Refused> {
    let changed = super::retry(&mut cx, &id).await?;
    Ok(after(cx, changed, StatusCode::OK).await?.0)
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Comparison {
    #[serde(default)]
    repair: bool,
}

async fn reconcile_clients(cx: Cx, body: Bytes) -> Result<Response, Refused> {
    cx.need(Right::Administer)?;
    let asked: Comparison = if body.is_empty() { Comparison::default() } else { read(&body)? };
    let report = super::reconcile(&cx, asked.repair).await?;
    if asked.repair {
        super::reconcile::finish(&cx.management).await?;
    }
    Ok(shown(StatusCode::OK, &json!(report)))
}

/// Commits what is wanted, and waits a moment for the identity system.
async fn after(cx: Cx, wanted: Application, status: StatusCode) -> Result<(Response, String), Refused> {
    let management = cx.management.clone();
    cx.commit().await?;
    let found = super::go_on(&management, &wanted.id).await?.unwrap_or(wanted);
    Ok((shown(status, &view(&found)), found.id))
}

/// As the interface shows it.
pub fn view(application: &Application) -> Value {
    json!({
        "id": application.id,
        "organisation": application.organisation,
        "name": application.name,
        "kind": application.kind,
        "redirectUris": application.redirect_uris,
        "scopes": application.scopes,
        "state": application.state.as_str(),
        "settled": application.is_settled,
        "clientId": application.client,
        "newSecret": application.has_new_secret,
        "attempts": application.attempts,
        "error": application.error,
        "createdAt": application.created_at,
        "createdBy": application.created_by,
        "changedAt": application.changed_at,
    })
}

fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refused> {
    serde_json::from_slice(body)
        .map_err(|error| Refused::BadRequest(format!("the body is not the JSON that is expected: {error}")))
}

fn shown(status: StatusCode, value: &Value) -> Response {
    (status, [(header::CACHE_CONTROL, "no-store")], Json(value)).into_response()
}
