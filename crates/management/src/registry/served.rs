//! What consumers are shown: the document with the gateway's address and what the gateway really asks for.

use std::collections::HashMap;

use catalog::published::Document;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::openapi::{METHODS, OpenApi, Operation, names};
use super::{Draft, Revision};
use crate::config::Config;

/// The one security scheme that a consumer meets.
const SCHEME: &str = "cardea";

/// One operation, as a page lists it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OperationView {
    pub name: String,
    pub method: String,
    /// At the gateway.
    pub path: String,
    pub summary: String,
    pub description: String,
    pub tags: Vec<String>,
    pub scopes: Vec<String>,
    pub any_scope: Vec<String>,
    /// Callable without a token.
    pub public: bool,
    pub deprecated: bool,
}

pub fn operations_of(draft: &Draft) -> Vec<OperationView> {
    let described = draft.openapi.as_ref().map(|root| names(OpenApi { root })).unwrap_or_default();
    let described: HashMap<String, Operation<'_>> = described.into_iter().collect();
    let mut out = Vec::new();
    for route in served(&draft.resources) {
        let name = route.operation();
        let spec = described.get(&name);
        let text = |key: &str| spec.and_then(|operation| operation.text(key)).unwrap_or_default().to_owned();
        let tags = spec.and_then(|operation| operation.spec.get("tags")).and_then(Value::as_array);
        out.push(OperationView {
            method: route.methods().join(" "),
            path: route.path().to_owned(),
            summary: text("summary"),
            description: text("description"),
            tags: tags.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect(),
            scopes: asked_scopes(route.0),
            any_scope: route.list("/auth/anyScope"),
            public: route.is_public(),
            deprecated: spec.is_some_and(|operation| operation.spec.get("deprecated") == Some(&Value::Bool(true))),
            name,
        });
    }
    out
}

/// OpenAPI as a consumer can use it: servers are the gateway, security is what the routes ask for, operations that
/// are not served are not there. An API without a document gets a sketch of its routes.
pub fn document_for_consumers(config: &Config, revision: &Revision) -> Value {
    let draft = &revision.draft;
    let mut root = match &draft.openapi {
        Some(document) => rewritten(config, draft, document),
        None => sketch(config, draft),
    };
    let metadata = format!("{}/.well-known/openid-configuration", config.issuer.trim_end_matches('/'));
    let scheme = json!({
        "type": "openIdConnect",
        "openIdConnectUrl": metadata,
        "description": "An access token (RFC 6750) for this API.",
    });
    if let Some(root) = root.as_object_mut() {
        let components = root.entry("components").or_insert_with(|| json!({}));
        if let Some(components) = components.as_object_mut() {
            components.insert("securitySchemes".to_owned(), json!({SCHEME: scheme}));
        }
    }
    root
}

fn rewritten(config: &Config, draft: &Draft, document: &Value) -> Value {
    let mut routes: HashMap<String, Served<'_>> = HashMap::new();
    for route in served(&draft.resources) {
        routes.entry(route.operation()).or_insert(route);
    }
    let names = names(OpenApi { root: document });
    let mut paths: Map<String, Value> = Map::new();
    for (name, operation) in &names {
        let Some(route) = routes.get(name) else { continue };
        let path = paths.entry(operation.path.to_owned()).or_insert_with(|| {
            let shared = operation.item.iter().filter(|(key, _)| !METHODS.contains(&key.as_str()) && *key != "servers");
            Value::Object(shared.map(|(key, value)| (key.clone(), value.clone())).collect())
        });
        let mut spec = operation.spec.clone();
        spec.shift_remove("servers");
        spec.insert("operationId".to_owned(), name.as_str().into());
        spec.insert("security".to_owned(), route.security());
        if let Some(path) = path.as_object_mut() {
            path.insert(operation.method.to_owned(), Value::Object(spec));
        }
    }
    // Where the paths of the document begin at the gateway.
    let base = names.iter().find_map(|(name, operation)| {
        let route = routes.get(name)?;
        let slashes = operation.path.matches('/').count();
        let at = route.path().match_indices('/').rev().nth(slashes.checked_sub(1)?)?.0;
        route.path().get(..at).map(str::to_owned)
    });
    let mut root = document.clone();
    if let Some(root) = root.as_object_mut() {
        root.insert(
            "servers".to_owned(),
            json!([{"url": format!("{}{}", config.gateway_url, base.unwrap_or_default())}]),
        );
        root.insert("paths".to_owned(), Value::Object(paths));
        root.shift_remove("security");
        if let Some(info) = root.get_mut("info").and_then(Value::as_object_mut) {
            info.insert("title".to_owned(), draft.spec.title.clone().into());
            info.insert("version".to_owned(), draft.spec.version.clone().into());
            if let Some(description) = &draft.spec.description {
                info.insert("description".to_owned(), description.clone().into());
            }
        }
    }
    root
}

fn sketch(config: &Config, draft: &Draft) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for route in served(&draft.resources) {
        // OpenAPI has no parameter over several segments; its name is kept.
        let path = route.path().replace("...}", "}");
        let parameters: Vec<Value> = path
            .split('{')
            .skip(1)
            .filter_map(|rest| rest.split('}').next())
            .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
            .collect();
        let methods = route.methods();
        let entry = paths.entry(path).or_insert_with(|| json!({}));
        let Some(entry) = entry.as_object_mut() else { continue };
        let known: Vec<String> = methods.iter().map(|method| method.to_ascii_lowercase()).collect();
        let several = known.len() > 1;
        for method in known.into_iter().filter(|method| METHODS.contains(&method.as_str())) {
            let id = if several { format!("{}-{method}", route.operation()) } else { route.operation() };
            let mut operation = json!({
                "operationId": id,
                "security": route.security(),
                "responses": {"default": {"description": "What the API answers"}},
            });
            if let (false, Some(operation)) = (parameters.is_empty(), operation.as_object_mut()) {
                operation.insert("parameters".to_owned(), parameters.clone().into());
            }
            entry.insert(method, operation);
        }
    }
    let mut info = json!({"title": draft.spec.title, "version": draft.spec.version});
    if let (Some(text), Some(info)) = (&draft.spec.description, info.as_object_mut()) {
        info.insert("description".to_owned(), text.clone().into());
    }
    json!({"openapi": "3.1.0", "info": info, "servers": [{"url": config.gateway_url}], "paths": paths})
}

/// What a caller's token has to have: for the gateway, and for the steps of a composition that exchange it for less.
pub(crate) fn asked_scopes(resource: &Document) -> Vec<String> {
    let mut scopes = list(&resource.spec, "/auth/scopes");
    for step in resource.spec.get("steps").and_then(Value::as_array).into_iter().flatten() {
        for scope in list(step, "/identity/exchange/scopes") {
            if !scopes.contains(&scope) {
                scopes.push(scope);
            }
        }
    }
    scopes
}

fn list(value: &Value, pointer: &str) -> Vec<String> {
    let items = value.pointer(pointer).and_then(Value::as_array);
    items.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// A route or a composition.
struct Served<'a>(&'a Document);

fn served(resources: &[Document]) -> impl Iterator<Item = Served<'_>> {
    resources.iter().filter(|one| matches!(one.kind.as_str(), "Route" | "Composition")).map(Served)
}

impl Served<'_> {
    fn operation(&self) -> String {
        let own = self.0.spec.get("operation").and_then(Value::as_str);
        own.unwrap_or(&self.0.name).to_owned()
    }

    fn path(&self) -> &str {
        self.0.spec.pointer("/match/path").and_then(Value::as_str).unwrap_or_default()
    }

    /// A route without a list takes every method; `GET` stands for them.
    fn methods(&self) -> Vec<String> {
        let methods = self.list("/match/methods");
        if methods.is_empty() { vec!["GET".to_owned()] } else { methods }
    }

    fn list(&self, pointer: &str) -> Vec<String> {
        list(&self.0.spec, pointer)
    }

    fn is_public(&self) -> bool {
        self.0.spec.get("auth") == Some(&Value::from("none"))
    }

    fn security(&self) -> Value {
        if self.is_public() {
            return json!([]);
        }
        let (all, any) = (asked_scopes(self.0), self.list("/auth/anyScope"));
        if any.is_empty() {
            return json!([{SCHEME: all}]);
        }
        any.into_iter().map(|one| json!({SCHEME: all.iter().cloned().chain([one]).collect::<Vec<_>>()})).collect()
    }
}
