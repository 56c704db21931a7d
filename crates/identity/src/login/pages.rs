use axum::response::Response;
use http::{StatusCode, header};
use serde::Serialize;
use web::{Browser, Language, Page, Scripts};

use crate::Cx;
use crate::authorize::checks::Accepted;
use crate::authorize::interaction::Interaction;
use crate::pages::{PageError, RETRY_AFTER};

/// The purpose of the form.
pub const PURPOSE: &str = "login";

/// What the login page shows.
pub struct LoginPage<'a> {
    pub browser: &'a Browser,
    pub language: Language,
    /// None: for the account page.
    pub request: Option<(&'a Accepted, &'a Interaction)>,
    /// Already signed in, and asked to choose.
    pub signed_in_as: Option<String>,
    pub username: &'a str,
    pub fault: Option<Fault>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Wrong,
    Busy,
}

#[derive(Serialize)]
struct Content<'a> {
    client: Option<&'a str>,
    interaction: String,
    signed_in_as: Option<&'a str>,
    username: &'a str,
    error: Option<&'static str>,
}

pub fn show(cx: &Cx, login: &LoginPage<'_>) -> Result<Response, PageError> {
    let interaction = match login.request {
        Some((_, interaction)) => interaction.seal(cx, login.browser)?,
        None => String::new(),
    };
    let (status, error) = match login.fault {
        None => (StatusCode::OK, None),
        Some(Fault::Wrong) => (StatusCode::UNPROCESSABLE_ENTITY, Some("login_wrong")),
        Some(Fault::Busy) => (StatusCode::SERVICE_UNAVAILABLE, Some("login_busy")),
    };
    let redirect_uri = login.request.map(|(accepted, _)| accepted.return_to.redirect_uri.as_str());
    let page = Page {
        template: "login.html",
        status,
        language: login.language,
        browser: login.browser,
        purpose: PURPOSE,
        form_targets: redirect_uri.and_then(web::form_target).into_iter().collect(),
        scripts: Scripts::None,
    };
    let content = Content {
        client: login.request.map(|(accepted, _)| accepted.client.display_name()),
        interaction,
        signed_in_as: login.signed_in_as.as_deref(),
        username: login.username,
        error,
    };
    let mut response = cx.identity.kit.page(page, content);
    if login.fault == Some(Fault::Busy) {
        response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
    }
    Ok(response)
}
