//! `Subscription`: which plan a client has. Where there is management, it keeps the subscriptions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SubscriptionSpec {
    /// The `client_id` that tokens bear.
    pub client: String,
    /// Name of the `Plan`.
    pub plan: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
}
