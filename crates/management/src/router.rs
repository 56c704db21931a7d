//! THE LIST of the routes, each with its guard, and what every request passes: id, access log, limits, a net
//! for panics.

use std::any::Any;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use base::Problem;
use base::ids::RequestId;
use base::secret::equal;
use base::time::Stopwatch;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use jose::hash::sha256;
use serde_json::Value;
use tower_http::catch_panic::CatchPanicLayer;

use crate::SharedManagement;
use crate::actor::{Actor, Operator};
use crate::admin::{authenticate, idempotent};
use crate::cx::{Called, Cx};
use crate::error::Refused;
use crate::session;

/// An OpenAPI document with everything in it.
pub(crate) const BODY_LIMIT: usize = 8 << 20;
const FORM_LIMIT: usize = 256 << 10;

/// From the head of a request to its answer; longer than gateways' long polls.
const REQUEST_TIME: Duration = Duration::from_secs(90);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Who may come to a route at all; what they may do there is for the rules behind it (`Cx::need`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// Everybody: pages ask for the session themselves.
    Public,
    /// A gateway with its token.
    Gateway,
    /// A person's access token, or the operator.
    Api,
}

pub type Route = (&'static str, Guard, MethodRouter<SharedManagement>);

/// All routes; a slice adds its own here.
pub(crate) fn list() -> Vec<Route> {
    let slices: &[fn() -> Vec<Route>] = &[
        crate::registry::routes,
        crate::publish::routes,
        crate::admin::routes,
        crate::people::routes,
        crate::applications::routes,
        crate::session::routes,
        crate::portal::routes,
        crate::console::routes,
        crate::plans::routes,
        crate::subscriptions::routes,
        crate::usage::routes,
        crate::quotas::routes,
        crate::billing::routes,
    ];
    slices.iter().flat_map(|routes| routes()).collect()
}

/// What people, developers' programs and gateways see.
pub fn public(management: SharedManagement) -> Router {
    let mut router = Router::new().merge(management.kit.assets());
    for (path, guard, route) in list() {
        let state = management.clone();
        let route = match guard {
            Guard::Public if path.starts_with("/console/") => {
                route.route_layer(middleware::from_fn_with_state(state, somebody_known))
            }
            Guard::Public => route.layer(DefaultBodyLimit::max(FORM_LIMIT)),
            Guard::Gateway => route.route_layer(middleware::from_fn_with_state(state, gateway_only)),
            Guard::Api => route
                .route_layer(middleware::from_fn_with_state(state.clone(), idempotent))
                .route_layer(middleware::from_fn_with_state(state, with_token)),
        };
        router = router.route(path, route);
    }
    finish(router, management)
}

/// Anybody may send a form; those of the console hold whole documents, and are read of who has signed in only.
async fn somebody_known(State(management): State<SharedManagement>, request: Request, next: Next) -> Response {
    if !request.method().is_safe() {
        let entered = session::enter(&mut Cx::system(&management), request.headers()).await;
        if matches!(entered, Ok(None)) {
            return management.kit.redirect("/login");
        }
    }
    next.run(request).await
}

/// The interface for the operator of the process; the program's guard says who it is ([`Operator`]).
pub fn operator(management: SharedManagement) -> Router {
    let mut router = Router::new();
    for (path, _, route) in list().into_iter().filter(|(_, guard, _)| *guard == Guard::Api) {
        let once = middleware::from_fn_with_state(management.clone(), idempotent);
        router = router.route(path, route.route_layer(once).route_layer(middleware::from_fn(operator_only)));
    }
    finish(router, management)
}

fn finish(routes: Router<SharedManagement>, management: SharedManagement) -> Router {
    routes
        .fallback(not_found)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(CatchPanicLayer::custom(after_panic))
        .layer(middleware::from_fn_with_state(management.clone(), accompany))
        .with_state(management)
}

/// The token, if there is exactly one `Authorization` and its scheme is Bearer.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

async fn gateway_only(State(management): State<SharedManagement>, mut request: Request, next: Next) -> Response {
    let Some(token) = bearer(request.headers()) else { return Refused::Unauthenticated.into_response() };
    let hash = sha256(token.as_bytes());
    let mut found = None;
    // All are compared, so that time does not tell which one was near.
    for gateway in &management.config.gateways {
        if equal(&gateway.token_hash, &hash) {
            found = Some(gateway.name.clone());
        }
    }
    let Some(name) = found else { return Refused::Unauthenticated.into_response() };
    let who = format!("gateway:{name}");
    request.extensions_mut().insert(Called(Actor::Gateway(name)));
    told(&who, next.run(request).await)
}

/// A person's access token, asked about at the issuer.
async fn with_token(State(management): State<SharedManagement>, mut request: Request, next: Next) -> Response {
    let Some(token) = bearer(request.headers()) else { return Refused::Unauthenticated.into_response() };
    match authenticate(&management, token).await {
        Ok(actor) => {
            if !request.method().is_safe()
                && let Err(refused) = management.throttle.take(&actor, management.clock.monotonic_ms())
            {
                return refused.into_response();
            }
            let who = actor.to_string();
            request.extensions_mut().insert(Called(actor));
            told(&who, next.run(request).await)
        }
        Err(refused) => refused.into_response(),
    }
}

/// Who was refused stands in the log: the audit log has what was done.
fn told(who: &str, response: Response) -> Response {
    if response.status() == StatusCode::FORBIDDEN {
        tracing::warn!(actor = who, "somebody asked for what they have no right to");
    }
    response
}

async fn operator_only(mut request: Request, next: Next) -> Response {
    let Some(Operator(name)) = request.extensions().get::<Operator>().cloned() else {
        return Refused::Unauthenticated.into_response();
    };
    request.extensions_mut().insert(Called(Actor::Operator(name)));
    next.run(request).await
}

async fn not_found() -> Response {
    Problem::new(StatusCode::NOT_FOUND, "not_found", "There is nothing at this address").into_response::<Body>()
}

/// The request gets its id, and the log its line: no query, no header, no body, since these hold secrets.
async fn accompany(State(management): State<SharedManagement>, mut request: Request, next: Next) -> Response {
    let stopwatch = Stopwatch::start();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or("none".to_owned(), |path| path.as_str().to_owned());
    let request_id = RequestId::random();
    request.extensions_mut().insert(request_id.clone());

    let answer = tokio::time::timeout(REQUEST_TIME, next.run(request)).await;
    let mut response = as_problem(answer.unwrap_or_else(|_| too_slow()), &request_id).await;

    if let Ok(value) = HeaderValue::from_str(request_id.as_str()) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    // What says nothing about it is kept by nobody, and is what it says it is.
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.entry(header::X_CONTENT_TYPE_OPTIONS).or_insert(HeaderValue::from_static("nosniff"));
    if management.config.url.starts_with("https://") {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    let elapsed = stopwatch.elapsed();
    let status = response.status().as_u16();
    management.metrics.request(&route, status, elapsed.as_secs_f64());
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

/// Errors bear the request's id; those that the libraries answer in plain text become problems (RFC 9457).
async fn as_problem(response: Response, request_id: &RequestId) -> Response {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let (ours, plain) = (kind == "application/problem+json", kind.is_empty() || kind.starts_with("text/plain"));
    if !ours && !plain {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let body = to_bytes(body, BODY_LIMIT).await.unwrap_or_default();
    let mut problem: Value = match ours {
        true => serde_json::from_slice(&body).unwrap_or_default(),
        false => {
            let (slug, title) = match status {
                StatusCode::METHOD_NOT_ALLOWED => {
                    ("method_not_allowed", "This address takes another method; see Allow")
                }
                StatusCode::PAYLOAD_TOO_LARGE => ("body_too_large", "The body is too large"),
                StatusCode::NOT_FOUND => ("not_found", "There is nothing at this address"),
                _ if status.is_server_error() => ("internal_error", "The service failed"),
                _ => ("bad_request", "The request is not what is expected"),
            };
            serde_json::from_slice(&Problem::new(status, slug, title).to_json()).unwrap_or_default()
        }
    };
    if let Some(problem) = problem.as_object_mut() {
        problem.insert("request_id".to_owned(), request_id.as_str().into());
    }
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    parts.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Response::from_parts(parts, Body::from(problem.to_string()))
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
