//! How fast: the generic cell rate algorithm, one atomic word per subscription.
//!
//! The word is the theoretical arrival time, in a unit of 1/`requests` of a millisecond, in which every
//! step is a whole number: what is enforced is the plan's rate exactly, for ever.

use std::sync::atomic::{AtomicU64, Ordering};

use catalog::RateSpec;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rate {
    /// Units in a millisecond.
    requests: u64,
    /// Units that a request takes: `per` in milliseconds.
    step: u64,
    pub burst: u64,
    pub per_s: u64,
}

/// After a decision: what could be sent at once, and when one more can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Left {
    pub remaining: u64,
    pub wait_s: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Bucket {
    arrival: AtomicU64,
    /// The rate that `arrival` is counted in.
    requests: AtomicU64,
}

impl Rate {
    pub fn new(spec: &RateSpec) -> Self {
        Self {
            requests: u64::from(spec.requests).max(1),
            step: u64::try_from(spec.per.0.as_millis()).unwrap_or(u64::MAX).max(1),
            burst: u64::from(spec.burst()).max(1),
            per_s: spec.per.0.as_secs(),
        }
    }

    pub fn requests(&self) -> u64 {
        self.requests
    }

    fn room(&self) -> u64 {
        self.burst.saturating_mul(self.step)
    }

    /// `busy`: how far the arrival time lies ahead.
    fn left(&self, busy: u64) -> Left {
        let remaining = self.room().saturating_sub(busy) / self.step;
        // One more is free when no more than this is ahead.
        let enough = self.burst.saturating_sub(remaining).saturating_sub(1).saturating_mul(self.step);
        let wait_ms = busy.saturating_sub(enough).div_ceil(self.requests);
        Left { remaining, wait_s: wait_ms.div_ceil(1_000) }
    }
}

impl Bucket {
    /// Takes one, or says when one can be taken.
    pub fn take(&self, rate: &Rate, now_ms: u64) -> Result<Left, Left> {
        self.adopt(rate, now_ms);
        let now = now_ms.saturating_mul(rate.requests);
        let mut arrival = self.arrival.load(Ordering::Relaxed);
        loop {
            let busy = arrival.saturating_sub(now).saturating_add(rate.step);
            if busy > rate.room() {
                return Err(Left { remaining: 0, ..rate.left(busy.saturating_sub(rate.step)) });
            }
            let next = now.saturating_add(busy);
            match self.arrival.compare_exchange_weak(arrival, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return Ok(rate.left(busy)),
                Err(other) => arrival = other,
            }
        }
    }

    /// A plan that has changed: what was taken stays taken, as many requests as it was.
    fn adopt(&self, rate: &Rate, now_ms: u64) {
        let before = self.requests.load(Ordering::Relaxed);
        if before == rate.requests {
            return;
        }
        // Who changes the unit converts; others decide meanwhile by what they find, once.
        let swapped = self.requests.compare_exchange(before, rate.requests, Ordering::AcqRel, Ordering::Relaxed);
        if before != 0 && swapped.is_ok() {
            let ahead_ms = (self.arrival.load(Ordering::Relaxed) / before).saturating_sub(now_ms);
            let arrival = now_ms.saturating_add(ahead_ms).saturating_mul(rate.requests);
            self.arrival.store(arrival, Ordering::Release);
        }
    }
}
