//! `/management/v1/plans`.

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Plan, Version};
use crate::Cx;
use crate::actor::{Right, Share};
use crate::admin::{Listed, Sent, ok};
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

async fn list_plans(mut cx: Cx, asked: Listed) -> Result<Response, Refused> {
    cx.need(Right::Read)?;
    asked.page_of(super::list(&mut cx).await?, view, |plan| plan.name.clone())
}

/// What may be subscribed to.
async fn list_offered_plans(mut cx: Cx, Path(organisation): Path<String>, asked: Listed) -> Result<Response, Refused> {
    cx.need_for(&organisation, Share::See)?;
    asked.page_of(super::offered(&mut cx, &organisation).await?, view, |plan| plan.name.clone())
}

async fn show_plan(mut cx: Cx, Path(name): Path<String>) -> Result<Response, Refused> {
    cx.need(Right::Read)?;
    let plan = super::find(&mut cx, &name).await?.ok_or(Refused::NotFound("such plan"))?;
    Ok(ok(&view(&plan)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    spec: Value,
}

async fn put_plan(mut cx: Cx, Path(name): Path<String>, sent: Sent) -> Result<Response, Refused> {
    cx.need(Right::Publish)?;
    let document: Document = sent.read()?;
    let plan = super::put(&mut cx, &name, &document.spec).await?;
    cx.commit().await?;
    Ok(ok(&view(&plan)))
}

/// What was agreed goes on; nobody can subscribe any more.
async fn retire_plan(mut cx: Cx, Path(name): Path<String>) -> Result<Response, Refused> {
    if !super::retire(&mut cx, &name).await? {
        return Err(Refused::NotFound("such plan in sale"));
    }
    cx.commit().await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn list_plan_versions(mut cx: Cx, Path(name): Path<String>, asked: Listed) -> Result<Response, Refused> {
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
    asked.page_of(versions, view, |version| version.number)
}

fn view(plan: &Plan) -> Value {
    json!({
        "name": plan.name, "version": plan.version, "spec": plan.spec, "createdAt": plan.created_at,
        "changedAt": plan.changed_at, "retiredAt": plan.retired_at,
    })
}
