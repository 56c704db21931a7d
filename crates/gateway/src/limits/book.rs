//! What this gateway knows of each subscription, over changes of configuration: its bucket, its window,
//! and what the ledger has told. A call takes no lock here but to open a window.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use base::Time;
use catalog::Window;
use catalog::usage::Total;

use super::quota::QuotaWindow;
use super::rate::Bucket;

#[derive(Debug, Default)]
pub(super) struct Meter {
    pub bucket: Bucket,
    window: ArcSwapOption<QuotaWindow>,
}

/// A record that the ledger has taken, as far as quotas are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Acknowledged {
    pub subscription: Option<Arc<str>>,
    pub at: i64,
    pub units: u32,
    pub origin: Origin,
}

/// Whether this process has counted a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// When it happened.
    Counted,
    /// When it was found on the disk.
    Found,
    Elsewhere,
}

const HOUR: Window = Window::Hour;

#[derive(Debug, Default)]
pub(crate) struct Book {
    pages: Mutex<Pages>,
}

#[derive(Debug, Default)]
struct Pages {
    meters: HashMap<Arc<str>, Page>,
    /// What the ledger has told last, also of subscriptions that are not published yet.
    totals: HashMap<Arc<str>, (i64, u64)>,
    /// Units that an earlier process has counted and nobody has shipped yet, by hour: every window is made of hours.
    found: HashMap<Arc<str>, BTreeMap<i64, i64>>,
}

#[derive(Debug, Default)]
struct Page {
    meter: Arc<Meter>,
    /// In the window's `used`: what the ledger has told.
    told: i64,
    /// In the window's `used`: what the ledger has taken, but not told yet.
    untold: i64,
}

impl Book {
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn meter(&self, subscription: &Arc<str>) -> Arc<Meter> {
        Arc::clone(&self.pages().meters.entry(Arc::clone(subscription)).or_default().meter)
    }

    /// Forgets the subscriptions that no snapshot has any more.
    pub fn forget(&self) {
        self.pages().meters.retain(|_, page| Arc::strong_count(&page.meter) > 1);
    }

    pub(super) fn window(&self, meter: &Meter, subscription: &Arc<str>, per: Window, at: Time) -> Arc<QuotaWindow> {
        match &*meter.window.load() {
            Some(window) if window.is(per, at.ms()) => Arc::clone(window),
            _ => self.open(meter, subscription, per, at),
        }
    }

    fn open(&self, meter: &Meter, subscription: &Arc<str>, per: Window, at: Time) -> Arc<QuotaWindow> {
        let mut pages = self.pages();
        let before = meter.window.load_full();
        if let Some(window) = before.as_ref().filter(|window| window.is(per, at.ms())) {
            return Arc::clone(window);
        }
        // A call that began before the window did may come late: the newer window stays.
        if let Some(window) = before.as_ref().filter(|window| window.is_of(per) && at.ms() < window.begin) {
            return Arc::clone(window);
        }
        // A plan that counts by other windows now: what was counted for the old one is not known by parts.
        let since = before.filter(|window| !window.is_of(per)).map_or(i64::MIN, |_| at.ms());
        let (begin, end) = per.around(at.ms());
        let told = pages.totals.get(subscription).filter(|(window, _)| *window == begin).map_or(0, |(_, used)| *used);
        let told = bounded(told);
        let found: i64 = match pages.found.get(subscription) {
            Some(hours) if since == i64::MIN => hours.range(begin..end).map(|(_, units)| *units).sum(),
            _ => 0,
        };
        let window = Arc::new(QuotaWindow::open(per, at, told.saturating_add(found), since));
        if let Some(page) = pages.meters.get_mut(subscription) {
            page.told = told;
            page.untold = 0;
        }
        meter.window.store(Some(Arc::clone(&window)));
        window
    }

    /// A call of an earlier process that is on the disk still.
    pub fn found(&self, subscription: &str, at: i64, units: u32) {
        if units == 0 {
            return;
        }
        let mut pages = self.pages();
        let hours = match pages.found.get_mut(subscription) {
            Some(hours) => hours,
            None => pages.found.entry(Arc::from(subscription)).or_default(),
        };
        let sum = hours.entry(HOUR.around(at).0).or_default();
        *sum = sum.saturating_add(i64::from(units));
    }

    /// The ledger has taken these calls, and tells these totals. What is in a total and was counted here
    /// is counted once from now on.
    pub fn settle(&self, acknowledged: &[Acknowledged], totals: &[Total]) {
        let mut pages = self.pages();
        let pages = &mut *pages;
        for call in acknowledged.iter().filter(|call| call.origin != Origin::Elsewhere) {
            if call.origin == Origin::Found {
                pages.no_longer_found(call);
            }
            let Some(page) = call.subscription.as_ref().and_then(|id| pages.meters.get_mut(id)) else { continue };
            let window = page.meter.window.load();
            let since = |window: &QuotaWindow| match call.origin {
                Origin::Found => window.since == i64::MIN,
                _ => call.at >= window.since,
            };
            let within = |window: &QuotaWindow| since(window) && window.contains(call.at);
            if window.as_deref().is_some_and(within) {
                page.untold = page.untold.saturating_add(i64::from(call.units));
            }
        }
        for total in totals {
            let id: Arc<str> = total.subscription.as_str().into();
            if let Some(page) = pages.meters.get_mut(&id)
                && let Some(window) = page.meter.window.load().as_deref().filter(|window| window.begin == total.window)
            {
                let used = bounded(total.used);
                let more = used.saturating_sub(page.told).saturating_sub(page.untold);
                window.used.fetch_add(more, Ordering::AcqRel);
                page.told = used;
                page.untold = 0;
            }
            pages.totals.insert(id, (total.window, total.used));
        }
    }
}

impl Pages {
    fn no_longer_found(&mut self, call: &Acknowledged) {
        let Some(subscription) = &call.subscription else { return };
        let Some(hours) = self.found.get_mut(subscription) else { return };
        let hour = HOUR.around(call.at).0;
        if let Some(sum) = hours.get_mut(&hour) {
            *sum = sum.saturating_sub(i64::from(call.units));
            if *sum <= 0 {
                hours.remove(&hour);
            }
        }
        if hours.is_empty() {
            self.found.remove(subscription);
        }
    }
}

/// What a ledger tells, so that no sum of it and of what is counted here leaves its type and becomes a quota without end.
fn bounded(used: u64) -> i64 {
    i64::try_from(used).unwrap_or(i64::MAX).min(i64::MAX / 4)
}
