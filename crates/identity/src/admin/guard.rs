//! The guard `admin`: a bearer token of an administrator (RFC 6750 §2.1), compared in constant time.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use base::secret::equal;
use base::{Problem, Secret};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};

/// Names of administrators and their tokens. The audit log shows the name.
#[derive(Clone)]
pub struct AdminTokens(Arc<Vec<(String, Secret<String>)>>);

impl AdminTokens {
    pub fn new(tokens: Vec<(String, Secret<String>)>) -> Self {
        Self(Arc::new(tokens))
    }

    /// Whose token it is. All tokens are compared, so that time does not tell which one was near.
    fn holder(&self, token: &[u8]) -> Option<String> {
        let mut holder = None;
        for (name, known) in self.0.iter() {
            if !known.expose().is_empty() && equal(known.expose().as_bytes(), token) {
                holder = Some(name.clone());
            }
        }
        holder
    }
}

/// Puts the guard before every route and the fallback of `router`.
pub fn guard(router: Router, tokens: AdminTokens) -> Router {
    // `layer` on the outside of a nested service covers the fallback too.
    Router::new().fallback_service(router.layer(middleware::from_fn_with_state(tokens, check)))
}

async fn check(State(tokens): State<AdminTokens>, mut request: Request, next: Next) -> Response {
    match bearer(request.headers()).and_then(|token| tokens.holder(token)) {
        Some(name) => {
            request.extensions_mut().insert(Admin(name));
            next.run(request).await
        }
        None => {
            let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
            tracing::warn!(client.address = ?peer, "an administration request without a good token was refused");
            refuse()
        }
    }
}

/// The token, if there is exactly one `Authorization` and its scheme is Bearer.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (scheme, token) = value.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
}

fn refuse() -> Response {
    let mut response: Response =
        Problem::new(StatusCode::UNAUTHORIZED, "admin_token", "an administration token is needed")
            .detail("send it as `Authorization: Bearer …`")
            .into_response();
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"admin\""));
    response
}

/// The administrator who asks. A handler that takes it cannot be reached around the guard: where no
/// guard stood before it, the request is refused.
#[derive(Debug, Clone)]
pub struct Admin(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Admin {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        parts.extensions.get::<Self>().cloned().ok_or_else(refuse)
    }
}
