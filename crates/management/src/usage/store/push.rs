//! The table `usage_pushes`.

use std::time::Duration;

use base::Time;
use store::{Row, params};

use crate::Cx;
use crate::error::Refused;
use crate::usage::push::{State, TURN};

pub(in crate::usage) struct Turn {
    pub at: i64,
    pub up_to: i64,
    pub failures: i64,
    /// The last event there is.
    pub clock: i64,
}

pub(in crate::usage) async fn introduce_push(cx: &mut Cx, url: &str) -> Result<(), Refused> {
    let known = "SELECT at FROM usage_pushes WHERE url = $1";
    if cx.tx.read_one(known, &params![url]).await?.is_none() {
        let sql = "INSERT INTO usage_pushes (url, at, up_to, failures, next_at) VALUES ($1, 0, 0, 0, 0)
            ON CONFLICT (url) DO NOTHING";
        cx.tx.execute(sql, &params![url]).await?;
    }
    Ok(())
}

/// Takes the turn if it is time and there is something to send. One statement: two processes do not both send.
pub(in crate::usage) async fn claim_push(cx: &mut Cx, url: &str) -> Result<Option<Turn>, Refused> {
    let due = "SELECT c.at AS clock FROM usage_pushes p JOIN usage_clock c ON c.id = 1
        WHERE p.url = $1 AND p.ended_at IS NULL AND p.next_at <= $2 AND c.at > p.at";
    let Some(clock) = cx.tx.read_one(due, &params![url, cx.now]).await? else { return Ok(None) };
    let clock = clock.int("clock")?;
    let sql = "UPDATE usage_pushes SET next_at = $3 WHERE url = $1 AND ended_at IS NULL AND next_at <= $2
        RETURNING at, up_to, failures";
    let row = cx.tx.one(sql, &params![url, cx.now, cx.now.plus(TURN)]).await?;
    let turn = |row: store::Row| {
        Ok(Turn { at: row.int("at")?, up_to: row.int("up_to")?, failures: row.int("failures")?, clock })
    };
    row.map(turn).transpose()
}

pub(in crate::usage) async fn begin_push(cx: &mut Cx, url: &str, up_to: i64) -> Result<(), Refused> {
    cx.tx.execute("UPDATE usage_pushes SET up_to = $2 WHERE url = $1", &params![url, up_to]).await?;
    Ok(())
}

/// Nothing was there: the events up to that place are no longer kept.
pub(in crate::usage) async fn pass_push(cx: &mut Cx, url: &str, to: i64) -> Result<(), Refused> {
    let sql = "UPDATE usage_pushes SET at = $3, next_at = $2 WHERE url = $1";
    cx.tx.execute(sql, &params![url, cx.now, to]).await?;
    Ok(())
}

/// The receiver has it. Only from where it began: a turn that took too long moves nothing.
pub(in crate::usage) async fn end_push(cx: &mut Cx, url: &str, from: i64, to: i64) -> Result<(), Refused> {
    let sql = "UPDATE usage_pushes SET at = $3, failures = 0, next_at = $4, taken_at = $4 WHERE url = $1 AND at = $2";
    cx.tx.execute(sql, &params![url, from, to, cx.now]).await?;
    Ok(())
}

pub(in crate::usage) async fn fail_push(cx: &mut Cx, url: &str, pause: Duration, why: &str) -> Result<(), Refused> {
    let sql = "UPDATE usage_pushes SET failures = failures + 1, next_at = $2, error = $3, failed_at = $4
        WHERE url = $1";
    cx.tx.execute(sql, &params![url, cx.now.plus(pause), why, cx.now]).await?;
    Ok(())
}

pub(in crate::usage) async fn stop_push(cx: &mut Cx, url: &str) -> Result<(), Refused> {
    let sql = "UPDATE usage_pushes SET ended_at = $2, failed_at = $2, error = 'the receiver wants no more (410)'
        WHERE url = $1";
    cx.tx.execute(sql, &params![url, cx.now]).await?;
    Ok(())
}

/// Goes on at once, also after its end, from behind `after` or from where it stands.
pub(in crate::usage) async fn restart_push(cx: &mut Cx, url: &str, after: Option<i64>) -> Result<bool, Refused> {
    let sql = "UPDATE usage_pushes SET at = COALESCE(CAST($2 AS BIGINT), at),
            up_to = CASE WHEN CAST($2 AS BIGINT) IS NULL THEN up_to ELSE 0 END,
            failures = 0, next_at = $3, ended_at = NULL
        WHERE url = $1";
    Ok(cx.tx.execute(sql, &params![url, after, cx.now]).await? > 0)
}

/// The place before the first call that the ledger took at this time or later.
pub(in crate::usage) async fn place_before(cx: &mut Cx, since: Time) -> Result<i64, Refused> {
    let sql = "SELECT COALESCE(MIN(seq) - 1, (SELECT at FROM usage_clock WHERE id = 1)) AS place
        FROM usage_events WHERE received_at >= $1";
    Ok(cx.tx.read_one(sql, &params![since]).await?.map_or(Ok(0), |row| row.int("place"))?)
}

/// With how many calls wait; `most`: as far as is counted.
pub(in crate::usage) async fn pushes(cx: &mut Cx, most: i64) -> Result<Vec<State>, Refused> {
    let sql = "SELECT url, at, failures, next_at, error, ended_at, taken_at, failed_at,
            (SELECT COUNT(*) FROM (SELECT 1 AS one FROM usage_events e WHERE e.seq > p.at LIMIT $1) AS w) AS waiting
        FROM usage_pushes p ORDER BY url";
    cx.tx.read(sql, &params![most]).await?.iter().map(state).collect()
}

fn state(row: &Row) -> Result<State, Refused> {
    Ok(State {
        url: row.string("url")?,
        at: row.int("at")?,
        waiting: row.int("waiting")?,
        failures: row.int("failures")?,
        next_at: row.time("next_at")?,
        taken_at: row.opt_time("taken_at")?,
        failed_at: row.opt_time("failed_at")?,
        error: row.opt_string("error")?,
        ended_at: row.opt_time("ended_at")?,
    })
}
