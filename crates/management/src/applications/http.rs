//! `/management/v1/…/applications`, and the comparison with the identity system.

use std::time::Duration;

use axum::extract::Path;
use axum::response::Response;
use axum::routing::{get, post};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Application, Filter, State, Wanted};
use crate::Cx;
use crate::actor::{Right, Share};
use crate::admin::{Listed, Sent, created, ok};
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
        ("/management/v1/applications/{application}/revoke", Guard::Api, post(revoke_tokens)),
        ("/management/v1/applications/{application}/retry", Guard::Api, post(retry_application)),
        ("/management/v1/reconcile", Guard::Api, post(reconcile_clients)),
    ]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    state: Option<String>,
}

async fn list_applications(cx: Cx, asked: Listed<Question>) -> Result<Response, Refused> {
    cx.need(Right::Read)?;
    page(cx, None, asked).await
}

async fn list_applications_of(
    cx: Cx,
    Path(organisation): Path<String>,
    asked: Listed<Question>,
) -> Result<Response, Refused> {
    cx.need_for(&organisation, Share::See)?;
    page(cx, Some(organisation), asked).await
}

async fn page(mut cx: Cx, organisation: Option<String>, asked: Listed<Question>) -> Result<Response, Refused> {
    let state = match asked.which.state.as_deref() {
        None => None,
        Some(word) => Some(State::parse(word).ok_or_else(|| {
            Refused::BadRequest("`state` is intended, registered, failed, deleting or deleted".to_owned())
        })?),
    };
    let filter = Filter { organisation, state, after: asked.after()? };
    let found = super::list(&mut cx, &filter, asked.many()).await?;
    Ok(asked.page(&found, view, |application| application.id.clone()))
}

async fn create_application(mut cx: Cx, Path(organisation): Path<String>, sent: Sent) -> Result<Response, Refused> {
    cx.need_for(&organisation, Share::Develop)?;
    let wanted: Wanted = sent.read()?;
    let made = super::create(&mut cx, &organisation, &wanted).await?;
    let made = after(cx, made).await?;
    Ok(created(&format!("/management/v1/applications/{}", made.id), &view(&made)))
}

async fn show_application(mut cx: Cx, Path(id): Path<String>) -> Result<Response, Refused> {
    Ok(ok(&view(&super::see(&mut cx, &id).await?)))
}

async fn update_application(mut cx: Cx, Path(id): Path<String>, sent: Sent) -> Result<Response, Refused> {
    super::see(&mut cx, &id).await?;
    let wanted: Wanted = sent.read()?;
    let changed = super::update(&mut cx, &id, &wanted).await?;
    Ok(ok(&view(&after(cx, changed).await?)))
}

async fn delete_application(mut cx: Cx, Path(id): Path<String>) -> Result<Response, Refused> {
    super::delete(&mut cx, &id).await?;
    let management = cx.management.clone();
    cx.commit().await?;
    let found = super::go_on(&management, &id).await?;
    let state = found.map_or("deleted", |found| found.state.as_str());
    let mut response = ok(&json!({"id": id, "state": state}));
    if state != "deleted" {
        *response.status_mut() = StatusCode::ACCEPTED;
    }
    Ok(response)
}

/// The client's id and secret: told once.
async fn take_credentials(mut cx: Cx, Path(id): Path<String>) -> Result<Response, Refused> {
    let taken = super::take_credentials(&mut cx, &id).await?;
    let taken = taken.ok_or_else(|| {
        Refused::Conflict("there is no secret that has not been shown; exchange it for another".to_owned())
    })?;
    cx.commit().await?;
    Ok(ok(&json!({"clientId": taken.client, "clientSecret": taken.secret.expose()})))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotation {
    /// Seconds for which the secret in use stays good.
    overlap: Option<u64>,
}

async fn rotate_secret(mut cx: Cx, Path(id): Path<String>, sent: Sent) -> Result<Response, Refused> {
    super::see(&mut cx, &id).await?;
    let asked: Rotation = sent.or_default()?;
    let changed = super::rotate(&mut cx, &id, asked.overlap.map(Duration::from_secs)).await?;
    Ok(ok(&view(&after(cx, changed).await?)))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Revocation {
    /// Of this grant alone.
    grant: Option<String>,
}

async fn revoke_tokens(mut cx: Cx, Path(id): Path<String>, sent: Sent) -> Result<Response, Refused> {
    super::see(&mut cx, &id).await?;
    let asked: Revocation = sent.or_default()?;
    let revoked = super::revoke(&mut cx, &id, asked.grant.as_deref()).await?;
    cx.commit().await?;
    Ok(ok(&json!({"revoked": revoked})))
}

async fn retry_application(mut cx: Cx, Path(id): Path<String>) -> Result<Response, Refused> {
    let changed = super::retry(&mut cx, &id).await?;
    Ok(ok(&view(&after(cx, changed).await?)))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Comparison {
    #[serde(default)]
    repair: bool,
}

async fn reconcile_clients(cx: Cx, sent: Sent) -> Result<Response, Refused> {
    cx.need(Right::Administer)?;
    let asked: Comparison = sent.or_default()?;
    let report = super::reconcile(&cx, asked.repair).await?;
    if asked.repair {
        super::reconcile::finish(&cx.management).await?;
    }
    Ok(ok(&json!(report)))
}

/// Commits what is wanted, and waits a moment for the identity system.
async fn after(cx: Cx, wanted: Application) -> Result<Application, Refused> {
    let management = cx.management.clone();
    cx.commit().await?;
    Ok(super::go_on(&management, &wanted.id).await?.unwrap_or(wanted))
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
