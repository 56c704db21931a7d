//! Sets of scopes and audiences that tokens name by number. A number is given once and never changes,
//! so both ways are kept in memory.

use std::sync::Arc;

use base::scope::Scopes;
use quick_cache::sync::Cache;
use store::{Db, StoreError, params};

use crate::Identity;
use crate::scopes::Audiences;

const KEPT: usize = 10_000;
/// Somebody else's insert can win this often in a row before something is wrong.
const ATTEMPTS: usize = 50;

pub struct Sets {
    ids: Cache<String, i64>,
    scopes: Cache<i64, Arc<Scopes>>,
    audiences: Cache<i64, Arc<Audiences>>,
}

impl Default for Sets {
    fn default() -> Self {
        Self { ids: Cache::new(KEPT), scopes: Cache::new(KEPT), audiences: Cache::new(KEPT) }
    }
}

/// The number of a set, given now if it has none. Runs in a transaction of its own, so that a number in
/// memory is always a number in the database: call it before the request's first write.
pub async fn id_of(identity: &Identity, text: &str) -> Result<i64, StoreError> {
    if let Some(id) = identity.sets.ids.get(text) {
        return Ok(id);
    }
    let id = find_or_insert(&identity.db, text).await?;
    identity.sets.ids.insert(text.to_owned(), id);
    Ok(id)
}

async fn find_or_insert(db: &Db, text: &str) -> Result<i64, StoreError> {
    let find = "SELECT set_id FROM interned_sets WHERE text = $1";
    // Without a target: two texts that reach for the same number at once are a conflict too, and the loser tries again.
    let insert = "INSERT INTO interned_sets (set_id, text)
        SELECT COALESCE(MAX(set_id), 0) + 1, $1 FROM interned_sets WHERE true
        ON CONFLICT DO NOTHING RETURNING set_id";
    for _ in 0..ATTEMPTS {
        if let Some(row) = db.begin().read_one(find, &params![text]).await? {
            return row.int("set_id");
        }
        let mut tx = db.begin();
        let inserted = tx.one(insert, &params![text]).await?.map(|row| row.int("set_id")).transpose()?;
        tx.commit().await?;
        if let Some(id) = inserted {
            return Ok(id);
        }
    }
    Err(StoreError::Invalid)
}

/// The scopes of a number; None if it was never given.
pub async fn scopes(identity: &Identity, id: i64) -> Result<Option<Arc<Scopes>>, StoreError> {
    if let Some(scopes) = identity.sets.scopes.get(&id) {
        return Ok(Some(scopes));
    }
    let text = text_of(&identity.db, id).await?;
    let scopes = text.and_then(|text| Scopes::parse(&text).ok()).map(Arc::new);
    if let Some(scopes) = &scopes {
        identity.sets.scopes.insert(id, scopes.clone());
    }
    Ok(scopes)
}

/// The audiences of a number; None if it was never given.
pub async fn audiences(identity: &Identity, id: i64) -> Result<Option<Arc<Audiences>>, StoreError> {
    if let Some(audiences) = identity.sets.audiences.get(&id) {
        return Ok(Some(audiences));
    }
    let audiences = text_of(&identity.db, id).await?.map(|text| Arc::new(Audiences::parse(&text)));
    if let Some(audiences) = &audiences {
        identity.sets.audiences.insert(id, audiences.clone());
    }
    Ok(audiences)
}

async fn text_of(db: &Db, id: i64) -> Result<Option<String>, StoreError> {
    let sql = "SELECT text FROM interned_sets WHERE set_id = $1";
    db.begin().read_one(sql, &params![id]).await?.map(|row| row.string("text")).transpose()
}
