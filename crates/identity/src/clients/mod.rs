//! Clients (RFC 6749 §2, RFC 7591 §2): what they are, their redirect URIs, their secrets. Identity is the
//! only master of clients.
//!
//! What takes something away from a client (a scope, an audience, its account) takes it from tokens that
//! are out already: the client's epoch goes up, and the feed says so.

mod keys;
mod redirect;
mod secrets;
mod spec;
mod store;

use ::store::StoreError;
use base::Time;
use base::event::Revoked;
use base::ids::ClientId;
use serde_json::json;

pub use keys::PublishedKeys;
pub(crate) use keys::{NoKeys, published};
pub use redirect::{NoRedirect, RedirectUri};
pub(crate) use secrets::check_secret;
pub use secrets::{
    NewSecret, SecretInfo, add_secret, ensure_secret, expire_secret, list_secrets, remove_secret, touch_secret,
};
pub(crate) use spec::scope_list;
pub use spec::{ApplicationType, AuthMethod, ClientSpec, Consent, GrantType, TokenFormat};
pub(crate) use store::{credentials, lock};
pub use store::{find, list};

use crate::applied::{Applied, Refused};
use crate::audit::{self, Act};
use crate::{Cx, events, grants};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    pub spec: ClientSpec,
    pub client_id: ClientId,
    pub epoch: i64,
    pub disabled_at: Option<Time>,
}

impl Client {
    pub fn is_public(&self) -> bool {
        self.spec.token_endpoint_auth_method == AuthMethod::None
    }

    /// The redirect URI of a request, if it is one of the client's.
    pub fn redirect_uri(&self, asked: Option<&str>) -> Result<RedirectUri, NoRedirect> {
        redirect::choose(&self.spec, asked)
    }

    /// Whether a logged-out browser may be sent there: an exact match.
    pub fn is_post_logout_redirect_uri(&self, asked: &str) -> bool {
        self.spec.post_logout_redirect_uris.iter().any(|uri| uri == asked)
    }

    pub fn may_use(&self, grant_type: GrantType) -> bool {
        self.spec.grant_types.contains(&grant_type)
    }

    /// Whether it may act at this moment: it is neither disabled nor suspended.
    pub fn may_act(&self) -> bool {
        self.disabled_at.is_none() && !self.spec.suspended
    }

    /// What people read.
    pub fn display_name(&self) -> &str {
        let name = self.spec.display_name.as_str();
        if name.is_empty() { self.client_id.as_str() } else { name }
    }
}

/// Creates or changes a client. Its secrets are apart: [`add_secret`].
pub async fn apply(cx: &mut Cx, spec: &ClientSpec) -> Result<Applied, Refused> {
    spec.check(&cx.identity.config.keys.algorithms)?;
    if store::create(cx, spec).await? {
        note(cx, &spec.client_id, Act::ClientCreated).await?;
        return Ok(Applied::Created);
    }
    // What it was is read with the row locked: what others change at the same moment is taken away as well.
    store::lock(cx, &spec.client_id).await?;
    let before = find(cx, &spec.client_id).await?;
    if !store::update(cx, spec).await? {
        return Ok(Applied::Unchanged);
    }
    note(cx, &spec.client_id, Act::ClientUpdated).await?;
    if before.is_some_and(|before| spec.takes_away_from(&before.spec)) {
        store::raise_epoch(cx, &spec.client_id).await?;
        let reason = if spec.suspended { "client suspended" } else { "client narrowed" };
        grants::revoke_below_client(cx, &spec.client_id, reason).await?;
        events::append(cx, Revoked::Client(spec.client_id.to_string()), reason).await?;
    }
    Ok(Applied::Updated)
}

/// Shuts a client out at once, with all its tokens and grants. False if it was disabled already.
pub async fn disable(cx: &mut Cx, client_id: &ClientId) -> Result<bool, Refused> {
    if !store::disable(cx, client_id).await? {
        exists(cx, client_id).await?;
        return Ok(false);
    }
    grants::revoke_of_client(cx, client_id, "client disabled").await?;
    grants::revoke_below_client(cx, client_id, "client disabled").await?;
    note(cx, client_id, Act::ClientDisabled).await?;
    events::append(cx, Revoked::Client(client_id.to_string()), "client disabled").await?;
    Ok(true)
}

/// Lets a client in again; what it held before stays revoked. False if it was not disabled.
pub async fn enable(cx: &mut Cx, client_id: &ClientId) -> Result<bool, Refused> {
    if !store::enable(cx, client_id).await? {
        exists(cx, client_id).await?;
        return Ok(false);
    }
    note(cx, client_id, Act::ClientEnabled).await?;
    Ok(true)
}

/// Removes a client with its secrets; its tokens and grants die. False if there is none.
pub async fn delete(cx: &mut Cx, client_id: &ClientId) -> Result<bool, StoreError> {
    if !store::delete(cx, client_id).await? {
        return Ok(false);
    }
    grants::revoke_of_client(cx, client_id, "client deleted").await?;
    grants::revoke_below_client(cx, client_id, "client deleted").await?;
    note(cx, client_id, Act::ClientDeleted).await?;
    events::append(cx, Revoked::Client(client_id.to_string()), "client deleted").await?;
    Ok(true)
}

/// Ends all tokens and grants of a client. It goes on itself: with its credentials it gets new ones, and people are
/// asked again. How many grants there were.
pub async fn revoke_tokens(cx: &mut Cx, client_id: &ClientId, reason: &'static str) -> Result<u64, StoreError> {
    let revoked = grants::revoke_of_client(cx, client_id, reason).await?;
    grants::revoke_below_client(cx, client_id, reason).await?;
    let detail = json!({"reason": reason, "grants": revoked});
    let record = audit::Record { client_id: Some(client_id.clone()), detail, ..Default::default() };
    audit::record(cx, Act::ClientTokensRevoked, record).await?;
    events::append(cx, Revoked::Client(client_id.to_string()), reason).await?;
    Ok(revoked)
}

/// Shuts a client out until [`resume`]: its tokens are dead at once, its grants stay. False if it was already.
pub async fn suspend(cx: &mut Cx, client_id: &ClientId) -> Result<bool, Refused> {
    set_suspended(cx, client_id, true).await
}

/// Ends a suspension. Tokens of before stay dead; with its refresh tokens the client gets new ones.
pub async fn resume(cx: &mut Cx, client_id: &ClientId) -> Result<bool, Refused> {
    set_suspended(cx, client_id, false).await
}

async fn set_suspended(cx: &mut Cx, client_id: &ClientId, suspended: bool) -> Result<bool, Refused> {
    store::lock(cx, client_id).await?;
    let client = find(cx, client_id).await?.ok_or(Refused::NotFound("client"))?;
    Ok(apply(cx, &ClientSpec { suspended, ..client.spec }).await? == Applied::Updated)
}

async fn exists(cx: &mut Cx, client_id: &ClientId) -> Result<(), Refused> {
    find(cx, client_id).await?.map(drop).ok_or(Refused::NotFound("client"))
}

async fn note(cx: &mut Cx, client_id: &ClientId, act: Act) -> Result<(), StoreError> {
    let record = audit::Record { client_id: Some(client_id.clone()), detail: json!({}), ..Default::default() };
    audit::record(cx, act, record).await
}
