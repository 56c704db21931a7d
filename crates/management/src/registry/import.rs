//! Import of an OpenAPI document: a new API, or the next revision of one, with what people changed by hand kept.

use std::collections::BTreeSet;

use catalog::published::Document;
use catalog::{Needed, Visibility};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::breaking::{Breaking, breaking};
use super::differences::{Difference, differences};
use super::generate::{IMPORT, Placement, api_name, generate};
use super::lint::{Finding, lint};
use super::merge::{Merged, merge};
use super::openapi::{self, OpenApi};
use super::{Api, Draft, Expected, PARTS, put, read_spec, store};
use crate::actor::Right;
use crate::cx::Cx;
use crate::error::Refused;
use crate::publish;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Import {
    /// The document, JSON or YAML.
    pub document: String,
    /// Of the API; default: made of the title.
    #[serde(default)]
    pub name: Option<String>,
    /// Default: where it was before, or the document's first server.
    #[serde(default)]
    pub upstream: Option<String>,
    /// Where the gateway serves it; default: where it was before, or `/` and the name.
    #[serde(default)]
    pub base_path: Option<String>,
    /// What tokens for it are meant for; default: as before, or its address at the gateway.
    #[serde(default)]
    pub audience: Option<String>,
    #[serde(default)]
    pub visibility: Option<Visibility>,
    #[serde(default)]
    pub subscription: Option<Needed>,
    #[serde(default)]
    pub owner: Option<String>,
    /// To gateways at once.
    #[serde(default)]
    pub publish: bool,
    /// Publish although clients will notice.
    #[serde(default)]
    pub allow_breaking: bool,
    /// Say what would be, and do nothing.
    #[serde(default)]
    pub dry_run: bool,
    #[serde(default)]
    pub note: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Imported {
    pub api: String,
    pub title: String,
    pub version: String,
    pub revision: i64,
    /// Whether there was something to change.
    pub changed: bool,
    pub published: Option<i64>,
    pub findings: Vec<Finding>,
    pub breaking: Vec<Breaking>,
    /// Where hand and document disagree.
    pub conflicts: Vec<String>,
    /// What stays as people made it.
    pub kept: Vec<String>,
    pub differences: Vec<Difference>,
    pub routes: Vec<RouteLine>,
    /// All that its routes ask for.
    pub scopes: Vec<String>,
    pub audience: String,
    pub upstream: String,
    /// Where it is served.
    pub address: String,
    pub portal: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteLine {
    pub operation: String,
    pub method: String,
    pub path: String,
    pub public: bool,
    pub scopes: Vec<String>,
}

pub async fn import(cx: &mut Cx, input: &Import) -> Result<Imported, Refused> {
    cx.need(Right::Publish)?;
    let root = openapi::read(&input.document)?;
    let document = OpenApi { root: &root };
    let name = match &input.name {
        Some(name) => name.clone(),
        None => api_name(document.text("/info/title").unwrap_or_default()),
    };
    let head = store::api(cx, &name, false).await?;
    let before = match &head {
        Some(api) => store::revision(cx, &name, api.head).await?.map(|revision| revision.draft),
        None => None,
    };
    let place = placement(cx, document, input, &name, before.as_ref())?;
    let mut findings = lint(document);
    let generated = generate(document, &place, &mut findings)?;
    findings.sort_by(|a, b| (a.level, &a.pointer).cmp(&(b.level, &b.pointer)));
    let (mut draft, merged) = merged(&name, generated, before.as_ref(), &root)?;
    draft.spec.visibility = input.visibility.unwrap_or(draft.spec.visibility);
    draft.spec.subscription = input.subscription.unwrap_or(draft.spec.subscription);
    draft.spec.owner = input.owner.clone().or(draft.spec.owner);

    let broken = match published_document(cx, head.as_ref()).await? {
        Some(old) => breaking(&old, &root),
        None => Vec::new(),
    };
    if input.publish && !input.allow_breaking && !input.dry_run {
        publish::refuse(&broken)?;
    }
    let differences =
        differences(&before.map(|draft| draft.documents(&name)).unwrap_or_default(), &draft.documents(&name));
    let routes = route_lines(&draft.resources);
    let scopes: BTreeSet<String> = routes.iter().flat_map(|route| route.scopes.iter().cloned()).collect();
    let config = &cx.management.config;
    let address = format!("{}{}", config.gateway_url, if place.base_path == "/" { "" } else { &place.base_path });
    let mut out = Imported {
        title: draft.spec.title.clone(),
        version: draft.spec.version.clone(),
        revision: head.as_ref().map_or(0, |api| api.head),
        changed: false,
        published: head.as_ref().and_then(|api| api.published),
        portal: format!("{}/apis/{name}", config.url),
        api: name,
        findings,
        breaking: broken,
        conflicts: merged.conflicts,
        kept: merged.kept,
        differences,
        routes,
        scopes: scopes.into_iter().collect(),
        audience: place.audience,
        upstream: place.upstream,
        address,
    };
    if input.dry_run {
        out.changed = !out.differences.is_empty();
        publish::check(cx, &out.api, &draft).await?;
        return Ok(out);
    }
    let note = input.note.clone().unwrap_or_else(|| format!("import of version {}", out.version));
    let (api, changed) = put(cx, &out.api, &draft, &note, Expected::Anything).await?;
    (out.revision, out.changed) = (api.head, changed);
    if input.publish {
        out.published = publish::publish(cx, &out.api, None, true).await?.published;
    }
    Ok(out)
}

/// The OpenAPI document that consumers have now.
pub async fn published_document(cx: &mut Cx, api: Option<&Api>) -> Result<Option<Value>, Refused> {
    let Some((name, number)) = api.and_then(|api| Some((&api.name, api.published?))) else { return Ok(None) };
    Ok(store::revision(cx, name, number).await?.and_then(|revision| revision.draft.openapi))
}

fn placement(
    cx: &Cx,
    document: OpenApi<'_>,
    input: &Import,
    name: &str,
    before: Option<&Draft>,
) -> Result<Placement, Refused> {
    let last = before.and_then(|draft| draft.generated.iter().find(|one| one.kind == IMPORT));
    let last = |key: &str| last.and_then(|import| import.spec.get(key)).and_then(Value::as_str).map(str::to_owned);
    let server = document.root.pointer("/servers/0");
    let fixed = server.filter(|server| server.get("variables").is_none());
    let of_document = fixed.and_then(|server| server.get("url")).and_then(Value::as_str);
    let absolute = of_document.filter(|url| url.starts_with("http://") || url.starts_with("https://"));
    let upstream = input.upstream.clone().or_else(|| last("upstream")).or_else(|| absolute.map(str::to_owned));
    let upstream = upstream.ok_or_else(|| {
        Refused::invalid("/upstream", "the document names no server that can be used: say where the API runs")
    })?;
    let base_path = input.base_path.clone().or_else(|| last("basePath")).unwrap_or_else(|| format!("/{name}"));
    let base_path = match base_path.trim_end_matches('/') {
        "" => "/".to_owned(),
        path if path.starts_with('/') && !path.contains(['{', '}', '?', '#']) => path.to_owned(),
        _ => return Err(Refused::invalid("/basePath", "a base path begins with `/` and has no parameters")),
    };
    let config = &cx.management.config;
    let own = if base_path == "/" { name.to_owned() } else { base_path.trim_start_matches('/').to_owned() };
    let audience = input.audience.clone().or_else(|| last("audience"));
    Ok(Placement {
        name: name.to_owned(),
        audience: audience.unwrap_or_else(|| format!("{}/{own}", config.gateway_url)),
        upstream,
        base_path,
        issuer: config.gateway_issuer.clone(),
    })
}

fn merged(
    name: &str,
    generated: Vec<Document>,
    before: Option<&Draft>,
    root: &Value,
) -> Result<(Draft, Merged), Refused> {
    let real = |set: &[Document]| -> Vec<Document> { set.iter().filter(|one| one.kind != IMPORT).cloned().collect() };
    let mut merged = match before {
        None => Merged { documents: real(&generated), ..Merged::default() },
        Some(before) => merge(&real(&before.generated), &before.documents(name), &real(&generated)),
    };
    let documents = std::mem::take(&mut merged.documents);
    let (api, resources): (Vec<Document>, Vec<Document>) = documents.into_iter().partition(|one| one.kind == "Api");
    let spec = api.first().map(|api| api.spec.clone()).unwrap_or_default();
    let (spec, _) = read_spec(name, &spec)?;
    debug_assert!(resources.iter().all(|one| PARTS.contains(&one.kind.as_str())));
    Ok((Draft { spec, resources, generated, openapi: Some(root.clone()) }, merged))
}

pub fn route_lines(resources: &[Document]) -> Vec<RouteLine> {
    let routes = resources.iter().filter(|one| matches!(one.kind.as_str(), "Route" | "Composition"));
    routes
        .map(|route| {
            let text = |pointer: &str| route.spec.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
            let list = |pointer: &str| -> Vec<String> {
                let items = route.spec.pointer(pointer).and_then(Value::as_array);
                items.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
            };
            let methods = list("/match/methods");
            RouteLine {
                operation: text("/operation").unwrap_or_else(|| route.name.clone()),
                method: if methods.is_empty() { "ANY".to_owned() } else { methods.join(" ") },
                path: text("/match/path").unwrap_or_default(),
                public: route.spec.get("auth") == Some(&Value::from("none")),
                scopes: list("/auth/scopes").into_iter().chain(list("/auth/anyScope")).collect(),
            }
        })
        .collect()
}

/// What an import makes of a document by itself, for who tests what it becomes.
#[cfg(test)]
pub(super) fn made_of(root: &Value, place: &Placement) -> (Vec<Document>, Vec<Finding>) {
    let mut findings = lint(OpenApi { root });
    let generated = generate(OpenApi { root }, place, &mut findings).unwrap();
    (generated, findings)
}
