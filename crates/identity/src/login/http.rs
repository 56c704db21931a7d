use axum::Router;
use axum::body::Bytes;
use axum::extract::RawQuery;
use axum::response::Response;
use axum::routing::get;
use base::Secret;
use http::{HeaderMap, header};
use serde_json::json;
use web::{Browser, Fields, Language, SameSite};

use super::pages::{Fault, LoginPage, PURPOSE, show};
use super::{Attempt, Verdict, prove};
use crate::accounts::{self, User, devices};
use crate::audit::{self, Act, Record};
use crate::authorize::interaction::{Interaction, Step};
use crate::authorize::respond::Coming;
use crate::authorize::{self, Standing, respond};
use crate::cx::Actor;
use crate::pages::{self, Failing, PageError};
use crate::sessions::{self, Login};
use crate::{Cx, SharedIdentity};

pub fn routes() -> Router<SharedIdentity> {
    Router::new().route("/login", get(show_login).post(log_in))
}

/// Who comes to the login page, and from where.
struct Visitor {
    browser: Browser,
    /// None: from the account page.
    interaction: Option<Interaction>,
}

impl Visitor {
    fn read(cx: &Cx, headers: &HeaderMap, sealed: Option<&str>) -> Result<Self, PageError> {
        let browser = cx.identity.kit.browser(headers);
        let interaction = sealed.map(|sealed| Interaction::open(cx, &browser, sealed)).transpose()?;
        Ok(Self { browser, interaction })
    }

    /// Where it goes on after the login.
    fn next(&self, cx: &Cx) -> Result<String, PageError> {
        let kit = &cx.identity.kit;
        match &self.interaction {
            Some(interaction) => {
                Ok(kit.path(&format!("/authorize?interaction={}", interaction.seal(cx, &self.browser)?)))
            }
            None => Ok(kit.path("/account")),
        }
    }
}

/// `GET /login`
async fn show_login(cx: Cx, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    let failing = Failing::new(&cx, &headers);
    failing.answer(Box::pin(first_page(cx, &headers, query)).await)
}

async fn first_page(mut cx: Cx, headers: &HeaderMap, query: Option<String>) -> Result<Response, PageError> {
    let fields = pages::query_fields(query.as_deref())?;
    let visitor = Visitor::read(&cx, headers, fields.one("interaction"))?;
    let Some(interaction) = &visitor.interaction else {
        if sessions::current(&mut cx, headers).await?.is_some() {
            let to = visitor.next(&cx)?;
            return Ok(cx.identity.kit.redirect(&to));
        }
        return page(&mut cx, headers, &visitor, "", None).await;
    };
    match authorize::stand(&mut cx, headers, interaction).await? {
        Err(refusal) => respond::refusal(&cx, Coming::AfterForm(headers), refusal),
        Ok(Standing { step: Step::Login | Step::SelectAccount, accepted, .. }) => {
            let hint = accepted.login_hint.clone().unwrap_or_default();
            page(&mut cx, headers, &visitor, &hint, None).await
        }
        // Signed in meanwhile, in another tab.
        Ok(_) => {
            let to = visitor.next(&cx)?;
            Ok(cx.identity.kit.redirect(&to))
        }
    }
}

async fn page(
    cx: &mut Cx,
    headers: &HeaderMap,
    visitor: &Visitor,
    username: &str,
    fault: Option<Fault>,
) -> Result<Response, PageError> {
    let standing = match &visitor.interaction {
        None => None,
        Some(interaction) => match authorize::stand(cx, headers, interaction).await? {
            Err(refusal) => return respond::refusal(cx, Coming::AfterForm(headers), refusal),
            Ok(standing) => Some(standing),
        },
    };
    let signed_in_as = match &standing {
        Some(Standing { step: Step::SelectAccount, session: Some(session), .. }) => {
            accounts::find(cx, &session.user_id).await?.map(|user| user.spec.username)
        }
        _ => None,
    };
    let accepted = standing.as_ref().map(|standing| &standing.accepted);
    let login = LoginPage {
        browser: &visitor.browser,
        language: Language::choose(accepted.and_then(|accepted| accepted.ui_locales.as_deref()), headers),
        request: accepted.zip(visitor.interaction.as_ref()),
        signed_in_as,
        username,
        fault,
    };
    show(cx, &login)
}

/// `POST /login`
async fn log_in(cx: Cx, headers: HeaderMap, body: Bytes) -> Response {
    let failing = Failing::new(&cx, &headers);
    failing.answer(Box::pin(submit(cx, &headers, &body)).await)
}

async fn submit(cx: Cx, headers: &HeaderMap, body: &[u8]) -> Result<Response, PageError> {
    let form = pages::form_fields(headers, body)?;
    let browser = cx.identity.kit.browser(headers);
    cx.identity.kit.guard(headers, &browser, PURPOSE, form.text("csrf"))?;
    let visitor = Visitor::read(&cx, headers, form.one("interaction"))?;
    match form.text("action") {
        "cancel" => cancel(cx, headers, &visitor).await,
        "continue" => go_on(cx, headers, visitor).await,
        _ => check_password(cx, headers, visitor, &form).await,
    }
}

async fn cancel(mut cx: Cx, headers: &HeaderMap, visitor: &Visitor) -> Result<Response, PageError> {
    let Some(interaction) = &visitor.interaction else {
        return Ok(cx.identity.kit.redirect(&cx.identity.kit.path("/login")));
    };
    match authorize::stand(&mut cx, headers, interaction).await? {
        Err(refusal) => respond::refusal(&cx, Coming::AfterForm(headers), refusal),
        Ok(standing) => {
            let error = respond::access_denied("the user cancelled the sign-in");
            respond::error(&cx, Coming::AfterForm(headers), &standing.accepted.return_to, error)
        }
    }
}

/// "Continue as …": the session is the user's choice for this request.
async fn go_on(mut cx: Cx, headers: &HeaderMap, mut visitor: Visitor) -> Result<Response, PageError> {
    let session = sessions::current(&mut cx, headers).await?;
    if let (Some(interaction), Some(session)) = (&mut visitor.interaction, session) {
        interaction.selected = Some(session.session_id);
    }
    let to = visitor.next(&cx)?;
    Ok(cx.identity.kit.redirect(&to))
}

async fn check_password(cx: Cx, headers: &HeaderMap, visitor: Visitor, form: &Fields) -> Result<Response, PageError> {
    let attempt = Attempt {
        username: form.text("username").to_owned(),
        password: Secret::from(form.text("password")),
        device: cx.identity.kit.cookies().read(headers, devices::COOKIE),
    };
    let (cx, verdict) = prove(cx, attempt).await?;
    let fault = match verdict {
        Verdict::Right(user) => return welcome(cx, headers, &visitor, &user).await,
        Verdict::Wrong => Fault::Wrong,
        Verdict::Busy => Fault::Busy,
    };
    let mut after = cx.again();
    cx.commit().await?;
    page(&mut after, headers, &visitor, form.text("username"), Some(fault)).await
}

async fn welcome(mut cx: Cx, headers: &HeaderMap, visitor: &Visitor, user: &User) -> Result<Response, PageError> {
    cx.actor = Actor::User(user.user_id.clone());
    let login = Login {
        user_id: &user.user_id,
        acr: sessions::ACR_PASSWORD,
        amr: &[sessions::AMR_PASSWORD],
        user_agent: &pages::user_agent(headers),
    };
    let (session_id, session_cookie) = sessions::start(&mut cx, headers, &login).await?;
    let cookies = *cx.identity.kit.cookies();
    let before = cookies.read(headers, devices::COOKIE);
    let device = devices::remember(&mut cx, before.as_deref(), &user.user_id).await?;
    let record = Record {
        subject: Some(user.user_id.clone()),
        object: Some(session_id.to_string()),
        detail: json!({"network": cx.network.to_canonical().to_string(), "acr": login.acr}),
        ..Record::default()
    };
    audit::record(&mut cx, Act::LoginSucceeded, record).await?;

    let to = visitor.next(&cx)?;
    let mut response = cx.identity.kit.redirect(&to);
    response.headers_mut().append(header::SET_COOKIE, session_cookie);
    let device =
        device.and_then(|cookie| cookies.set(devices::COOKIE, &cookie, Some(devices::LIFETIME), SameSite::Lax));
    if let Some(device) = device {
        response.headers_mut().append(header::SET_COOKIE, device);
    }
    cx.commit().await?;
    Ok(response)
}
