//! Operations as data, and the OpenAPI 3.1 document that is made of them.

use axum::extract::State;
use axum::response::Response;
use http::Method;
use serde_json::{Map, Value, json};

use super::shape::{about, list, named, object, or_null, text};
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
    /// Whether it answers pages of a list.
    pub is_list: bool,
    /// A body that is not refused for what it says; what the tests send.
    pub example: Value,
    summary: &'static str,
    parameters: Vec<Value>,
    body: Option<Value>,
    /// By media type.
    answers: Vec<(&'static str, Value)>,
    statuses: Vec<(&'static str, &'static str)>,
    /// Of the answer.
    headers: Vec<(&'static str, &'static str)>,
}

impl Operation {
    pub fn new(method: Method, path: &'static str, id: &'static str, tag: &'static str, needs: Needs) -> Self {
        Self {
            method,
            path,
            id,
            tag,
            needs,
            is_list: false,
            example: json!({}),
            summary: "",
            parameters: Vec::new(),
            body: None,
            answers: Vec::new(),
            statuses: vec![("200", "Done")],
            headers: vec![("X-Request-Id", "What this request is called in logs, and in the audit log")],
        }
    }

    pub fn get(path: &'static str, id: &'static str, tag: &'static str, needs: Needs) -> Self {
        Self::new(Method::GET, path, id, tag, needs)
    }

    pub fn post(path: &'static str, id: &'static str, tag: &'static str, needs: Needs) -> Self {
        Self::new(Method::POST, path, id, tag, needs)
    }

    pub fn put(path: &'static str, id: &'static str, tag: &'static str, needs: Needs) -> Self {
        Self::new(Method::PUT, path, id, tag, needs)
    }

    pub fn delete(path: &'static str, id: &'static str, tag: &'static str, needs: Needs) -> Self {
        Self::new(Method::DELETE, path, id, tag, needs)
    }

    #[must_use]
    pub fn summary(mut self, summary: &'static str) -> Self {
        self.summary = summary;
        self
    }

    #[must_use]
    pub fn query(self, name: &'static str, schema: Value, what: &'static str) -> Self {
        self.parameter("query", name, schema, what)
    }

    /// A field of the request.
    #[must_use]
    pub fn field(self, name: &'static str, schema: Value, what: &'static str) -> Self {
        self.parameter("header", name, schema, what)
    }

    fn parameter(mut self, place: &'static str, name: &'static str, schema: Value, what: &'static str) -> Self {
        self.parameters.push(json!({"name": name, "in": place, "description": what, "schema": schema}));
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
    pub fn answer(self, schema: Value) -> Self {
        self.answer_as("application/json", schema)
    }

    #[must_use]
    pub fn answer_as(mut self, media: &'static str, schema: Value) -> Self {
        self.answers.push((media, schema));
        self
    }

    /// Answers 201 with `Location`.
    #[must_use]
    pub fn creates(mut self) -> Self {
        self.statuses = vec![("201", "Made")];
        self.headers.push(("Location", "Where it is"));
        self
    }

    /// Answers 204.
    #[must_use]
    pub fn empty(mut self) -> Self {
        self.statuses = vec![("204", "Done; there is nothing to say")];
        self
    }

    /// Answers 202 where something is still to be done.
    #[must_use]
    pub fn later(mut self) -> Self {
        self.statuses.push(("202", "Taken; it goes on"));
        self
    }

    /// The answer has a tag, for `If-Match`.
    #[must_use]
    pub fn tagged(mut self) -> Self {
        self.headers.push(("ETag", "The revision, for `If-Match`"));
        self
    }

    /// Answers a page of these.
    #[must_use]
    pub fn pages(self, item: Value) -> Self {
        let next = about(or_null(text()), "The cursor of the next page");
        self.answer(object([("items", list(item)), ("next", next)])).paged(500)
    }

    /// Answers a part of a list: with so many items at most, as many as a tenth of that by default.
    #[must_use]
    pub fn paged(mut self, most: usize) -> Self {
        self.is_list = true;
        self.headers.push(("Link", "`rel=next`, if there is more (RFC 8288)"));
        let limit = json!({"type": "integer", "minimum": 1, "maximum": most, "default": most / 10});
        self.query("limit", limit, "Items on a page").query("cursor", text(), "Where the page before ended; it says so")
    }

    fn describe(&self) -> Value {
        let mut parameters: Vec<Value> = Vec::new();
        for name in self.path.split('{').skip(1).filter_map(|rest| rest.split('}').next()) {
            let schema = json!({"type": "string", "minLength": 1});
            parameters.push(json!({"name": name, "in": "path", "required": true, "schema": schema}));
        }
        parameters.extend(self.parameters.iter().cloned());
        if self.method == Method::POST {
            parameters.push(json!({"$ref": "#/components/parameters/IdempotencyKey"}));
        }
        let mut operation = json!({
            "operationId": self.id,
            "tags": [self.tag],
            "summary": self.summary,
            "description": format!("{}.\n\nNeeds: {}.", self.summary, self.needs_in_words()),
            "parameters": parameters,
            "security": [{"person": []}, {"operator": []}],
            "responses": self.responses(),
        });
        if let (Some(schema), Some(operation)) = (&self.body, operation.as_object_mut()) {
            // What asks for nothing may be left out.
            let required = schema.get("required").is_some();
            let content = json!({"application/json": {"schema": schema}});
            operation.insert("requestBody".to_owned(), json!({"required": required, "content": content}));
        }
        operation
    }

    fn responses(&self) -> Map<String, Value> {
        let headers: Map<String, Value> = self
            .headers
            .iter()
            .map(|(name, what)| ((*name).to_owned(), json!({"description": what, "schema": text()})))
            .collect();
        let content: Map<String, Value> =
            self.answers.iter().map(|(media, schema)| ((*media).to_owned(), json!({"schema": schema}))).collect();
        let success = |what: &str| match content.is_empty() {
            true => json!({"description": what, "headers": headers}),
            false => json!({"description": what, "headers": headers, "content": content}),
        };
        let problem = |what: &str| json!({"description": what, "content": {"application/problem+json": {"schema": named("Problem")}}});
        let mut responses: Map<String, Value> =
            self.statuses.iter().map(|(status, what)| ((*status).to_owned(), success(what))).collect();
        responses.insert("401".to_owned(), problem("A credential is needed"));
        responses.insert("403".to_owned(), problem("The credential has not the right to do this"));
        responses.insert("default".to_owned(), problem("What went wrong (RFC 9457)"));
        responses
    }

    /// The schema of its answer as JSON, for the tests.
    #[cfg(test)]
    pub fn schema(&self) -> Option<&Value> {
        self.answers.iter().find(|(media, _)| media.ends_with("json")).map(|(_, schema)| schema)
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
    let tags: Vec<Value> = tags.into_iter().map(|name| json!({"name": name, "description": about_tag(name)})).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Cardea management",
            "version": "1",
            "description": "APIs, plans, subscriptions, organisations and usage. Times are milliseconds since the epoch. \
                A POST with an `Idempotency-Key` has its effect once within 24 hours.",
            "contact": {"name": "Cardea", "url": "https://cardea.dev"},
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
                "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"}}},
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

fn about_tag(tag: &str) -> &'static str {
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

/// Those of resources, which the compiler of gateways reads, and those of the slices.
pub(super) fn schemas() -> Value {
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
    schemas.extend(super::shapes().into_iter().map(|(name, schema)| (name.to_owned(), schema)));
    Value::Object(schemas)
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
