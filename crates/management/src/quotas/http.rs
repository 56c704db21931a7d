//! `GET /management/v1/subscriptions/{subscription}/quota`.

use axum::extract::Path;
use axum::response::Response;
use axum::routing::get;
use serde_json::json;

use crate::admin::ok;
use crate::error::Refused;
use crate::router::{Guard, Route};
use crate::{Cx, subscriptions};

pub fn routes() -> Vec<Route> {
    vec![("/management/v1/subscriptions/{subscription}/quota", Guard::Api, get(show_quota))]
}

async fn show_quota(mut cx: Cx, Path(id): Path<String>) -> Result<Response, Refused> {
    let subscription = subscriptions::see(&mut cx, &id).await?;
    let quota = super::of(&mut cx, &subscription).await?.ok_or(Refused::NotFound("quota in this plan"))?;
    Ok(ok(&json!({
        "per": quota.per, "begins": quota.begins, "ends": quota.ends, "requests": quota.requests,
        "used": quota.used, "remaining": quota.remaining(), "hard": quota.hard,
    })))
}
