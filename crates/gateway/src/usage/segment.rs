//! One file of the log: frames one behind the other, written by one thread.
//!
//! What a write that was interrupted has left at the end was never acknowledged, and is cut. Anything else that cannot
//! be read was a record once: it is kept beside (`aside`), and what follows it is read all the same.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use catalog::usage::UsageRecord;

use super::aside;
use super::record::{Frame, decode, is_torn, next_whole};

/// What is read at once; longer than any frame.
const PIECE_BYTES: u64 = 256 * 1024;

#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub number: u64,
    pub file: Arc<File>,
    /// Up to where it is read.
    pub length: u64,
    /// Of this, what outlives a loss of power.
    pub synced: u64,
}

pub(super) fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:016x}.log"))
}

/// A segment of an earlier process, without what is torn at its end.
pub(super) fn recover(folder: &Path, number: u64) -> io::Result<Segment> {
    let file = OpenOptions::new().read(true).write(true).open(path(folder, number))?;
    let whole = file.metadata()?.len();
    let mut damaged = Vec::new();
    walk(&file, 0..whole, &mut damaged, |_, _| true)?;
    let mut length = whole;
    if let Some(end) = damaged.pop_if(|range| range.end == whole) {
        if is_torn(&read_range(&file, end.start, end.end.min(end.start.saturating_add(PIECE_BYTES)))?) {
            tracing::warn!(segment = number, bytes = end.end - end.start, "the torn end of a usage log is cut");
            file.set_len(end.start)?;
            length = end.start;
        } else {
            damaged.push(end);
        }
    }
    let segment = Segment { number, file: Arc::new(file), length, synced: 0 };
    aside::keep_damage(folder, &segment, &damaged);
    Ok(segment)
}

/// Gives records, with their frames, to `each` until it has enough. Where it stopped; what it could not read and
/// passed over goes to `damaged`.
pub(super) fn walk(
    file: &File,
    range: Range<u64>,
    damaged: &mut Vec<Range<u64>>,
    mut each: impl FnMut(UsageRecord, &[u8]) -> bool,
) -> io::Result<u64> {
    let mut at = range.start;
    while at < range.end {
        let bytes = read_range(file, at, range.end.min(at.saturating_add(PIECE_BYTES)))?;
        let mut taken = 0_usize;
        loop {
            let rest = bytes.get(taken..).unwrap_or_default();
            match decode(rest) {
                Frame::Record(record, length) => {
                    taken = taken.saturating_add(length);
                    if !each(*record, rest.get(..length).unwrap_or_default()) {
                        return Ok(at.saturating_add(number(taken)));
                    }
                }
                Frame::Nothing(length) => taken = taken.saturating_add(length),
                Frame::Later(length) => {
                    let from = at.saturating_add(number(taken));
                    damaged.push(from..from.saturating_add(number(length)));
                    taken = taken.saturating_add(length);
                }
                Frame::End => break,
            }
        }
        if taken == 0 {
            // A piece holds any frame whole, and none begins here.
            let next = next_readable(file, at, range.end)?;
            damaged.push(at..next);
            at = next;
        }
        at = at.saturating_add(number(taken));
    }
    Ok(at)
}

/// The next frame behind `from`, or the end.
fn next_readable(file: &File, from: u64, end: u64) -> io::Result<u64> {
    let mut at = from;
    while at < end {
        let upto = end.min(at.saturating_add(PIECE_BYTES));
        if let Some(found) = next_whole(&read_range(file, at, upto)?) {
            return Ok(at.saturating_add(number(found)));
        }
        // One that is cut by the end of the piece begins in its second half.
        at = if upto == end { end } else { at.saturating_add(PIECE_BYTES / 2) };
    }
    Ok(end)
}

pub(super) fn read_range(file: &File, from: u64, to: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(to.saturating_sub(from)).unwrap_or(0)];
    file.read_exact_at(&mut bytes, from)?;
    Ok(bytes)
}

fn number(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(0)
}
