//! The tables `visits` and `console_links`.

use base::ids::SessionId;
use store::{Row, StoreError, params};

use super::{IDLE, LIFETIME, Session, Way};
use crate::Cx;

/// Neither ended, nor too old, nor unused for too long.
pub(super) async fn find(cx: &mut Cx, cookie_hash: &str) -> Result<Option<Session>, StoreError> {
    let sql = "SELECT visit, person, way, organisation, seen_at, expires_at FROM visits
        WHERE cookie_hash = $1 AND ended_at IS NULL AND expires_at > $2 AND seen_at > $3";
    let values = params![cookie_hash, cx.now, cx.now.minus(IDLE)];
    cx.tx.read_one(sql, &values).await?.as_ref().map(session).transpose()
}

pub(super) async fn insert(
    cx: &mut Cx,
    cookie_hash: &str,
    (person, way): (&str, Way),
    id_token: Option<&str>,
    sid: Option<&str>,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO visits (visit, cookie_hash, person, way, id_token, created_at, seen_at, expires_at, sid)
        VALUES ($1, $2, $3, $4, $5, $6, $6, $7, $8)";
    let id = SessionId::random();
    let expires_at = cx.now.plus(LIFETIME);
    let values = params![id.as_str(), cookie_hash, person, way.as_str(), id_token, cx.now, expires_at, sid];
    cx.tx.execute(sql, &values).await?;
    Ok(())
}

pub(super) async fn seen(cx: &mut Cx, session: &str) -> Result<(), StoreError> {
    let sql = "UPDATE visits SET seen_at = $2 WHERE visit = $1 AND seen_at < $2";
    cx.tx.execute(sql, &params![session, cx.now]).await?;
    Ok(())
}

/// The sealed ID token of the session that ends.
pub(super) async fn end(cx: &mut Cx, cookie_hash: &str) -> Result<Option<String>, StoreError> {
    let sql = "UPDATE visits SET ended_at = $2 WHERE cookie_hash = $1 AND ended_at IS NULL RETURNING id_token";
    let row = cx.tx.one(sql, &params![cookie_hash, cx.now]).await?;
    Ok(row.map(|row| row.opt_string("id_token")).transpose()?.flatten())
}

/// All sessions of the account that an issuer calls so; whose they were.
pub(super) async fn end_of_subject(cx: &mut Cx, issuer: &str, subject: &str) -> Result<Vec<String>, StoreError> {
    let sql = "UPDATE visits SET ended_at = $3 WHERE ended_at IS NULL
        AND person IN (SELECT person FROM people WHERE issuer = $1 AND subject = $2) RETURNING person";
    cx.tx.query(sql, &params![issuer, subject, cx.now]).await?.iter().map(|row| row.string("person")).collect()
}

pub(super) async fn end_of_sid(cx: &mut Cx, sid: &str) -> Result<Vec<String>, StoreError> {
    let sql = "UPDATE visits SET ended_at = $2 WHERE sid = $1 AND ended_at IS NULL RETURNING person";
    cx.tx.query(sql, &params![sid, cx.now]).await?.iter().map(|row| row.string("person")).collect()
}

/// Which organisation the person looks at from now on, in this session.
pub(crate) async fn choose_organisation(cx: &mut Cx, session: &str, organisation: &str) -> Result<(), StoreError> {
    let sql = "UPDATE visits SET organisation = $2 WHERE visit = $1";
    cx.tx.execute(sql, &params![session, organisation]).await?;
    Ok(())
}

/// What nobody can use any more.
pub(crate) async fn purge(cx: &mut Cx) -> Result<(), StoreError> {
    let sql = "DELETE FROM visits WHERE expires_at < $1 OR ended_at < $1 OR seen_at < $2";
    cx.tx.execute(sql, &params![cx.now, cx.now.minus(IDLE)]).await?;
    cx.tx.execute("DELETE FROM console_links WHERE expires_at < $1", &params![cx.now]).await?;
    Ok(())
}

pub(super) async fn insert_link(cx: &mut Cx, hash: &str, expires_at: base::Time) -> Result<(), StoreError> {
    let sql = "INSERT INTO console_links (link_hash, made_at, expires_at) VALUES ($1, $2, $3)";
    cx.tx.execute(sql, &params![hash, cx.now, expires_at]).await?;
    Ok(())
}

/// True for one caller only.
pub(super) async fn use_link(cx: &mut Cx, hash: &str) -> Result<bool, StoreError> {
    let sql = "UPDATE console_links SET used_at = $2
        WHERE link_hash = $1 AND used_at IS NULL AND expires_at > $2 RETURNING link_hash";
    Ok(cx.tx.one(sql, &params![hash, cx.now]).await?.is_some())
}

fn session(row: &Row) -> Result<Session, StoreError> {
    Ok(Session {
        id: row.string("visit")?,
        person: row.string("person")?,
        way: if row.text("way")? == Way::Link.as_str() { Way::Link } else { Way::Login },
        organisation: row.opt_string("organisation")?,
        seen_at: row.time("seen_at")?,
        expires_at: row.time("expires_at")?,
    })
}
