//! APIs: the list, one with its revisions, what a change would mean, import by page, publishing.

use axum::body::Bytes;
use axum::extract::Path;
use axum::response::Response;
use serde::Serialize;
use web::{When, when};

use crate::actor::Right;
use crate::error::Refused;
use crate::pages::{Halt, Visit};
use crate::plans;
use crate::publish;
use crate::registry::{self, Breaking, Difference, Import, Imported, OperationView, Query, differences, operations_of};
use crate::views::{self, ApiView};

const PAGE: usize = 50;
const REVISIONS: usize = 20;

pub(super) async fn list(mut visit: Visit) -> Response {
    let made = list_page(&mut visit).await;
    visit.answer(made)
}

async fn list_page(visit: &mut Visit) -> Result<Response, Halt> {
    #[derive(Serialize)]
    struct Content {
        apis: Vec<ApiView>,
        text: String,
        lifecycle: String,
        visibility: String,
        filtered: bool,
        next: Option<String>,
    }
    visit.need(Right::Read)?;
    let asked = |name: &str| visit.query.one(name).map(str::to_owned);
    let query = Query {
        text: asked("q"),
        lifecycle: asked("lifecycle"),
        visibility: asked("visibility"),
        owner: None,
        published_only: false,
        after: asked("after"),
    };
    let (apis, next) = registry::list(&mut visit.cx, &query, PAGE).await?;
    let now = visit.cx.now;
    let content = Content {
        apis: apis.iter().map(|api| views::api(api, now)).collect(),
        filtered: query.text.is_some() || query.lifecycle.is_some() || query.visibility.is_some(),
        text: query.text.unwrap_or_default(),
        lifecycle: query.lifecycle.unwrap_or_default(),
        visibility: query.visibility.unwrap_or_default(),
        next: next.map(|after| visit.with("after", &after)),
    };
    Ok(visit.show("console/apis.html", content))
}

#[derive(Serialize)]
struct RevisionView {
    number: i64,
    at: When,
    actor: String,
    note: String,
    head: bool,
    published: bool,
}

pub(super) async fn show(mut visit: Visit, Path(name): Path<String>) -> Response {
    let made = api_page(&mut visit, &name).await;
    visit.answer(made)
}

async fn api_page(visit: &mut Visit, name: &str) -> Result<Response, Halt> {
    #[derive(Serialize)]
    struct Content {
        api: ApiView,
        operations: Vec<OperationView>,
        revisions: Vec<RevisionView>,
        pending: bool,
        breaking: Vec<Breaking>,
        plans: Vec<String>,
        yaml: String,
        address: String,
    }
    visit.need(Right::Read)?;
    let api = registry::get(&mut visit.cx, name).await?.ok_or(Refused::NotFound("API of this name"))?;
    let head = registry::revision(&mut visit.cx, name, api.head).await?;
    let head = head.ok_or(Refused::NotFound("revision of this number"))?;
    let live = match api.published {
        Some(number) if number != api.head => registry::revision(&mut visit.cx, name, number).await?,
        _ => None,
    };
    let breaking = match (live.and_then(|live| live.draft.openapi), &head.draft.openapi) {
        (Some(old), Some(new)) => registry::breaking(&old, new),
        _ => Vec::new(),
    };
    let now = visit.cx.now;
    let revisions = registry::revisions(&mut visit.cx, name, None, REVISIONS).await?;
    let revisions = revisions.into_iter().map(|revision| RevisionView {
        number: revision.revision,
        at: when(revision.at, now),
        actor: revision.actor,
        note: revision.note,
        head: revision.revision == api.head,
        published: Some(revision.revision) == api.published,
    });
    let plans = plans::list(&mut visit.cx).await?;
    let plans = plans.iter().filter(|plan| plan.spec.apis.iter().any(|one| one == name));
    let operations = operations_of(&head.draft);
    let gateway = &visit.cx.management.config.gateway_url;
    let content = Content {
        address: format!("{gateway}{}", operations.first().map_or("/", |first| first.path.as_str())),
        operations,
        revisions: revisions.collect(),
        pending: api.published.is_some_and(|number| number != api.head),
        breaking,
        plans: plans.map(|plan| plan.name.clone()).collect(),
        yaml: views::yaml(&head.draft.documents(name)),
        api: views::api(&api, now),
    };
    Ok(visit.show("console/api.html", content))
}

pub(super) async fn change(mut visit: Visit, Path(name): Path<String>, body: Bytes) -> Response {
    let made = changed(&mut visit, &name, &body).await;
    visit.answer(made)
}

async fn changed(visit: &mut Visit, name: &str, body: &[u8]) -> Result<Response, Halt> {
    visit.need(Right::Publish)?;
    let fields = visit.form(body)?;
    let number = fields.one("revision").and_then(|number| number.parse().ok());
    let mut cx = visit.cx.again();
    let mut to = format!("/console/apis/{name}");
    match fields.text("action") {
        "publish" => {
            publish::publish(&mut cx, name, number, fields.one("breaking").is_some()).await?;
        }
        "withdraw" => {
            publish::withdraw(&mut cx, name).await?;
        }
        "back" => {
            let number = number.ok_or_else(|| Refused::BadRequest("which revision?".to_owned()))?;
            registry::roll_back(&mut cx, name, number).await?;
        }
        "remove" => {
            publish::remove(&mut cx, name).await?;
            "/console/apis".clone_into(&mut to);
        }
        _ => return Err(Refused::BadRequest("the form says nothing to do".to_owned()).into()),
    }
    cx.commit().await?;
    Ok(visit.go(&to))
}

#[derive(Serialize)]
struct DifferenceView {
    what: String,
    change: &'static str,
    pointer: String,
    before: String,
    after: String,
}

fn shown(difference: &Difference) -> DifferenceView {
    let text = |value: &Option<serde_json::Value>| {
        value.as_ref().map(|value| serde_json::to_string_pretty(value).unwrap_or_default()).unwrap_or_default()
    };
    DifferenceView {
        what: format!("{} {}", difference.kind, difference.name),
        change: difference.change,
        pointer: difference.pointer.clone(),
        before: text(&difference.before),
        after: text(&difference.after),
    }
}

pub(super) async fn difference(mut visit: Visit, Path(name): Path<String>) -> Response {
    let made = difference_page(&mut visit, &name).await;
    visit.answer(made)
}

async fn difference_page(visit: &mut Visit, name: &str) -> Result<Response, Halt> {
    #[derive(Serialize)]
    struct Content {
        api: String,
        from: i64,
        to: i64,
        lines: Vec<DifferenceView>,
        breaking: Vec<Breaking>,
    }
    visit.need(Right::Read)?;
    let api = registry::get(&mut visit.cx, name).await?.ok_or(Refused::NotFound("API of this name"))?;
    let asked = |name: &str| visit.query.one(name).and_then(|number| number.parse().ok());
    let to = asked("to").unwrap_or(api.head);
    let from =
        asked("from").unwrap_or_else(|| api.published.filter(|number| *number != to).unwrap_or(to.saturating_sub(1)));
    let old = registry::revision(&mut visit.cx, name, from).await?;
    let new = registry::revision(&mut visit.cx, name, to).await?.ok_or(Refused::NotFound("revision of this number"))?;
    let before = old.as_ref().map(|old| old.draft.documents(name)).unwrap_or_default();
    let lines = differences(&before, &new.draft.documents(name));
    let breaking = match (old.and_then(|old| old.draft.openapi), &new.draft.openapi) {
        (Some(old), Some(new)) => registry::breaking(&old, new),
        _ => Vec::new(),
    };
    let content = Content { api: name.to_owned(), from, to, lines: lines.iter().map(shown).collect(), breaking };
    Ok(visit.show("console/difference.html", content))
}

/// The form as it was sent, so that nothing that was typed is lost.
#[derive(Serialize, Default)]
struct ImportForm {
    document: String,
    name: String,
    upstream: String,
    base_path: String,
    visibility: String,
    subscription: String,
    note: String,
}

#[derive(Serialize)]
struct ImportContent<'a> {
    form: ImportForm,
    report: Option<Report<'a>>,
    /// What is wrong with it, when it cannot be imported.
    wrong: String,
    faults: Vec<(String, String)>,
}

#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    imported: &'a Imported,
    lines: Vec<DifferenceView>,
}

pub(super) async fn import_form(visit: Visit) -> Response {
    let made = first_form(&visit);
    visit.answer(made)
}

fn first_form(visit: &Visit) -> Result<Response, Halt> {
    visit.need(Right::Publish)?;
    let form = ImportForm { name: visit.query.text("name").to_owned(), ..ImportForm::default() };
    let content = ImportContent { form, report: None, wrong: String::new(), faults: Vec::new() };
    Ok(visit.show("console/import.html", content))
}

pub(super) async fn import(mut visit: Visit, body: Bytes) -> Response {
    let made = imported(&mut visit, &body).await;
    visit.answer(made)
}

/// Looks first, always: what would be is shown, and the same form then does it.
async fn imported(visit: &mut Visit, body: &[u8]) -> Result<Response, Halt> {
    visit.need(Right::Publish)?;
    let fields = visit.form(body)?;
    let one = |name: &str| fields.one(name).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    let choice = |name: &str| one(name).map(serde_json::Value::String);
    let act = fields.text("action");
    let input = Import {
        document: fields.text("document").to_owned(),
        name: one("name"),
        upstream: one("upstream"),
        base_path: one("base_path"),
        visibility: choice("visibility").and_then(|word| serde_json::from_value(word).ok()),
        subscription: choice("subscription").and_then(|word| serde_json::from_value(word).ok()),
        note: one("note"),
        publish: act == "publish",
        allow_breaking: one("breaking").is_some(),
        dry_run: act != "import" && act != "publish",
        ..Import::default()
    };
    let form = ImportForm {
        name: input.name.clone().unwrap_or_default(),
        upstream: input.upstream.clone().unwrap_or_default(),
        base_path: input.base_path.clone().unwrap_or_default(),
        visibility: fields.text("visibility").to_owned(),
        subscription: fields.text("subscription").to_owned(),
        note: input.note.clone().unwrap_or_default(),
        document: input.document.clone(),
    };
    let mut cx = visit.cx.again();
    match registry::import(&mut cx, &input).await {
        Ok(imported) if input.dry_run => {
            let lines = imported.differences.iter().map(shown).collect();
            let report = Some(Report { imported: &imported, lines });
            let content = ImportContent { form, report, wrong: String::new(), faults: Vec::new() };
            Ok(visit.show("console/import.html", content))
        }
        Ok(imported) => {
            cx.commit().await?;
            Ok(visit.go(&format!("/console/apis/{}", imported.api)))
        }
        Err(
            refused @ (Refused::Invalid(..) | Refused::Breaking(_) | Refused::BadRequest(_) | Refused::Conflict(_)),
        ) => {
            let wrong = refused.to_string();
            let (status, _) = refused.status();
            let faults = match refused {
                Refused::Invalid(_, errors) | Refused::Breaking(errors) => errors,
                _ => Vec::new(),
            };
            let faults = faults.into_iter().map(|fault| (fault.pointer, fault.detail)).collect();
            let content = ImportContent { form, report: None, wrong, faults };
            Ok(visit.show_with(status, "console/import.html", content))
        }
        Err(refused) => Err(refused.into()),
    }
}
