//! Where shipping stands, on the disk. Two places of a file that has its size from the beginning are written
//! in turn, so that a torn write leaves the one before, and a disk that is full can still be shipped from.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::log::Marks;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    /// Number of the first record behind `marks`.
    pub first: u64,
    pub marks: Marks,
    /// Where the batch ends that may have been sent.
    #[serde(default)]
    pub ends: Option<Marks>,
}

const PLACE_BYTES: u64 = 32 * 1024;
/// Count of writings, length, checksum.
const HEAD: usize = 16;

#[derive(Debug)]
pub(super) struct StateFile {
    file: File,
    written: u64,
}

impl StateFile {
    pub fn open(path: &Path) -> io::Result<(Self, Option<State>)> {
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(path)?;
        if file.metadata()?.len() < 2 * PLACE_BYTES {
            let zeros = vec![0; usize::try_from(2 * PLACE_BYTES).unwrap_or(0)];
            file.write_all_at(&zeros, 0)?;
            file.sync_all()?;
        }
        let newest = [0, PLACE_BYTES].into_iter().filter_map(|place| read(&file, place).transpose());
        let mut found: Option<(u64, State)> = None;
        for place in newest {
            let place = place?;
            if found.as_ref().is_none_or(|found| found.0 < place.0) {
                found = Some(place);
            }
        }
        let written = found.as_ref().map_or(0, |found| found.0);
        Ok((Self { file, written }, found.map(|found| found.1)))
    }

    /// When it returns, it is there also after a loss of power.
    pub fn write(&mut self, state: &State) -> io::Result<()> {
        let text = serde_json::to_vec(state).map_err(io::Error::other)?;
        let length = u32::try_from(text.len()).map_err(io::Error::other)?;
        let next = self.written.saturating_add(1);
        let mut bytes = Vec::with_capacity(text.len().saturating_add(HEAD));
        bytes.extend_from_slice(&next.to_le_bytes());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&sum(next, &text).to_le_bytes());
        bytes.extend_from_slice(&text);
        if u64::try_from(bytes.len()).is_ok_and(|length| length > PLACE_BYTES) {
            return Err(io::Error::other("the state of shipping is too long for its place"));
        }
        self.file.write_all_at(&bytes, (next % 2) * PLACE_BYTES)?;
        self.file.sync_data()?;
        self.written = next;
        Ok(())
    }
}

fn sum(number: u64, text: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&number.to_le_bytes());
    hasher.update(text);
    hasher.finalize()
}

/// `None`: nothing whole stands there.
fn read(file: &File, place: u64) -> io::Result<Option<(u64, State)>> {
    let mut bytes = vec![0; usize::try_from(PLACE_BYTES).unwrap_or(0)];
    file.read_exact_at(&mut bytes, place)?;
    let whole = || {
        let (number, rest) = bytes.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (check, rest) = rest.split_first_chunk::<4>()?;
        let number = u64::from_le_bytes(*number);
        let text = rest.get(..usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        if number == 0 || sum(number, text) != u32::from_le_bytes(*check) {
            return None;
        }
        Some((number, serde_json::from_slice(text).ok()?))
    };
    Ok(whole())
}
