//! What the entitlement system answers, as far as pages show it.

use std::collections::BTreeMap;

use base::Time;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What is in force.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct State {
    pub version: i64,
    pub activation: i64,
    /// How many things policies speak of are stored.
    #[serde(default)]
    pub entities: u64,
    pub policies: Vec<Policy>,
    #[serde(default)]
    pub warnings: Vec<Fault>,
    /// Whether our secret may put a version in force.
    #[serde(default)]
    pub may_publish: bool,
}

/// What one can know of a policy without reading it.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub(crate) struct Policy {
    pub id: String,
    pub effect: String,
    #[serde(default)]
    pub file: String,
    #[serde(default)]
    pub line: u64,
    #[serde(default)]
    pub reason: Option<String>,
    #[serde(default)]
    pub advice: BTreeMap<String, String>,
    #[serde(default)]
    pub reads: Vec<String>,
}

#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Fault {
    #[serde(default)]
    pub file: String,
    #[serde(default)]
    pub line: u64,
    pub message: String,
    #[serde(default)]
    pub help: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Versions {
    pub items: Vec<Version>,
    /// 0: none is in force.
    #[serde(default)]
    pub active: i64,
    #[serde(default)]
    pub next: Option<i64>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Version {
    pub version: i64,
    #[serde(default)]
    pub author: String,
    #[serde(default)]
    pub comment: String,
    pub created_at: Time,
    #[serde(default)]
    pub source: Source,
    #[serde(default)]
    pub tests: Suite,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Source {
    #[serde(default)]
    pub files: Vec<File>,
    #[serde(default)]
    pub schema: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct File {
    pub name: String,
    pub text: String,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Suite {
    #[serde(default)]
    pub entities: Vec<Value>,
    #[serde(default)]
    pub tests: Vec<Value>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct History {
    pub items: Vec<Activation>,
    #[serde(default)]
    pub next: Option<i64>,
}

/// A version that was put in force.
#[derive(Debug, Deserialize)]
pub(crate) struct Activation {
    pub activation: i64,
    pub version: i64,
    #[serde(default)]
    pub author: String,
    #[serde(default)]
    pub comment: String,
    #[serde(default)]
    pub request_id: String,
    pub activated_at: Time,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Decisions {
    pub items: Vec<Decided>,
    #[serde(default)]
    pub next: Option<String>,
}

/// One decision of the log. Attributes are not in it.
#[derive(Debug, Deserialize)]
pub(crate) struct Decided {
    pub decided_at: Time,
    #[serde(default)]
    pub caller: String,
    #[serde(default)]
    pub request_id: String,
    #[serde(default)]
    pub subject_type: String,
    #[serde(default)]
    pub subject_id: String,
    #[serde(default)]
    pub action: String,
    #[serde(default)]
    pub resource_type: String,
    #[serde(default)]
    pub resource_id: String,
    #[serde(default)]
    pub decision: String,
    #[serde(default)]
    pub verdict: String,
    #[serde(default)]
    pub reasons: Vec<String>,
    #[serde(default)]
    pub version: i64,
}

/// Why a question is decided as it is.
#[derive(Debug, Deserialize)]
pub(crate) struct Explained {
    /// Conditions that stood in the way, in words.
    #[serde(default)]
    pub missing: Vec<String>,
    pub explanation: Explanation,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Explanation {
    pub decision: Decision,
    #[serde(default)]
    pub considered: Vec<Considered>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Decision {
    pub allow: bool,
    #[serde(default)]
    pub verdict: String,
    #[serde(default)]
    pub reasons: Vec<Policy>,
    #[serde(default)]
    pub errors: Vec<String>,
}

/// A policy that could have applied.
#[derive(Debug, Deserialize)]
pub(crate) struct Considered {
    pub policy: Policy,
    #[serde(default)]
    pub applies: bool,
    pub scope: String,
    #[serde(default)]
    pub conditions: Vec<Condition>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Condition {
    pub text: String,
    pub outcome: String,
}
