//! What gateways would not read for us: secrets that are not laid out for what is published. Otherwise who may publish
//! could have a gateway send any of its secrets anywhere.

use catalog::published::Document;
use catalog::{Fault, Resource};
use serde_json::Value;

const KEYS: [&str; 3] = ["secret", "ca", "key"];

pub(super) fn faults(documents: &[Document]) -> Vec<Fault> {
    let mut out = Vec::new();
    for document in documents {
        references(&document.resource(), &document.spec, "/spec", &mut out);
    }
    out
}

fn references(resource: &Resource, value: &Value, pointer: &str, out: &mut Vec<Fault>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                let pointer = format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
                let reference = value.as_str().filter(|_| KEYS.contains(&key.as_str()));
                let outside = reference.is_some_and(|text| {
                    let file = text.starts_with("file:published/") && !text.contains("..");
                    !file && !text.starts_with("env:PUBLISHED_")
                });
                if outside {
                    let message = "what is published refers to secrets as `file:published/…` or `env:PUBLISHED_…` only";
                    out.push(resource.fault(&pointer, message));
                }
                references(resource, value, &pointer, out);
            }
        }
        Value::Array(items) => {
            for (at, value) in items.iter().enumerate() {
                references(resource, value, &format!("{pointer}/{at}"), out);
            }
        }
        _ => {}
    }
}
