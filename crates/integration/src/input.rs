//! What a composition is given: the request, and whose it is.

use std::sync::Arc;

use base::Secret;
use expression::{Names, Part, Scope};
use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Map, Value, json};

/// Credentials stay out of reach of expressions: no template can send them where they do not belong.
const HIDDEN: [&str; 6] =
    ["authorization", "proxy-authorization", "cookie", "dpop", "x-api-key", "x-forwarded-client-cert"];

/// The parts of the request that expressions may read.
pub(crate) const NAMES: [&str; 8] = [
    "request.id",
    "request.method",
    "request.path",
    "request.params",
    "request.query",
    "request.headers",
    "request.body",
    "claims",
];

/// Which of [`NAMES`] somebody reads.
pub(crate) type Wanted = [bool; NAMES.len()];

/// Who asked.
#[derive(Debug, Clone)]
pub struct Subject {
    /// For reports; never decides.
    pub id: Arc<str>,
    /// `Bearer` and the inner JWT, as it is forwarded. Marked as sensitive.
    authorization: HeaderValue,
}

impl Subject {
    /// `None`: the token has signs that no token has.
    pub fn new(id: Arc<str>, token: &Secret<String>) -> Option<Self> {
        bearer(token).map(|authorization| Self { id, authorization })
    }

    /// With a field that begins with `Bearer `.
    pub fn with(id: Arc<str>, mut authorization: HeaderValue) -> Self {
        authorization.set_sensitive(true);
        Self { id, authorization }
    }

    pub(crate) fn authorization(&self) -> &HeaderValue {
        &self.authorization
    }

    pub(crate) fn token(&self) -> Secret<String> {
        let text = self.authorization.to_str().unwrap_or_default();
        Secret::from(text.strip_prefix(BEARER).unwrap_or_default())
    }
}

const BEARER: &str = "Bearer ";

pub(crate) fn bearer(token: &Secret<String>) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("{BEARER}{}", token.expose())).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The claims of a token, converted once however many requests it comes with. A clone shares them.
#[derive(Debug, Clone)]
pub struct Claims(Arc<Part>);

impl From<Value> for Claims {
    fn from(claims: Value) -> Self {
        Self(Part::new(if claims.is_null() { json!({}) } else { claims }))
    }
}

impl Default for Claims {
    fn default() -> Self {
        Self::from(Value::Null)
    }
}

/// A request that has been let in.
#[derive(Debug, Clone, Default)]
pub struct Input {
    /// Unique to the request: good for idempotency keys.
    pub id: String,
    pub method: Method,
    pub path: String,
    /// Path parameters, decoded.
    pub params: Vec<(String, String)>,
    /// In order; a name may come twice.
    pub query: Vec<(String, String)>,
    pub headers: HeaderMap,
    /// JSON, or null.
    pub body: Value,
    /// Of the verified token; an empty object without one.
    pub claims: Claims,
    pub subject: Option<Subject>,
    /// Sent with each step as it is: trace context. Expressions do not see it.
    pub along: HeaderMap,
}

impl Input {
    /// Those of [`NAMES`] that are wanted, by their place.
    pub(crate) fn scope(&mut self, wanted: &Wanted) -> Scope {
        let mut scope = Scope::default();
        for (name, _) in NAMES.into_iter().zip(wanted).filter(|(_, wanted)| **wanted) {
            let value = match name {
                "request.id" => Value::from(std::mem::take(&mut self.id)),
                "request.method" => Value::from(self.method.as_str()),
                "request.path" => Value::from(std::mem::take(&mut self.path)),
                "request.params" => {
                    Value::Object(self.params.drain(..).map(|(name, value)| (name, Value::from(value))).collect())
                }
                "request.query" => self.query(),
                "request.headers" => self.headers(),
                "request.body" => self.body.take(),
                _ => {
                    scope.set(name, Arc::clone(&self.claims.0));
                    continue;
                }
            };
            scope.set(name, Part::new(value));
        }
        scope
    }

    fn query(&mut self) -> Value {
        let mut query: Map<String, Value> = Map::new();
        for (name, value) in self.query.drain(..) {
            match query.get_mut(&name) {
                None => {
                    query.insert(name, Value::from(value));
                }
                Some(Value::Array(values)) => values.push(Value::from(value)),
                Some(first) => *first = json!([first.take(), value]),
            }
        }
        Value::Object(query)
    }

    fn headers(&self) -> Value {
        let mut headers: Map<String, Value> = Map::new();
        for name in self.headers.keys().filter(|name| !HIDDEN.contains(&name.as_str())) {
            let values: Vec<&str> = self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
            headers.insert(name.as_str().to_owned(), Value::from(values.join(", ")));
        }
        Value::Object(headers)
    }
}

/// What may be read of a step.
pub(crate) const OF_STEP: [&str; 4] = ["status", "ok", "headers", "body"];

/// The names of the request, and of these steps.
pub(crate) fn names<'a>(steps: impl Iterator<Item = &'a str>) -> Names {
    let own = NAMES.iter().map(|name| (*name).to_owned());
    let steps = steps.flat_map(|step| OF_STEP.map(|part| format!("steps.{step}.{part}")));
    Names::new(own.chain(steps))
}
