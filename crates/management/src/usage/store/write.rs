//! What ingestion writes, in the order of locks: gateway, clock, events, folds.

use std::sync::LazyLock;
use std::time::Duration;

use base::Time;
use catalog::usage::UsageBatch;
use store::{Value, params};

use super::bulk::Bulk;
use crate::Cx;
use crate::error::Refused;
use crate::usage::fold::{Folds, Key, Known, Sums};
use crate::usage::number;

/// Rows that one transaction of the sweep removes.
pub(in crate::usage) const SWEEP: u64 = 5_000;

/// Hours are looked at for this long; days stay.
const HOURS_KEPT: Duration = Duration::from_secs(40 * 86_400);
/// Windows stay this long after their end.
const WINDOWS_KEPT: Duration = Duration::from_secs(40 * 86_400);

static EVENTS: LazyLock<Bulk> = LazyLock::new(|| {
    let head = "INSERT INTO usage_events (seq, gateway, number, request_id, at, received_at, api, operation, method,
        client, subscription, plan, organisation, status, outcome, reason, units, micros, way) VALUES";
    Bulk::new(head, 19, "")
});

static HOURS: LazyLock<Bulk> = LazyLock::new(|| {
    let head = "INSERT INTO usage_hours (start, organisation, client, subscription, plan, api, operation, outcome,
        calls, units, micros) VALUES";
    let tail = "ON CONFLICT (start, organisation, client, subscription, plan, api, operation, outcome)
        DO UPDATE SET calls = usage_hours.calls + excluded.calls, units = usage_hours.units + excluded.units,
            micros = usage_hours.micros + excluded.micros";
    Bulk::new(head, 11, tail)
});

static DAYS: LazyLock<Bulk> = LazyLock::new(|| {
    let head = "INSERT INTO usage_days (start, organisation, client, subscription, plan, api, operation, outcome,
        calls, units, micros) VALUES";
    let tail = "ON CONFLICT (start, organisation, client, subscription, plan, api, operation, outcome)
        DO UPDATE SET calls = usage_days.calls + excluded.calls, units = usage_days.units + excluded.units,
            micros = usage_days.micros + excluded.micros";
    Bulk::new(head, 11, tail)
});

static WINDOWS: LazyLock<Bulk> = LazyLock::new(|| {
    let head = "INSERT INTO usage_windows (subscription, span, start, ends, used, changed) VALUES";
    let tail = "ON CONFLICT (subscription, span, start)
        DO UPDATE SET used = usage_windows.used + excluded.used, changed = excluded.changed";
    Bulk::new(head, 6, tail)
});

static MONTHS: LazyLock<Bulk> = LazyLock::new(|| {
    let head = "INSERT INTO usage_months (subscription, plan, month, calls, units) VALUES";
    let tail = "ON CONFLICT (subscription, plan, month)
        DO UPDATE SET calls = usage_months.calls + excluded.calls, units = usage_months.units + excluded.units";
    Bulk::new(head, 5, tail)
});

/// A gateway that is seen for the first time.
pub(in crate::usage) async fn introduce(
    cx: &mut Cx,
    caller: &str,
    batch: &UsageBatch,
    next: u64,
) -> Result<(), Refused> {
    let sql = "INSERT INTO gateways (gateway, caller, name, next, serving, refused, first_seen_at, seen_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $7) ON CONFLICT (gateway) DO NOTHING";
    let serving = batch.serving.map(number);
    let values = params![&batch.gateway, caller, &batch.name, number(next), serving, batch.refused.as_ref(), cx.now];
    cx.tx.execute(sql, &values).await?;
    Ok(())
}

/// The compare-and-set by which a record counts once. False: `next` is not what it was.
pub(in crate::usage) async fn advance(cx: &mut Cx, batch: &UsageBatch, from: u64, to: u64) -> Result<bool, Refused> {
    let sql = "UPDATE gateways SET next = $3, name = $4, serving = $5, refused = $6, seen_at = $7
        WHERE gateway = $1 AND next = $2";
    let serving = batch.serving.map(number);
    let refused = batch.refused.as_ref();
    let values = params![&batch.gateway, number(from), number(to), &batch.name, serving, refused, cx.now];
    Ok(cx.tx.execute(sql, &values).await? == 1)
}

pub(in crate::usage) async fn note_life(cx: &mut Cx, batch: &UsageBatch) -> Result<(), Refused> {
    let sql = "UPDATE gateways SET name = $2, serving = $3, refused = $4, seen_at = $5 WHERE gateway = $1";
    let values = params![&batch.gateway, &batch.name, batch.serving.map(number), batch.refused.as_ref(), cx.now];
    cx.tx.execute(sql, &values).await?;
    Ok(())
}

/// Takes so many numbers; the last of them.
pub(in crate::usage) async fn tick(cx: &mut Cx, many: i64) -> Result<i64, Refused> {
    let sql = "UPDATE usage_clock SET at = at + $1 WHERE id = 1 RETURNING at";
    let row = cx.tx.one(sql, &params![many]).await?;
    Ok(row.ok_or_else(|| Refused::Broken("the ledger has no clock".to_owned()))?.int("at")?)
}

pub(in crate::usage) async fn append(
    cx: &mut Cx,
    batch: &UsageBatch,
    first_number: u64,
    first_seq: i64,
    records: &[Known<'_>],
) -> Result<(), Refused> {
    let mut values = Vec::with_capacity(records.len() * 19);
    for (at, one) in (0_i64..).zip(records) {
        values.extend(params![
            first_seq.saturating_add(at),
            &batch.gateway,
            number(first_number).saturating_add(at),
            &*one.id,
            one.at,
            cx.now,
            &*one.api,
            &*one.operation,
            &*one.method,
            one.client.as_deref(),
            one.subscription.as_deref(),
            one.plan.as_deref(),
            one.organisation.as_deref(),
            i64::from(one.record.status),
            one.record.outcome.as_str(),
            one.reason.as_deref(),
            one.record.units,
            one.micros,
            one.way.as_deref()
        ]);
    }
    Ok(EVENTS.run(&mut cx.tx, &values).await?)
}

pub(in crate::usage) async fn fold(cx: &mut Cx, folds: &Folds<'_>, clock: i64) -> Result<(), Refused> {
    let hours: Vec<Value> = folds.hours.iter().flat_map(|(key, sums)| row(key, sums)).collect();
    HOURS.run(&mut cx.tx, &hours).await?;
    let days: Vec<Value> = folds.days.iter().flat_map(|(key, sums)| row(key, sums)).collect();
    DAYS.run(&mut cx.tx, &days).await?;
    let mut windows = Vec::new();
    for ((subscription, span, start), (ends, used)) in &folds.windows {
        windows.extend(params![*subscription, *span, *start, *ends, *used, clock]);
    }
    WINDOWS.run(&mut cx.tx, &windows).await?;
    let mut months = Vec::new();
    for ((subscription, plan, month), sums) in &folds.months {
        months.extend(params![*subscription, *plan, *month, sums.calls, sums.units]);
    }
    Ok(MONTHS.run(&mut cx.tx, &months).await?)
}

fn row(key: &Key<'_>, sums: &Sums) -> [Value; 11] {
    params![
        key.start,
        key.organisation,
        key.client,
        key.subscription,
        key.plan,
        key.api,
        key.operation,
        key.outcome,
        sums.calls,
        sums.units,
        sums.micros
    ]
}

/// Whether an organisation had a subscription to this plan before. Most had none, and the ledger is not held for them.
pub(in crate::usage) async fn has_ended(cx: &mut Cx, organisation: &str, plan: &str) -> Result<bool, Refused> {
    let sql = "SELECT subscription FROM subscriptions
        WHERE organisation = $1 AND plan = $2 AND state = 'cancelled' LIMIT 1";
    Ok(cx.tx.read_one(sql, &params![organisation, plan]).await?.is_some())
}

pub(in crate::usage) async fn carry_over(
    cx: &mut Cx,
    (organisation, plan): (&str, &str),
    to: &str,
    clock: i64,
) -> Result<(), Refused> {
    let sql = "INSERT INTO usage_windows (subscription, span, start, ends, used, changed)
        SELECT CAST($1 AS TEXT), w.span, w.start, MAX(w.ends), MAX(w.used), CAST($2 AS BIGINT)
        FROM usage_windows w JOIN subscriptions s ON s.subscription = w.subscription
        WHERE s.organisation = $3 AND s.plan = $4 AND s.state = 'cancelled' AND w.ends > $5
        GROUP BY w.span, w.start
        ON CONFLICT (subscription, span, start) DO NOTHING";
    cx.tx.execute(sql, &params![to, clock, organisation, plan, cx.now]).await?;
    Ok(())
}

pub(in crate::usage) async fn touch(cx: &mut Cx, subscription: &str, clock: i64) -> Result<(), Refused> {
    let sql = "UPDATE usage_windows SET changed = $2 WHERE subscription = $1 AND ends > $3";
    cx.tx.execute(sql, &params![subscription, clock, cx.now]).await?;
    Ok(())
}

pub(in crate::usage) async fn touch_plan(cx: &mut Cx, plan: &str, clock: i64) -> Result<(), Refused> {
    let sql = "UPDATE usage_windows SET changed = $2 WHERE ends > $3
        AND subscription IN (SELECT subscription FROM subscriptions WHERE plan = $1)";
    cx.tx.execute(sql, &params![plan, clock, cx.now]).await?;
    Ok(())
}

/// Events leave in the order in which they came.
pub(in crate::usage) async fn remove_events(cx: &mut Cx, days: u32) -> Result<u64, Refused> {
    let sql = "DELETE FROM usage_events WHERE received_at < $1
        AND seq IN (SELECT seq FROM usage_events ORDER BY seq LIMIT $2)";
    let before = cx.now.minus(Duration::from_secs(u64::from(days) * 86_400));
    Ok(cx.tx.execute(sql, &params![before, number(SWEEP)]).await?)
}

pub(in crate::usage) async fn remove_folds(cx: &mut Cx) -> Result<(), Refused> {
    let before: Time = cx.now.minus(HOURS_KEPT);
    cx.tx.execute("DELETE FROM usage_hours WHERE start < $1", &params![before]).await?;
    let sql = "DELETE FROM usage_windows WHERE span IN ('hour', 'day', 'week', 'month') AND ends < $1";
    cx.tx.execute(sql, &params![cx.now.minus(WINDOWS_KEPT)]).await?;
    Ok(())
}
