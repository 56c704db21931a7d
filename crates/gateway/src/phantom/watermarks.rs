//! Which revocations have come in, by a count of our own: no clock of anybody is trusted.
//!
//! Every revocation gets the next number. Facts remember the number at which their question was sent; a
//! revocation with a higher number that names them makes them history. That holds for an answer that
//! was under way while the revocation came in, too.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use base::event::Revoked;

/// Beyond this many the whole cache is dropped instead.
const MOST: usize = 100_000;

#[derive(Debug, Default)]
pub(crate) struct Watermarks {
    count: AtomicU64,
    /// Facts from before this number are history, whatever they are about.
    floor: AtomicU64,
    marks: RwLock<HashMap<Revoked, Mark>>,
}

#[derive(Debug, Clone, Copy)]
struct Mark {
    number: u64,
    at_ms: u64,
}

impl Watermarks {
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// Marks a revocation. `keep_ms`: how long facts can live, so that older marks can go.
    pub fn revoke(&self, revoked: Revoked, monotonic_ms: u64, keep_ms: u64) {
        let mut marks = self.marks.write().unwrap_or_else(PoisonError::into_inner);
        if marks.len() >= MOST {
            marks.retain(|_, mark| monotonic_ms.saturating_sub(mark.at_ms) <= keep_ms);
        }
        let number = self.count().saturating_add(1);
        if marks.len() >= MOST {
            marks.clear();
            self.floor.store(number, Ordering::Release);
        } else {
            marks.insert(revoked, Mark { number, at_ms: monotonic_ms });
        }
        // Last, and under the lock: who sees the number finds the mark.
        self.count.store(number, Ordering::Release);
    }

    /// All facts whose question has been sent up to now are history.
    pub fn revoke_all(&self) {
        let mut marks = self.marks.write().unwrap_or_else(PoisonError::into_inner);
        let number = self.count().saturating_add(1);
        marks.clear();
        self.floor.store(number, Ordering::Release);
        self.count.store(number, Ordering::Release);
    }

    pub fn is_dead(&self, asked_at: u64, subjects: &[Revoked]) -> bool {
        let marks = self.marks.read().unwrap_or_else(PoisonError::into_inner);
        asked_at < self.floor.load(Ordering::Acquire)
            || subjects.iter().any(|subject| marks.get(subject).is_some_and(|mark| mark.number > asked_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_asked_before_and_is_named_is_dead() {
        let marks = Watermarks::default();
        let before = marks.count();

        marks.revoke(Revoked::Grant("g".into()), 0, 1);

        assert!(marks.is_dead(before, &[Revoked::User("u".into()), Revoked::Grant("g".into())]));
        assert!(!marks.is_dead(before, &[Revoked::User("g".into())]));
        assert!(!marks.is_dead(marks.count(), &[Revoked::Grant("g".into())]));
    }

    #[test]
    fn all_that_was_asked_before_is_dead_when_all_is_revoked() {
        let marks = Watermarks::default();
        let before = marks.count();

        marks.revoke_all();

        assert!(marks.is_dead(before, &[]));
        assert!(!marks.is_dead(marks.count(), &[]));
    }

    #[test]
    fn more_marks_than_there_is_room_for_revoke_all() {
        let marks = Watermarks::default();
        for number in 0..MOST {
            marks.revoke(Revoked::Token(number.to_string()), 0, 1_000);
        }
        let before = marks.count();

        marks.revoke(Revoked::Token("one more".into()), 0, 1_000);

        assert!(marks.is_dead(before, &[]));
        assert!(!marks.is_dead(marks.count(), &[]));
    }
}
