use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use url::Url;
use web::{Browser, Language, Page, Scripts, When, when};

use crate::Cx;
use crate::accounts::User;
use crate::authorize::checks::Accepted;
use crate::authorize::interaction::{Interaction, Shown};
use crate::pages::PageError;
use crate::scopes;

/// The purpose of the form.
pub const PURPOSE: &str = "consent";

#[derive(Serialize)]
struct Content<'a> {
    client: &'a str,
    domain: String,
    user: &'a str,
    interaction: String,
    scopes: Vec<ScopeRow>,
    until: When,
}

#[derive(Serialize)]
struct ScopeRow {
    name: String,
    description: String,
    /// Names of what the client learns, joined.
    claims: String,
    required: bool,
}

pub async fn show(
    cx: &Cx,
    browser: &Browser,
    language: Language,
    user: &User,
    accepted: &Accepted,
    interaction: &Interaction,
) -> Result<Response, PageError> {
    let shown = Shown { user_id: user.user_id.clone(), scopes: accepted.scopes.clone() };
    let interaction = Interaction { shown: Some(shown), ..interaction.clone() };
    let redirect_uri = accepted.return_to.redirect_uri.as_str();
    let page = Page {
        template: "consent.html",
        status: StatusCode::OK,
        language,
        browser,
        purpose: PURPOSE,
        form_targets: web::form_target(redirect_uri).into_iter().collect(),
        scripts: Scripts::None,
    };
    let content = Content {
        client: accepted.client.display_name(),
        domain: domain(redirect_uri),
        user: &user.spec.username,
        interaction: interaction.seal(cx, browser)?,
        scopes: rows(cx, language, accepted).await?,
        until: when(cx.now.plus(cx.identity.config.lifetimes.grant), cx.now),
    };
    Ok(cx.identity.kit.page(page, content))
}

async fn rows(cx: &Cx, language: Language, accepted: &Accepted) -> Result<Vec<ScopeRow>, PageError> {
    let catalog = scopes::catalog(&cx.identity).await?;
    let text = |key: &str| cx.identity.kit.text(language, key);
    let (profile, email) = (text("claims_profile"), text("claims_email"));
    let row = |info: scopes::ScopeInfo| {
        let contract = catalog.scopes.get(&info.name).map(|spec| spec.claims.keys().map(String::as_str));
        let claims: Vec<&str> = match info.name.as_str() {
            "profile" => vec![profile.as_str()],
            "email" => vec![email.as_str()],
            _ => contract.into_iter().flatten().collect(),
        };
        let required = info.name == super::REQUIRED;
        ScopeRow { required, claims: claims.join(", "), name: info.name, description: info.description }
    };
    let described = scopes::describe(cx, &accepted.scopes).await?;
    let mut rows: Vec<ScopeRow> = described.into_iter().map(row).collect();
    rows.sort_by_key(|row| !row.required);
    Ok(rows)
}

/// What a person can recognise of a redirect URI; empty for an application on their own device.
pub fn domain(redirect_uri: &str) -> String {
    let host = Url::parse(redirect_uri).ok().and_then(|url| url.host_str().map(str::to_owned));
    host.filter(|host| !matches!(host.as_str(), "localhost" | "127.0.0.1" | "[::1]")).unwrap_or_default()
}
