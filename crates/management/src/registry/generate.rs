//! What a document becomes: API, upstream, service, and a route for each operation.

use catalog::published::Document;
use catalog::{ApiSpec, HttpUrl, Pattern};
use jose::hash::sha256;
use serde_json::{Value, json};

use super::lint::{Finding, Level};
use super::openapi::{OpenApi, Operation, names};
use super::value;
use crate::error::Refused;

/// Where the API is served, and what stands behind it.
#[derive(Debug, Clone, PartialEq)]
pub struct Placement {
    pub name: String,
    /// Scheme, host, port, and a path that is put in front.
    pub upstream: String,
    /// At the gateway; `/` or without a slash at the end.
    pub base_path: String,
    /// What the tokens for it are meant for.
    pub audience: String,
    /// The gateways' `Issuer` resource.
    pub issuer: String,
}

/// A kind that is no resource: what the last import was told. Kept beside what it generated.
pub const IMPORT: &str = "Import";

pub fn generate(
    openapi: OpenApi<'_>,
    place: &Placement,
    findings: &mut Vec<Finding>,
) -> Result<Vec<Document>, Refused> {
    let url = HttpUrl::parse(&place.upstream).map_err(|error| Refused::invalid("/upstream", error))?;
    let origin = url.origin();
    let url = url::Url::parse(url.as_str()).map_err(|error| Refused::invalid("/upstream", error.to_string()))?;
    if url.query().is_some() {
        return Err(Refused::invalid("/upstream", "an upstream has no query"));
    }
    let prefix = url.path().trim_end_matches('/').to_owned();
    let document =
        |kind: &str, name: &str, spec: Value| Document { kind: kind.to_owned(), name: name.to_owned(), spec };
    let mut service = json!({
        "upstream": place.name,
        "api": place.name,
        "audience": place.audience,
    });
    if let (false, Some(service)) = (prefix.is_empty(), service.as_object_mut()) {
        service.insert("pathPrefix".to_owned(), prefix.into());
    }
    let mut out = vec![
        document(
            IMPORT,
            &place.name,
            json!({"upstream": place.upstream, "basePath": place.base_path, "audience": place.audience}),
        ),
        document("Api", &place.name, value(&spec(openapi))),
        document("Upstream", &place.name, json!({"endpoints": [origin]})),
        document("Service", &place.name, service),
    ];
    let mut served: Vec<(String, String)> = Vec::new();
    for (name, operation) in names(openapi) {
        let Some((path, inner)) = paths(operation, place, findings) else { continue };
        let methods = operation.method.to_uppercase();
        let shape = (methods.clone(), shape(&path));
        if served.contains(&shape) {
            let message = "another path with other names of parameters takes the same requests; this one is left out";
            findings.push(Finding::new(Level::Error, "path-ambiguous", operation.pointer(), message));
            continue;
        }
        served.push(shape);
        let auth = auth(openapi, operation, place, findings);
        let public = auth == "none";
        let mut spec = json!({
            "match": {"path": path, "methods": [methods]},
            "service": place.name,
            "operation": name,
            "auth": auth,
        });
        if let (true, Some(spec)) = (public, spec.as_object_mut()) {
            // The document says it: everybody may call this, also of an API that asks for subscriptions.
            spec.insert("subscription".to_owned(), "none".into());
        }
        if let (true, Some(spec)) = (path != inner, spec.as_object_mut()) {
            spec.insert("rewrite".to_owned(), json!({"path": inner}));
        }
        out.push(document("Route", &resource_name(&place.name, &name), spec));
    }
    Ok(out)
}

/// What the document says of the API; the rest is for people to say.
fn spec(openapi: OpenApi<'_>) -> ApiSpec {
    let text = |pointer: &str| openapi.text(pointer).map(str::to_owned);
    ApiSpec {
        title: text("/info/title").unwrap_or_default(),
        version: text("/info/version").unwrap_or_default(),
        description: text("/info/description").or_else(|| text("/info/summary")),
        owner: None,
        lifecycle: catalog::Lifecycle::default(),
        visibility: catalog::Visibility::default(),
        subscription: catalog::Needed::default(),
        deprecated_at: None,
        sunset_at: None,
        openapi: None,
    }
}

/// The path at the gateway and the one that is sent on; `None` where it cannot be served.
fn paths(operation: Operation<'_>, place: &Placement, findings: &mut Vec<Finding>) -> Option<(String, String)> {
    let mut refuse = |rule, message: String| {
        findings.push(Finding::new(Level::Error, rule, operation.pointer(), format!("{message}; it is left out")));
    };
    if operation.method == "trace" {
        refuse("method", "TRACE is never sent on".to_owned());
        return None;
    }
    if operation.method == "head" && operation.item.contains_key("get") {
        findings.push(Finding::new(Level::Note, "method", operation.pointer(), "HEAD is served with GET"));
        return None;
    }
    let mut known: Vec<String> = Vec::new();
    let mut parts = Vec::new();
    for part in operation.path.split('/').skip(1) {
        let Some(name) =
            part.strip_prefix('{').and_then(|part| part.strip_suffix('}')).filter(|name| !name.contains(['{', '}']))
        else {
            if part.contains(['{', '}']) {
                refuse("path-partial-segment", format!("a parameter is a whole segment, unlike `{part}`"));
                return None;
            }
            parts.push(part.to_owned());
            continue;
        };
        let mut name: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
        while name.is_empty() || known.contains(&name) {
            name.push('_');
        }
        parts.push(format!("{{{name}}}"));
        known.push(name);
    }
    let inner = format!("/{}", parts.join("/"));
    let path = if place.base_path == "/" { inner.clone() } else { format!("{}{inner}", place.base_path) };
    for path in [&path, &inner] {
        if let Err(message) = Pattern::parse(path) {
            refuse("path", message);
            return None;
        }
    }
    Some((path, inner))
}

/// The path without the names of its parameters: what it takes.
fn shape(path: &str) -> String {
    path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part }).collect::<Vec<_>>().join("/")
}

/// What a caller must show. `none` only where the document says so; what cannot be told exactly asks for more.
fn auth(openapi: OpenApi<'_>, operation: Operation<'_>, place: &Placement, findings: &mut Vec<Finding>) -> Value {
    let mut say = |level, rule, message: &str| findings.push(Finding::new(level, rule, operation.pointer(), message));
    let Some(alternatives) = openapi.security(operation) else {
        say(
            Level::Warning,
            "security",
            "no security is described; a token is asked for all the same (write `security: []` for none)",
        );
        return json!({"issuer": place.issuer});
    };
    if alternatives.is_empty() {
        return Value::from("none");
    }
    let mut sets: Vec<Vec<&str>> = Vec::new();
    for alternative in alternatives.iter().filter_map(Value::as_object) {
        let mut scopes: Vec<&str> = Vec::new();
        let mut by_token = false;
        for (name, asked) in alternative {
            let scheme = openapi.scheme(name);
            let kind = scheme.and_then(|scheme| scheme.get("type")).and_then(Value::as_str).unwrap_or_default();
            let how = scheme.and_then(|scheme| scheme.get("scheme")).and_then(Value::as_str).unwrap_or_default();
            if kind == "oauth2" || kind == "openIdConnect" || (kind == "http" && how.eq_ignore_ascii_case("bearer")) {
                by_token = true;
                scopes.extend(asked.as_array().into_iter().flatten().filter_map(Value::as_str));
            } else {
                let message = match scheme {
                    Some(_) => format!("`{name}` is not by token; the gateway asks for an access token instead"),
                    None => format!("the security scheme `{name}` is not described; a token is asked for"),
                };
                say(Level::Warning, "security-scheme", &message);
            }
        }
        if alternative.is_empty() {
            say(
                Level::Warning,
                "security-optional",
                "security that may be left out is not served: a token is asked for",
            );
        } else if by_token {
            scopes.sort_unstable();
            scopes.dedup();
            sets.push(scopes);
        }
    }
    sets.sort();
    sets.dedup();
    match sets.as_slice() {
        [] => json!({"issuer": place.issuer}),
        [scopes] if scopes.is_empty() => json!({"issuer": place.issuer}),
        [scopes] => json!({"issuer": place.issuer, "scopes": scopes}),
        several if several.iter().all(|scopes| scopes.len() == 1) => {
            json!({"issuer": place.issuer, "anyScope": several.concat()})
        }
        several if several.iter().any(Vec::is_empty) => json!({"issuer": place.issuer}),
        several => {
            say(
                Level::Warning,
                "security-alternatives",
                "alternatives of several scopes each: all of them are asked for",
            );
            let mut scopes = several.concat();
            scopes.sort_unstable();
            scopes.dedup();
            json!({"issuer": place.issuer, "scopes": scopes})
        }
    }
}

/// A name of a resource: letters, digits, `.`, `_`, `-`, at most 63. What had to be cut bears a mark of the whole.
fn resource_name(api: &str, operation: &str) -> String {
    let plain: String =
        operation.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' }).collect();
    let name = format!("{api}.{plain}");
    if name.len() <= 63 && plain == operation {
        return name;
    }
    let mark: String = sha256(operation.as_bytes()).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let kept: String = name.chars().take(54).collect();
    format!("{kept}-{mark}")
}

/// A name for an API from its title.
pub fn api_name(title: &str) -> String {
    let words: Vec<String> = title
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    // Room is left for the names of routes.
    let name: String = words.join("-").chars().take(40).collect();
    let name = name.trim_end_matches('-').to_owned();
    if name.is_empty() { "api".to_owned() } else { name }
}
