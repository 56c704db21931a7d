//! The entities that policies name, by number.

use std::collections::HashMap;

use cedar_policy::EntityUid;

#[derive(Debug, Default)]
pub(crate) struct Literals(HashMap<EntityUid, u32>);

impl Literals {
    pub fn number(&mut self, uid: &EntityUid) -> u32 {
        let next = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        *self.0.entry(uid.clone()).or_insert(next)
    }

    pub fn find(&self, uid: &EntityUid) -> Option<u32> {
        self.0.get(uid).copied()
    }
}
