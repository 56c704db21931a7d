//! OpenAPI 3.0 and 3.1 documents as they are: JSON with an accessor. Nothing is ever fetched; references are
//! followed inside the document only, and not for ever.

use std::collections::{HashMap, HashSet};

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use crate::error::Refused;

/// A document is in one request, and in one row.
const MOST_BYTES: usize = 4 << 20;
/// The parser of JSON ends there by itself; YAML can be nested in few characters too.
const MOST_DEPTH: usize = 120;
const MOST_OPERATIONS: usize = 2_000;
const MOST_HOPS: usize = 16;

pub const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

#[derive(Debug, Clone, Copy)]
pub struct OpenApi<'a> {
    pub root: &'a Value,
}

/// One method of one path.
#[derive(Debug, Clone, Copy)]
pub struct Operation<'a> {
    pub path: &'a str,
    /// In small letters.
    pub method: &'static str,
    pub item: &'a Map<String, Value>,
    pub spec: &'a Map<String, Value>,
}

/// Reads JSON or YAML, within the limits.
pub fn read(text: &str) -> Result<Value, Refused> {
    if text.len() > MOST_BYTES {
        return Err(Refused::invalid("", format!("the document is larger than {MOST_BYTES} bytes")));
    }
    let root = if text.trim_start().starts_with('{') {
        serde_json::from_str(text)
            .map_err(|error| Refused::invalid("", format!("the document is not JSON: {error}")))?
    } else {
        catalog::yaml(text).map_err(|error| Refused::invalid("", format!("the document is not YAML: {error}")))?
    };
    check(&root)?;
    Ok(root)
}

/// That a document is one that we understand. It may come from anybody.
pub fn check(root: &Value) -> Result<(), Refused> {
    if too_deep(root, MOST_DEPTH) {
        return Err(Refused::invalid("", format!("the document is nested deeper than {MOST_DEPTH}")));
    }
    if root.get("swagger").is_some() {
        return Err(Refused::invalid("/swagger", "this is Swagger 2.0; convert it to OpenAPI 3.0 or 3.1 first"));
    }
    let version = root.get("openapi").and_then(Value::as_str).unwrap_or_default();
    if !["3.0.", "3.1."].iter().any(|known| version.starts_with(known)) {
        let message = format!("`openapi` is `{version}`; this program reads 3.0 and 3.1");
        return Err(Refused::invalid("/openapi", message));
    }
    for (pointer, found) in
        [("/info/title", root.pointer("/info/title")), ("/info/version", root.pointer("/info/version"))]
    {
        if found.and_then(Value::as_str).is_none_or(|text| text.trim().is_empty()) {
            return Err(Refused::invalid(pointer, "is missing, or not a text (write a version in quotes)"));
        }
    }
    let count = OpenApi { root }.operations().count();
    if count > MOST_OPERATIONS {
        return Err(Refused::invalid("/paths", format!("{count} operations, and {MOST_OPERATIONS} are taken")));
    }
    Ok(())
}

fn too_deep(value: &Value, left: usize) -> bool {
    let Some(left) = left.checked_sub(1) else { return true };
    match value {
        Value::Array(items) => items.iter().any(|item| too_deep(item, left)),
        Value::Object(members) => members.values().any(|item| too_deep(item, left)),
        _ => false,
    }
}

impl<'a> OpenApi<'a> {
    /// What a value says, behind its references. `None`: it leads nowhere, out of the document, or in a circle.
    pub fn resolve(self, value: &'a Value) -> Option<&'a Value> {
        let mut value = value;
        for _ in 0..MOST_HOPS {
            let Some(reference) = value.get("$ref").and_then(Value::as_str) else { return Some(value) };
            value = self.target(reference)?;
        }
        None
    }

    fn target(self, reference: &str) -> Option<&'a Value> {
        let pointer = reference.strip_prefix('#')?;
        let pointer = percent_decode_str(pointer).decode_utf8().ok()?;
        self.root.pointer(&pointer)
    }

    pub fn text(self, pointer: &str) -> Option<&'a str> {
        self.root.pointer(pointer)?.as_str()
    }

    pub fn operations(self) -> impl Iterator<Item = Operation<'a>> {
        let paths = self.root.get("paths").and_then(Value::as_object).into_iter().flatten();
        paths.filter(|(path, _)| path.starts_with('/')).flat_map(move |(path, item)| {
            let item = self.resolve(item).and_then(Value::as_object);
            METHODS.iter().filter_map(move |method| {
                let item = item?;
                Some(Operation { path, method, item, spec: item.get(*method)?.as_object()? })
            })
        })
    }

    /// Those of the path and those of the operation, which stand before them; by place and name.
    pub fn parameters(self, operation: Operation<'a>) -> Vec<(&'a str, &'a str, &'a Value)> {
        let mut found: Vec<(&str, &str, &Value)> = Vec::new();
        for list in [operation.spec.get("parameters"), operation.item.get("parameters")] {
            for parameter in list.and_then(Value::as_array).into_iter().flatten() {
                let Some(parameter) = self.resolve(parameter) else { continue };
                let text = |key: &str| parameter.get(key).and_then(Value::as_str);
                let (Some(place), Some(name)) = (text("in"), text("name")) else { continue };
                if !found.iter().any(|known| (known.0, known.1) == (place, name)) {
                    found.push((place, name, parameter));
                }
            }
        }
        found
    }

    /// What the operation, or else the whole document, says about security.
    pub fn security(self, operation: Operation<'a>) -> Option<&'a Vec<Value>> {
        operation.spec.get("security").or_else(|| self.root.get("security")).and_then(Value::as_array)
    }

    pub fn scheme(self, name: &str) -> Option<&'a Value> {
        let schemes = self.root.pointer("/components/securitySchemes")?.as_object()?;
        self.resolve(schemes.get(name)?)
    }
}

impl<'a> Operation<'a> {
    pub fn id(self) -> Option<&'a str> {
        self.text("operationId").filter(|id| !id.is_empty() && id.len() <= 200)
    }

    pub fn text(self, key: &str) -> Option<&'a str> {
        self.spec.get(key)?.as_str()
    }

    pub fn pointer(self) -> String {
        format!("/paths/{}/{}", self.path.replace('~', "~0").replace('/', "~1"), self.method)
    }
}

/// Fields that a client may send as parameters, in small letters.
pub fn header_parameters(root: &Value) -> Vec<String> {
    let openapi = OpenApi { root };
    let mut names: Vec<String> = Vec::new();
    for operation in openapi.operations() {
        for (place, name, _) in openapi.parameters(operation) {
            let name = name.to_ascii_lowercase();
            let token =
                !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
            if place == "header" && token && !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

/// The names of the operations, in order: the `operationId`, or what method and path make where there is none or
/// it stands there a second time.
pub fn names<'a>(openapi: OpenApi<'a>) -> Vec<(String, Operation<'a>)> {
    let mut names: Vec<(String, Operation<'a>)> = Vec::new();
    let mut known: HashSet<String> = HashSet::new();
    // How often a name came already: two thousand of the same are not tried from the first one on each time.
    let mut again: HashMap<String, usize> = HashMap::new();
    for operation in openapi.operations() {
        let own = operation.id().filter(|id| !known.contains(&id.to_ascii_lowercase())).map(str::to_owned);
        let mut name = own.unwrap_or_else(|| made_up(operation));
        let times = again.entry(name.to_ascii_lowercase()).or_default();
        name.push_str(&"_".repeat(*times));
        while !known.insert(name.to_ascii_lowercase()) {
            name.push('_');
            *times = times.saturating_add(1);
        }
        names.push((name, operation));
    }
    names
}

fn made_up(operation: Operation<'_>) -> String {
    let words = operation.path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let mut name = operation.method.to_owned();
    for word in words {
        name.push('-');
        name.push_str(word);
    }
    name.chars().take(200).collect()
}
