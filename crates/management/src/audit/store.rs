//! The table `audit`.

use base::Time;
use serde_json::Value;
use store::{Row, StoreError, params};

use super::Record;
use crate::Cx;

#[derive(Debug, Clone)]
pub struct Entry {
    pub id: String,
    pub at: Time,
    pub actor: String,
    pub act: String,
    pub object: String,
    pub organisation: Option<String>,
    pub request_id: String,
    pub detail: Value,
}

/// What is looked for; what is `None` does not matter.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub object: Option<String>,
    pub organisation: Option<String>,
    /// Older than this entry: where the page before ended.
    pub before: Option<(Time, String)>,
}

pub(super) async fn append(cx: &mut Cx, record: Record<'_>) -> Result<(), StoreError> {
    let sql = "INSERT INTO audit (entry, at, actor, act, object, organisation, request_id, detail)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let entry = base::ids::RequestId::random();
    let (actor, detail) = (cx.actor.to_string(), record.detail.to_string());
    let values = params![
        entry.as_str(),
        cx.now,
        actor,
        record.act,
        record.object,
        record.organisation,
        cx.request_id.as_str(),
        detail
    ];
    cx.tx.execute(sql, &values).await?;
    Ok(())
}

/// The newest first.
pub async fn list(cx: &mut Cx, filter: &Filter, limit: i64) -> Result<Vec<Entry>, StoreError> {
    let sql = "SELECT entry, at, actor, act, object, organisation, request_id, detail FROM audit
        WHERE (CAST($1 AS TEXT) IS NULL OR object = $1) AND (CAST($2 AS TEXT) IS NULL OR organisation = $2)
        AND (CAST($3 AS BIGINT) IS NULL OR at < $3 OR (at = $3 AND entry < $4))
        ORDER BY at DESC, entry DESC LIMIT $5";
    let (at, id) = match &filter.before {
        Some((at, id)) => (Some(at.ms()), Some(id.as_str())),
        None => (None, None),
    };
    let values = params![filter.object.as_deref(), filter.organisation.as_deref(), at, id, limit];
    cx.tx.read(sql, &values).await?.iter().map(entry).collect()
}

fn entry(row: &Row) -> Result<Entry, StoreError> {
    Ok(Entry {
        id: row.string("entry")?,
        at: row.time("at")?,
        actor: row.string("actor")?,
        act: row.string("act")?,
        object: row.string("object")?,
        organisation: row.opt_string("organisation")?,
        request_id: row.string("request_id")?,
        detail: serde_json::from_str(row.text("detail")?).unwrap_or_default(),
    })
}
