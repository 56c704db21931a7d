//! What management publishes to the gateways: `GET …/gateway/v1/snapshot`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::resource::Resource;
use crate::source::Source;

/// Kinds that may be published. Whom a gateway believes about tokens is never among them.
pub const PUBLISHED_KINDS: &[&str] = &["Upstream", "Service", "Route", "Composition", "Api", "Plan"];

/// The whole of it; `version` is also its `ETag`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Published {
    pub version: u64,
    pub resources: Vec<Document>,
    /// Those in force, and no others.
    pub subscriptions: Vec<PublishedSubscription>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    pub kind: String,
    pub name: String,
    pub spec: Value,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PublishedSubscription {
    /// The greater id is the newer one (UUID version 7).
    pub id: String,
    /// The `client_id` that tokens bear.
    pub client: String,
    /// Name of the `Plan`.
    pub plan: String,
    pub organisation: String,
}

impl Document {
    /// As a resource whose faults name it as published.
    pub fn resource(&self) -> Resource {
        let mut resource = Resource::new(&self.kind, &self.name, self.spec.clone());
        resource.source = source(&format!("{}/{}", self.kind, self.name));
        resource
    }
}

pub(crate) fn source(what: &str) -> Source {
    Source { file: Arc::from(format!("published {what}")), line: 0, column: 0 }
}
