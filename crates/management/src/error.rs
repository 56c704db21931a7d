//! Why something was not done: RFC 9457 problems; the cause goes to the log. Pages show the same words.

use axum::response::{IntoResponse, Response};
use base::Problem;
use base::problem::FieldError;
use http::{HeaderValue, StatusCode, header};
use store::StoreError;

#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("{0}")]
    BadRequest(String),
    #[error("a credential is needed")]
    Unauthenticated,
    #[error("this credential has not the right to do this")]
    NoRight,
    #[error("there is no {0}")]
    NotFound(&'static str),
    /// The state of things does not allow it; says what to do.
    #[error("{0}")]
    Conflict(String),
    /// What was expected of a thing is not so (RFC 9110 §13).
    #[error("{0}")]
    Stale(String),
    /// Clients would notice; each place where.
    #[error("clients of the API would notice; say that this is meant, or make it another API")]
    Breaking(Vec<FieldError>),
    /// A document or a form with faults, each at its place.
    #[error("{0}")]
    Invalid(String, Vec<FieldError>),
    /// More than one may do in that time.
    #[error("too much at once; try again in {seconds} s")]
    TooMany { seconds: u64 },
    /// The identity system, or another server that is needed, does not answer as it should.
    #[error("{0}")]
    Upstream(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the management system cannot start: {0}")]
    Broken(String),
}

impl Refused {
    /// One fault at one place of what was sent.
    pub fn invalid(pointer: &str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self::Invalid(detail.clone(), vec![FieldError { pointer: pointer.to_owned(), detail }])
    }

    pub fn status(&self) -> (StatusCode, &'static str) {
        match self {
            Self::BadRequest(_) => (StatusCode::BAD_REQUEST, "bad_request"),
            Self::Unauthenticated => (StatusCode::UNAUTHORIZED, "credential_needed"),
            Self::NoRight => (StatusCode::FORBIDDEN, "right_needed"),
            Self::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
            Self::Conflict(_) | Self::Store(StoreError::Conflict(_)) => (StatusCode::CONFLICT, "conflict"),
            Self::Stale(_) => (StatusCode::PRECONDITION_FAILED, "precondition_failed"),
            Self::Breaking(_) => (StatusCode::CONFLICT, "breaking_change"),
            Self::Invalid(..) | Self::Store(StoreError::Invalid) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "invalid_document")
            }
            Self::TooMany { .. } => (StatusCode::TOO_MANY_REQUESTS, "rate_limited"),
            Self::Upstream(_) => (StatusCode::BAD_GATEWAY, "peer_failed"),
            Self::Store(_) | Self::Broken(_) => (StatusCode::SERVICE_UNAVAILABLE, "database"),
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, slug) = self.status();
        let title = match &self {
            Self::Store(StoreError::Invalid) => "the document holds what cannot be stored".to_owned(),
            Self::Store(StoreError::Conflict(cause)) => {
                tracing::warn!(%cause, "a request contradicts what is stored");
                "this contradicts what is stored; look at it and try again".to_owned()
            }
            Self::Store(cause) => {
                tracing::error!(%cause, "a request failed");
                "the service cannot reach its database; try again".to_owned()
            }
            other => other.to_string(),
        };
        let wait = if let Self::TooMany { seconds } = &self { Some(*seconds) } else { None };
        let mut problem = Problem::new(status, slug, &title);
        if let Self::Invalid(_, errors) | Self::Breaking(errors) = self {
            problem.errors = errors;
        }
        let mut response: Response = problem.into_response();
        if let Some(seconds) = wait {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer realm=\"management\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
