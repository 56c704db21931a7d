//! The question, as the entitlement system's handbook has it: one subject and context for all evaluations.

use base::Time;
use base::scope::Scopes;
use serde_json::{Map, Value, json};

use super::Requester;
use crate::claims::Person;
use crate::scopes::Catalog;

pub(super) fn question(catalog: &Catalog, requester: &Requester<'_>, scopes: &Scopes) -> Value {
    let client_id = &requester.client.client_id;
    let subject = match requester.person {
        Some(person) => json!({"type": "user", "id": person.user_id, "properties": properties(person)}),
        None => json!({"type": "client", "id": client_id}),
    };
    let mut evaluations =
        vec![json!({"action": {"name": "issue_token"}, "resource": {"type": "client", "id": client_id}})];
    for scope in scopes.iter() {
        let mut resource = json!({"type": "scope", "id": scope});
        if let (Some(api), Value::Object(members)) = (catalog.audience_of(scope), &mut resource) {
            members.insert("properties".to_owned(), json!({"api": api}));
        }
        evaluations.push(json!({"action": {"name": "grant_scope"}, "resource": resource}));
    }
    json!({"subject": subject, "context": context(requester, scopes), "evaluations": evaluations})
}

/// What is not known is left out.
fn context(requester: &Requester<'_>, scopes: &Scopes) -> Value {
    let login = &requester.login;
    let mut authentication = Map::new();
    if let Some(auth_time) = login.auth_time.map(Time::seconds) {
        authentication.insert("auth_time".to_owned(), auth_time.into());
    }
    if let Some(acr) = login.acr {
        authentication.insert("acr".to_owned(), acr.into());
    }
    if !login.amr.is_empty() {
        authentication.insert("amr".to_owned(), json!(login.amr));
    }
    let mut context = Map::new();
    let mut put = |name: &str, value: Value| context.insert(name.to_owned(), value);
    put("client", json!(requester.client.client_id));
    put("authentication", Value::Object(authentication));
    if let Some(device) = requester.person.and_then(device) {
        put("device", device);
    }
    if let Some(network) = requester.network {
        put("network", json!({"address": network.to_canonical().to_string()}));
    }
    let scopes: Vec<&str> = scopes.iter().collect();
    put("request", json!({"grant_type": requester.grant_type, "scopes": scopes}));
    Value::Object(context)
}

/// The account's fields and attributes; what the schema of the policies does not declare is left out there.
fn properties(person: &Person) -> Value {
    let mut properties = person.spec.get("attributes").and_then(Value::as_object).cloned().unwrap_or_default();
    properties.insert("username".to_owned(), person.username.clone().into());
    for name in ["name", "email"] {
        if let Some(value) = person.spec.get(name).filter(|value| !value.is_null()) {
            properties.insert(name.to_owned(), value.clone());
        }
    }
    Value::Object(properties)
}

/// As gateways read it from claims: `device: {id, …}`, or `device_id` alone.
fn device(person: &Person) -> Option<Value> {
    let attributes = person.spec.get("attributes")?;
    match attributes.get("device") {
        Some(Value::Object(device)) => Some(Value::Object(device.clone())),
        _ => attributes.get("device_id").and_then(Value::as_str).map(|id| json!({"id": id})),
    }
}
