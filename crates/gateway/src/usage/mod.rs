//! Usage: one record for each call of an API, written ahead to the gateway's own disk (`log`) before the
//! head of the answer goes out, and shipped to management's ledger (`ship`).
//!
//! An answer that a client has seen has its record, whatever becomes of the process; a record whose answer
//! nobody has seen is possible, for the calls that are under way when a process is killed.

mod aside;
mod left;
mod log;
mod record;
mod refused;
mod segment;
mod ship;
mod state;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use aside::{Aside, set_aside_in};
use base::Time;
use base::time::SharedClock;
use catalog::RateSpec;
pub(crate) use catalog::usage::Outcome;
use http::StatusCode;
use prometheus_client::metrics::counter::Counter;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::deny::Deny;
use crate::edge::Exchange;
use crate::limits::{Book, Bucket, Rate};
use crate::management::Management;
use log::{Health, Log};
use record::{Call, Passed};
use ship::Shipper;

/// How usage is kept.
#[derive(Debug, Clone)]
pub struct UsageConfig {
    pub on_failure: OnFailure,
    /// How often what was written is made to outlive a loss of power.
    pub sync_interval: Duration,
    /// What may lie on the disk, shipped or not; more is as if the disk were full.
    pub max_bytes: u64,
}

/// What becomes of calls whose usage cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// 503 `usage_unavailable`: nothing is given away.
    #[default]
    Refuse,
    /// They are served, free of charge, and counted in a metric.
    Serve,
}

impl Default for UsageConfig {
    fn default() -> Self {
        Self { on_failure: OnFailure::Refuse, sync_interval: Duration::from_millis(200), max_bytes: 1 << 30 }
    }
}

/// Refusals of callers that nobody knows, in a second: who guesses tokens must not fill the disk.
const STRANGERS: RateSpec = RateSpec { requests: 100, per: catalog::Span::from_secs(1), burst: None };

pub(crate) struct Usage {
    /// With the folders of all processes.
    folder: PathBuf,
    log: Arc<Log>,
    config: UsageConfig,
    management: Arc<Management>,
    book: Arc<Book>,
    clock: SharedClock,
    health: Health,
    strangers: (Rate, Bucket),
    /// When the first record of the batch under way was written; `i64::MAX`: there is none.
    oldest: AtomicI64,
    /// Records that other processes have left.
    left: AtomicU64,
    aside: Mutex<Vec<Aside>>,
    pub unrecorded: Counter,
}

/// What is told of it.
#[derive(Debug, Clone)]
pub(crate) struct State {
    /// Of this process, and of those before it.
    pub unshipped: u64,
    /// What people have to look at.
    pub aside: Vec<Aside>,
    pub oldest: Option<Duration>,
    pub bytes: u64,
    pub writes: bool,
}

/// Ends the shipping when dropped; what is not shipped is by the next process.
pub(crate) struct Shipping {
    tasks: [AbortHandle; 2],
}

impl Drop for Shipping {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Usage {
    /// Takes a folder for this process, and tells the book what lies in it from before.
    pub fn open(
        folder: &Path,
        config: UsageConfig,
        management: Arc<Management>,
        book: Arc<Book>,
        clock: SharedClock,
    ) -> io::Result<(Arc<Self>, Shipper)> {
        let log = Arc::new(Log::open(folder, config.max_bytes)?);
        let shipper = Shipper::open(Arc::clone(&log), true, |record| {
            if let Some(subscription) = &record.subscription {
                book.found(subscription, record.at, record.units);
            }
        })?;
        let aside = Mutex::new(set_aside_in(folder)?);
        let usage = Arc::new(Self {
            folder: folder.to_owned(),
            log,
            management,
            book,
            clock,
            health: Health::default(),
            strangers: (Rate::new(&STRANGERS), Bucket::default()),
            oldest: AtomicI64::new(i64::MAX),
            left: AtomicU64::new(0),
            aside,
            unrecorded: Counter::default(),
            config,
        });
        Ok((usage, shipper))
    }

    pub fn ship(self: &Arc<Self>, shipper: Shipper, runtime: &Handle) -> Shipping {
        let tasks = [
            runtime.spawn(ship::run(Arc::downgrade(self), shipper)).abort_handle(),
            runtime.spawn(sync(Arc::downgrade(self))).abort_handle(),
        ];
        Shipping { tasks }
    }

    /// Whether calls are refused, before a service has worked for them.
    pub fn refuses(&self) -> bool {
        self.config.on_failure == OnFailure::Refuse && self.health.is_bad()
    }

    /// Writes the record of a call. False: the call must not be answered as if it had one.
    pub fn record(&self, exchange: &Exchange, status: StatusCode, outcome: Outcome) -> bool {
        self.record_for(exchange, status, outcome, exchange.denied)
    }

    /// The call of a client that has gone before there was an answer; a service has worked for it all the same, so
    /// that it counts: quotas would bind nobody who hangs up in time.
    pub fn record_gone(&self, exchange: &Exchange, status: StatusCode) {
        let _nobody_is_there_to_be_told = self.record_for(exchange, status, Outcome::Served, Some("client_gone"));
    }

    fn record_for(
        &self,
        exchange: &Exchange,
        status: StatusCode,
        outcome: Outcome,
        reason: Option<&'static str>,
    ) -> bool {
        // A token that has ended says whose it was, not who sends it.
        let is_stranger = exchange.client_id.is_none() || exchange.denied == Some(Deny::TokenInvalid.slug());
        if outcome == Outcome::Refused && !self.has_room_for_refusal(is_stranger) {
            self.unrecorded.inc();
            return true;
        }
        let written = self.write(exchange, status, outcome, reason);
        self.health.note(&written);
        if written.is_ok() {
            return true;
        }
        self.unrecorded.inc();
        self.config.on_failure == OnFailure::Serve
    }

    /// A refusal costs its sender nothing: neither strangers nor a client without rights or beyond its plan may fill
    /// the disk with them, or nobody's calls would be served. Half of the room is for calls that are.
    fn has_room_for_refusal(&self, stranger: bool) -> bool {
        let room = self.log.bytes() < self.config.max_bytes / 2;
        room && (!stranger || self.strangers.1.take(&self.strangers.0, self.clock.monotonic_ms()).is_ok())
    }

    fn write(
        &self,
        exchange: &Exchange,
        status: StatusCode,
        outcome: Outcome,
        reason: Option<&'static str>,
    ) -> io::Result<()> {
        thread_local! {
            static FRAME: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        let call = Call {
            id: exchange.request_id.as_str(),
            at: exchange.at,
            api: exchange.api.as_deref().unwrap_or_default(),
            operation: exchange.operation.as_deref().unwrap_or_default(),
            method: exchange.request.as_ref().map_or("", |request| request.method.as_str()),
            client: exchange.client_id.as_deref(),
            subscription: exchange.subscription.as_deref(),
            plan: exchange.plan.as_deref(),
            status: status.as_u16(),
            outcome,
            reason,
            units: u32::from(outcome == Outcome::Served),
            way: Passed {
                steps: &exchange.steps,
                token: exchange.token_cache,
                judged: exchange.policy.as_ref(),
                shadowed: exchange.shadowed,
                told: exchange.told.as_deref(),
                parts: exchange.missing_parts.each_ref().map(Option::as_deref),
            },
            micros: u64::try_from(exchange.started.elapsed().as_micros()).unwrap_or(u64::MAX),
        };
        FRAME.with_borrow_mut(|frame| {
            frame.clear();
            record::encode(&call, frame);
            self.log.append(frame, 1)
        })
    }

    /// Tries whether the disk takes something again.
    async fn mend(&self) {
        if !self.health.is_bad() {
            return;
        }
        let log = Arc::clone(&self.log);
        // More than may be left of a page or block, so that a disk that is full is found full.
        let bytes = u16::try_from(self.config.max_bytes / 64).unwrap_or(u16::MAX).min(16 * 1024);
        let written = tokio::task::spawn_blocking(move || {
            let mut frame = Vec::new();
            record::encode_nothing(bytes, &mut frame);
            log.append(&frame, 0)
        });
        if let Ok(written) = written.await {
            self.health.note(&written);
        }
    }

    fn left(&self, records: u64) {
        self.left.store(records, Ordering::Relaxed);
    }

    async fn look_aside(&self) {
        let folder = self.folder.clone();
        match tokio::task::spawn_blocking(move || set_aside_in(&folder)).await {
            Ok(Ok(found)) => *self.aside.lock().unwrap_or_else(PoisonError::into_inner) = found,
            Ok(Err(error)) => tracing::warn!(cause = %error, "what is set aside of usage cannot be looked through"),
            Err(_) => {}
        }
    }

    fn oldest(&self, at: Option<i64>) {
        self.oldest.store(at.unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    pub fn state(&self) -> State {
        let oldest = self.oldest.load(Ordering::Relaxed);
        State {
            unshipped: self.log.unshipped().saturating_add(self.left.load(Ordering::Relaxed)),
            aside: self.aside.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            oldest: (oldest != i64::MAX).then(|| self.clock.now().since(Time::from_ms(oldest))),
            bytes: self.log.bytes(),
            writes: !self.health.is_bad(),
        }
    }
}

async fn sync(usage: std::sync::Weak<Usage>) {
    loop {
        let Some(usage) = usage.upgrade() else { return };
        usage.mend().await;
        let log = Arc::clone(&usage.log);
        let interval = usage.config.sync_interval;
        drop(usage);
        match tokio::task::spawn_blocking(move || log.sync()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(cause = %error, "the usage log cannot be synced"),
            Err(_) => return,
        }
        tokio::time::sleep(interval).await;
    }
}

/// Served is what a service answered below 500, or a composition; what the gateway answered with a
/// problem of its own is refused; from 500 on it failed, whoever said so.
pub(crate) fn outcome(exchange: &Exchange, status: StatusCode) -> Outcome {
    if status.is_server_error() {
        Outcome::Failed
    } else if exchange.denied.is_some() {
        Outcome::Refused
    } else {
        Outcome::Served
    }
}
