use std::time::Duration;

use base::Time;
use base::ids::{ClientId, GrantId, SessionId, TokenId, UserId};
use base::scope::Scopes;
use store::{Row, StoreError, params};

use super::{Grant, NewChild, NewGrant, Parent};
use crate::Cx;
use crate::scopes::Audiences;

pub(super) async fn insert(
    cx: &mut Cx,
    grant_id: &GrantId,
    new: &NewGrant,
    expires_at: Time,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO grants
        (grant_id, client_id, user_id, session_id, scopes, audiences, auth_time, acr, amr, nonce, epoch,
         created_at, activated_at, expires_at, refresh_generation, refresh_replays, network)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, $11, NULL, $12, 0, 0, $13)";
    let values = params![
        grant_id,
        &new.client_id,
        &new.user_id,
        new.session_id.as_ref(),
        new.scopes.to_string(),
        new.audiences.to_string(),
        new.auth_time,
        new.acr.as_deref(),
        new.amr.join(" "),
        new.nonce.as_deref(),
        cx.now,
        expires_at,
        new.network.to_canonical().to_string(),
    ];
    cx.tx.execute(sql, &values).await?;
    Ok(())
}

pub(super) async fn activate(
    cx: &mut Cx,
    grant_id: &GrantId,
    lifetime: Duration,
    generation: i64,
) -> Result<Option<Grant>, StoreError> {
    let sql = "UPDATE grants SET activated_at = $2, expires_at = $3, refresh_generation = $4
        WHERE grant_id = $1 AND activated_at IS NULL AND revoked_at IS NULL AND expires_at > $2
        RETURNING grant_id, client_id, user_id, session_id, scopes, audiences, auth_time, acr, amr, nonce, epoch,
            created_at, activated_at, expires_at, refresh_generation, refresh_rotated_at, revoked_at, act, network,
            on_behalf_of";
    let row = cx.tx.one(sql, &params![grant_id, cx.now, cx.now.plus(lifetime), generation]).await?;
    row.as_ref().map(grant_of).transpose()
}

pub(super) async fn upsert_standing(
    cx: &mut Cx,
    client_id: &ClientId,
    scopes: &Scopes,
    audiences: &Audiences,
) -> Result<Grant, StoreError> {
    let sql = "INSERT INTO grants
        (grant_id, client_id, scopes, audiences, epoch, created_at, activated_at, expires_at, refresh_generation,
         refresh_replays, standing_key)
        VALUES ($1, $2, $3, $4, 0, $5, $5, $6, 0, 0, $7)
        ON CONFLICT (standing_key) DO UPDATE
        SET expires_at = excluded.expires_at, revoked_at = NULL, revoked_because = NULL
        RETURNING grant_id, client_id, user_id, session_id, scopes, audiences, auth_time, acr, amr, nonce, epoch,
            created_at, activated_at, expires_at, refresh_generation, refresh_rotated_at, revoked_at, act, network,
            on_behalf_of";
    let (scopes, audiences) = (scopes.to_string(), audiences.to_string());
    let key = serde_json::json!([client_id, scopes, audiences]).to_string();
    let expires_at = cx.now.plus(cx.identity.config.lifetimes.grant);
    let values = params![GrantId::random(), client_id, scopes, audiences, cx.now, expires_at, key];
    let rows = cx.tx.query(sql, &values).await?;
    rows.first().map_or(Err(StoreError::Invalid), grant_of)
}

/// Nobody revokes the grant until the transaction ends; false if somebody has since it had this epoch.
pub(super) async fn hold(cx: &mut Cx, parent: &Parent) -> Result<bool, StoreError> {
    let sql = "UPDATE grants SET epoch = epoch WHERE grant_id = $1 AND epoch = $2 AND revoked_at IS NULL";
    Ok(cx.tx.execute(sql, &params![&parent.grant_id, parent.epoch]).await? > 0)
}

/// Nobody revokes a token of the grant, or exchanges one, until the transaction ends.
pub(super) async fn hold_any(cx: &mut Cx, grant_id: &GrantId) -> Result<(), StoreError> {
    let sql = "UPDATE grants SET epoch = epoch WHERE grant_id = $1";
    cx.tx.execute(sql, &params![grant_id]).await?;
    Ok(())
}

/// As a statement that may write: it stands behind [`hold`], and sees what others committed before that.
pub(super) async fn is_token_revoked(cx: &mut Cx, jti: &TokenId) -> Result<bool, StoreError> {
    let sql = "SELECT jti FROM revoked_tokens WHERE jti = $1";
    Ok(cx.tx.one(sql, &params![jti]).await?.is_some())
}

/// The grant below `parent` for these rights, made or taken up again in one statement.
pub(super) async fn upsert_child(cx: &mut Cx, new: &NewChild, expires_at: Time) -> Result<Grant, StoreError> {
    let sql = "INSERT INTO grants
        (grant_id, client_id, user_id, session_id, scopes, audiences, auth_time, acr, amr, epoch, created_at,
         activated_at, expires_at, refresh_generation, refresh_replays, standing_key, parent_grant_id, parent_epoch,
         parent_client_epoch, act, on_behalf_of, parent_jti)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, $10, $10, $11, 0, 0, $12, $13, $14, $15, $16, $17, $18)
        ON CONFLICT (standing_key) DO UPDATE
        SET expires_at = excluded.expires_at, revoked_at = NULL, revoked_because = NULL
        RETURNING grant_id, client_id, user_id, session_id, scopes, audiences, auth_time, acr, amr, nonce, epoch,
            created_at, activated_at, expires_at, refresh_generation, refresh_rotated_at, revoked_at, act, network,
            on_behalf_of";
    let Parent { grant_id: parent, epoch, client_epoch, jti } = &new.parent;
    let (scopes, audiences, act) = (new.scopes.to_string(), new.audiences.to_string(), new.act.to_string());
    let rights = serde_json::json!([scopes, audiences, act]);
    let key = serde_json::json!(["exchange", new.client_id, parent, epoch, client_epoch, jti, rights]).to_string();
    let values = params![
        GrantId::random(),
        &new.client_id,
        new.of.user_id.as_ref(),
        new.of.session_id.as_ref(),
        scopes,
        audiences,
        new.of.auth_time,
        new.of.acr.as_deref(),
        new.of.amr.join(" "),
        cx.now,
        expires_at,
        key,
        parent,
        *epoch,
        *client_epoch,
        act,
        new.of.machine(),
        jti,
    ];
    let rows = cx.tx.query(sql, &values).await?;
    rows.first().map_or(Err(StoreError::Invalid), grant_of)
}

/// Revokes all grants below this one, at any depth.
pub(super) async fn revoke_below(
    cx: &mut Cx,
    grant_id: &GrantId,
    reason: &'static str,
) -> Result<Vec<(GrantId, ClientId, Option<UserId>)>, StoreError> {
    let sql = "WITH RECURSIVE below (grant_id) AS (
            SELECT grant_id FROM grants WHERE parent_grant_id = $1
            UNION SELECT g.grant_id FROM grants g JOIN below b ON g.parent_grant_id = b.grant_id)
        UPDATE grants SET epoch = epoch + 1, revoked_at = $2, revoked_because = $3
        WHERE revoked_at IS NULL AND grant_id IN (SELECT grant_id FROM below)
        RETURNING grant_id, client_id, user_id";
    cx.tx.query(sql, &params![grant_id, cx.now, reason]).await?.iter().map(revoked).collect()
}

/// Revokes all grants that came of this token, at any depth.
pub(super) async fn revoke_below_token(
    cx: &mut Cx,
    jti: &TokenId,
    reason: &'static str,
) -> Result<Vec<(GrantId, ClientId, Option<UserId>)>, StoreError> {
    let sql = "WITH RECURSIVE below (grant_id) AS (
            SELECT grant_id FROM grants WHERE parent_jti = $1
            UNION SELECT g.grant_id FROM grants g JOIN below b ON g.parent_grant_id = b.grant_id)
        UPDATE grants SET epoch = epoch + 1, revoked_at = $2, revoked_because = $3
        WHERE revoked_at IS NULL AND grant_id IN (SELECT grant_id FROM below)
        RETURNING grant_id, client_id, user_id";
    cx.tx.query(sql, &params![jti, cx.now, reason]).await?.iter().map(revoked).collect()
}

/// Revokes all grants below those of a client, at any depth.
pub(super) async fn revoke_below_client(
    cx: &mut Cx,
    client_id: &ClientId,
    reason: &'static str,
) -> Result<Vec<(GrantId, ClientId, Option<UserId>)>, StoreError> {
    let sql = "WITH RECURSIVE below (grant_id) AS (
            SELECT c.grant_id FROM grants p JOIN grants c ON c.parent_grant_id = p.grant_id WHERE p.client_id = $1
            UNION SELECT g.grant_id FROM grants g JOIN below b ON g.parent_grant_id = b.grant_id)
        UPDATE grants SET epoch = epoch + 1, revoked_at = $2, revoked_because = $3
        WHERE revoked_at IS NULL AND grant_id IN (SELECT grant_id FROM below)
        RETURNING grant_id, client_id, user_id";
    cx.tx.query(sql, &params![client_id, cx.now, reason]).await?.iter().map(revoked).collect()
}

fn revoked(row: &Row) -> Result<(GrantId, ClientId, Option<UserId>), StoreError> {
    let user_id = row.opt_string("user_id")?.map(UserId::from);
    Ok((row.string("grant_id")?.into(), row.string("client_id")?.into(), user_id))
}

pub async fn find(cx: &mut Cx, grant_id: &GrantId) -> Result<Option<Grant>, StoreError> {
    let sql = "SELECT grant_id, client_id, user_id, session_id, scopes, audiences, auth_time, acr, amr, nonce, epoch,
            created_at, activated_at, expires_at, refresh_generation, refresh_rotated_at, revoked_at, act, network,
            on_behalf_of
        FROM grants WHERE grant_id = $1";
    cx.tx.read_one(sql, &params![grant_id]).await?.as_ref().map(grant_of).transpose()
}

/// The live grants of a user, newest first, without those that came by exchange: they end with the ones above them.
pub async fn list_of_user(cx: &mut Cx, user_id: &UserId) -> Result<Vec<Grant>, StoreError> {
    let sql = "SELECT grant_id, client_id, user_id, session_id, scopes, audiences, auth_time, acr, amr, nonce, epoch,
            created_at, activated_at, expires_at, refresh_generation, refresh_rotated_at, revoked_at, act, network,
            on_behalf_of
        FROM grants
        WHERE user_id = $1 AND parent_grant_id IS NULL
          AND activated_at IS NOT NULL AND revoked_at IS NULL AND expires_at > $2
        ORDER BY activated_at DESC LIMIT 1000";
    cx.tx.read(sql, &params![user_id, cx.now]).await?.iter().map(grant_of).collect()
}

/// The live grants of a client, newest first.
pub async fn list_of_client(cx: &mut Cx, client_id: &ClientId) -> Result<Vec<Grant>, StoreError> {
    let sql = "SELECT grant_id, client_id, user_id, session_id, scopes, audiences, auth_time, acr, amr, nonce, epoch,
            created_at, activated_at, expires_at, refresh_generation, refresh_rotated_at, revoked_at, act, network,
            on_behalf_of
        FROM grants
        WHERE client_id = $1 AND activated_at IS NOT NULL AND revoked_at IS NULL AND expires_at > $2
        ORDER BY activated_at DESC LIMIT 1000";
    cx.tx.read(sql, &params![client_id, cx.now]).await?.iter().map(grant_of).collect()
}

pub(super) async fn revoke(
    cx: &mut Cx,
    grant_id: &GrantId,
    reason: &'static str,
) -> Result<Option<(ClientId, Option<UserId>)>, StoreError> {
    let sql = "UPDATE grants SET epoch = epoch + 1, revoked_at = $2, revoked_because = $3
        WHERE grant_id = $1 AND revoked_at IS NULL RETURNING client_id, user_id";
    let Some(row) = cx.tx.one(sql, &params![grant_id, cx.now, reason]).await? else {
        return Ok(None);
    };
    Ok(Some((row.string("client_id")?.into(), row.opt_string("user_id")?.map(UserId::from))))
}

pub(super) async fn revoke_of_client(
    cx: &mut Cx,
    client_id: &ClientId,
    reason: &'static str,
) -> Result<u64, StoreError> {
    let sql = "UPDATE grants SET epoch = epoch + 1, revoked_at = $2, revoked_because = $3
        WHERE client_id = $1 AND revoked_at IS NULL AND expires_at > $2";
    cx.tx.execute(sql, &params![client_id, cx.now, reason]).await
}

pub(super) async fn revoke_of_user(cx: &mut Cx, user_id: &UserId, reason: &'static str) -> Result<u64, StoreError> {
    let sql = "UPDATE grants SET epoch = epoch + 1, revoked_at = $2, revoked_because = $3
        WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $2";
    cx.tx.execute(sql, &params![user_id, cx.now, reason]).await
}

pub(super) async fn revoke_of_session(
    cx: &mut Cx,
    session_id: &SessionId,
    reason: &'static str,
) -> Result<u64, StoreError> {
    let sql = "UPDATE grants SET epoch = epoch + 1, revoked_at = $2, revoked_because = $3
        WHERE session_id = $1 AND revoked_at IS NULL AND expires_at > $2";
    cx.tx.execute(sql, &params![session_id, cx.now, reason]).await
}

/// Those of the user that were made in other sessions than `but`.
pub(super) async fn revoke_of_other_sessions(
    cx: &mut Cx,
    user_id: &UserId,
    but: Option<&SessionId>,
    reason: &'static str,
) -> Result<Vec<(GrantId, ClientId)>, StoreError> {
    let sql = "UPDATE grants SET epoch = epoch + 1, revoked_at = $2, revoked_because = $3
        WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $2 AND (session_id IS NULL OR session_id <> $4)
        RETURNING grant_id, client_id";
    let but = but.map(SessionId::as_str).unwrap_or_default();
    let rows = cx.tx.query(sql, &params![user_id, cx.now, reason, but]).await?;
    rows.iter().map(|row| Ok((row.string("grant_id")?.into(), row.string("client_id")?.into()))).collect()
}

pub(super) async fn revoke_of_user_and_client(
    cx: &mut Cx,
    user_id: &UserId,
    client_id: &ClientId,
    reason: &'static str,
) -> Result<Vec<GrantId>, StoreError> {
    let sql = "UPDATE grants SET epoch = epoch + 1, revoked_at = $3, revoked_because = $4
        WHERE user_id = $1 AND client_id = $2 AND revoked_at IS NULL AND expires_at > $3 RETURNING grant_id";
    let rows = cx.tx.query(sql, &params![user_id, client_id, cx.now, reason]).await?;
    rows.iter().map(|row| Ok(row.string("grant_id")?.into())).collect()
}

/// One move of the refresh counter.
pub struct Rotation<'a> {
    pub grant_id: &'a GrantId,
    pub client_id: &'a ClientId,
    /// The generation that was presented.
    pub generation: i64,
}

/// Compare-and-set of the refresh generation: of any number of requests exactly one moves it.
/// None too if it was not used since `idle_since`.
pub async fn rotate(cx: &mut Cx, rotation: Rotation<'_>, idle_since: Time) -> Result<Option<Grant>, StoreError> {
    let sql = "UPDATE grants
        SET refresh_generation = refresh_generation + 1, refresh_rotated_at = $4, refresh_replays = 0
        WHERE grant_id = $1 AND client_id = $2 AND refresh_generation = $3
          AND revoked_at IS NULL AND activated_at IS NOT NULL AND expires_at > $4
          AND COALESCE(refresh_rotated_at, activated_at) > $5
        RETURNING grant_id, client_id, user_id, session_id, scopes, audiences, auth_time, acr, amr, nonce, epoch,
            created_at, activated_at, expires_at, refresh_generation, refresh_rotated_at, revoked_at, act, network,
            on_behalf_of";
    let values = params![rotation.grant_id, rotation.client_id, rotation.generation, cx.now, idle_since];
    cx.tx.one(sql, &values).await?.as_ref().map(grant_of).transpose()
}

/// Counts one repeat of the move before the last; None when it is too late, or was repeated too often.
pub async fn count_replay(
    cx: &mut Cx,
    rotation: Rotation<'_>,
    rotated_after: Time,
    at_most: i64,
) -> Result<Option<Grant>, StoreError> {
    let sql = "UPDATE grants SET refresh_replays = refresh_replays + 1
        WHERE grant_id = $1 AND client_id = $2 AND refresh_generation = $3 + 1
          AND revoked_at IS NULL AND activated_at IS NOT NULL AND expires_at > $4
          AND refresh_rotated_at >= $5 AND refresh_replays < $6
        RETURNING grant_id, client_id, user_id, session_id, scopes, audiences, auth_time, acr, amr, nonce, epoch,
            created_at, activated_at, expires_at, refresh_generation, refresh_rotated_at, revoked_at, act, network,
            on_behalf_of";
    let values = params![rotation.grant_id, rotation.client_id, rotation.generation, cx.now, rotated_after, at_most,];
    cx.tx.one(sql, &values).await?.as_ref().map(grant_of).transpose()
}

pub(crate) fn grant_of(row: &Row) -> Result<Grant, StoreError> {
    Ok(Grant {
        grant_id: row.string("grant_id")?.into(),
        client_id: row.string("client_id")?.into(),
        user_id: row.opt_string("user_id")?.map(UserId::from),
        session_id: row.opt_string("session_id")?.map(SessionId::from),
        scopes: Scopes::parse(row.text("scopes")?).unwrap_or_default(),
        audiences: Audiences::parse(row.text("audiences")?),
        auth_time: row.opt_time("auth_time")?,
        acr: row.opt_string("acr")?,
        amr: row.opt_text("amr")?.unwrap_or_default().split_whitespace().map(str::to_owned).collect(),
        nonce: row.opt_string("nonce")?,
        epoch: row.int("epoch")?,
        created_at: row.time("created_at")?,
        activated_at: row.opt_time("activated_at")?,
        expires_at: row.time("expires_at")?,
        refresh_generation: row.int("refresh_generation")?,
        refresh_rotated_at: row.opt_time("refresh_rotated_at")?,
        revoked_at: row.opt_time("revoked_at")?,
        on_behalf_of: row.opt_string("on_behalf_of")?.map(ClientId::from),
        network: row.opt_text("network")?.and_then(|text| text.parse().ok()),
        act: row.opt_text("act")?.map(serde_json::from_str).transpose().map_err(|_| StoreError::Invalid)?,
    })
}
