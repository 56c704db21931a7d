//! The log on the gateway's own disk. A folder belongs to one process at a time (a lock that dies with
//! it), and has a name of its own under which its records are numbered: when a process hands over to
//! another, each writes its own folder, and what the old one leaves is shipped by the new one.
//!
//! Each thread appends to a segment of its own, by one `write` per call. That survives the end of the
//! process, however it ends; against a loss of power the segments are synced every so often (`sync`).

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use catalog::usage::UsageRecord;

use super::aside;
use super::segment::{Segment, path, recover, walk};

/// Where shipping stands in each segment: what lies before is the ledger's.
pub(super) type Marks = BTreeMap<u64, u64>;

const LOCK: &str = "lock";
const ID: &str = "id";
/// Of a segment, or of its thread's eighth of what may lie on the disk: there is room for one that is begun while
/// others wait to be shipped.
const SEGMENT_BYTES: u64 = 4 * 1024 * 1024;

#[derive(Debug)]
pub(crate) struct Log {
    pub(super) folder: PathBuf,
    /// Under which the records are numbered.
    pub(super) id: String,
    /// Held until the process ends, or lets the folder go.
    _lock: File,
    /// What was found.
    old: Mutex<Stripe>,
    stripes: Box<[Mutex<Stripe>]>,
    next_segment: AtomicU64,
    /// On the disk, shipped or not.
    bytes: AtomicU64,
    max_bytes: u64,
    segment_bytes: u64,
    unshipped: AtomicU64,
    found_up_to: u64,
}

#[derive(Debug, Default)]
struct Stripe {
    segments: Vec<Segment>,
    /// The one that is written to.
    written: Option<u64>,
}

impl Stripe {
    /// The ledger has all of it, and nobody writes to it any more: a full one is left before the next record.
    fn is_shipped(&self, segment: &Segment, marks: &Marks, full: u64) -> bool {
        let written = self.written == Some(segment.number) && segment.length < full;
        !written && marks.get(&segment.number).is_some_and(|mark| *mark >= segment.length)
    }
}

/// Records in the order of segments.
#[derive(Debug, Default)]
pub(crate) struct Piece {
    pub records: Vec<UsageRecord>,
    /// The segment of each.
    pub segments: Vec<u64>,
    /// Where they end.
    pub reached: Marks,
}

impl Log {
    /// A folder of the data folder that no other process has: one that is there already, or a new one.
    pub fn open(usage: &Path, max_bytes: u64) -> io::Result<Self> {
        fs::create_dir_all(usage)?;
        for folder in slots(usage)? {
            if let Some(log) = Self::adopt(&folder, max_bytes)? {
                return Ok(log);
            }
        }
        // A name that is taken at the same moment by another process is that one's.
        loop {
            let folder = usage.join(base::random::text::<8>());
            fs::create_dir_all(&folder)?;
            if let Some(log) = Self::adopt(&folder, max_bytes)? {
                return Ok(log);
            }
        }
    }

    /// `None` if another process has it.
    pub fn adopt(folder: &Path, max_bytes: u64) -> io::Result<Option<Self>> {
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(folder.join(LOCK))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let named = folder.join(ID);
        let id = match fs::read_to_string(&named) {
            Ok(id) if !id.trim().is_empty() => id.trim().to_owned(),
            Ok(_) => new_id(&named)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => new_id(&named)?,
            Err(error) => return Err(error),
        };
        let mut found = Vec::new();
        for entry in fs::read_dir(folder)? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".log"));
            found.extend(number.and_then(|number| u64::from_str_radix(number, 16).ok()));
        }
        found.sort_unstable();
        let mut old = Stripe::default();
        for number in &found {
            old.segments.push(recover(folder, *number)?);
        }
        let bytes = old.segments.iter().map(|segment| segment.length).sum();
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = u64::try_from(cores).unwrap_or(1);
        Ok(Some(Self {
            folder: folder.to_owned(),
            id,
            _lock: lock,
            old: Mutex::new(old),
            stripes: (0..cores).map(|_| Mutex::default()).collect(),
            next_segment: AtomicU64::new(found.last().map_or(1, |last| last.saturating_add(1))),
            bytes: AtomicU64::new(bytes),
            max_bytes,
            segment_bytes: SEGMENT_BYTES.min(max_bytes / 8 / threads),
            unshipped: AtomicU64::new(0),
            found_up_to: found.last().copied().unwrap_or(0),
        }))
    }

    /// Segments that are made from now on have this number at least.
    pub fn number_from(&self, number: u64) {
        self.next_segment.fetch_max(number, Ordering::Relaxed);
    }

    /// Appends whole frames. When it returns, they outlive this process.
    pub fn append(&self, frames: &[u8], records: u64) -> io::Result<()> {
        let length = u64::try_from(frames.len()).unwrap_or(u64::MAX);
        if self.bytes.load(Ordering::Relaxed).saturating_add(length) > self.max_bytes {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        let mut stripe = self.own_stripe();
        let stripe = &mut *stripe;
        let room = |segment: &Segment| stripe.written == Some(segment.number) && segment.length < self.segment_bytes;
        if !stripe.segments.last().is_some_and(room) {
            let segment = self.new_segment()?;
            stripe.written = Some(segment.number);
            stripe.segments.push(segment);
        }
        let Some(segment) = stripe.segments.last_mut() else { return Err(io::ErrorKind::NotFound.into()) };
        if let Err(error) = segment.file.write_all_at(frames, segment.length) {
            // What it has left is taken away, and if that fails too, written over by the next record.
            let _written_over = segment.file.set_len(segment.length);
            return Err(error);
        }
        segment.length = segment.length.saturating_add(length);
        self.bytes.fetch_add(length, Ordering::Relaxed);
        self.unshipped.fetch_add(records, Ordering::Relaxed);
        Ok(())
    }

    /// Threads are spread over the stripes.
    fn own_stripe(&self) -> MutexGuard<'_, Stripe> {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static OWN: usize = THREADS.fetch_add(1, Ordering::Relaxed);
        }
        let own = OWN.with(|own| *own) % self.stripes.len().max(1);
        self.stripes.get(own).unwrap_or(&self.old).lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn new_segment(&self) -> io::Result<Segment> {
        let number = self.next_segment.fetch_add(1, Ordering::Relaxed);
        let path = path(&self.folder, number);
        let file = OpenOptions::new().create_new(true).read(true).write(true).mode(0o600).open(path)?;
        Ok(Segment { number, file: Arc::new(file), length: 0, synced: 0 })
    }

    fn stripes(&self) -> impl Iterator<Item = MutexGuard<'_, Stripe>> {
        std::iter::once(&self.old)
            .chain(&self.stripes)
            .map(|stripe| stripe.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn segments(&self) -> Vec<Segment> {
        let mut all: Vec<Segment> = self.stripes().flat_map(|stripe| stripe.segments.clone()).collect();
        all.sort_unstable_by_key(|segment| segment.number);
        all
    }

    /// Makes what has been appended outlive a loss of power.
    pub fn sync(&self) -> io::Result<()> {
        let mut files = Vec::new();
        let mut new = false;
        for mut stripe in self.stripes() {
            for segment in stripe.segments.iter_mut().filter(|segment| segment.synced < segment.length) {
                new |= segment.synced == 0;
                segment.synced = segment.length;
                files.push(Arc::clone(&segment.file));
            }
        }
        let synced = files.iter().try_for_each(|file| file.sync_data()).and_then(|()| {
            // A file is there only with its name.
            if new { File::open(&self.folder)?.sync_all() } else { Ok(()) }
        });
        if synced.is_err() {
            self.stripes().for_each(|mut stripe| stripe.segments.iter_mut().for_each(|segment| segment.synced = 0));
        }
        synced
    }

    /// Up to `most` records behind the marks and before `ends`, if that is given.
    pub fn read(&self, marks: &Marks, ends: Option<&Marks>, most: usize) -> io::Result<Piece> {
        let mut piece = Piece::default();
        for segment in self.segments() {
            let from = marks.get(&segment.number).copied().unwrap_or(0);
            let to = match ends {
                Some(ends) => ends.get(&segment.number).copied().unwrap_or(from).min(segment.length),
                None => segment.length,
            };
            let mut at = from;
            if piece.records.len() < most {
                let mut damaged = Vec::new();
                at = walk(&segment.file, from..to, &mut damaged, |record, _| {
                    piece.records.push(record);
                    piece.segments.push(segment.number);
                    piece.records.len() < most
                })?;
                aside::keep_damage(&self.folder, &segment, &damaged);
            }
            if at > 0 {
                piece.reached.insert(segment.number, at);
            }
        }
        Ok(piece)
    }

    /// The first record behind the marks, as it stands on the disk.
    pub fn first_frame(&self, marks: &Marks) -> io::Result<Option<Vec<u8>>> {
        for segment in self.segments() {
            let from = marks.get(&segment.number).copied().unwrap_or(0);
            let mut found = None;
            walk(&segment.file, from..segment.length, &mut Vec::new(), |_, frame| {
                found = Some(frame.to_vec());
                false
            })?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Records that people have given back become a segment, by one renaming: they are there once. Its number, and
    /// how many they are.
    pub fn take_back(&self) -> io::Result<Option<(u64, u64)>> {
        let given = self.folder.join(aside::RETRY);
        if !given.try_exists()? {
            return Ok(None);
        }
        let number = self.next_segment.fetch_add(1, Ordering::Relaxed);
        fs::rename(given, path(&self.folder, number))?;
        File::open(&self.folder)?.sync_all()?;
        let segment = recover(&self.folder, number)?;
        let mut records = 0_u64;
        walk(&segment.file, 0..segment.length, &mut Vec::new(), |_, _| {
            records = records.saturating_add(1);
            true
        })?;
        self.bytes.fetch_add(segment.length, Ordering::Relaxed);
        self.unshipped.fetch_add(records, Ordering::Relaxed);
        self.old.lock().unwrap_or_else(PoisonError::into_inner).segments.push(segment);
        tracing::info!(segment = number, records, "usage records that were given back are shipped");
        Ok(Some((number, records)))
    }

    /// Segments up to this number were found when the folder was opened.
    pub fn found_up_to(&self) -> u64 {
        self.found_up_to
    }

    /// The segments that are written to are left for new ones, so that they can be deleted when they are shipped.
    pub fn leave_segments(&self) {
        for mut stripe in self.stripes() {
            let begun = stripe.segments.last().is_some_and(|segment| segment.length > 0);
            stripe.written = stripe.written.filter(|_| !begun);
        }
    }

    pub fn has(&self, number: u64) -> bool {
        self.stripes().any(|stripe| stripe.segments.iter().any(|segment| segment.number == number))
    }

    pub fn has_shipped(&self, marks: &Marks) -> bool {
        self.stripes()
            .any(|stripe| stripe.segments.iter().any(|segment| stripe.is_shipped(segment, marks, self.segment_bytes)))
    }

    /// Deletes the segments that the ledger has whole and nobody writes to. What cannot be deleted stays known: its
    /// records would be shipped again by the next process otherwise.
    pub fn delete_shipped(&self, marks: &Marks) -> io::Result<()> {
        let mut deleted = Ok(());
        for mut stripe in self.stripes() {
            let (gone, mut kept): (Vec<Segment>, Vec<Segment>) = stripe
                .segments
                .clone()
                .into_iter()
                .partition(|segment| stripe.is_shipped(segment, marks, self.segment_bytes));
            for segment in gone {
                match fs::remove_file(path(&self.folder, segment.number)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        kept.push(segment);
                        deleted = Err(error);
                    }
                    _ => drop(self.bytes.fetch_sub(segment.length, Ordering::Relaxed)),
                }
            }
            kept.sort_unstable_by_key(|segment| segment.number);
            stripe.segments = kept;
        }
        // That it is gone outlives a loss of power before its mark is forgotten.
        File::open(&self.folder)?.sync_all()?;
        deleted
    }

    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub fn unshipped(&self) -> u64 {
        self.unshipped.load(Ordering::Relaxed)
    }

    pub fn found(&self, records: u64) {
        self.unshipped.fetch_add(records, Ordering::Relaxed);
    }

    pub fn shipped(&self, records: u64) {
        self.unshipped.fetch_sub(records, Ordering::Relaxed);
    }
}

/// Whether the log takes records; looked at before a service is asked.
#[derive(Debug, Default)]
pub(super) struct Health(AtomicBool);

impl Health {
    pub fn is_bad(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Tells the log of the process when that changes.
    pub fn note(&self, written: &io::Result<()>) {
        let bad = written.is_err();
        // Looked at first: threads that only read do not take the line from each other.
        if self.is_bad() != bad && self.0.swap(bad, Ordering::Relaxed) != bad {
            match written {
                Err(error) => tracing::error!(cause = %error, "usage cannot be written to the disk"),
                Ok(()) => tracing::info!("usage is written to the disk again"),
            }
        }
    }
}

/// The folders of usage logs, in a fixed order.
pub(super) fn slots(usage: &Path) -> io::Result<Vec<PathBuf>> {
    let mut slots = Vec::new();
    for entry in fs::read_dir(usage)? {
        let path = entry?.path();
        if path.is_dir() {
            slots.push(path);
        }
    }
    slots.sort();
    Ok(slots)
}

fn new_id(path: &Path) -> io::Result<String> {
    let id = base::ids::RequestId::random().as_str().to_owned();
    crate::files::write_private(path, id.as_bytes())?;
    Ok(id)
}
