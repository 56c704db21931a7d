//! The tower layer in front of handlers.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use tower::{Layer, Service};

use crate::{Denied, Principal, Verifier};

/// Lets only requests with a good bearer token through; see [`Verifier::layer`].
#[derive(Debug, Clone)]
pub struct RequireTokenLayer(Verifier);

impl RequireTokenLayer {
    pub(crate) fn new(verifier: Verifier) -> Self {
        Self(verifier)
    }
}

impl<S> Layer<S> for RequireTokenLayer {
    type Service = RequireToken<S>;

    fn layer(&self, inner: S) -> RequireToken<S> {
        RequireToken { verifier: self.0.clone(), inner }
    }
}

/// A service behind a [`RequireTokenLayer`].
#[derive(Debug, Clone)]
pub struct RequireToken<S> {
    verifier: Verifier,
    inner: S,
}

impl<S> Service<Request> for RequireToken<S>
where
    S: Service<Request, Response = Response> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let verifier = self.verifier.clone();
        // The service that was polled ready is the one to call; the clone waits for its own turn.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        Box::pin(async move {
            let principal = match bearer(request.headers()) {
                Ok(token) => verifier.verify(token).await,
                Err(denied) => Err(denied),
            };
            match principal {
                Ok(principal) => {
                    request.extensions_mut().insert::<Principal>(principal);
                    inner.call(request).await
                }
                Err(denied) => Ok(denied.into_response()),
            }
        })
    }
}

/// The token of the one `Authorization: Bearer` header (RFC 6750 §2.1). Tokens in bodies and queries
/// are not looked for (RFC 9700 §4.3.2).
fn bearer(headers: &HeaderMap) -> Result<&str, Denied> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(Denied::MissingToken)?;
    if values.next().is_some() {
        return Err(Denied::InvalidRequest);
    }
    let text = value.to_str().map_err(|_| Denied::InvalidToken)?;
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim_start_matches(' ')),
        _ => Err(Denied::MissingToken),
    }
}
