//! What clients of an older document would notice of a newer one: what was taken away from them, and what is asked
//! of them on top.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::openapi::{OpenApi, Operation, names};
use super::schema::{Comparison, Effort, Way};

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Breaking {
    pub rule: &'static str,
    /// By its name in the older document.
    pub operation: String,
    pub message: String,
}

/// Method and path without the names of its parameters; what a client's request is known by.
type Place = (&'static str, String);

pub fn breaking(old: &Value, new: &Value) -> Vec<Breaking> {
    let (old, new) = (OpenApi { root: old }, OpenApi { root: new });
    let (was, is) = (by_place(old), by_place(new));
    let mut out = Vec::new();
    let effort = Effort::default();
    for (place, (name, before)) in &was {
        let mut found: Vec<(&'static str, String)> = Vec::new();
        match is.get(place) {
            None => {
                found.push(("operation_removed", format!("{} {} is gone", before.method.to_uppercase(), before.path)))
            }
            Some((now, after)) => {
                if now != name {
                    // Plans, policies and usage know the operation by its name.
                    found.push(("operation_renamed", format!("is called `{now}` now")));
                }
                parameters((old, *before), (new, *after), &effort, &mut found);
                request_body((old, *before), (new, *after), &effort, &mut found);
                responses((old, *before), (new, *after), &effort, &mut found);
                security(old, *before, new, *after, &mut found);
            }
        }
        out.extend(found.into_iter().map(|(rule, message)| Breaking { rule, operation: name.clone(), message }));
    }
    if effort.is_spent() {
        let message = "the schemas are too intricate to be compared to the end; look at the difference yourself";
        let first = was.values().next().map(|(name, _)| name.clone()).unwrap_or_default();
        out.push(Breaking { rule: "not_compared", operation: first, message: message.to_owned() });
    }
    out
}

fn by_place(openapi: OpenApi<'_>) -> BTreeMap<Place, (String, Operation<'_>)> {
    let shape = |path: &str| {
        path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part }).collect::<Vec<_>>().join("/")
    };
    names(openapi)
        .into_iter()
        .map(|(name, operation)| ((operation.method, shape(operation.path)), (name, operation)))
        .collect()
}

fn is_true(value: &Value, key: &str) -> bool {
    value.get(key) == Some(&Value::Bool(true))
}

fn parameters<'a>(
    (old, before): (OpenApi<'a>, Operation<'a>),
    (new, after): (OpenApi<'a>, Operation<'a>),
    effort: &'a Effort,
    found: &mut Vec<(&'static str, String)>,
) {
    let was = old.parameters(before);
    for (place, name, parameter) in new.parameters(after) {
        // Those of the path are compared by their place in it.
        if place == "path" {
            continue;
        }
        let known = was.iter().find(|one| one.0 == place && one.1 == name).map(|one| one.2);
        let required = is_true(parameter, "required");
        match known {
            None if required => {
                found.push(("required_parameter_added", format!("the {place} parameter `{name}` must be sent")))
            }
            Some(known) if required && !is_true(known, "required") => {
                found.push(("parameter_required", format!("the {place} parameter `{name}` must be sent")));
            }
            _ => {}
        }
        if let Some((before, after)) = known.and_then(|known| Some((known.get("schema")?, parameter.get("schema")?))) {
            let mut comparison = Comparison { old, new, way: Way::In, effort, found: Vec::new() };
            comparison.run(name, before, after);
            found.append(&mut comparison.found);
        }
    }
}

fn request_body<'a>(
    (old, before): (OpenApi<'a>, Operation<'a>),
    (new, after): (OpenApi<'a>, Operation<'a>),
    effort: &'a Effort,
    found: &mut Vec<(&'static str, String)>,
) {
    let body = |openapi: OpenApi<'a>, operation: Operation<'a>| openapi.resolve(operation.spec.get("requestBody")?);
    match (body(old, before), body(new, after)) {
        (None, Some(is)) if is_true(is, "required") => {
            found.push(("request_body_required", "a body must be sent".to_owned()));
        }
        (Some(was), Some(is)) => {
            if is_true(is, "required") && !is_true(was, "required") {
                found.push(("request_body_required", "a body must be sent".to_owned()));
            }
            contents((old, was), (new, is), (Way::In, "body"), effort, found);
        }
        _ => {}
    }
}

/// The media types of a body, and their schemas.
fn contents<'a>(
    (old, was): (OpenApi<'a>, &'a Value),
    (new, is): (OpenApi<'a>, &'a Value),
    (way, what): (Way, &str),
    effort: &'a Effort,
    found: &mut Vec<(&'static str, String)>,
) {
    for (media, before) in was.get("content").and_then(Value::as_object).into_iter().flatten() {
        let Some(after) = is.get("content").and_then(|content| content.get(media)) else {
            found.push(("media_type_removed", format!("{what}: `{media}` is gone")));
            continue;
        };
        if let (Some(before), Some(after)) = (before.get("schema"), after.get("schema")) {
            let mut comparison = Comparison { old, new, way, effort, found: Vec::new() };
            comparison.run(what, before, after);
            found.append(&mut comparison.found);
        }
    }
}

/// Only what is promised of success: nobody complains about a failure that is gone.
fn responses<'a>(
    (old, before): (OpenApi<'a>, Operation<'a>),
    (new, after): (OpenApi<'a>, Operation<'a>),
    effort: &'a Effort,
    found: &mut Vec<(&'static str, String)>,
) {
    let was = before.spec.get("responses").and_then(Value::as_object);
    let is = after.spec.get("responses").and_then(Value::as_object);
    for (status, before) in was.into_iter().flatten().filter(|(status, _)| status.starts_with(['2', '3'])) {
        match is.and_then(|is| is.get(status)) {
            None => found.push(("response_removed", format!("the answer {status} is gone"))),
            Some(after) => {
                if let (Some(before), Some(after)) = (old.resolve(before), new.resolve(after)) {
                    contents((old, before), (new, after), (Way::Out, &format!("answer {status}")), effort, found);
                }
            }
        }
    }
}

/// Each way in that there was must still be one, without more scopes.
fn security<'a>(
    old: OpenApi<'a>,
    before: Operation<'a>,
    new: OpenApi<'a>,
    after: Operation<'a>,
    found: &mut Vec<(&'static str, String)>,
) {
    let (was, is) = (ways_in(old, before), ways_in(new, after));
    for way in &was {
        if is.iter().any(|now| now.is_subset(way)) {
            continue;
        }
        let nearest = is.iter().map(|now| now.difference(way).cloned().collect::<Vec<_>>()).min_by_key(Vec::len);
        let more = nearest.unwrap_or_default();
        if way.is_empty() {
            found.push(("security_added", "could be called without a token".to_owned()));
        } else {
            let scopes: Vec<String> = more.iter().map(|one| format!("`{one}`")).collect();
            found.push(("scope_added", format!("asks for {} on top", scopes.join(", "))));
        }
        return;
    }
}

/// For each alternative what it asks for: `token`, and scopes. An empty one asks for nothing.
fn ways_in<'a>(openapi: OpenApi<'a>, operation: Operation<'a>) -> Vec<BTreeSet<String>> {
    let by_token = || BTreeSet::from(["token".to_owned()]);
    // Where nothing is said a token is asked for (see `generate`).
    let Some(alternatives) = openapi.security(operation) else { return vec![by_token()] };
    if alternatives.is_empty() {
        return vec![BTreeSet::new()];
    }
    let asked = |alternative: &Value| {
        let scopes = alternative.as_object().into_iter().flatten().flat_map(|(_, scopes)| scopes.as_array());
        let scopes = scopes.flatten().filter_map(Value::as_str).map(str::to_owned);
        scopes.chain(["token".to_owned()]).collect::<BTreeSet<_>>()
    };
    alternatives.iter().map(asked).collect()
}
