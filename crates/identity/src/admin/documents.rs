//! Resources as files have them (`kind`, `name`, `spec`) and as the slices do (the name is part of the document).

use base::problem::FieldError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::answer::{AdminError, value};

/// The kinds, in the order in which they are applied: what is referred to comes before what refers to it.
pub const KINDS: [&str; 4] = ["ResourceServer", "Scope", "Client", "User"];

/// The member of a spec that the name of the resource is.
pub fn key_of(kind: &str) -> Option<&'static str> {
    match kind {
        "ResourceServer" | "Scope" => Some("name"),
        "Client" => Some("clientId"),
        "User" => Some("username"),
        _ => None,
    }
}

/// The spec as the slice reads it.
pub fn read<T: DeserializeOwned>(kind: &str, name: &str, spec: &Value) -> Result<T, AdminError> {
    let fault =
        |pointer: &str, detail: String| AdminError::invalid(vec![FieldError { pointer: pointer.to_owned(), detail }]);
    let key = key_of(kind).ok_or_else(|| fault("/kind", format!("`{kind}` is not a kind of the identity system")))?;
    let Value::Object(members) = spec else { return Err(fault("/spec", "must be an object".to_owned())) };
    if members.get(key).is_some_and(|given| given != name) {
        return Err(fault(&format!("/spec/{key}"), "differs from the name of the resource; leave it out".to_owned()));
    }
    let mut members = members.clone();
    members.insert(key.to_owned(), Value::from(name));
    serde_json::from_value(Value::Object(members)).map_err(|error| fault("/spec", error.to_string()))
}

/// The spec as files have it: without its name, and without what is as it would be if nobody said it.
pub fn written<T: Serialize + DeserializeOwned>(kind: &str, spec: &T) -> Value {
    let Value::Object(mut members) = value(spec) else { return Value::Null };
    let key = key_of(kind).unwrap_or_default();
    let name = members.shift_remove(key).unwrap_or_default();
    let unsaid = read::<T>(kind, name.as_str().unwrap_or_default(), &json!({})).map(|spec| value(&spec));
    let unsaid = unsaid.unwrap_or_default();
    members.retain(|key, value| !value.is_null() && unsaid.get(key) != Some(value));
    Value::Object(members)
}
