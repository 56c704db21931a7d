//! Single calls, and sums of the folds.

use store::{Row, params};

use crate::Cx;
use crate::error::Refused;
use crate::usage::events::{Billable, Call, CallFilter, Scope};
use crate::usage::report::{Question, Sum};

/// The columns of a call stand once.
macro_rules! calls {
    ($rest:literal) => {
        concat!(
            "SELECT seq, gateway, number, request_id, at, received_at, api, operation, method, client, subscription,
                plan, organisation, status, outcome, reason, units, micros, way FROM usage_events WHERE ",
            $rest
        )
    };
}

/// Sums of a fold by time, label and outcome; the range of time first, since the key begins with it.
macro_rules! sums {
    ($table:literal, $and:literal) => {
        concat!(
            "SELECT CASE CAST($1 AS TEXT) WHEN 'whole' THEN CAST($2 AS BIGINT) ELSE start END AS begins,
                CASE CAST($4 AS TEXT) WHEN 'api' THEN api WHEN 'operation' THEN operation WHEN 'client' THEN client
                    WHEN 'plan' THEN plan WHEN 'subscription' THEN subscription
                    WHEN 'organisation' THEN organisation ELSE '' END AS label,
                outcome, CAST(SUM(calls) AS BIGINT) AS calls, CAST(SUM(units) AS BIGINT) AS units,
                CAST(SUM(micros) AS BIGINT) AS micros
            FROM ",
            $table,
            " WHERE start >= $2 AND start < $3 AND (CAST($5 AS TEXT) IS NULL OR subscription = $5)
                AND (CAST($6 AS TEXT) IS NULL OR client = $6) AND (CAST($7 AS TEXT) IS NULL OR api = $7) ",
            $and,
            " GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
        )
    };
}

pub(in crate::usage) async fn calls(cx: &mut Cx, filter: &CallFilter, limit: i64) -> Result<Vec<Call>, Refused> {
    let (before, outcome) = (filter.before.unwrap_or(i64::MAX), filter.outcome.as_ref());
    let rows = match &filter.scope {
        Scope::All => {
            let sql = calls!("seq < $1 AND (CAST($2 AS TEXT) IS NULL OR outcome = $2) ORDER BY seq DESC LIMIT $3");
            cx.tx.read(sql, &params![before, outcome, limit]).await?
        }
        Scope::Organisation(organisation) => {
            let sql = calls!(
                "organisation = $4 AND seq < $1 AND (CAST($2 AS TEXT) IS NULL OR outcome = $2)
                ORDER BY seq DESC LIMIT $3"
            );
            cx.tx.read(sql, &params![before, outcome, limit, organisation]).await?
        }
        Scope::Subscription(subscription) => {
            let sql = calls!(
                "subscription = $4 AND seq < $1 AND (CAST($2 AS TEXT) IS NULL OR outcome = $2)
                ORDER BY seq DESC LIMIT $3"
            );
            cx.tx.read(sql, &params![before, outcome, limit, subscription]).await?
        }
        Scope::Client { organisation, client } => {
            let sql = calls!(
                "client = $4 AND organisation = $5 AND seq < $1 AND (CAST($2 AS TEXT) IS NULL OR outcome = $2)
                ORDER BY seq DESC LIMIT $3"
            );
            cx.tx.read(sql, &params![before, outcome, limit, client, organisation]).await?
        }
    };
    rows.iter().map(call).collect()
}

pub(in crate::usage) async fn call_by_request(cx: &mut Cx, request_id: &str) -> Result<Vec<Call>, Refused> {
    let sql = calls!("request_id = $1 ORDER BY seq LIMIT 10");
    cx.tx.read(sql, &params![request_id]).await?.iter().map(call).collect()
}

pub(in crate::usage) async fn exported(cx: &mut Cx, after: i64, limit: i64) -> Result<Vec<Call>, Refused> {
    let sql = calls!("seq > $1 ORDER BY seq LIMIT $2");
    cx.tx.read(sql, &params![after, limit]).await?.iter().map(call).collect()
}

pub(in crate::usage) async fn billable(cx: &mut Cx, of: &Billable, limit: i64) -> Result<Vec<Call>, Refused> {
    let sql = calls!(
        "subscription = $1 AND plan = $2 AND at >= $3 AND at < $4 AND units > 0 AND seq > $5 AND seq <= $6
        ORDER BY seq LIMIT $7"
    );
    let values = params![&of.subscription, &of.plan, of.from, of.until, of.after, of.up_to, limit];
    cx.tx.read(sql, &values).await?.iter().map(call).collect()
}

pub(in crate::usage) async fn report(cx: &mut Cx, question: &Question) -> Result<Vec<Sum>, Refused> {
    let (step, group) = (question.step.as_str(), question.group.as_str());
    let (subscription, client) = (question.subscription.as_ref(), question.client.as_ref());
    let api = question.api.as_ref();
    let rows = match (&question.organisation, question.step.is_hours()) {
        (None, true) => {
            let values = params![step, question.from, question.until, group, subscription, client, api];
            cx.tx.read(sums!("usage_hours", ""), &values).await?
        }
        (None, false) => {
            let values = params![step, question.from, question.until, group, subscription, client, api];
            cx.tx.read(sums!("usage_days", ""), &values).await?
        }
        (Some(own), true) => {
            let values = params![step, question.from, question.until, group, subscription, client, api, own];
            cx.tx.read(sums!("usage_hours", "AND organisation = $8"), &values).await?
        }
        (Some(own), false) => {
            let values = params![step, question.from, question.until, group, subscription, client, api, own];
            cx.tx.read(sums!("usage_days", "AND organisation = $8"), &values).await?
        }
    };
    rows.iter().map(sum).collect()
}

fn sum(row: &Row) -> Result<Sum, Refused> {
    Ok(Sum {
        begins: row.time("begins")?,
        label: row.string("label")?,
        outcome: row.string("outcome")?,
        calls: row.int("calls")?,
        units: row.int("units")?,
        micros: row.int("micros")?,
    })
}

fn call(row: &Row) -> Result<Call, Refused> {
    Ok(Call {
        seq: row.int("seq")?,
        gateway: row.string("gateway")?,
        number: row.int("number")?,
        request_id: row.string("request_id")?,
        at: row.time("at")?,
        received_at: row.time("received_at")?,
        api: row.string("api")?,
        operation: row.string("operation")?,
        method: row.string("method")?,
        client: row.opt_string("client")?,
        subscription: row.opt_string("subscription")?,
        plan: row.opt_string("plan")?,
        organisation: row.opt_string("organisation")?,
        status: u16::try_from(row.int("status")?).unwrap_or(0),
        outcome: row.string("outcome")?,
        reason: row.opt_string("reason")?,
        units: row.int("units")?,
        micros: row.int("micros")?,
        way: row.opt_string("way")?.and_then(|way| serde_json::from_str(&way).ok()),
    })
}
