//! Reading JSON that others signed: a member named twice means something else to every reader
//! (RFC 7515 §4, RFC 8725 §2.4), so it is refused at the top level.

use serde::Deserialize;
use serde::de::{Error, MapAccess, Visitor};
use serde_json::{Map, Value};

/// The JSON object in `text`, if no top-level member occurs twice.
pub(crate) fn object(text: &[u8]) -> Option<Map<String, Value>> {
    serde_json::from_slice::<UniqueMembers>(text).ok().map(|UniqueMembers(map)| map)
}

struct UniqueMembers(Map<String, Value>);

impl<'de> Deserialize<'de> for UniqueMembers {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = UniqueMembers;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<UniqueMembers, A::Error> {
        let mut map = Map::new();
        while let Some((name, value)) = members.next_entry::<String, Value>()? {
            if map.insert(name, value).is_some() {
                return Err(A::Error::custom("a member occurs twice"));
            }
        }
        Ok(UniqueMembers(map))
    }
}
