use base::Time;
use base::ids::ClientId;
use store::{Row, StoreError, params};

use super::{Client, ClientSpec, SecretInfo};
use crate::Cx;

/// A client with the hashes of its live secrets.
pub(crate) struct Credentials {
    pub client: Client,
    pub secrets: Vec<Candidate>,
}

pub(crate) struct Candidate {
    pub secret_id: String,
    pub hash: String,
}

pub async fn find(cx: &mut Cx, client_id: &ClientId) -> Result<Option<Client>, StoreError> {
    let sql = "SELECT client_id, spec, epoch, disabled_at FROM clients WHERE client_id = $1";
    cx.tx.read_one(sql, &params![client_id]).await?.as_ref().map(client).transpose()
}

/// Clients in the order of their ids, after `after`.
pub async fn list(cx: &mut Cx, after: Option<&ClientId>, limit: u32) -> Result<Vec<Client>, StoreError> {
    let sql = "SELECT client_id, spec, epoch, disabled_at FROM clients WHERE client_id > $1
        ORDER BY client_id LIMIT $2";
    let after = after.map(ClientId::as_str).unwrap_or_default();
    cx.tx.read(sql, &params![after, limit.clamp(1, 1000)]).await?.iter().map(client).collect()
}

pub(crate) async fn credentials(cx: &mut Cx, client_id: &ClientId) -> Result<Option<Credentials>, StoreError> {
    let sql = "SELECT c.client_id, c.spec, c.epoch, c.disabled_at, s.secret_id, s.secret_hash
        FROM clients c LEFT JOIN client_secrets s
          ON s.client_id = c.client_id AND (s.expires_at IS NULL OR s.expires_at > $2)
        WHERE c.client_id = $1";
    let rows = cx.tx.read(sql, &params![client_id, cx.now]).await?;
    let Some(first) = rows.first() else {
        return Ok(None);
    };
    let client = client(first)?;
    let mut secrets = Vec::new();
    for row in &rows {
        if let (Some(secret_id), Some(hash)) = (row.opt_string("secret_id")?, row.opt_string("secret_hash")?) {
            secrets.push(Candidate { secret_id, hash });
        }
    }
    Ok(Some(Credentials { client, secrets }))
}

/// False if there is one of this name.
pub(super) async fn create(cx: &mut Cx, spec: &ClientSpec) -> Result<bool, StoreError> {
    let sql = "INSERT INTO clients (client_id, spec, epoch, created_at, updated_at) VALUES ($1, $2, 0, $3, $3)
        ON CONFLICT (client_id) DO NOTHING";
    Ok(cx.tx.execute(sql, &params![&spec.client_id, text(spec)?, cx.now]).await? > 0)
}

/// False if it is so already.
pub(super) async fn update(cx: &mut Cx, spec: &ClientSpec) -> Result<bool, StoreError> {
    let sql = "UPDATE clients SET spec = $2, updated_at = $3 WHERE client_id = $1 AND spec <> $2";
    Ok(cx.tx.execute(sql, &params![&spec.client_id, text(spec)?, cx.now]).await? > 0)
}

/// Nobody else changes the client or its secrets until the transaction ends, and what is read from now on is
/// what they left.
pub(crate) async fn lock(cx: &mut Cx, client_id: &ClientId) -> Result<(), StoreError> {
    cx.tx.execute("UPDATE clients SET updated_at = updated_at WHERE client_id = $1", &params![client_id]).await?;
    Ok(())
}

fn text(spec: &ClientSpec) -> Result<String, StoreError> {
    serde_json::to_string(spec).map_err(|_| StoreError::Invalid)
}

pub(super) async fn raise_epoch(cx: &mut Cx, client_id: &ClientId) -> Result<(), StoreError> {
    let sql = "UPDATE clients SET epoch = epoch + 1 WHERE client_id = $1";
    cx.tx.execute(sql, &params![client_id]).await?;
    Ok(())
}

pub(super) async fn disable(cx: &mut Cx, client_id: &ClientId) -> Result<bool, StoreError> {
    let sql = "UPDATE clients SET disabled_at = $2, updated_at = $2, epoch = epoch + 1
        WHERE client_id = $1 AND disabled_at IS NULL";
    Ok(cx.tx.execute(sql, &params![client_id, cx.now]).await? > 0)
}

pub(super) async fn enable(cx: &mut Cx, client_id: &ClientId) -> Result<bool, StoreError> {
    let sql = "UPDATE clients SET disabled_at = NULL, updated_at = $2
        WHERE client_id = $1 AND disabled_at IS NOT NULL";
    Ok(cx.tx.execute(sql, &params![client_id, cx.now]).await? > 0)
}

pub(super) async fn delete(cx: &mut Cx, client_id: &ClientId) -> Result<bool, StoreError> {
    Ok(cx.tx.execute("DELETE FROM clients WHERE client_id = $1", &params![client_id]).await? > 0)
}

pub(super) struct NewSecret<'a> {
    pub secret_id: &'a str,
    pub secret_hash: String,
    pub hint: String,
    pub expires_at: Option<Time>,
}

/// False if the client has two live secrets already.
pub(super) async fn add_secret(cx: &mut Cx, client_id: &ClientId, new: NewSecret<'_>) -> Result<bool, StoreError> {
    // So that the count below sees secrets that others add at the same moment.
    lock(cx, client_id).await?;
    let sql = "INSERT INTO client_secrets (secret_id, client_id, secret_hash, hint, created_at, expires_at)
        SELECT $1, $2, $3, $4, $5, $6
        WHERE (SELECT count(*) FROM client_secrets
               WHERE client_id = $2 AND (expires_at IS NULL OR expires_at > $5)) < 2";
    let values = params![new.secret_id, client_id, new.secret_hash, new.hint, cx.now, new.expires_at];
    Ok(cx.tx.execute(sql, &values).await? > 0)
}

pub(super) async fn remove_secret(cx: &mut Cx, client_id: &ClientId, secret_id: &str) -> Result<bool, StoreError> {
    let sql = "DELETE FROM client_secrets WHERE client_id = $1 AND secret_id = $2";
    Ok(cx.tx.execute(sql, &params![client_id, secret_id]).await? > 0)
}

pub(super) async fn expire_secret(
    cx: &mut Cx,
    client_id: &ClientId,
    secret_id: &str,
    at: Time,
) -> Result<(), StoreError> {
    let sql = "UPDATE client_secrets SET expires_at = $3 WHERE client_id = $1 AND secret_id = $2";
    cx.tx.execute(sql, &params![client_id, secret_id, at]).await?;
    Ok(())
}

pub(super) async fn list_secrets(cx: &mut Cx, client_id: &ClientId) -> Result<Vec<SecretInfo>, StoreError> {
    let sql = "SELECT secret_id, hint, created_at, expires_at, last_used_at FROM client_secrets
        WHERE client_id = $1 ORDER BY created_at, secret_id";
    let info = |row: &Row| {
        Ok(SecretInfo {
            secret_id: row.string("secret_id")?,
            hint: row.string("hint")?,
            created_at: row.time("created_at")?,
            expires_at: row.opt_time("expires_at")?,
            last_used_at: row.opt_time("last_used_at")?,
        })
    };
    cx.tx.read(sql, &params![client_id]).await?.iter().map(info).collect()
}

pub(super) async fn touch_secret(cx: &mut Cx, secret_id: &str) -> Result<(), StoreError> {
    let sql = "UPDATE client_secrets SET last_used_at = $2
        WHERE secret_id = $1 AND (last_used_at IS NULL OR last_used_at < $3)";
    let minute_ago = cx.now.minus(std::time::Duration::from_secs(60));
    cx.tx.execute(sql, &params![secret_id, cx.now, minute_ago]).await?;
    Ok(())
}

fn client(row: &Row) -> Result<Client, StoreError> {
    let spec: ClientSpec = serde_json::from_str(row.text("spec")?).map_err(|_| StoreError::Invalid)?;
    Ok(Client {
        client_id: spec.client_id.clone(),
        spec,
        epoch: row.int("epoch")?,
        disabled_at: row.opt_time("disabled_at")?,
    })
}
