//! Token revocation (RFC 7009). An access token dies alone; a refresh token takes its grant along, and with
//! it every token under it. A token that is unknown, or another client's, is answered like one that was
//! revoked: the answer tells nobody whether a token is good (§2.2).

mod http;
mod store;

use base::event::Revoked;
use serde_json::json;

pub use http::routes;

use crate::audit::{self, Act};
use crate::clients::Client;
use crate::error::OAuthError;
use crate::token::live;
use crate::{Cx, events, grants};

/// Revokes `token` if it is one of the client's.
async fn revoke(cx: &mut Cx, client: &Client, token: &str) -> Result<(), OAuthError> {
    if let Some(refresh) = cx.identity.handles.open_refresh(token) {
        let grant = grants::find(cx, &refresh.grant_id).await?;
        if grant.is_some_and(|grant| grant.client_id == client.client_id) {
            grants::revoke(cx, &refresh.grant_id, "refresh token revoked").await?;
        }
        return Ok(());
    }
    let identity = cx.identity.clone();
    let Some(access) = live::read(&identity, token, cx.now).await? else {
        return Ok(());
    };
    let grant = grants::find(cx, &access.grant_id).await?;
    let Some(grant) = grant.filter(|grant| grant.client_id == client.client_id) else {
        return Ok(());
    };
    if !store::revoke_token(cx, &access.jti, access.expires_at).await? {
        return Ok(());
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
    Ok(())
}
