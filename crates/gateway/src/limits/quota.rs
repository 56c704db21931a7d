//! How many in a calendar window: one number per subscription that is never reset, but replaced with its
//! window, so that a call is counted in the window that it began in, however late it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use base::Time;
use catalog::{QuotaSpec, Window};

#[derive(Debug)]
pub(super) struct QuotaWindow {
    per: Window,
    pub begin: i64,
    end: i64,
    /// What the ledger has told, plus what this gateway has counted since, plus what is under way.
    pub used: AtomicI64,
    /// Own calls that began before this are not in `used`.
    pub since: i64,
}

/// A unit of a quota that a call holds; given back when it is dropped, unless it was counted.
#[derive(Debug)]
pub struct Held {
    window: Arc<QuotaWindow>,
    counted: AtomicBool,
}

/// What became of the wish for a unit.
#[derive(Debug)]
pub(super) struct Taken {
    pub held: Option<Held>,
    pub left: u64,
    /// There was none.
    pub full: bool,
}

impl Held {
    /// The call is one that counts.
    pub(crate) fn count(&self) {
        self.counted.store(true, Ordering::Relaxed);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !*self.counted.get_mut() {
            self.window.used.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

impl QuotaWindow {
    pub fn open(per: Window, at: Time, used: i64, since: i64) -> Self {
        let (begin, end) = per.around(at.ms());
        Self { per, begin, end, used: AtomicI64::new(used), since }
    }

    pub fn is(&self, per: Window, at_ms: i64) -> bool {
        self.per == per && self.contains(at_ms)
    }

    pub fn contains(&self, at_ms: i64) -> bool {
        (self.begin..self.end).contains(&at_ms)
    }

    pub fn is_of(&self, per: Window) -> bool {
        self.per == per
    }

    pub fn length_s(&self) -> u64 {
        u64::try_from(self.end.saturating_sub(self.begin) / 1_000).unwrap_or(0)
    }

    /// Seconds to its end, at least one.
    pub fn reset_s(&self, at: Time) -> u64 {
        let ms = u64::try_from(self.end.saturating_sub(at.ms())).unwrap_or(0);
        ms.div_ceil(1_000).max(1)
    }

    /// Takes a unit if one is left, or in any case if the quota is soft or not `enforced`.
    pub fn hold(self: &Arc<Self>, quota: &QuotaSpec, enforced: bool) -> Taken {
        let limit = i64::try_from(quota.requests).unwrap_or(i64::MAX);
        let left = |used: i64| u64::try_from(limit.saturating_sub(used)).unwrap_or(0);
        let mut used = self.used.load(Ordering::Acquire);
        loop {
            let full = quota.hard && used >= limit;
            if full && enforced {
                return Taken { held: None, left: 0, full };
            }
            let next = used.saturating_add(1);
            match self.used.compare_exchange_weak(used, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => {
                    let held = Held { window: Arc::clone(self), counted: AtomicBool::new(false) };
                    return Taken { held: Some(held), left: left(next), full };
                }
                Err(other) => used = other,
            }
        }
    }

    /// What is left, without taking any.
    pub fn left(&self, quota: &QuotaSpec) -> u64 {
        let limit = i64::try_from(quota.requests).unwrap_or(i64::MAX);
        u64::try_from(limit.saturating_sub(self.used.load(Ordering::Acquire))).unwrap_or(0)
    }
}
