//! Schemas as people read them: references followed inside the document only, and not for ever.

use serde::Serialize;
use serde_json::{Map, Value};

pub(super) const MOST_DEPTH: usize = 5;
const MOST_ROWS: usize = 200;
const MOST_HOPS: usize = 16;

/// One member of a schema.
#[derive(Serialize)]
pub(super) struct Row {
    pub name: String,
    pub depth: usize,
    pub kind: String,
    pub required: bool,
    pub description: String,
}

/// What stands behind a local reference (RFC 6901).
pub(super) fn resolve<'a>(root: &'a Value, value: &'a Value) -> &'a Value {
    let mut value = value;
    for _ in 0..MOST_HOPS {
        let Some(reference) = value.get("$ref").and_then(Value::as_str) else { return value };
        let Some(found) = reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer)) else { return value };
        value = found;
    }
    value
}

fn parts<'a>(root: &'a Value, schema: &'a Value) -> Vec<&'a Value> {
    let all = schema.get("allOf").and_then(Value::as_array).into_iter().flatten();
    std::iter::once(schema).chain(all.map(|part| resolve(root, part))).collect()
}

pub(super) fn members(root: &Value, schema: &Value, depth: usize, rows: &mut Vec<Row>) {
    if depth >= MOST_DEPTH {
        return;
    }
    let schema = resolve(root, schema);
    if let Some(items) = schema.get("items") {
        members(root, items, depth, rows);
        return;
    }
    for part in parts(root, schema) {
        let required = strings(part.get("required"));
        for (name, member) in part.get("properties").and_then(Value::as_object).into_iter().flatten() {
            if rows.len() >= MOST_ROWS {
                return;
            }
            let member = resolve(root, member);
            rows.push(Row {
                name: name.clone(),
                depth,
                kind: kind(root, member),
                required: required.contains(name),
                description: member.get("description").and_then(Value::as_str).unwrap_or_default().to_owned(),
            });
            members(root, member, depth.saturating_add(1), rows);
        }
    }
}

/// `string (date-time)`, `array of Order`, `one of a, b`.
pub(super) fn kind(root: &Value, schema: &Value) -> String {
    if let Some(options) = schema.get("enum").and_then(Value::as_array) {
        let options: Vec<String> = options.iter().take(12).map(plain).collect();
        return format!("one of {}", options.join(", "));
    }
    if let Some(several) = ["oneOf", "anyOf"].iter().find_map(|name| schema.get(*name)).and_then(Value::as_array) {
        let kinds: Vec<String> = several.iter().take(6).map(|one| kind(root, resolve(root, one))).collect();
        return kinds.join(" or ");
    }
    let base = match schema.get("type") {
        Some(Value::String(name)) => name.clone(),
        Some(Value::Array(names)) => names.iter().map(plain).collect::<Vec<_>>().join(" or "),
        _ if schema.get("properties").is_some() || schema.get("allOf").is_some() => "object".to_owned(),
        _ => "any".to_owned(),
    };
    if base == "array" {
        let items = schema.get("items").map_or(&Value::Null, |items| resolve(root, items));
        // One step down only: a list of lists of itself has an end here too.
        let inner = items.get("type").and_then(Value::as_str).unwrap_or("any");
        return format!("array of {inner}");
    }
    match schema.get("format").and_then(Value::as_str) {
        Some(format) => format!("{base} ({format})"),
        None => base,
    }
}

/// Something that fits the schema.
pub(super) fn example(root: &Value, schema: &Value, depth: usize) -> Value {
    let schema = resolve(root, schema);
    let given = schema.get("example").or_else(|| schema.pointer("/examples/0")).or_else(|| schema.get("default"));
    if let Some(value) = given.or_else(|| schema.get("const")).or_else(|| schema.pointer("/enum/0")) {
        return value.clone();
    }
    if depth >= MOST_DEPTH {
        return Value::Null;
    }
    if let Some(first) = ["oneOf", "anyOf"].iter().find_map(|name| schema.get(*name)?.get(0)) {
        return example(root, first, depth.saturating_add(1));
    }
    let mut object = Map::new();
    for part in parts(root, schema) {
        for (name, member) in part.get("properties").and_then(Value::as_object).into_iter().flatten().take(40) {
            object.insert(name.clone(), example(root, member, depth.saturating_add(1)));
        }
    }
    if !object.is_empty() {
        return Value::Object(object);
    }
    let name = match schema.get("type") {
        Some(Value::Array(names)) => names.first().and_then(Value::as_str),
        other => other.and_then(Value::as_str),
    };
    match name {
        Some("array") => {
            let items = schema.get("items").unwrap_or(&Value::Null);
            Value::Array(vec![example(root, items, depth.saturating_add(1))])
        }
        Some("integer" | "number") => Value::from(1),
        Some("boolean") => Value::from(true),
        Some("object") => Value::Object(Map::new()),
        Some("string") => match schema.get("format").and_then(Value::as_str) {
            Some("date-time") => "2026-01-01T12:00:00Z".into(),
            Some("date") => "2026-01-01".into(),
            Some("uuid") => "0190f3c0-0000-7000-8000-000000000000".into(),
            Some("email") => "ann@example.com".into(),
            Some("uri") => "https://example.com/".into(),
            _ => "text".into(),
        },
        _ => Value::Null,
    }
}

pub(super) fn strings(list: Option<&Value>) -> Vec<String> {
    let items = list.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
