use base::Time;
use base::ids::TokenId;
use serde::Serialize;
use serde_json::Value;
use store::{Row, StoreError, params};

use crate::Cx;

/// A record as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    pub writer: String,
    pub seq: i64,
    pub occurred_at: Time,
    pub act: String,
    pub outcome: String,
    pub actor: String,
    pub subject: Option<String>,
    pub client_id: Option<String>,
    pub object: Option<String>,
    pub request_id: String,
    /// JSON text, exactly as hashed.
    pub detail: String,
    pub previous: String,
    pub hash: String,
}

impl Entry {
    pub fn detail(&self) -> Value {
        serde_json::from_str(&self.detail).unwrap_or(Value::Null)
    }
}

/// Takes the next number of a chain, which locks its head until the transaction ends, and the hash so far.
pub(super) async fn take_seq(cx: &mut Cx, writer: &str) -> Result<(i64, String), StoreError> {
    let sql = "INSERT INTO audit_heads (writer, seq, hash) VALUES ($1, 1, '')
        ON CONFLICT (writer) DO UPDATE SET seq = audit_heads.seq + 1 RETURNING seq, hash";
    let rows = cx.tx.query(sql, &params![writer]).await?;
    rows.first().map_or(Ok((1, String::new())), |row| Ok((row.int("seq")?, row.string("hash")?)))
}

pub(super) async fn append(cx: &mut Cx, entry: &Entry) -> Result<(), StoreError> {
    let sql = "INSERT INTO audit_records
        (writer, seq, occurred_at, act, outcome, actor, subject, client_id, object, request_id, detail, previous, hash)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    let values = params![
        &entry.writer,
        entry.seq,
        entry.occurred_at,
        &entry.act,
        &entry.outcome,
        &entry.actor,
        entry.subject.as_deref(),
        entry.client_id.as_deref(),
        entry.object.as_deref(),
        &entry.request_id,
        &entry.detail,
        &entry.previous,
        &entry.hash,
    ];
    cx.tx.execute(sql, &values).await?;
    let head = "UPDATE audit_heads SET hash = $2 WHERE writer = $1";
    cx.tx.execute(head, &params![&entry.writer, &entry.hash]).await?;
    Ok(())
}

/// Which records to list; newest first. Absent means any.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub from: Option<Time>,
    pub until: Option<Time>,
    /// As it stands in the record: `user:…`, `client:…`, `admin:…`, `system`, `nobody`.
    pub actor: Option<String>,
    pub subject: Option<String>,
    pub client_id: Option<String>,
    pub object: Option<String>,
    pub act: Option<String>,
}

/// A page of records, and where the next one starts.
#[derive(Debug, Clone, Default)]
pub struct Page {
    pub entries: Vec<Entry>,
    pub next: Option<String>,
}

/// Lists records, newest first, at most `limit` (1..=1000); `cursor` is `next` of the page before.
pub async fn list(cx: &mut Cx, filter: &Filter, cursor: Option<&str>, limit: u32) -> Result<Page, StoreError> {
    let sql = "SELECT writer, seq, occurred_at, act, outcome, actor, subject, client_id, object, request_id, detail,
            previous, hash
        FROM audit_records
        WHERE occurred_at >= $1 AND occurred_at < $2
          AND (CAST($3 AS TEXT) IS NULL OR actor = $3)
          AND (CAST($4 AS TEXT) IS NULL OR subject = $4)
          AND (CAST($5 AS TEXT) IS NULL OR client_id = $5)
          AND (CAST($6 AS TEXT) IS NULL OR object = $6)
          AND (CAST($7 AS TEXT) IS NULL OR act = $7)
          AND (occurred_at < $8 OR (occurred_at = $8 AND (writer < $9 OR (writer = $9 AND seq < $10))))
        ORDER BY occurred_at DESC, writer DESC, seq DESC
        LIMIT $11";
    let limit = limit.clamp(1, 1000);
    let (at, writer, seq) = cursor.and_then(read_cursor).unwrap_or((i64::MAX, String::new(), 0));
    let values = params![
        filter.from.unwrap_or(Time::from_ms(i64::MIN)),
        filter.until.unwrap_or(Time::from_ms(i64::MAX)),
        filter.actor.as_deref(),
        filter.subject.as_deref(),
        filter.client_id.as_deref(),
        filter.object.as_deref(),
        filter.act.as_deref(),
        at,
        writer,
        seq,
        limit,
    ];
    let entries = cx.tx.read(sql, &values).await?.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
    let full = u32::try_from(entries.len()).unwrap_or(u32::MAX) == limit;
    let next = entries.last().filter(|_| full).map(|e| format!("{}.{}.{}", e.occurred_at.ms(), e.seq, e.writer));
    Ok(Page { entries, next })
}

fn read_cursor(text: &str) -> Option<(i64, String, i64)> {
    let mut parts = text.splitn(3, '.');
    let at = parts.next()?.parse().ok()?;
    let seq = parts.next()?.parse().ok()?;
    Some((at, parts.next()?.to_owned(), seq))
}

pub(super) async fn heads(cx: &mut Cx) -> Result<Vec<(String, i64, String)>, StoreError> {
    let rows = cx.tx.read("SELECT writer, seq, hash FROM audit_heads ORDER BY writer", &params![]).await?;
    rows.iter().map(|row| Ok((row.string("writer")?, row.int("seq")?, row.string("hash")?))).collect()
}

pub(super) async fn writers(cx: &mut Cx) -> Result<Vec<String>, StoreError> {
    let rows = cx.tx.read("SELECT DISTINCT writer FROM audit_records", &params![]).await?;
    rows.iter().map(|row| row.string("writer")).collect()
}

pub(super) async fn chain_page(cx: &mut Cx, writer: &str, after: i64, limit: i64) -> Result<Vec<Entry>, StoreError> {
    let sql = "SELECT writer, seq, occurred_at, act, outcome, actor, subject, client_id, object, request_id, detail,
            previous, hash
        FROM audit_records WHERE writer = $1 AND seq > $2 ORDER BY seq LIMIT $3";
    cx.tx.read(sql, &params![writer, after, limit]).await?.iter().map(entry).collect()
}

fn entry(row: &Row) -> Result<Entry, StoreError> {
    Ok(Entry {
        writer: row.string("writer")?,
        seq: row.int("seq")?,
        occurred_at: row.time("occurred_at")?,
        act: row.string("act")?,
        outcome: row.string("outcome")?,
        actor: row.string("actor")?,
        subject: row.opt_string("subject")?,
        client_id: row.opt_string("client_id")?,
        object: row.opt_string("object")?,
        request_id: row.string("request_id")?,
        detail: row.string("detail")?,
        previous: row.string("previous")?,
        hash: row.string("hash")?,
    })
}

pub(super) async fn hash_at(cx: &mut Cx, writer: &str, seq: i64) -> Result<Option<String>, StoreError> {
    let sql = "SELECT hash FROM audit_records WHERE writer = $1 AND seq = $2";
    cx.tx.read_one(sql, &params![writer, seq]).await?.map(|row| row.string("hash")).transpose()
}

pub(super) struct Checkpoint {
    pub checkpoint_id: String,
    pub token: String,
    pub mac: String,
}

pub(super) async fn has_checkpoint_since(cx: &mut Cx, since: Time) -> Result<bool, StoreError> {
    let sql = "SELECT checkpoint_id FROM audit_checkpoints WHERE occurred_at > $1 LIMIT 1";
    Ok(cx.tx.read_one(sql, &params![since]).await?.is_some())
}

/// False if another node has written one since.
pub(super) async fn insert_checkpoint(cx: &mut Cx, token: &str, mac: &str, since: Time) -> Result<bool, StoreError> {
    let sql = "INSERT INTO audit_checkpoints (checkpoint_id, occurred_at, token, mac)
        SELECT $1, $2, $3, $4 WHERE NOT EXISTS (SELECT 1 FROM audit_checkpoints WHERE occurred_at > $5)";
    Ok(cx.tx.execute(sql, &params![TokenId::random(), cx.now, token, mac, since]).await? > 0)
}

pub(super) async fn checkpoints(cx: &mut Cx, after: &str) -> Result<Vec<Checkpoint>, StoreError> {
    let sql = "SELECT checkpoint_id, token, mac FROM audit_checkpoints WHERE checkpoint_id > $1
        ORDER BY checkpoint_id LIMIT 100";
    let checkpoint = |row: &Row| {
        Ok(Checkpoint {
            checkpoint_id: row.string("checkpoint_id")?,
            token: row.string("token")?,
            mac: row.string("mac")?,
        })
    };
    cx.tx.read(sql, &params![after]).await?.iter().map(checkpoint).collect()
}
