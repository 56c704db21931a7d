use base::ids::UserId;
use store::{Row, StoreError, params};

use super::{PasswordHash, User, UserSpec, normal_username};
use crate::Cx;

pub async fn find(cx: &mut Cx, user_id: &UserId) -> Result<Option<User>, StoreError> {
    let sql = "SELECT user_id, username, spec, created_at, updated_at, disabled_at FROM users WHERE user_id = $1";
    cx.tx.read_one(sql, &params![user_id]).await?.as_ref().map(user).transpose()
}

pub async fn find_by_username(cx: &mut Cx, username: &str) -> Result<Option<User>, StoreError> {
    let sql = "SELECT user_id, username, spec, created_at, updated_at, disabled_at FROM users WHERE username = $1";
    cx.tx.read_one(sql, &params![normal_username(username)]).await?.as_ref().map(user).transpose()
}

/// The user's password hash, if there is a password.
pub async fn password_of(cx: &mut Cx, user_id: &UserId) -> Result<Option<PasswordHash>, StoreError> {
    let sql = "SELECT password_hash FROM users WHERE user_id = $1";
    let row = cx.tx.read_one(sql, &params![user_id]).await?;
    Ok(row.map(|row| row.opt_string("password_hash")).transpose()?.flatten().map(PasswordHash::from_stored))
}

/// Users in the order of their names, after `after`.
pub async fn list(cx: &mut Cx, after: &str, limit: u32) -> Result<Vec<User>, StoreError> {
    let sql = "SELECT user_id, username, spec, created_at, updated_at, disabled_at FROM users
        WHERE username > $1 ORDER BY username LIMIT $2";
    cx.tx.read(sql, &params![after, limit]).await?.iter().map(user).collect()
}

pub(super) async fn insert(cx: &mut Cx, spec: &UserSpec) -> Result<UserId, StoreError> {
    let user_id = UserId::random();
    let sql = "INSERT INTO users (user_id, username, spec, password_hash, created_at, updated_at, disabled_at)
        VALUES ($1, $2, $3, NULL, $4, $4, NULL)";
    cx.tx.execute(sql, &params![&user_id, &spec.username, text(spec)?, cx.now]).await?;
    Ok(user_id)
}

pub(super) async fn update(cx: &mut Cx, user_id: &UserId, spec: &UserSpec) -> Result<(), StoreError> {
    let sql = "UPDATE users SET spec = $2, updated_at = $3 WHERE user_id = $1";
    cx.tx.execute(sql, &params![user_id, text(spec)?, cx.now]).await?;
    Ok(())
}

pub(super) async fn set_password(cx: &mut Cx, user_id: &UserId, hash: &PasswordHash) -> Result<(), StoreError> {
    let sql = "UPDATE users SET password_hash = $2, updated_at = $3 WHERE user_id = $1";
    cx.tx.execute(sql, &params![user_id, hash.as_stored(), cx.now]).await?;
    Ok(())
}

/// Whether this is the password of a user who may log in. From then on to the end of the transaction nobody changes
/// that: who sets a password or disables the user waits, and finds what this transaction has made of it.
pub async fn hold(cx: &mut Cx, user_id: &UserId, hash: &PasswordHash) -> Result<bool, StoreError> {
    let sql = "UPDATE users SET updated_at = updated_at
        WHERE user_id = $1 AND password_hash = $2 AND disabled_at IS NULL";
    Ok(cx.tx.execute(sql, &params![user_id, hash.as_stored()]).await? > 0)
}

/// False if there is no such user, or it is disabled already.
pub(super) async fn disable(cx: &mut Cx, user_id: &UserId) -> Result<bool, StoreError> {
    let sql = "UPDATE users SET disabled_at = $2, updated_at = $2 WHERE user_id = $1 AND disabled_at IS NULL";
    Ok(cx.tx.execute(sql, &params![user_id, cx.now]).await? > 0)
}

pub(super) async fn enable(cx: &mut Cx, user_id: &UserId) -> Result<bool, StoreError> {
    let sql = "UPDATE users SET disabled_at = NULL, updated_at = $2 WHERE user_id = $1 AND disabled_at IS NOT NULL";
    Ok(cx.tx.execute(sql, &params![user_id, cx.now]).await? > 0)
}

pub(super) async fn delete(cx: &mut Cx, user_id: &UserId) -> Result<(), StoreError> {
    cx.tx.execute("DELETE FROM users WHERE user_id = $1", &params![user_id]).await?;
    Ok(())
}

fn user(row: &Row) -> Result<User, StoreError> {
    let spec: UserSpec = serde_json::from_str(row.text("spec")?).map_err(|_| unreadable())?;
    Ok(User {
        user_id: row.string("user_id")?.into(),
        spec: UserSpec { username: row.string("username")?, ..spec },
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        disabled_at: row.opt_time("disabled_at")?,
    })
}

fn text(spec: &UserSpec) -> Result<String, StoreError> {
    serde_json::to_string(spec).map_err(|_| unreadable())
}

fn unreadable() -> StoreError {
    StoreError::Bug("a user's document cannot be read or written".into())
}
