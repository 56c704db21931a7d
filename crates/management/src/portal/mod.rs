//! The portal: what developers see. Rules and rights are those of the slices that it shows; here is what a page
//! makes of them.

#[cfg(test)]
mod tests;

use axum::response::Response;
use axum::routing::get;
use serde_json::json;

use crate::pages::{Halt, Visit};
use crate::router::{Guard, Route};

pub(crate) fn routes() -> Vec<Route> {
    vec![("/", Guard::Public, get(catalogue))]
}

async fn catalogue(visit: Visit) -> Response {
    let made = Ok::<_, Halt>(visit.show("portal/catalogue.html", json!({})));
    visit.answer(made)
}
