//! Invoices by the clock: some time after the end of a month, so that late calls are on it, all that is open up to that
//! month is issued, the oldest first. Once, whoever does it and however often it is tried: the rule is `issue`'s own.
//! After a time when nothing ran, each month that was missed has its own invoice.

use std::collections::HashMap;
use std::time::Duration;

use base::Time;

use super::draft::Facts;
use super::{Month, issue, store};
use crate::actor::Right;
use crate::error::Refused;
use crate::{Cx, SharedManagement, subscriptions};

/// An organisation whose invoices could not be issued is tried again after this time, then later and later.
const PAUSE: Duration = Duration::from_secs(300);
const LONGEST_PAUSE: Duration = Duration::from_secs(6 * 3600);
/// More months than anybody has been a customer for: an error of ours must not go on for ever.
const MOST_MONTHS: usize = 1_200;

/// An organisation whose invoices are due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    pub organisation: String,
    /// Up to which month they are issued.
    pub closed: Option<Month>,
    /// Since then.
    pub failures: i64,
    pub next_at: Option<Time>,
    /// Why they are not issued; `None`: it was not tried yet.
    pub error: Option<String>,
}

/// The last month that is due: it ended `after` ago, or longer.
fn last_due(now: Time, after: Duration) -> Month {
    Month::of(now.minus(after)).previous()
}

/// Whose invoices are due and not issued.
pub async fn due(cx: &mut Cx) -> Result<Vec<Due>, Refused> {
    cx.need(Right::Read)?;
    match cx.management.config.invoices.after {
        Some(after) => open(cx, last_due(cx.now, after)).await,
        None => Ok(Vec::new()),
    }
}

async fn open(cx: &mut Cx, month: Month) -> Result<Vec<Due>, Refused> {
    let mut known: HashMap<String, Due> =
        store::periods(cx).await?.into_iter().map(|due| (due.organisation.clone(), due)).collect();
    let all = subscriptions::organisations(cx).await?.into_iter().map(|organisation| {
        let new = || Due { organisation: organisation.clone(), closed: None, failures: 0, next_at: None, error: None };
        known.remove(&organisation).unwrap_or_else(new)
    });
    Ok(all.filter(|due| due.closed.is_none_or(|closed| closed < month)).collect())
}

/// Issues what is due, organisation by organisation; one that fails stops no other. How many invoices were issued.
pub async fn close_due(management: &SharedManagement) -> Result<usize, Refused> {
    let Some(after) = management.config.invoices.after else { return Ok(0) };
    let mut cx = Cx::system(management);
    let now = cx.now;
    let month = last_due(now, after);
    // Looked at each minute; when all is issued there is nothing to look at until the next month is due.
    if !store::is_any_open(&mut cx, month).await? {
        management.metrics.invoices_overdue(0);
        return Ok(0);
    }
    let (mut issued, mut overdue) = (0, 0);
    for due in open(&mut cx, month).await? {
        if due.next_at.is_some_and(|at| at > now) {
            overdue += usize::from(due.error.is_some());
            continue;
        }
        let mut turn = Cx::system(management);
        match close(&turn, &due.organisation, month).await {
            Ok(invoices) => {
                issued += invoices;
                store::close_period(&mut turn, &due.organisation, month).await?;
            }
            Err(Refused::Store(error)) => return Err(error.into()),
            Err(why) => {
                overdue += 1;
                tracing::error!(organisation = due.organisation, %month, %why, "invoices that are due are not issued");
                let doubled =
                    PAUSE.saturating_mul(2_u32.saturating_pow(u32::try_from(due.failures).unwrap_or(7).min(7)));
                let next_at = turn.now.plus(doubled.min(LONGEST_PAUSE));
                // Nothing is closed yet: before the first month there is none.
                let closed = due.closed.map_or(Time::from_ms(i64::MIN), Month::begin);
                store::fail_period(&mut turn, &due.organisation, closed, next_at, &why.to_string()).await?;
            }
        }
        turn.commit().await?;
    }
    management.metrics.invoices_overdue(overdue);
    Ok(issued)
}

/// All that is open up to a month, the oldest first.
async fn close(cx: &Cx, organisation: &str, month: Month) -> Result<usize, Refused> {
    let mut issued = 0_usize;
    for _ in 0..MOST_MONTHS {
        let Some(oldest) = oldest_open(&mut cx.again(), organisation, month).await? else { return Ok(issued) };
        match issue(cx, organisation, oldest).await {
            Ok(invoices) => issued = issued.saturating_add(invoices.len()),
            // Another process, or a person, was there first; if not, it is looked at again in a while.
            Err(Refused::Conflict(why)) => {
                if oldest_open(&mut cx.again(), organisation, month).await? == Some(oldest) {
                    return Err(Refused::Conflict(why));
                }
            }
            Err(other) => return Err(other),
        }
    }
    Err(Refused::Conflict("there are more months to issue than can be".to_owned()))
}

async fn oldest_open(cx: &mut Cx, organisation: &str, until: Month) -> Result<Option<Month>, Refused> {
    let facts = Facts::gather(cx, organisation).await?;
    let Some(mut month) = facts.first() else { return Ok(None) };
    while month <= until {
        if facts.statement(month)?.invoices.iter().any(|draft| !draft.lines.is_empty()) {
            return Ok(Some(month));
        }
        month = month.next();
    }
    Ok(None)
}
