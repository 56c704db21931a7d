//! `/management/v1/apis`, `/management/v1/import`, and the catalogue for programs (RFC 9727).

use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Api, Draft, Expected, Import, OperationView, Query, Revision, breaking, check_document, differences,
    document_for_consumers, get as find, get_visible, import, list, operations_of, put, read_spec, roll_back, store,
    value,
};
use crate::SharedManagement;
use crate::actor::Right;
use crate::admin::{Asked, Listed, Sent, created, done, expected, ok, tagged};
use crate::cx::Cx;
use crate::error::Refused;
use crate::router::{Guard, Route};
use crate::{publish, session};
use catalog::published::Document;
use catalog::{Lifecycle, Visibility};

const NO_API: Refused = Refused::NotFound("API of this name");
const NO_REVISION: Refused = Refused::NotFound("revision of this number");

pub(crate) fn routes() -> Vec<Route> {
    vec![
        ("/management/v1/apis", Guard::Api, get(list_apis).post(create_api)),
        ("/management/v1/apis/{api}", Guard::Api, get(show_api).put(put_api).delete(delete_api)),
        ("/management/v1/apis/{api}/operations", Guard::Api, get(list_operations)),
        ("/management/v1/apis/{api}/openapi", Guard::Api, get(show_document)),
        ("/management/v1/apis/{api}/revisions", Guard::Api, get(list_revisions)),
        ("/management/v1/apis/{api}/revisions/{revision}", Guard::Api, get(show_revision)),
        ("/management/v1/apis/{api}/diff", Guard::Api, get(show_diff)),
        ("/management/v1/apis/{api}/rollback", Guard::Api, post(rollback_api)),
        ("/management/v1/import", Guard::Api, post(import_api)),
        ("/.well-known/api-catalog", Guard::Public, get(catalog)),
        ("/apis/{api}/openapi.json", Guard::Public, get(download)),
    ]
}

/// An API as programs see it.
pub(crate) fn view(api: &Api) -> Value {
    json!({
        "name": api.name,
        "revision": api.revision,
        "head": api.head,
        "published": api.published,
        "spec": value(&api.spec),
        "createdAt": api.created_at,
        "changedAt": api.changed_at,
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    q: Option<String>,
    lifecycle: Option<Lifecycle>,
    visibility: Option<Visibility>,
    owner: Option<String>,
    #[serde(default)]
    published: bool,
}

fn word(of: &impl serde::Serialize) -> Option<String> {
    value(of).as_str().map(str::to_owned)
}

async fn list_apis(mut cx: Cx, asked: Listed<Which>) -> Result<Response, Refused> {
    let query = Query {
        text: asked.which.q.clone(),
        lifecycle: asked.which.lifecycle.as_ref().and_then(word),
        visibility: asked.which.visibility.as_ref().and_then(word),
        owner: asked.which.owner.clone(),
        published_only: asked.which.published,
        after: asked.after()?,
    };
    let (found, next) = list(&mut cx, &query, asked.limit()).await?;
    Ok(asked.whole_page(&found, view, next))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Body {
    #[serde(default)]
    name: Option<String>,
    spec: Value,
    #[serde(default)]
    resources: Option<Vec<Document>>,
    #[serde(default)]
    openapi: Option<Value>,
    #[serde(default)]
    note: Option<String>,
}

async fn create_api(mut cx: Cx, sent: Sent) -> Result<Response, Refused> {
    cx.need(Right::Publish)?;
    let body: Body = sent.read()?;
    let Some(name) = body.name.clone() else { return Err(Refused::invalid("/name", "`name` is missing")) };
    if find(&mut cx, &name).await?.is_some() {
        return Err(Refused::Conflict(format!("there is an API `{name}` already")));
    }
    let api = save(&mut cx, &name, body, Expected::Nothing).await?;
    cx.commit().await?;
    Ok(tagged(created(&format!("/management/v1/apis/{name}"), &view(&api)), api.head))
}

async fn put_api(mut cx: Cx, Path(name): Path<String>, headers: HeaderMap, sent: Sent) -> Result<Response, Refused> {
    cx.need(Right::Publish)?;
    let expected = expected(&headers)?;
    let body: Body = sent.read()?;
    if body.name.as_ref().is_some_and(|other| *other != name) {
        return Err(Refused::invalid("/name", "an API is not renamed; its address says another name"));
    }
    let api = save(&mut cx, &name, body, expected).await?;
    cx.commit().await?;
    Ok(tagged(ok(&view(&api)), api.head))
}

async fn save(cx: &mut Cx, name: &str, body: Body, expected: Expected) -> Result<Api, Refused> {
    let (spec, openapi) = read_spec(name, &body.spec)?;
    let openapi = body.openapi.or(openapi);
    if let Some(document) = &openapi {
        check_document(document)?;
    }
    let head = match find(cx, name).await? {
        Some(api) => store::revision(cx, name, api.head).await?.map(|revision| revision.draft),
        None => None,
    };
    let head = head.unwrap_or_else(|| Draft::new(spec.clone()));
    let draft = Draft {
        spec,
        resources: body.resources.unwrap_or(head.resources),
        generated: head.generated,
        openapi: openapi.or(head.openapi),
    };
    let (api, _) = put(cx, name, &draft, &body.note.unwrap_or_default(), expected).await?;
    Ok(api)
}

async fn show_api(mut cx: Cx, Path(name): Path<String>) -> Result<Response, Refused> {
    let api = get_visible(&mut cx, &name).await?.ok_or(NO_API)?;
    Ok(tagged(ok(&view(&api)), api.revision))
}

async fn delete_api(mut cx: Cx, Path(name): Path<String>) -> Result<Response, Refused> {
    cx.need(Right::Publish)?;
    publish::remove(&mut cx, &name).await?;
    cx.commit().await?;
    Ok(done())
}

/// The revision that the asker sees.
async fn visible(cx: &mut Cx, name: &str) -> Result<Revision, Refused> {
    let api = get_visible(cx, name).await?.ok_or(NO_API)?;
    store::revision(cx, name, api.revision).await?.ok_or(NO_REVISION)
}

async fn list_operations(mut cx: Cx, Path(name): Path<String>, asked: Listed) -> Result<Response, Refused> {
    let revision = visible(&mut cx, &name).await?;
    let key = |one: &OperationView| (one.path.clone(), one.method.clone(), one.name.clone());
    asked.page_of(operations_of(&revision.draft), value, key)
}

async fn show_document(mut cx: Cx, Path(name): Path<String>) -> Result<Response, Refused> {
    let revision = visible(&mut cx, &name).await?;
    Ok(ok(&document_for_consumers(&cx.management.config, &revision)))
}

fn line(revision: &Revision) -> Value {
    json!({
        "api": revision.api,
        "revision": revision.revision,
        "at": revision.at,
        "actor": revision.actor,
        "note": revision.note,
        "spec": value(&revision.draft.spec),
    })
}

async fn list_revisions(mut cx: Cx, Path(name): Path<String>, asked: Listed) -> Result<Response, Refused> {
    cx.need(Right::Read)?;
    find(&mut cx, &name).await?.ok_or(NO_API)?;
    let many = usize::try_from(asked.many()).unwrap_or(usize::MAX);
    let found = store::revisions(&mut cx, &name, asked.after()?, many).await?;
    Ok(asked.page(&found, line, |revision| revision.revision))
}

async fn show_revision(mut cx: Cx, Path((name, number)): Path<(String, String)>) -> Result<Response, Refused> {
    cx.need(Right::Read)?;
    let number: i64 = number.parse().map_err(|_| NO_REVISION)?;
    let revision = store::revision(&mut cx, &name, number).await?.ok_or(NO_REVISION)?;
    let mut shown = line(&revision);
    if let Some(shown) = shown.as_object_mut() {
        shown.insert("resources".to_owned(), value(&revision.draft.resources));
        shown.insert("openapi".to_owned(), revision.draft.openapi.unwrap_or_default());
    }
    Ok(ok(&shown))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Between {
    from: Option<i64>,
    to: Option<i64>,
}

async fn show_diff(mut cx: Cx, Path(name): Path<String>, Asked(between): Asked<Between>) -> Result<Response, Refused> {
    cx.need(Right::Read)?;
    let api = find(&mut cx, &name).await?.ok_or(NO_API)?;
    let to = between.to.unwrap_or(api.head);
    let from = between.from.or(api.published).unwrap_or(1);
    let old = store::revision(&mut cx, &name, from).await?.ok_or(NO_REVISION)?;
    let new = store::revision(&mut cx, &name, to).await?.ok_or(NO_REVISION)?;
    let noticed = match (&old.draft.openapi, &new.draft.openapi) {
        (Some(old), Some(new)) => breaking(old, new),
        _ => Vec::new(),
    };
    let differences = differences(&old.draft.documents(&name), &new.draft.documents(&name));
    Ok(ok(&json!({"from": from, "to": to, "differences": differences, "breaking": noticed})))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct To {
    revision: i64,
}

async fn rollback_api(mut cx: Cx, Path(name): Path<String>, sent: Sent) -> Result<Response, Refused> {
    cx.need(Right::Publish)?;
    let To { revision } = sent.read()?;
    let api = roll_back(&mut cx, &name, revision).await?;
    cx.commit().await?;
    Ok(tagged(ok(&view(&api)), api.head))
}

async fn import_api(mut cx: Cx, sent: Sent) -> Result<Response, Refused> {
    cx.need(Right::Publish)?;
    let input: Import = sent.read()?;
    let imported = import(&mut cx, &input).await?;
    if !input.dry_run {
        cx.commit().await?;
    }
    Ok(ok(&imported))
}

/// RFC 9727: a link set (RFC 9264) of the APIs that everybody may see. Anybody may ask as often as they like, so it is
/// made once for each publication.
async fn catalog(State(management): State<SharedManagement>, mut cx: Cx) -> Result<Response, Refused> {
    let version = publish::publication(&mut cx).await?.version;
    let bytes = match management.publications.catalogue(version) {
        Some(kept) => kept,
        None => {
            let bytes = Bytes::from(link_set(&management, &mut cx).await?.to_string());
            management.publications.keep_catalogue(version, &bytes);
            bytes
        }
    };
    let mut response = bytes.into_response();
    let kind = "application/linkset+json; profile=\"https://www.rfc-editor.org/info/rfc9727\"";
    let url = &management.config.url;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    // RFC 9727 §2: a HEAD request says where the catalogue is, too.
    if let Ok(link) = HeaderValue::try_from(format!("<{url}/.well-known/api-catalog>; rel=\"api-catalog\"")) {
        headers.insert(header::LINK, link);
    }
    Ok(response)
}

async fn link_set(management: &SharedManagement, cx: &mut Cx) -> Result<Value, Refused> {
    let query = Query { published_only: true, visibility: Some("public".to_owned()), ..Query::default() };
    let (apis, _) = list(cx, &query, 1_000).await?;
    let url = &management.config.url;
    let mut set = Vec::new();
    for api in &apis {
        let Some(revision) = store::revision(cx, &api.name, api.revision).await? else { continue };
        let document = document_for_consumers(&management.config, &revision);
        let anchor = document.pointer("/servers/0/url").cloned().unwrap_or_default();
        let page = format!("{url}/apis/{}", api.name);
        set.push(json!({
            "anchor": anchor,
            "service-desc": [{"href": format!("{page}/openapi.json"), "type": "application/vnd.oai.openapi+json"}],
            "service-doc": [{"href": page, "type": "text/html", "title": api.spec.title}],
        }));
    }
    let items: Vec<Value> = set.iter().map(|one| json!({"href": one["anchor"]})).collect();
    let mut linkset = vec![json!({"anchor": format!("{url}/.well-known/api-catalog"), "item": items})];
    linkset.append(&mut set);
    Ok(json!({"linkset": linkset}))
}

/// For who follows the catalogue, and for the page: what everybody may see, or whoever is signed in.
async fn download(mut cx: Cx, headers: HeaderMap, Path(name): Path<String>) -> Result<Response, Refused> {
    session::enter(&mut cx, &headers).await?;
    let revision = visible(&mut cx, &name).await?;
    let mut response = ok(&document_for_consumers(&cx.management.config, &revision));
    let name = HeaderValue::try_from(format!("inline; filename=\"{}.openapi.json\"", revision.api));
    if let Ok(name) = name {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(response.into_response())
}
