use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;
use store::StoreError;

use crate::applied::Refused;
use crate::error::OAuthError;

/// An error answer of RFC 7591 §3.2.2. Its description names members of the request, never their values.
#[derive(Debug)]
pub struct Error {
    pub status: StatusCode,
    pub code: &'static str,
    pub description: String,
    cause: Option<String>,
    challenge: Option<&'static str>,
}

pub fn invalid_client_metadata(member: &'static str, fault: &str) -> Error {
    Error::new(StatusCode::BAD_REQUEST, "invalid_client_metadata", format!("`{member}` {fault}"))
}

pub fn invalid_redirect_uri(fault: &str) -> Error {
    Error::new(StatusCode::BAD_REQUEST, "invalid_redirect_uri", format!("`redirect_uris` {fault}"))
}

pub fn invalid_software_statement(fault: &'static str) -> Error {
    Error::new(StatusCode::BAD_REQUEST, "invalid_software_statement", format!("`software_statement` {fault}"))
}

pub fn unapproved_software_statement() -> Error {
    let text = "statements of this issuer are not taken here";
    Error::new(StatusCode::BAD_REQUEST, "unapproved_software_statement", text)
}

impl Error {
    pub fn new(status: StatusCode, code: &'static str, description: impl Into<String>) -> Self {
        Self { status, code, description: description.into(), cause: None, challenge: None }
    }

    pub fn invalid_request(description: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", description)
    }

    /// Without a token, or with one that is not good (any more): what a deleted client gets, too (RFC 7592 §2.1).
    pub fn unauthorized() -> Self {
        let mut error = Self::new(StatusCode::UNAUTHORIZED, "invalid_token", "the token is missing or not good here");
        error.challenge = Some("Bearer realm=\"registration\", error=\"invalid_token\"");
        error
    }
}

impl From<OAuthError> for Error {
    fn from(error: OAuthError) -> Self {
        let OAuthError { status, code, description, cause, challenge, .. } = error;
        Self { status, code, description: description.into_owned(), cause, challenge }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        OAuthError::from(error).into()
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Invalid(faults) => {
                let first = faults.into_iter().next();
                let (pointer, detail) = first.map(|fault| (fault.pointer, fault.detail)).unwrap_or_default();
                of_document(&pointer, &detail)
            }
            Refused::NotFound(_) => Self::unauthorized(),
            Refused::NotAllowed(why) => Self::new(StatusCode::CONFLICT, "invalid_client_metadata", why),
            Refused::Store(error) => error.into(),
            Refused::Jose(error) => OAuthError::from(error).into(),
        }
    }
}

/// A fault of the client's document, in words of RFC 7591.
fn of_document(pointer: &str, detail: &str) -> Error {
    let member = match pointer.split('/').nth(1).unwrap_or_default() {
        "redirectUris" => return invalid_redirect_uri(detail),
        "postLogoutRedirectUris" => "post_logout_redirect_uris",
        "tokenEndpointAuthMethod" => "token_endpoint_auth_method",
        "tokenEndpointAuthSigningAlg" => "token_endpoint_auth_signing_alg",
        "idTokenSignedResponseAlg" => "id_token_signed_response_alg",
        "grantTypes" => "grant_types",
        "jwks" => "jwks",
        "jwksUri" => "jwks_uri",
        _ => "scope",
    };
    invalid_client_metadata(member, detail)
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        match &self.cause {
            Some(cause) if self.status.is_server_error() => {
                tracing::error!(error.code = self.code, cause, "registration failed");
            }
            cause => tracing::info!(error.code = self.code, cause, "registration refused: {}", self.description),
        }
        let body = json!({"error": self.code, "error_description": self.description});
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(challenge) = self.challenge {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response
    }
}
