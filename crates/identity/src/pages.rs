//! What the slices with pages share: errors for people, and what is handed from page to page.

use std::sync::Arc;

use ::store::StoreError;
use axum::response::Response;
use base::ids::RequestId;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use jose::seal::SealingKey;
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;
use web::{Browser, ErrorPage, Fields, Forged, Kit, KitError, Language, Settings};

use crate::{Config, Cx, Identity};

/// The most that a form or query of ours may be.
pub const MAX_FORM_BYTES: usize = 32 * 1024;

/// Seconds after which to try again what was too much for the moment.
pub const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// Why a person sees an error page. What they read stands in the texts under this name.
#[derive(Debug)]
pub enum PageError {
    ClientUnknown,
    /// The client is known, but not the address to answer to: the browser is not sent anywhere.
    RedirectWrong,
    /// The fact is for the client's makers.
    RequestWrong(&'static str),
    /// What was handed from page to page has expired, was changed, or is another browser's.
    Expired {
        restart: Option<String>,
    },
    Forged,
    Busy,
    NotFound,
    /// The cause is for the log.
    Outage(String),
}

impl From<StoreError> for PageError {
    fn from(error: StoreError) -> Self {
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        Self::Outage(format!("{error}: {cause}"))
    }
}

impl From<Forged> for PageError {
    fn from(_: Forged) -> Self {
        Self::Forged
    }
}

/// What an error page needs when the request's context is gone.
pub struct Failing {
    identity: Arc<Identity>,
    request_id: RequestId,
    language: Language,
}

impl Failing {
    pub fn new(cx: &Cx, headers: &HeaderMap) -> Self {
        Self {
            identity: cx.identity.clone(),
            request_id: cx.request_id.clone(),
            language: Language::choose(None, headers),
        }
    }

    /// The answer, or the page that says what went wrong.
    pub fn answer(&self, result: Result<Response, PageError>) -> Response {
        result.unwrap_or_else(|error| self.page(&error))
    }

    fn page(&self, error: &PageError) -> Response {
        let account = self.identity.kit.path("/account");
        let (status, key, detail, link) = match error {
            PageError::ClientUnknown => (StatusCode::BAD_REQUEST, "client_unknown", None, None),
            PageError::RedirectWrong => (StatusCode::BAD_REQUEST, "redirect_wrong", None, None),
            PageError::RequestWrong(fact) => (StatusCode::BAD_REQUEST, "request_wrong", Some(*fact), None),
            PageError::Expired { restart } => {
                let link = restart.as_deref().map(|to| (to, "link_restart"));
                (StatusCode::BAD_REQUEST, "expired", None, link)
            }
            PageError::Forged => (StatusCode::FORBIDDEN, "forged", None, None),
            PageError::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy", None, None),
            PageError::NotFound => (StatusCode::NOT_FOUND, "not_found", None, Some((account.as_str(), "link_account"))),
            PageError::Outage(cause) => {
                tracing::error!(request.id = %self.request_id, cause, "a page could not be made");
                (StatusCode::SERVICE_UNAVAILABLE, "outage", None, None)
            }
        };
        let mut response = self.identity.kit.error_page(&ErrorPage {
            status,
            language: self.language,
            key,
            detail,
            request_id: self.request_id.as_str(),
            link,
        });
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}

/// The kit of this installation's pages; links and names come from the issuer, never from a request.
pub fn kit(config: &Config, seal: &SealingKey) -> Result<Kit, KitError> {
    let url = Url::parse(&config.issuer).ok();
    let path = url.as_ref().map(|url| url.path().trim_end_matches('/').to_owned()).unwrap_or_default();
    let mac = seal.mac("pages");
    Kit::new(Settings {
        origin: config.origin(),
        base_path: path,
        site: url.as_ref().and_then(Url::host_str).unwrap_or_default().to_owned(),
        secure: config.is_https(),
        overrides: config.templates.clone(),
        mac: Box::new(move |input| mac.tag(input)),
    })
}

/// Seals what the next page of this browser needs; nothing of it is stored here.
pub fn seal<T: Serialize>(cx: &Cx, purpose: &str, browser: &Browser, content: &T) -> Result<String, PageError> {
    let plain = serde_json::to_vec(content).map_err(|error| PageError::Outage(error.to_string()))?;
    let sealed = cx.identity.seal.derive(purpose).seal(browser.id().as_bytes(), &plain);
    Ok(jose::hash::base64url(&sealed))
}

/// Opens what was sealed for the same purpose and browser.
pub fn open<T: DeserializeOwned>(cx: &Cx, purpose: &str, browser: &Browser, sealed: &str) -> Option<T> {
    let sealed = jose::hash::base64url_decode(sealed)?;
    let plain = cx.identity.seal.derive(purpose).open(browser.id().as_bytes(), &sealed)?;
    serde_json::from_slice(&plain).ok()
}

/// The fields of a query.
pub fn query_fields(query: Option<&str>) -> Result<Fields, PageError> {
    let query = query.unwrap_or_default();
    if query.len() > MAX_FORM_BYTES {
        return Err(PageError::RequestWrong("the request is longer than 32 KiB"));
    }
    Fields::parse(query.as_bytes()).map_err(|_| PageError::RequestWrong("the query cannot be read"))
}

/// The fields of a form.
pub fn form_fields(headers: &HeaderMap, body: &[u8]) -> Result<Fields, PageError> {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(PageError::RequestWrong("a form must be application/x-www-form-urlencoded"));
    }
    Fields::parse(body).map_err(|_| PageError::RequestWrong("the form cannot be read"))
}

/// `User-Agent`, short and printable.
pub fn user_agent(headers: &HeaderMap) -> String {
    let text = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.chars().filter(|c| !c.is_control()).take(256).collect()
}
