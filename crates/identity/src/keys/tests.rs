use std::time::Duration;

use testkit::db::TestDb;
use testkit::store_test;

use super::plan::{Planned, due, next_generation};
use super::*;
use crate::MIGRATIONS;
use crate::config::KeySchedule;
use crate::tests::platform::{Platform, config};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn key(generation: i64, active_at: Time) -> KeyInfo {
    KeyInfo {
        kid: KeyId(format!("key-{generation}")),
        algorithm: Algorithm::Es256,
        generation,
        public_jwk: Value::Null,
        announced_at: active_at,
        active_at,
        retired_at: None,
        removed_at: None,
        killed_at: None,
    }
}

fn check(keys: &[KeyInfo], now: Time, expected: Option<(i64, Time)>) {
    let schedule = KeySchedule { algorithms: Vec::new(), announce: DAY, active: 30 * DAY, retire: DAY };

    let planned = due(keys, &schedule, now);

    assert_eq!(planned, expected.map(|(generation, active_at)| Planned { generation, active_at }), "{now}");
}

#[test]
fn a_successor_is_made_in_time_and_once() {
    let start = Time::from_ms(1_000_000);
    let after = |duration: Duration| start.plus(duration);

    check(&[], start, Some((1, start)));
    check(&[key(1, start)], after(29 * DAY - Duration::from_millis(1)), None);
    check(&[key(1, start)], after(29 * DAY), Some((2, after(30 * DAY))));
    check(&[key(1, start), key(2, after(30 * DAY))], after(29 * DAY), None);
    // After a stop of a hundred days it is announced in full all the same.
    check(&[key(1, start)], after(100 * DAY), Some((2, after(101 * DAY))));
}

#[test]
fn dead_keys_have_no_say_but_their_numbers_are_not_given_again() {
    let start = Time::from_ms(1_000_000);
    let killed = KeyInfo { killed_at: Some(start), ..key(7, start) };
    let retired = KeyInfo { retired_at: Some(start), ..key(6, start) };

    check(&[retired.clone(), killed.clone()], start, Some((8, start)));
    assert_eq!(next_generation(&[killed, retired]), 8);
}

#[test]
fn the_state_of_a_key_follows_from_its_row_and_the_time() {
    let at = |ms| Time::from_ms(ms);
    let key = KeyInfo { retired_at: Some(at(20)), removed_at: Some(at(30)), ..key(1, at(10)) };
    let killed = KeyInfo { killed_at: Some(at(15)), ..key.clone() };

    let states: Vec<State> = [9, 10, 19, 20, 29, 30].map(|ms| key.state(at(ms))).to_vec();

    let expected = [State::Announced, State::Active, State::Active, State::Retired, State::Retired, State::Removed];
    assert_eq!(states, expected);
    assert_eq!(killed.state(at(9)), State::Killed);
}

store_test!(nobody_waits_while_keys_are_made, MIGRATIONS, |db: TestDb| async move {
    let mut config = config(&db, "a");
    config.keys.algorithms = vec![Algorithm::Es256, Algorithm::EdDsa];
    let p = Platform::with(db, config).await;
    p.clock.advance(29 * DAY);
    let mut making = p.cx();
    let made = make_due(&mut making).await.unwrap();
    assert_eq!(made.len(), 2);

    // All are made and none is written: another node (at SQLite another request) may write and be done.
    p.identity.minute().await.unwrap();

    for (key, planned) in made {
        assert!(insert(&mut making, key, planned).await.unwrap().is_none());
    }
    making.commit().await.unwrap();
    assert_eq!(store::list(&mut p.cx()).await.unwrap().len(), 4);
});
