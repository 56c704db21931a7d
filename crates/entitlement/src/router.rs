//! THE LIST of the routes, each with its guard, and what every request passes: id, access log, limits, a net
//! for panics.

use std::any::Any;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post};
use base::Problem;
use base::ids::RequestId;
use base::time::Stopwatch;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use tower_http::catch_panic::CatchPanicLayer;

use crate::config::Right;
use crate::{SharedEntitlement, attributes, callers, decisions, evaluate, policies, snapshot};

/// A hundred questions with their properties.
const QUESTIONS_LIMIT: usize = 512 * 1024;
/// Policies with their tests, or some thousand entities.
const DOCUMENTS_LIMIT: usize = 8 * 1024 * 1024;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// A request's id of somebody else is sent back and logged up to this length.
const FOREIGN_ID: usize = 128;

type Route = (Method, &'static str, Option<Right>, MethodRouter<SharedEntitlement>);

pub(crate) fn public_routes() -> Vec<Route> {
    vec![
        (Method::GET, evaluate::WELL_KNOWN, None, get(evaluate::http::metadata)),
        (Method::POST, evaluate::EVALUATION, Some(Right::Evaluate), post(evaluate::http::evaluate)),
        (Method::POST, evaluate::EVALUATIONS, Some(Right::Evaluate), post(evaluate::http::evaluate_many)),
        (Method::GET, "/policy/v1/snapshot", Some(Right::Snapshot), get(snapshot::http::show_snapshot)),
        (Method::POST, "/policy/v1/decisions", Some(Right::Snapshot), post(decisions::http::take_decisions)),
    ]
}

pub(crate) fn admin_routes() -> Vec<Route> {
    let (read, admin) = (Some(Right::Read), Some(Right::Administer));
    vec![
        (Method::GET, "/admin/v1/policies", read, get(policies::http::show_state)),
        (Method::POST, "/admin/v1/policies/check", read, post(policies::http::check_policies)),
        (Method::POST, "/admin/v1/policies/explain", read, post(policies::http::explain_question)),
        (Method::GET, "/admin/v1/policies/history", read, get(policies::http::list_activations)),
        (Method::GET, "/admin/v1/policies/versions", read, get(policies::http::list_versions)),
        (Method::POST, "/admin/v1/policies/versions", admin, post(policies::http::create_version)),
        (Method::GET, "/admin/v1/policies/versions/{version}", read, get(policies::http::show_version)),
        (Method::POST, "/admin/v1/policies/versions/{version}/publish", admin, post(policies::http::publish_version)),
        (Method::GET, "/admin/v1/entities", read, get(attributes::http::list_entities)),
        (Method::POST, "/admin/v1/entities", admin, post(attributes::http::apply_entities)),
        (Method::GET, "/admin/v1/entities/{type}/{id}", read, get(attributes::http::show_entity)),
        (Method::DELETE, "/admin/v1/entities/{type}/{id}", admin, delete(attributes::http::delete_entity)),
        (Method::GET, "/admin/v1/decisions", read, get(decisions::http::list_decisions)),
    ]
}

/// What decision points' clients see.
pub fn public(entitlement: SharedEntitlement) -> Router {
    finish(public_routes(), QUESTIONS_LIMIT, entitlement)
}

/// What administrators see: an [`crate::Operator`] that the process has made known, or a caller with the right.
/// Without a fallback of its own, so that it can stand beside others.
pub fn admin(entitlement: SharedEntitlement) -> Router {
    finish(admin_routes(), DOCUMENTS_LIMIT, entitlement)
}

/// Both, as they are served on the entitlement system's own address.
pub fn served(entitlement: SharedEntitlement) -> Router {
    public(entitlement.clone()).merge(admin(entitlement)).fallback(not_found)
}

fn finish(routes: Vec<Route>, body_limit: usize, entitlement: SharedEntitlement) -> Router {
    let mut router = Router::new();
    for (_, path, right, route) in routes {
        let route = match right {
            Some(right) => {
                route.route_layer(middleware::from_fn_with_state((entitlement.clone(), right), callers::check))
            }
            None => route,
        };
        router = router.route(path, route);
    }
    router
        .layer(DefaultBodyLimit::max(body_limit))
        .layer(CatchPanicLayer::custom(after_panic))
        .layer(middleware::from_fn_with_state(entitlement.clone(), accompany))
        .with_state(entitlement)
}

async fn not_found() -> Response {
    Problem::new(StatusCode::NOT_FOUND, "not_found", "There is nothing at this address").into_response::<Body>()
}

/// The request gets its id, the caller's if it sent one (AuthZEN §10.1.3), and the log its line.
async fn accompany(State(entitlement): State<SharedEntitlement>, mut request: Request, next: Next) -> Response {
    let stopwatch = Stopwatch::start();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or("none".to_owned(), |path| path.as_str().to_owned());
    let foreign = request.headers().get(REQUEST_ID).filter(|id| !id.is_empty()).cloned();
    let readable = foreign.as_ref().and_then(|id| id.to_str().ok()).filter(|id| id.len() <= FOREIGN_ID);
    let request_id = readable.map_or_else(RequestId::random, RequestId::from);
    request.extensions_mut().insert(request_id.clone());

    let mut response = next.run(request).await;

    if let Some(value) = foreign.or_else(|| HeaderValue::from_str(request_id.as_str()).ok()) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let elapsed = stopwatch.elapsed();
    let status = response.status().as_u16();
    entitlement.metrics.request(&route, status, elapsed.as_secs_f64());
    tracing::info!(
        request.id = %request_id,
        http.method = %method,
        http.route = route,
        http.status = status,
        duration_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
        "{method} {route} {status}"
    );
    response
}

fn after_panic(_: Box<dyn Any + Send + 'static>) -> Response {
    // What the panic says may quote the request; the hook of the process has logged where it was.
    tracing::error!("a request ended in a panic");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "The service failed")
        .into_response::<Body>()
        .into_response()
}
