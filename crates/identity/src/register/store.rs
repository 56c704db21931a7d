use std::collections::BTreeSet;

use base::Time;
use base::ids::ClientId;
use serde_json::{Map, Value};
use store::{Row, StoreError, params};

use super::Policy;
use crate::Cx;

/// A client that has been registered dynamically, beyond its document.
#[derive(Debug, Clone)]
pub(super) struct Registration {
    pub client_id: ClientId,
    pub registrar: String,
    pub software_id: String,
    pub metadata: Map<String, Value>,
    pub created_at: Time,
}

/// Nobody else registers for this registrar until the transaction ends.
pub(super) async fn lock_registrar(cx: &mut Cx, registrar: &str) -> Result<(), StoreError> {
    let sql = "INSERT INTO registrars (registrar, seen_at) VALUES ($1, $2)
        ON CONFLICT (registrar) DO UPDATE SET seen_at = excluded.seen_at";
    cx.tx.execute(sql, &params![registrar, cx.now]).await?;
    Ok(())
}

pub(super) async fn count_of(cx: &mut Cx, registrar: &str) -> Result<i64, StoreError> {
    let sql = "SELECT count(*) AS clients FROM client_registrations WHERE registrar = $1";
    cx.tx.one(sql, &params![registrar]).await?.map_or(Ok(0), |row| row.int("clients"))
}

pub(super) async fn insert(cx: &mut Cx, new: &Registration, token_hash: &str) -> Result<(), StoreError> {
    let sql = "INSERT INTO client_registrations
        (client_id, registrar, token_hash, software_id, metadata, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $6)";
    let values = params![
        &new.client_id,
        &new.registrar,
        token_hash,
        &new.software_id,
        Value::Object(new.metadata.clone()).to_string(),
        new.created_at,
    ];
    cx.tx.execute(sql, &values).await?;
    Ok(())
}

pub(super) async fn find(cx: &mut Cx, client_id: &ClientId) -> Result<Option<Registration>, StoreError> {
    let sql = "SELECT client_id, registrar, software_id, metadata, created_at FROM client_registrations
        WHERE client_id = $1";
    cx.tx.read_one(sql, &params![client_id]).await?.as_ref().map(registration).transpose()
}

/// The registration whose token this is. The token before ends with the first use of the newer one.
pub(super) async fn take_token(
    cx: &mut Cx,
    client_id: &ClientId,
    token_hash: &str,
) -> Result<Option<Registration>, StoreError> {
    let sql = "SELECT client_id, registrar, software_id, metadata, created_at, token_hash, previous_token_hash
        FROM client_registrations WHERE client_id = $1 AND (token_hash = $2 OR previous_token_hash = $2)";
    let Some(row) = cx.tx.read_one(sql, &params![client_id, token_hash]).await? else {
        return Ok(None);
    };
    if row.text("token_hash")? == token_hash && row.opt_text("previous_token_hash")?.is_some() {
        let end = "UPDATE client_registrations SET previous_token_hash = NULL WHERE client_id = $1 AND token_hash = $2";
        cx.tx.execute(end, &params![client_id, token_hash]).await?;
    }
    registration(&row).map(Some)
}

/// A newer token; the one that was shown stays until the newer one is used.
pub(super) async fn rotate_token(
    cx: &mut Cx,
    client_id: &ClientId,
    shown_hash: &str,
    new_hash: &str,
) -> Result<(), StoreError> {
    let sql = "UPDATE client_registrations SET token_hash = $3, previous_token_hash = $2 WHERE client_id = $1";
    cx.tx.execute(sql, &params![client_id, shown_hash, new_hash]).await?;
    Ok(())
}

/// A newer token where none was shown; the one that was good stays until the newer one is used.
pub(super) async fn replace_token(cx: &mut Cx, client_id: &ClientId, new_hash: &str) -> Result<(), StoreError> {
    let sql = "UPDATE client_registrations SET previous_token_hash = token_hash, token_hash = $2 WHERE client_id = $1";
    cx.tx.execute(sql, &params![client_id, new_hash]).await?;
    Ok(())
}

pub(super) async fn update(cx: &mut Cx, changed: &Registration) -> Result<(), StoreError> {
    let sql = "UPDATE client_registrations SET software_id = $2, metadata = $3, updated_at = $4 WHERE client_id = $1";
    let metadata = Value::Object(changed.metadata.clone()).to_string();
    cx.tx.execute(sql, &params![&changed.client_id, &changed.software_id, metadata, cx.now]).await?;
    Ok(())
}

/// What a list says of a client.
pub(super) struct Listed {
    pub client_id: ClientId,
    pub software_id: String,
    pub spec: Value,
    pub created_at: Time,
}

/// The clients of a registrar in the order of their ids; of one `software_id`, or all.
pub(super) async fn list(
    cx: &mut Cx,
    registrar: &str,
    software_id: Option<&str>,
    after: &str,
    limit: u32,
) -> Result<Vec<Listed>, StoreError> {
    let sql = "SELECT r.client_id, r.software_id, r.created_at, c.spec
        FROM client_registrations r JOIN clients c ON c.client_id = r.client_id
        WHERE r.registrar = $1 AND ($2 = '' OR r.software_id = $3) AND r.client_id > $4
        ORDER BY r.client_id LIMIT $5";
    let filter = if software_id.is_some() { "one" } else { "" };
    let values = params![registrar, filter, software_id.unwrap_or_default(), after, limit];
    let listed = |row: &Row| {
        Ok(Listed {
            client_id: row.string("client_id")?.into(),
            software_id: row.string("software_id")?,
            spec: serde_json::from_str(row.text("spec")?).map_err(|_| StoreError::Invalid)?,
            created_at: row.time("created_at")?,
        })
    };
    cx.tx.read(sql, &values).await?.iter().map(listed).collect()
}

/// The ids of all clients that came by registration.
pub async fn all(cx: &mut Cx) -> Result<BTreeSet<String>, StoreError> {
    let rows = cx.tx.read("SELECT client_id FROM client_registrations", &params![]).await?;
    rows.iter().map(|row| row.string("client_id")).collect()
}

/// An idempotency key that was used.
pub(super) struct KnownKey {
    pub request_hash: String,
    pub client_id: ClientId,
}

pub(super) async fn find_key(cx: &mut Cx, key_hash: &str) -> Result<Option<KnownKey>, StoreError> {
    let sql = "SELECT request_hash, client_id FROM registration_keys WHERE key_hash = $1";
    let row = cx.tx.one(sql, &params![key_hash]).await?;
    row.map(|row| {
        Ok(KnownKey { request_hash: row.string("request_hash")?, client_id: row.string("client_id")?.into() })
    })
    .transpose()
}

/// A conflict is an error: the lock on the registrar makes it impossible.
pub(super) async fn insert_key(
    cx: &mut Cx,
    key_hash: &str,
    request_hash: &str,
    client_id: &ClientId,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO registration_keys (key_hash, request_hash, client_id, created_at) VALUES ($1, $2, $3, $4)";
    cx.tx.execute(sql, &params![key_hash, request_hash, client_id, cx.now]).await?;
    Ok(())
}

pub(super) async fn insert_answer(
    cx: &mut Cx,
    key_hash: &str,
    sealed: &str,
    expires_at: Time,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO registration_answers (key_hash, sealed_answer, expires_at) VALUES ($1, $2, $3)";
    cx.tx.execute(sql, &params![key_hash, sealed, expires_at]).await?;
    Ok(())
}

pub(super) async fn find_answer(cx: &mut Cx, key_hash: &str) -> Result<Option<String>, StoreError> {
    let sql = "SELECT sealed_answer FROM registration_answers WHERE key_hash = $1 AND expires_at > $2";
    cx.tx.one(sql, &params![key_hash, cx.now]).await?.map(|row| row.string("sealed_answer")).transpose()
}

/// What may be shown of an initial access token.
#[derive(Debug, Clone)]
pub struct InitialToken {
    pub token_id: String,
    pub name: String,
    pub policy: Policy,
    pub uses_left: Option<i64>,
    pub created_at: Time,
    pub expires_at: Option<Time>,
}

pub(super) async fn insert_initial(cx: &mut Cx, token: &InitialToken, token_hash: &str) -> Result<(), StoreError> {
    let sql = "INSERT INTO initial_access_tokens
        (token_id, token_hash, name, policy, uses_left, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let policy = serde_json::to_string(&token.policy).map_err(|_| StoreError::Invalid)?;
    let values =
        params![&token.token_id, token_hash, &token.name, policy, token.uses_left, token.created_at, token.expires_at];
    cx.tx.execute(sql, &values).await?;
    Ok(())
}

pub(super) async fn find_initial(cx: &mut Cx, token_hash: &str) -> Result<Option<InitialToken>, StoreError> {
    let sql = "SELECT token_id, name, policy, uses_left, created_at, expires_at FROM initial_access_tokens
        WHERE token_hash = $1";
    cx.tx.read_one(sql, &params![token_hash]).await?.as_ref().map(initial).transpose()
}

pub(super) async fn list_initial(cx: &mut Cx) -> Result<Vec<InitialToken>, StoreError> {
    let sql = "SELECT token_id, name, policy, uses_left, created_at, expires_at FROM initial_access_tokens
        ORDER BY created_at, token_id";
    cx.tx.read(sql, &params![]).await?.iter().map(initial).collect()
}

pub(super) async fn delete_initial(cx: &mut Cx, token_id: &str) -> Result<bool, StoreError> {
    Ok(cx.tx.execute("DELETE FROM initial_access_tokens WHERE token_id = $1", &params![token_id]).await? > 0)
}

pub(super) async fn take_use(cx: &mut Cx, token_id: &str) -> Result<bool, StoreError> {
    let sql = "UPDATE initial_access_tokens SET uses_left = uses_left - 1
        WHERE token_id = $1 AND (uses_left IS NULL OR uses_left > 0) AND (expires_at IS NULL OR expires_at > $2)";
    Ok(cx.tx.execute(sql, &params![token_id, cx.now]).await? > 0)
}

fn initial(row: &Row) -> Result<InitialToken, StoreError> {
    Ok(InitialToken {
        token_id: row.string("token_id")?,
        name: row.string("name")?,
        policy: serde_json::from_str(row.text("policy")?).map_err(|_| StoreError::Invalid)?,
        uses_left: row.opt_int("uses_left")?,
        created_at: row.time("created_at")?,
        expires_at: row.opt_time("expires_at")?,
    })
}

fn registration(row: &Row) -> Result<Registration, StoreError> {
    Ok(Registration {
        client_id: row.string("client_id")?.into(),
        registrar: row.string("registrar")?,
        software_id: row.string("software_id")?,
        metadata: serde_json::from_str(row.text("metadata")?).map_err(|_| StoreError::Invalid)?,
        created_at: row.time("created_at")?,
    })
}
