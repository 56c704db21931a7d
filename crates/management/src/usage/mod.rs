//! Usage: the ledger of calls that gateways report.
//!
//! Records are numbered by each gateway. In one transaction the gateway's `next` is moved by compare-and-set, the
//! records are inserted and folded; what is there already is skipped, a gap is refused. So each record counts once,
//! whatever is sent twice, late, or broken off. Quotas, analytics and invoices read the folds, and nothing else.

mod describe;
mod events;
mod fold;
mod http;
pub mod push;
mod report;
mod store;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base::Time;
use catalog::usage::{Total, UsageAnswer, UsageBatch, UsageRecord};

pub(crate) use self::describe::{EVENTS, operations, shapes};
pub use self::events::{Billable, Call, CallFilter, Scope, billable, calls, cloud_event, exported, find_call};
pub(crate) use self::events::{as_cloud_events, rfc3339};
pub use self::fold::Count;
pub use self::http::routes;
pub use self::report::{Figures, Group, Line, Question, Step, report};
pub use self::store::{Billed, Gateway};

use self::fold::{Folds, Known};
use crate::error::Refused;
use crate::{Cx, SharedManagement, subscriptions};

/// A gateway that has nothing to say is noted this often.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

/// Whose a subscription or a client is does not change, so it is remembered.
const REMEMBERED: usize = 100_000;

/// How long single calls are kept by default.
pub const KEPT_DAYS: u32 = 90;

/// Organisations by subscription, and by client.
#[derive(Debug, Default)]
pub struct Owners(Mutex<HashMap<String, Arc<str>>>);

/// What became of a batch.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// All below `next` is in the ledger as soon as the transaction is.
    Kept { next: u64, counts: Vec<Count> },
    /// Records before this batch are missing.
    Gap { next: u64 },
    /// Another batch of this gateway came in between: to be looked at again.
    Overtaken,
}

/// Takes a batch into the ledger: whole, and each record once. The caller commits, or repeats when overtaken.
pub async fn take(cx: &mut Cx, caller: &str, batch: &UsageBatch) -> Result<Taken, Refused> {
    let known = store::gateway(cx, &batch.gateway).await?;
    if known.as_ref().is_some_and(|gateway| gateway.caller != caller) {
        tracing::warn!(gateway = caller, "a gateway sent the usage of another one, and was refused");
        return Err(Refused::NoRight);
    }
    // Numbers begin with 1; who begins with 0 is taken at its word.
    let wanted = known.as_ref().map_or(batch.first.min(1), |gateway| gateway.next);
    if batch.first > wanted {
        return Ok(Taken::Gap { next: wanted });
    }
    let skipped = usize::try_from(wanted - batch.first).unwrap_or(usize::MAX);
    let new = batch.records.get(skipped..).unwrap_or_default();
    if new.is_empty() {
        return note_life(cx, caller, batch, known, wanted).await;
    }
    let owners = owners(cx, new).await?;
    let next = wanted.saturating_add(count(new.len()));
    if known.is_none() {
        store::introduce(cx, caller, batch, wanted).await?;
    }
    if !store::advance(cx, batch, wanted, next).await? {
        return Ok(Taken::Overtaken);
    }
    let last = store::tick(cx, number(count(new.len()))).await?;
    let first = last.saturating_sub(number(count(new.len()))).saturating_add(1);
    let records: Vec<Known<'_>> = new.iter().map(|record| Known::new(record, cx.now, &owners)).collect();
    store::append(cx, batch, wanted, first, &records).await?;
    let folds = Folds::of(&records);
    store::fold(cx, &folds, last).await?;
    Ok(Taken::Kept { next, counts: folds.counts() })
}

/// What a gateway is answered: what is wanted next, and the quota windows that have changed since it looked.
pub async fn answer(cx: &mut Cx, next: u64, seen: u64) -> Result<UsageAnswer, Refused> {
    let clock = store::clock(cx).await?;
    // A ledger restored from a backup is behind what the gateway saw.
    let seen = if number(seen) > clock { 0 } else { number(seen) };
    let Some(cutoff) = store::changed_up_to(cx, seen).await? else {
        return Ok(UsageAnswer { next, totals: Vec::new(), cursor: unsigned(seen) });
    };
    let totals = store::totals(cx, seen, cutoff).await?;
    Ok(UsageAnswer { next, totals, cursor: unsigned(cutoff) })
}

/// The gateways that have ever reported; the last seen first.
pub async fn gateways(cx: &mut Cx) -> Result<Vec<Gateway>, Refused> {
    store::gateways(cx).await
}

/// Units of a subscription in the window that began at `start`.
pub async fn used(cx: &mut Cx, subscription: &str, span: &'static str, start: Time) -> Result<u64, Refused> {
    Ok(unsigned(store::used(cx, subscription, span, start).await?))
}

/// What an organisation's subscriptions used by plan and calendar month, from `since` and before `until`.
pub async fn billed(cx: &mut Cx, organisation: &str, since: Time, until: Time) -> Result<Vec<Billed>, Refused> {
    store::billed(cx, organisation, since, until).await
}

/// Keeps the ledger as it is until the end of the transaction; the number of its last event.
pub(crate) async fn hold(cx: &mut Cx) -> Result<i64, Refused> {
    store::tick(cx, 0).await
}

/// Gateways are told the totals of a subscription again, since its plan looks at other windows now.
pub(crate) async fn tell_again(cx: &mut Cx, subscription: &str) -> Result<(), Refused> {
    let clock = store::tick(cx, 1).await?;
    store::touch(cx, subscription, clock).await
}

pub(crate) async fn tell_again_of_plan(cx: &mut Cx, plan: &str) -> Result<(), Refused> {
    let clock = store::tick(cx, 1).await?;
    store::touch_plan(cx, plan, clock).await
}

/// A subscription goes on where the most used of the organisation's ended ones on the same plan stopped, in the windows
/// that are open.
pub(crate) async fn carry_over(cx: &mut Cx, organisation: &str, plan: &str, to: &str) -> Result<(), Refused> {
    if !store::has_ended(cx, organisation, plan).await? {
        return Ok(());
    }
    let clock = store::tick(cx, 1).await?;
    store::carry_over(cx, (organisation, plan), to, clock).await
}

/// Removes what is kept for a time only: calls older than `days`, and windows that nobody asks for any more. In
/// small transactions, so that gateways never wait for long.
pub async fn sweep(management: &SharedManagement, days: u32) -> Result<u64, Refused> {
    let mut gone = 0;
    loop {
        let mut cx = Cx::system(management);
        let removed = store::remove_events(&mut cx, days).await?;
        cx.commit().await?;
        gone += removed;
        if removed < store::SWEEP {
            break;
        }
    }
    let mut cx = Cx::system(management);
    store::remove_folds(&mut cx).await?;
    cx.commit().await?;
    Ok(gone)
}

/// Nothing new in it. Written down only when something has changed, or after a while.
async fn note_life(
    cx: &mut Cx,
    caller: &str,
    batch: &UsageBatch,
    known: Option<Gateway>,
    wanted: u64,
) -> Result<Taken, Refused> {
    match known {
        None => store::introduce(cx, caller, batch, wanted).await?,
        Some(gateway)
            if gateway.serving == batch.serving
                && gateway.refused == batch.refused
                && cx.now.since(gateway.seen_at) < SIGN_OF_LIFE => {}
        Some(_) => store::note_life(cx, batch).await?,
    }
    Ok(Taken::Kept { next: wanted, counts: Vec::new() })
}

/// Whose the subscriptions and clients of these records are; what nobody knows is missing.
async fn owners(cx: &mut Cx, records: &[UsageRecord]) -> Result<HashMap<String, Arc<str>>, Refused> {
    let mut found: HashMap<String, Arc<str>> = HashMap::new();
    let mut unknown = Vec::new();
    {
        let remembered = cx.management.owners.0.lock().unwrap_or_else(PoisonError::into_inner);
        for name in records.iter().filter_map(|record| record.subscription.as_ref().or(record.client.as_ref())) {
            if found.contains_key(name) || unknown.contains(name) {
                continue;
            }
            match remembered.get(name) {
                Some(organisation) => drop(found.insert(name.clone(), organisation.clone())),
                None => unknown.push(name.clone()),
            }
        }
    }
    for name in unknown {
        let Some(organisation) = subscriptions::organisation_of(cx, &fold::clean(&name)).await? else { continue };
        let organisation: Arc<str> = organisation.into();
        let mut remembered = cx.management.owners.0.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= REMEMBERED {
            remembered.clear();
        }
        remembered.insert(name.clone(), organisation.clone());
        found.insert(name, organisation);
    }
    Ok(found)
}

/// For a column; what is more than it can hold is its most.
fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn total(subscription: String, window: i64, used: i64) -> Total {
    Total { subscription, window, used: unsigned(used) }
}
