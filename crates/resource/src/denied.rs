//! The answers to requests that do not pass (RFC 6750 §3, RFC 9457).

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use base::Problem;
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};

/// Why a request does not pass. What exactly is wrong with a token is in the log, not in the answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    #[error("the request bears no token")]
    MissingToken,
    #[error("the request bears more than one token")]
    InvalidRequest,
    #[error("the token is not valid here")]
    InvalidToken,
    #[error("the token lacks the scope `{scope}`")]
    InsufficientScope { scope: String },
    #[error("the issuer's keys cannot be read")]
    Unavailable { retry_after: Duration },
    /// The route has a handler that asks for a principal, but no [`crate::RequireTokenLayer`].
    #[error("the route does not check tokens")]
    NotGuarded,
}

impl Denied {
    /// A name for metrics, which is also the last part of the problem's `type`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::MissingToken => "token_missing",
            Self::InvalidRequest => "invalid_request",
            Self::InvalidToken => "invalid_token",
            Self::InsufficientScope { .. } => "insufficient_scope",
            Self::Unavailable { .. } => "issuer_unavailable",
            Self::NotGuarded => "internal_error",
        }
    }

    pub const fn status(&self) -> StatusCode {
        match self {
            Self::MissingToken | Self::InvalidToken => StatusCode::UNAUTHORIZED,
            Self::InvalidRequest => StatusCode::BAD_REQUEST,
            Self::InsufficientScope { .. } => StatusCode::FORBIDDEN,
            Self::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::NotGuarded => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn title(&self) -> &'static str {
        match self {
            Self::MissingToken => "A token is needed",
            Self::InvalidRequest => "The request bears more than one token",
            Self::InvalidToken => "The token is not valid",
            Self::InsufficientScope { .. } => "The token does not allow this",
            Self::Unavailable { .. } => "Tokens cannot be checked at the moment",
            Self::NotGuarded => "The service is not set up rightly",
        }
    }

    /// RFC 6750 §3: a request without a token learns only the scheme.
    fn challenge(&self) -> Option<HeaderValue> {
        match self {
            Self::MissingToken => Some(HeaderValue::from_static("Bearer")),
            Self::InvalidRequest => Some(HeaderValue::from_static("Bearer error=\"invalid_request\"")),
            Self::InvalidToken => Some(HeaderValue::from_static("Bearer error=\"invalid_token\"")),
            Self::InsufficientScope { scope } => {
                let text = format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"");
                // A scope cannot hold quotes (RFC 6749 §3.3); a handler that names another text gets none.
                let named = base::scope::Scopes::parse(scope).ok().and_then(|_| HeaderValue::from_str(&text).ok());
                Some(named.unwrap_or(HeaderValue::from_static("Bearer error=\"insufficient_scope\"")))
            }
            Self::Unavailable { .. } | Self::NotGuarded => None,
        }
    }
}

impl IntoResponse for Denied {
    fn into_response(self) -> Response {
        let mut problem = Problem::new(self.status(), self.as_str(), self.title());
        if let Self::InsufficientScope { scope } = &self {
            problem = problem.detail(format!("the scope `{scope}` is needed"));
        }
        let mut response: Response = problem.into_response();
        if let Some(challenge) = self.challenge() {
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        if let Self::Unavailable { retry_after } = self {
            // Whole seconds, rounded up, so that a client does not come just too early.
            let seconds = retry_after.as_secs().saturating_add(1);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
