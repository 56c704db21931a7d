//! Why something was not done: RFC 9457 problems; the cause goes to the log.

use axum::response::{IntoResponse, Response};
use base::Problem;
use base::problem::FieldError;
use http::{HeaderValue, StatusCode, header};
use policy::{Failure, Faults};
use store::StoreError;

#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("{0}")]
    BadRequest(String),
    #[error("a credential is needed")]
    Unauthenticated,
    #[error("this credential has not the right to do this")]
    NoRight,
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// Somebody else has changed what this rests on.
    #[error("{0}")]
    Conflict(&'static str),
    #[error("the policies have errors:\n{0}")]
    Policies(Faults),
    #[error("the tests fail")]
    Tests(Vec<Failure>),
    #[error("the entities do not fit the policies")]
    Entities(Vec<String>),
    #[error("too many decisions are asked for at once; at most {0}")]
    TooMany(usize),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the policies in force cannot be used")]
    Broken(String),
}

impl Refused {
    fn status(&self) -> (StatusCode, &'static str) {
        match self {
            Self::BadRequest(_) | Self::TooMany(_) => (StatusCode::BAD_REQUEST, "bad_request"),
            Self::Unauthenticated => (StatusCode::UNAUTHORIZED, "credential_needed"),
            Self::NoRight => (StatusCode::FORBIDDEN, "right_needed"),
            Self::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
            Self::Conflict(_) => (StatusCode::CONFLICT, "conflict"),
            Self::Policies(_) => (StatusCode::UNPROCESSABLE_ENTITY, "policy_errors"),
            Self::Tests(_) => (StatusCode::UNPROCESSABLE_ENTITY, "policy_tests"),
            Self::Entities(_) => (StatusCode::UNPROCESSABLE_ENTITY, "entity_errors"),
            Self::Store(StoreError::Invalid) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid_document"),
            Self::Store(_) => (StatusCode::SERVICE_UNAVAILABLE, "database"),
            Self::Broken(_) => (StatusCode::SERVICE_UNAVAILABLE, "policies_unusable"),
        }
    }

    /// Where in the document, and what.
    fn errors(&self) -> Vec<FieldError> {
        let error = |pointer: String, detail: String| FieldError { pointer, detail };
        match self {
            Self::Policies(Faults(faults)) => {
                faults.iter().map(|fault| error("/source".to_owned(), fault.to_string())).collect()
            }
            Self::Tests(failures) => failures
                .iter()
                .map(|failure| error("/tests".to_owned(), format!("{}: {}", failure.test, failure.message)))
                .collect(),
            Self::Entities(faults) => faults.iter().map(|fault| error("/entities".to_owned(), fault.clone())).collect(),
            _ => Vec::new(),
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, slug) = self.status();
        let title = match &self {
            Self::Policies(_) => "the policies have errors".to_owned(),
            Self::Store(_) => "the service cannot reach its database; try again".to_owned(),
            other => other.to_string(),
        };
        match &self {
            Self::Store(cause) => tracing::error!(%cause, "a request failed"),
            Self::Broken(cause) => tracing::error!(cause, "the policies in force cannot be used"),
            _ => {}
        }
        let mut problem = Problem::new(status, slug, &title);
        problem.errors = self.errors();
        let mut response: Response = problem.into_response();
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer realm=\"entitlement\", Basic realm=\"entitlement\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
