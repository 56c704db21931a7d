//! The kit: templates, a customer's replacements for them, and the answers made from them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use minijinja::value::{Kwargs, Serde, Value};
use minijinja::{Environment, UndefinedBehavior};
use rust_embed::RustEmbed;
use serde::Serialize;

use crate::assets::Assets;
use crate::browser::Browser;
use crate::cookies::Cookies;
use crate::headers::{Scripts, harden};
use crate::language::{Language, Texts};

#[derive(RustEmbed)]
#[folder = "templates/"]
struct Templates;

#[derive(RustEmbed)]
#[folder = "texts/"]
struct TextFiles;

/// Steps that one page may take; a customer's template cannot loop for ever.
const FUEL: u64 = 5_000_000;

/// A keyed hash (HMAC) under a key that the kit does not see.
pub type KeyedHash = Box<dyn Fn(&[u8]) -> [u8; 32] + Send + Sync>;

/// What a kit is made from.
pub struct Settings {
    /// The origin of the pages, from configuration, never from a request.
    pub origin: String,
    /// What stands before every path: empty, or `/auth`.
    pub base_path: String,
    /// The name that people see: a host, or a brand.
    pub site: String,
    /// Served over https.
    pub secure: bool,
    /// A folder whose files replace the built-in templates, static files and texts of the same name.
    pub overrides: Option<PathBuf>,
    /// A keyed hash under a key of the kit's own.
    pub mac: KeyedHash,
}

/// A template or text of the customer that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KitError {
    #[error("the template `{name}` cannot be read: {cause}")]
    Template { name: String, cause: String },
    #[error("the texts `{name}` cannot be read: {cause}")]
    Texts { name: String, cause: String },
}

/// Makes pages.
pub struct Kit {
    origin: String,
    base_path: String,
    site: String,
    cookies: Cookies,
    mac: KeyedHash,
    assets: Arc<Assets>,
    texts: Arc<Texts>,
    /// With the customer's replacements.
    templates: Environment<'static>,
    /// Without: what is shown when a replacement fails.
    built_in: Environment<'static>,
}

/// One page to be shown.
pub struct Page<'a> {
    pub template: &'static str,
    pub status: StatusCode,
    pub language: Language,
    pub browser: &'a Browser,
    /// What the page's forms are for; their `csrf` field is made for it.
    pub purpose: &'a str,
    /// Sources beyond our own that the redirect after a form may lead to ([`crate::form_target`]).
    pub form_targets: Vec<String>,
    pub scripts: Scripts,
}

/// An error for people: what happened, what to do, and the number to quote.
pub struct ErrorPage<'a> {
    pub status: StatusCode,
    pub language: Language,
    /// Names of texts `<key>_title`, `<key>_text` and `<key>_todo`.
    pub key: &'a str,
    /// A plain fact for the person who set up the client, such as which parameter is wrong. Never user input.
    pub detail: Option<&'a str>,
    pub request_id: &'a str,
    /// Where to go on: an address of ours or a registered one, and the name of its text.
    pub link: Option<(&'a str, &'a str)>,
}

impl Kit {
    /// # Errors
    /// If a replacement does not parse. All templates are read now, so that no page finds out later.
    pub fn new(settings: Settings) -> Result<Self, KitError> {
        let overrides = settings.overrides.as_deref();
        let mac = settings.mac;
        let assets = Arc::new(Assets::load(overrides, |content| mac(content)));
        let texts = Arc::new(texts(overrides)?);
        let shared = Shared { assets: assets.clone(), texts: texts.clone(), base_path: settings.base_path.clone() };
        let templates = environment(overrides, &shared)?;
        let built_in = environment(None, &shared)?;
        Ok(Self {
            origin: settings.origin,
            base_path: settings.base_path,
            site: settings.site,
            cookies: Cookies::new(settings.secure),
            mac,
            assets,
            texts,
            templates,
            built_in,
        })
    }

    pub fn cookies(&self) -> &Cookies {
        &self.cookies
    }

    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// A path of ours as pages and redirects name it.
    pub fn path(&self, path: &str) -> String {
        format!("{}{path}", self.base_path)
    }

    /// The static files.
    pub fn assets<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        self.assets.router()
    }

    /// One text of the pages.
    pub fn text(&self, _language: Language, key: &str) -> String {
        self.texts.text(key, |_| None)
    }

    /// A keyed hash over parts, each with its length before it so that no two lists run together.
    pub(crate) fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut input = Vec::new();
        for part in parts {
            input.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            input.extend_from_slice(part);
        }
        (self.mac)(&input)
    }

    /// The page as an answer.
    pub fn page(&self, page: Page<'_>, content: impl Serialize) -> Response {
        let context = Context {
            lang: page.language.tag(),
            site: &self.site,
            csrf: self.csrf(page.browser, page.purpose),
            page: content,
        };
        let html = self.render(page.template, Value::from(Serde(context)));
        let mut response = html_response(page.status, html);
        harden(&mut response, &page.form_targets, page.scripts);
        if let Some(cookie) = self.browser_cookie(page.browser) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        response
    }

    pub fn error_page(&self, error: &ErrorPage<'_>) -> Response {
        #[derive(Serialize)]
        struct Content<'a> {
            key: &'a str,
            detail: Option<&'a str>,
            request_id: &'a str,
            link: Option<(&'a str, &'a str)>,
        }
        let content = Content { key: error.key, detail: error.detail, request_id: error.request_id, link: error.link };
        let context = Context { lang: error.language.tag(), site: &self.site, csrf: String::new(), page: content };
        let html = self.render("error.html", Value::from(Serde(context)));
        let mut response = html_response(error.status, html);
        harden(&mut response, &[], Scripts::None);
        response
    }

    /// A redirect after a form or to a client. 303: the browser goes on with GET, whatever it came with, so that
    /// a password is not sent along (RFC 9700 §4.12).
    pub fn redirect(&self, location: &str) -> Response {
        let mut response = Response::new(Body::empty());
        harden(&mut response, &[], Scripts::None);
        match HeaderValue::try_from(location) {
            Ok(location) => {
                *response.status_mut() = StatusCode::SEE_OTHER;
                response.headers_mut().insert(header::LOCATION, location);
            }
            Err(_) => *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
        }
        response
    }

    /// As [`Kit::redirect`], to a page of ours that this browser will be known by.
    pub fn redirect_browser(&self, browser: &Browser, location: &str) -> Response {
        let mut response = self.redirect(location);
        if let Some(cookie) = self.browser_cookie(browser) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        response
    }

    /// Sends the browser to another site after a form of ours.
    ///
    /// Chromium applies `form-action` to every redirect that follows a form, also to those of the other site,
    /// which we cannot know. So a browser gets a page that ends the form's navigation and begins another one;
    /// it needs no script. Others are redirected, and browsers too where that cannot happen (private schemes,
    /// which a page may not open by itself).
    pub fn leave(&self, headers: &HeaderMap, location: &str) -> Response {
        #[derive(Serialize)]
        struct Content<'a> {
            location: &'a str,
        }
        let is_browser = headers.get("sec-fetch-mode").is_some_and(|mode| mode == "navigate");
        let is_web = location.starts_with("https://") || location.starts_with("http://");
        let (true, true, Ok(refresh)) = (is_browser, is_web, HeaderValue::try_from(format!("0; url={location}")))
        else {
            return self.redirect(location);
        };
        let page = Page {
            template: "leaving.html",
            status: StatusCode::OK,
            language: Language::choose(None, headers),
            browser: &self.browser(headers),
            purpose: "",
            form_targets: Vec::new(),
            scripts: Scripts::None,
        };
        let mut response = self.page(page, Content { location });
        response.headers_mut().insert(header::REFRESH, refresh);
        response
    }

    fn render(&self, name: &str, context: Value) -> String {
        let replaced = self.templates.get_template(name).and_then(|template| template.render(context.clone()));
        replaced
            .or_else(|error| {
                tracing::error!(template.name = name, cause = %error, "a page's template failed; the built-in one is shown");
                self.built_in.get_template(name).and_then(|template| template.render(context))
            })
            .unwrap_or_else(|error| {
                tracing::error!(template.name = name, cause = %error, "a built-in template failed");
                String::from("<!doctype html><title>Error</title><p>This page cannot be shown.")
            })
    }
}

impl std::fmt::Debug for Kit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kit").field("origin", &self.origin).finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Context<'a, T> {
    lang: &'static str,
    site: &'a str,
    csrf: String,
    page: T,
}

struct Shared {
    assets: Arc<Assets>,
    texts: Arc<Texts>,
    base_path: String,
}

fn environment(overrides: Option<&Path>, shared: &Shared) -> Result<Environment<'static>, KitError> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    for name in Templates::iter() {
        let replaced = overrides.and_then(|folder| std::fs::read_to_string(folder.join(&*name)).ok());
        let built_in = || Templates::get(&name).map(|file| String::from_utf8_lossy(&file.data).into_owned());
        let Some(source) = replaced.or_else(built_in) else { continue };
        environment
            .add_template_owned(name.to_string(), source)
            .map_err(|error| KitError::Template { name: name.to_string(), cause: error.to_string() })?;
    }
    let texts = shared.texts.clone();
    environment.add_function("t", move |key: &str, values: Kwargs| {
        let text = texts.text(key, |name| values.get::<Value>(name).ok().map(|value| value.to_string()));
        values.assert_all_used().map(|()| text)
    });
    // Safe as they are: names and paths of ours, from the programme and from configuration.
    let (assets, base) = (shared.assets.clone(), shared.base_path.clone());
    environment.add_function("asset", move |name: &str| {
        let hashed = assets.hashed(name).unwrap_or(name);
        Value::from_safe_string(format!("{base}/assets/{hashed}"))
    });
    let base = shared.base_path.clone();
    environment.add_function("path", move |path: &str| Value::from_safe_string(format!("{base}{path}")));
    Ok(environment)
}

fn texts(overrides: Option<&Path>) -> Result<Texts, KitError> {
    let name = format!("{}.json", Language::default().tag());
    let bad = |error: serde_json::Error| KitError::Texts { name: name.clone(), cause: error.to_string() };
    let built_in = TextFiles::get(&name).map(|file| file.data.into_owned()).unwrap_or_default();
    let mut texts = Texts::parse(&built_in).map_err(bad)?;
    if let Some(replaced) = overrides.and_then(|folder| std::fs::read(folder.join(&name)).ok()) {
        texts.overlay(Texts::parse(&replaced).map_err(bad)?);
    }
    Ok(texts)
}

fn html_response(status: StatusCode, html: String) -> Response {
    let mut response = Response::new(Body::from(html));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}
