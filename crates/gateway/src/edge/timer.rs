//! A time limit between two steps.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// Goes off when nothing has moved for `period`. It is set once and looked at again only when it has
/// gone off, so that a step costs no timer; therefore it goes off after one to two periods.
#[derive(Debug)]
pub(super) struct Idle {
    period: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
    moved: bool,
}

impl Idle {
    pub(super) fn new(period: Duration) -> Self {
        Self { period, sleep: None, moved: false }
    }

    pub(super) fn moved(&mut self) {
        self.moved = true;
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let sleep = self.sleep.get_or_insert_with(|| {
                self.moved = false;
                Box::pin(sleep(self.period))
            });
            ready!(sleep.as_mut().poll(cx));
            self.sleep = None;
            if !self.moved {
                return Poll::Ready(());
            }
        }
    }
}

/// A limit that is mostly kept: one timer serves many waits, one after the other. It is set anew only
/// when it has gone off for an earlier wait; therefore a wait costs no timer, and each ends in its own time.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    /// Waits for `answer` until `limit` is over.
    pub(super) async fn within<T>(
        &mut self,
        limit: Duration,
        mut answer: Pin<&mut impl Future<Output = T>>,
    ) -> Option<T> {
        let mut end = None;
        poll_fn(|cx| {
            if let Poll::Ready(answered) = answer.as_mut().poll(cx) {
                return Poll::Ready(Some(answered));
            }
            // Farther than the clock counts: no limit.
            let end = match end {
                Some(end) => end,
                None => match Instant::now().checked_add(limit) {
                    Some(at) => *end.insert(at),
                    None => return Poll::Pending,
                },
            };
            // One that is set for later would be too late.
            let sleep = match &mut self.sleep {
                Some(sleep) if sleep.deadline() <= end => sleep,
                none_or_late => none_or_late.insert(Box::pin(sleep_until(end))),
            };
            loop {
                ready!(sleep.as_mut().poll(cx));
                if sleep.deadline() >= end {
                    return Poll::Ready(None);
                }
                sleep.as_mut().reset(end);
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::pin::pin;

    use base::time::Stopwatch;

    use super::*;

    #[tokio::test]
    async fn each_wait_ends_in_its_own_time() {
        let mut alarm = Alarm::default();
        let (short, long, hour) = (Duration::from_millis(5), Duration::from_millis(30), Duration::from_secs(3_600));
        let mut answered = pin!(async { tokio::task::yield_now().await });
        assert_eq!(alarm.within(hour, answered.as_mut()).await, Some(()));

        // Neither the hour that is set nor what has gone off before counts.
        for limit in [short, long, short] {
            let watch = Stopwatch::start();
            let waited = tokio::time::timeout(hour, alarm.within(limit, pin!(pending::<()>()))).await;

            assert_eq!(waited, Ok(None));
            assert!(watch.elapsed() >= limit, "{limit:?}");
        }
        // Set for the short one, and asked again before that is over.
        let mut again = pin!(async { tokio::task::yield_now().await });
        assert_eq!(alarm.within(short, again.as_mut()).await, Some(()));
        let watch = Stopwatch::start();
        assert_eq!(alarm.within(long, pin!(pending::<()>())).await, None);
        assert!(watch.elapsed() >= long);
    }

    #[tokio::test]
    async fn a_limit_may_be_too_long_to_be_counted() {
        let mut answered = pin!(async { tokio::task::yield_now().await });

        assert_eq!(Alarm::default().within(Duration::MAX, answered.as_mut()).await, Some(()));
    }
}
