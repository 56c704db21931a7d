//! What a client is told to do about its token.

use catalog::{Required, Route};
use http::HeaderValue;

/// `WWW-Authenticate` (RFC 6750 §3, RFC 9728 §5.1), made once.
#[derive(Debug)]
pub(crate) struct Challenges {
    pub missing: HeaderValue,
    pub invalid_request: HeaderValue,
    pub invalid_token: HeaderValue,
    pub insufficient_scope: HeaderValue,
}

impl Challenges {
    pub fn new(route: &Route, required: &Required, metadata: &str) -> Self {
        let scopes: Vec<&str> = required.scopes.iter().chain(&required.any_scope).map(|scope| &**scope).collect();
        let scope = if scopes.is_empty() { String::new() } else { format!(", scope=\"{}\"", scopes.join(" ")) };
        let challenge = |middle: &str| {
            let text = format!("Bearer realm=\"{}\"{middle}, resource_metadata=\"{metadata}\"", route.realm());
            HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("Bearer"))
        };
        Self {
            // RFC 6750 §3.1: no error where no credentials were sent.
            missing: challenge(&scope),
            invalid_request: challenge(", error=\"invalid_request\", error_description=\"more than one credential\""),
            invalid_token: challenge(", error=\"invalid_token\", error_description=\"the access token is not valid\""),
            insufficient_scope: challenge(&format!(", error=\"insufficient_scope\"{scope}")),
        }
    }
}
