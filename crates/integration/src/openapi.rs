//! The description of a composed API (OpenAPI 3.1), as far as the composition says.

use catalog::AuthSpec;
use expression::{Reference, Template};
use serde_json::{Map, Value, json};

use crate::composition::Composition;
use crate::shape::{Content, Form};

/// A document for these compositions, served under `server`.
pub fn openapi<'a>(title: &str, server: &str, compositions: impl IntoIterator<Item = &'a Composition>) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    let mut schemes: Map<String, Value> = Map::new();
    for composition in compositions {
        let entry = paths.entry(path_of(composition)).or_insert_with(|| json!({}));
        let methods = if composition.methods.is_empty() { vec!["GET".to_owned()] } else { composition.methods.clone() };
        if let AuthSpec::Token(token) = &composition.auth {
            let scheme =
                json!({"type": "http", "scheme": "bearer", "description": "An opaque access token (RFC 6750)."});
            schemes.insert(token.issuer.clone(), scheme);
        }
        if let Value::Object(entry) = entry {
            for method in methods {
                entry.insert(method.to_ascii_lowercase(), operation(composition, &method));
            }
        }
    }
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {"title": title, "version": "1"},
        "servers": [{"url": server}],
        "paths": paths,
        "components": {"schemas": {"Problem": problem()}},
    });
    if let (false, Some(Value::Object(components))) = (schemes.is_empty(), document.pointer_mut("/components")) {
        components.insert("securitySchemes".to_owned(), Value::Object(schemes));
    }
    document
}

fn path_of(composition: &Composition) -> String {
    // OpenAPI has no parameter over several segments; its name is kept.
    composition.pattern.as_str().replace("...}", "}")
}

fn operation(composition: &Composition, method: &str) -> Value {
    let mut operation = Map::new();
    operation.insert("operationId".to_owned(), format!("{}-{}", composition.name, method.to_ascii_lowercase()).into());
    operation.insert("parameters".to_owned(), parameters(composition).into());
    operation.insert("responses".to_owned(), responses(composition));
    if reads(composition).any(|read| &*read.name == "request.body") && method != "GET" {
        let schema = request_body(composition);
        operation.insert("requestBody".to_owned(), json!({"content": {"application/json": {"schema": schema}}}));
    }
    if let AuthSpec::Token(token) = &composition.auth {
        let mut requirement = Map::new();
        requirement.insert(token.issuer.clone(), json!(token.scopes));
        operation.insert("security".to_owned(), json!([requirement]));
    }
    Value::Object(operation)
}

fn reads(composition: &Composition) -> impl Iterator<Item = &Reference> {
    composition.reads()
}

fn parameters(composition: &Composition) -> Vec<Value> {
    let parameter = |name: &str, place: &str, required: bool| json!({"name": name, "in": place, "required": required, "schema": {"type": "string"}});
    let mut parameters: Vec<Value> =
        composition.pattern.parameters().map(|name| parameter(name, "path", true)).collect();
    for (part, place) in [("request.query", "query"), ("request.headers", "header")] {
        let mut names: Vec<&str> =
            reads(composition).filter(|read| &*read.name == part).filter_map(|read| read.path.first()?.key()).collect();
        names.sort_unstable();
        names.dedup();
        // OpenAPI ignores these as parameters; content negotiation is said elsewhere.
        names.retain(|name| place != "header" || !["accept", "content-type", "authorization"].contains(name));
        parameters.extend(names.into_iter().map(|name| parameter(name, place, false)));
    }
    parameters
}

/// The members of the body that are read.
fn request_body(composition: &Composition) -> Value {
    let mut members = Map::new();
    for read in reads(composition).filter(|read| &*read.name == "request.body") {
        match read.path.first().and_then(expression::Segment::key) {
            Some(key) => {
                members.entry(key.to_owned()).or_insert_with(|| json!({}));
            }
            // Read as a whole: anything may be in it.
            None => return json!({}),
        }
    }
    json!({"type": "object", "properties": members})
}

fn responses(composition: &Composition) -> Value {
    let mut responses = Map::new();
    let shape = &composition.shape;
    let output = shape.examples.is_empty().then_some(&shape.output);
    let made = shape.cases.iter().map(|(_, form)| form).chain(shape.examples.iter().map(|(_, form)| form));
    for form in made.chain(output) {
        let status = form.status.as_str().to_owned();
        responses.entry(status).or_insert_with(|| answer(form, "The answer"));
    }
    if let Some(status) = composition.partial.status {
        let partial = answer(&composition.shape.output, "An answer without its optional parts");
        responses.entry(status.as_str().to_owned()).or_insert(partial);
    }
    let passed = composition.steps.iter().flat_map(|step| &step.pass).map(ToString::to_string);
    let own = if composition.steps.is_empty() {
        Vec::new()
    } else {
        vec!["502".to_owned(), "503".to_owned(), "504".to_owned()]
    };
    let refused = match composition.auth {
        AuthSpec::Token(_) => vec!["401".to_owned(), "403".to_owned()],
        AuthSpec::None => Vec::new(),
    };
    for status in passed.chain(own).chain(refused) {
        responses.entry(status).or_insert_with(|| {
            let schema = json!({"$ref": "#/components/schemas/Problem"});
            json!({"description": "A problem (RFC 9457)", "content": {"application/problem+json": {"schema": schema}}})
        });
    }
    Value::Object(responses)
}

fn answer(form: &Form, description: &str) -> Value {
    let (kind, schema) = match &form.content {
        Content::Nothing => return json!({"description": description}),
        Content::Text(_) => ("text/plain", json!({"type": "string"})),
        Content::Merge { .. } => ("application/json", json!({})),
        Content::Json(document) => ("application/json", document.schema(&known)),
    };
    json!({"description": description, "content": {kind: {"schema": schema}}})
}

/// What is known of a place: names and parameters are text, the rest is anything.
fn known(template: &Template) -> Value {
    let mut reads = template.reads();
    let text = match (reads.next(), template.single()) {
        (Some(read), Some(expression)) => {
            let whole = expression.as_str() == read.to_string();
            let of_request =
                matches!(&*read.name, "request.params" | "request.query" | "request.headers") && read.path.len() == 1;
            whole && (of_request || matches!(&*read.name, "request.id" | "request.method" | "request.path"))
        }
        _ => false,
    };
    if text { json!({"type": "string"}) } else { json!({}) }
}

fn problem() -> Value {
    json!({
        "type": "object",
        "properties": {
            "type": {"type": "string", "format": "uri"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "parts": {"type": "array", "items": {"type": "object", "properties": {
                "name": {"type": "string"},
                "outcome": {"enum": ["done", "fallback", "failed", "skipped"]},
                "status": {"type": "integer"},
                "error": {"type": "string"},
            }}},
        },
        "required": ["type", "title", "status"],
    })
}
