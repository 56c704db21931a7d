//! Below `gateway:` what has to do with management: where it is, and how usage is kept for it.

use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Reference, Span};

/// The management system that this gateway belongs to.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ManagementPeer {
    /// Its URL: scheme, host and port, no path.
    pub url: String,
    /// The token that stands for this gateway in `management.gateways`.
    pub token: Reference,
    /// What people call this gateway; the name of the machine, if it is not given.
    pub name: Option<String>,
}

/// How usage records are kept until management has them.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Usage {
    /// What becomes of calls whose record cannot be written (the disk is full, mostly).
    #[serde(default)]
    pub on_failure: OnFailure,
    /// How often records are made to outlive a loss of power; 200ms. The end of the process they outlive in any case.
    pub sync_interval: Option<Span>,
    /// Bytes of records that may lie on the disk; more is as if it were full; 1073741824.
    pub max_bytes: Option<u64>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OnFailure {
    /// They are refused with 503 `usage_unavailable`.
    #[default]
    Refuse,
    /// They are served, and nobody pays for them.
    Serve,
}

/// So that there are segments to delete.
const LEAST_BYTES: u64 = 1_000_000;

impl ManagementPeer {
    pub(super) fn within(mut self, folder: &Path) -> Self {
        self.token = self.token.within(folder);
        self
    }

    pub(super) fn check(&self) -> Result<(), String> {
        if super::management::is_origin(&self.url) {
            Ok(())
        } else {
            Err("`gateway.management.url` is an http or https URL without a path or a slash at the end".to_owned())
        }
    }
}

impl Usage {
    pub(super) fn check(&self) -> Result<(), String> {
        if self.max_bytes.is_some_and(|bytes| bytes < LEAST_BYTES) {
            return Err(format!("`gateway.usage.maxBytes` is at least {LEAST_BYTES}"));
        }
        if self.sync_interval.is_some_and(|interval| interval.0.as_millis() < 10) {
            return Err("`gateway.usage.syncInterval` is at least 10ms".to_owned());
        }
        Ok(())
    }
}
