//! `cardea apply` and `export`: APIs with what serves them, and plans, as sets of resources.
//!
//! A `Service` or `Composition` belongs to the API that its `spec.api` names, a `Route` to its service's, an
//! `Upstream` to the API of a service that uses it. What is applied is published with it.

use std::collections::BTreeMap;

use axum::response::Response;
use base::problem::FieldError;
use catalog::published::Document;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Sent, ok};
use crate::actor::Right;
use crate::cx::Cx;
use crate::error::Refused;
use crate::publish;
use crate::registry::{self, Draft, Expected, Query};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Set {
    resources: Vec<Document>,
    #[serde(default)]
    prune: bool,
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    allow_breaking: bool,
}

/// What a set says of one API.
#[derive(Default)]
struct Wanted {
    /// Its place in the set.
    at: Option<usize>,
    parts: Vec<(usize, Document)>,
}

const MOST_APIS: usize = 100_000;

pub(super) async fn apply_resources(mut cx: Cx, sent: Sent) -> Result<Response, Refused> {
    cx.need(Right::Publish)?;
    let set: Set = sent.read()?;
    let before = documents(&mut cx).await?;
    let wanted = sort(&set, &before)?;
    for (name, wanted) in &wanted {
        bring(&mut cx, &set, name, wanted).await?;
    }
    if set.prune && set.resources.iter().any(|one| one.kind == "Api") {
        for name in names(&before).filter(|name| !wanted.contains_key(*name)) {
            publish::withdraw(&mut cx, name).await?;
            publish::remove(&mut cx, name).await?;
        }
    }
    super::plans::apply(&mut cx, &set.resources, set.prune).await?;
    let after = documents(&mut cx).await?;
    let changes = changes(&before, &after);
    if !set.dry_run && !changes.is_empty() {
        cx.commit().await?;
    }
    Ok(ok(&json!({"changes": changes})))
}

pub(super) async fn export_resources(mut cx: Cx) -> Result<Response, Refused> {
    cx.need(Right::Read)?;
    Ok(ok(&json!({"resources": documents(&mut cx).await?})))
}

/// All that is kept here, as a set.
async fn documents(cx: &mut Cx) -> Result<Vec<Document>, Refused> {
    let (apis, _) = registry::list(cx, &Query::default(), MOST_APIS).await?;
    let mut out: Vec<Document> = Vec::new();
    for api in apis {
        let Some(revision) = registry::revision(cx, &api.name, api.head).await? else { continue };
        let mut documents = revision.draft.documents(&api.name);
        let openapi = revision.draft.openapi;
        if let (Some(openapi), Some(spec)) = (openapi, documents.first_mut().and_then(|api| api.spec.as_object_mut())) {
            spec.insert("openapi".to_owned(), openapi);
        }
        for document in documents {
            if !out.contains(&document) {
                out.push(document);
            }
        }
    }
    out.extend(super::plans::documents(cx).await?);
    Ok(out)
}

fn names(documents: &[Document]) -> impl Iterator<Item = &str> {
    documents.iter().filter(|one| one.kind == "Api").map(|one| one.name.as_str())
}

/// Gives each part to its API. What belongs to none has no place here.
fn sort(set: &Set, before: &[Document]) -> Result<BTreeMap<String, Wanted>, Refused> {
    let mut wanted: BTreeMap<String, Wanted> = BTreeMap::new();
    let mut errors: Vec<FieldError> = Vec::new();
    for (at, document) in set.resources.iter().enumerate() {
        let fault = match document.kind.as_str() {
            "Plan" => continue,
            "Api" => {
                wanted.entry(document.name.clone()).or_default().at = Some(at);
                continue;
            }
            _ => match owner(document, &set.resources).or_else(|| owner(document, before)) {
                Some(api) if names(&set.resources).chain(names(before)).any(|known| known == api) => {
                    wanted.entry(api).or_default().parts.push((at, document.clone()));
                    continue;
                }
                Some(api) => format!("there is no Api `{api}`"),
                None => format!("this {} belongs to no API that is kept here", document.kind),
            },
        };
        errors.push(FieldError { pointer: format!("/resources/{at}/spec"), detail: fault });
    }
    if errors.is_empty() { Ok(wanted) } else { Err(Refused::Invalid("the resources have errors".to_owned(), errors)) }
}

/// The API that a part belongs to, as far as these documents know.
fn owner(part: &Document, documents: &[Document]) -> Option<String> {
    let text = |document: &Document, key: &str| document.spec.get(key).and_then(Value::as_str).map(str::to_owned);
    let services = || documents.iter().filter(|one| one.kind == "Service");
    match part.kind.as_str() {
        "Service" | "Composition" => text(part, "api"),
        "Route" => {
            let service = text(part, "service")?;
            services().find(|one| one.name == service).and_then(|one| text(one, "api"))
        }
        "Upstream" => {
            let mut apis: Vec<String> = services()
                .filter(|one| text(one, "upstream").as_deref() == Some(part.name.as_str()))
                .filter_map(|one| text(one, "api"))
                .collect();
            apis.sort();
            apis.into_iter().next()
        }
        _ => None,
    }
}

async fn bring(cx: &mut Cx, set: &Set, name: &str, wanted: &Wanted) -> Result<(), Refused> {
    let head = match registry::get(cx, name).await? {
        Some(api) => registry::revision(cx, name, api.head).await?.map(|revision| revision.draft),
        None => None,
    };
    let document = wanted.at.and_then(|at| set.resources.get(at));
    let mut draft = match (document, head) {
        (Some(document), head) => {
            let at = wanted.at.unwrap_or_default();
            let (spec, openapi) = registry::read_spec(name, &document.spec).map_err(|error| within(error, &[at]))?;
            if let Some(openapi) = &openapi {
                registry::check_document(openapi)
                    .map_err(|error| under(error, &format!("/resources/{at}/spec/openapi")))?;
            }
            let head = head.unwrap_or_else(|| Draft::new(spec.clone()));
            Draft { spec, openapi: openapi.or(head.openapi.clone()), ..head }
        }
        (None, Some(head)) => head,
        // Sorted out before.
        (None, None) => return Ok(()),
    };
    let same = |a: &Document, b: &Document| a.kind == b.kind && a.name == b.name;
    if set.prune {
        draft.resources.retain(|old| wanted.parts.iter().any(|(_, new)| same(old, new)));
    }
    for (_, part) in &wanted.parts {
        match draft.resources.iter_mut().find(|old| same(old, part)) {
            Some(old) => old.spec.clone_from(&part.spec),
            None => draft.resources.push(part.clone()),
        }
    }
    // Faults are told at the places of the set.
    let places: Vec<usize> = draft
        .resources
        .iter()
        .map(|one| wanted.parts.iter().find(|(_, part)| same(part, one)).map_or(usize::MAX, |(at, _)| *at))
        .collect();
    let (api, changed) =
        registry::put(cx, name, &draft, "apply", Expected::Anything).await.map_err(|error| within(error, &places))?;
    if changed || api.published != Some(api.head) {
        publish::publish(cx, name, None, set.allow_breaking).await.map_err(|error| within(error, &places))?;
    }
    Ok(())
}

/// Pointers into one API, seen from the set: `/resources/{index of the part}` and `/spec` of the API itself.
fn within(error: Refused, places: &[usize]) -> Refused {
    let Refused::Invalid(title, errors) = error else { return error };
    let moved = errors.into_iter().map(|error| {
        let part = error.pointer.strip_prefix("/resources/").and_then(|rest| rest.split_once('/'));
        let place = match part {
            Some((index, rest)) => index.parse::<usize>().ok().and_then(|index| places.get(index)).map(|at| (at, rest)),
            None => places.first().map(|at| (at, error.pointer.trim_start_matches('/'))),
        };
        let pointer = match place {
            Some((at, rest)) if *at != usize::MAX => format!("/resources/{at}/{rest}"),
            _ => error.pointer.clone(),
        };
        FieldError { pointer, detail: error.detail }
    });
    Refused::Invalid(title, moved.collect())
}

fn under(error: Refused, pointer: &str) -> Refused {
    let Refused::Invalid(title, errors) = error else { return error };
    let moved = errors.into_iter().map(|error| FieldError { pointer: format!("{pointer}{}", error.pointer), ..error });
    Refused::Invalid(title, moved.collect())
}

/// What differs, document by document.
fn changes(before: &[Document], after: &[Document]) -> Vec<Value> {
    fn index(set: &[Document]) -> BTreeMap<(&str, &str), &Value> {
        set.iter().map(|one| ((one.kind.as_str(), one.name.as_str()), &one.spec)).collect()
    }
    let (old, new) = (index(before), index(after));
    let mut out = Vec::new();
    for ((kind, name), spec) in &new {
        match old.get(&(*kind, *name)) {
            None => out.push(json!({"kind": kind, "name": name, "change": "add", "after": spec})),
            Some(was) if was != spec => {
                out.push(json!({"kind": kind, "name": name, "change": "modify", "before": was, "after": spec}));
            }
            Some(_) => {}
        }
    }
    for ((kind, name), spec) in old.iter().filter(|(key, _)| !new.contains_key(*key)) {
        out.push(json!({"kind": kind, "name": name, "change": "remove", "before": spec}));
    }
    out
}
