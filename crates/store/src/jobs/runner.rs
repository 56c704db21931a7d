//! Takes due jobs and runs their handlers.

use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use base::Time;
use base::time::SharedClock;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join_all};

use super::{Job, TOPIC, claim, finish, next_due, put_back};
use crate::{Db, StoreError};

/// How long a runner sleeps at most, although no job is due and nobody has told of a new one.
const LONGEST_SLEEP: Duration = Duration::from_secs(2);
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(1);

/// Why a handler failed. The text is kept for the operator: no secrets.
#[derive(Debug, Clone)]
pub enum Failure {
    /// Trying again later may help.
    Again(String),
    /// It never will.
    Never(String),
}

type Handler = Box<dyn Fn(Job) -> BoxFuture<'static, Result<(), Failure>> + Send + Sync>;

/// What to do with each kind of job.
#[derive(Default)]
pub struct Handlers(HashMap<&'static str, Handler>);

impl Handlers {
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn on<F, R>(mut self, kind: &'static str, handler: F) -> Self
    where
        F: Fn(Job) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        self.0.insert(kind, Box::new(move |job| handler(job).boxed()));
        self
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// How long a job belongs to the runner that took it. A handler has three quarters of it.
    pub lease: Duration,
    /// The pause after the first failure; it doubles with each further one, up to `longest_pause`.
    pub first_pause: Duration,
    pub longest_pause: Duration,
    /// After so many failures the job is put aside.
    pub attempts: i64,
    /// How many jobs of a kind one runner has in hand.
    pub at_once: i64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(60),
            first_pause: Duration::from_secs(2),
            longest_pause: Duration::from_secs(3600),
            attempts: 20,
            at_once: 16,
        }
    }
}

pub struct Runner {
    db: Db,
    clock: SharedClock,
    handlers: Handlers,
    policy: Policy,
}

impl Runner {
    pub fn new(db: Db, clock: SharedClock, handlers: Handlers) -> Self {
        Self { db, clock, handlers, policy: Policy::default() }
    }

    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Runs jobs until `shutdown`; those in hand are finished first. Kinds do not wait for each other.
    pub async fn run(&self, shutdown: impl Future<Output = ()> + Send) {
        let shutdown = shutdown.shared();
        let kinds = self.handlers.0.keys().map(|kind| self.run_kind(kind, shutdown.clone()));
        join_all(kinds).await;
    }

    /// Runs what is due now, once; how many jobs that were.
    pub async fn run_due(&self) -> Result<usize, StoreError> {
        let mut count = 0;
        for kind in self.handlers.0.keys() {
            count += self.run_due_of(kind).await?;
        }
        Ok(count)
    }

    async fn run_kind(&self, kind: &'static str, shutdown: impl Future<Output = ()>) {
        let mut news = self.db.watch(TOPIC);
        let mut shutdown = Box::pin(shutdown);
        loop {
            news.borrow_and_update();
            let sleep = match self.run_due_of(kind).await {
                Ok(0) => self.until_next(kind).await,
                Ok(_) => Duration::ZERO,
                Err(error) => {
                    let cause = std::error::Error::source(&error);
                    tracing::warn!(job.kind = kind, error = %error, cause, "jobs cannot be taken");
                    PAUSE_AFTER_ERROR
                }
            };
            tokio::select! {
                biased;
                () = &mut shutdown => return,
                _ = news.changed() => {}
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }

    async fn until_next(&self, kind: &'static str) -> Duration {
        match next_due(&mut self.db.begin(), kind).await {
            // Not zero: what is due may just have been taken by another runner.
            Ok(Some(at)) => at.since(self.clock.now()).clamp(Duration::from_millis(20), LONGEST_SLEEP),
            Ok(None) | Err(_) => LONGEST_SLEEP,
        }
    }

    async fn run_due_of(&self, kind: &'static str) -> Result<usize, StoreError> {
        let Some(handler) = self.handlers.0.get(kind) else { return Ok(0) };
        let now = self.clock.now();
        // Looked up without a turn to write: mostly nothing is due.
        if next_due(&mut self.db.begin(), kind).await?.is_none_or(|due| due > now) {
            return Ok(0);
        }
        let mut tx = self.db.begin();
        let jobs = match claim(&mut tx, kind, now, now.plus(self.policy.lease), self.policy.at_once).await {
            Ok(jobs) => jobs,
            Err(StoreError::Contended(_)) => return Ok(0),
            Err(error) => return Err(error),
        };
        tx.commit().await?;

        let count = jobs.len();
        join_all(jobs.into_iter().map(|job| self.run_one(handler, job))).await;
        Ok(count)
    }

    async fn run_one(&self, handler: &Handler, job: Job) {
        let result = if job.attempt > self.policy.attempts {
            // It was taken so often without an end: its handler takes the process down.
            Err(Failure::Never("the process ended during the job".to_owned()))
        } else {
            let running = AssertUnwindSafe(async { handler(job.clone()).await }).catch_unwind();
            match tokio::time::timeout(self.policy.lease.mul_f32(0.75), running).await {
                Ok(Ok(result)) => result,
                Ok(Err(_)) => Err(Failure::Again("the handler panicked".to_owned())),
                Err(_) => Err(Failure::Again("the handler took too long".to_owned())),
            }
        };
        match self.record(&job, &result).await {
            Ok(true) => {}
            Ok(false) => tracing::warn!(job.kind = job.kind, job.key = job.key, "the lease of a job was lost"),
            // The job stays leased, and is run again after that.
            Err(error) => {
                let cause = std::error::Error::source(&error);
                tracing::warn!(job.kind = job.kind, job.key = job.key, error = %error, cause, "a job's end was not noted");
            }
        }
    }

    async fn record(&self, job: &Job, result: &Result<(), Failure>) -> Result<bool, StoreError> {
        let mut tx = self.db.begin();
        let noted = match result {
            Ok(()) => finish(&mut tx, job).await?,
            Err(Failure::Again(why)) if job.attempt < self.policy.attempts => {
                put_back(&mut tx, job, Some(self.next_try(job.attempt)), why).await?
            }
            Err(Failure::Again(why) | Failure::Never(why)) => {
                tracing::error!(job.kind = job.kind, job.key = job.key, why, "a job was given up");
                put_back(&mut tx, job, None, why).await?
            }
        };
        tx.commit().await?;
        Ok(noted)
    }

    /// Doubling pauses, of which the second half is random, so that what failed together does not come back together.
    fn next_try(&self, attempt: i64) -> Time {
        let doublings = u32::try_from(attempt.clamp(1, 32) - 1).unwrap_or(0);
        let pause = self.policy.first_pause.saturating_mul(2_u32.saturating_pow(doublings));
        let half = pause.min(self.policy.longest_pause) / 2;
        let part = f32::from(u16::from_ne_bytes(base::random::bytes())) / f32::from(u16::MAX);
        self.clock.now().plus(half).plus(half.mul_f32(part))
    }
}
