//! What the handlers of this interface have in common: their context, their errors, their lists.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use base::Problem;
use base::ids::RequestId;
use base::problem::FieldError;
use http::StatusCode;
use http::request::Parts;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::StoreError;

use super::guard::Admin;
use crate::applied::Refused;
use crate::cx::{Actor, Arrival};
use crate::error::OAuthError;
use crate::{Cx, SharedIdentity};

/// The context of a request of an administrator.
pub struct AdminCx(pub Cx);

impl FromRequestParts<SharedIdentity> for AdminCx {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, identity: &SharedIdentity) -> Result<Self, Self::Rejection> {
        let Admin(name) = Admin::from_request_parts(parts, identity).await?;
        // Nothing stands between an administrator and this listener: no proxy is believed.
        let arrival = Arrival::of(parts, &[]);
        let mut cx = Cx::new(identity, arrival.request_id, arrival.network);
        cx.actor = Actor::Admin(name);
        Ok(Self(cx))
    }
}

pub type Answer = Result<Response, AdminError>;

/// A problem, and what the log is told besides.
#[derive(Debug)]
pub struct AdminError {
    problem: Box<Problem>,
    cause: Option<String>,
}

impl AdminError {
    pub fn new(status: StatusCode, slug: &str, title: &str) -> Self {
        Self { problem: Box::new(Problem::new(status, slug, title)), cause: None }
    }

    pub fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", &format!("there is no such {what}"))
    }

    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let mut error = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_document", "the document has errors");
        error.problem.errors = errors;
        error
    }

    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.problem.detail = Some(detail.into());
        self
    }

    /// The pointers of the errors, seen from the outer document.
    #[must_use]
    pub fn within(mut self, pointer: &str) -> Self {
        for error in &mut self.problem.errors {
            error.pointer = format!("{pointer}{}", error.pointer);
        }
        self
    }
}

impl From<Refused> for AdminError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Invalid(errors) => Self::invalid(errors),
            Refused::NotFound(what) => Self::not_found(what),
            Refused::NotAllowed(why) => Self::new(StatusCode::CONFLICT, "not_allowed", why),
            Refused::Store(error) => error.into(),
            Refused::Jose(error) => {
                let title = "the key could not be made or read";
                let mut refused = Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", title);
                refused.cause = Some(error.to_string());
                refused
            }
        }
    }
}

impl From<OAuthError> for AdminError {
    fn from(error: OAuthError) -> Self {
        let mut refused = Self::new(error.status, error.code, &error.description);
        refused.cause = error.cause;
        refused
    }
}

impl From<StoreError> for AdminError {
    fn from(error: StoreError) -> Self {
        let (status, slug) = match error {
            StoreError::Conflict(_) => (StatusCode::CONFLICT, "conflict"),
            StoreError::Invalid => (StatusCode::UNPROCESSABLE_ENTITY, "invalid_document"),
            _ => (StatusCode::SERVICE_UNAVAILABLE, "database"),
        };
        let mut refused = Self::new(status, slug, &error.to_string());
        refused.cause = std::error::Error::source(&error).map(ToString::to_string);
        refused
    }
}

impl IntoResponse for AdminError {
    fn into_response(self) -> Response {
        let id = RequestId::random();
        if let Some(cause) = self.cause {
            tracing::error!(request.id = %id, cause, "an administration request failed");
        }
        self.problem.request_id(id.to_string()).into_response()
    }
}

/// A JSON body. What is wrong with it is said in words of the document.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = AdminError;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(JsonRejection::JsonDataError(error)) => {
                let detail = std::error::Error::source(&error).map_or_else(|| error.body_text(), ToString::to_string);
                Err(AdminError::invalid(Vec::new()).detail(detail))
            }
            Err(other) => {
                let error = AdminError::new(other.status(), "bad_request", "the body is not the JSON that is expected");
                Err(error.detail(other.body_text()))
            }
        }
    }
}

/// Which page of a list.
#[derive(Debug, Default, Deserialize)]
pub struct Paging {
    pub limit: Option<u32>,
    pub cursor: Option<String>,
}

impl Paging {
    pub fn limit(&self) -> u32 {
        self.limit.unwrap_or(100).clamp(1, 1000)
    }
}

/// A page: its items, and the cursor of the next one if this one is full.
pub fn page<T: Serialize>(items: &[T], next: Option<String>) -> Response {
    ok(&json!({"items": items, "next": next}))
}

pub fn ok(value: &impl Serialize) -> Response {
    let mut response = Json(value).into_response();
    let no_store = http::HeaderValue::from_static("no-store");
    response.headers_mut().insert(http::header::CACHE_CONTROL, no_store);
    response
}

pub fn done() -> Response {
    ok(&json!({"done": true}))
}

/// A document as a value; specs always have one.
pub fn value(spec: &impl Serialize) -> Value {
    serde_json::to_value(spec).unwrap_or_default()
}
