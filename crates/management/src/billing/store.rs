//! The tables `invoices` and `invoice_lines`, of which nothing here changes or removes a row, and `billing_periods`.

use std::collections::HashMap;

use base::Time;
use catalog::{Currency, Money};
use store::{Row, params};

use super::{Due, Invoice, Issued, Kind, Line, Month};
use crate::Cx;
use crate::error::Refused;

/// What was billed for calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Paid {
    pub units: i64,
    pub amount: Money,
}

/// The number that it got; `None`: that month is issued already. One statement, so that no number is left out: who
/// comes second fails as a whole.
pub(super) async fn insert(cx: &mut Cx, id: &str, draft: &Invoice, ledger_at: i64) -> Result<Option<i64>, Refused> {
    let sql = "INSERT INTO invoices (invoice, number, organisation, month, currency, total, ledger_at, issued_at,
            issued_by)
        SELECT CAST($1 AS TEXT), COALESCE(MAX(number), 0) + 1, CAST($2 AS TEXT), CAST($3 AS BIGINT),
            CAST($4 AS TEXT), CAST($5 AS BIGINT), CAST($6 AS BIGINT), CAST($7 AS BIGINT), CAST($8 AS TEXT)
        FROM invoices WHERE 1 = 1
        ON CONFLICT (organisation, month, currency) DO NOTHING RETURNING number";
    let by = cx.actor.to_string();
    let values = params![
        id,
        &draft.organisation,
        draft.month.begin(),
        draft.currency.as_str(),
        draft.total.micros(),
        ledger_at,
        cx.now,
        by
    ];
    let row = cx.tx.one(sql, &values).await?;
    Ok(row.map(|row| row.int("number")).transpose()?)
}

pub(super) async fn insert_lines(cx: &mut Cx, id: &str, lines: &[Line]) -> Result<(), Refused> {
    let sql = "INSERT INTO invoice_lines (invoice, line, kind, month, subscription, application, plan, units, tiers,
            amount) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    for (number, line) in (1_i64..).zip(lines) {
        let tiers = serde_json::to_string(&line.tiers).unwrap_or_default();
        let values = params![
            id,
            number,
            line.kind.as_str(),
            line.month.begin(),
            &line.subscription,
            &line.application,
            &line.plan,
            line.units,
            tiers,
            line.amount.micros()
        ];
        cx.tx.execute(sql, &values).await?;
    }
    Ok(())
}

pub(super) async fn find(cx: &mut Cx, id: &str) -> Result<Option<Invoice>, Refused> {
    let sql = "SELECT invoice, number, organisation, month, currency, total, ledger_at, issued_at, issued_by
        FROM invoices WHERE invoice = $1";
    let Some(row) = cx.tx.read_one(sql, &params![id]).await? else { return Ok(None) };
    Ok(Some(with_lines(cx, invoice(&row)?).await?))
}

pub(super) async fn of_month(cx: &mut Cx, organisation: &str, month: Month) -> Result<Vec<Invoice>, Refused> {
    let sql = "SELECT invoice, number, organisation, month, currency, total, ledger_at, issued_at, issued_by
        FROM invoices WHERE organisation = $1 AND month = $2 ORDER BY currency";
    let rows = cx.tx.read(sql, &params![organisation, month.begin()]).await?;
    let mut invoices = Vec::new();
    for row in &rows {
        invoices.push(with_lines(cx, invoice(row)?).await?);
    }
    Ok(invoices)
}

pub(super) async fn of_organisation(cx: &mut Cx, organisation: &str) -> Result<Vec<Invoice>, Refused> {
    let sql = "SELECT invoice, number, organisation, month, currency, total, ledger_at, issued_at, issued_by
        FROM invoices WHERE organisation = $1 ORDER BY number DESC LIMIT 1000";
    cx.tx.read(sql, &params![organisation]).await?.iter().map(invoice).collect()
}

pub(super) async fn below(cx: &mut Cx, number: i64, limit: i64) -> Result<Vec<Invoice>, Refused> {
    let sql = "SELECT invoice, number, organisation, month, currency, total, ledger_at, issued_at, issued_by
        FROM invoices WHERE number < $1 ORDER BY number DESC LIMIT $2";
    cx.tx.read(sql, &params![number, limit]).await?.iter().map(invoice).collect()
}

/// What has been billed for calls, by subscription, plan and month.
pub(super) async fn paid(cx: &mut Cx, organisation: &str) -> Result<HashMap<(String, String, Month), Paid>, Refused> {
    let sql = "SELECT l.subscription, l.plan, l.month, CAST(SUM(l.units) AS BIGINT) AS units,
            CAST(SUM(l.amount) AS BIGINT) AS amount
        FROM invoice_lines l JOIN invoices i ON i.invoice = l.invoice
        WHERE i.organisation = $1 AND l.kind IN ('usage', 'correction')
        GROUP BY l.subscription, l.plan, l.month";
    let rows = cx.tx.read(sql, &params![organisation]).await?;
    let paid = |row: &Row| {
        let key = (row.string("subscription")?, row.string("plan")?, Month::of(row.time("month")?));
        Ok((key, Paid { units: row.int("units")?, amount: Money::from_micros(row.int("amount")?) }))
    };
    rows.iter().map(paid).collect()
}

/// By currency.
pub(super) async fn last_months(cx: &mut Cx, organisation: &str) -> Result<HashMap<String, Month>, Refused> {
    let sql = "SELECT currency, MAX(month) AS month FROM invoices WHERE organisation = $1 GROUP BY currency";
    let rows = cx.tx.read(sql, &params![organisation]).await?;
    rows.iter().map(|row| Ok((row.string("currency")?, Month::of(row.time("month")?)))).collect()
}

/// How far the invoice before this one knew the ledger.
pub(super) async fn ledger_before(cx: &mut Cx, of: &Invoice, number: i64) -> Result<i64, Refused> {
    let sql = "SELECT COALESCE(MAX(ledger_at), 0) AS known FROM invoices
        WHERE organisation = $1 AND currency = $2 AND number < $3";
    let row = cx.tx.read_one(sql, &params![&of.organisation, of.currency.as_str(), number]).await?;
    Ok(row.map_or(Ok(0), |row| row.int("known"))?)
}

/// Whether there is an organisation whose invoices up to a month were not all issued by the clock.
pub(super) async fn is_any_open(cx: &mut Cx, month: Month) -> Result<bool, Refused> {
    let sql = "SELECT 1 AS one FROM subscriptions s
        WHERE NOT EXISTS (SELECT 1 FROM billing_periods p WHERE p.organisation = s.organisation AND p.closed >= $1)
        LIMIT 1";
    Ok(cx.tx.read_one(sql, &params![month.begin()]).await?.is_some())
}

pub(super) async fn periods(cx: &mut Cx) -> Result<Vec<Due>, Refused> {
    let rows = cx.tx.read("SELECT organisation, closed, next_at, failures, error FROM billing_periods", &[]).await?;
    let due = |row: &Row| {
        let closed: Time = row.time("closed")?;
        Ok(Due {
            organisation: row.string("organisation")?,
            closed: (closed.ms() != i64::MIN).then(|| Month::of(closed)),
            failures: row.int("failures")?,
            next_at: Some(row.time("next_at")?),
            error: row.opt_string("error")?,
        })
    };
    rows.iter().map(due).collect()
}

/// Never backwards: another process may have closed a later one.
pub(super) async fn close_period(cx: &mut Cx, organisation: &str, month: Month) -> Result<(), Refused> {
    let sql = "INSERT INTO billing_periods (organisation, closed, next_at, failures) VALUES ($1, $2, 0, 0)
        ON CONFLICT (organisation) DO UPDATE SET closed = excluded.closed, next_at = 0, failures = 0, error = NULL
        WHERE billing_periods.closed < excluded.closed";
    cx.tx.execute(sql, &params![organisation, month.begin()]).await?;
    Ok(())
}

pub(super) async fn fail_period(
    cx: &mut Cx,
    organisation: &str,
    closed: Time,
    next_at: Time,
    why: &str,
) -> Result<(), Refused> {
    let sql = "INSERT INTO billing_periods (organisation, closed, next_at, failures, error) VALUES ($1, $2, $3, 1, $4)
        ON CONFLICT (organisation) DO UPDATE
        SET next_at = excluded.next_at, failures = billing_periods.failures + 1, error = excluded.error
        WHERE billing_periods.closed <= excluded.closed";
    cx.tx.execute(sql, &params![organisation, closed, next_at, why]).await?;
    Ok(())
}

async fn with_lines(cx: &mut Cx, mut invoice: Invoice) -> Result<Invoice, Refused> {
    let sql = "SELECT kind, month, subscription, application, plan, units, tiers, amount FROM invoice_lines
        WHERE invoice = $1 ORDER BY line";
    let id = invoice.issued.as_ref().map_or("", |issued| issued.id.as_str());
    invoice.lines = cx.tx.read(sql, &params![id]).await?.iter().map(line).collect::<Result<_, _>>()?;
    Ok(invoice)
}

fn invoice(row: &Row) -> Result<Invoice, Refused> {
    let currency = Currency::parse(row.text("currency")?).ok_or_else(broken)?;
    Ok(Invoice {
        issued: Some(Issued {
            id: row.string("invoice")?,
            number: row.int("number")?,
            at: row.time("issued_at")?,
            by: row.string("issued_by")?,
            ledger_at: row.int("ledger_at")?,
        }),
        organisation: row.string("organisation")?,
        month: month(row)?,
        currency,
        lines: Vec::new(),
        total: Money::from_micros(row.int("total")?),
    })
}

fn line(row: &Row) -> Result<Line, Refused> {
    Ok(Line {
        kind: Kind::parse(row.text("kind")?).ok_or_else(broken)?,
        month: month(row)?,
        subscription: row.string("subscription")?,
        application: row.string("application")?,
        plan: row.string("plan")?,
        units: row.int("units")?,
        tiers: serde_json::from_str(row.text("tiers")?).map_err(|_| broken())?,
        amount: Money::from_micros(row.int("amount")?),
    })
}

fn month(row: &Row) -> Result<Month, Refused> {
    let begin: Time = row.time("month")?;
    Ok(Month::of(begin))
}

fn broken() -> Refused {
    Refused::Broken("a stored invoice cannot be read".to_owned())
}
