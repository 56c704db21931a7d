use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use policy::Question;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Draft, Version};
use crate::callers::Called;
use crate::error::Refused;
use crate::{Cx, json as body};

#[derive(Debug, Default, Deserialize)]
pub struct Paging {
    before: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Publication {
    #[serde(default)]
    comment: String,
    /// The publication that is taken to be in force; if it is not any more, nothing happens.
    activation: Option<i64>,
    /// Who decided it, where the caller is a program that others use.
    on_behalf_of: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ask {
    question: Question,
    version: Option<i64>,
}

/// What is in force: version, and the policies by id, effect, place, reason and what they read. And whether the
/// caller may put another version in force.
pub async fn show_state(cx: Cx, called: Called) -> Result<Json<Value>, Refused> {
    let live = super::in_force(&cx).await?;
    let policies: Vec<_> = live.engine.policies().policies().collect();
    let warnings = live.engine.policies().warnings();
    Ok(Json(json!({
        "version": live.version, "activation": live.activation, "revision": live.revision,
        "entities": live.engine.directory().len(), "policies": policies, "warnings": warnings,
        "may_publish": called.administers,
    })))
}

pub async fn check_policies(_cx: Cx, headers: HeaderMap, bytes: Bytes) -> Result<Response, Refused> {
    let draft: Draft = body::parse(&headers, &bytes)?;
    Ok(Json(super::check(draft).await?).into_response())
}

pub async fn create_version(mut cx: Cx, headers: HeaderMap, bytes: Bytes) -> Result<Response, Refused> {
    let draft: Draft = body::parse(&headers, &bytes)?;
    let version = super::create(&mut cx, draft).await?;
    cx.commit().await?;
    Ok((StatusCode::CREATED, Json(version)).into_response())
}

pub async fn list_versions(mut cx: Cx, Query(paging): Query<Paging>) -> Result<Json<Value>, Refused> {
    let versions = super::list(&mut cx, paging.before).await?;
    let state = super::state(&mut cx.tx).await?;
    let next = versions.last().map(|version| version.version).filter(|version| *version > 1);
    Ok(Json(json!({"items": versions, "active": state.version, "next": next})))
}

pub async fn show_version(mut cx: Cx, Path(version): Path<i64>) -> Result<Json<Version>, Refused> {
    Ok(Json(super::find(&mut cx, version).await?))
}

pub async fn publish_version(
    mut cx: Cx,
    Path(version): Path<i64>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<Response, Refused> {
    let publication: Publication = match bytes.is_empty() {
        true => Publication::default(),
        false => body::parse(&headers, &bytes)?,
    };
    let Publication { comment, activation, on_behalf_of } = publication;
    if let Some(person) = on_behalf_of {
        cx.act_for(&person);
    }
    let activation = super::publish(&mut cx, version, &comment, activation).await?;
    cx.commit().await?;
    Ok(Json(activation).into_response())
}

pub async fn list_activations(mut cx: Cx, Query(paging): Query<Paging>) -> Result<Json<Value>, Refused> {
    let items = super::history(&mut cx, paging.before).await?;
    let next = items.last().map(|one| one.activation).filter(|activation| *activation > 1);
    Ok(Json(json!({"items": items, "next": next})))
}

pub async fn explain_question(mut cx: Cx, headers: HeaderMap, bytes: Bytes) -> Result<Response, Refused> {
    let ask: Ask = body::parse(&headers, &bytes)?;
    let explanation = super::explain(&mut cx, ask.question, ask.version).await?;
    Ok(Json(json!({"missing": explanation.missing(), "explanation": explanation})).into_response())
}
