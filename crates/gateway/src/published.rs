//! What management has published, as resources. It is as hostile as any other configuration, and has less
//! to say than the operator's own files: not whom the gateway believes, and not which secrets it reads.

use catalog::published::{PUBLISHED_KINDS, Published};
use catalog::{Fault, Resource};
use serde_json::Value;

/// Where the secrets lie that what is published may refer to, seen from the gateway's own.
const SECRETS: &str = "file:published/";
const SECRETS_OF_ENVIRONMENT: &str = "env:PUBLISHED_";
/// Keys of specs whose values refer to files or to the environment.
const REFERENCES: [&str; 3] = ["secret", "ca", "key"];

const ORIGIN: &str = "published ";

/// Whether a resource of a set is one of these.
pub(crate) fn is(resource: &Resource) -> bool {
    resource.source.file.starts_with(ORIGIN)
}

pub(crate) fn resources(published: &Published) -> Result<Vec<Resource>, Vec<Fault>> {
    let resources: Vec<Resource> = published.resources.iter().map(catalog::published::Document::resource).collect();
    let mut faults = Vec::new();
    for resource in &resources {
        if !PUBLISHED_KINDS.contains(&resource.kind.as_str()) {
            let message = format!("a resource of kind `{}` is not taken from management", resource.kind);
            faults.push(resource.fault("/kind", message));
        }
        references(&resource.spec, "/spec", &mut |pointer, reference| {
            let fine = (reference.starts_with(SECRETS) && !reference.contains(".."))
                || reference.starts_with(SECRETS_OF_ENVIRONMENT);
            if !fine {
                // Or who may publish could have the gateway send any of its secrets anywhere.
                let message = "what is published refers to secrets as `file:published/…` or `env:PUBLISHED_…` only";
                faults.push(resource.fault(pointer, message));
            }
        });
    }
    if faults.is_empty() { Ok(resources) } else { Err(faults) }
}

fn references(value: &Value, at: &str, found: &mut impl FnMut(&str, &str)) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                let at = format!("{at}/{key}");
                match member {
                    Value::String(text) if REFERENCES.contains(&key.as_str()) => found(&at, text),
                    member => references(member, &at, found),
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                references(item, &format!("{at}/{index}"), found);
            }
        }
        _ => {}
    }
}
