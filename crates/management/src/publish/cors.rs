//! "Try it" in the portal is a script of another origin: what is published lets the portal's pages call it (Fetch
//! §3.2), besides those that the operator allows.

use catalog::published::Document;
use serde_json::{Map, Value, json};

use crate::registry::header_parameters;

const HEADERS: [&str; 7] =
    ["authorization", "content-type", "accept", "idempotency-key", "if-match", "if-none-match", "traceparent"];
const EXPOSED: [&str; 6] = ["ratelimit", "ratelimit-policy", "retry-after", "www-authenticate", "x-request-id", "etag"];

/// Documents of one API, with the portal let in.
pub(super) fn with_portal(documents: &mut [Document], portal: &str, openapi: Option<&Value>) {
    let headers: Vec<String> =
        HEADERS.iter().map(|name| (*name).to_owned()).chain(openapi.into_iter().flat_map(header_parameters)).collect();
    for document in documents {
        let own = document.spec.get("cors").is_some();
        // A route without a word of its own takes the service's.
        let wanted = matches!(document.kind.as_str(), "Service" | "Composition") || (document.kind == "Route" && own);
        let (true, Some(spec)) = (wanted, document.spec.as_object_mut()) else { continue };
        let Some(cors) = spec.entry("cors").or_insert_with(|| json!({"origins": []})).as_object_mut() else { continue };
        let everybody =
            cors.get("origins").and_then(Value::as_array).is_some_and(|all| all.contains(&Value::from("*")));
        if !everybody {
            add(cors, "origins", &[portal.to_owned()]);
        }
        add(cors, "headers", &headers);
        add(cors, "exposeHeaders", &EXPOSED.map(str::to_owned));
    }
}

fn add(cors: &mut Map<String, Value>, list: &str, words: &[String]) {
    let Some(list) = cors.entry(list).or_insert_with(|| json!([])).as_array_mut() else { return };
    for word in words {
        let known = list.iter().filter_map(Value::as_str).any(|one| one.eq_ignore_ascii_case(word));
        if !known {
            list.push(Value::from(word.as_str()));
        }
    }
}
