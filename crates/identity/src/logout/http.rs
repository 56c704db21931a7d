use axum::Router;
use axum::body::Bytes;
use axum::extract::RawQuery;
use axum::response::Response;
use axum::routing::get;
use http::{HeaderMap, StatusCode, header};
use serde::Serialize;
use web::{Browser, Language, Page, Scripts};

use super::{Onward, Request, check};
use crate::cx::Actor;
use crate::pages::{self, Failing, PageError};
use crate::sessions::{self, Session};
use crate::{Cx, SharedIdentity, accounts};

/// The purpose of the form.
pub const PURPOSE: &str = "logout";

pub fn routes() -> Router<SharedIdentity> {
    Router::new().route("/logout", get(ask_to_log_out).post(log_out))
}

/// `GET /logout`
async fn ask_to_log_out(cx: Cx, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    let failing = Failing::new(&cx, &headers);
    failing.answer(Box::pin(ask(cx, &headers, query)).await)
}

async fn ask(mut cx: Cx, headers: &HeaderMap, query: Option<String>) -> Result<Response, PageError> {
    let fields = pages::query_fields(query.as_deref())?;
    let request = check(&mut cx, &fields).await?;
    let language = Language::choose(fields.one("ui_locales"), headers);
    match sessions::current(&mut cx, headers).await? {
        Some(session) if request.is_proven_for(&session) => end(cx, &session, |cx| go_on(cx, &request.onward)).await,
        Some(session) => confirm(&mut cx, headers, language, &session, &request).await,
        None => Ok(done(&cx, headers, language, &request.onward)),
    }
}

/// `POST /logout`: our own form, or a client's request (§2), which comes without cookies and so goes on by GET.
async fn log_out(cx: Cx, headers: HeaderMap, body: Bytes) -> Response {
    let failing = Failing::new(&cx, &headers);
    failing.answer(Box::pin(submit(cx, &headers, &body)).await)
}

async fn submit(mut cx: Cx, headers: &HeaderMap, body: &[u8]) -> Result<Response, PageError> {
    let form = pages::form_fields(headers, body)?;
    let identity = cx.identity.clone();
    let kit = &identity.kit;
    if form.one("csrf").is_none() && form.one("action").is_none() {
        let pairs: Vec<(&str, &str)> = form.iter().collect();
        let query = serde_urlencoded::to_string(pairs);
        let query = query.map_err(|_| PageError::RequestWrong("the form cannot be read"))?;
        return Ok(kit.redirect(&kit.path(&format!("/logout?{query}"))));
    }
    let browser = kit.browser(headers);
    kit.guard(headers, &browser, PURPOSE, form.text("csrf"))?;
    let onward = match form.one("interaction") {
        Some(sealed) => {
            pages::open::<Onward>(&cx, PURPOSE, &browser, sealed).ok_or(PageError::Expired { restart: None })?
        }
        None => Onward::default(),
    };
    if form.text("action") == "stay" {
        return Ok(kit.redirect(&kit.path("/account")));
    }
    match sessions::current(&mut cx, headers).await? {
        Some(session) => end(cx, &session, |cx| leave(cx, headers, &onward)).await,
        None => Ok(leave(&cx, headers, &onward)),
    }
}

async fn end(mut cx: Cx, session: &Session, answer: impl FnOnce(&Cx) -> Response) -> Result<Response, PageError> {
    cx.actor = Actor::User(session.user_id.clone());
    sessions::end(&mut cx, &session.session_id, "signed out").await?;
    let after = cx.again();
    cx.commit().await?;
    let mut response = answer(&after);
    if let Some(cookie) = after.identity.kit.cookies().clear(sessions::COOKIE) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// To the client; or to the page that says it is done, which is this endpoint without a session.
fn go_on(cx: &Cx, onward: &Onward) -> Response {
    let kit = &cx.identity.kit;
    kit.redirect(&onward.location().unwrap_or_else(|| kit.path("/logout")))
}

/// As [`go_on`], after a form of ours.
fn leave(cx: &Cx, headers: &HeaderMap, onward: &Onward) -> Response {
    match onward.location() {
        Some(location) => cx.identity.kit.leave(headers, &location),
        None => go_on(cx, onward),
    }
}

fn done(cx: &Cx, headers: &HeaderMap, language: Language, onward: &Onward) -> Response {
    #[derive(Serialize)]
    struct Content {
        key: &'static str,
        link: Option<(String, &'static str)>,
    }
    if onward.redirect_uri.is_some() {
        return go_on(cx, onward);
    }
    let kit = &cx.identity.kit;
    let browser = kit.browser(headers);
    let content = Content { key: "logged_out", link: Some((kit.path("/login"), "login_again")) };
    kit.page(page("message.html", language, &browser), content)
}

async fn confirm(
    cx: &mut Cx,
    headers: &HeaderMap,
    language: Language,
    session: &Session,
    request: &Request,
) -> Result<Response, PageError> {
    #[derive(Serialize)]
    struct Content<'a> {
        client: Option<&'a str>,
        user: &'a str,
        interaction: String,
    }
    let user = accounts::find(cx, &session.user_id).await?;
    let user = user.ok_or_else(|| PageError::Outage("a session without its user".into()))?;
    let browser = cx.identity.kit.browser(headers);
    let content = Content {
        client: request.client.as_ref().map(|client| client.display_name()),
        user: &user.spec.username,
        interaction: pages::seal(cx, PURPOSE, &browser, &request.onward)?,
    };
    let targets = request.onward.redirect_uri.as_deref().and_then(web::form_target);
    let page = Page { form_targets: targets.into_iter().collect(), ..page("logout.html", language, &browser) };
    Ok(cx.identity.kit.page(page, content))
}

fn page<'a>(template: &'static str, language: Language, browser: &'a Browser) -> Page<'a> {
    Page {
        template,
        status: StatusCode::OK,
        language,
        browser,
        purpose: PURPOSE,
        form_targets: Vec::new(),
        scripts: Scripts::None,
    }
}
