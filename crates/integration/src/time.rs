//! Time limits and pauses.

use std::sync::Arc;
use std::time::Duration;

use base::SystemClock;
use base::time::SharedClock;
use futures_util::future::BoxFuture;

type Sleep = Arc<dyn Fn(Duration) -> BoxFuture<'static, ()> + Send + Sync>;

/// A clock and a way to wait that go by the same time.
#[derive(Clone)]
pub struct Timer {
    clock: SharedClock,
    sleep: Sleep,
}

impl std::fmt::Debug for Timer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Timer")
    }
}

impl Timer {
    /// The system's time and tokio's timers.
    pub fn system() -> Self {
        Self::new(SystemClock::shared(), Arc::new(|time| Box::pin(tokio::time::sleep(time))))
    }

    pub fn new(clock: SharedClock, sleep: Sleep) -> Self {
        Self { clock, sleep }
    }

    pub fn clock(&self) -> &SharedClock {
        &self.clock
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.clock.monotonic_ms()
    }

    pub(crate) fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        (self.sleep)(time)
    }

    /// What the future gives, or `None` when the time is over before.
    pub(crate) async fn within<T>(&self, time: Duration, future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            value = future => Some(value),
            () = self.sleep(time) => None,
        }
    }
}
