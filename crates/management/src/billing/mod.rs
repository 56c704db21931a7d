//! Billing: an invoice per organisation, calendar month (UTC) and currency, folded from the ledger.
//!
//! - Monthly price: once for each subscription and calendar month in which it was in force, if only for a moment;
//!   where the plan changed within the month, the dearest one.
//! - Calls: graduated tiers, counted per subscription, plan and month.
//! - Amounts are whole millionths; each line is rounded once, half away from zero, to the currency's digits, and the
//!   total is the sum of the lines.
//! - A month is open until its invoice is issued: what comes late is rated with it. After that it comes to the next
//!   invoice as a correction: the price of all its calls as they are known now, minus what was billed.
//! - Issued invoices are not changed; their numbers have no gaps.
//! - A while after the end of a month its invoices are issued by the clock (`close`).

mod close;
mod csv;
mod describe;
mod draft;
mod http;
mod issue;
mod month;
mod rate;
mod store;
#[cfg(test)]
mod tests;

use base::Time;
use catalog::{Currency, Money};
use serde_json::{Value, json};

pub use self::close::{Due, close_due, due};
pub use self::csv::{calls_csv, calls_csv_head, calls_csv_rows, invoice_csv};
pub(crate) use self::describe::{operations, shapes};
pub use self::draft::statement;
pub use self::http::routes;
pub use self::issue::{issue, issue_all};
pub use self::month::Month;
pub use self::rate::{Tier, rate};

use crate::Cx;
use crate::actor::{Right, Share};
use crate::error::Refused;
use crate::usage::{self, Billable, Call};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Monthly,
    Usage,
    Correction,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub kind: Kind,
    /// What it is for.
    pub month: Month,
    pub subscription: String,
    pub application: String,
    pub plan: String,
    /// Less than none, where a correction takes back; none for a monthly price.
    pub units: i64,
    pub tiers: Vec<Tier>,
    pub amount: Money,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invoice {
    /// `None`: a draft, as of now.
    pub issued: Option<Issued>,
    pub organisation: String,
    pub month: Month,
    pub currency: Currency,
    pub lines: Vec<Line>,
    pub total: Money,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    pub id: String,
    pub number: i64,
    pub at: Time,
    pub by: String,
    /// The last event of the ledger that it knows.
    pub ledger_at: i64,
}

/// What a month costs an organisation, issued or not.
#[derive(Debug, Clone)]
pub struct Statement {
    pub month: Month,
    /// One per currency.
    pub invoices: Vec<Invoice>,
    /// Calls on plans that cost nothing.
    pub free: Vec<Line>,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Monthly, Self::Usage, Self::Correction];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Monthly => "monthly",
            Self::Usage => "usage",
            Self::Correction => "correction",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

impl Issued {
    /// As it stands on paper.
    pub fn label(&self) -> String {
        format!("INV-{:06}", self.number)
    }
}

/// An organisation's issued invoices, the newest first.
pub async fn list(cx: &mut Cx, organisation: &str) -> Result<Vec<Invoice>, Refused> {
    cx.need_for(organisation, Share::See)?;
    store::of_organisation(cx, organisation).await
}

/// All issued invoices from below a number, the newest first; without their lines.
pub async fn list_all(cx: &mut Cx, below: Option<i64>, limit: i64) -> Result<Vec<Invoice>, Refused> {
    cx.need(Right::Read)?;
    store::below(cx, below.unwrap_or(i64::MAX), limit).await
}

/// An issued invoice with its lines, for those who may see it.
pub async fn find(cx: &mut Cx, id: &str) -> Result<Invoice, Refused> {
    let invoice = store::find(cx, id).await?.ok_or(Refused::NotFound("such invoice"))?;
    match cx.need_for(&invoice.organisation, Share::See) {
        Ok(()) => Ok(invoice),
        Err(_) => Err(Refused::NotFound("such invoice")),
    }
}

/// The calls behind a line of an issued invoice, from behind `after`: as many units as the line has, as long as
/// single calls are kept.
pub async fn calls_of_line(
    cx: &mut Cx,
    invoice: &Invoice,
    line: usize,
    after: i64,
    limit: i64,
) -> Result<Vec<Call>, Refused> {
    let (Some(issued), Some(line)) = (&invoice.issued, line.checked_sub(1).and_then(|at| invoice.lines.get(at))) else {
        return Err(Refused::NotFound("such line"));
    };
    let known_before = match line.kind {
        Kind::Monthly => return Ok(Vec::new()),
        Kind::Usage => 0,
        Kind::Correction => store::ledger_before(cx, invoice, issued.number).await?,
    };
    let billable = Billable {
        subscription: line.subscription.clone(),
        plan: line.plan.clone(),
        from: line.month.begin(),
        until: line.month.end(),
        after: after.max(known_before),
        up_to: issued.ledger_at,
    };
    usage::billable(cx, &billable, limit).await
}

/// As the interface shows it.
pub fn view(invoice: &Invoice) -> Value {
    let issued = invoice.issued.as_ref();
    json!({
        "id": issued.map(|issued| &issued.id),
        "number": issued.map(Issued::label),
        "state": if issued.is_some() { "issued" } else { "draft" },
        "issuedAt": issued.map(|issued| issued.at),
        "issuedBy": issued.map(|issued| &issued.by),
        "organisation": invoice.organisation,
        "month": invoice.month.to_string(),
        "currency": invoice.currency,
        "total": amount(invoice.total, &invoice.currency),
        "lines": invoice.lines.iter().map(|line| view_line(line, &invoice.currency)).collect::<Vec<_>>(),
    })
}

/// With as many digits as the currency has.
pub fn amount(money: Money, currency: &Currency) -> String {
    let text = money.to_string();
    match currency.digits() {
        0 => text.strip_suffix(".00").map_or(text.clone(), str::to_owned),
        3 => match text.split_once('.') {
            Some((_, part)) if part.len() < 3 => format!("{text}0"),
            _ => text,
        },
        _ => text,
    }
}

fn view_line(line: &Line, currency: &Currency) -> Value {
    json!({
        "kind": line.kind.as_str(), "month": line.month.to_string(), "subscription": line.subscription,
        "application": line.application, "plan": line.plan, "units": line.units, "tiers": line.tiers,
        "amount": amount(line.amount, currency),
    })
}

fn too_much() -> Refused {
    Refused::Conflict("an amount is greater than can be counted; look at the prices of the plan".to_owned())
}
