//! What gateways are given: the published revisions, the plans, and the subscriptions in force, under one number.
//!
//! The number moves in the transaction of each change, by one statement, so that who reads it sees the change; a set
//! that the gateway's own compiler refuses is never published. Gateways ask with `If-None-Match` (RFC 9110 §13.1.2)
//! and wait for the next commit.

mod cors;
mod describe;
mod http;
mod secrets;
mod snapshot;
mod store;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use base::problem::FieldError;
use catalog::published::{Document, PublishedSubscription};
use catalog::{Fault, Resource, Snapshot};
use serde_json::{Value, json};

pub(crate) use describe::{operations, shapes};
pub(crate) use http::routes;
pub use snapshot::{Publications, current};
pub use store::{Publication, publication};

use crate::actor::Right;
use crate::audit::{self, Record};
use crate::config::Config;
use crate::cx::Cx;
use crate::error::Refused;
use crate::plans;
use crate::registry::{self, Api, Breaking, Draft};

/// Commits that change what gateways are given.
pub const TOPIC: &str = "publication";

/// To be called by who has changed an API or a plan that gateways are given, in the same transaction: the next number,
/// unless gateways would refuse the set.
pub async fn changed(cx: &mut Cx) -> Result<u64, Refused> {
    let version = touched(cx).await?;
    verify(cx).await?;
    Ok(version)
}

/// Whether gateways would take what is published in this transaction.
pub async fn verify(cx: &mut Cx) -> Result<(), Refused> {
    let documents = assemble(cx, None).await?;
    let faults = faults(&cx.management.config, &documents);
    if faults.is_empty() { Ok(()) } else { Err(refused(&faults, &[])) }
}

/// As [`changed`], for what cannot make a set wrong: subscriptions. Publishers take turns here until they commit.
pub async fn touched(cx: &mut Cx) -> Result<u64, Refused> {
    let version = store::next(cx).await?;
    cx.tx.notify(TOPIC);
    Ok(version)
}

/// Whether gateways would take this draft beside what is published; what they would say otherwise.
pub async fn check(cx: &mut Cx, name: &str, draft: &Draft) -> Result<(), Refused> {
    let documents = assemble(cx, Some((name, draft))).await?;
    let faults = faults(&cx.management.config, &documents);
    if faults.is_empty() { Ok(()) } else { Err(refused(&faults, &draft.resources)) }
}

/// Publishes a revision of an API; default: the newest.
pub async fn publish(cx: &mut Cx, name: &str, revision: Option<i64>, allow_breaking: bool) -> Result<Api, Refused> {
    cx.need(Right::Publish)?;
    // First of all, so that two who publish take turns and the second one sees what the first one did.
    touched(cx).await?;
    let api = registry::get(cx, name).await?.ok_or(Refused::NotFound("API of this name"))?;
    let number = revision.unwrap_or(api.head);
    if api.published == Some(number) {
        return Ok(api);
    }
    let next = registry::revision(cx, name, number).await?.ok_or(Refused::NotFound("revision of this number"))?;
    if !allow_breaking && let Some(published) = api.published {
        let old = registry::revision(cx, name, published).await?.and_then(|revision| revision.draft.openapi);
        if let (Some(old), Some(new)) = (&old, &next.draft.openapi) {
            refuse(&registry::breaking(old, new))?;
        }
    }
    registry::set_published(cx, name, Some(number)).await?;
    let documents = assemble(cx, None).await?;
    let faults = faults(&cx.management.config, &documents);
    if !faults.is_empty() {
        return Err(refused(&faults, &next.draft.resources));
    }
    let detail = json!({"revision": number, "before": api.published});
    audit::record(cx, Record { act: "api.published", object: format!("api:{name}"), organisation: None, detail })
        .await?;
    registry::get(cx, name).await?.ok_or(Refused::NotFound("API of this name"))
}

/// Gateways know the API no more; its calls find no route.
pub async fn withdraw(cx: &mut Cx, name: &str) -> Result<Api, Refused> {
    cx.need(Right::Publish)?;
    touched(cx).await?;
    let api = registry::get(cx, name).await?.ok_or(Refused::NotFound("API of this name"))?;
    if api.published.is_none() {
        return Ok(api);
    }
    registry::set_published(cx, name, None).await?;
    changed(cx).await?;
    let detail = json!({"before": api.published});
    audit::record(cx, Record { act: "api.withdrawn", object: format!("api:{name}"), organisation: None, detail })
        .await?;
    registry::get(cx, name).await?.ok_or(Refused::NotFound("API of this name"))
}

/// Removes an API with its history; what is published is withdrawn first.
pub async fn remove(cx: &mut Cx, name: &str) -> Result<(), Refused> {
    cx.need(Right::Publish)?;
    let api = registry::get(cx, name).await?.ok_or(Refused::NotFound("API of this name"))?;
    if api.published.is_some() {
        let why = format!("API `{name}` is published; withdraw it first, so that nobody is cut off by mistake");
        return Err(Refused::Conflict(why));
    }
    registry::remove(cx, name).await?;
    let record = Record { act: "api.removed", object: format!("api:{name}"), organisation: None, detail: json!({}) };
    audit::record(cx, record).await?;
    Ok(())
}

/// Refuses what clients would notice.
pub fn refuse(breaking: &[Breaking]) -> Result<(), Refused> {
    if breaking.is_empty() {
        return Ok(());
    }
    let error = |one: &Breaking| FieldError {
        pointer: format!("/operations/{}", one.operation.replace('~', "~0").replace('/', "~1")),
        detail: format!("{}: {}", one.rule, one.message),
    };
    Err(Refused::Breaking(breaking.iter().map(error).collect()))
}

/// All documents of what is published, with one API replaced by a draft.
async fn assemble(cx: &mut Cx, draft: Option<(&str, &Draft)>) -> Result<Vec<Document>, Refused> {
    let mut apis: BTreeMap<String, Vec<Document>> = BTreeMap::new();
    let portal = cx.management.config.url.clone();
    let given = |name: &str, draft: &Draft| {
        let mut documents = draft.documents(name);
        cors::with_portal(&mut documents, &portal, draft.openapi.as_ref());
        documents
    };
    for revision in registry::published(cx).await? {
        apis.insert(revision.api.clone(), given(&revision.api, &revision.draft));
    }
    if let Some((name, draft)) = draft {
        apis.insert(name.to_owned(), given(name, draft));
    }
    let plans: Vec<Document> = plans::published(cx).await?.into_iter().filter_map(|plan| only(plan, &apis)).collect();
    let mut documents: Vec<Document> = Vec::new();
    for document in apis.into_values().flatten().chain(plans) {
        // Two APIs may say the same of an upstream that they share.
        if !documents.contains(&document) {
            documents.push(document);
        }
    }
    Ok(documents)
}

/// A plan as gateways understand it: with those of its APIs that they know. Without any it is not for them.
fn only(mut plan: Document, known: &BTreeMap<String, Vec<Document>>) -> Option<Document> {
    let apis = plan.spec.get_mut("apis")?.as_array_mut()?;
    apis.retain(|api| api.as_str().is_some_and(|name| known.contains_key(name)));
    if apis.is_empty() { None } else { Some(plan) }
}

/// What the gateways' compiler says of a set. Whom they believe about tokens is their own affair: somebody of the
/// name that we were told stands in for it; and so for those whom they ask about policies.
fn faults(config: &Config, documents: &[Document]) -> Vec<Fault> {
    let issuer = json!({"issuer": config.issuer, "introspection": {"as": "gateway", "secret": "file:secret"}});
    let issuer = Resource::new("Issuer", &config.gateway_issuer, issuer);
    let sources = policy_sources(documents).into_iter().map(|name| {
        let spec = json!({"snapshot": {"url": "https://policies.invalid", "secret": "file:secret"}});
        Resource::new("PolicySource", name, spec)
    });
    let set: Vec<Resource> =
        std::iter::once(issuer).chain(sources).chain(documents.iter().map(Document::resource)).collect();
    let mut faults = Snapshot::compile(&set).err().unwrap_or_default();
    faults.extend(secrets::faults(documents));
    faults
}

/// The names of those who are asked about policies.
fn policy_sources(documents: &[Document]) -> BTreeSet<&str> {
    documents.iter().filter_map(|document| document.spec.pointer("/policy/source")?.as_str()).collect()
}

/// Faults at the parts of an API where they are in these, else with the name of the document.
fn refused(faults: &[Fault], parts: &[Document]) -> Refused {
    let error = |fault: &Fault| {
        let file: &str = &fault.source_at.file;
        let at = parts.iter().position(|part| file == format!("published {}/{}", part.kind, part.name));
        match at {
            Some(at) => {
                FieldError { pointer: format!("/resources/{at}{}", fault.pointer), detail: fault.message.clone() }
            }
            None => FieldError {
                pointer: fault.pointer.clone(),
                detail: format!("{}: {}", file.trim_start_matches("published "), fault.message),
            },
        }
    };
    Refused::Invalid("gateways would refuse this".to_owned(), faults.iter().map(error).collect())
}

/// What a gateway is told of plans that it does not know is nothing.
fn in_force(subscriptions: Vec<PublishedSubscription>, documents: &[Document]) -> Vec<PublishedSubscription> {
    let known = |plan: &str| documents.iter().any(|one| one.kind == "Plan" && one.name == plan);
    subscriptions.into_iter().filter(|one| known(&one.plan)).collect()
}

pub(crate) fn count(documents: &[Document], kind: &str) -> Value {
    Value::from(documents.iter().filter(|one| one.kind == kind).count())
}
