//! Shipping: batches with numbers without a gap, so that the ledger takes each record once. Which records
//! a batch holds, and under which numbers, is on the disk before it is sent; after a crash the same batch
//! is sent again.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::Usage;
use super::log::{Log, Marks, Piece};
use super::state::{State, StateFile};
use super::{aside, left, refused};
use crate::limits::{Acknowledged, Origin};
use crate::management::{Backoff, NoAnswer, Standing};
use catalog::usage::{Gap, UsageAnswer, UsageBatch, UsageRecord};

const STATE: &str = "shipping";
const MOST_RECORDS: usize = 1_000;
/// How often it is looked whether there is something to ship: the bound on what a quota does not know yet
/// of other gateways, together with the way to the ledger and back.
pub(super) const EVERY: Duration = Duration::from_millis(200);
/// Looks without anything to ship between two signs of life (1 s).
const QUIET_LOOKS: u32 = 5;
/// Looks between two for what other processes have left (2 s).
const LEFT_LOOKS: u32 = 10;

pub(crate) struct Shipper {
    pub log: Arc<Log>,
    file: StateFile,
    pub(super) state: State,
    pub(super) pending: Vec<UsageRecord>,
    /// The segment of each of them.
    segments: Vec<u64>,
    /// Whether this process's counts have these calls.
    own: bool,
    /// Segments that people have given back: nobody's counts have their calls.
    given_back: Vec<u64>,
    /// How many records the next batch may have.
    most: usize,
    /// Records set aside since the last one that was taken.
    pub(super) refused: u32,
}

impl Shipper {
    /// Gives what is there and not the ledger's yet to `each`.
    pub fn open(log: Arc<Log>, own: bool, each: impl FnMut(&UsageRecord)) -> io::Result<Self> {
        let (file, state) = StateFile::open(&log.folder.join(STATE))?;
        // 1 and not 0: a ledger that begins at 0 says so, and nothing is taken for known.
        let state = state.unwrap_or_else(|| State { first: 1, marks: Marks::new(), ends: None });
        // A mark of a segment that is deleted must never be taken for one of a new segment.
        let marked = state.marks.keys().chain(state.ends.iter().flat_map(Marks::keys)).max();
        log.number_from(marked.map_or(0, |last| last.saturating_add(1)));
        let (pending, segments, given_back) = (Vec::new(), Vec::new(), Vec::new());
        let shipper = Self { log, file, state, pending, segments, own, given_back, most: MOST_RECORDS, refused: 0 };
        let left = shipper.walk_left(each)?;
        shipper.log.found(left);
        Ok(shipper)
    }

    /// Goes over what lies on the disk and is not the ledger's yet, a piece at a time; how many they are.
    fn walk_left(&self, mut each: impl FnMut(&UsageRecord)) -> io::Result<u64> {
        let mut marks = self.state.marks.clone();
        let mut left = 0_u64;
        loop {
            let piece = self.log.read(&marks, None, MOST_RECORDS)?;
            if piece.records.is_empty() {
                return Ok(left);
            }
            piece.records.iter().for_each(&mut each);
            left = left.saturating_add(count(piece.records.len()));
            // Only what was read is forgotten: a segment that is passed over keeps its mark.
            marks.extend(piece.reached);
        }
    }

    /// Records that people have given back.
    pub fn take_back(&mut self) -> io::Result<()> {
        if let Some((segment, _)) = self.log.take_back()? {
            self.given_back.push(segment);
        }
        Ok(())
    }

    /// Deletes what the ledger has, once it stands on the disk that it has it.
    pub(super) fn tidy(&mut self) -> io::Result<()> {
        if self.log.has_shipped(&self.state.marks) {
            self.file.write(&self.state)?;
            let deleted = self.log.delete_shipped(&self.state.marks);
            let log = &self.log;
            self.state.marks.retain(|number, _| log.has(*number));
            self.given_back.retain(|number| log.has(*number));
            if let Err(error) = deleted {
                tracing::warn!(cause = %error, "a shipped segment of the usage log cannot be deleted");
            }
        }
        Ok(())
    }

    /// The disk takes nothing: what is shipped is deleted now, and not only when its segment is full.
    pub(super) fn make_room(&mut self) -> io::Result<()> {
        self.log.leave_segments();
        if self.state.ends.is_some() {
            return Ok(());
        }
        let piece = self.log.read(&self.state.marks, None, 1)?;
        if piece.records.is_empty() {
            // Behind the last record there may be what says nothing.
            self.state.marks = piece.reached;
        }
        self.tidy()
    }

    /// Fixes the next batch, unless one is under way; on the disk before anybody hears of it.
    fn prepare(&mut self) -> io::Result<()> {
        if !self.pending.is_empty() {
            return Ok(());
        }
        if self.state.ends.is_none() {
            self.tidy()?;
        }
        if self.log.unshipped() == 0 && self.state.ends.is_none() {
            return Ok(());
        }
        // What is sent again is sent whole, as it was.
        let most = if self.state.ends.is_some() { MOST_RECORDS } else { self.most };
        let piece = self.log.read(&self.state.marks, self.state.ends.as_ref(), most)?;
        if piece.records.is_empty() {
            self.state.ends = None;
            return Ok(());
        }
        if self.state.ends.is_none() {
            // First the records, then their numbers: a number that was given is never given to another record.
            self.log.sync()?;
            let state = State { ends: Some(piece.reached.clone()), ..self.state.clone() };
            self.file.write(&state)?;
            self.state = state;
        }
        self.take(piece);
        Ok(())
    }

    fn take(&mut self, piece: Piece) {
        self.state.ends = Some(piece.reached);
        self.pending = piece.records;
        self.segments = piece.segments;
    }

    /// The batch under way ends after its first `most` records. The rest keeps its numbers: nothing is written down.
    pub(super) fn shorten(&mut self, most: usize) -> io::Result<()> {
        let piece = self.log.read(&self.state.marks, self.state.ends.as_ref(), most)?;
        self.take(piece);
        self.most = most.max(1);
        Ok(())
    }

    /// Keeps the one record of the batch under way beside the log. The number that it would have had is the next one's:
    /// the ledger has said that it knows none.
    pub(super) fn set_aside(&mut self) -> io::Result<()> {
        let Some(frame) = self.log.first_frame(&self.state.marks)? else { return Ok(()) };
        aside::set_aside(&self.log.folder, &frame)?;
        let marks = self.state.ends.clone().unwrap_or_else(|| self.state.marks.clone());
        let state = State { marks, ends: None, ..self.state.clone() };
        self.file.write(&state)?;
        self.state = state;
        Ok(())
    }

    /// The ledger wants other numbers: it is younger than our folder, or older.
    pub(super) fn renumber(&mut self, first: u64) -> io::Result<()> {
        tracing::error!(
            gateway.id = self.log.id,
            ours = self.state.first,
            ledger = first,
            "the ledger counts this gateway's records differently: the ledger or the data folder is a restored one"
        );
        let state = State { first, ..self.state.clone() };
        self.file.write(&state)?;
        self.state = state;
        Ok(())
    }

    /// The ledger has the batch. What is not kept on the disk of that is sent again after a crash, and known.
    pub(super) fn done(&mut self, next: u64) -> Vec<Acknowledged> {
        self.state.first = next;
        if let Some(ends) = self.state.ends.take() {
            self.state.marks = ends;
        }
        self.most = self.most.saturating_mul(2).min(MOST_RECORDS);
        self.refused = 0;
        self.settled()
    }

    /// The batch under way is no more.
    pub(super) fn settled(&mut self) -> Vec<Acknowledged> {
        let (records, segments) = (std::mem::take(&mut self.pending), std::mem::take(&mut self.segments));
        self.log.shipped(count(records.len()));
        records.iter().zip(segments).map(|(record, segment)| self.acknowledged(record, segment)).collect()
    }

    fn acknowledged(&self, record: &UsageRecord, segment: u64) -> Acknowledged {
        let origin = match () {
            () if !self.own || self.given_back.contains(&segment) => Origin::Elsewhere,
            () if segment <= self.log.found_up_to() => Origin::Found,
            () => Origin::Counted,
        };
        let subscription = record.subscription.as_deref().map(Arc::from);
        Acknowledged { subscription, at: record.at, units: record.units, origin }
    }

    pub(super) fn count(&self) -> u64 {
        count(self.pending.len())
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// Ships until the gateway is dropped.
pub(super) async fn run(usage: std::sync::Weak<Usage>, mut own: Shipper) {
    let mut backoff = Backoff::default();
    let (mut quiet, mut looks) = (QUIET_LOOKS, 0_u32);
    let mut told = Standing::default();
    let mut seen = 0;
    let mut others = Vec::new();
    loop {
        let Some(usage) = usage.upgrade() else { return };
        looks = looks.saturating_add(1);
        quiet = quiet.saturating_add(1);
        if usage.health.is_bad() {
            own = warned(beside(own, Shipper::make_room).await, "no room can be made for usage records");
        }
        let standing = usage.management.standing();
        // What is served, or refused, is told at once.
        let due = own.log.unshipped() > 0 || quiet >= QUIET_LOOKS || standing != told;
        let mut wait = EVERY;
        if due {
            quiet = 0;
            told = standing;
            let (back, result) = ship_all(&usage, own, &mut seen).await;
            own = back;
            match result {
                Ok(()) => {
                    backoff.reset();
                    others = left::ship(&usage, others, &mut seen).await;
                }
                Err(error) => {
                    tracing::warn!(cause = %error, unshipped = own.log.unshipped(), "usage cannot be shipped now");
                    wait = backoff.next().max(EVERY);
                }
            }
        }
        if looks >= LEFT_LOOKS {
            looks = 0;
            own = warned(beside(own, Shipper::take_back).await, "usage records that were given back cannot be taken");
            left::find(&usage, &own.log.folder, &mut others).await;
            usage.left(others.iter().map(|shipper| shipper.log.unshipped()).sum());
            usage.look_aside().await;
        }
        drop(usage);
        tokio::time::sleep(wait).await;
    }
}

fn warned((shipper, result): (Shipper, io::Result<()>), what: &str) -> Shipper {
    if let Err(error) = result {
        tracing::warn!(cause = %error, "{what}");
    }
    shipper
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error("{0}")]
    Disk(#[from] io::Error),
    #[error("{0}")]
    Management(#[from] NoAnswer),
    #[error("management refuses one record after the other; each is set aside, and the next one tried in a while")]
    Many,
}

/// Batch after batch until nothing is left; at least one, which may be empty.
pub(super) async fn ship_all(usage: &Usage, mut shipper: Shipper, seen: &mut u64) -> (Shipper, Result<(), Failed>) {
    loop {
        // One that is sent again says nothing of what has come since.
        let again = shipper.state.ends.is_some();
        let result;
        (shipper, result) = beside(shipper, Shipper::prepare).await;
        if let Err(error) = result {
            return (shipper, Err(error.into()));
        }
        let full = shipper.pending.len() >= shipper.most;
        match ship_one(usage, &mut shipper, seen).await {
            Ok(()) => {}
            Err(Failed::Management(NoAnswer::Refused { status, why })) if !shipper.pending.is_empty() => {
                let result;
                (shipper, result) = refused::narrow(usage, shipper, status, &why).await;
                if let Err(error) = result {
                    return (shipper, Err(error));
                }
                continue;
            }
            Err(error) => return (shipper, Err(error)),
        }
        if !full && !again {
            let (shipper, result) = beside(shipper, Shipper::tidy).await;
            return (shipper, result.map_err(Failed::from));
        }
    }
}

pub(super) fn batch(usage: &Usage, shipper: &Shipper, records: Vec<UsageRecord>, seen: u64) -> UsageBatch {
    let standing = usage.management.standing();
    UsageBatch {
        gateway: shipper.log.id.clone(),
        name: usage.management.name().to_owned(),
        first: shipper.state.first,
        records,
        serving: standing.serving,
        refused: standing.refused,
        seen,
    }
}

/// On a thread that may wait for the disk.
pub(super) async fn beside(
    mut shipper: Shipper,
    work: impl FnOnce(&mut Shipper) -> io::Result<()> + Send + 'static,
) -> (Shipper, io::Result<()>) {
    let done = tokio::task::spawn_blocking(move || {
        let result = work(&mut shipper);
        (shipper, result)
    });
    match done.await {
        Ok(done) => done,
        // The process ends, and the shipper is gone with the thread.
        Err(_) => std::future::pending().await,
    }
}

async fn ship_one(usage: &Usage, shipper: &mut Shipper, seen: &mut u64) -> Result<(), Failed> {
    usage.oldest(shipper.pending.iter().map(|record| record.at).min());
    let records = std::mem::take(&mut shipper.pending);
    let mut batch = batch(usage, shipper, records, *seen);
    let answer = usage.management.send_usage(&batch).await;
    shipper.pending = std::mem::take(&mut batch.records);
    let answer = answer?;
    if answer.status() == http::StatusCode::CONFLICT {
        let gap: Gap = serde_json::from_slice(answer.body()).map_err(|_| NoAnswer::Unreadable)?;
        shipper.renumber(gap.next)?;
        return Err(NoAnswer::Status(409).into());
    }
    let answer: UsageAnswer = serde_json::from_slice(answer.body()).map_err(|_| NoAnswer::Unreadable)?;
    let end = shipper.state.first.saturating_add(shipper.count());
    if answer.next < end {
        // It has not taken what it answered 200 to: to go on would lose it.
        return Err(NoAnswer::Unreadable.into());
    }
    if answer.next > end {
        shipper.renumber(answer.next)?;
    }
    let settled = shipper.done(answer.next);
    usage.book.settle(&settled, &answer.totals);
    usage.oldest(None);
    *seen = answer.cursor;
    Ok(())
}
