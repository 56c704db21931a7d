//! Requests that come twice.

use std::collections::BTreeMap;

use jose::hash::base64url;
use serde_json::{Value, json};

use crate::Identity;

/// A value for `Idempotency-Key` and what it was sent with.
pub(super) struct Repeatable {
    pub key_hash: String,
    pub request_hash: String,
}

impl Repeatable {
    pub fn new(identity: &Identity, registrar: &str, key: &str, request: &Value) -> Self {
        let hash = |text: String| base64url(&identity.hashes.registration.tag(text.as_bytes()));
        Self {
            key_hash: hash(json!(["key", registrar, key]).to_string()),
            request_hash: hash(format!("request {}", canonical(request))),
        }
    }
}

/// With the members of objects in order: two texts of one document are one.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let sorted: BTreeMap<&String, String> =
                members.iter().map(|(name, value)| (name, canonical(value))).collect();
            let pairs: Vec<String> = sorted.iter().map(|(name, text)| format!("{}:{text}", json!(name))).collect();
            format!("{{{}}}", pairs.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}
