use std::sync::Arc;
use std::time::Duration;

use base::ids::KeyId;
use base::{Secret, Time};
use jose::hash::{base64url, base64url_decode};
use jose::seal::SealingKey;
use jose::{Algorithm, KeySet, SigningKey};
use store::{Row, StoreError, Tx, params};

use super::plan::{self, Planned};
use super::{KeyInfo, Ring, RingKey};
use crate::Cx;

pub(super) async fn load(mut tx: Tx, seal: &SealingKey, now: Time) -> Result<Ring, StoreError> {
    let sql = "SELECT kid, algorithm, generation, public_jwk, sealed_jwk, announced_at, active_at, retired_at,
            removed_at, killed_at
        FROM signing_keys WHERE killed_at IS NULL AND (removed_at IS NULL OR removed_at > $1)
        ORDER BY algorithm, generation";
    let mut keys = Vec::new();
    for row in tx.read(sql, &params![now]).await? {
        let info = info(&row)?;
        let signing = match plan::may_still_sign(&info, now) {
            true => Some(open(seal, &info.kid, row.text("sealed_jwk")?)?),
            false => None,
        };
        keys.push(Arc::new(RingKey { info, signing }));
    }
    let verifying = KeySet::from_jwks(keys.iter().map(|key| key.info.public_jwk.clone()));
    Ok(Ring { keys, verifying })
}

/// A key that does not open was sealed under another master key: nothing can be signed then.
fn open(seal: &SealingKey, kid: &KeyId, sealed: &str) -> Result<SigningKey, StoreError> {
    let opened = base64url_decode(sealed).and_then(|sealed| seal.open(kid.as_str().as_bytes(), &sealed));
    let jwk = opened.and_then(|bytes| String::from_utf8(bytes).ok()).map(Secret::new);
    let wrong = StoreError::Settings("the master key is not the one that this database was sealed with");
    jwk.and_then(|jwk| SigningKey::from_jwk(&jwk).ok()).ok_or(wrong)
}

/// False if another node made this generation.
pub(super) async fn insert(cx: &mut Cx, key: &SigningKey, planned: Planned) -> Result<bool, StoreError> {
    let sql = "INSERT INTO signing_keys
        (kid, algorithm, generation, public_jwk, sealed_jwk, announced_at, active_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
    let sealed = cx.identity.key_seal.seal(key.kid().as_bytes(), key.to_jwk().expose().as_bytes());
    let values = params![
        key.kid(),
        key.algorithm().as_str(),
        planned.generation,
        key.public_jwk().to_string(),
        base64url(&sealed),
        cx.now,
        planned.active_at,
    ];
    Ok(cx.tx.execute(sql, &values).await? > 0)
}

/// Writes the end of the older keys: they retire when the new one takes over.
pub(super) async fn retire_before(
    cx: &mut Cx,
    algorithm: Algorithm,
    planned: Planned,
    stays: Duration,
) -> Result<(), StoreError> {
    let sql = "UPDATE signing_keys SET retired_at = $3, removed_at = $4
        WHERE algorithm = $1 AND generation < $2 AND (retired_at IS NULL OR retired_at > $3)";
    let values = params![algorithm.as_str(), planned.generation, planned.active_at, planned.active_at.plus(stays)];
    cx.tx.execute(sql, &values).await?;
    Ok(())
}

pub(super) async fn activate_now(cx: &mut Cx, kid: &KeyId) -> Result<(), StoreError> {
    let sql = "UPDATE signing_keys SET active_at = $2 WHERE kid = $1 AND active_at > $2";
    cx.tx.execute(sql, &params![kid, cx.now]).await?;
    Ok(())
}

pub(super) async fn keep_on(cx: &mut Cx, kid: &KeyId) -> Result<(), StoreError> {
    let sql = "UPDATE signing_keys SET retired_at = NULL, removed_at = NULL WHERE kid = $1 AND retired_at > $2";
    cx.tx.execute(sql, &params![kid, cx.now]).await?;
    Ok(())
}

pub(super) async fn kill(cx: &mut Cx, kid: &KeyId) -> Result<bool, StoreError> {
    let sql = "UPDATE signing_keys SET killed_at = $2, retired_at = $2, removed_at = $2, sealed_jwk = ''
        WHERE kid = $1 AND killed_at IS NULL";
    Ok(cx.tx.execute(sql, &params![kid, cx.now]).await? > 0)
}

/// Private keys that no longer sign are kept nowhere.
pub(super) async fn wipe(cx: &mut Cx) -> Result<u64, StoreError> {
    let due = "SELECT kid FROM signing_keys WHERE retired_at <= $1 AND sealed_jwk <> ''";
    if cx.tx.read(due, &params![cx.now]).await?.is_empty() {
        return Ok(0);
    }
    let sql = "UPDATE signing_keys SET sealed_jwk = '' WHERE retired_at <= $1 AND sealed_jwk <> ''";
    cx.tx.execute(sql, &params![cx.now]).await
}

pub(super) async fn of_algorithm(cx: &mut Cx, algorithm: Algorithm) -> Result<Vec<KeyInfo>, StoreError> {
    let sql =
        "SELECT kid, algorithm, generation, public_jwk, announced_at, active_at, retired_at, removed_at, killed_at
        FROM signing_keys WHERE algorithm = $1 ORDER BY generation";
    cx.tx.read(sql, &params![algorithm.as_str()]).await?.iter().map(info).collect()
}

pub(super) async fn find(cx: &mut Cx, kid: &KeyId) -> Result<Option<KeyInfo>, StoreError> {
    let sql =
        "SELECT kid, algorithm, generation, public_jwk, announced_at, active_at, retired_at, removed_at, killed_at
        FROM signing_keys WHERE kid = $1";
    cx.tx.read_one(sql, &params![kid]).await?.as_ref().map(info).transpose()
}

pub(super) async fn list(cx: &mut Cx) -> Result<Vec<KeyInfo>, StoreError> {
    let sql =
        "SELECT kid, algorithm, generation, public_jwk, announced_at, active_at, retired_at, removed_at, killed_at
        FROM signing_keys ORDER BY algorithm, generation";
    cx.tx.read(sql, &params![]).await?.iter().map(info).collect()
}

fn info(row: &Row) -> Result<KeyInfo, StoreError> {
    Ok(KeyInfo {
        kid: row.string("kid")?.into(),
        algorithm: Algorithm::parse(row.text("algorithm")?).ok_or(StoreError::Invalid)?,
        generation: row.int("generation")?,
        public_jwk: serde_json::from_str(row.text("public_jwk")?).map_err(|_| StoreError::Invalid)?,
        announced_at: row.time("announced_at")?,
        active_at: row.time("active_at")?,
        retired_at: row.opt_time("retired_at")?,
        removed_at: row.opt_time("removed_at")?,
        killed_at: row.opt_time("killed_at")?,
    })
}
