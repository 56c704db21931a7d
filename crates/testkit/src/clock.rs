//! A clock that tests move by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use base::time::SharedClock;
use base::{Clock, Time};

/// 2026-01-01T00:00:00Z, so that tests do not depend on the day they run.
pub const START: Time = Time(1_767_225_600_000);

/// Stands still until it is advanced. Clones are the same clock.
#[derive(Debug, Clone)]
pub struct ManualClock {
    now: Arc<AtomicI64>,
    monotonic: Arc<AtomicU64>,
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::at(START)
    }
}

impl ManualClock {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn at(time: Time) -> Self {
        Self { now: Arc::new(AtomicI64::new(time.ms())), monotonic: Arc::default() }
    }

    /// Time passes: both the time of day and the monotonic time move on.
    pub fn advance(&self, duration: Duration) {
        let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        self.now.fetch_add(i64::try_from(ms).unwrap_or(i64::MAX), Ordering::SeqCst);
        self.monotonic.fetch_add(ms, Ordering::SeqCst);
    }

    /// An operator sets the time of day, maybe back; monotonic time does not move.
    pub fn set(&self, time: Time) {
        self.now.store(time.ms(), Ordering::SeqCst);
    }

    pub fn shared(&self) -> SharedClock {
        Arc::new(self.clone())
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Time {
        Time(self.now.load(Ordering::SeqCst))
    }

    fn monotonic_ms(&self) -> u64 {
        self.monotonic.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_move_together_and_only_when_told() {
        let clock = ManualClock::new();
        let shared = clock.shared();

        clock.advance(Duration::from_secs(2));

        assert_eq!(shared.now(), START.plus(Duration::from_secs(2)));
        assert_eq!(shared.monotonic_ms(), 2_000);

        clock.set(START);

        assert_eq!(shared.now(), START);
        assert_eq!(shared.monotonic_ms(), 2_000);
    }
}
