//! `/login`, `/login/callback`, `/logout`, `/logged-out`, and `/console?once=…` (which the console asks here).

use axum::extract::RawQuery;
use axum::response::Response;
use axum::routing::{get, post};
use http::{HeaderMap, StatusCode, header};
use serde_json::json;
use web::Fields;

use super::login::{self, CALLBACK, Failed, LOGGED_OUT};
use super::{Way, link};
use crate::actor::{Right, Role};
use crate::audit::{self, Record};
use crate::error::Refused;
use crate::pages::{Halt, Notice, Visit};
use crate::router::{Guard, Route};
use crate::{Cx, PROVIDER, people};

pub fn routes() -> Vec<Route> {
    vec![
        ("/login", Guard::Public, get(log_in).post(adopt)),
        (CALLBACK, Guard::Public, get(come_back)),
        ("/logout", Guard::Public, post(log_out)),
        (LOGGED_OUT, Guard::Public, get(logged_out)),
        ("/organisation/switch", Guard::Public, post(switch)),
    ]
}

/// `GET /login?return_to=…`
async fn log_in(visit: Visit) -> Response {
    let made = send_away(&visit).await;
    visit.answer(made)
}

async fn send_away(visit: &Visit) -> Result<Response, Halt> {
    let return_to = super::safe_return(visit.query.text("return_to"));
    if visit.session.is_some() {
        return Ok(visit.kit().redirect(return_to));
    }
    let url = login::begin(&visit.cx, &visit.browser, return_to, None).await?;
    Ok(visit.kit().redirect_browser(&visit.browser, &url))
}

/// `POST /login`: an administrator who came by the link lets their own account in.
async fn adopt(visit: Visit, body: axum::body::Bytes) -> Response {
    let made = vouch(&visit, &body).await;
    visit.answer(made)
}

async fn vouch(visit: &Visit, body: &[u8]) -> Result<Response, Halt> {
    visit.form(body)?;
    visit.cx.need(Right::Administer)?;
    let by = visit.session.as_ref().filter(|session| session.way == Way::Link).map(|session| session.person.clone());
    let by = by.ok_or_else(|| Refused::Conflict("you are signed in with an account already".to_owned()))?;
    let url = login::begin(&visit.cx, &visit.browser, "/console/members", Some(by)).await?;
    Ok(visit.kit().leave(&visit.headers, &url))
}

/// `GET /login/callback`
async fn come_back(mut visit: Visit) -> Response {
    let fields = std::mem::take(&mut visit.query);
    let made = arrive(&mut visit, &fields).await;
    visit.answer(made)
}

async fn arrive(visit: &mut Visit, fields: &Fields) -> Result<Response, Halt> {
    let arrived = match login::finish(&visit.cx, &visit.browser, fields).await {
        Ok(arrived) => arrived,
        Err(failed) => return failed_page(visit, failed),
    };
    let mut cx = visit.cx.again();
    let vouched = match (&arrived.vouched_by, &visit.session) {
        (Some(by), Some(session)) => {
            session.way == Way::Link && session.person == *by && cx.actor.may(Right::Administer)
        }
        _ => false,
    };
    let voucher = std::mem::replace(&mut cx.actor, crate::Actor::System);
    let issuer = cx.management.config.issuer.clone();
    let person = people::arrive(&mut cx, &issuer, &arrived.subject, &arrived.name, arrived.email.as_deref()).await?;
    if vouched {
        cx.actor = voucher;
        people::make_member(&mut cx, PROVIDER, &person.id, Role::Administrator).await?;
    }
    cx.actor = crate::Actor::Person(person.clone());
    let object = format!("person:{}", person.id);
    audit::record(&mut cx, Record { act: "person.signed_in", object, organisation: None, detail: json!({}) }).await?;
    let headers = &visit.headers;
    let id_token = super::IdToken { text: &arrived.id_token, sid: arrived.sid.as_deref() };
    let cookie = super::start(&mut cx, headers, &person.id, Way::Login, Some(&id_token)).await?;
    cx.commit().await?;
    let mut response = visit.kit().redirect(&arrived.return_to);
    response.headers_mut().append(header::SET_COOKIE, cookie);
    Ok(response)
}

fn failed_page(visit: &Visit, failed: Failed) -> Result<Response, Halt> {
    let (status, title, text) = match failed {
        Failed::Refused(refused) => return Err(refused.into()),
        Failed::Cancelled => (
            StatusCode::OK,
            "You did not sign in",
            "Nothing was passed on. You can look at public APIs without signing in.",
        ),
        Failed::Stale => (
            StatusCode::BAD_REQUEST,
            "This sign-in is over",
            "It was used already, took too long, or was begun in another browser. Nothing has been changed.",
        ),
        Failed::Mismatch(cause) => {
            tracing::warn!(request.id = %visit.cx.request_id, cause, "a sign-in was refused");
            (
                StatusCode::BAD_REQUEST,
                "Signing in did not work",
                "What the identity system answered does not fit what was asked. Try again; if it goes on, tell the people who run this service the number below.",
            )
        }
    };
    Ok(visit.notice(&Notice { status, title, text, link: Some(("/login", "Sign in")), errors: &[] }))
}

/// `POST /logout`
async fn log_out(visit: Visit, body: axum::body::Bytes) -> Response {
    let made = leave(&visit, &body).await;
    visit.answer(made)
}

async fn leave(visit: &Visit, body: &[u8]) -> Result<Response, Halt> {
    visit.form_at_any_speed(body)?;
    let mut cx = visit.cx.again();
    let id_token = super::end(&mut cx, &visit.headers).await?;
    if let Some(session) = &visit.session {
        let object = format!("person:{}", session.person);
        audit::record(&mut cx, Record { act: "person.signed_out", object, organisation: None, detail: json!({}) })
            .await?;
    }
    cx.commit().await?;
    let by_login = visit.session.as_ref().is_some_and(|session| session.way == Way::Login);
    let away = if by_login { login::end_session_url(&visit.cx, id_token.as_deref()).await } else { None };
    let mut response = match away {
        Some(url) => visit.kit().leave(&visit.headers, &url),
        None => visit.kit().redirect(LOGGED_OUT),
    };
    if let Some(cookie) = visit.kit().cookies().clear(super::COOKIE) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// `GET /logged-out`
async fn logged_out(visit: Visit) -> Response {
    let text = "This browser is no longer signed in here.";
    visit.notice(&Notice {
        status: StatusCode::OK,
        title: "You are signed out",
        text,
        link: Some(("/login", "Sign in again")),
        errors: &[],
    })
}

/// `POST /organisation/switch`: which of one's organisations one works for, in this session.
async fn switch(visit: Visit, body: axum::body::Bytes) -> Response {
    let made = choose(&visit, &body).await;
    visit.answer(made)
}

async fn choose(visit: &Visit, body: &[u8]) -> Result<Response, Halt> {
    let fields = visit.form(body)?;
    let organisation = fields.text("organisation");
    let (Some(session), true) = (&visit.session, visit.organisations.iter().any(|home| home.id == organisation)) else {
        return Err(Refused::NotFound("organisation that you belong to").into());
    };
    let mut cx = visit.cx.again();
    super::store::choose_organisation(&mut cx, &session.id, organisation).await?;
    cx.commit().await?;
    Ok(visit.go(super::safe_return(fields.text("return_to"))))
}

/// A link in the address of the console. `None`: there is none.
pub(crate) async fn by_link(visit: &Visit, RawQuery(query): RawQuery) -> Option<Result<Response, Halt>> {
    let fields = Fields::parse(query.unwrap_or_default().as_bytes()).ok()?;
    let secret = fields.one("once")?;
    Some(open_by_link(visit, &visit.headers, secret).await)
}

async fn open_by_link(visit: &Visit, headers: &HeaderMap, secret: &str) -> Result<Response, Halt> {
    // Who only looks whether there is something, and a browser that loads pages ahead, would use the link up before anybody sees it.
    if visit.is_head
        || headers.contains_key("sec-purpose")
        || headers.get("purpose").is_some_and(|purpose| purpose == "prefetch")
    {
        return Err(Refused::Conflict("this link is for people".to_owned()).into());
    }
    let mut cx: Cx = visit.cx.again();
    let opened = link::open(&mut cx, headers, secret).await?;
    // Also when it was not good: what was seen must be durable before it is told.
    cx.commit().await?;
    let Some(cookie) = opened else {
        tracing::warn!(request.id = %visit.cx.request_id, "a console link that is not good was opened");
        let text = "A link opens the console once, within ten minutes. Get a new one where this one came from.";
        let notice = Notice {
            status: StatusCode::GONE,
            title: "This link has been used or is too old",
            text,
            link: Some(("/console", "Console")),
            errors: &[],
        };
        return Ok(visit.notice(&notice));
    };
    let mut response = visit.kit().redirect_browser(&visit.browser, "/console");
    response.headers_mut().append(header::SET_COOKIE, cookie);
    Ok(response)
}
