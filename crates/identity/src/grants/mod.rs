//! Grants: what a user let a client do, or what a client may do by itself. The only durable row of a token.
//!
//! Every token bears the epoch of its grant; revoking is `epoch + 1`, and everything issued before is dead.
//! A user's grant is opened at the authorization endpoint, activated when its code is redeemed, and never
//! comes back once revoked. A client's own grant (client_credentials) stands: one row per set of scopes and
//! audiences, and after a revocation the next token starts at the new epoch.

mod store;

use std::net::IpAddr;
use std::time::Duration;

use ::store::StoreError;
use base::Time;
use base::event::Revoked;
use base::ids::{ClientId, GrantId, SessionId, TokenId, UserId};
use base::scope::Scopes;
use serde_json::{Value, json};

pub(crate) use store::grant_of;
pub use store::{Rotation, count_replay, find, list_of_client, list_of_user, rotate};

use crate::audit::{self, Act};
use crate::scopes::Audiences;
use crate::{Cx, events};

/// What the authorization endpoint knows when it opens a grant.
#[derive(Debug, Clone)]
pub struct NewGrant {
    pub client_id: ClientId,
    pub user_id: UserId,
    pub session_id: Option<SessionId>,
    pub scopes: Scopes,
    pub audiences: Audiences,
    pub auth_time: Option<Time>,
    pub acr: Option<String>,
    pub amr: Vec<String>,
    pub nonce: Option<String>,
    /// Where the person is.
    pub network: IpAddr,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub grant_id: GrantId,
    pub client_id: ClientId,
    /// None for a client's own grant.
    pub user_id: Option<UserId>,
    pub session_id: Option<SessionId>,
    pub scopes: Scopes,
    pub audiences: Audiences,
    pub auth_time: Option<Time>,
    pub acr: Option<String>,
    pub amr: Vec<String>,
    pub nonce: Option<String>,
    pub epoch: i64,
    pub created_at: Time,
    pub activated_at: Option<Time>,
    pub expires_at: Time,
    /// The refresh token that is good now; 0 before the first.
    pub refresh_generation: i64,
    pub refresh_rotated_at: Option<Time>,
    pub revoked_at: Option<Time>,
    /// Where the person was when it was made.
    pub network: Option<IpAddr>,
    /// The client by itself that a token was exchanged of: it stays the subject (RFC 8693 §1.1).
    pub on_behalf_of: Option<ClientId>,
    /// Who uses its tokens on whose behalf (RFC 8693 §4.1); of grants that came by exchange.
    pub act: Option<Value>,
}

/// The token's grant that an exchange starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    pub grant_id: GrantId,
    pub epoch: i64,
    pub client_epoch: i64,
    /// The token itself, which may be revoked alone.
    pub jti: TokenId,
}

/// What an exchange makes: rights of another grant's subject, for another client.
#[derive(Debug, Clone)]
pub struct NewChild {
    pub parent: Parent,
    /// The grant above, for what it says of the person and the login.
    pub of: Grant,
    pub client_id: ClientId,
    pub scopes: Scopes,
    pub audiences: Audiences,
    pub act: Value,
}

impl Grant {
    pub fn is_live(&self, now: Time) -> bool {
        self.revoked_at.is_none() && self.activated_at.is_some() && self.expires_at > now
    }

    /// The `sub` of its tokens: the person, or the client that acts by itself (RFC 9068 §2.2).
    pub fn subject(&self) -> &str {
        let machine = || self.on_behalf_of.as_ref().unwrap_or(&self.client_id).as_str();
        self.user_id.as_ref().map_or_else(machine, UserId::as_str)
    }

    /// Of no person: the client whose rights these are, also after they have been exchanged.
    pub(crate) fn machine(&self) -> Option<&ClientId> {
        self.user_id.is_none().then(|| self.on_behalf_of.as_ref().unwrap_or(&self.client_id))
    }
}

/// Opens a user's grant. Nothing can be done with it before [`activate`], and unless that comes it is
/// gone soon after its code.
pub async fn open(cx: &mut Cx, new: NewGrant) -> Result<GrantId, StoreError> {
    let grant_id = GrantId::random();
    let expires_at = cx.now.plus(cx.identity.config.lifetimes.code).plus(Duration::from_secs(60));
    store::insert(cx, &grant_id, &new, expires_at).await?;
    let detail = json!({"scopes": new.scopes.to_string(), "audiences": new.audiences.to_string()});
    let record = audit::Record {
        subject: Some(new.user_id),
        client_id: Some(new.client_id),
        object: Some(grant_id.to_string()),
        detail,
        ..audit::Record::default()
    };
    audit::record(cx, Act::GrantOpened, record).await?;
    Ok(grant_id)
}

/// Makes an opened grant live for `lifetime`, with the first refresh generation or 0 for none; None if it is
/// gone, revoked or already active.
pub async fn activate(
    cx: &mut Cx,
    grant_id: &GrantId,
    lifetime: Duration,
    generation: i64,
) -> Result<Option<Grant>, StoreError> {
    store::activate(cx, grant_id, lifetime, generation).await
}

/// The client's own grant for these scopes and audiences, made or taken up again in one statement.
pub async fn standing(
    cx: &mut Cx,
    client_id: &ClientId,
    scopes: &Scopes,
    audiences: &Audiences,
) -> Result<Grant, StoreError> {
    store::upsert_standing(cx, client_id, scopes, audiences).await
}

/// The grant below another one, made or taken up again; None if the one above, or the token that is exchanged, has been
/// revoked meanwhile. It lives no longer than the tokens that it is for.
pub async fn exchange(cx: &mut Cx, new: NewChild) -> Result<Option<Grant>, StoreError> {
    // From here on a revocation of the grant above waits, and then finds this one below it.
    if !store::hold(cx, &new.parent).await? || store::is_token_revoked(cx, &new.parent.jti).await? {
        return Ok(None);
    }
    let expires_at = cx.now.plus(cx.identity.config.lifetimes.access_token).min(new.of.expires_at);
    store::upsert_child(cx, &new, expires_at).await.map(Some)
}

/// Revokes a grant with everything issued under it. False if it was revoked before or does not exist.
pub async fn revoke(cx: &mut Cx, grant_id: &GrantId, reason: &'static str) -> Result<bool, StoreError> {
    let Some((client_id, user_id)) = store::revoke(cx, grant_id, reason).await? else {
        return Ok(false);
    };
    tell(cx, grant_id, client_id, user_id, reason).await?;
    Ok(true)
}

async fn tell(
    cx: &mut Cx,
    grant_id: &GrantId,
    client_id: ClientId,
    user_id: Option<UserId>,
    reason: &'static str,
) -> Result<(), StoreError> {
    let record = audit::Record {
        subject: user_id,
        client_id: Some(client_id),
        object: Some(grant_id.to_string()),
        detail: json!({"reason": reason}),
        ..audit::Record::default()
    };
    audit::record(cx, Act::GrantRevoked, record).await?;
    events::append(cx, Revoked::Grant(grant_id.to_string()), reason).await?;
    let below = store::revoke_below(cx, grant_id, reason).await?;
    tell_below(cx, below, reason).await
}

/// The events of grants that came by exchange name each of them: nothing else of what is known about their tokens
/// names the grant or the client above.
async fn tell_below(
    cx: &mut Cx,
    below: Vec<(GrantId, ClientId, Option<UserId>)>,
    reason: &'static str,
) -> Result<(), StoreError> {
    for (grant_id, client_id, subject) in below {
        let object = Some(grant_id.to_string());
        let detail = json!({"reason": reason});
        let client_id = Some(client_id);
        let record = audit::Record { subject, client_id, object, detail, ..audit::Record::default() };
        audit::record(cx, Act::GrantRevoked, record).await?;
        events::append(cx, Revoked::Grant(grant_id.to_string()), reason).await?;
    }
    Ok(())
}

/// Of two who revoke tokens of this grant, or exchange them, one waits for the other: so no exchange slips past.
pub async fn hold(cx: &mut Cx, grant_id: &GrantId) -> Result<(), StoreError> {
    store::hold_any(cx, grant_id).await
}

/// Revokes what has been exchanged from an access token, and from that: it ends with it.
pub async fn revoke_below_token(cx: &mut Cx, jti: &TokenId, reason: &'static str) -> Result<(), StoreError> {
    let below = store::revoke_below_token(cx, jti, reason).await?;
    tell_below(cx, below, reason).await
}

/// Revokes what others got in exchange for a client's tokens: it ends when these do.
pub async fn revoke_below_client(cx: &mut Cx, client_id: &ClientId, reason: &'static str) -> Result<(), StoreError> {
    let below = store::revoke_below_client(cx, client_id, reason).await?;
    tell_below(cx, below, reason).await
}

/// Revokes all grants of a client. The event is that of the client: whoever calls this appends it.
pub async fn revoke_of_client(cx: &mut Cx, client_id: &ClientId, reason: &'static str) -> Result<u64, StoreError> {
    store::revoke_of_client(cx, client_id, reason).await
}

/// Revokes all grants of a user. The event is that of the user: whoever calls this appends it.
pub async fn revoke_of_user(cx: &mut Cx, user_id: &UserId, reason: &'static str) -> Result<u64, StoreError> {
    store::revoke_of_user(cx, user_id, reason).await
}

/// Revokes all grants of a session. The event is that of the session: whoever calls this appends it.
pub async fn revoke_of_session(cx: &mut Cx, session_id: &SessionId, reason: &'static str) -> Result<u64, StoreError> {
    store::revoke_of_session(cx, session_id, reason).await
}

/// Revokes what a user has granted in other sessions than this one, grant by grant: a grant outlives a session
/// that has merely expired, so that the events of sessions do not name it.
pub async fn revoke_of_other_sessions(
    cx: &mut Cx,
    user_id: &UserId,
    but: Option<&SessionId>,
    reason: &'static str,
) -> Result<(), StoreError> {
    for (grant_id, client_id) in store::revoke_of_other_sessions(cx, user_id, but, reason).await? {
        tell(cx, &grant_id, client_id, Some(user_id.clone()), reason).await?;
    }
    Ok(())
}

/// Revokes what one client holds from one user (the account page's "withdraw"), grant by grant, so that
/// the events name exactly these; also those whose code has not been redeemed yet.
pub async fn revoke_of_user_and_client(
    cx: &mut Cx,
    user_id: &UserId,
    client_id: &ClientId,
    reason: &'static str,
) -> Result<(), StoreError> {
    for grant_id in store::revoke_of_user_and_client(cx, user_id, client_id, reason).await? {
        tell(cx, &grant_id, client_id.clone(), Some(user_id.clone()), reason).await?;
    }
    Ok(())
}
