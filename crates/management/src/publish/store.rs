//! The table `publication`: one row.

use base::Time;
use store::{StoreError, params};

use crate::Cx;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publication {
    pub version: u64,
    pub changed_at: Option<Time>,
}

/// The next number; who has it keeps others waiting until the commit, so numbers are given in its order.
pub(super) async fn next(cx: &mut Cx) -> Result<u64, StoreError> {
    let sql = "INSERT INTO publication (id, version, changed_at) VALUES (1, 1, $1)
        ON CONFLICT (id) DO UPDATE SET version = publication.version + 1, changed_at = excluded.changed_at
        RETURNING version";
    let row = cx.tx.one(sql, &params![cx.now]).await?;
    row.map_or(Ok(0), |row| row.int("version").map(number))
}

/// 0: nothing was ever published.
pub async fn publication(cx: &mut Cx) -> Result<Publication, StoreError> {
    let sql = "SELECT version, changed_at FROM publication WHERE id = 1";
    match cx.tx.read_one(sql, &[]).await? {
        None => Ok(Publication { version: 0, changed_at: None }),
        Some(row) => {
            Ok(Publication { version: number(row.int("version")?), changed_at: Some(row.time("changed_at")?) })
        }
    }
}

/// Keeps all others who publish waiting until the end of the transaction, and changes nothing.
pub(super) async fn hold(cx: &mut Cx) -> Result<(), StoreError> {
    cx.tx.execute("UPDATE publication SET version = version WHERE id = 1", &[]).await?;
    Ok(())
}

fn number(version: i64) -> u64 {
    u64::try_from(version).unwrap_or(0)
}
