//! Work that must follow a change: the outbox.
//!
//! [`enqueue`] writes a job in the transaction of the change that needs it, so there is never one without the
//! other. A [`Runner`] in any process takes due jobs by one guarded UPDATE that gives it a lease. A job whose
//! process died is due again when the lease ends, so handlers are run at least once and must bear that.
//! What fails is tried again later and later, and in the end put aside for an operator ([`dead`], [`retry`]).

mod runner;

use base::Time;

use crate::{Migration, Row, StoreError, Tx, params};

pub use runner::{Failure, Handlers, Policy, Runner};

pub(crate) const MIGRATION: Migration = Migration {
    version: 1,
    name: "jobs",
    // `run_at` of a leased job is the end of its lease.
    sql: "
        CREATE TABLE store_jobs (
            kind TEXT NOT NULL,
            key TEXT NOT NULL,
            payload TEXT NOT NULL,
            state TEXT NOT NULL,
            run_at BIGINT NOT NULL,
            attempts BIGINT NOT NULL,
            lease TEXT,
            error TEXT,
            PRIMARY KEY (kind, key)
        );
        CREATE INDEX store_jobs_due ON store_jobs (kind, state, run_at);
    ",
};

const TOPIC: &str = "store_jobs";

/// One job, as its handler gets it.
#[derive(Debug, Clone)]
pub struct Job {
    pub kind: &'static str,
    pub key: String,
    /// JSON, as it was enqueued.
    pub payload: String,
    /// 1 at the first run.
    pub attempt: i64,
    lease: String,
}

/// A job that was given up.
#[derive(Debug, Clone)]
pub struct DeadJob {
    pub kind: String,
    pub key: String,
    pub attempts: i64,
    /// What the handler said last.
    pub error: String,
}

/// Adds a job to what `tx` commits, unless one of this kind and key is there already (waiting, running or dead).
pub async fn enqueue(
    tx: &mut Tx,
    kind: &'static str,
    key: &str,
    payload: &str,
    run_at: Time,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO store_jobs (kind, key, payload, state, run_at, attempts)
         VALUES ($1, $2, $3, 'waiting', $4, 0) ON CONFLICT (kind, key) DO NOTHING";
    tx.execute(sql, &params![kind, key, payload, run_at]).await?;
    tx.notify(TOPIC);
    Ok(())
}

/// The jobs that were given up.
pub async fn dead(tx: &mut Tx) -> Result<Vec<DeadJob>, StoreError> {
    let sql = "SELECT kind, key, attempts, error FROM store_jobs WHERE state = 'dead' ORDER BY kind, key";
    let job = |row: &Row| {
        let error = row.opt_string("error")?.unwrap_or_default();
        Ok(DeadJob { kind: row.string("kind")?, key: row.string("key")?, attempts: row.int("attempts")?, error })
    };
    tx.read(sql, &[]).await?.iter().map(job).collect()
}

/// Gives a dead job a new life; false if there is no such dead job.
pub async fn retry(tx: &mut Tx, kind: &str, key: &str, run_at: Time) -> Result<bool, StoreError> {
    let sql = "UPDATE store_jobs SET state = 'waiting', run_at = $1, attempts = 0
         WHERE kind = $2 AND key = $3 AND state = 'dead'";
    tx.notify(TOPIC);
    Ok(tx.execute(sql, &params![run_at, kind, key]).await? == 1)
}

/// Drops a dead job; false if there is no such dead job.
pub async fn forget(tx: &mut Tx, kind: &str, key: &str) -> Result<bool, StoreError> {
    let sql = "DELETE FROM store_jobs WHERE kind = $1 AND key = $2 AND state = 'dead'";
    Ok(tx.execute(sql, &params![kind, key]).await? == 1)
}

/// When the next job of this kind is due.
async fn next_due(tx: &mut Tx, kind: &'static str) -> Result<Option<Time>, StoreError> {
    let sql = "SELECT min(run_at) AS run_at FROM store_jobs WHERE kind = $1 AND state = 'waiting'";
    let row = tx.read_one(sql, &params![kind]).await?;
    row.map_or(Ok(None), |row| row.opt_time("run_at"))
}

/// Takes due jobs: two runners that ask at the same moment get different ones.
async fn claim(tx: &mut Tx, kind: &'static str, now: Time, until: Time, at_most: i64) -> Result<Vec<Job>, StoreError> {
    let lease = base::random::text::<16>();
    // The conditions stand twice: PostgreSQL looks at the outer ones again after waiting for another claim.
    let sql = "UPDATE store_jobs SET run_at = $1, lease = $2, attempts = attempts + 1
         WHERE kind = $3 AND state = 'waiting' AND run_at <= $4 AND key IN (
             SELECT key FROM store_jobs WHERE kind = $3 AND state = 'waiting' AND run_at <= $4
             ORDER BY run_at LIMIT $5)
         RETURNING key, payload, attempts";
    let rows = tx.query(sql, &params![until, lease.as_str(), kind, now, at_most]).await?;
    let job = |row: &Row| {
        let (key, payload) = (row.string("key")?, row.string("payload")?);
        Ok(Job { kind, key, payload, attempt: row.int("attempts")?, lease: lease.clone() })
    };
    rows.iter().map(job).collect()
}

/// The job is done; false if the lease was lost meanwhile.
async fn finish(tx: &mut Tx, job: &Job) -> Result<bool, StoreError> {
    let sql = "DELETE FROM store_jobs WHERE kind = $1 AND key = $2 AND lease = $3";
    Ok(tx.execute(sql, &params![job.kind, &job.key, &job.lease]).await? == 1)
}

/// The job failed: it is due again at `again`, or never.
async fn put_back(tx: &mut Tx, job: &Job, again: Option<Time>, error: &str) -> Result<bool, StoreError> {
    let state = if again.is_some() { "waiting" } else { "dead" };
    let sql = "UPDATE store_jobs SET state = $1, run_at = COALESCE($2, run_at), error = $3, lease = NULL
         WHERE kind = $4 AND key = $5 AND lease = $6";
    Ok(tx.execute(sql, &params![state, again, error, job.kind, &job.key, &job.lease]).await? == 1)
}
