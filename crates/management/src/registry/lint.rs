//! What is said about a document when it is imported: what was left out, what is missing, what is not done.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::openapi::{OpenApi, Operation};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Something of the document is not served.
    Error,
    Warning,
    Note,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub level: Level,
    pub rule: &'static str,
    /// Into the document (RFC 6901).
    pub pointer: String,
    pub message: String,
}

impl Finding {
    pub fn new(level: Level, rule: &'static str, pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { level, rule, pointer: pointer.into(), message: message.into() }
    }
}

/// What can be said without making anything of it.
pub fn lint(openapi: OpenApi<'_>) -> Vec<Finding> {
    let mut out = Vec::new();
    document(openapi, &mut out);
    references(openapi, openapi.root, &mut Vec::new(), &mut out);
    let mut ids: BTreeMap<&str, String> = BTreeMap::new();
    for operation in openapi.operations() {
        operation_findings(openapi, operation, &mut out);
        let Some(id) = operation.text("operationId") else { continue };
        if let Some(first) = ids.get(id) {
            let message = format!("`{id}` is the name of {first} already; this one is named after method and path");
            out.push(Finding::new(Level::Warning, "operation-id-unique", operation.pointer(), message));
        } else {
            ids.insert(id, operation.pointer());
        }
    }
    out
}

fn document(openapi: OpenApi<'_>, out: &mut Vec<Finding>) {
    let mut say = |level, rule, pointer: &str, message: &str| out.push(Finding::new(level, rule, pointer, message));
    if openapi.text("/info/description").is_none_or(|text| text.trim().is_empty()) {
        say(Level::Warning, "info-description", "/info", "there is no description of the whole");
    }
    if openapi.operations().next().is_none() {
        say(Level::Error, "operations", "/paths", "there is no operation");
    }
    let servers = openapi.root.get("servers").and_then(Value::as_array);
    for (at, server) in servers.into_iter().flatten().enumerate() {
        if server.get("variables").is_some_and(|variables| variables.as_object().is_some_and(|map| !map.is_empty())) {
            let message = "variables of servers are not filled in; name the upstream with --upstream";
            say(Level::Warning, "server-variables", &format!("/servers/{at}/variables"), message);
        }
    }
    if openapi.root.get("webhooks").and_then(Value::as_object).is_some_and(|hooks| !hooks.is_empty()) {
        say(
            Level::Note,
            "webhooks",
            "/webhooks",
            "webhooks are shown; they are not routed, since they go the other way",
        );
    }
}

/// Nobody reads more of the same.
const MOST_REFERENCES: usize = 200;

/// A step of the way into a document. It is put into words where something is found, and not for each node: keys may be
/// as long as the document.
#[derive(Clone, Copy)]
enum Step<'a> {
    Key(&'a str),
    At(usize),
}

fn pointer(way: &[Step<'_>]) -> String {
    let word = |step: &Step<'_>| match step {
        Step::Key(key) => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
        Step::At(at) => format!("/{at}"),
    };
    way.iter().map(word).collect()
}

/// References that lead out of the document, or nowhere.
fn references<'a>(openapi: OpenApi<'a>, value: &'a Value, way: &mut Vec<Step<'a>>, out: &mut Vec<Finding>) {
    match value {
        Value::Object(members) => {
            let reference = members.get("$ref").and_then(Value::as_str);
            if let Some(reference) = reference.filter(|_| out.len() < MOST_REFERENCES) {
                let shown: String = reference.chars().take(200).collect();
                if !reference.starts_with('#') {
                    let message = format!("`{shown}` is outside of the document and is not fetched; bundle it first");
                    out.push(Finding::new(Level::Warning, "ref-outside", pointer(way), message));
                } else if openapi.resolve(value).is_none() {
                    let message = format!("`{shown}` leads nowhere, or in a circle");
                    out.push(Finding::new(Level::Warning, "ref-broken", pointer(way), message));
                }
            }
            for (key, value) in members.iter().filter(|(key, _)| *key != "example" && *key != "examples") {
                way.push(Step::Key(key));
                references(openapi, value, way, out);
                way.pop();
            }
        }
        Value::Array(items) => {
            for (at, value) in items.iter().enumerate() {
                way.push(Step::At(at));
                references(openapi, value, way, out);
                way.pop();
            }
        }
        _ => {}
    }
}

fn operation_findings(openapi: OpenApi<'_>, operation: Operation<'_>, out: &mut Vec<Finding>) {
    let pointer = operation.pointer();
    let mut say = |level, rule, message: String| out.push(Finding::new(level, rule, pointer.clone(), message));
    if operation.text("operationId").is_none() {
        say(Level::Warning, "operation-id", "there is no operationId; it is named after method and path".to_owned());
    } else if operation.id().is_none() {
        say(
            Level::Warning,
            "operation-id",
            "an operationId has 1 to 200 bytes; it is named after method and path".to_owned(),
        );
    }
    let told = |key: &str| operation.text(key).is_some_and(|text| !text.trim().is_empty());
    if !told("summary") && !told("description") {
        say(Level::Warning, "operation-description", "there is neither summary nor description".to_owned());
    }
    let responses = operation.spec.get("responses").and_then(Value::as_object);
    if !responses.is_some_and(|all| all.keys().any(|status| status.starts_with('2') || status == "default")) {
        say(Level::Warning, "success-response", "no successful response is described".to_owned());
    }
    let parameters = openapi.parameters(operation);
    let in_path: Vec<&str> = parameters.iter().filter(|one| one.0 == "path").map(|one| one.1).collect();
    let named: Vec<&str> = operation.path.split('{').skip(1).filter_map(|rest| rest.split('}').next()).collect();
    for name in named.iter().filter(|name| !in_path.contains(name)) {
        say(Level::Warning, "path-parameter", format!("the path parameter `{name}` is not described"));
    }
    for name in in_path.iter().filter(|name| !named.contains(name)) {
        say(Level::Warning, "path-parameter", format!("the path has no `{{{name}}}`"));
    }
    if operation.spec.contains_key("servers") || operation.item.contains_key("servers") {
        say(Level::Warning, "own-servers", "servers of its own are passed over: all goes to one upstream".to_owned());
    }
    if operation.spec.contains_key("callbacks") {
        say(
            Level::Note,
            "callbacks",
            "callbacks are shown; they are not routed, since they go the other way".to_owned(),
        );
    }
}
