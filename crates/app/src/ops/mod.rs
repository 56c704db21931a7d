//! The operations listener: health, metrics, administration. Never on a public address.

mod entitlement;
mod gateway;
pub mod health;
mod metrics;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use base::Problem;
use http::{HeaderValue, StatusCode, header};
use identity::admin::{Admin, AdminTokens, guard};
use management::Operator;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tower::ServiceExt as _;

use crate::roles::Role;
use crate::wire::Roles;

/// What an operator can ask of the whole process; the signals of the operating system ask the same.
#[derive(Debug)]
pub enum Command {
    /// Resources and certificates again.
    Reload,
    /// Hand the listeners to a new process of the same program file, and say how that went to whoever asked.
    Replace(Option<oneshot::Sender<Result<(), String>>>),
}

pub struct Ops {
    pub roles: Arc<Roles>,
    pub commands: mpsc::Sender<Command>,
}

/// The guard of each route stands at its group: health and metrics are open, the rest needs the token.
pub fn router(ops: Ops, tokens: AdminTokens) -> Router {
    let roles = ops.roles.clone();
    let ops = Arc::new(ops);
    let process = Router::new()
        .route("/admin/v1", get(show_roles))
        .route("/admin/v1/reload", post(reload))
        .with_state(ops.clone());
    let admin = process
        .merge(match &roles.identity {
            Some(identity) => identity::admin::routes(identity.clone()),
            None => Router::new(),
        })
        .merge(match &roles.entitlement {
            Some(entitlement) => entitlement::routes(entitlement.clone()),
            None => Router::new(),
        })
        .merge(match &roles.gateway {
            Some(gateway) => gateway::routes(gateway.clone()),
            None => Router::new(),
        })
        .fallback(elsewhere)
        .layer(Extension(Elsewhere { management: roles.management.clone().map(management::router::operator) }));
    let open = Router::new()
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(metrics::show))
        .with_state(ops);
    open.fallback_service(guard(admin, tokens).layer(middleware::from_fn(not_through_a_gateway)))
}

/// A route of the gateway that leads here by mistake opens nothing, even to who has the token: the gateway says in
/// `Forwarded` (RFC 7239) for whom it asks, and no client can take that away.
async fn not_through_a_gateway(request: Request, next: Next) -> Response {
    if request.headers().contains_key(header::FORWARDED) {
        return unknown().await;
    }
    next.run(request).await
}

async fn show_roles(State(ops): State<Arc<Ops>>) -> Json<Value> {
    let roles: Vec<&str> = ops.roles.running().into_iter().map(Role::name).collect();
    Json(json!({"version": env!("CARGO_PKG_VERSION"), "roles": roles, "process": std::process::id()}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReloadBody {
    #[serde(default)]
    binary: bool,
}

async fn reload(State(ops): State<Arc<Ops>>, Json(body): Json<ReloadBody>) -> Response {
    if !body.binary {
        return match ops.roles.reload().await {
            Ok(()) => Json(json!({"reloaded": true})).into_response(),
            Err(error) => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "reload_refused", "the reload was refused")
                .detail(error.to_string())
                .into_response(),
        };
    }
    let (told, outcome) = oneshot::channel();
    let sent = ops.commands.send(Command::Replace(Some(told))).await;
    match (sent, outcome.await) {
        (Ok(()), Ok(Ok(()))) => Json(json!({"replaced": true})).into_response(),
        (Ok(()), Ok(Err(reason))) => {
            Problem::new(StatusCode::CONFLICT, "not_replaced", "the new process did not take over; the old one goes on")
                .detail(reason)
                .into_response()
        }
        _ => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", "the process is stopping").into_response(),
    }
}

/// Interfaces of parts that name their own paths.
#[derive(Clone)]
struct Elsewhere {
    management: Option<Router>,
}

/// Behind the guard: the operator's name goes with the request, the token does not.
async fn elsewhere(Admin(name): Admin, Extension(parts): Extension<Elsewhere>, mut request: Request) -> Response {
    let Some(router) = parts.management.filter(|_| request.uri().path().starts_with("/management/")) else {
        return unknown().await;
    };
    request.headers_mut().remove(header::AUTHORIZATION);
    request.extensions_mut().insert(Operator(name));
    router.oneshot(request).await.into_response()
}

async fn unknown() -> Response {
    let mut response: axum::response::Response =
        Problem::new(StatusCode::NOT_FOUND, "not_found", "there is nothing here")
            .detail("this server may not run the role that was asked for; GET /admin/v1 names those it runs")
            .into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    #[tokio::test]
    async fn administration_is_not_reached_through_the_gateway() {
        let ops = || Ops { roles: Arc::new(Roles::default()), commands: mpsc::channel(1).0 };
        let tokens = AdminTokens::new(vec![("a".to_owned(), "cad_right".into())]);
        let ask = |path: &str, forwarded: Option<&str>| {
            let mut request = http::Request::get(path).header("authorization", "Bearer cad_right");
            if let Some(forwarded) = forwarded {
                request = request.header("forwarded", forwarded);
            }
            router(ops(), tokens.clone()).oneshot(request.body(Body::empty()).unwrap())
        };

        assert_eq!(ask("/admin/v1", None).await.unwrap().status(), 200);
        assert_eq!(ask("/admin/v1", Some("for=192.0.2.1;proto=https")).await.unwrap().status(), 404);
        assert_eq!(ask("/livez", Some("for=192.0.2.1")).await.unwrap().status(), 200);
    }
}
