//! Usage as gateways report it: `POST …/gateway/v1/usage`.

use serde::{Deserialize, Serialize};

/// Records `first`, `first + 1`, … of one gateway. A batch without records is its sign of life.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageBatch {
    /// Who numbers: a UUID that the gateway keeps with its records.
    pub gateway: String,
    /// For people.
    pub name: String,
    pub first: u64,
    pub records: Vec<UsageRecord>,
    /// The published version that is served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serving: Option<u64>,
    /// Why a newer one is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// The `cursor` of the last answer: totals that have changed since are wanted.
    pub seen: u64,
}

/// One call of an API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageRecord {
    /// The request id that the caller was told.
    pub id: String,
    /// Milliseconds since the epoch.
    pub at: i64,
    pub api: String,
    pub operation: String,
    pub method: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    pub status: u16,
    pub outcome: Outcome,
    /// The end of the problem's type, where the gateway answered with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What is counted against quota and price; 0 = free of charge.
    pub units: u32,
    /// From the head of the request to the head of the answer.
    pub micros: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Answered below 500 by the service, or by a composition.
    Served,
    /// The gateway said no.
    Refused,
    /// 500 and above, whoever said it.
    Failed,
}

impl Outcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageAnswer {
    /// The number that is wanted next: all below is kept for good.
    pub next: u64,
    pub totals: Vec<Total>,
    /// For `seen` of the next batch.
    pub cursor: u64,
}

/// Units of a subscription in the window of its plan's quota, by all gateways.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Total {
    pub subscription: String,
    /// Its begin, in milliseconds since the epoch.
    pub window: i64,
    pub used: u64,
}

/// In the answer 409 to a batch that begins behind what is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gap {
    pub next: u64,
}
