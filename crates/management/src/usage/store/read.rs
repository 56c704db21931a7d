//! What is read of the ledger.

use base::Time;
use catalog::usage::Total;
use store::{Row, params};

use crate::Cx;
use crate::error::Refused;
use crate::usage::{total, unsigned};

/// Windows that one answer to a gateway tells of, more or less: those of one batch are never torn apart.
const TOTALS: i64 = 5_000;

/// A gateway as it reported last.
#[derive(Debug, Clone)]
pub struct Gateway {
    pub id: String,
    /// The name that its token stands for.
    pub caller: String,
    pub name: String,
    pub next: u64,
    /// The published version that it serves.
    pub serving: Option<u64>,
    /// Why it does not serve a newer one.
    pub refused: Option<String>,
    pub first_seen_at: Time,
    pub seen_at: Time,
}

/// What a subscription used on one plan in one calendar month.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Billed {
    pub subscription: String,
    pub plan: String,
    pub month: Time,
    pub calls: u64,
    pub units: u64,
}

pub(in crate::usage) async fn gateway(cx: &mut Cx, id: &str) -> Result<Option<Gateway>, Refused> {
    let sql = "SELECT gateway, caller, name, next, serving, refused, first_seen_at, seen_at FROM gateways
        WHERE gateway = $1";
    cx.tx.read_one(sql, &params![id]).await?.as_ref().map(as_gateway).transpose()
}

pub(in crate::usage) async fn gateways(cx: &mut Cx) -> Result<Vec<Gateway>, Refused> {
    let sql = "SELECT gateway, caller, name, next, serving, refused, first_seen_at, seen_at FROM gateways
        ORDER BY seen_at DESC, gateway LIMIT 1000";
    cx.tx.read(sql, &[]).await?.iter().map(as_gateway).collect()
}

pub(in crate::usage) async fn clock(cx: &mut Cx) -> Result<i64, Refused> {
    let row = cx.tx.read_one("SELECT at FROM usage_clock WHERE id = 1", &[]).await?;
    Ok(row.map_or(Ok(0), |row| row.int("at"))?)
}

/// How far the windows go that are told now; `None`: nothing has changed.
pub(in crate::usage) async fn changed_up_to(cx: &mut Cx, seen: i64) -> Result<Option<i64>, Refused> {
    let sql = "SELECT MAX(changed) AS cutoff FROM
        (SELECT changed FROM usage_windows WHERE changed > $1 ORDER BY changed LIMIT $2) AS windows";
    let row = cx.tx.read_one(sql, &params![seen, TOTALS]).await?;
    Ok(row.map_or(Ok(None), |row| row.opt_int("cutoff"))?)
}

/// The windows that the plans look at now, as far as they are in force.
pub(in crate::usage) async fn totals(cx: &mut Cx, seen: i64, cutoff: i64) -> Result<Vec<Total>, Refused> {
    let sql = "SELECT w.subscription, w.start, w.used FROM usage_windows w
        JOIN subscriptions s ON s.subscription = w.subscription
        JOIN plans p ON p.plan = s.plan AND p.quota_window = w.span
        WHERE w.changed > $1 AND w.changed <= $2 AND w.ends > $3 ORDER BY w.changed, w.subscription";
    let rows = cx.tx.read(sql, &params![seen, cutoff, cx.now]).await?;
    let told = |row: &Row| Ok(total(row.string("subscription")?, row.int("start")?, row.int("used")?));
    rows.iter().map(told).collect()
}

pub(in crate::usage) async fn used(
    cx: &mut Cx,
    subscription: &str,
    span: &'static str,
    start: Time,
) -> Result<i64, Refused> {
    let sql = "SELECT used FROM usage_windows WHERE subscription = $1 AND span = $2 AND start = $3";
    let row = cx.tx.read_one(sql, &params![subscription, span, start]).await?;
    Ok(row.map_or(Ok(0), |row| row.int("used"))?)
}

pub(in crate::usage) async fn billed(
    cx: &mut Cx,
    organisation: &str,
    since: Time,
    until: Time,
) -> Result<Vec<Billed>, Refused> {
    let sql = "SELECT m.subscription, m.plan, m.month, m.calls, m.units FROM usage_months m
        JOIN subscriptions s ON s.subscription = m.subscription
        WHERE s.organisation = $1 AND m.month >= $2 AND m.month < $3
        ORDER BY m.month, m.subscription, m.plan";
    let billed = |row: &Row| {
        Ok(Billed {
            subscription: row.string("subscription")?,
            plan: row.string("plan")?,
            month: row.time("month")?,
            calls: unsigned(row.int("calls")?),
            units: unsigned(row.int("units")?),
        })
    };
    cx.tx.read(sql, &params![organisation, since, until]).await?.iter().map(billed).collect()
}

fn as_gateway(row: &Row) -> Result<Gateway, Refused> {
    Ok(Gateway {
        id: row.string("gateway")?,
        caller: row.string("caller")?,
        name: row.string("name")?,
        next: unsigned(row.int("next")?),
        serving: row.opt_int("serving")?.map(unsigned),
        refused: row.opt_string("refused")?,
        first_seen_at: row.time("first_seen_at")?,
        seen_at: row.time("seen_at")?,
    })
}
