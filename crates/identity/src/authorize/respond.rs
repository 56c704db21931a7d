//! Answers of the authorization endpoint: to the client's redirect URI, each with `iss` (RFC 9207).

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use axum::response::Response;
use base::Secret;
use base::ids::{ClientId, UserId};
use http::{HeaderMap, StatusCode};
use jose::{Algorithm, Expected};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use web::{Language, Page, Scripts};

use super::checks::Refusal;
use super::request::ResponseMode;
use crate::Cx;
use crate::clients::RedirectUri;
use crate::error::OAuthError;
use crate::pages::PageError;

/// Where an answer goes, proven to be the client's.
#[derive(Debug, Clone)]
pub struct ReturnTo {
    pub redirect_uri: RedirectUri,
    pub state: Option<String>,
    pub response_mode: ResponseMode,
}

/// How the browser came to the answer: what [`web::Kit::leave`] is about.
#[derive(Clone, Copy)]
pub enum Coming<'a> {
    /// From the client, by redirects alone, in a request with these headers.
    Straight(&'a HeaderMap),
    /// From a form of ours, in a request with these headers.
    AfterForm(&'a HeaderMap),
}

impl<'a> Coming<'a> {
    fn headers(self) -> &'a HeaderMap {
        match self {
            Self::Straight(headers) | Self::AfterForm(headers) => headers,
        }
    }
}

/// An error answer (RFC 6749 §4.1.2.1, OpenID Connect Core §3.1.2.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizationError {
    pub code: &'static str,
    pub description: Cow<'static, str>,
}

macro_rules! errors {
    ($($name:ident)*) => {$(
        pub fn $name(description: &'static str) -> AuthorizationError {
            AuthorizationError { code: stringify!($name), description: Cow::Borrowed(description) }
        }
    )*};
}

errors! {
    invalid_request
    unauthorized_client
    access_denied
    unsupported_response_type
    invalid_scope
    temporarily_unavailable
    login_required
    consent_required
    request_not_supported
    request_uri_not_supported
    registration_not_supported
}

/// Of scopes and resources: they are refused with the same words at both endpoints.
impl From<OAuthError> for AuthorizationError {
    fn from(error: OAuthError) -> Self {
        Self { code: error.code, description: error.description }
    }
}

/// The success answer.
pub fn code(cx: &Cx, coming: Coming<'_>, return_to: &ReturnTo, code: &Secret<String>) -> Result<Response, PageError> {
    cx.identity.metrics.authorization("granted");
    send(cx, coming, return_to, &[("code", code.expose())])
}

pub fn error(
    cx: &Cx,
    coming: Coming<'_>,
    return_to: &ReturnTo,
    error: AuthorizationError,
) -> Result<Response, PageError> {
    cx.identity.metrics.authorization(error.code);
    send(cx, coming, return_to, &[("error", error.code), ("error_description", &error.description)])
}

/// To the client, if it is proven who that is; to a page of ours otherwise.
pub fn refusal(cx: &Cx, coming: Coming<'_>, refusal: Refusal) -> Result<Response, PageError> {
    match refusal {
        Refusal::Page(error) => Err(error),
        Refusal::Client(return_to, found) => error(cx, coming, &return_to, found),
    }
}

fn send(
    cx: &Cx,
    coming: Coming<'_>,
    return_to: &ReturnTo,
    parameters: &[(&'static str, &str)],
) -> Result<Response, PageError> {
    let mut all = parameters.to_vec();
    if let Some(state) = &return_to.state {
        all.push(("state", state));
    }
    all.push(("iss", &cx.identity.config.issuer));
    let redirect_uri = return_to.redirect_uri.as_str();
    match return_to.response_mode {
        ResponseMode::Query => {
            let location = with_query(redirect_uri, &all);
            Ok(match coming {
                Coming::Straight(_) => cx.identity.kit.redirect(&location),
                Coming::AfterForm(headers) => cx.identity.kit.leave(headers, &location),
            })
        }
        ResponseMode::FormPost => Ok(form_post(cx, coming.headers(), redirect_uri, &all)),
    }
}

/// The URI with parameters added and otherwise untouched (RFC 6749 §3.1.2: a query that is there is retained).
fn with_query(uri: &str, parameters: &[(&str, &str)]) -> String {
    /// All but the unreserved characters of RFC 3986 §2.3.
    const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    let mut out = uri.to_owned();
    let mut separator = match uri.split_once('?') {
        None => "?",
        Some((_, query)) if query.is_empty() || query.ends_with('&') => "",
        Some(_) => "&",
    };
    for (name, value) in parameters {
        let _ = write!(out, "{separator}{name}={}", utf8_percent_encode(value, RESERVED));
        separator = "&";
    }
    out
}

/// OAuth 2.0 Form Post Response Mode: a page that sends itself on, by a button where scripts are off.
fn form_post(cx: &Cx, headers: &HeaderMap, redirect_uri: &str, parameters: &[(&str, &str)]) -> Response {
    #[derive(Serialize)]
    struct Content<'a> {
        action: &'a str,
        fields: &'a [(&'a str, &'a str)],
    }
    let kit = &cx.identity.kit;
    let browser = kit.browser(headers);
    let page = Page {
        template: "form_post.html",
        status: StatusCode::OK,
        language: Language::choose(None, headers),
        browser: &browser,
        purpose: "",
        form_targets: onward(redirect_uri),
        scripts: Scripts::Own,
    };
    kit.page(page, Content { action: redirect_uri, fields: parameters })
}

/// Where the form may lead. Chromium applies `form-action` to the redirects after the form too, and a client may
/// take its answer at one origin and go on at another, which we cannot know.
fn onward(redirect_uri: &str) -> Vec<String> {
    let mut targets: Vec<String> = web::form_target(redirect_uri).into_iter().collect();
    targets.push("https:".to_owned());
    if redirect_uri.starts_with("http:") {
        targets.push("http:".to_owned());
    }
    targets
}

/// What an ID token says, as far as a hint is good for.
pub struct Hint {
    pub client_id: ClientId,
    pub user_id: UserId,
    pub session_id: Option<base::ids::SessionId>,
}

/// Reads an `id_token_hint`: issued here, for one client, expired or not (OpenID Connect Core §3.1.2.1).
pub async fn read_id_token_hint(cx: &mut Cx, token: &str) -> Option<Hint> {
    /// A hint may be old; not so old that the keys of its time are long gone.
    const MAX_AGE: Duration = Duration::from_secs(400 * 24 * 3600);
    let ring = crate::keys::ring(&cx.identity).await.ok()?;
    let expected = Expected {
        types: &["JWT"],
        issuer: Some(&cx.identity.config.issuer),
        audience: None,
        algorithms: &Algorithm::ALL,
        now: cx.now,
        leeway: MAX_AGE,
        expiry_required: true,
    };
    let verified = ring.verifying().verify(token, &expected).ok()?;
    // Our ID tokens have one audience, which is the client.
    Some(Hint {
        client_id: verified.text("aud")?.into(),
        user_id: verified.text("sub")?.into(),
        session_id: verified.text("sid").map(Into::into),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_added_and_the_rest_untouched() {
        for (uri, expected) in [
            ("https://a.test/cb", "https://a.test/cb?code=x%26y&iss=https%3A%2F%2Fid.test"),
            ("https://a.test/cb?", "https://a.test/cb?code=x%26y&iss=https%3A%2F%2Fid.test"),
            ("https://a.test/cb?q=%2F", "https://a.test/cb?q=%2F&code=x%26y&iss=https%3A%2F%2Fid.test"),
            ("com.example:/cb", "com.example:/cb?code=x%26y&iss=https%3A%2F%2Fid.test"),
        ] {
            assert_eq!(with_query(uri, &[("code", "x&y"), ("iss", "https://id.test")]), expected);
        }
    }
}
