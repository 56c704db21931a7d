use base::Time;
use store::{Db, StoreError, params};

/// Takes the only use of an assertion. In a transaction of its own: whatever becomes of the request, it was used.
pub(super) async fn take_assertion(db: &Db, assertion_hash: &str, expires_at: Time) -> Result<bool, StoreError> {
    let sql = "INSERT INTO client_assertions (assertion_hash, expires_at) VALUES ($1, $2)
        ON CONFLICT (assertion_hash) DO NOTHING";
    let mut tx = db.begin();
    let taken = tx.execute(sql, &params![assertion_hash, expires_at]).await? > 0;
    tx.commit().await?;
    Ok(taken)
}
