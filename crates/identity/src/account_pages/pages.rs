use axum::response::Response;
use base::scope::Scopes;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use web::{Language, Page, Scripts, When, when};

use super::password::Faults;
use super::{Access, by_client, device};
use crate::accounts::User;
use crate::pages::PageError;
use crate::sessions::Session;
use crate::{Cx, clients, consent, grants, logout, scopes, sessions};

/// The purpose of all forms of the page: those of one session, so that a page left open does nothing to the
/// account of whoever signs in next.
pub fn purpose(session: &Session) -> String {
    format!("account of {}", session.session_id)
}

#[derive(Serialize)]
struct Content<'a> {
    name: &'a str,
    username: &'a str,
    logout_csrf: String,
    notice: Option<&'static str>,
    /// Field, and what is wrong with it.
    faults: Vec<(&'static str, String)>,
    current_error: String,
    new_error: String,
    grants: Vec<GrantRow>,
    sessions: Vec<SessionRow>,
}

#[derive(Serialize)]
struct GrantRow {
    id: String,
    client: String,
    domain: String,
    scopes: Vec<String>,
    since: When,
    /// None where only the consent is remembered.
    used: Option<When>,
    until: Option<When>,
}

#[derive(Serialize)]
struct SessionRow {
    id: String,
    device: String,
    network: String,
    since: When,
    seen: When,
    current: bool,
}

pub async fn show(
    cx: &mut Cx,
    headers: &HeaderMap,
    session: &Session,
    user: &User,
    notice: Option<&'static str>,
    faults: Faults,
) -> Result<Response, PageError> {
    let language = Language::choose(None, headers);
    let text = |key: Option<&'static str>| key.map(|key| cx.identity.kit.text(language, key)).unwrap_or_default();
    let (current_error, new_error) = (text(faults.current), text(faults.new));
    let mut named = vec![("current_password", current_error.clone()), ("new_password", new_error.clone())];
    named.retain(|(_, text)| !text.is_empty());
    let browser = cx.identity.kit.browser(headers);
    let content = Content {
        name: user.spec.display_name(),
        username: &user.spec.username,
        logout_csrf: cx.identity.kit.csrf(&browser, logout::PURPOSE),
        notice,
        current_error,
        new_error,
        grants: grant_rows(cx, user).await?,
        sessions: session_rows(cx, session).await?,
        faults: named,
    };
    let page = Page {
        template: "account.html",
        status: if content.faults.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY },
        language,
        browser: &browser,
        purpose: &purpose(session),
        form_targets: Vec::new(),
        scripts: Scripts::None,
    };
    Ok(cx.identity.kit.page(page, content))
}

async fn grant_rows(cx: &mut Cx, user: &User) -> Result<Vec<GrantRow>, PageError> {
    let grants = grants::list_of_user(cx, &user.user_id).await?;
    let mut rows = Vec::new();
    let remembered = consent::list_of_user(cx, &user.user_id).await?;
    for access in by_client(&grants, &remembered) {
        rows.push(grant_row(cx, access).await?);
    }
    Ok(rows)
}

async fn grant_row(cx: &mut Cx, access: Access) -> Result<GrantRow, PageError> {
    let client = clients::find(cx, &access.client_id).await?;
    let domain = client.as_ref().and_then(|client| client.spec.redirect_uris.first());
    Ok(GrantRow {
        client: client.as_ref().map_or_else(|| access.client_id.to_string(), |client| client.display_name().to_owned()),
        domain: domain.map(|uri| consent::domain(uri)).unwrap_or_default(),
        scopes: descriptions(cx, &access.scopes).await?,
        since: when(access.since, cx.now),
        used: access.live.as_ref().map(|live| when(live.used_at, cx.now)),
        until: access.live.as_ref().map(|live| when(live.until, cx.now)),
        id: access.client_id.0,
    })
}

async fn descriptions(cx: &Cx, scopes: &Scopes) -> Result<Vec<String>, PageError> {
    let described = scopes::describe(cx, scopes).await?;
    Ok(described.into_iter().map(|info| info.description).collect())
}

async fn session_rows(cx: &mut Cx, current: &Session) -> Result<Vec<SessionRow>, PageError> {
    let now = cx.now;
    let row = |session: Session| SessionRow {
        device: device::name(&session.user_agent),
        network: session.network,
        since: when(session.created_at, now),
        seen: when(session.last_seen_at, now),
        current: session.session_id == current.session_id,
        id: session.session_id.0,
    };
    Ok(sessions::list_of_user(cx, &current.user_id).await?.into_iter().map(row).collect())
}
