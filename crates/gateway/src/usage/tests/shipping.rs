//! From the disk to the ledger: each record once, whatever happens on the way.

use std::fs;
use std::sync::Arc;

use base::Secret;
use proptest::prelude::*;
use tempfile::TempDir;
use testkit::ManualClock;

use super::disk::segments;
use super::{frame, ids};
use crate::limits::Book;
use crate::management::{Management, ManagementConfig};
use crate::tests::ledger::{Fate, Ledger};
use crate::usage::record::encode_nothing;
use crate::usage::ship::{Shipper, ship_all};
use crate::usage::{Usage, UsageConfig, set_aside_in};

/// A gateway's usage without a gateway: what is shipped when is up to the test.
struct Desk {
    folder: TempDir,
    ledger: Arc<Ledger>,
    usage: Arc<Usage>,
    shipper: Option<Shipper>,
    seen: u64,
    written: u64,
    max_bytes: u64,
}

impl Desk {
    fn new(ledger: Arc<Ledger>, max_bytes: u64) -> Self {
        let folder = TempDir::new().unwrap();
        let (usage, shipper) = Self::open(&folder, &ledger, max_bytes);
        Self { folder, ledger, usage, shipper: Some(shipper), seen: 0, written: 0, max_bytes }
    }

    fn open(folder: &TempDir, ledger: &Arc<Ledger>, max_bytes: u64) -> (Arc<Usage>, Shipper) {
        let clock = ManualClock::new().shared();
        let config = ManagementConfig {
            url: "https://management.test".to_owned(),
            token: Secret::from("gateway-token"),
            name: "edge-1".to_owned(),
        };
        let peer: Arc<Ledger> = Arc::clone(ledger);
        let management = Arc::new(Management::new(config, peer, clock.clone()));
        let config = UsageConfig { max_bytes, ..UsageConfig::default() };
        Usage::open(folder.path(), config, management, Arc::<Book>::default(), clock).unwrap()
    }

    fn write(&mut self, records: u64) {
        for _ in 0..records {
            self.written += 1;
            self.usage.log.append(&frame(&format!("r{:06}", self.written)), 1).unwrap();
        }
    }

    async fn ship(&mut self) -> bool {
        let (shipper, result) = ship_all(&self.usage, self.shipper.take().unwrap(), &mut self.seen).await;
        self.shipper = Some(shipper);
        result.is_ok()
    }

    /// As after a kill: what is in memory is gone.
    fn restart(&mut self) {
        self.shipper = None;
        let elsewhere = Desk::new(Arc::clone(&self.ledger), 1 << 20);
        self.usage = elsewhere.usage;
        let (usage, shipper) = Self::open(&self.folder, &self.ledger, self.max_bytes);
        self.usage = usage;
        self.shipper = Some(shipper);
    }

    fn take_back(&mut self) {
        self.shipper.as_mut().unwrap().take_back().unwrap();
    }

    /// Each record that was written is there once.
    fn assert_exact(&self) {
        let books = self.ledger.books();
        let mut ids = ids(&books.records);
        ids.sort_unstable();
        let expected: Vec<String> = (1..=self.written).map(|number| format!("r{number:06}")).collect();
        assert_eq!(ids, expected);
    }
}

#[tokio::test]
async fn records_are_taken_once_whatever_becomes_of_the_answers() {
    let mut desk = Desk::new(Ledger::new(), 1 << 20);
    desk.ledger.fate([Fate::AnswerLost, Fate::Down, Fate::Status(503), Fate::AnswerLost]);
    desk.write(3);
    for _ in 0..4 {
        assert!(!desk.ship().await);
        desk.write(1);
    }
    assert!(desk.ship().await);
    assert!(desk.ship().await);

    desk.assert_exact();
    assert_eq!(desk.usage.log.unshipped(), 0);
}

#[tokio::test]
async fn numbers_go_on_after_a_restart_that_found_everything_shipped_and_deleted() {
    let mut desk = Desk::new(Ledger::new(), 40_000);
    for _ in 0..3 {
        desk.write(120);
        assert!(desk.ship().await);
        desk.restart();
    }
    desk.write(1);
    assert!(desk.ship().await);

    desk.assert_exact();
    assert!(segments(&desk.usage.log.folder).len() < 4);
}

#[tokio::test]
async fn more_than_a_batch_is_shipped_in_several() {
    let mut desk = Desk::new(Ledger::new(), 1 << 30);
    desk.write(2_500);
    assert!(desk.ship().await);

    desk.assert_exact();
    assert_eq!(desk.ledger.books().batches, 3);
}

#[tokio::test]
async fn a_disk_that_is_full_of_what_was_shipped_has_room_again() {
    let mut desk = Desk::new(Ledger::new(), 1 << 30);
    for _ in 0..3 {
        desk.write(10);
        assert!(desk.ship().await);
        let mut nothing = Vec::new();
        encode_nothing(500, &mut nothing);
        desk.usage.log.append(&nothing, 0).unwrap();
        desk.shipper.as_mut().unwrap().make_room().unwrap();
        assert_eq!((segments(&desk.usage.log.folder).len(), desk.usage.log.bytes()), (0, 0));
    }
    // What is not shipped stays, and what is sent already keeps its numbers.
    desk.write(10);
    desk.ledger.fate([Fate::AnswerLost]);
    assert!(!desk.ship().await);
    desk.write(1);
    desk.shipper.as_mut().unwrap().make_room().unwrap();
    desk.restart();
    ship_through(&mut desk).await;
    desk.assert_exact();
}

#[tokio::test]
async fn a_ledger_that_wants_other_numbers_gets_them() {
    let mut desk = Desk::new(Ledger::beginning_at(0), 1 << 20);
    desk.write(2);
    assert!(!desk.ship().await);
    desk.restart();
    assert!(desk.ship().await);
    desk.write(2);
    assert!(desk.ship().await);

    desk.assert_exact();
}

#[tokio::test]
async fn what_is_left_is_looked_through_in_pieces() {
    let mut desk = Desk::new(Ledger::new(), 1 << 30);
    desk.write(2_500);
    desk.ledger.fate([Fate::AnswerLost]);
    assert!(!desk.ship().await);
    desk.restart();

    assert_eq!(desk.usage.log.unshipped(), 2_500);
    assert!(desk.ship().await);
    desk.assert_exact();
    assert_eq!(desk.usage.log.unshipped(), 0);
}

/// Until nothing is left that would be taken.
async fn ship_through(desk: &mut Desk) {
    for _ in 0..100 {
        if desk.ship().await && desk.usage.log.unshipped() == 0 {
            return;
        }
    }
    panic!("it comes to no end");
}

fn give_back(desk: &Desk) {
    let folder = &desk.usage.log.folder;
    fs::rename(folder.join("set-aside"), folder.join("retry")).unwrap();
}

#[tokio::test]
async fn a_record_that_is_refused_for_good_is_set_aside_and_the_rest_goes_on() {
    let mut desk = Desk::new(Ledger::new(), 1 << 30);
    desk.write(2_300);
    desk.ledger.books().refuses = ["r000001", "r000777", "r000778", "r002300"].map(str::to_owned).to_vec();

    ship_through(&mut desk).await;

    assert_eq!(desk.ledger.books().records.len(), 2_296);
    let aside = desk.usage.state().aside;
    assert_eq!((aside.len(), aside[0].records, aside[0].damaged_bytes), (1, 4, 0));
    desk.restart();
    assert_eq!((desk.usage.log.unshipped(), desk.usage.state().aside[0].records), (0, 4), "over a restart too");
    desk.write(10);
    ship_through(&mut desk).await;

    // Somebody has mended management, and gives them back.
    desk.ledger.books().refuses.clear();
    give_back(&desk);
    desk.take_back();
    assert_eq!(desk.usage.log.unshipped(), 4);
    ship_through(&mut desk).await;
    desk.assert_exact();
    assert_eq!(set_aside_in(desk.folder.path()).unwrap(), []);
}

#[tokio::test]
async fn when_everything_is_refused_nothing_is_set_aside() {
    let mut desk = Desk::new(Ledger::new(), 1 << 30);
    desk.write(5);
    desk.ledger.books().refuses_all = true;
    for _ in 0..3 {
        assert!(!desk.ship().await);
    }
    assert_eq!((desk.usage.log.unshipped(), set_aside_in(desk.folder.path()).unwrap().len()), (5, 0));

    desk.ledger.books().refuses_all = false;
    ship_through(&mut desk).await;
    desk.assert_exact();
}

#[tokio::test]
async fn records_refused_one_after_the_other_are_not_all_set_aside_at_once() {
    let mut desk = Desk::new(Ledger::new(), 1 << 30);
    desk.write(50);
    desk.ledger.books().refuses = (1..=50).map(|number| format!("r{number:06}")).collect();

    assert!(!desk.ship().await);
    assert!(!desk.ship().await);

    assert_eq!(desk.usage.log.unshipped(), 45, "four, then one in each turn");
    desk.ledger.books().refuses.clear();
    ship_through(&mut desk).await;
    give_back(&desk);
    desk.take_back();
    ship_through(&mut desk).await;
    desk.assert_exact();
}

#[tokio::test]
async fn a_batch_whose_answer_was_lost_and_that_is_too_large_now_counts_once() {
    let mut desk = Desk::new(Ledger::new(), 1 << 30);
    desk.ledger.fate([Fate::AnswerLost]);
    desk.write(1_500);
    assert!(!desk.ship().await);
    desk.ledger.books().largest = 300;

    ship_through(&mut desk).await;

    desk.assert_exact();
    assert_eq!(set_aside_in(desk.folder.path()).unwrap(), []);
}

#[tokio::test]
async fn what_a_process_leaves_is_shipped_by_another() {
    let ledger = Ledger::new();
    let mut desk = Desk::new(Arc::clone(&ledger), 1 << 20);
    desk.write(5);
    let old = std::mem::replace(&mut desk.usage, Desk::new(Arc::clone(&ledger), 1 << 20).usage);
    let (new, shipper) = Desk::open(&desk.folder, &ledger, 1 << 20);
    assert_ne!(new.log.folder, old.log.folder);
    let shipping = new.ship(shipper, &tokio::runtime::Handle::current());

    old.log.append(&frame("r000006"), 1).unwrap();
    desk.written = 6;
    desk.shipper = None;
    drop(old);

    ledger.until(|books| books.records.len() == 6).await;
    desk.assert_exact();
    drop(shipping);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Calls, shipments, lost answers, refusals and kills in any order: the ledger has each call once, when what was
    /// refused is given back in the end.
    #[test]
    fn no_record_is_lost_or_doubled(steps in proptest::collection::vec(0u8..9, 1..40), small in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut desk = Desk::new(Ledger::new(), if small { 60_000 } else { 1 << 30 });
            for step in steps {
                match step {
                    0 | 1 => desk.write(20),
                    2 => {
                        desk.ship().await;
                    }
                    3 => {
                        desk.ledger.fate([Fate::AnswerLost]);
                        desk.ship().await;
                    }
                    4 => desk.ledger.fate([Fate::Down]),
                    5 => {
                        let refused = format!("r{:06}", desk.written.saturating_sub(7));
                        desk.ledger.books().refuses.push(refused);
                    }
                    6 => desk.shipper.as_mut().unwrap().make_room().unwrap(),
                    7 => {
                        let largest = desk.ledger.books().largest;
                        desk.ledger.books().largest = if largest == 0 { 3 } else { 0 };
                    }
                    _ => desk.restart(),
                }
            }
            desk.ledger.books().refuses.clear();
            ship_through(&mut desk).await;
            if desk.usage.log.folder.join("set-aside").exists() {
                give_back(&desk);
                desk.take_back();
                ship_through(&mut desk).await;
            }
            desk.assert_exact();
        });
    }
}
