//! Rows whose time is over leave in small batches, so that nobody waits behind them.

use std::time::Duration;

use base::Time;
use store::{StoreError, params};

use crate::SharedIdentity;

const BATCH: i64 = 500;
/// Of one table in one sweep; the rest waits for the next minute.
const BATCHES: usize = 20;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// (statement, how long after its moment a row goes). `$1` is the moment, `$2` the size of a batch.
const SWEEPS: &[(&str, Duration)] = &[
    // A used code is kept for a day, so that a late replay still revokes its grant.
    (
        "DELETE FROM authorization_codes WHERE code_hash IN
            (SELECT code_hash FROM authorization_codes WHERE expires_at < $1 LIMIT $2)",
        DAY,
    ),
    (
        "DELETE FROM revoked_tokens WHERE jti IN (SELECT jti FROM revoked_tokens WHERE expires_at < $1 LIMIT $2)",
        Duration::from_secs(300),
    ),
    (
        "DELETE FROM client_assertions WHERE assertion_hash IN
            (SELECT assertion_hash FROM client_assertions WHERE expires_at < $1 LIMIT $2)",
        Duration::from_secs(60),
    ),
    // Answers hold secrets, sealed; that a key was used is known for longer.
    (
        "DELETE FROM registration_answers WHERE key_hash IN
            (SELECT key_hash FROM registration_answers WHERE expires_at < $1 LIMIT $2)",
        Duration::ZERO,
    ),
    (
        "DELETE FROM registration_keys WHERE key_hash IN
            (SELECT key_hash FROM registration_keys WHERE created_at < $1 LIMIT $2)",
        Duration::from_secs(30 * 24 * 3600),
    ),
    ("DELETE FROM grants WHERE grant_id IN (SELECT grant_id FROM grants WHERE expires_at < $1 LIMIT $2)", DAY),
    (
        "DELETE FROM login_budgets WHERE budget_key IN
            (SELECT budget_key FROM login_budgets WHERE expires_at < $1 LIMIT $2)",
        Duration::ZERO,
    ),
    (
        "DELETE FROM known_devices WHERE device_hash IN
            (SELECT device_hash FROM known_devices WHERE expires_at < $1 LIMIT $2) AND expires_at < $1",
        Duration::ZERO,
    ),
    ("DELETE FROM sessions WHERE session_id IN (SELECT session_id FROM sessions WHERE expires_at < $1 LIMIT $2)", DAY),
    // A receiver that has not asked for a day has lost its place, and is told so when it comes back …
    (
        "DELETE FROM event_streams WHERE client_id || ' ' || stream IN
            (SELECT client_id || ' ' || stream FROM event_streams WHERE seen_at < $1 LIMIT $2)",
        DAY,
    ),
    // … and so has one that asks but never acknowledges, before what it has not taken goes …
    (
        "DELETE FROM event_streams WHERE CAST($2 AS BIGINT) > 0
            AND acked_seq < (SELECT COALESCE(MAX(seq), 0) FROM events WHERE occurred_at < $1)",
        Duration::from_secs(48 * 3600),
    ),
    // … so that events are kept a day longer than that.
    (
        "DELETE FROM events WHERE seq IN (SELECT seq FROM events WHERE occurred_at < $1 LIMIT $2)",
        Duration::from_secs(48 * 3600),
    ),
];

/// Removes what has expired; returns how many rows went.
pub async fn sweep(identity: &SharedIdentity) -> Result<u64, StoreError> {
    let now = identity.clock.now();
    let mut gone = 0;
    for (sql, after) in SWEEPS {
        gone += sweep_table(identity, sql, now.minus(*after)).await?;
    }
    if gone > 0 {
        tracing::debug!(rows = gone, "expired rows removed");
    }
    Ok(gone)
}

async fn sweep_table(identity: &SharedIdentity, sql: &'static str, before: Time) -> Result<u64, StoreError> {
    let mut gone = 0;
    for _ in 0..BATCHES {
        let mut tx = identity.db.begin();
        let count = tx.execute(sql, &params![before, BATCH]).await?;
        tx.commit().await?;
        gone += count;
        if count < u64::try_from(BATCH).unwrap_or(u64::MAX) {
            break;
        }
    }
    Ok(gone)
}
