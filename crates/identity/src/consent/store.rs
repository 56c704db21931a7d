use base::ids::{ClientId, UserId};
use base::scope::Scopes;
use store::{Row, StoreError, params};

use super::Remembered;
use crate::Cx;

/// The scopes that the user let the client have.
pub async fn remembered(cx: &mut Cx, user_id: &UserId, client_id: &ClientId) -> Result<Scopes, StoreError> {
    let sql = "SELECT scope FROM consents WHERE user_id = $1 AND client_id = $2";
    let rows = cx.tx.read(sql, &params![user_id, client_id]).await?;
    rows.iter().map(|row| row.string("scope")).collect()
}

/// Every scope that the user let some client have, by client.
pub async fn list_of_user(cx: &mut Cx, user_id: &UserId) -> Result<Vec<Remembered>, StoreError> {
    let sql = "SELECT client_id, scope, granted_at FROM consents WHERE user_id = $1 ORDER BY client_id, scope";
    let rows = cx.tx.read(sql, &params![user_id]).await?;
    let remembered = |row: &Row| {
        Ok(Remembered {
            client_id: row.string("client_id")?.into(),
            scope: row.string("scope")?,
            since: row.time("granted_at")?,
        })
    };
    rows.iter().map(remembered).collect()
}

pub(super) async fn insert(cx: &mut Cx, user_id: &UserId, client_id: &ClientId, scope: &str) -> Result<(), StoreError> {
    let sql = "INSERT INTO consents (user_id, client_id, scope, granted_at) VALUES ($1, $2, $3, $4)
        ON CONFLICT (user_id, client_id, scope) DO UPDATE SET granted_at = $4";
    cx.tx.execute(sql, &params![user_id, client_id, scope, cx.now]).await?;
    Ok(())
}

pub(super) async fn delete(cx: &mut Cx, user_id: &UserId, client_id: &ClientId, scope: &str) -> Result<(), StoreError> {
    let sql = "DELETE FROM consents WHERE user_id = $1 AND client_id = $2 AND scope = $3";
    cx.tx.execute(sql, &params![user_id, client_id, scope]).await?;
    Ok(())
}

/// What was deleted.
pub(super) async fn delete_all(cx: &mut Cx, user_id: &UserId, client_id: &ClientId) -> Result<Scopes, StoreError> {
    let sql = "DELETE FROM consents WHERE user_id = $1 AND client_id = $2 RETURNING scope";
    let rows = cx.tx.query(sql, &params![user_id, client_id]).await?;
    rows.iter().map(|row| row.string("scope")).collect()
}
