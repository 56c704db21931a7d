//! Administration of the gateway's resources: the set as a whole, since it is compiled as a whole.
//!
//! Resources come from the operator's files and from what was applied. What stands in a file is changed there:
//! applying the same again is no change, applying something else under its name is refused with the place.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base::Problem;
use base::problem::FieldError;
use catalog::{Change, Fault, Resource};
use gateway::{ApplyMode, Gateway};
use http::StatusCode;
use identity::admin::{Body, Document};
use serde::Deserialize;
use serde_json::{Value, json};

pub fn routes(gateway: Arc<Gateway>) -> Router {
    Router::new()
        .route("/admin/v1/gateway/resources", get(export))
        .route("/admin/v1/gateway/apply", post(apply))
        .route("/admin/v1/gateway/explain", post(explain))
        .route("/admin/v1/gateway/openapi.json", get(openapi))
        .with_state(gateway)
}

async fn export(State(gateway): State<Arc<Gateway>>) -> Json<Value> {
    let own = own(&gateway);
    let resources: Vec<Value> = own.iter().map(document).collect();
    // An export leaves these to their files: at another server they stand in others.
    let in_files: Vec<Value> = own
        .iter()
        .filter(|resource| !was_applied(resource))
        .map(|resource| json!({"kind": resource.kind, "name": resource.name, "at": resource.source.to_string()}))
        .collect();
    let version = gateway.version().map(|version| json!({"number": version.number, "hash": version.hash}));
    Json(json!({"resources": resources, "inFiles": in_files, "version": version}))
}

/// What stands in its files and was applied to it; what is published is management's to tell and to change.
fn own(gateway: &Gateway) -> Vec<Resource> {
    let mut resources = gateway.resources();
    resources.retain(|resource| !resource.source.file.starts_with("published "));
    resources
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Set {
    resources: Vec<Document>,
    /// Also remove what is not in the set, of the kinds that are.
    #[serde(default)]
    prune: bool,
    #[serde(default)]
    dry_run: bool,
}

async fn apply(State(gateway): State<Arc<Gateway>>, Body(set): Body<Set>) -> Response {
    let before = own(&gateway);
    let mode = ApplyMode { prune: set.prune, dry_run: set.dry_run };
    let brought = match to_apply(&before, &set) {
        Ok(brought) => brought,
        Err(errors) => return refused(&errors),
    };
    let text = catalog::export(&brought);
    // Compiling a large set takes a while.
    let applied = tokio::task::spawn_blocking(move || gateway.apply(&text, mode)).await;
    match applied {
        Ok(Ok(applied)) => {
            let changes: Vec<Value> = applied.changes.iter().map(|change| shown(change, &before, &brought)).collect();
            Json(json!({"changes": changes})).into_response()
        }
        Ok(Err(faults)) => refused(&faults.iter().map(|fault| placed(fault, &brought, &set)).collect::<Vec<_>>()),
        Err(_) => {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "the resources could not be applied")
                .into_response()
        }
    }
}

/// What is to be kept besides the files.
fn to_apply(before: &[Resource], set: &Set) -> Result<Vec<Resource>, Vec<FieldError>> {
    let mut brought = Vec::new();
    let mut errors = Vec::new();
    for (index, Document { kind, name, spec }) in set.resources.iter().enumerate() {
        let new = Resource::new(kind, name, spec.clone());
        match before.iter().find(|old| old.kind == *kind && old.name == *name && !was_applied(old)) {
            None => brought.push(new),
            Some(old) if old.spec == *spec => {}
            Some(old) => errors.push(FieldError {
                pointer: format!("/resources/{index}/spec"),
                detail: format!("stands in a file of the server; change it there: {}", old.source),
            }),
        }
    }
    if set.prune {
        // The gateway drops all that was applied before; kinds that the set does not speak of stay.
        let spoken_of = |old: &&Resource| set.resources.iter().any(|new| new.kind == old.kind);
        brought.extend(before.iter().filter(|old| was_applied(old) && !spoken_of(old)).cloned());
    }
    if errors.is_empty() { Ok(brought) } else { Err(errors) }
}

/// The names that the gateway gives to sources that are no files of the operator.
fn was_applied(resource: &Resource) -> bool {
    matches!(&*resource.source.file, "apply" | "applied.yaml")
}

fn shown(change: &Change, before: &[Resource], after: &[Resource]) -> Value {
    let spec = |set: &[Resource], kind: &str, name: &str| {
        set.iter().find(|resource| resource.kind == kind && resource.name == name).map(|resource| resource.spec.clone())
    };
    let (word, kind, name) = match change {
        Change::Add { kind, name } => ("add", kind, name),
        Change::Modify { kind, name } => ("modify", kind, name),
        Change::Remove { kind, name } => ("remove", kind, name),
    };
    json!({
        "kind": kind, "name": name, "change": word,
        "before": spec(before, kind, name), "after": spec(after, kind, name),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    method: String,
    path: String,
    #[serde(default)]
    host: Option<String>,
}

async fn explain(State(gateway): State<Arc<Gateway>>, Body(question): Body<Question>) -> Response {
    let host = question.host.unwrap_or_default();
    let Some(explanation) = gateway.explain(&question.method, &host, &question.path) else { return nothing_served() };
    let found = matches!(explanation.verdict, catalog::Verdict::Route(_));
    let plan = match &explanation.verdict {
        catalog::Verdict::Route(chosen) if chosen.service.is_none() => gateway.plan(&chosen.route),
        _ => None,
    };
    let text = format!("{explanation}\n{}", plan.as_ref().map(ToString::to_string).unwrap_or_default());
    Json(json!({"found": found, "text": text, "explanation": explanation, "plan": plan})).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    /// Only the compositions of this API.
    #[serde(default)]
    api: Option<String>,
}

/// The composed APIs as they are served (OpenAPI 3.1).
async fn openapi(State(gateway): State<Arc<Gateway>>, Query(which): Query<Which>) -> Response {
    let title = which.api.as_deref().unwrap_or("Composed APIs");
    match gateway.openapi(title, which.api.as_deref()) {
        Some(document) => Json(document).into_response(),
        None => nothing_served(),
    }
}

fn nothing_served() -> Response {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "no_resources", "the gateway serves no resources")
        .detail("GET /readyz?verbose says why")
        .into_response()
}

/// A fault at the document of the request in which it is. Those of documents that were there before keep their file.
fn placed(fault: &Fault, brought: &[Resource], set: &Set) -> FieldError {
    let detail = fault.message.clone();
    // The gateway counts lines in the text that it was given, where each document is known by its first line.
    let parsed = catalog::parse("apply", &catalog::export(brought)).unwrap_or_default();
    let here = |resource: &&Resource| {
        resource.source.file == fault.source_at.file && resource.source.line <= fault.source_at.line
    };
    let found = parsed.iter().filter(here).max_by_key(|resource| resource.source.line);
    let index =
        found.and_then(|found| set.resources.iter().position(|one| one.kind == found.kind && one.name == found.name));
    match index {
        Some(index) => FieldError { pointer: format!("/resources/{index}{}", fault.pointer), detail },
        None => FieldError { pointer: fault.pointer.clone(), detail: format!("{}: {detail}", fault.source_at) },
    }
}

fn refused(errors: &[FieldError]) -> Response {
    let mut problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_resources", "the resources have errors")
        .detail("nothing was changed; the last good set goes on serving");
    problem.errors = errors.to_vec();
    problem.into_response()
}

fn document(resource: &Resource) -> Value {
    json!({"kind": resource.kind, "name": resource.name, "spec": resource.spec})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str, prune: bool) -> Set {
        let resources = catalog::parse("set.yaml", text).unwrap();
        let resources = resources.into_iter().map(|r| Document { kind: r.kind, name: r.name, spec: r.spec }).collect();
        Set { resources, prune, dry_run: false }
    }

    fn there() -> Vec<Resource> {
        let mut all = catalog::parse("/etc/cardea/a.yaml", "kind: Service\nname: a\nspec: { upstream: u }\n").unwrap();
        all.extend(
            catalog::parse(
                "applied.yaml",
                "kind: Service\nname: b\nspec: { upstream: u }\n---\nkind: Route\nname: r\nspec: { x: y }\n",
            )
            .unwrap(),
        );
        all
    }

    #[test]
    fn what_a_file_says_already_is_no_change() {
        let brought = to_apply(&there(), &set("kind: Service\nname: a\nspec: { upstream: u }\n", false)).unwrap();

        assert!(brought.is_empty());
    }

    #[test]
    fn what_a_file_says_otherwise_is_refused_with_its_place() {
        let errors = to_apply(&there(), &set("kind: Service\nname: a\nspec: { upstream: v }\n", false)).unwrap_err();

        assert_eq!(errors[0].pointer, "/resources/0/spec");
        assert!(errors[0].detail.contains("/etc/cardea/a.yaml:1"), "{}", errors[0].detail);
    }

    #[test]
    fn pruning_keeps_the_kinds_that_the_set_does_not_speak_of() {
        let brought = to_apply(&there(), &set("kind: Service\nname: c\nspec: { upstream: u }\n", true)).unwrap();

        let names: Vec<_> = brought.iter().map(|resource| resource.name.as_str()).collect();
        assert_eq!(names, ["c", "r"]);
    }
}
