//! OAuth errors: functions named like the code; the public half is fixed, or the operator's own words (the reason of a
//! policy); the cause goes to the log.

use std::borrow::Cow;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use crate::policy::StepUp;

/// An error answer of RFC 6749 §5.2 and its extensions.
#[derive(Debug)]
pub struct OAuthError {
    pub status: StatusCode,
    pub code: &'static str,
    pub description: Cow<'static, str>,
    /// For the log only.
    pub cause: Option<String>,
    /// `WWW-Authenticate`, where the client tried that scheme.
    pub challenge: Option<&'static str>,
    /// The login that would help (RFC 9470 §3): members of the answer.
    pub step_up: Option<Box<StepUp>>,
    /// The work done so far is kept although the request failed (for example: a replay revoked the grant).
    pub keep: bool,
}

macro_rules! errors {
    ($($name:ident $status:ident;)*) => {$(
        pub fn $name(description: &'static str) -> OAuthError {
            OAuthError::new(StatusCode::$status, stringify!($name), description)
        }
    )*};
}

errors! {
    invalid_request BAD_REQUEST;
    invalid_client UNAUTHORIZED;
    invalid_grant BAD_REQUEST;
    unauthorized_client BAD_REQUEST;
    unsupported_grant_type BAD_REQUEST;
    invalid_scope BAD_REQUEST;
    invalid_target BAD_REQUEST;
    unsupported_token_type BAD_REQUEST;
    invalid_token UNAUTHORIZED;
    insufficient_scope FORBIDDEN;
    access_denied FORBIDDEN;
    temporarily_unavailable SERVICE_UNAVAILABLE;
    server_error INTERNAL_SERVER_ERROR;
}

impl OAuthError {
    fn new(status: StatusCode, code: &'static str, description: &'static str) -> Self {
        let description = Cow::Borrowed(description);
        Self { status, code, description, cause: None, challenge: None, step_up: None, keep: false }
    }

    #[must_use]
    pub fn cause(mut self, cause: impl std::fmt::Display) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    #[must_use]
    pub fn challenge(mut self, challenge: &'static str) -> Self {
        self.challenge = Some(challenge);
        self
    }

    #[must_use]
    pub fn keep(mut self) -> Self {
        self.keep = true;
        self
    }
}

impl From<store::StoreError> for OAuthError {
    fn from(error: store::StoreError) -> Self {
        match error {
            store::StoreError::Invalid => invalid_request("the request holds a character that cannot be stored"),
            error => temporarily_unavailable("the service cannot reach its database; try again").cause(error),
        }
    }
}

impl From<jose::JoseError> for OAuthError {
    fn from(error: jose::JoseError) -> Self {
        server_error("the service could not make the token").cause(error)
    }
}

impl IntoResponse for OAuthError {
    fn into_response(self) -> Response {
        match &self.cause {
            Some(cause) if self.status.is_server_error() => {
                tracing::error!(error.code = self.code, cause, "request failed");
            }
            Some(cause) => tracing::info!(error.code = self.code, cause, "request refused"),
            None => {}
        }
        let mut body = json!({"error": self.code, "error_description": self.description});
        if let (Some(step_up), Value::Object(members)) = (&self.step_up, &mut body) {
            members.extend(step_up.members());
        }
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
        if let Some(challenge) = self.challenge {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response
    }
}
