//! `GET /gateway/v1/snapshot` for gateways; publication as people see it.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;
use serde_json::json;

use super::{TOPIC, current, publication, publish, withdraw};
use crate::SharedManagement;
use crate::actor::{Actor, Right};
use crate::admin::{Asked, Sent, ok};
use crate::cx::Cx;
use crate::error::Refused;
use crate::registry::view;
use crate::router::{Guard, Route};

/// A gateway asks again at once; a proxy between may cut what takes longer.
const MOST_WAIT: u64 = 60;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        ("/gateway/v1/snapshot", Guard::Gateway, get(snapshot)),
        ("/management/v1/publication", Guard::Api, get(show)),
        ("/management/v1/apis/{api}/publish", Guard::Api, post(publish_api)),
        ("/management/v1/apis/{api}/withdraw", Guard::Api, post(withdraw_api)),
    ]
}

#[derive(Deserialize)]
struct Wait {
    #[serde(default)]
    wait: u64,
}

async fn snapshot(
    State(management): State<SharedManagement>,
    Asked(Wait { wait }): Asked<Wait>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    // Before the first look, so that no commit falls between looking and waiting.
    let mut commits = management.db.watch(TOPIC);
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let waiting = tokio::time::sleep(Duration::from_secs(wait.min(MOST_WAIT)));
    tokio::pin!(waiting);
    loop {
        commits.mark_unchanged();
        let mut cx = Cx::new(&management, base::ids::RequestId::random(), Actor::System);
        let version = publication(&mut cx).await?.version;
        if !known.split(',').any(|tag| tag.trim().trim_start_matches("W/") == format!("\"{version}\"")) {
            let snapshot = current(&mut cx).await?;
            cx.commit().await?;
            return Ok(answer(StatusCode::OK, &snapshot.etag(), Some(snapshot.bytes.clone())));
        }
        tokio::select! {
            () = &mut waiting => return Ok(answer(StatusCode::NOT_MODIFIED, &format!("\"{version}\""), None)),
            changed = commits.changed() => if changed.is_err() {
                return Ok(answer(StatusCode::NOT_MODIFIED, &format!("\"{version}\""), None));
            },
        }
    }
}

fn answer(status: StatusCode, etag: &str, body: Option<bytes::Bytes>) -> Response {
    let mut response = body.unwrap_or_default().into_response();
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if let Ok(etag) = HeaderValue::try_from(etag) {
        headers.insert(header::ETAG, etag);
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

async fn show(mut cx: Cx) -> Result<Response, Refused> {
    cx.need(Right::Read)?;
    let now = publication(&mut cx).await?;
    let snapshot = current(&mut cx).await?;
    cx.commit().await?;
    Ok(ok(&json!({
        "version": now.version,
        "changedAt": now.changed_at,
        "apis": snapshot.count("Api"),
        "routes": snapshot.count("Route"),
        "compositions": snapshot.count("Composition"),
        "plans": snapshot.count("Plan"),
        "subscriptions": snapshot.count("Subscription"),
    })))
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Publish {
    revision: Option<i64>,
    allow_breaking: bool,
}

async fn publish_api(mut cx: Cx, Path(name): Path<String>, sent: Sent) -> Result<Response, Refused> {
    cx.need(Right::Publish)?;
    let Publish { revision, allow_breaking } = sent.or_default()?;
    let api = publish(&mut cx, &name, revision, allow_breaking).await?;
    cx.commit().await?;
    Ok(ok(&view(&api)))
}

async fn withdraw_api(mut cx: Cx, Path(name): Path<String>) -> Result<Response, Refused> {
    cx.need(Right::Publish)?;
    let api = withdraw(&mut cx, &name).await?;
    cx.commit().await?;
    Ok(ok(&view(&api)))
}
