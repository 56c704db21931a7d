//! What is left of a quota: the plan's number minus the same fold of the ledger that gateways are told.

mod http;
#[cfg(test)]
mod tests;

use base::Time;

pub use self::http::routes;

use crate::error::Refused;
use crate::plans::window_word;
use crate::subscriptions::Subscription;
use crate::{Cx, plans, usage};

/// A quota in the window that is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// hour, day, week, month (UTC)
    pub per: &'static str,
    pub begins: Time,
    pub ends: Time,
    pub requests: u64,
    pub used: u64,
    /// Whether gateways refuse what is over.
    pub hard: bool,
}

impl Quota {
    pub fn remaining(&self) -> u64 {
        self.requests.saturating_sub(self.used)
    }
}

/// `None`: the plan has no quota.
pub async fn of(cx: &mut Cx, subscription: &Subscription) -> Result<Option<Quota>, Refused> {
    let plan = plans::find(cx, &subscription.plan).await?;
    let Some(quota) = plan.and_then(|plan| plan.spec.quota) else { return Ok(None) };
    let (begins, ends) = quota.per.around(cx.now.ms());
    let (begins, ends) = (Time::from_ms(begins), Time::from_ms(ends));
    let per = window_word(quota.per);
    let used = usage::used(cx, &subscription.id, per, begins).await?;
    Ok(Some(Quota { per, begins, ends, requests: quota.requests, used, hard: quota.hard }))
}
