use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::RawQuery;
use axum::response::Response;
use axum::routing::get;
use base::scope::Scopes;
use http::HeaderMap;
use web::{Browser, Fields, Language};

use super::pages::{PURPOSE, show};
use super::{deny, give, granted};
use crate::accounts;
use crate::authorize::interaction::{Interaction, Step};
use crate::authorize::respond::Coming;
use crate::authorize::{self, Standing, Visit, respond};
use crate::pages::{self, Failing, PageError};
use crate::sessions::Session;
use crate::{Cx, SharedIdentity};

pub fn routes() -> Router<SharedIdentity> {
    Router::new().route("/consent", get(show_consent).post(decide))
}

/// `GET /consent`
async fn show_consent(cx: Cx, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    let failing = Failing::new(&cx, &headers);
    failing.answer(Box::pin(ask(cx, &headers, query)).await)
}

async fn ask(cx: Cx, headers: &HeaderMap, query: Option<String>) -> Result<Response, PageError> {
    let fields = pages::query_fields(query.as_deref())?;
    let browser = cx.identity.kit.browser(headers);
    let sealed = fields.one("interaction").ok_or(PageError::NotFound)?;
    let interaction = Interaction::open(&cx, &browser, sealed)?;
    page(cx, headers, browser, interaction).await
}

/// The page, if consent is what is missing; where the request stands, otherwise.
async fn page(
    mut cx: Cx,
    headers: &HeaderMap,
    browser: Browser,
    interaction: Interaction,
) -> Result<Response, PageError> {
    let standing = match authorize::stand(&mut cx, headers, &interaction).await? {
        Ok(standing) => standing,
        Err(refusal) => return respond::refusal(&cx, Coming::AfterForm(headers), refusal),
    };
    let Standing { accepted, session: Some(session), step: Step::Consent } = standing else {
        return Box::pin(authorize::proceed(cx, headers, Coming::AfterForm(headers), Visit { browser, interaction }))
            .await;
    };
    let user = accounts::find(&mut cx, &session.user_id).await?;
    let user = user.ok_or_else(|| PageError::Outage("a session without its user".into()))?;
    let language = Language::choose(accepted.ui_locales.as_deref(), headers);
    show(&cx, &browser, language, &user, &accepted, &interaction).await
}

/// `POST /consent`
async fn decide(cx: Cx, headers: HeaderMap, body: Bytes) -> Response {
    let failing = Failing::new(&cx, &headers);
    failing.answer(Box::pin(decision(cx, &headers, &body)).await)
}

async fn decision(mut cx: Cx, headers: &HeaderMap, body: &[u8]) -> Result<Response, PageError> {
    let form = pages::form_fields(headers, body)?;
    let browser = cx.identity.kit.browser(headers);
    cx.identity.kit.guard(headers, &browser, PURPOSE, form.text("csrf"))?;
    let interaction = Interaction::open(&cx, &browser, form.text("interaction"))?;
    let standing = match authorize::stand(&mut cx, headers, &interaction).await? {
        Ok(standing) => standing,
        Err(refusal) => return respond::refusal(&cx, Coming::AfterForm(headers), refusal),
    };
    // Signed out, somebody else by now, asked for something else, or never shown: start over from where it stands.
    let shown = interaction.shown.clone();
    let (Standing { accepted, session: Some(session), step: Step::Consent }, Some(shown)) = (standing, shown) else {
        return over_again(cx, headers, browser, interaction).await;
    };
    if shown.user_id != session.user_id || shown.scopes != accepted.scopes {
        return over_again(cx, headers, browser, interaction).await;
    }
    let client_id = accepted.client.client_id.clone();
    match form.text("action") {
        "allow" => {
            let granted = granted(&accepted.scopes, &ticked(&form));
            if granted.is_empty() {
                return denied(cx, headers, &accepted, &session).await;
            }
            give(&mut cx, &session.user_id, &client_id, &accepted.scopes, &granted).await?;
            authorize::answer(cx, Coming::AfterForm(headers), &accepted, &session, granted).await
        }
        "switch" => {
            // A login in this very millisecond is the one that the user does not want.
            let login_after = Some(cx.now.plus(Duration::from_millis(1)));
            let interaction = Interaction { shown: None, selected: None, login_after, ..interaction };
            let sealed = interaction.seal(&cx, &browser)?;
            let kit = &cx.identity.kit;
            Ok(kit.redirect(&kit.path(&format!("/login?interaction={sealed}"))))
        }
        _ => denied(cx, headers, &accepted, &session).await,
    }
}

async fn denied(
    mut cx: Cx,
    headers: &HeaderMap,
    accepted: &authorize::checks::Accepted,
    session: &Session,
) -> Result<Response, PageError> {
    deny(&mut cx, &session.user_id, &accepted.client.client_id, &accepted.scopes).await?;
    let after = cx.again();
    cx.commit().await?;
    let error = respond::access_denied("the user did not allow it");
    respond::error(&after, Coming::AfterForm(headers), &accepted.return_to, error)
}

async fn over_again(
    cx: Cx,
    headers: &HeaderMap,
    browser: Browser,
    interaction: Interaction,
) -> Result<Response, PageError> {
    let interaction = Interaction { shown: None, ..interaction };
    Box::pin(authorize::proceed(cx, headers, Coming::AfterForm(headers), Visit { browser, interaction })).await
}

fn ticked(form: &Fields) -> Scopes {
    form.all("scope").collect()
}
