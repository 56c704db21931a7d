//! Administration of the entitlement system by the holder of an administration token.

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::Response;
use entitlement::{Operator, SharedEntitlement};
use identity::admin::Admin;

/// The guard before these routes has said who it is; the entitlement system is told, since it knows no such tokens.
pub fn routes(entitlement: SharedEntitlement) -> Router {
    entitlement::router::admin(entitlement).layer(middleware::from_fn(introduce))
}

async fn introduce(mut request: Request, next: Next) -> Response {
    if let Some(Admin(name)) = request.extensions().get::<Admin>() {
        let operator = Operator::new(name);
        request.extensions_mut().insert(operator);
    }
    next.run(request).await
}
