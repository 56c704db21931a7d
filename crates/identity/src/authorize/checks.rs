//! THE LIST: what is checked about an authorization request, in this order.
//!
//! First who asks and where the answer would go: until both are proven, an error is a page of ours and the
//! browser is sent nowhere (RFC 6749 §4.1.2.1, RFC 9700 §4.11.2). From then on errors go to the client.

use ::store::StoreError;
use base::ids::UserId;
use base::scope::Scopes;

use super::request::{Given, Prompt, Request, ResponseMode};
use super::respond::{
    AuthorizationError, ReturnTo, invalid_request, registration_not_supported, request_not_supported,
    request_uri_not_supported, unauthorized_client, unsupported_response_type,
};
use crate::Cx;
use crate::clients::{self, Client, GrantType};
use crate::codes::CodeChallenge;
use crate::pages::PageError;
use crate::scopes::{self, Audiences};

/// A request that passed every check. Only [`check`] makes one.
#[derive(Debug, Clone)]
pub struct Accepted {
    pub client: Client,
    pub return_to: ReturnTo,
    /// What was asked for; less, once it is known for whom, if a scope's contract cannot be kept.
    pub scopes: Scopes,
    pub audiences: Audiences,
    pub code_challenge: CodeChallenge,
    pub nonce: Option<String>,
    pub prompt: Prompt,
    pub max_age_s: Option<u64>,
    /// The person that `id_token_hint` is about.
    pub hinted_user: Option<UserId>,
    pub login_hint: Option<String>,
    pub ui_locales: Option<String>,
}

#[derive(Debug)]
pub enum Refusal {
    Page(PageError),
    Client(ReturnTo, AuthorizationError),
}

/// One row of the list.
struct Check {
    name: &'static str,
    run: fn(&Request, &Client) -> Result<(), AuthorizationError>,
}

/// The rows once client and redirect URI are proven.
const CHECKS: &[Check] = &[
    // First, since a parameter with two values has none, and two readers might choose differently.
    Check { name: "every parameter comes once", run: parameters_come_once },
    Check { name: "no way of asking that is not spoken here", run: way_of_asking },
    Check { name: "response_type is code", run: response_type },
    Check { name: "response_mode is known", run: response_mode },
    Check { name: "the client is not suspended", run: not_suspended },
    Check { name: "the client may use this flow", run: grant_type },
    Check { name: "PKCE with S256", run: pkce },
    Check { name: "scope is well-formed", run: scope },
    Check { name: "state and nonce are of a sane size", run: sizes },
    Check { name: "prompt is well-formed", run: prompt },
    Check { name: "max_age is a number", run: max_age },
];

/// Runs the list.
pub async fn check(cx: &mut Cx, request: &Request) -> Result<Result<Accepted, Refusal>, StoreError> {
    let (client, return_to) = match prove(cx, request).await? {
        Ok(proven) => proven,
        Err(error) => return Ok(Err(Refusal::Page(error))),
    };
    for check in CHECKS {
        if let Err(error) = (check.run)(request, &client) {
            tracing::info!(client.id = %client.client_id, check = check.name, "an authorization request was refused");
            return Ok(Err(Refusal::Client(return_to, error)));
        }
    }
    // These two look things up, so they stand behind those that do not.
    let asked = request.scope.as_ref().ok().and_then(Option::as_ref);
    let resolved = match scopes::resolve(cx, &client, asked, &request.resources).await {
        Ok(resolved) => resolved,
        Err(error) => return Ok(Err(Refusal::Client(return_to, error.into()))),
    };
    let hinted_user = match hinted_user(cx, request, &client).await {
        Ok(hinted) => hinted,
        Err(error) => return Ok(Err(Refusal::Client(return_to, error))),
    };
    let Some(code_challenge) = request.code_challenge.well().cloned() else {
        return Ok(Err(Refusal::Client(return_to, invalid_request("code_challenge is missing"))));
    };
    Ok(Ok(Accepted {
        client,
        return_to,
        scopes: resolved.scopes,
        audiences: resolved.audiences,
        code_challenge,
        nonce: request.nonce.clone(),
        prompt: request.prompt.well().copied().unwrap_or_default(),
        max_age_s: request.max_age_s.well().copied(),
        hinted_user,
        login_hint: request.login_hint.clone(),
        ui_locales: request.ui_locales.clone(),
    }))
}

/// The client is registered and not switched off, and the address is exactly one of its own.
async fn prove(cx: &mut Cx, request: &Request) -> Result<Result<(Client, ReturnTo), PageError>, StoreError> {
    let twice = |name: &str| request.repeated.iter().any(|repeated| repeated == name);
    if twice("client_id") || twice("redirect_uri") {
        return Ok(Err(PageError::RequestWrong("client_id and redirect_uri may come only once")));
    }
    let Some(client_id) = &request.client_id else {
        return Ok(Err(PageError::RequestWrong("client_id is missing")));
    };
    if client_id.as_str().contains('\0') {
        return Ok(Err(PageError::ClientUnknown));
    }
    let Some(client) = clients::find(cx, client_id).await?.filter(|client| client.disabled_at.is_none()) else {
        return Ok(Err(PageError::ClientUnknown));
    };
    let Ok(redirect_uri) = client.redirect_uri(request.redirect_uri.as_deref()) else {
        return Ok(Err(PageError::RedirectWrong));
    };
    let return_to = ReturnTo {
        redirect_uri,
        // A state that came twice is none that could be given back.
        state: request.state.clone(),
        response_mode: request.response_mode.well().copied().unwrap_or_default(),
    };
    Ok(Ok((client, return_to)))
}

fn parameters_come_once(request: &Request, _: &Client) -> Result<(), AuthorizationError> {
    if request.repeated.is_empty() { Ok(()) } else { Err(invalid_request("a parameter came more than once")) }
}

fn way_of_asking(request: &Request, _: &Client) -> Result<(), AuthorizationError> {
    match request.unsupported {
        None => Ok(()),
        Some("request_uri") => Err(request_uri_not_supported("request_uri is not supported")),
        Some("registration") => Err(registration_not_supported("registration is not supported")),
        Some(_) => Err(request_not_supported("request is not supported")),
    }
}

fn response_type(request: &Request, _: &Client) -> Result<(), AuthorizationError> {
    match request.response_type.as_deref() {
        Some("code") => Ok(()),
        Some(_) => Err(unsupported_response_type("response_type must be `code`")),
        None => Err(invalid_request("response_type is missing")),
    }
}

fn response_mode(request: &Request, _: &Client) -> Result<(), AuthorizationError> {
    match request.response_mode {
        Given::Not | Given::Well(ResponseMode::Query | ResponseMode::FormPost) => Ok(()),
        Given::Badly => Err(invalid_request("response_mode must be `query` or `form_post`")),
    }
}

fn not_suspended(_: &Request, client: &Client) -> Result<(), AuthorizationError> {
    if client.spec.suspended { Err(unauthorized_client("the client is suspended")) } else { Ok(()) }
}

fn grant_type(_: &Request, client: &Client) -> Result<(), AuthorizationError> {
    if client.may_use(GrantType::AuthorizationCode) {
        Ok(())
    } else {
        Err(unauthorized_client("the client may not use the authorization code flow"))
    }
}

/// RFC 9700 §2.1.1; `plain` protects nothing when the request is seen, and a missing method means `plain`.
fn pkce(request: &Request, _: &Client) -> Result<(), AuthorizationError> {
    match (&request.code_challenge, request.code_challenge_method.as_deref()) {
        (Given::Not, _) => Err(invalid_request("code_challenge is missing: PKCE with S256 is required")),
        (_, Some("S256")) => match request.code_challenge {
            Given::Badly => Err(invalid_request("code_challenge is not the base64url of a SHA-256 hash")),
            _ => Ok(()),
        },
        (_, _) => Err(invalid_request("code_challenge_method must be S256")),
    }
}

fn scope(request: &Request, _: &Client) -> Result<(), AuthorizationError> {
    match request.scope {
        Ok(_) => Ok(()),
        Err(_) => Err(super::respond::invalid_scope("scope is not well-formed")),
    }
}

/// They are stored or sent back as they are.
fn sizes(request: &Request, _: &Client) -> Result<(), AuthorizationError> {
    let long = |value: &Option<String>, most: usize| value.as_ref().is_some_and(|value| value.len() > most);
    if long(&request.state, 4096) || long(&request.nonce, 512) {
        return Err(invalid_request("state may have 4096 bytes, nonce 512"));
    }
    if request.nonce.as_ref().is_some_and(|nonce| nonce.contains('\0')) {
        return Err(invalid_request("nonce must not have a NUL character"));
    }
    Ok(())
}

fn prompt(request: &Request, _: &Client) -> Result<(), AuthorizationError> {
    match request.prompt {
        Given::Badly => Err(invalid_request("prompt is `none`, or any of `login`, `consent`, `select_account`")),
        Given::Not | Given::Well(_) => Ok(()),
    }
}

fn max_age(request: &Request, _: &Client) -> Result<(), AuthorizationError> {
    match request.max_age_s {
        Given::Badly => Err(invalid_request("max_age must be a number of seconds")),
        Given::Not | Given::Well(_) => Ok(()),
    }
}

/// `id_token_hint`: an ID token of ours for this client, which may have expired (OpenID Connect Core §3.1.2.1).
async fn hinted_user(cx: &mut Cx, request: &Request, client: &Client) -> Result<Option<UserId>, AuthorizationError> {
    let Some(hint) = &request.id_token_hint else {
        return Ok(None);
    };
    let claims = super::respond::read_id_token_hint(cx, hint).await;
    let ours = claims.filter(|claims| claims.client_id == client.client_id);
    match ours {
        Some(claims) => Ok(Some(claims.user_id)),
        None => Err(invalid_request("id_token_hint is not an ID token of this server for this client")),
    }
}
