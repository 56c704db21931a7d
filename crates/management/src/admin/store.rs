//! The table `idempotency`, and who a token's subject is.

use store::{StoreError, params};

use super::idempotency::{Claim, KEPT, LEASE};
use crate::cx::Cx;

/// What became of an attempt to use a key.
pub(super) enum Claimed {
    /// The number of the attempt.
    Yours(i64),
    InFlight,
    Differs,
    /// It was done; its sealed answer, if that was kept.
    Kept(Option<String>),
}

/// One statement says who does it. What is over, or was left behind, can be claimed again.
pub(super) async fn claim(cx: &mut Cx, caller: &str, key: &str, request: &str) -> Result<Claimed, StoreError> {
    let sql = "INSERT INTO idempotency (caller, key, request, attempt, started_at) VALUES ($1, $2, $3, 1, $4)
        ON CONFLICT (caller, key) DO UPDATE SET request = excluded.request, attempt = idempotency.attempt + 1,
        started_at = excluded.started_at, done_at = NULL, answer = NULL
        WHERE idempotency.started_at < $5
        OR (idempotency.done_at IS NULL AND idempotency.started_at < $6 AND idempotency.request = excluded.request)
        RETURNING attempt";
    let values = params![caller, key, request, cx.now, cx.now.minus(KEPT), cx.now.minus(LEASE)];
    if let Some(row) = cx.tx.one(sql, &values).await? {
        return Ok(Claimed::Yours(row.int("attempt")?));
    }
    let sql = "SELECT request, done_at, answer FROM idempotency WHERE caller = $1 AND key = $2";
    let Some(row) = cx.tx.read_one(sql, &params![caller, key]).await? else { return Ok(Claimed::InFlight) };
    Ok(match (row.text("request")? == request, row.opt_int("done_at")?) {
        (false, _) => Claimed::Differs,
        (true, None) => Claimed::InFlight,
        (true, Some(_)) => Claimed::Kept(row.opt_string("answer")?),
    })
}

/// Marks a claim as done; false if it is not the caller's any more.
pub(super) async fn effect(cx: &mut Cx, claim: &Claim) -> Result<bool, StoreError> {
    let sql = "UPDATE idempotency SET done_at = $4
        WHERE caller = $1 AND key = $2 AND attempt = $3 AND done_at IS NULL";
    let values = params![&claim.caller, &claim.key, claim.attempt, cx.now];
    Ok(cx.tx.execute(sql, &values).await? == 1)
}

/// Frees a claim that had no effect; false if it had.
pub(super) async fn release(cx: &mut Cx, claim: &Claim) -> Result<bool, StoreError> {
    let sql = "DELETE FROM idempotency WHERE caller = $1 AND key = $2 AND attempt = $3 AND done_at IS NULL";
    Ok(cx.tx.execute(sql, &params![&claim.caller, &claim.key, claim.attempt]).await? == 1)
}

pub(super) async fn keep(cx: &mut Cx, claim: &Claim, answer: &str) -> Result<(), StoreError> {
    let sql = "UPDATE idempotency SET answer = $4, done_at = COALESCE(done_at, $5)
        WHERE caller = $1 AND key = $2 AND attempt = $3";
    let values = params![&claim.caller, &claim.key, claim.attempt, answer, cx.now];
    cx.tx.execute(sql, &values).await?;
    Ok(())
}

/// Keys that are over.
pub(crate) async fn sweep(cx: &mut Cx) -> Result<(), StoreError> {
    cx.tx.execute("DELETE FROM idempotency WHERE started_at < $1", &params![cx.now.minus(KEPT)]).await?;
    Ok(())
}

/// The person that the identity system knows by this subject.
pub(super) async fn person(cx: &mut Cx, issuer: &str, subject: &str) -> Result<Option<String>, StoreError> {
    let sql = "SELECT person FROM people WHERE issuer = $1 AND subject = $2";
    cx.tx.read_one(sql, &params![issuer, subject]).await?.map(|row| row.string("person")).transpose()
}
