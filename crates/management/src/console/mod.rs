//! The console: what the provider's people see and do. Rules and rights are those of the slices behind it.

#[cfg(test)]
mod tests;

use axum::extract::RawQuery;
use axum::response::Response;
use axum::routing::get;
use serde_json::json;

use crate::actor::Right;
use crate::pages::{Halt, Visit};
use crate::router::{Guard, Route};
use crate::session;

pub(crate) fn routes() -> Vec<Route> {
    vec![("/console", Guard::Public, get(overview))]
}

async fn overview(visit: Visit, query: RawQuery) -> Response {
    let made = match session::by_link(&visit, query).await {
        Some(opened) => opened,
        None => make_overview(&visit).await,
    };
    visit.answer(made)
}

async fn make_overview(visit: &Visit) -> Result<Response, Halt> {
    visit.need(Right::Read)?;
    Ok(visit.show("console/overview.html", json!({})))
}
