//! The one file format: documents with `kind`, `name`, `spec`. Every pillar's kinds pass through here.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::kinds::{GATEWAY_KINDS, IDENTITY_KINDS};
use crate::node::{self, Content, Node};
use crate::read;
use crate::source::{Fault, Source, did_you_mean};

/// One document. Which part of the product applies it depends on its kind.
#[derive(Debug, Clone)]
pub struct Resource {
    pub kind: String,
    pub name: String,
    pub spec: Value,
    pub source: Source,
    document: Arc<Node>,
}

impl Resource {
    /// A resource that comes from no file (a page, an interface, development mode).
    pub fn new(kind: &str, name: &str, spec: Value) -> Self {
        let empty = Node { content: Content::Null, line: 0, column: 0 };
        let file = format!("{kind}/{name}");
        Self {
            kind: kind.to_owned(),
            name: name.to_owned(),
            spec,
            source: Source { file: file.into(), line: 0, column: 0 },
            document: Arc::new(empty),
        }
    }

    /// The `spec` as a type, or all that is wrong with it.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Vec<Fault>> {
        let made;
        let spec = match self.document.get("spec") {
            Some(spec) => spec,
            None => {
                made = node_of(&self.spec);
                &made
            }
        };
        read::read(spec, "/spec")
            .map_err(|faults| faults.into_iter().map(|fault| self.fault(&fault.pointer, fault.message)).collect())
    }

    /// A fault at a pointer of this document (`/spec/upstream`).
    pub fn fault(&self, pointer: &str, message: impl Into<String>) -> Fault {
        let (line, column) = self.document.nearest(pointer);
        let source_at = Source { file: Arc::clone(&self.source.file), line, column };
        Fault { source_at, pointer: pointer.to_owned(), message: message.into() }
    }

    pub fn is_for_gateway(&self) -> bool {
        GATEWAY_KINDS.contains(&self.kind.as_str())
    }
}

/// Parses a file: YAML documents separated by `---` (JSON is YAML).
pub fn parse(file: &str, text: &str) -> Result<Vec<Resource>, Vec<Fault>> {
    let file: Arc<str> = file.into();
    let documents = node::documents(text).map_err(|syntax| {
        let source_at = Source { file: Arc::clone(&file), line: syntax.line, column: syntax.column };
        vec![Fault { source_at, pointer: String::new(), message: syntax.message }]
    })?;
    let mut resources = Vec::new();
    let mut faults = Vec::new();
    for document in documents {
        match resource(&file, document) {
            Ok(resource) => resources.push(resource),
            Err(mut found) => faults.append(&mut found),
        }
    }
    if faults.is_empty() { Ok(resources) } else { Err(faults) }
}

/// One YAML document as JSON, for documents of other formats.
pub fn yaml(text: &str) -> Result<Value, String> {
    let documents = node::documents(text).map_err(|syntax| match (syntax.line, syntax.column) {
        (0, _) => syntax.message,
        (line, column) => format!("line {line}, column {column}: {}", syntax.message),
    })?;
    match documents.as_slice() {
        [document] => Ok(document.to_json()),
        _ => Err(format!("there are {} documents in it, and one is expected", documents.len())),
    }
}

const KEYS: [&str; 3] = ["kind", "name", "spec"];
const MAX_NAME: usize = 200;

fn resource(file: &Arc<str>, document: Node) -> Result<Resource, Vec<Fault>> {
    let fault = |line: u32, column: u32, pointer: &str, message: String| Fault {
        source_at: Source { file: Arc::clone(file), line, column },
        pointer: pointer.to_owned(),
        message,
    };
    let Content::Map(entries) = &document.content else {
        let message = "a document is a map with the keys `kind`, `name` and `spec`".to_owned();
        return Err(vec![fault(document.line, document.column, "", message)]);
    };
    let mut faults = Vec::new();
    for (key, _) in entries.iter().filter(|(key, _)| !KEYS.contains(&key.text.as_str())) {
        let message = format!("unknown key `{}`{}", key.text, did_you_mean(&key.text, KEYS));
        faults.push(fault(key.line, key.column, &format!("/{}", key.text), message));
    }
    let mut text = |name: &str| match document.get(name) {
        Some(Node { content: Content::Text(text), .. }) if !text.is_empty() => Some(text.clone()),
        Some(node) => {
            faults.push(fault(node.line, node.column, &format!("/{name}"), format!("`{name}` is not a text")));
            None
        }
        None => {
            faults.push(fault(document.line, document.column, &format!("/{name}"), format!("`{name}` is missing")));
            None
        }
    };
    let (kind, name) = (text("kind"), text("name"));
    let known = || GATEWAY_KINDS.iter().chain(IDENTITY_KINDS).copied();
    if let Some(kind) = kind.as_deref().filter(|kind| known().all(|known| known != *kind)) {
        let (line, column) = document.nearest("/kind");
        let guess = did_you_mean(kind, known());
        faults.push(fault(line, column, "/kind", format!("unknown kind `{kind}`{guess}")));
    }
    if let Some(name) = name.as_deref().filter(|name| name.len() > MAX_NAME || name.chars().any(char::is_control)) {
        let (line, column) = document.nearest("/name");
        let shown: String = name.chars().take(40).filter(|c| !c.is_control()).collect();
        faults.push(fault(line, column, "/name", format!("`{shown}…` is too long or holds control characters")));
    }
    let spec = match document.get("spec") {
        Some(spec) if matches!(spec.content, Content::Map(_)) => spec.to_json(),
        Some(spec) => {
            faults.push(fault(spec.line, spec.column, "/spec", "`spec` is not a map".to_owned()));
            Value::Null
        }
        None => {
            faults.push(fault(document.line, document.column, "/spec", "`spec` is missing".to_owned()));
            Value::Null
        }
    };
    match (kind, name) {
        (Some(kind), Some(name)) if faults.is_empty() => {
            let (line, column) = document.nearest("/kind");
            let source = Source { file: Arc::clone(file), line, column };
            Ok(Resource { kind, name, spec, source, document: Arc::new(document) })
        }
        _ => Err(faults),
    }
}

fn node_of(value: &Value) -> Node {
    let content = match value {
        Value::Null => Content::Null,
        Value::Bool(value) => Content::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Content::Int(whole),
            None => Content::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Content::Text(text.clone()),
        Value::Array(items) => Content::List(items.iter().map(node_of).collect()),
        Value::Object(map) => Content::Map(
            map.iter()
                .map(|(key, value)| (node::Key { text: key.clone(), line: 0, column: 0 }, node_of(value)))
                .collect(),
        ),
    };
    Node { content, line: 0, column: 0 }
}

/// The set as YAML that [`parse`] reads back.
pub fn export(resources: &[Resource]) -> String {
    let mut out = String::new();
    for resource in resources {
        let document = json!({"kind": resource.kind, "name": resource.name, "spec": resource.spec});
        out.push_str("---\n");
        // A JSON value always has a YAML form; JSON itself is YAML, should the writer disagree.
        out.push_str(&serde_saphyr::to_string(&document).unwrap_or_else(|_| document.to_string()));
        if !out.ends_with('\n') {
            out.push('\n');
        }
    }
    out
}

/// What applying a set would do to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "change", rename_all = "lowercase")]
pub enum Change {
    Add { kind: String, name: String },
    Modify { kind: String, name: String },
    Remove { kind: String, name: String },
}

/// The changes from `old` to `new`, by kind and name.
pub fn changes(old: &[Resource], new: &[Resource]) -> Vec<Change> {
    use std::collections::BTreeMap;

    fn index(set: &[Resource]) -> BTreeMap<(&str, &str), &Value> {
        set.iter().map(|resource| ((resource.kind.as_str(), resource.name.as_str()), &resource.spec)).collect()
    }
    let (old, new) = (index(old), index(new));
    let mut out = Vec::new();
    for ((kind, name), spec) in &new {
        let (kind, name) = ((*kind).to_owned(), (*name).to_owned());
        match old.get(&(kind.as_str(), name.as_str())) {
            None => out.push(Change::Add { kind, name }),
            Some(before) if before != spec => out.push(Change::Modify { kind, name }),
            Some(_) => {}
        }
    }
    for (kind, name) in old.keys().filter(|key| !new.contains_key(*key)) {
        out.push(Change::Remove { kind: (*kind).to_owned(), name: (*name).to_owned() });
    }
    out
}
