use std::sync::Arc;
use std::time::Duration;

use base::Time;
use catalog::usage::Total;
use catalog::{QuotaSpec, RateSpec, Span, Window};
use proptest::prelude::*;

use super::book::{Acknowledged, Book, Meter, Origin};
use super::rate::{Bucket, Left, Rate};

fn rate(requests: u32, per_s: u64, burst: u32) -> Rate {
    Rate::new(&RateSpec { requests, per: Span(Duration::from_secs(per_s)), burst: Some(burst) })
}

/// The same law in other words: a vessel that holds `burst` and is filled with `requests` in `per`.
struct Vessel {
    level: u128,
    full: u128,
    per_ms: u128,
    requests: u128,
    at_ms: u64,
}

impl Vessel {
    fn new(requests: u32, per_s: u64, burst: u32) -> Self {
        let per_ms = u128::from(per_s) * 1_000;
        let full = u128::from(burst) * per_ms;
        Self { level: full, full, per_ms, requests: requests.into(), at_ms: 0 }
    }

    fn take(&mut self, at_ms: u64) -> bool {
        self.level = self.full.min(self.level + u128::from(at_ms - self.at_ms) * self.requests);
        self.at_ms = at_ms;
        let fits = self.level >= self.per_ms;
        if fits {
            self.level -= self.per_ms;
        }
        fits
    }

    fn remaining(&self) -> u64 {
        u64::try_from(self.level / self.per_ms).unwrap()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_rate_is_that_of_the_model_and_its_numbers_are_true(
        requests in 1u32..200, per_s in 1u64..100, burst in 1u32..50,
        gaps in proptest::collection::vec(0u64..3_000, 1..60),
    ) {
        let (rate, bucket) = (rate(requests, per_s, burst), Bucket::default());
        let mut model = Vessel::new(requests, per_s, burst);
        let mut now = 7_777;
        for gap in gaps {
            now += gap;
            let taken = bucket.take(&rate, now);
            prop_assert_eq!(taken.is_ok(), model.take(now));
            let left = taken.unwrap_or_else(|left| left);
            prop_assert_eq!(left.remaining, model.remaining());
            if taken.is_err() {
                // Before the time that is told nothing fits, and then it does.
                prop_assert!(left.wait_s >= 1);
                let mut early = Vessel { ..model };
                prop_assert!(!early.take(now + (left.wait_s - 1) * 1_000));
                prop_assert!(early.take(now + left.wait_s * 1_000));
            }
        }
        // As many as are said to be left go through at once, and not one more.
        now += 60_000;
        if let Ok(left) = bucket.take(&rate, now) {
            for _ in 0..left.remaining {
                prop_assert!(bucket.take(&rate, now).is_ok());
            }
            prop_assert!(bucket.take(&rate, now).is_err());
        }
    }
}

#[test]
fn threads_together_get_the_burst_and_no_more() {
    let (rate, bucket) = (rate(100, 60, 1_000), Arc::new(Bucket::default()));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (rate, bucket) = (rate.clone(), Arc::clone(&bucket));
            std::thread::spawn(move || (0..1_000).filter(|_| bucket.take(&rate, 5_000).is_ok()).count())
        })
        .collect();

    assert_eq!(threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>(), 1_000);
}

#[test]
fn a_plan_that_changes_leaves_taken_what_was_taken() {
    let bucket = Bucket::default();
    let (slow, fast) = (rate(10, 60, 10), rate(100, 60, 100));
    for _ in 0..10 {
        assert!(bucket.take(&slow, 0).is_ok());
    }
    assert_eq!(bucket.take(&slow, 0), Err(Left { remaining: 0, wait_s: 6 }));

    // A minute's worth is taken, which is the whole of the larger plan's burst as well.
    assert!(bucket.take(&fast, 0).is_err());
    assert!(bucket.take(&fast, 600).is_ok());
}

fn quota(requests: u64, hard: bool) -> QuotaSpec {
    QuotaSpec { requests, per: Window::Hour, hard }
}

const HOUR: i64 = 3_600_000;

struct Account {
    book: Book,
    id: Arc<str>,
    meter: Arc<Meter>,
}

impl Account {
    fn new() -> Self {
        let (book, id) = (Book::default(), Arc::from("s1"));
        let meter = book.meter(&id);
        Self { book, id, meter }
    }

    /// One call that counts, if there is room; what is left after it.
    fn call(&self, quota: &QuotaSpec, at: i64) -> Option<u64> {
        let window = self.book.window(&self.meter, &self.id, quota.per, Time(at));
        let taken = window.hold(quota, true);
        taken.held?.count();
        Some(taken.left)
    }

    fn call_of(&self, at: i64) -> Acknowledged {
        Acknowledged { subscription: Some(Arc::clone(&self.id)), at, units: 1, origin: Origin::Counted }
    }

    fn told(&self, window: i64, used: u64) -> Total {
        Total { subscription: self.id.to_string(), window, used }
    }
}

#[test]
fn a_hard_quota_ends_exactly_and_begins_anew_with_the_window() {
    let account = Account::new();

    assert_eq!(
        (0..5).map(|_| account.call(&quota(3, true), 5)).collect::<Vec<_>>(),
        [Some(2), Some(1), Some(0), None, None]
    );
    assert_eq!(account.call(&quota(3, true), HOUR), Some(2));
    assert_eq!((0..4).filter_map(|_| account.call(&quota(3, false), HOUR)).collect::<Vec<_>>(), [1, 0, 0, 0]);
}

#[test]
fn a_call_that_does_not_count_gives_its_unit_back() {
    let account = Account::new();
    let window = account.book.window(&account.meter, &account.id, Window::Hour, Time(0));

    let held = window.hold(&quota(1, true), true).held.unwrap();
    assert_eq!(account.call(&quota(1, true), 0), None);
    drop(held);

    assert_eq!(account.call(&quota(1, true), 0), Some(0));
}

#[test]
fn what_the_ledger_tells_is_counted_once() {
    let account = Account::new();
    let limit = quota(100, true);
    for at in 0..10 {
        account.call(&limit, at);
    }

    // Ten of ours are in the ledger now, and five of another gateway's.
    let calls: Vec<_> = (0..10).map(|at| account.call_of(at)).collect();
    account.book.settle(&calls, &[account.told(0, 15)]);
    assert_eq!(account.call(&limit, 20), Some(84));

    // Taken, and told only with the answer after it.
    account.book.settle(&[account.call_of(20)], &[]);
    assert_eq!(account.call(&limit, 21), Some(83));
    account.book.settle(&[account.call_of(21)], &[account.told(0, 20)]);
    assert_eq!(account.call(&limit, 22), Some(79));
    // Told again without a change; and of a window that is over.
    account.book.settle(&[], &[account.told(0, 20), account.told(-HOUR, 900)]);
    assert_eq!(account.call(&limit, 23), Some(78));
}

#[test]
fn totals_that_come_before_the_subscription_are_kept_for_it() {
    let account = Account::new();
    account.book.settle(&[], &[account.told(HOUR, 98)]);

    assert_eq!(account.call(&quota(100, true), 5), Some(99));
    assert_eq!(account.call(&quota(100, true), HOUR + 5), Some(1));
}

#[test]
fn calls_found_on_the_disk_count_until_the_ledger_tells_them() {
    let account = Account::new();
    let found = [HOUR - 1, HOUR, HOUR + 1].map(|at| Acknowledged { origin: Origin::Found, ..account.call_of(at) });
    for call in &found {
        account.book.found(&account.id, call.at, call.units);
    }

    assert_eq!(account.call(&quota(10, true), HOUR + 2), Some(7));
    let elsewhere = Acknowledged { origin: Origin::Elsewhere, ..account.call_of(HOUR) };
    account.book.settle(&[&found[..], &[elsewhere, account.call_of(HOUR + 2)]].concat(), &[account.told(HOUR, 3)]);
    assert_eq!(account.call(&quota(10, true), HOUR + 3), Some(6));
    assert_eq!(account.call(&quota(10, true), 2 * HOUR), Some(9), "what the ledger has is not found a second time");
}

#[test]
fn a_plan_with_other_windows_begins_to_count_anew() {
    let account = Account::new();
    for at in 0..5 {
        account.call(&quota(10, true), at);
    }
    let daily = QuotaSpec { per: Window::Day, ..quota(10, true) };

    assert_eq!(account.call(&daily, 100), Some(9));
    // Those from before are in the ledger's total, and were never in this window's count.
    let calls: Vec<_> = (0..5).map(|at| account.call_of(at)).collect();
    account.book.settle(&calls, &[account.told(0, 5)]);
    assert_eq!(account.call(&daily, 101), Some(3));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the order of calls, shipments and totals: never more than the quota, and at rest what is
    /// counted is what the ledger has, plus what is not shipped.
    #[test]
    fn a_quota_is_never_exceeded_by_one_gateway(
        limit in 1u64..30, steps in proptest::collection::vec(0u8..4, 1..80),
    ) {
        let account = Account::new();
        let limit = quota(limit, true);
        let (mut served, mut unshipped, mut ledger) = (0u64, Vec::new(), 0u64);
        for (at, step) in steps.into_iter().enumerate() {
            let at = i64::try_from(at).unwrap();
            match step {
                0 | 1 => match account.call(&limit, at) {
                    Some(left) => {
                        served += 1;
                        unshipped.push(account.call_of(at));
                        prop_assert_eq!(left, limit.requests - served);
                    }
                    None => prop_assert_eq!(served, limit.requests),
                },
                2 => {
                    ledger += u64::try_from(unshipped.len()).unwrap();
                    account.book.settle(&std::mem::take(&mut unshipped), &[account.told(0, ledger)]);
                }
                _ => {
                    ledger += u64::try_from(unshipped.len()).unwrap();
                    account.book.settle(&std::mem::take(&mut unshipped), &[]);
                }
            }
            prop_assert!(served <= limit.requests);
        }
    }
}
