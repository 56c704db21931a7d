//! Whether an answer is what its schema says, and no more than that.

use serde_json::Value;

/// What is wrong with a value; a member that the schema does not name is wrong too.
pub(super) fn misfits(root: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    look(root, schema, value, "", &mut found);
    found
}

fn look(root: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        return look(root, root.pointer(reference.trim_start_matches('#')).unwrap(), value, at, found);
    }
    for several in ["anyOf", "oneOf"] {
        if let Some(ways) = schema[several].as_array()
            && !ways.iter().any(|way| misfits(root, way, value).is_empty())
        {
            found.push(format!("{at}: {value} is none of what is allowed"));
        }
    }
    for way in schema["allOf"].as_array().into_iter().flatten() {
        look(root, way, value, at, found);
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        found.push(format!("{at}: {value} is not among {allowed:?}"));
    }
    if schema.get("const").is_some_and(|only| only != value) {
        found.push(format!("{at}: {value} is not {}", schema["const"]));
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !kinds.is_empty() && !kinds.iter().any(|kind| is(kind, value)) {
        found.push(format!("{at}: {value} is no {}", kinds.join(" or ")));
    }
    for (number, item) in value.as_array().into_iter().flatten().enumerate() {
        if let Some(items) = schema.get("items") {
            look(root, items, item, &format!("{at}/{number}"), found);
        }
    }
    let Some(members) = value.as_object() else { return };
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !members.contains_key(name) {
            found.push(format!("{at}/{name} is missing"));
        }
    }
    for (name, member) in members {
        let at = format!("{at}/{name}");
        match (schema["properties"].get(name), schema.get("additionalProperties")) {
            (Some(of), _) | (None, Some(of @ Value::Object(_))) => look(root, of, member, &at, found),
            (None, Some(Value::Bool(true))) => {}
            (None, None) if schema.get("properties").is_none() => {}
            _ => found.push(format!("{at} is not described")),
        }
    }
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        _ => value.is_null(),
    }
}

#[test]
fn a_misfit_is_seen() {
    let root = serde_json::json!({"a": {"type": ["integer", "null"]}});
    let schema = serde_json::json!({"type": "object", "required": ["n"], "properties": {
        "n": {"$ref": "#/a"}, "w": {"anyOf": [{"enum": ["x"]}, {"type": "null"}]}, "l": {"type": "array", "items": {"type": "string"}}}});
    let check = |value: Value| misfits(&root, &schema, &value).len();

    assert_eq!(check(serde_json::json!({"n": 1, "w": "x", "l": ["a"]})), 0);
    assert_eq!(check(serde_json::json!({"n": null, "w": null})), 0);
    assert_eq!(check(serde_json::json!({})), 1);
    assert_eq!(check(serde_json::json!({"n": "1"})), 1);
    assert_eq!(check(serde_json::json!({"n": 1, "w": "y"})), 1);
    assert_eq!(check(serde_json::json!({"n": 1, "l": ["a", 2]})), 1);
    assert_eq!(check(serde_json::json!({"n": 1, "more": 2})), 1);
}
