//! How each part went, and what that makes of the whole.

use http::StatusCode;
use serde::Serialize;

use crate::caller::CallError;

/// What went wrong with a part. Says nothing of what was sent or received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    #[error("the backend could not be reached")]
    Unreachable,
    #[error("the backend did not answer in time")]
    TimedOut,
    #[error("the answer is larger than this part may have")]
    TooLarge,
    #[error("the answer broke off")]
    BrokenOff,
    #[error("too many requests are on their way to the backend")]
    Busy,
    #[error("the status is not one that this part expects")]
    Status,
    #[error("the answer is not JSON or text")]
    BadAnswer,
    #[error("what the request is made of is not there, or not of the right kind")]
    Mapping,
    #[error("a value cannot stand where the request needs it")]
    BadValue,
    #[error("there is no token for this backend")]
    Identity,
    #[error("the deadline of the whole was over")]
    Deadline,
    #[error("given up, since a required part failed")]
    Cancelled,
}

impl Trouble {
    /// Whether another attempt may go better.
    pub(crate) fn may_pass(self, status: Option<u16>) -> bool {
        match self {
            Self::Unreachable | Self::TimedOut | Self::BrokenOff | Self::Busy => true,
            Self::Status => matches!(status, Some(502..=504)),
            _ => false,
        }
    }

    /// The answer of the whole if a required part has this trouble: status, and name of the problem.
    pub(crate) fn problem(self) -> (StatusCode, &'static str) {
        match self {
            Self::Unreachable => (StatusCode::BAD_GATEWAY, "part_unreachable"),
            Self::TimedOut => (StatusCode::GATEWAY_TIMEOUT, "part_timed_out"),
            Self::TooLarge => (StatusCode::BAD_GATEWAY, "part_too_large"),
            Self::BrokenOff => (StatusCode::BAD_GATEWAY, "part_broken_off"),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "part_busy"),
            Self::Status => (StatusCode::BAD_GATEWAY, "part_status"),
            Self::BadAnswer => (StatusCode::BAD_GATEWAY, "part_bad_answer"),
            Self::Mapping => (StatusCode::BAD_GATEWAY, "part_mapping"),
            Self::BadValue => (StatusCode::BAD_REQUEST, "part_bad_value"),
            Self::Identity => (StatusCode::BAD_GATEWAY, "part_identity"),
            Self::Deadline => (StatusCode::GATEWAY_TIMEOUT, "composition_deadline"),
            Self::Cancelled => (StatusCode::BAD_GATEWAY, "part_cancelled"),
        }
    }
}

impl Trouble {
    /// As it is written in answers, logs and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed_out",
            Self::TooLarge => "too_large",
            Self::BrokenOff => "broken_off",
            Self::Busy => "busy",
            Self::Status => "status",
            Self::BadAnswer => "bad_answer",
            Self::Mapping => "mapping",
            Self::BadValue => "bad_value",
            Self::Identity => "identity",
            Self::Deadline => "deadline",
            Self::Cancelled => "cancelled",
        }
    }
}

impl From<CallError> for Trouble {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Unreachable => Self::Unreachable,
            CallError::TimedOut => Self::TimedOut,
            CallError::TooLarge => Self::TooLarge,
            CallError::BrokenOff => Self::BrokenOff,
            CallError::Busy => Self::Busy,
        }
    }
}

/// How a part ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Done,
    /// It failed, and its fallback stands for it.
    Fallback,
    Failed,
    /// Its `when` was false.
    Skipped,
}

impl Outcome {
    pub fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Fallback => "fallback",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// One step in the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartReport {
    pub name: String,
    pub outcome: Outcome,
    pub required: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Trouble>,
    pub attempts: u32,
    /// After the begin of the whole.
    pub started_ms: u64,
    pub duration_ms: u64,
}

/// One compensation in the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Compensated {
    pub step: String,
    pub done: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Trouble>,
    pub attempts: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    Complete,
    /// An optional part is missing.
    Partial,
    Failed,
}

impl Ending {
    pub fn word(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Partial => "partial",
            Self::Failed => "failed",
        }
    }
}

/// How the whole went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    pub ending: Ending,
    pub duration_ms: u64,
    pub parts: Vec<PartReport>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub compensated: Vec<Compensated>,
}

/// The part that decides about a failure: its name, trouble and the status of the whole.
pub(crate) fn decisive(parts: &[PartReport], pass: impl Fn(&str, u16) -> bool) -> Option<(&str, Trouble, StatusCode)> {
    let failed = parts.iter().filter(|part| part.required && part.outcome == Outcome::Failed);
    // What was given up is a consequence, not a cause.
    let part = failed.min_by_key(|part| part.error == Some(Trouble::Cancelled))?;
    let trouble = part.error?;
    let passed = part.status.filter(|status| trouble == Trouble::Status && pass(&part.name, *status));
    let status = passed.and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or_else(|| trouble.problem().0);
    Some((&part.name, trouble, status))
}

impl Report {
    /// The parts as a list of RFC 9651: `order;outcome=done;status=200, reviews;outcome=failed;error=timed_out`.
    pub fn summary(&self) -> String {
        let mut out = String::with_capacity(self.parts.len() * 40);
        for part in &self.parts {
            if !out.is_empty() {
                out.push_str(", ");
            }
            out.push_str(&part.name);
            out.push_str(";outcome=");
            out.push_str(part.outcome.word());
            if let Some(status) = part.status.and_then(|status| StatusCode::from_u16(status).ok()) {
                out.push_str(";status=");
                out.push_str(status.as_str());
            }
            if let Some(error) = part.error {
                out.push_str(";error=");
                out.push_str(error.word());
            }
        }
        out
    }
}
