//! What is compiled: files of policies, a schema, and how large they may be.

use serde::{Deserialize, Serialize};

/// A set of policies as people write it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    pub files: Vec<File>,
    /// Cedar schema; what it declares takes the place of what [`crate::BASE_SCHEMA`] declares under the same name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub schema: String,
}

/// A text with policies; its name is what faults and explanations quote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    pub name: String,
    pub text: String,
}

impl Source {
    /// One file and the base schema.
    pub fn text(name: &str, text: &str) -> Self {
        Self { files: vec![File { name: name.to_owned(), text: text.to_owned() }], schema: String::new() }
    }

    #[must_use]
    pub fn with_schema(mut self, schema: &str) -> Self {
        schema.clone_into(&mut self.schema);
        self
    }
}

/// The effect of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    Permit,
    Forbid,
}

impl Effect {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Permit => "permit",
            Self::Forbid => "forbid",
        }
    }
}

/// How large policies, entities and questions may be. Termination is Cedar's promise; cost is bounded here.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub files: usize,
    /// Of all files and the schema together.
    pub text_bytes: usize,
    pub policies: usize,
    pub entities: usize,
    /// Of one entity's attributes as JSON.
    pub entity_bytes: usize,
    pub parents: usize,
    /// Entities that one question may reach over parents and attributes.
    pub reach: usize,
    /// Nested lists and objects in attributes and context.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            files: 200,
            text_bytes: 2 * 1024 * 1024,
            policies: 2_000,
            entities: 100_000,
            entity_bytes: 16 * 1024,
            parents: 200,
            reach: 1_000,
            depth: 8,
        }
    }
}
