//! What people have to look at: records that management refuses for good, and pieces of the log that cannot be read.
//!
//! Both are kept beside the log, as they stood in it, and block nothing. `set-aside` has records that were refused;
//! renamed to `retry` they are shipped anew. `SEGMENT-PLACE.damaged` has what was passed over in a segment.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::log::slots;
use super::segment::{Segment, read_range, walk};

const ASIDE: &str = "set-aside";
pub(super) const RETRY: &str = "retry";
const DAMAGED: &str = "damaged";

/// What lies aside in the folder of one process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Aside {
    pub folder: PathBuf,
    /// That management refused.
    pub records: u64,
    /// That could not be read.
    pub damaged_bytes: u64,
}

/// Of all processes of a data folder, those with something in them. `usage`: the folder of usage logs.
pub fn set_aside_in(usage: &Path) -> io::Result<Vec<Aside>> {
    if !usage.try_exists()? {
        return Ok(Vec::new());
    }
    let mut all = Vec::new();
    for folder in slots(usage)? {
        let found = look(&folder)?;
        if found.records > 0 || found.damaged_bytes > 0 {
            all.push(found);
        }
    }
    Ok(all)
}

fn look(folder: &Path) -> io::Result<Aside> {
    let mut found = Aside { folder: folder.to_owned(), ..Aside::default() };
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == DAMAGED) {
            found.damaged_bytes = found.damaged_bytes.saturating_add(fs::metadata(&path)?.len());
        } else if path.file_name().is_some_and(|name| name == ASIDE) {
            let file = File::open(&path)?;
            walk(&file, 0..file.metadata()?.len(), &mut Vec::new(), |_, _| {
                found.records = found.records.saturating_add(1);
                true
            })?;
        }
    }
    Ok(found)
}

/// Keeps a record that is not shipped. When it returns, it is there also after a loss of power. The same one is not
/// kept twice, if the process ended before it was noted that it is here.
pub(super) fn set_aside(folder: &Path, frame: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let file = options.create(true).truncate(false).read(true).write(true).mode(0o600).open(folder.join(ASIDE))?;
    let end = file.metadata()?.len();
    let length = u64::try_from(frame.len()).unwrap_or(u64::MAX);
    if let Some(last) = end.checked_sub(length)
        && read_range(&file, last, end)? == frame
    {
        return Ok(());
    }
    if let Err(error) = file.write_all_at(frame, end) {
        let _written_over = file.set_len(end);
        return Err(error);
    }
    file.sync_all()?;
    File::open(folder)?.sync_all()
}

/// Keeps what cannot be read, once. A failure is told and stops nobody: the segment has it still.
pub(super) fn keep_damage(folder: &Path, segment: &Segment, damaged: &[Range<u64>]) {
    for range in damaged {
        let path = folder.join(format!("{:016x}-{:x}.{DAMAGED}", segment.number, range.start));
        if path.exists() {
            continue;
        }
        let bytes = range.end.saturating_sub(range.start);
        tracing::error!(
            segment = segment.number,
            at = range.start,
            bytes,
            kept = %path.display(),
            "a piece of the usage log cannot be read: its calls are not counted"
        );
        let kept = read_range(&segment.file, range.start, range.end)
            .and_then(|bytes| crate::files::write_private(&path, &bytes));
        if let Err(error) = kept {
            tracing::error!(cause = %error, "what cannot be read in the usage log cannot be kept beside it either");
        }
    }
}
