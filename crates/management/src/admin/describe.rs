//! Operations as data, and the OpenAPI 3.1 document that is made of them.

use axum::extract::State;
use axum::response::Response;
use http::Method;
use serde_json::{Map, Value, json};

use super::{described, ok};
use crate::SharedManagement;
use crate::actor::{Right, Share};

/// What who asks must have; the tests take it away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// A token of a person; what they see is up to their memberships.
    Token,
    Right(Right),
    /// In the organisation whose thing it is.
    Share(Share),
}

pub(crate) struct Operation {
    pub method: Method,
    pub path: &'static str,
    pub id: &'static str,
    pub tag: &'static str,
    pub needs: Needs,
    summary: &'static str,
    query: Vec<(&'static str, &'static str)>,
    body: Option<Value>,
    /// A body that is not refused for what it says; what the tests send.
    pub example: Value,
    answer: Option<Value>,
    /// Of the answer.
    status: &'static str,
    is_list: bool,
}

impl Operation {
    pub fn new(method: Method, path: &'static str, id: &'static str, tag: &'static str, needs: Needs) -> Self {
        Self {
            method,
            path,
            id,
            tag,
            needs,
            summary: "",
            query: Vec::new(),
            body: None,
            example: json!({}),
            answer: None,
            status: "200",
            is_list: false,
        }
    }

    #[must_use]
    pub fn summary(mut self, summary: &'static str) -> Self {
        self.summary = summary;
        self
    }

    #[must_use]
    pub fn query(mut self, name: &'static str, what: &'static str) -> Self {
        self.query.push((name, what));
        self
    }

    /// The JSON Schema of what is sent.
    #[must_use]
    pub fn body(mut self, schema: Value) -> Self {
        self.body = Some(schema);
        self
    }

    #[must_use]
    pub fn example(mut self, body: Value) -> Self {
        self.example = body;
        self
    }

    /// The JSON Schema of what is answered.
    #[must_use]
    pub fn answer(mut self, schema: Value) -> Self {
        self.answer = Some(schema);
        self
    }

    /// Answers 201 with `Location`.
    #[must_use]
    pub fn creates(mut self) -> Self {
        self.status = "201";
        self
    }

    /// Answers 204.
    #[must_use]
    pub fn empty(mut self) -> Self {
        (self.status, self.answer) = ("204", None);
        self
    }

    /// Answers a page of these.
    #[must_use]
    pub fn pages(mut self, item: Value) -> Self {
        self.is_list = true;
        self.answer = Some(json!({"type": "object", "required": ["items", "next"], "properties": {
            "items": {"type": "array", "items": item},
            "next": {"type": ["string", "null"], "description": "The cursor of the next page"}}}));
        self.query("limit", "Items on a page, 1 to 500; default 50").query("cursor", "`next` of the page before")
    }

    fn describe(&self) -> Value {
        let mut parameters: Vec<Value> = Vec::new();
        for name in self.path.split('{').skip(1).filter_map(|rest| rest.split('}').next()) {
            parameters.push(json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}));
        }
        for (name, what) in &self.query {
            let kind =
                if *name == "limit" { json!({"type": "integer", "minimum": 1}) } else { json!({"type": "string"}) };
            parameters.push(json!({"name": name, "in": "query", "description": what, "schema": kind}));
        }
        if self.method == Method::POST {
            parameters.push(json!({"$ref": "#/components/parameters/IdempotencyKey"}));
        }
        let problem = |what: &str| json!({"description": what, "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}});
        let mut headers = json!({"X-Request-Id": {"schema": {"type": "string"}}});
        if let (true, Some(headers)) = (self.is_list, headers.as_object_mut()) {
            headers.insert(
                "Link".to_owned(),
                json!({"description": "`rel=next`, if there is more", "schema": {"type": "string"}}),
            );
        }
        let mut success = json!({"description": "Done", "headers": headers});
        if let (Some(schema), Some(success)) = (&self.answer, success.as_object_mut()) {
            success.insert("content".to_owned(), json!({"application/json": {"schema": schema}}));
        }
        let mut responses = Map::new();
        responses.insert(self.status.to_owned(), success);
        responses.insert("401".to_owned(), problem("A credential is needed"));
        responses.insert("403".to_owned(), problem("The credential has not the right to do this"));
        responses.insert("default".to_owned(), problem("What went wrong (RFC 9457)"));
        let mut operation = json!({
            "operationId": self.id,
            "tags": [self.tag],
            "summary": self.summary,
            "description": format!("{}.\n\nNeeds: {}.", self.summary, self.needs_in_words()),
            "parameters": parameters,
            "security": [{"person": ["management"]}, {"operator": []}],
            "responses": responses,
        });
        if let (Some(schema), Some(operation)) = (&self.body, operation.as_object_mut()) {
            operation.insert(
                "requestBody".to_owned(),
                json!({"required": true, "content": {"application/json": {"schema": schema}}}),
            );
        }
        operation
    }

    fn needs_in_words(&self) -> &'static str {
        match self.needs {
            Needs::Token => "a token; who is no member of the provider sees what consumers see",
            Needs::Right(Right::Read) => "a role in the provider's organisation",
            Needs::Right(Right::Publish) => "the role `publisher` or `administrator` in the provider's organisation",
            Needs::Right(Right::Administer) => "the role `administrator` in the provider's organisation",
            Needs::Share(Share::See | Share::Develop) => "the role `owner` or `developer` in the organisation",
            Needs::Share(Share::Own) => "the role `owner` in the organisation",
        }
    }
}

pub(super) async fn show(State(management): State<SharedManagement>) -> Response {
    ok(&document(&management.config.url, &management.config.issuer))
}

/// The document of the whole interface.
pub(super) fn document(url: &str, issuer: &str) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    let mut tags: Vec<&str> = Vec::new();
    for operation in described() {
        if !tags.contains(&operation.tag) {
            tags.push(operation.tag);
        }
        let path = paths.entry(operation.path.to_owned()).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(operation.method.as_str().to_ascii_lowercase(), operation.describe());
        }
    }
    let tags: Vec<Value> = tags.into_iter().map(|name| json!({"name": name, "description": about(name)})).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Cardea management",
            "version": "1",
            "description": "APIs, plans, subscriptions, organisations and usage. Times are milliseconds since the epoch. \
                A POST with an `Idempotency-Key` has its effect once within 24 hours.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": url}],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "parameters": {"IdempotencyKey": {
                "name": "Idempotency-Key", "in": "header", "required": false,
                "description": "1 to 255 visible characters. A repeat gets the answer of the first; another request with the same key is refused (422), one while the first is under way too (409).",
                "schema": {"type": "string", "maxLength": 255}}},
            "securitySchemes": {
                "person": {
                    "type": "openIdConnect",
                    "openIdConnectUrl": format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/')),
                    "description": "An access token with the scope `management`, meant for this address.",
                },
                "operator": {
                    "type": "http", "scheme": "bearer",
                    "description": "The operator's token, at the operations listener.",
                },
            },
        },
    })
}

fn about(tag: &str) -> &'static str {
    match tag {
        "apis" => "APIs, their revisions, and import of OpenAPI documents",
        "publication" => "What gateways are given",
        "resources" => "Sets of resources, as files hold them",
        "audit" => "Who did what",
        "plans" => "What subscriptions allow, and cost",
        "subscriptions" => "Who uses which plan",
        "organisations" => "Consumers and their members",
        "applications" => "Consumers' clients at the identity system",
        "usage" => "Calls, counted",
        "billing" => "What calls cost",
        _ => "More",
    }
}

fn schemas() -> Value {
    let mut schemas = Map::new();
    for (kind, mut schema) in catalog::schemas() {
        if !["Api", "Plan"].contains(&kind) {
            continue;
        }
        let spec = schema.pointer_mut("/properties/spec").map(Value::take).unwrap_or_default();
        schemas.insert(format!("{kind}Spec"), moved(spec));
        let definitions = schema.get_mut("$defs").map(Value::take).unwrap_or_default();
        for (name, definition) in definitions.as_object().into_iter().flatten() {
            schemas.insert(name.clone(), moved(definition.clone()));
        }
    }
    for (name, schema) in [
        ("Problem", problem()),
        (
            "Resource",
            json!({"type": "object", "required": ["kind", "name", "spec"], "properties": {
            "kind": {"type": "string"}, "name": {"type": "string"}, "spec": {"type": "object"}}}),
        ),
        (
            "Api",
            json!({"type": "object", "required": ["name", "revision", "head", "spec"], "properties": {
            "name": {"type": "string"},
            "revision": {"type": "integer", "description": "The one that `spec` is of"},
            "head": {"type": "integer", "description": "The newest revision"},
            "published": {"type": ["integer", "null"], "description": "The revision that gateways are given"},
            "spec": {"$ref": "#/components/schemas/ApiSpec"},
            "createdAt": {"type": "integer"}, "changedAt": {"type": "integer"}}}),
        ),
        (
            "Revision",
            json!({"type": "object", "required": ["api", "revision", "at", "actor"], "properties": {
            "api": {"type": "string"}, "revision": {"type": "integer"}, "at": {"type": "integer"},
            "actor": {"type": "string"}, "note": {"type": "string"},
            "spec": {"$ref": "#/components/schemas/ApiSpec"},
            "resources": {"type": "array", "items": {"$ref": "#/components/schemas/Resource"}},
            "openapi": {"type": ["object", "null"]}}}),
        ),
    ] {
        schemas.insert(name.to_owned(), schema);
    }
    Value::Object(schemas)
}

fn problem() -> Value {
    json!({"type": "object", "required": ["type", "title", "status"], "properties": {
        "type": {"type": "string", "format": "uri"}, "title": {"type": "string"}, "status": {"type": "integer"},
        "detail": {"type": "string"}, "request_id": {"type": "string"},
        "errors": {"type": "array", "items": {"type": "object", "required": ["pointer", "detail"], "properties": {
            "pointer": {"type": "string"}, "detail": {"type": "string"}}}}}})
}

/// References lead to the components.
fn moved(schema: Value) -> Value {
    match schema {
        Value::String(text) => match text.strip_prefix("#/$defs/") {
            Some(name) => Value::from(format!("#/components/schemas/{name}")),
            None => Value::String(text),
        },
        Value::Array(items) => items.into_iter().map(moved).collect(),
        Value::Object(members) => Value::Object(members.into_iter().map(|(key, value)| (key, moved(value))).collect()),
        other => other,
    }
}
