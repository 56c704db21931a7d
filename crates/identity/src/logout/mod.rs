//! Signing out: OpenID Connect RP-Initiated Logout 1.0.
//!
//! A client that brings an ID token of the session signs it out at once; whoever else asks, the user is asked.
//! The browser is sent on only to an address that is registered for the client, compared as text.

mod http;
#[cfg(test)]
mod tests;

use ::store::StoreError;
use base::ids::ClientId;
use serde::{Deserialize, Serialize};
use web::Fields;

pub use http::{PURPOSE, routes};

use crate::Cx;
use crate::authorize::respond::{Hint, read_id_token_hint};
use crate::clients::{self, Client};
use crate::pages::PageError;
use crate::sessions::Session;

/// What the confirmation page keeps, sealed: where the browser goes on afterwards.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Onward {
    pub client_id: Option<ClientId>,
    pub redirect_uri: Option<String>,
    pub state: Option<String>,
}

impl Onward {
    /// The address with `state`, which is all that is added (§3).
    pub fn location(&self) -> Option<String> {
        let uri = self.redirect_uri.as_deref()?;
        let Some(state) = &self.state else {
            return Some(uri.to_owned());
        };
        let query = serde_urlencoded::to_string([("state", state)]).ok()?;
        let separator = if uri.contains('?') { '&' } else { '?' };
        Some(format!("{uri}{separator}{query}"))
    }
}

/// A request to sign out, checked.
pub struct Request {
    pub client: Option<Client>,
    pub hint: Option<Hint>,
    pub onward: Onward,
}

impl Request {
    /// Whether the client has shown that it means this session.
    pub fn is_proven_for(&self, session: &Session) -> bool {
        self.hint.as_ref().is_some_and(|hint| match &hint.session_id {
            Some(session_id) => *session_id == session.session_id,
            None => hint.user_id == session.user_id,
        })
    }
}

/// Checks a request to sign out. What does not fit together is refused before anything happens.
pub async fn check(cx: &mut Cx, fields: &Fields) -> Result<Request, PageError> {
    if fields.repeated(&[]).next().is_some() {
        return Err(PageError::RequestWrong("a parameter came more than once"));
    }
    let hint = match fields.one("id_token_hint") {
        None => None,
        Some(token) => Some(
            read_id_token_hint(cx, token)
                .await
                .ok_or(PageError::RequestWrong("id_token_hint is not an ID token of this server"))?,
        ),
    };
    let named = fields.one("client_id").map(ClientId::from);
    if let (Some(named), Some(hint)) = (&named, &hint)
        && *named != hint.client_id
    {
        return Err(PageError::RequestWrong("client_id is not the client of id_token_hint"));
    }
    let client_id = named.or_else(|| hint.as_ref().map(|hint| hint.client_id.clone()));
    let client = match &client_id {
        Some(client_id) => Some(find_client(cx, client_id).await?.ok_or(PageError::ClientUnknown)?),
        None => None,
    };
    let redirect_uri = fields.one("post_logout_redirect_uri");
    let registered = |uri: &str| client.as_ref().is_some_and(|client| client.is_post_logout_redirect_uri(uri));
    if redirect_uri.is_some_and(|uri| !registered(uri)) {
        return Err(PageError::RedirectWrong);
    }
    let onward = Onward {
        client_id,
        redirect_uri: redirect_uri.map(str::to_owned),
        state: fields.one("state").map(str::to_owned),
    };
    Ok(Request { client, hint, onward })
}

async fn find_client(cx: &mut Cx, client_id: &ClientId) -> Result<Option<Client>, StoreError> {
    if client_id.as_str().contains('\0') {
        return Ok(None);
    }
    Ok(clients::find(cx, client_id).await?.filter(|client| client.disabled_at.is_none()))
}
