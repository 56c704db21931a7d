//! How fast one person may write, and have tokens to try with. Whoever acts for an organisation makes clients, secrets,
//! subscriptions and tokens somewhere else with each request; the provider's own people and programs are not counted,
//! but for tokens to try with: these are a person's at the page, and no program's.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::actor::{Actor, Person, Right};
use crate::error::Refused;

/// At once, and then one more in each of these.
const BURST: u64 = 120;
const EACH_MS: u64 = 500;
/// The page keeps a token until it ends, so that nobody at work comes near: 20 at once, then 20 in a minute.
const LENT_BURST: u64 = 20;
const LENT_EACH_MS: u64 = 3_000;
const MOST_PEOPLE: usize = 10_000;

/// For each person the moment at which all that was taken is given back (GCRA).
#[derive(Debug, Default)]
pub(crate) struct Throttle(Mutex<HashMap<String, u64>>);

impl Throttle {
    pub fn take(&self, actor: &Actor, now_ms: u64) -> Result<(), Refused> {
        let Actor::Person(person) = actor else { return Ok(()) };
        if actor.may(Right::Read) {
            return Ok(());
        }
        self.count(person, BURST, EACH_MS, now_ms)
    }

    /// For one more token to try with; of a throttle of their own.
    pub fn take_lent(&self, actor: &Actor, now_ms: u64) -> Result<(), Refused> {
        let Actor::Person(person) = actor else { return Ok(()) };
        self.count(person, LENT_BURST, LENT_EACH_MS, now_ms)
    }

    fn count(&self, person: &Person, burst: u64, each_ms: u64, now_ms: u64) -> Result<(), Refused> {
        let mut people = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if people.len() >= MOST_PEOPLE {
            people.retain(|_, back| *back > now_ms);
        }
        let back = people.entry(person.id.clone()).or_insert(now_ms);
        let next = (*back).max(now_ms).saturating_add(each_ms);
        let over = next.saturating_sub(now_ms).saturating_sub(burst.saturating_mul(each_ms));
        if over > 0 {
            return Err(Refused::TooMany { seconds: over.div_ceil(1000) });
        }
        *back = next;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PROVIDER;
    use crate::actor::Role;
    use crate::tests::house::person;

    #[test]
    fn a_person_writes_so_fast_and_no_faster() {
        let throttle = Throttle::default();
        let (dev, other) = (person("dev", "acme", Role::Owner), person("other", "acme", Role::Developer));

        for _ in 0..BURST {
            throttle.take(&dev, 1_000).unwrap();
        }

        assert!(matches!(throttle.take(&dev, 1_000), Err(Refused::TooMany { seconds: 1 })));
        throttle.take(&other, 1_000).unwrap();
        throttle.take(&dev, 1_500).unwrap();
        assert!(throttle.take(&dev, 1_500).is_err());
        let publisher = person("pat", PROVIDER, Role::Publisher);
        assert!((0..1_000).all(|_| throttle.take(&publisher, 1_000).is_ok()));
    }
}
