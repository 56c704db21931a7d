//! Who asks: a credential from the settings, as Bearer (RFC 6750 §2.1) or Basic (RFC 7617), and its rights.

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base::ids::RequestId;
use base::secret::equal;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::request::Parts;
use http::{HeaderMap, header};
use jose::hash::sha256;

use crate::SharedEntitlement;
use crate::config::{Caller, Right};
use crate::error::Refused;

/// The caller whose credential was shown, set by the guard.
#[derive(Debug, Clone)]
pub struct Called {
    pub caller: String,
    pub request_id: RequestId,
    /// Whether it may change policies and entities.
    pub administers: bool,
}

impl<S: Send + Sync> FromRequestParts<S> for Called {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        parts.extensions.get::<Self>().cloned().ok_or(Refused::Unauthenticated)
    }
}

/// The operator, made known by the process itself on its operations listener; never by anything in a request.
#[derive(Debug, Clone)]
pub struct Operator(String);

impl Operator {
    pub fn new(name: &str) -> Self {
        Self(format!("operator {name}"))
    }
}

/// Stands before every route that needs a right.
pub async fn check(
    State((entitlement, right)): State<(SharedEntitlement, Right)>,
    request: Request,
    next: Next,
) -> Response {
    if let Some(Operator(name)) = request.extensions().get::<Operator>().cloned() {
        return go_on(request, next, name, true).await;
    }
    let caller = match credential(request.headers()).and_then(|shown| find(&entitlement.config.callers, &shown)) {
        Some(caller) => caller,
        None => return Refused::Unauthenticated.into_response(),
    };
    if !caller.rights.iter().any(|own| own.covers(right)) {
        return Refused::NoRight.into_response();
    }
    let administers = caller.rights.iter().any(|own| own.covers(Right::Administer));
    let name = caller.name.clone();
    go_on(request, next, name, administers).await
}

async fn go_on(mut request: Request, next: Next, caller: String, administers: bool) -> Response {
    let request_id = request.extensions().get::<RequestId>().cloned().unwrap_or_else(RequestId::random);
    let called = Called { caller, request_id, administers };
    request.extensions_mut().insert(called);
    next.run(request).await
}

struct Shown {
    /// With Basic only.
    name: Option<String>,
    secret_hash: [u8; 32],
}

/// The credential, if there is exactly one `Authorization`.
fn credential(headers: &HeaderMap) -> Option<Shown> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (scheme, rest) = value.to_str().ok()?.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Shown { name: None, secret_hash: sha256(rest.trim().as_bytes()) });
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = STANDARD.decode(rest.trim()).ok()?;
    let text = std::str::from_utf8(&decoded).ok()?;
    let (name, secret) = text.split_once(':')?;
    Some(Shown { name: Some(name.to_owned()), secret_hash: sha256(secret.as_bytes()) })
}

/// All are compared, so that time does not tell which one was near.
fn find<'a>(callers: &'a [Caller], shown: &Shown) -> Option<&'a Caller> {
    let mut found = None;
    for caller in callers {
        let named = shown.name.as_ref().is_none_or(|name| *name == caller.name);
        if equal(&caller.secret_hash, &shown.secret_hash) && named {
            found = Some(caller);
        }
    }
    found
}
