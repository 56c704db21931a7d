//! Step 5: has the caller's plan room for this call? Client → subscription → plan is one look into the
//! snapshot; rate and quota are counted in memory, so that no call waits for anybody.
//!
//! `rate` is this gateway's own (GCRA); `quota` is common to all gateways: what the ledger has told, plus
//! what this gateway has counted since and has under way (`book`). What a client is told (`fields`, the
//! IETF draft on RateLimit fields) is computed from the same numbers as the decision.

mod book;
mod fields;
mod quota;
mod rate;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use base::time::SharedClock;
use catalog::{Api, CanonicalPath, LimitMode, Needed, Plan, QuotaSpec, Snapshot, Subscription, Window};
use http::HeaderValue;

pub(crate) use book::{Acknowledged, Book, Origin};
pub(crate) use fields::{LIMIT, POLICY};
pub use quota::Held;
pub(crate) use rate::{Bucket, Rate};

use crate::deny::Deny;
use crate::edge::Exchange;
use crate::phantom::Facts;
use crate::pipeline::Stop;
use crate::snapshot::{Live, LiveRoute, Protection};
use crate::token::Identified;
use book::Meter;

/// A request whose caller's plan has room for it. Only [`admit`] makes one.
#[derive(Debug)]
pub(crate) struct Admitted<'a> {
    identified: Identified<'a>,
}

impl<'a> Admitted<'a> {
    pub fn facts(&self) -> Option<(&Facts, &'a Protection)> {
        self.identified.facts()
    }

    pub fn into_parts(self) -> (&'a LiveRoute, CanonicalPath<'a>, Option<Arc<Facts>>) {
        self.identified.into_parts()
    }
}

/// The limits of a snapshot, by the subscription's index.
pub(crate) struct Table {
    clock: SharedClock,
    limited: Vec<Limited>,
}

struct Limited {
    subscription: Arc<Subscription>,
    terms: Arc<Terms>,
    meter: Arc<Meter>,
}

/// A plan as it is enforced.
struct Terms {
    rate: Option<Rate>,
    quota: Option<QuotaSpec>,
    enforced: bool,
    /// `RateLimit-Policy`, by the length of the quota's window in seconds: months differ.
    policies: Vec<(u64, HeaderValue)>,
}

impl Table {
    pub fn new(catalog: &Snapshot, book: &Book, clock: &SharedClock) -> Self {
        let terms: HashMap<*const Plan, Arc<Terms>> =
            catalog.plans.iter().map(|plan| (Arc::as_ptr(plan), Arc::new(Terms::of(plan)))).collect();
        let limited = catalog.subscriptions.iter().filter_map(|subscription| {
            let terms = Arc::clone(terms.get(&Arc::as_ptr(&subscription.plan))?);
            let meter = book.meter(&subscription.id);
            Some(Limited { subscription: Arc::clone(subscription), terms, meter })
        });
        Self { limited: limited.collect(), clock: clock.clone() }
    }

    fn of(&self, subscription: &Subscription) -> Option<&Limited> {
        self.limited.get(subscription.index)
    }
}

impl Terms {
    fn of(plan: &Plan) -> Self {
        let rate = plan.spec.rate.as_ref().map(Rate::new);
        let quota = plan.spec.quota.clone();
        let lengths: &[u64] = match quota.as_ref().map(|quota| quota.per) {
            None => &[0],
            Some(Window::Hour) => &[3_600],
            Some(Window::Day) => &[86_400],
            Some(Window::Week) => &[604_800],
            Some(Window::Month) => &[2_678_400, 2_592_000, 2_505_600, 2_419_200],
        };
        let policy = |length_s: &u64| {
            let quota = quota.as_ref().map(|quota| (quota.requests, *length_s));
            Some((*length_s, fields::policy(rate.as_ref(), quota)?))
        };
        let policies = lengths.iter().filter_map(policy).collect();
        Self { policies, enforced: plan.spec.mode == LimitMode::Enforce, rate, quota }
    }

    fn policy(&self, length_s: u64) -> Option<HeaderValue> {
        self.policies.iter().find(|(length, _)| *length == length_s).map(|(_, policy)| policy.clone())
    }
}

pub(crate) fn admit<'a>(
    live: &Live,
    identified: Identified<'a>,
    exchange: &mut Exchange,
) -> Result<Admitted<'a>, Stop> {
    let settings = identified.route().settings();
    if let (Some(api), Some((facts, _))) = (&settings.api, identified.facts()) {
        count(live, api, settings.subscription, facts, exchange)?;
    }
    Ok(Admitted { identified })
}

/// A public route has no client, and so no plan; the catalog sees that it says so.
fn count(live: &Live, api: &Api, needed: Needed, facts: &Facts, exchange: &mut Exchange) -> Result<(), Stop> {
    if needed == Needed::None {
        return Ok(());
    }
    let subscription = facts.client_id.as_deref().and_then(|client| live.catalog().subscription(api, client));
    let Some(subscription) = subscription else {
        return if needed == Needed::Optional { Ok(()) } else { Err(Deny::NoSubscription.into()) };
    };
    exchange.subscription = Some(Arc::clone(&subscription.id));
    exchange.plan = Some(Arc::clone(&subscription.plan.name));
    let table = live.limits();
    let Some(limited) = table.of(subscription) else { return Err(Deny::NoSubscription.into()) };
    limited.take(table, live.book(), exchange)
}

impl Limited {
    /// The rate first: who is too fast is told so whatever is left of the quota.
    fn take(&self, table: &Table, book: &Book, exchange: &mut Exchange) -> Result<(), Stop> {
        let terms = &*self.terms;
        let rated = terms.rate.as_ref().map(|rate| self.meter.bucket.take(rate, table.clock.monotonic_ms()));
        let mut refused = match rated {
            Some(Err(left)) => Some(Deny::RateLimited { retry_after_s: left.wait_s }),
            _ => None,
        };
        let mut length_s = 0;
        let counted = terms.quota.as_ref().map(|quota| {
            let window = book.window(&self.meter, &self.subscription.id, quota.per, exchange.at);
            let within_s = window.reset_s(exchange.at);
            length_s = window.length_s();
            // What is refused for its rate takes nothing of the quota.
            if refused.is_some() && terms.enforced {
                return fields::Item { left: window.left(quota), within_s };
            }
            let taken = window.hold(quota, terms.enforced);
            exchange.held = taken.held;
            if taken.full {
                refused.get_or_insert(Deny::QuotaExceeded { retry_after_s: within_s });
            }
            fields::Item { left: taken.left, within_s }
        });
        exchange.steps.quota_left = counted.map(|counted| counted.left);
        if !terms.enforced {
            exchange.shadowed = refused.as_ref().map(Deny::slug);
            return Ok(());
        }
        let rated = rated.map(|rated| {
            let left = rated.unwrap_or_else(|left| left);
            fields::Item { left: left.remaining, within_s: left.wait_s }
        });
        exchange.steps.rate_left = rated.map(|rated| rated.left);
        fields::tell(exchange, terms.policy(length_s), rated, counted);
        match refused {
            Some(deny) => Err(deny.into()),
            None => Ok(()),
        }
    }
}
