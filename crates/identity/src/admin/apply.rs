//! A whole set of resources in one transaction: all of it takes place, or none.

use std::collections::BTreeSet;

use base::ids::ClientId;
use base::problem::FieldError;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::answer::{AdminCx, AdminError, Answer, Body, ok};
use super::documents::{KINDS, read, written};
use crate::Cx;
use crate::accounts::{self, UserSpec};
use crate::applied::Applied;
use crate::clients::{self, ClientSpec};
use crate::scopes::{self, ResourceServerSpec, ScopeSpec};

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    pub kind: String,
    pub name: String,
    pub spec: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Set {
    resources: Vec<Document>,
    /// Also remove what is not in the set, of the kinds that are.
    #[serde(default)]
    prune: bool,
    /// Say what would change, and change nothing.
    #[serde(default)]
    dry_run: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    pub kind: String,
    pub name: String,
    /// `add`, `modify`, `remove` or `none`.
    pub change: &'static str,
    pub before: Option<Value>,
    pub after: Option<Value>,
}

pub async fn apply_resources(AdminCx(mut cx): AdminCx, Body(set): Body<Set>) -> Answer {
    let changes = apply(&mut cx, &set.resources, set.prune).await?;
    // Dropped without a commit, a transaction leaves nothing behind: a dry run takes the same way.
    if !set.dry_run {
        cx.commit().await?;
    }
    Ok(ok(&json!({"changes": changes})))
}

pub async fn export_resources(AdminCx(mut cx): AdminCx) -> Answer {
    let mut resources = Vec::new();
    for kind in KINDS {
        // Clients that have registered themselves are their registrars', not the files'.
        let registered = registered(&mut cx, kind).await?;
        for (name, spec) in existing(&mut cx, kind).await? {
            if registered.contains(&name) {
                continue;
            }
            resources.push(Document { kind: kind.to_owned(), name, spec });
        }
    }
    Ok(ok(&json!({"resources": resources})))
}

/// Applies the set in the order of the kinds, then removes in the reverse order what `prune` asks for.
pub async fn apply(cx: &mut Cx, documents: &[Document], prune: bool) -> Result<Vec<Change>, AdminError> {
    for (index, document) in documents.iter().enumerate() {
        if !KINDS.contains(&document.kind.as_str()) {
            let detail = format!("`{}` is not a kind of the identity system", document.kind);
            return Err(AdminError::invalid(vec![FieldError { pointer: format!("/resources/{index}/kind"), detail }]));
        }
    }
    let mut changes = Vec::new();
    for kind in KINDS {
        let before = existing(cx, kind).await?;
        for (index, document) in documents.iter().enumerate().filter(|(_, document)| document.kind == kind) {
            let old = before.iter().find(|(name, _)| *name == normal(document)).map(|(_, spec)| spec.clone());
            let change = one(cx, document, old).await.map_err(|error| {
                error.within(&format!("/resources/{index}")).detail(format!("{} `{}`", document.kind, document.name))
            })?;
            changes.push(change);
        }
    }
    if prune {
        for kind in KINDS.into_iter().rev().filter(|kind| documents.iter().any(|document| document.kind == *kind)) {
            changes.extend(prune_kind(cx, kind, documents).await?);
        }
    }
    Ok(changes)
}

async fn one(cx: &mut Cx, document: &Document, before: Option<Value>) -> Result<Change, AdminError> {
    let Document { kind, name, spec } = document;
    let (applied, after) = match kind.as_str() {
        "ResourceServer" => {
            let spec: ResourceServerSpec = read(kind, name, spec)?;
            (scopes::apply_resource_server(cx, &spec).await.map_err(in_spec)?, written(kind, &spec))
        }
        "Scope" => {
            let spec: ScopeSpec = read(kind, name, spec)?;
            (scopes::apply(cx, &spec).await.map_err(in_spec)?, written(kind, &spec))
        }
        "Client" => {
            let spec: ClientSpec = read(kind, name, spec)?;
            (clients::apply(cx, &spec).await.map_err(in_spec)?, written(kind, &spec))
        }
        _ => {
            let spec: UserSpec = read(kind, name, spec)?;
            (accounts::apply(cx, &spec).await.map_err(in_spec)?.1, written(kind, &spec))
        }
    };
    let change = match applied {
        Applied::Created => "add",
        Applied::Updated => "modify",
        Applied::Unchanged => "none",
    };
    Ok(Change { kind: kind.clone(), name: normal(document), change, before, after: Some(after) })
}

fn in_spec(refused: crate::applied::Refused) -> AdminError {
    AdminError::from(refused).within("/spec")
}

async fn prune_kind(cx: &mut Cx, kind: &str, documents: &[Document]) -> Result<Vec<Change>, AdminError> {
    let kept: BTreeSet<String> = documents.iter().filter(|document| document.kind == kind).map(normal).collect();
    let registered = registered(cx, kind).await?;
    let mut changes = Vec::new();
    let rest = existing(cx, kind).await?.into_iter();
    for (name, before) in rest.filter(|(name, _)| !kept.contains(name) && !registered.contains(name)) {
        match kind {
            "ResourceServer" => {
                let audience = before.get("audience").and_then(Value::as_str).unwrap_or_default();
                scopes::delete_resource_server(cx, audience).await?;
            }
            "Scope" => {
                scopes::delete(cx, &name).await?;
            }
            "Client" => {
                clients::delete(cx, &ClientId::from(name.as_str())).await?;
            }
            _ => {
                if let Some(user) = accounts::find_by_username(cx, &name).await? {
                    accounts::delete(cx, &user.user_id).await?;
                }
            }
        }
        changes.push(Change { kind: kind.to_owned(), name, change: "remove", before: Some(before), after: None });
    }
    Ok(changes)
}

/// Those of a kind that came by dynamic registration.
async fn registered(cx: &mut Cx, kind: &str) -> Result<BTreeSet<String>, AdminError> {
    match kind {
        "Client" => Ok(crate::register::all(cx).await?),
        _ => Ok(BTreeSet::new()),
    }
}

/// Names and specs of all resources of a kind, as files have them.
async fn existing(cx: &mut Cx, kind: &str) -> Result<Vec<(String, Value)>, AdminError> {
    const PAGE: u32 = 1000;
    let mut found = Vec::new();
    match kind {
        "ResourceServer" => {
            for spec in scopes::list_resource_servers(cx).await? {
                found.push((spec.name.clone(), written(kind, &spec)));
            }
        }
        "Scope" => {
            for spec in scopes::list(cx).await? {
                found.push((spec.name.clone(), written(kind, &spec)));
            }
        }
        "Client" => {
            let mut after = None;
            loop {
                let page = clients::list(cx, after.as_ref(), PAGE).await?;
                after = page.last().map(|client| client.client_id.clone());
                let full = u32::try_from(page.len()).is_ok_and(|count| count == PAGE);
                found.extend(page.iter().map(|client| (client.client_id.to_string(), written(kind, &client.spec))));
                if !full {
                    break;
                }
            }
        }
        _ => {
            let mut after = String::new();
            loop {
                let page = accounts::list(cx, &after, PAGE).await?;
                after = page.last().map(|user| user.spec.username.clone()).unwrap_or_default();
                let full = u32::try_from(page.len()).is_ok_and(|count| count == PAGE);
                found.extend(page.iter().map(|user| (user.spec.username.clone(), written(kind, &user.spec))));
                if !full {
                    break;
                }
            }
        }
    }
    Ok(found)
}

/// The name as it is stored.
fn normal(document: &Document) -> String {
    match document.kind.as_str() {
        "User" => accounts::normal_username(&document.name),
        _ => document.name.clone(),
    }
}
