//! A time limit between two steps.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

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
