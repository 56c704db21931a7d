//! `PolicySource`: who decides about calls, and `policy:` of those who are decided about.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::words::{HttpUrl, SecretRef, Span};

/// Exactly one of `snapshot` and `authzen`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicySourceSpec {
    /// The gateway decides by itself, by the policies of an entitlement system of ours.
    #[serde(default)]
    pub snapshot: Option<SnapshotSpec>,
    /// A decision point is asked at each call (AuthZEN Authorization API 1.0).
    #[serde(default)]
    pub authzen: Option<AuthzenSpec>,
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SnapshotSpec {
    /// The entitlement system: its `entitlement.url`.
    pub url: HttpUrl,
    /// The secret of a caller with the right `snapshot`, by reference.
    pub secret: SecretRef,
    /// When nothing was heard for longer than this, nothing is allowed any more. Without it the last known policies stay in force.
    #[serde(default)]
    pub max_age: Option<Span>,
    /// Tell the entitlement system of denied calls, for its decision log.
    #[serde(default = "yes")]
    pub report: bool,
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuthzenSpec {
    /// The decision point: `access/v1/evaluation` below it is asked.
    pub url: HttpUrl,
    /// The evaluation endpoint, if it is another one.
    #[serde(default)]
    pub endpoint: Option<HttpUrl>,
    /// Sent as bearer token, by reference.
    #[serde(default)]
    pub secret: Option<SecretRef>,
    /// How long one question may take.
    #[serde(default = "timeout")]
    pub timeout: Span,
    /// Questions at the same time; more are refused (503).
    #[serde(default = "concurrent")]
    pub max_concurrent: u32,
    /// Without it no decision is used twice.
    #[serde(default)]
    pub cache: Option<DecisionCacheSpec>,
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DecisionCacheSpec {
    /// How long a decision is used again.
    pub ttl: Span,
    /// What makes two questions the same: paths into the question, such as `subject.id`, `action.name`, `resource.id`,
    /// `context.network.address`. What is not named must not matter for the decision.
    pub key: Vec<String>,
    #[serde(default = "entries")]
    pub max_entries: u32,
}

/// Who decides about the calls of a route, of a composition, or of all routes of a service.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicySpec {
    /// Name of the `PolicySource`.
    pub source: String,
    #[serde(default)]
    pub mode: PolicyMode,
    /// The action that is asked about; `call`, if it is not given.
    #[serde(default)]
    pub action: Option<String>,
    /// The resource that is asked about; the operation, if it is not given.
    #[serde(default)]
    pub resource: Option<PolicyResourceSpec>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyMode {
    /// What is not allowed is refused.
    #[default]
    Enforce,
    /// It is decided and written down; nothing is refused.
    Shadow,
    Off,
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicyResourceSpec {
    /// Its type, such as `PatientRecord`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its id, with parameters of the path: `{patient}`.
    pub id: String,
}

fn yes() -> bool {
    true
}

fn timeout() -> Span {
    Span::from_secs(1)
}

fn concurrent() -> u32 {
    256
}

fn entries() -> u32 {
    10_000
}
