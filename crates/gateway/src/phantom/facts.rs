//! What is known about a token, in the form in which requests ask for it: parsed once.

use std::sync::{Arc, OnceLock};

use ::policy::Caller;
use arc_swap::ArcSwapOption;
use base::Time;
use base::event::Revoked;
use base::scope::Scopes;
use bytes::Bytes;
use http::HeaderValue;
use integration::Claims;
use serde_json::{Map, Value};

#[derive(Debug)]
pub(crate) struct Facts {
    /// `Bearer <JWT>` for the service behind; cloned by counting, never copied.
    pub authorization: Option<HeaderValue>,
    /// The JWT alone, so that it can be kept from going back to the client.
    pub jwt: Option<Bytes>,
    pub claims: Map<String, Value>,
    /// The same for expressions, at first need.
    readable: OnceLock<Claims>,
    /// Sorted.
    pub scopes: Box<[Box<str>]>,
    pub client_id: Option<Arc<str>>,
    pub subject: Option<Arc<str>>,
    /// What the token was issued under, where the authority says so.
    pub grant: Option<Arc<str>>,
    /// After this the facts are history, however long they might have been kept.
    pub expires: Option<Time>,
    /// As policies see the caller: for the policies and the action that asked last.
    pub prepared: ArcSwapOption<Caller>,
    /// What a revocation may name to mean this token.
    pub subjects: Box<[Revoked]>,
}

impl Facts {
    pub fn new(claims: Map<String, Value>, jwt: Option<String>, kid: Option<&str>) -> Self {
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let client_id = text("client_id").or_else(|| text("azp"));
        let subjects = [
            text("jti").map(|id| Revoked::Token(id.to_owned())),
            text("grant_id").map(|id| Revoked::Grant(id.to_owned())),
            text("sub").map(|id| Revoked::User(id.to_owned())),
            client_id.map(|id| Revoked::Client(id.to_owned())),
            text("sid").map(|id| Revoked::Session(id.to_owned())),
            kid.map(|id| Revoked::Key(id.to_owned())),
        ];
        let (authorization, jwt) = match jwt {
            Some(jwt) => {
                // One text for both.
                let whole = Bytes::from(format!("Bearer {jwt}"));
                let value = HeaderValue::from_maybe_shared(whole.clone()).ok().map(|mut value| {
                    value.set_sensitive(true);
                    value
                });
                (value, Some(whole.slice("Bearer ".len()..)))
            }
            None => (None, None),
        };
        Self {
            authorization,
            jwt,
            scopes: scopes(&claims),
            client_id: client_id.map(Arc::from),
            subject: text("sub").map(Arc::from),
            grant: text("grant_id").map(Arc::from),
            expires: claims.get("exp").and_then(Value::as_i64).map(Time::from_seconds),
            subjects: subjects.into_iter().flatten().collect(),
            claims,
            prepared: ArcSwapOption::empty(),
            readable: OnceLock::new(),
        }
    }

    /// The claims as expressions read them.
    pub fn readable(&self) -> Claims {
        self.readable.get_or_init(|| Claims::from(Value::Object(self.claims.clone()))).clone()
    }

    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes.binary_search_by(|own| (**own).cmp(scope)).is_ok()
    }
}

/// `scope` as RFC 8693 §4.2 has it, or the list that some servers write (`scp`).
fn scopes(claims: &Map<String, Value>) -> Box<[Box<str>]> {
    let list = |value: &Value| match value {
        Value::String(text) => Scopes::parse(text).ok(),
        Value::Array(items) => Some(items.iter().filter_map(Value::as_str).collect()),
        _ => None,
    };
    let set = claims.get("scope").or_else(|| claims.get("scp")).and_then(list).unwrap_or_default();
    set.iter().map(Box::from).collect()
}
