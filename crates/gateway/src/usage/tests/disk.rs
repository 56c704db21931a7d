//! What is on the disk: torn, damaged, full, deleted.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tempfile::TempDir;

use super::{call, frame, ids};
use crate::usage::log::{Log, Marks, Piece};
use crate::usage::record::encode;
use crate::usage::set_aside_in;
use crate::usage::state::{State, StateFile};

pub(super) fn segments(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "log"))
        .collect();
    found.sort();
    found
}

#[test]
fn a_torn_end_is_cut_and_what_is_whole_is_kept() {
    let folder = TempDir::new().unwrap();
    let log = Log::open(folder.path(), 1 << 20).unwrap();
    log.append(&frame("a"), 1).unwrap();
    log.append(&frame("b"), 1).unwrap();
    let path = segments(&log.folder)[0].clone();
    drop(log);
    let torn = frame("c");
    OpenOptions::new().append(true).open(&path).unwrap().write_all(&torn[..torn.len() - 1]).unwrap();

    let log = Log::open(folder.path(), 1 << 20).unwrap();
    log.append(&frame("d"), 1).unwrap();

    let Piece { records, reached, .. } = log.read(&Marks::new(), None, 100).unwrap();
    assert_eq!(ids(&records), ["a", "b", "d"]);
    assert_eq!(log.read(&reached, None, 100).unwrap().records, []);
    assert_eq!(set_aside_in(folder.path()).unwrap(), [], "nobody has to look at what is merely torn");
    assert_eq!(segments(&log.folder).len(), 2);
}

/// A log of one segment with these records, changed on the disk while nobody has it.
fn damaged(records: &[&str], change: impl FnOnce(&mut Vec<u8>)) -> (TempDir, Log) {
    let folder = TempDir::new().unwrap();
    let log = Log::open(folder.path(), 1 << 30).unwrap();
    for id in records {
        log.append(&frame(id), 1).unwrap();
    }
    let path = segments(&log.folder)[0].clone();
    drop(log);
    let mut bytes = fs::read(&path).unwrap();
    change(&mut bytes);
    fs::write(&path, &bytes).unwrap();
    let log = Log::open(folder.path(), 1 << 30).unwrap();
    (folder, log)
}

#[test]
fn what_is_damaged_in_the_middle_is_kept_beside_and_what_follows_is_read() {
    let length = frame("a").len();
    let (folder, log) = damaged(&["a", "b", "c", "d", "e"], |bytes| {
        bytes[length] ^= 0xff;
        bytes[length + 20] ^= 1;
        bytes[3 * length + 30] = 0;
    });

    let piece = log.read(&Marks::new(), None, 100).unwrap();
    assert_eq!(ids(&piece.records), ["a", "c", "e"]);
    assert_eq!(log.read(&piece.reached, None, 100).unwrap().records, []);
    let aside = set_aside_in(folder.path()).unwrap();
    assert_eq!((aside.len(), aside[0].damaged_bytes), (1, 2 * u64::try_from(length).unwrap()));
    // Also when it is damaged while the process runs, and each piece is kept once.
    let path = segments(&log.folder)[0].clone();
    let mut bytes = fs::read(&path).unwrap();
    bytes[20] ^= 1;
    fs::write(&path, &bytes).unwrap();
    for _ in 0..2 {
        assert_eq!(ids(&log.read(&Marks::new(), None, 100).unwrap().records), ["c", "e"]);
    }
    // Two pieces that lie side by side are kept as what they were found as.
    assert_eq!(set_aside_in(folder.path()).unwrap()[0].damaged_bytes, 4 * u64::try_from(length).unwrap());
}

#[test]
fn a_whole_record_at_the_end_that_is_damaged_is_kept_beside() {
    let length = frame("a").len();
    let (folder, log) = damaged(&["a", "b"], |bytes| bytes[length + 20] ^= 1);
    assert_eq!(ids(&log.read(&Marks::new(), None, 100).unwrap().records), ["a"]);
    assert_eq!(set_aside_in(folder.path()).unwrap()[0].damaged_bytes, u64::try_from(length).unwrap());

    // Room that was taken and never written to is none.
    let (folder, log) = damaged(&["a", "b"], |bytes| bytes.extend([0; 5_000]));
    assert_eq!(ids(&log.read(&Marks::new(), None, 100).unwrap().records), ["a", "b"]);
    assert_eq!(set_aside_in(folder.path()).unwrap(), []);
}

#[test]
fn a_record_of_a_later_version_is_kept_for_that_version() {
    let mut later = Vec::new();
    encode(&call("later"), &mut later);
    later[6] = 200;
    let sum = crc32fast::hash(&later[6..]).to_le_bytes();
    later[2..6].copy_from_slice(&sum);
    let (folder, log) = damaged(&["a"], |bytes| bytes.extend([later.clone(), frame("b"), later.clone()].concat()));

    assert_eq!(ids(&log.read(&Marks::new(), None, 100).unwrap().records), ["a", "b"]);
    let kept: Vec<PathBuf> = fs::read_dir(&log.folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "damaged"))
        .collect();
    assert_eq!(kept.len(), 2);
    assert!(kept.iter().all(|path| fs::read(path).unwrap() == later));
    assert_eq!(set_aside_in(folder.path()).unwrap().len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However a segment is damaged: what is untouched is read, what is touched is kept, nothing is made up.
    #[test]
    fn damage_takes_what_it_touches_and_nothing_else(from in 0usize..900, long in 1usize..300, with in any::<u8>()) {
        let names: Vec<String> = (0..10).map(|at| format!("r{at}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let length = frame("r0").len();
        let upto = (from + long).min(10 * length - 1);
        let from = from.min(upto - 1);
        let (_folder, log) = damaged(&names, |bytes| bytes[from..upto].fill(with));

        let records = log.read(&Marks::new(), None, 100).unwrap().records;

        let untouched = |at: usize| (at + 1) * length <= from || at * length >= upto;
        let expected: Vec<&str> = (0..10).filter(|at| untouched(*at)).map(|at| names[at]).collect();
        let found = ids(&records);
        // A byte that is written over by itself touches nothing.
        prop_assert!(expected.iter().all(|id| found.contains(id)), "{expected:?} {found:?}");
        prop_assert!(found.iter().all(|id| names.contains(id)) && found.is_sorted());
    }
}

#[test]
fn what_cannot_be_deleted_is_not_shipped_again() {
    let folder = TempDir::new().unwrap();
    let log = Log::open(folder.path(), 1 << 20).unwrap();
    log.append(&frame("a"), 1).unwrap();
    drop(log);
    let log = Log::open(folder.path(), 1 << 20).unwrap();
    let Piece { reached, .. } = log.read(&Marks::new(), None, 100).unwrap();
    let path = segments(&log.folder)[0].clone();
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();

    assert!(log.delete_shipped(&reached).is_err());

    assert!(log.has(1) && log.has_shipped(&reached), "its mark stays, and it is tried again");
    fs::remove_dir(&path).unwrap();
    assert!(log.delete_shipped(&reached).is_ok() && !log.has(1));
}

#[test]
fn a_folder_has_one_process_and_a_name_that_stays() {
    let folder = TempDir::new().unwrap();
    let first = Log::open(folder.path(), 1 << 20).unwrap();
    let second = Log::open(folder.path(), 1 << 20).unwrap();
    assert_ne!((&first.folder, &first.id), (&second.folder, &second.id));
    assert!(Log::adopt(&first.folder, 1 << 20).unwrap().is_none());
    let names: BTreeSet<String> = [first.id.clone(), second.id.clone()].into();
    drop((first, second));

    let again = [Log::open(folder.path(), 1 << 20).unwrap(), Log::open(folder.path(), 1 << 20).unwrap()];
    assert_eq!(again.iter().map(|log| log.id.clone()).collect::<BTreeSet<_>>(), names);
}

#[test]
fn a_log_that_is_full_takes_nothing_until_some_of_it_is_shipped() {
    let folder = TempDir::new().unwrap();
    let log = Log::open(folder.path(), 2_000).unwrap();
    let mut written = 0;
    while log.append(&frame("a"), 1).is_ok() {
        written += 1;
    }
    assert!(written > 10);

    let Piece { records, reached, .. } = log.read(&Marks::new(), None, 100).unwrap();
    assert_eq!(records.len(), written);
    log.delete_shipped(&reached).unwrap();

    assert!(log.append(&frame("b"), 1).is_ok());
}

#[test]
fn a_torn_write_of_the_state_leaves_the_one_before() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("shipping");
    let state = |first| State { first, marks: Marks::from([(1, first)]), ends: None };
    let (mut file, none) = StateFile::open(&path).unwrap();
    assert_eq!(none, None);
    for first in 1..=3 {
        file.write(&state(first)).unwrap();
        assert_eq!(StateFile::open(&path).unwrap().1, Some(state(first)));
    }
    let mut bytes = fs::read(&path).unwrap();

    // The third writing went to the second place.
    bytes[32 * 1024 + 20] ^= 1;
    fs::write(&path, &bytes).unwrap();

    let (mut file, older) = StateFile::open(&path).unwrap();
    assert_eq!(older, Some(state(2)));
    file.write(&state(9)).unwrap();
    assert_eq!(StateFile::open(&path).unwrap().1, Some(state(9)));
    assert_eq!(fs::metadata(&path).unwrap().len(), 64 * 1024);
    let many = State { marks: (0..10_000).map(|number| (number, number)).collect(), ..state(1) };
    assert!(file.write(&many).is_err());
}
