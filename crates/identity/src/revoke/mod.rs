//! Token revocation (RFC 7009). An access token dies with what was exchanged from it, and nothing else; a
//! refresh token takes its grant along, and with it every token under it. A token that is unknown, or another client's, is answered like one that was
//! revoked: the answer tells nobody whether a token is good (§2.2).

mod http;
mod store;

use base::Secret;
use base::event::Revoked;
use serde_json::json;

pub use http::routes;

use crate::audit::{self, Act};
use crate::clients::Client;
use crate::error::OAuthError;
use crate::grants::Grant;
use crate::token::live;
use crate::{Cx, events, grants};

/// Revokes `token` if it is one of the client's.
async fn revoke(cx: &mut Cx, client: &Client, token: &str) -> Result<(), OAuthError> {
    revoke_of(cx, Some(client), token, "refresh token revoked").await.map(drop)
}

/// Revokes `token` whosever it is. False if it is no live token of this issuer.
pub async fn by_administrator(cx: &mut Cx, token: &Secret<String>) -> Result<bool, OAuthError> {
    revoke_of(cx, None, token.expose(), "revoked by an administrator").await
}

/// Whether something was revoked; nothing is when a client is given and the token is another's.
async fn revoke_of(
    cx: &mut Cx,
    client: Option<&Client>,
    token: &str,
    reason: &'static str,
) -> Result<bool, OAuthError> {
    let may = |grant: &Grant| client.is_none_or(|client| grant.client_id == client.client_id);
    if let Some(refresh) = cx.identity.handles.open_refresh(token) {
        let grant = grants::find(cx, &refresh.grant_id).await?;
        return match grant.is_some_and(|grant| may(&grant)) {
            true => Ok(grants::revoke(cx, &refresh.grant_id, reason).await?),
            false => Ok(false),
        };
    }
    let identity = cx.identity.clone();
    let Some(access) = live::read(&identity, token, cx.now).await? else {
        return Ok(false);
    };
    let grant = grants::find(cx, &access.grant_id).await?;
    let Some(grant) = grant.filter(may) else {
        return Ok(false);
    };
    grants::hold(cx, &grant.grant_id).await?;
    if !store::revoke_token(cx, &access.jti, access.expires_at).await? {
        return Ok(false);
    }
    let record = audit::Record {
        subject: grant.user_id,
        client_id: Some(grant.client_id),
        object: Some(access.jti.to_string()),
        detail: json!({"grant_id": grant.grant_id}),
        ..audit::Record::default()
    };
    audit::record(cx, Act::TokenRevoked, record).await?;
    events::append(cx, Revoked::Token(access.jti.to_string()), "token revoked").await?;
    grants::revoke_below_token(cx, &access.jti, "the token it was exchanged from was revoked").await?;
    Ok(true)
}
