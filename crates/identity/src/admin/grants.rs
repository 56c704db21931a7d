use axum::extract::Path;
use base::Secret;
use base::ids::{ClientId, GrantId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{AdminCx, AdminError, Answer, Body, done, ok, page};
use super::users;
use crate::grants::{self, Grant};
use crate::revoke;

pub async fn list_grants_of_user(AdminCx(mut cx): AdminCx, Path(name): Path<String>) -> Answer {
    let user = users::find(&mut cx, &name).await?;
    let found = grants::list_of_user(&mut cx, &user.user_id).await?;
    let items: Vec<Value> = found.iter().map(view).collect();
    Ok(page(&items, None))
}

pub async fn list_grants_of_client(AdminCx(mut cx): AdminCx, Path(client): Path<ClientId>) -> Answer {
    let found = grants::list_of_client(&mut cx, &client).await?;
    let items: Vec<Value> = found.iter().map(view).collect();
    Ok(page(&items, None))
}

pub async fn revoke_grant(AdminCx(mut cx): AdminCx, Path(grant): Path<GrantId>) -> Answer {
    if !grants::revoke(&mut cx, &grant, "revoked by an administrator").await? {
        return Err(AdminError::not_found("live grant"));
    }
    cx.commit().await?;
    Ok(done())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OneToken {
    token: Secret<String>,
}

/// Like RFC 7009, but for tokens of every client. What is no token of ours is an error here: the
/// administrator wants to know.
pub async fn revoke_token(AdminCx(mut cx): AdminCx, Body(body): Body<OneToken>) -> Answer {
    if !revoke::by_administrator(&mut cx, &body.token).await? {
        return Err(AdminError::not_found("live token"));
    }
    cx.commit().await?;
    Ok(ok(&json!({"revoked": true})))
}

fn view(grant: &Grant) -> Value {
    json!({
        "id": grant.grant_id, "clientId": grant.client_id, "userId": grant.user_id,
        "sessionId": grant.session_id, "scopes": grant.scopes.iter().collect::<Vec<_>>(),
        "audiences": grant.audiences.iter().collect::<Vec<_>>(), "createdAt": grant.created_at,
        "activatedAt": grant.activated_at, "expiresAt": grant.expires_at,
    })
}
