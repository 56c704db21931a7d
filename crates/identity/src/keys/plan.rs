//! The schedule as rules over data.

use base::Time;

use super::KeyInfo;
use crate::config::KeySchedule;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Announced,
    Active,
    /// Verifies, and no longer signs.
    Retired,
    Removed,
    Killed,
}

impl State {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Announced => "announced",
            Self::Active => "active",
            Self::Retired => "retired",
            Self::Removed => "removed",
            Self::Killed => "killed",
        }
    }
}

pub(super) fn state(key: &KeyInfo, now: Time) -> State {
    let passed = |moment: Option<Time>| moment.is_some_and(|moment| moment <= now);
    match () {
        () if key.killed_at.is_some() => State::Killed,
        () if passed(key.removed_at) => State::Removed,
        () if passed(key.retired_at) => State::Retired,
        () if key.active_at <= now => State::Active,
        () => State::Announced,
    }
}

pub(super) fn is_published(key: &KeyInfo, now: Time) -> bool {
    matches!(state(key, now), State::Announced | State::Active | State::Retired)
}

pub(super) fn may_still_sign(key: &KeyInfo, now: Time) -> bool {
    matches!(state(key, now), State::Announced | State::Active)
}

/// A key to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Planned {
    /// Two nodes that plan at once plan the same number, and one of them makes it.
    pub generation: i64,
    pub active_at: Time,
}

pub(super) fn next_generation(keys: &[KeyInfo]) -> i64 {
    keys.iter().map(|key| key.generation).max().unwrap_or(0) + 1
}

/// The key that is to be made now, of all keys of one algorithm.
pub(super) fn due(keys: &[KeyInfo], schedule: &KeySchedule, now: Time) -> Option<Planned> {
    let generation = next_generation(keys);
    let newest = keys.iter().filter(|key| may_still_sign(key, now)).max_by_key(|key| key.active_at);
    let Some(newest) = newest else {
        return Some(Planned { generation, active_at: now });
    };
    if newest.active_at > now {
        return None;
    }
    let takes_over = newest.active_at.plus(schedule.active);
    // After a long stop the moment may have passed; the successor is announced in full all the same.
    let active_at = takes_over.max(now.plus(schedule.announce));
    (now >= takes_over.minus(schedule.announce)).then_some(Planned { generation, active_at })
}
