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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub way: Option<Box<Way>>,
}

/// How the call went through the gateway's steps, as far as it came. Times are nanoseconds from the head of the
/// request to the end of the step. Nothing is counted or paid by it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Way {
    /// It was known who calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identified_ns: Option<u64>,
    /// The plan had room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admitted_ns: Option<u64>,
    /// Scopes, claims and policies allowed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permitted_ns: Option<u64>,
    /// How the token was found: `hit`, `miss`, `negative`, `junk`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The last six characters of an opaque token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_end: Option<String>,
    /// What the token was issued under, if the authority says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
    /// Calls that were left at this moment, after this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_left: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota_left: Option<u64>,
    /// What policies said, and the ids of those that decided, with a space between.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policies: Option<String>,
    /// Why it would have been refused, had plan or policy been enforced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadowed: Option<String>,
    /// What the caller was told beyond the reason: the words of a policy's author.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told: Option<String>,
    /// How the parts of a composed answer went from which something is missing (a list of RFC 9651).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parts: Option<String>,
    /// The caller was not told of the parts: they are the provider's to know.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub parts_withheld: bool,
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
