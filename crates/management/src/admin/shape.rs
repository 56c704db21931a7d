//! Words for JSON Schemas, as short as what they say.

use serde_json::{Map, Value, json};

pub(crate) fn text() -> Value {
    json!({"type": "string"})
}

pub(crate) fn whole() -> Value {
    json!({"type": "integer", "format": "int64"})
}

pub(crate) fn moment() -> Value {
    json!({"type": "integer", "format": "int64", "description": "Milliseconds since the epoch"})
}

pub(crate) fn flag() -> Value {
    json!({"type": "boolean"})
}

/// A boolean of a request that may be left out.
pub(crate) fn unless_said(default: bool) -> Value {
    json!({"type": "boolean", "default": default})
}

pub(crate) fn word(of: &[&str]) -> Value {
    json!({"type": "string", "enum": of})
}

pub(crate) fn list(of: Value) -> Value {
    json!({"type": "array", "items": of})
}

/// A schema of `components`.
pub(crate) fn named(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

pub(crate) fn or_null(schema: Value) -> Value {
    match schema.get("type").and_then(Value::as_str).map(str::to_owned) {
        Some(kind) if schema.get("enum").is_none() => {
            let mut schema = schema;
            if let Some(members) = schema.as_object_mut() {
                members.insert("type".to_owned(), json!([kind, "null"]));
            }
            schema
        }
        _ => json!({"anyOf": [schema, {"type": "null"}]}),
    }
}

pub(crate) fn about(schema: Value, description: &str) -> Value {
    let mut schema = schema;
    if let Some(members) = schema.as_object_mut() {
        members.insert("description".to_owned(), description.into());
    }
    schema
}

/// What is answered. A name with a `?` may be missing; other members may come with later versions.
pub(crate) fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    let required: Vec<&str> = members.iter().map(|(name, _)| *name).filter(|name| !name.ends_with('?')).collect();
    let mut schema = json!({"type": "object"});
    if let Some(schema) = schema.as_object_mut() {
        if !required.is_empty() {
            schema.insert("required".to_owned(), json!(required));
        }
        let properties: Map<String, Value> =
            members.iter().map(|(name, of)| (name.trim_end_matches('?').to_owned(), of.clone())).collect();
        schema.insert("properties".to_owned(), properties.into());
    }
    schema
}

/// What is sent: a member that is not named is refused.
pub(crate) fn body<const N: usize>(members: [(&str, Value); N]) -> Value {
    let mut schema = object(members);
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("additionalProperties".to_owned(), false.into());
    }
    schema
}
