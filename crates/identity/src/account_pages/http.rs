use axum::Router;
use axum::body::Bytes;
use axum::extract::RawQuery;
use axum::response::Response;
use axum::routing::{get, post};
use base::ids::{ClientId, SessionId};
use http::{HeaderMap, header};
use web::Fields;

use super::pages::{purpose, show};
use super::password::{self, Faults};
use crate::accounts::{self, User};
use crate::cx::Actor;
use crate::pages::{self, Failing, PageError};
use crate::sessions::{self, Session};
use crate::{Cx, SharedIdentity, consent, grants};

/// What a page may say after something was done; the address names nothing else.
const NOTICES: &[&str] = &["notice_grant_revoked", "notice_session_ended", "notice_password_changed"];

pub fn routes() -> Router<SharedIdentity> {
    Router::new()
        .route("/", get(to_account))
        .route("/account", get(show_account))
        .route("/account/grants/revoke", post(revoke_grant))
        .route("/account/sessions/end", post(end_session))
        .route("/account/sessions/end-all", post(end_all_sessions))
        .route("/account/password", post(change_password))
}

/// Somebody signed in.
struct Visitor {
    session: Session,
    user: User,
}

/// None: the login page comes first.
async fn visitor(cx: &mut Cx, headers: &HeaderMap) -> Result<Option<Visitor>, PageError> {
    let Some(session) = sessions::current(cx, headers).await? else {
        return Ok(None);
    };
    cx.actor = Actor::User(session.user_id.clone());
    let user = accounts::find(cx, &session.user_id).await?;
    Ok(user.map(|user| Visitor { session, user }))
}

/// A form of this page, from our own page in this browser, and by somebody signed in.
async fn form(cx: &mut Cx, headers: &HeaderMap, body: &[u8]) -> Result<Option<(Fields, Visitor)>, PageError> {
    let form = pages::form_fields(headers, body)?;
    let Some(visitor) = visitor(cx, headers).await? else {
        return Ok(None);
    };
    let kit = &cx.identity.kit;
    kit.guard(headers, &kit.browser(headers), &purpose(&visitor.session), form.text("csrf"))?;
    Ok(Some((form, visitor)))
}

fn to(cx: &Cx, path: &str) -> Response {
    cx.identity.kit.redirect(&cx.identity.kit.path(path))
}

/// `GET /`: a person who comes to the issuer itself.
async fn to_account(cx: Cx) -> Response {
    to(&cx, "/account")
}

/// `GET /account`
async fn show_account(cx: Cx, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    let failing = Failing::new(&cx, &headers);
    failing.answer(Box::pin(account(cx, &headers, query)).await)
}

async fn account(mut cx: Cx, headers: &HeaderMap, query: Option<String>) -> Result<Response, PageError> {
    let Some(visitor) = visitor(&mut cx, headers).await? else {
        return Ok(to(&cx, "/login"));
    };
    let fields = pages::query_fields(query.as_deref())?;
    let notice = NOTICES.iter().copied().find(|notice| fields.one("notice") == Some(notice));
    show(&mut cx, headers, &visitor.session, &visitor.user, notice, Faults::default()).await
}

/// `POST /account/grants/revoke`
async fn revoke_grant(cx: Cx, headers: HeaderMap, body: Bytes) -> Response {
    let failing = Failing::new(&cx, &headers);
    failing.answer(Box::pin(revoke(cx, &headers, &body)).await)
}

async fn revoke(mut cx: Cx, headers: &HeaderMap, body: &[u8]) -> Result<Response, PageError> {
    let Some((form, visitor)) = form(&mut cx, headers, body).await? else {
        return Ok(to(&cx, "/login"));
    };
    let client_id = ClientId::from(form.text("grant"));
    let user_id = &visitor.user.user_id;
    consent::withdraw(&mut cx, user_id, &client_id).await?;
    grants::revoke_of_user_and_client(&mut cx, user_id, &client_id, "withdrawn by the user").await?;
    let response = to(&cx, "/account?notice=notice_grant_revoked");
    cx.commit().await?;
    Ok(response)
}

/// `POST /account/sessions/end`
async fn end_session(cx: Cx, headers: HeaderMap, body: Bytes) -> Response {
    let failing = Failing::new(&cx, &headers);
    failing.answer(Box::pin(end_one(cx, &headers, &body)).await)
}

async fn end_one(mut cx: Cx, headers: &HeaderMap, body: &[u8]) -> Result<Response, PageError> {
    let Some((form, visitor)) = form(&mut cx, headers, body).await? else {
        return Ok(to(&cx, "/login"));
    };
    let session_id = SessionId::from(form.text("session"));
    // Only one's own: the session is looked for among the user's.
    let own = sessions::list_of_user(&mut cx, &visitor.user.user_id).await?;
    if own.iter().any(|session| session.session_id == session_id) {
        sessions::end(&mut cx, &session_id, "ended by the user").await?;
    }
    let response = to(&cx, "/account?notice=notice_session_ended");
    cx.commit().await?;
    Ok(response)
}

/// `POST /account/sessions/end-all`
async fn end_all_sessions(cx: Cx, headers: HeaderMap, body: Bytes) -> Response {
    let failing = Failing::new(&cx, &headers);
    failing.answer(Box::pin(end_all(cx, &headers, &body)).await)
}

async fn end_all(mut cx: Cx, headers: &HeaderMap, body: &[u8]) -> Result<Response, PageError> {
    let Some((_, visitor)) = form(&mut cx, headers, body).await? else {
        return Ok(to(&cx, "/login"));
    };
    sessions::end_of_user(&mut cx, &visitor.user.user_id, None, "signed out everywhere").await?;
    let mut response = to(&cx, "/logout");
    if let Some(cookie) = cx.identity.kit.cookies().clear(sessions::COOKIE) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    cx.commit().await?;
    Ok(response)
}

/// `POST /account/password`
async fn change_password(cx: Cx, headers: HeaderMap, body: Bytes) -> Response {
    let failing = Failing::new(&cx, &headers);
    failing.answer(Box::pin(change(cx, &headers, &body)).await)
}

async fn change(mut cx: Cx, headers: &HeaderMap, body: &[u8]) -> Result<Response, PageError> {
    let Some((form, visitor)) = form(&mut cx, headers, body).await? else {
        return Ok(to(&cx, "/login"));
    };
    let Visitor { session, user } = visitor;
    let (cx, faults) = password::change(cx, headers, &session, &user, &form).await?;
    let mut after = cx.again();
    cx.commit().await?;
    match faults {
        Some(faults) => show(&mut after, headers, &session, &user, None, faults).await,
        None => Ok(to(&after, "/account?notice=notice_password_changed")),
    }
}
