use std::time::Duration;

use base::Time;
use base::event::Revoked;
use base::ids::ClientId;
use store::{StoreError, params};

use crate::Cx;

pub(super) async fn append(cx: &mut Cx, revoked: &Revoked, reason: &'static str) -> Result<(), StoreError> {
    // The lock on this row is what gives numbers in commit order.
    let take = "UPDATE event_heads SET seq = seq + 1 WHERE log = 'security' RETURNING seq";
    let rows = cx.tx.query(take, &params![]).await?;
    let seq = rows.first().map_or(Ok(0), |row| row.int("seq"))?;
    let subject = serde_json::to_string(revoked).unwrap_or_default();
    let sql = "INSERT INTO events (seq, subject, reason, occurred_at) VALUES ($1, $2, $3, $4)";
    cx.tx.execute(sql, &params![seq, subject, reason, cx.now]).await?;
    Ok(())
}

/// An event as it stands in the log.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub seq: i64,
    pub subject: Revoked,
    pub reason: String,
    pub occurred_at: Time,
}

/// The events after a number, in order. An entry that this version does not know is left out.
pub(super) async fn after(cx: &mut Cx, seq: i64, most: usize) -> Result<Vec<Event>, StoreError> {
    let sql = "SELECT seq, subject, reason, occurred_at FROM events WHERE seq > $1 ORDER BY seq LIMIT $2";
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let rows = cx.tx.read(sql, &params![seq, most]).await?;
    let mut events = Vec::with_capacity(rows.len());
    for row in &rows {
        if let Ok(subject) = serde_json::from_str(row.text("subject")?) {
            let (seq, reason, occurred_at) = (row.int("seq")?, row.string("reason")?, row.time("occurred_at")?);
            events.push(Event { seq, subject, reason, occurred_at });
        }
    }
    Ok(events)
}

/// Where a receiver's stream stands.
pub(super) struct Stream {
    pub acked_seq: i64,
    pub seen_at: Time,
}

/// `seen_at` is written no more often than this, so that idle polls write nothing.
pub(super) const TOUCH_EVERY: Duration = Duration::from_secs(3600);

pub(super) async fn stream(cx: &mut Cx, client_id: &ClientId, stream: &str) -> Result<Option<Stream>, StoreError> {
    let sql = "SELECT acked_seq, seen_at FROM event_streams WHERE client_id = $1 AND stream = $2";
    let row = cx.tx.read_one(sql, &params![client_id.as_str(), stream]).await?;
    row.map(|row| Ok(Stream { acked_seq: row.int("acked_seq")?, seen_at: row.time("seen_at")? })).transpose()
}

/// Begins a stream at the head of the log; if another poll has just begun it, takes its place.
pub(super) async fn open_stream(cx: &mut Cx, client_id: &ClientId, stream: &str) -> Result<i64, StoreError> {
    let sql = "INSERT INTO event_streams (client_id, stream, acked_seq, seen_at)
        SELECT $1, $2, seq, $3 FROM event_heads WHERE log = 'security'
        ON CONFLICT (client_id, stream) DO UPDATE SET seen_at = excluded.seen_at RETURNING acked_seq";
    let rows = cx.tx.query(sql, &params![client_id.as_str(), stream, cx.now]).await?;
    rows.first().map_or(Ok(0), |row| row.int("acked_seq"))
}

/// Moves the stream forward, never beyond the head of the log and never back.
pub(super) async fn acknowledge(
    cx: &mut Cx,
    client_id: &ClientId,
    stream: &str,
    seq: i64,
) -> Result<Option<i64>, StoreError> {
    let sql = "UPDATE event_streams SET acked_seq = $3, seen_at = $4
        WHERE client_id = $1 AND stream = $2 AND acked_seq < $3
        AND EXISTS (SELECT 1 FROM event_heads WHERE log = 'security' AND seq >= $3) RETURNING acked_seq";
    let rows = cx.tx.query(sql, &params![client_id.as_str(), stream, seq, cx.now]).await?;
    rows.first().map(|row| row.int("acked_seq")).transpose()
}

pub(super) async fn touch(cx: &mut Cx, client_id: &ClientId, stream: &str) -> Result<(), StoreError> {
    let sql = "UPDATE event_streams SET seen_at = $3 WHERE client_id = $1 AND stream = $2";
    cx.tx.execute(sql, &params![client_id.as_str(), stream, cx.now]).await?;
    Ok(())
}
