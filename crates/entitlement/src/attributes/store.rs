use policy::{EntityRef, EntitySpec};
use store::{Row, StoreError, Tx, params};

use crate::Cx;

const PAGE: i64 = 1_000;

pub async fn all(tx: &mut Tx) -> Result<Vec<EntitySpec>, StoreError> {
    let sql = "SELECT document FROM entities ORDER BY entity_type, entity_id";
    tx.read(sql, &params![]).await?.iter().map(spec).collect()
}

pub(super) async fn count(cx: &mut Cx) -> Result<usize, StoreError> {
    let row = cx.tx.read_one("SELECT count(*) AS n FROM entities", &params![]).await?;
    let count = row.map_or(Ok(0), |row| row.int("n"))?;
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}

pub(super) async fn find(cx: &mut Cx, entity: &EntityRef) -> Result<Option<EntitySpec>, StoreError> {
    let sql = "SELECT document FROM entities WHERE entity_type = $1 AND entity_id = $2";
    cx.tx.read_one(sql, &params![&entity.kind, &entity.id]).await?.as_ref().map(spec).transpose()
}

pub(super) async fn page(cx: &mut Cx, after: Option<&EntityRef>) -> Result<Vec<EntitySpec>, StoreError> {
    let sql = "SELECT document FROM entities
        WHERE entity_type > $1 OR (entity_type = $1 AND entity_id > $2)
        ORDER BY entity_type, entity_id LIMIT $3";
    let (kind, id) = after.map_or(("", ""), |entity| (entity.kind.as_str(), entity.id.as_str()));
    cx.tx.read(sql, &params![kind, id, PAGE]).await?.iter().map(spec).collect()
}

pub(super) async fn put(cx: &mut Cx, spec: &EntitySpec, revision: i64) -> Result<(), StoreError> {
    let sql = "INSERT INTO entities (entity_type, entity_id, document, author, updated_at)
        VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (entity_type, entity_id) DO UPDATE SET document = $3, author = $4, updated_at = $5";
    let document = serde_json::to_string(spec).map_err(|_| StoreError::Invalid)?;
    cx.tx.execute(sql, &params![&spec.kind, &spec.id, document, &cx.actor, cx.now]).await?;
    changed(cx, "put", &spec.kind, &spec.id, revision).await
}

pub(super) async fn delete(cx: &mut Cx, entity: &EntityRef, revision: i64) -> Result<bool, StoreError> {
    let sql = "DELETE FROM entities WHERE entity_type = $1 AND entity_id = $2";
    let gone = cx.tx.execute(sql, &params![&entity.kind, &entity.id]).await? > 0;
    if gone {
        changed(cx, "delete", &entity.kind, &entity.id, revision).await?;
    }
    Ok(gone)
}

async fn changed(cx: &mut Cx, act: &str, kind: &str, id: &str, revision: i64) -> Result<(), StoreError> {
    let sql = "INSERT INTO entity_changes
            (change_id, revision, act, entity_type, entity_id, author, request_id, changed_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let change_id = base::ids::RequestId::random();
    let values = params![change_id, revision, act, kind, id, &cx.actor, &cx.request_id, cx.now];
    cx.tx.execute(sql, &values).await?;
    Ok(())
}

fn spec(row: &Row) -> Result<EntitySpec, StoreError> {
    serde_json::from_str(row.text("document")?).map_err(|_| StoreError::Invalid)
}
