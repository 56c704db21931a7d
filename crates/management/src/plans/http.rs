//! `/management/v1/plans`.

use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Plan, Version};
use crate::Cx;
use crate::actor::{Right, Share};
use crate::error::Refused;
use crate::router::{Guard, Route};

pub fn routes() -> Vec<Route> {
    vec![
        ("/management/v1/plans", Guard::Api, get(list_plans)),
        ("/management/v1/plans/{plan}", Guard::Api, get(show_plan).put(put_plan).delete(retire_plan)),
        ("/management/v1/plans/{plan}/versions", Guard::Api, get(list_plan_versions)),
        ("/management/v1/organisations/{organisation}/plans", Guard::Api, get(list_offered_plans)),
    ]
}

async fn list_plans(mut cx: Cx) -> Result<Response, Refused> {
    cx.need(Right::Read)?;
    let items: Vec<Value> = super::list(&mut cx).await?.iter().map(view).collect();
    Ok(Json(json!({"items": items})).into_response())
}

/// What may be subscribed to.
async fn list_offered_plans(mut cx: Cx, Path(organisation): Path<String>) -> Result<Response, Refused> {
    cx.need_for(&organisation, Share::See)?;
    let items: Vec<Value> = super::offered(&mut cx, &organisation).await?.iter().map(view).collect();
    Ok(Json(json!({"items": items})).into_response())
}

async fn show_plan(mut cx: Cx, Path(name): Path<String>) -> Result<Response, Refused> {
    cx.need(Right::Read)?;
    let plan = super::find(&mut cx, &name).await?.ok_or(Refused::NotFound("such plan"))?;
    Ok(Json(view(&plan)).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    spec: Value,
}

async fn put_plan(mut cx: Cx, Path(name): Path<String>, Json(document): Json<Document>) -> Result<Response, Refused> {
    let plan = super::put(&mut cx, &name, &document.spec).await?;
    cx.commit().await?;
    Ok(Json(view(&plan)).into_response())
}

/// What was agreed goes on; nobody can subscribe any more.
async fn retire_plan(mut cx: Cx, Path(name): Path<String>) -> Result<Response, Refused> {
    if !super::retire(&mut cx, &name).await? {
        return Err(Refused::NotFound("such plan in sale"));
    }
    cx.commit().await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn list_plan_versions(mut cx: Cx, Path(name): Path<String>) -> Result<Response, Refused> {
    cx.need(Right::Read)?;
    let versions = super::versions(&mut cx, &name).await?;
    if versions.is_empty() {
        return Err(Refused::NotFound("such plan"));
    }
    let view = |version: &Version| {
        json!({
            "version": version.number, "since": version.since, "changedBy": version.changed_by, "spec": version.spec,
        })
    };
    let items: Vec<Value> = versions.iter().map(view).collect();
    Ok(Json(json!({"items": items})).into_response())
}

fn view(plan: &Plan) -> Value {
    json!({
        "name": plan.name, "version": plan.version, "spec": plan.spec, "createdAt": plan.created_at,
        "changedAt": plan.changed_at, "retiredAt": plan.retired_at,
    })
}
