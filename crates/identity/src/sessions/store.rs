use base::ids::{SessionId, UserId};
use store::{Row, StoreError, params};

use super::{Login, Session};
use crate::Cx;

/// Neither ended, nor too old, nor unused for too long, and its user not disabled.
pub(super) async fn find_by_cookie(cx: &mut Cx, cookie_hash: &str) -> Result<Option<Session>, StoreError> {
    let sql = "SELECT s.session_id, s.user_id, s.auth_time, s.acr, s.amr, s.user_agent, s.network,
          s.created_at, s.last_seen_at, s.expires_at
        FROM sessions s JOIN users u ON u.user_id = s.user_id
        WHERE s.cookie_hash = $1 AND s.ended_at IS NULL AND s.expires_at > $2 AND s.last_seen_at > $3
          AND u.disabled_at IS NULL";
    let idle_since = cx.now.minus(cx.identity.config.lifetimes.session_idle);
    cx.tx.read_one(sql, &params![cookie_hash, cx.now, idle_since]).await?.as_ref().map(session).transpose()
}

/// The living sessions of a user, the last used first.
pub async fn list_of_user(cx: &mut Cx, user_id: &UserId) -> Result<Vec<Session>, StoreError> {
    let sql = "SELECT session_id, user_id, auth_time, acr, amr, user_agent, network,
          created_at, last_seen_at, expires_at
        FROM sessions
        WHERE user_id = $1 AND ended_at IS NULL AND expires_at > $2 AND last_seen_at > $3
        ORDER BY last_seen_at DESC, session_id";
    let idle_since = cx.now.minus(cx.identity.config.lifetimes.session_idle);
    cx.tx.read(sql, &params![user_id, cx.now, idle_since]).await?.iter().map(session).collect()
}

pub(super) async fn insert(cx: &mut Cx, cookie_hash: &str, login: &Login<'_>) -> Result<SessionId, StoreError> {
    let session_id = SessionId::random();
    let sql = "INSERT INTO sessions (session_id, cookie_hash, user_id, auth_time, acr, amr, user_agent, network,
          created_at, last_seen_at, expires_at, ended_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $4, $4, $9, NULL)";
    let values = params![
        &session_id,
        cookie_hash,
        login.user_id,
        cx.now,
        login.acr,
        login.amr.join(" "),
        login.user_agent,
        cx.network.to_canonical().to_string(),
        cx.now.plus(cx.identity.config.lifetimes.session),
    ];
    cx.tx.execute(sql, &values).await?;
    Ok(session_id)
}

pub(super) async fn renew(
    cx: &mut Cx,
    session_id: &SessionId,
    cookie_hash: &str,
    login: &Login<'_>,
) -> Result<(), StoreError> {
    let sql = "UPDATE sessions SET cookie_hash = $2, auth_time = $3, acr = $4, amr = $5, user_agent = $6,
          network = $7, last_seen_at = $3, expires_at = $8
        WHERE session_id = $1 AND ended_at IS NULL";
    let values = params![
        session_id,
        cookie_hash,
        cx.now,
        login.acr,
        login.amr.join(" "),
        login.user_agent,
        cx.network.to_canonical().to_string(),
        cx.now.plus(cx.identity.config.lifetimes.session),
    ];
    cx.tx.execute(sql, &values).await?;
    Ok(())
}

pub(super) async fn seen(cx: &mut Cx, session_id: &SessionId) -> Result<(), StoreError> {
    let sql = "UPDATE sessions SET last_seen_at = $2 WHERE session_id = $1 AND last_seen_at < $2";
    cx.tx.execute(sql, &params![session_id, cx.now]).await?;
    Ok(())
}

/// Whether the session is there still. From then on to the end of the transaction nobody ends it: who wants to waits,
/// and finds what was made in it.
pub async fn hold(cx: &mut Cx, session_id: &SessionId) -> Result<bool, StoreError> {
    let sql = "UPDATE sessions SET last_seen_at = last_seen_at WHERE session_id = $1 AND ended_at IS NULL";
    Ok(cx.tx.execute(sql, &params![session_id]).await? > 0)
}

/// The session's user, if this call ended it.
pub(super) async fn end(cx: &mut Cx, session_id: &SessionId) -> Result<Option<UserId>, StoreError> {
    let sql = "UPDATE sessions SET ended_at = $2 WHERE session_id = $1 AND ended_at IS NULL RETURNING user_id";
    let row = cx.tx.one(sql, &params![session_id, cx.now]).await?;
    row.map(|row| Ok(row.string("user_id")?.into())).transpose()
}

fn session(row: &Row) -> Result<Session, StoreError> {
    Ok(Session {
        session_id: row.string("session_id")?.into(),
        user_id: row.string("user_id")?.into(),
        auth_time: row.time("auth_time")?,
        acr: row.string("acr")?,
        amr: row.text("amr")?.split(' ').map(str::to_owned).collect(),
        user_agent: row.string("user_agent")?,
        network: row.string("network")?,
        created_at: row.time("created_at")?,
        last_seen_at: row.time("last_seen_at")?,
        expires_at: row.time("expires_at")?,
    })
}
