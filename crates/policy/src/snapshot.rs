//! What a decision point gives to those who decide for themselves: everything that decisions rest on.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::compile::PolicySet;
use crate::decide::Engine;
use crate::directory::{Directory, EntitySpec};
use crate::source::Source;

/// Unknown members are ignored, so that a newer publisher can serve an older reader.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Of the policies; 0 where none is published.
    pub version: i64,
    /// Grows with each publication, also of an older version.
    pub activation: i64,
    /// Grows with each change of the entities.
    pub revision: i64,
    pub source: Source,
    #[serde(default)]
    pub entities: Vec<EntitySpec>,
    /// Types of subjects of which the publisher knows more than is in here, since it asks a service about them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sourced: Vec<String>,
}

impl Snapshot {
    /// The same snapshot always has the same tag, and no other one has it (RFC 9110 §8.8.3).
    pub fn etag(&self) -> String {
        format!("\"{}.{}.{}\"", self.version, self.activation, self.revision)
    }

    /// Refused whole if anything is wrong with it; whoever has an older one keeps that.
    pub fn compile(&self) -> Result<Engine, String> {
        let policies = PolicySet::compile(&self.source).map_err(|faults| faults.to_string())?;
        let directory = Directory::new(&policies, &self.entities).map_err(|faults| faults.join("\n"))?;
        Ok(Engine::new(Arc::new(policies), Arc::new(directory)))
    }
}
