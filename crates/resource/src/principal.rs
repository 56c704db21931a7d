//! Who is calling.

use axum::extract::FromRequestParts;
use base::scope::Scopes;
use http::request::Parts;
use serde_json::{Map, Value};

use crate::Denied;

/// The caller, as the issuer names it (RFC 9068 §2.2). In a handler, take it as an argument.
#[derive(Debug, Clone, PartialEq)]
pub struct Principal {
    /// `sub`: the user, or the client itself when it acts on its own behalf.
    pub subject: String,
    /// `client_id`: the application that calls.
    pub client_id: String,
    /// `scope`: what the token may be used for.
    pub scopes: Scopes,
    /// Every claim of the token.
    pub claims: Map<String, Value>,
}

impl Principal {
    /// `None` if a claim that RFC 9068 §2.2 requires is missing or is not what it must be.
    pub(crate) fn from_claims(claims: Map<String, Value>) -> Option<Self> {
        let text = |name: &str| match claims.get(name) {
            Some(Value::String(text)) if !text.is_empty() => Some(text.clone()),
            _ => None,
        };
        let scopes = match claims.get("scope") {
            None => Scopes::default(),
            Some(Value::String(scope)) => Scopes::parse(scope).ok()?,
            Some(_) => return None,
        };
        Some(Self { subject: text("sub")?, client_id: text("client_id")?, scopes, claims })
    }

    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes.contains(scope)
    }

    /// Refuses with 403 unless the token has this scope.
    pub fn require_scope(&self, scope: &str) -> Result<(), Denied> {
        if self.has_scope(scope) { Ok(()) } else { Err(Denied::InsufficientScope { scope: scope.to_owned() }) }
    }

    /// A claim that is text.
    pub fn claim(&self, name: &str) -> Option<&str> {
        self.claims.get(name)?.as_str()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Principal {
    type Rejection = Denied;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Denied> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| {
            tracing::error!("a handler asks for a principal on a route without `verifier.layer()`");
            Denied::NotGuarded
        })
    }
}
