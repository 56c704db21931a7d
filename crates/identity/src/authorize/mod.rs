//! The authorization endpoint: OAuth 2.0 (RFC 6749 §4.1) and OpenID Connect Core §3.1, code flow only.
//!
//! PKCE with S256 for every client (RFC 7636, RFC 9700 §2.1.1), `iss` in every answer (RFC 9207), `resource`
//! (RFC 8707), `prompt`, `max_age`, `login_hint`, `id_token_hint`; `acr_values` is a wish (§3.1.2.1), and `acr` says what it came to. A request is parsed once
//! ([`request`]), passes one list of checks ([`checks`]), and then goes from step to step ([`interaction`])
//! until it is answered ([`respond`]). Between pages nothing is stored: the request travels sealed, bound to
//! the browser, and is checked again at every step, so that no step can be skipped or changed.
//!
//! Not here: the implicit and hybrid flows, and request objects (RFC 9101, RFC 9126).

pub mod checks;
mod http;
pub mod interaction;
pub mod request;
pub mod respond;
#[cfg(test)]
mod tests;

use ::http::HeaderMap;
use axum::response::Response;
use base::scope::Scopes;
use web::Browser;

pub use http::routes;

use crate::authorize::checks::{Accepted, Refusal};
use crate::authorize::interaction::{Interaction, Step};
use crate::authorize::request::Prompt;
use crate::authorize::respond::Coming;
use crate::claims::Person;
use crate::error::OAuthError;
use crate::pages::{self, PageError};
use crate::policy::{self, Requester, Ruling};
use crate::scopes::Audiences;
use crate::sessions::Session;
use crate::{Cx, accounts, claims, codes, consent, grants, scopes, sessions};

/// A request on its way, in the browser that it is bound to.
pub struct Visit {
    pub browser: Browser,
    pub interaction: Interaction,
}

/// Where a request stands: accepted, by whom, and what comes next.
pub struct Standing {
    pub accepted: Accepted,
    pub session: Option<Session>,
    pub step: Step,
}

/// Takes a request one step further: to a page, or back to the client.
pub async fn proceed(mut cx: Cx, headers: &HeaderMap, coming: Coming<'_>, visit: Visit) -> Result<Response, PageError> {
    let standing = match stand(&mut cx, headers, &visit.interaction).await? {
        Ok(standing) => standing,
        Err(refusal) => return respond::refusal(&cx, coming, refusal),
    };
    let Standing { accepted, session, step } = standing;
    let page = match step {
        Step::Login | Step::SelectAccount => "/login",
        Step::Consent => "/consent",
        Step::Refuse(error) => return respond::error(&cx, coming, &accepted.return_to, error),
        Step::Answer(granted) => {
            let session = session.ok_or_else(|| PageError::Outage("an answer without a session".into()))?;
            return answer(cx, coming, &accepted, &session, granted).await;
        }
    };
    let sealed = visit.interaction.seal(&cx, &visit.browser)?;
    let kit = &cx.identity.kit;
    Ok(kit.redirect_browser(&visit.browser, &kit.path(&format!("{page}?interaction={sealed}"))))
}

/// Checks the request anew and looks where it stands. Every page begins with this.
pub async fn stand(
    cx: &mut Cx,
    headers: &HeaderMap,
    interaction: &Interaction,
) -> Result<Result<Standing, Refusal>, PageError> {
    let fields = pages::query_fields(Some(&interaction.query))?;
    let mut accepted = match checks::check(cx, &request::parse(&fields)).await? {
        Ok(accepted) => accepted,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let session = sessions::current(cx, headers).await?;
    let mut remembered = Scopes::default();
    let mut nothing_left = false;
    let mut person = None;
    if let Some(session) = &session {
        cx.actor = crate::cx::Actor::User(session.user_id.clone());
        person = claims::person(cx, &session.user_id).await?;
        let scopes = keepable(cx, &accepted, person.as_ref()).await?;
        accepted.audiences = audiences_of(cx, &accepted, &scopes).await?;
        nothing_left = scopes.is_empty() && !accepted.scopes.is_empty();
        accepted.scopes = scopes;
        remembered = consent::remembered(cx, &session.user_id, &accepted.client.client_id).await?;
    }
    let now = cx.now;
    let next = |accepted: &Accepted| {
        let (session, remembered) = (session.as_ref(), &remembered);
        interaction::next(&interaction::Facts { accepted, session, remembered, nothing_left, interaction, now })
    };
    let mut step = next(&accepted);
    // Consent approves what policy has drawn; and who has to sign in anyway is asked about afterwards.
    if let (Step::Consent | Step::Answer(_), Some(session)) = (&step, &session) {
        step = match rule(cx, &accepted, session, person.as_ref()).await {
            Ok(Ruling::Granted { scopes, more }) => {
                let helpful = more.filter(|more| interaction::would_help(more, session, interaction));
                if helpful.is_some() && accepted.prompt != Prompt::None {
                    Step::Login
                } else {
                    accepted.audiences = audiences_of(cx, &accepted, &scopes).await?;
                    accepted.scopes = scopes;
                    next(&accepted)
                }
            }
            Ok(Ruling::Denied(denied)) => interaction::after_denial(denied, &accepted, session, interaction),
            Err(error) => Step::Refuse(error.into()),
        };
    }
    Ok(Ok(Standing { accepted, session, step }))
}

/// What policy says to this request of this person.
async fn rule(cx: &Cx, accepted: &Accepted, session: &Session, person: Option<&Person>) -> Result<Ruling, OAuthError> {
    let requester = Requester {
        client: &accepted.client,
        person,
        grant_type: "authorization_code",
        login: session.into(),
        network: Some(cx.network),
    };
    policy::ask(cx, &requester, &accepted.scopes).await
}

/// The scopes whose contract can be kept for this person: nobody is asked for what no token could carry.
async fn keepable(cx: &mut Cx, accepted: &Accepted, person: Option<&Person>) -> Result<Scopes, PageError> {
    let catalog = scopes::catalog(&cx.identity).await?;
    Ok(claims::contracted(&catalog, person, &accepted.client.spec, &accepted.scopes).scopes)
}

/// The audiences without those of which scopes were asked and none is among these.
async fn audiences_of(cx: &Cx, accepted: &Accepted, kept: &Scopes) -> Result<Audiences, PageError> {
    let catalog = scopes::catalog(&cx.identity).await?;
    Ok(catalog.audiences_left(&accepted.audiences, &accepted.scopes, kept))
}

/// Opens the grant, issues its code and sends the browser back to the client.
pub async fn answer(
    mut cx: Cx,
    coming: Coming<'_>,
    accepted: &Accepted,
    session: &Session,
    granted: Scopes,
) -> Result<Response, PageError> {
    if accounts::find(&mut cx, &session.user_id).await?.is_none_or(|user| user.disabled_at.is_some()) {
        return respond::error(&cx, coming, &accepted.return_to, respond::access_denied("the account cannot be used"));
    }
    if !sessions::hold(&mut cx, &session.session_id).await? {
        // Nothing of this transaction is to be kept.
        let after = cx.again();
        drop(cx);
        let error = respond::login_required("the session has ended");
        return respond::error(&after, coming, &accepted.return_to, error);
    }
    let client_id = &accepted.client.client_id;
    let audiences = audiences_of(&cx, accepted, &granted).await?;
    let new = grants::NewGrant {
        client_id: client_id.clone(),
        user_id: session.user_id.clone(),
        session_id: Some(session.session_id.clone()),
        scopes: granted,
        audiences,
        auth_time: Some(session.auth_time),
        acr: Some(session.acr.clone()),
        amr: session.amr.clone(),
        nonce: accepted.nonce.clone(),
        network: cx.network,
    };
    let grant_id = grants::open(&mut cx, new).await?;
    let return_to = &accepted.return_to;
    let code = codes::issue(&mut cx, &grant_id, client_id, &return_to.redirect_uri, &accepted.code_challenge).await?;
    let after = cx.again();
    cx.commit().await?;
    respond::code(&after, coming, return_to, &code)
}
