//! THE LIST of the public routes, and what every request passes: id, access log, limits, a net for panics.

use std::any::Any;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use base::Problem;
use base::time::Stopwatch;
use http::{HeaderName, HeaderValue, StatusCode};
use tower_http::catch_panic::CatchPanicLayer;

use crate::cx::Arrival;
use crate::{
    SharedIdentity, account_pages, authorize, consent, discovery, events, introspect, keys, login, logout, register,
    revoke, token, userinfo,
};

/// No request of these protocols is larger.
pub const BODY_LIMIT: usize = 64 * 1024;

/// From the head of a request to its answer; a body that trickles in holds a connection no longer than that.
/// Longer than the feed holds a poll.
const REQUEST_TIME: Duration = Duration::from_secs(60);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

pub fn public(identity: SharedIdentity) -> Router {
    let routes = Router::new()
        .merge(discovery::routes())
        .merge(keys::routes())
        .merge(token::routes())
        .merge(introspect::routes())
        .merge(revoke::routes())
        .merge(userinfo::routes())
        .merge(register::routes())
        .merge(events::routes())
        .merge(authorize::routes())
        .merge(login::routes())
        .merge(consent::routes())
        .merge(logout::routes())
        .merge(account_pages::routes())
        .merge(identity.kit.assets());
    finish(routes, identity)
}

/// Gives a set of routes what every request passes.
pub fn finish(routes: Router<SharedIdentity>, identity: SharedIdentity) -> Router {
    routes
        .fallback(not_found)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(CatchPanicLayer::custom(after_panic))
        .layer(middleware::from_fn_with_state(identity.clone(), accompany))
        .with_state(identity)
}

async fn not_found() -> Response {
    Problem::new(StatusCode::NOT_FOUND, "not_found", "There is nothing at this address").into_response::<Body>()
}

/// The request gets its id, and the log its line: no query, no header, no body, since these hold secrets.
async fn accompany(State(identity): State<SharedIdentity>, request: Request, next: Next) -> Response {
    let stopwatch = Stopwatch::start();
    let (mut parts, body) = request.into_parts();
    let arrival = Arrival::of(&parts, &identity.config.trusted_proxies);
    let method = parts.method.clone();
    let route = parts.extensions.get::<MatchedPath>().map_or("none".to_owned(), |path| path.as_str().to_owned());
    parts.extensions.insert(arrival.clone());

    let answer = tokio::time::timeout(REQUEST_TIME, next.run(Request::from_parts(parts, body))).await;
    let mut response = answer.unwrap_or_else(|_| too_slow());

    if let Ok(value) = HeaderValue::from_str(arrival.request_id.as_str()) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let elapsed = stopwatch.elapsed();
    let status = response.status().as_u16();
    identity.metrics.request(&route, status, elapsed.as_secs_f64());
    tracing::info!(
        request.id = %arrival.request_id,
        http.method = %method,
        http.route = route,
        http.status = status,
        duration_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
        "{method} {route} {status}"
    );
    response
}

fn too_slow() -> Response {
    let title = "The request took too long";
    Problem::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", title).into_response::<Body>()
}

fn after_panic(_: Box<dyn Any + Send + 'static>) -> Response {
    // What the panic says may quote the request; the hook of the process has logged where it was.
    tracing::error!("a request ended in a panic");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "The service failed")
        .into_response::<Body>()
        .into_response()
}
