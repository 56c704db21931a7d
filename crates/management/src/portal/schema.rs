//! Schemas as people read them: references followed inside the document only, and not for ever.

use serde::Serialize;
use serde_json::{Map, Value};

pub(super) const MOST_DEPTH: usize = 5;
const MOST_ROWS: usize = 200;
const MOST_HOPS: usize = 16;
/// Alternatives inside of alternatives.
const MOST_KINDS: usize = 2;
/// Values of an example that is made up: a schema of forty members that are all itself has a hundred million.
const MOST_VALUES: usize = 400;
/// Of what a document gives as an example, and of texts that a row or an option has.
const LONGEST_EXAMPLE: usize = 64 << 10;
const LONGEST_TEXT: usize = 4_000;
const LONGEST_WORD: usize = 200;

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
    let mut schema = resolve(root, schema);
    // A list may be a list of itself.
    for _ in 0..MOST_HOPS {
        let Some(items) = schema.get("items") else { break };
        schema = resolve(root, items);
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
                description: cut(member.get("description").and_then(Value::as_str).unwrap_or_default()),
            });
            members(root, member, depth.saturating_add(1), rows);
        }
    }
}

/// `string (date-time)`, `array of Order`, `one of a, b`.
pub(super) fn kind(root: &Value, schema: &Value) -> String {
    kind_within(root, schema, MOST_KINDS)
}

fn kind_within(root: &Value, schema: &Value, depth: usize) -> String {
    if let Some(options) = schema.get("enum").and_then(Value::as_array) {
        let options: Vec<String> = options.iter().take(12).map(plain).collect();
        return format!("one of {}", options.join(", "));
    }
    if let Some(several) = ["oneOf", "anyOf"].iter().find_map(|name| schema.get(*name)).and_then(Value::as_array) {
        let Some(depth) = depth.checked_sub(1) else { return "any".to_owned() };
        let kinds = several.iter().take(6).map(|one| kind_within(root, resolve(root, one), depth));
        return kinds.collect::<Vec<_>>().join(" or ");
    }
    let base = match schema.get("type") {
        Some(Value::String(name)) => shortened(name, LONGEST_WORD),
        Some(Value::Array(names)) => names.iter().take(8).map(plain).collect::<Vec<_>>().join(" or "),
        _ if schema.get("properties").is_some() || schema.get("allOf").is_some() => "object".to_owned(),
        _ => "any".to_owned(),
    };
    if base == "array" {
        let items = schema.get("items").map_or(&Value::Null, |items| resolve(root, items));
        // One step down only: a list of lists of itself has an end here too.
        let inner = items.get("type").and_then(Value::as_str).unwrap_or("any");
        return format!("array of {}", shortened(inner, LONGEST_WORD));
    }
    match schema.get("format").and_then(Value::as_str) {
        Some(format) => format!("{base} ({})", shortened(format, LONGEST_WORD)),
        None => base,
    }
}

/// Something that fits the schema.
pub(super) fn example(root: &Value, schema: &Value) -> Value {
    let mut left = MOST_VALUES;
    made_up(root, schema, 0, &mut left)
}

fn made_up(root: &Value, schema: &Value, depth: usize, left: &mut usize) -> Value {
    let schema = resolve(root, schema);
    let given = schema.get("example").or_else(|| schema.pointer("/examples/0")).or_else(|| schema.get("default"));
    if let Some(value) = given.or_else(|| schema.get("const")).or_else(|| schema.pointer("/enum/0")) {
        return if fits(value, &mut { LONGEST_TEXT }) { value.clone() } else { "…".into() };
    }
    *left = left.saturating_sub(1);
    if depth >= MOST_DEPTH || *left == 0 {
        return Value::Null;
    }
    if let Some(first) = ["oneOf", "anyOf"].iter().find_map(|name| schema.get(*name)?.get(0)) {
        return made_up(root, first, depth.saturating_add(1), left);
    }
    let mut object = Map::new();
    for part in parts(root, schema) {
        for (name, member) in part.get("properties").and_then(Value::as_object).into_iter().flatten().take(40) {
            if *left > 0 {
                object.insert(name.clone(), made_up(root, member, depth.saturating_add(1), left));
            }
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
            Value::Array(vec![made_up(root, items, depth.saturating_add(1), left)])
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

/// One word or value, as a row or a choice shows it.
pub(super) fn plain(value: &Value) -> String {
    let text = match value {
        Value::String(text) => Some(shortened(text, LONGEST_WORD)),
        other => compact(other).map(|text| shortened(&text, LONGEST_WORD)),
    };
    text.unwrap_or_else(|| "…".to_owned())
}

/// A text of the document, which may be as long as the document and stand there a thousand times by reference.
pub(super) fn cut(text: &str) -> String {
    shortened(text, LONGEST_TEXT)
}

fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// JSON for people, unless it is too long to be read.
pub(super) fn written(value: &Value) -> Option<String> {
    fits(value, &mut { LONGEST_EXAMPLE }).then(|| serde_json::to_string_pretty(value).ok()).flatten()
}

fn compact(value: &Value) -> Option<String> {
    fits(value, &mut { LONGEST_TEXT }).then(|| value.to_string())
}

/// Whether a value is no longer than that, found out without reading its texts.
fn fits(value: &Value, left: &mut usize) -> bool {
    let own = match value {
        Value::String(text) => text.len(),
        Value::Object(members) => members.keys().map(String::len).sum(),
        _ => 0,
    };
    *left = left.saturating_sub(own.saturating_add(4));
    *left > 0
        && match value {
            Value::Array(items) => items.iter().all(|item| fits(item, left)),
            Value::Object(members) => members.values().all(|item| fits(item, left)),
            _ => true,
        }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Documents are somebody's, and anybody may open their pages: none of these may cost a stack or a memory.
    #[test]
    fn schemas_that_are_made_to_be_endless_have_an_end() {
        let wide: Map<String, Value> =
            (0..60).map(|at| (format!("p{at}"), json!({"$ref": "#/components/schemas/Wide"}))).collect();
        let long = "x".repeat(2 << 20);
        let same: Map<String, Value> =
            (0..300).map(|at| (format!("p{at}"), json!({"$ref": "#/components/schemas/Long"}))).collect();
        let root = json!({"components": {"schemas": {
            "List": {"type": "array", "items": {"$ref": "#/components/schemas/List"}},
            "Lists": {"items": {"items": {"$ref": "#/components/schemas/Lists"}}},
            "One": {"oneOf": [{"$ref": "#/components/schemas/Other"}, {"$ref": "#/components/schemas/One"}]},
            "Other": {"anyOf": [{"$ref": "#/components/schemas/One"}, {"type": "string"}]},
            "All": {"allOf": [{"$ref": "#/components/schemas/All"}, {"$ref": "#/components/schemas/Wide"}]},
            "Wide": {"type": "object", "properties": wide},
            "Long": {"type": long, "description": long, "enum": [long, {"a": long}], "example": long},
            "Same": {"properties": same},
        }}});

        for name in ["List", "Lists", "One", "Other", "All", "Wide", "Long", "Same"] {
            let schema = json!({"$ref": format!("#/components/schemas/{name}")});
            let mut rows = Vec::new();
            members(&root, &schema, 0, &mut rows);
            let text: usize = rows.iter().map(|row| row.kind.len() + row.description.len()).sum();
            assert!(rows.len() <= MOST_ROWS && text < 4 << 20, "{name}: {text}");
            assert!(kind(&root, resolve(&root, &schema)).len() < 20_000, "{name}");
            assert!(example(&root, &schema).to_string().len() < 1 << 20, "{name}");
        }
        assert_eq!(kind(&root, &root["components"]["schemas"]["One"]), "any or string or any or any");
    }
}
