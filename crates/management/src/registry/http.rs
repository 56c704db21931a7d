//! `/management/v1/apis`, `/management/v1/import`, and the catalogue for programs (RFC 9727).

use axum::extract::{OriginalUri, Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Api, Draft, Expected, Import, Query, Revision, breaking, check_document, differences, document_for_consumers,
    get as find, get_visible, import, list, operations_of, put, read_spec, roll_back, store, value,
};
use crate::SharedManagement;
use crate::actor::Right;
use crate::admin::{Asked, Needs, Operation, Paging, Sent, created, done, expected, ok, page, tagged};
use crate::cx::Cx;
use crate::error::Refused;
use crate::router::{Guard, Route};
use crate::{publish, session};
use catalog::published::Document;

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

pub(crate) fn operations() -> Vec<Operation> {
    let api = || json!({"$ref": "#/components/schemas/Api"});
    let body = || {
        json!({"type": "object", "additionalProperties": false, "required": ["spec"], "properties": {
            "name": {"type": "string", "description": "For a new one"},
            "spec": {"$ref": "#/components/schemas/ApiSpec"},
            "resources": {"type": "array", "items": {"$ref": "#/components/schemas/Resource"},
                "description": "Upstreams, services, routes, compositions; left out: as they are"},
            "openapi": {"type": "object", "description": "Left out: as it is"},
            "note": {"type": "string"}}})
    };
    let example = || json!({"name": "sample", "spec": {"title": "Sample", "version": "1"}});
    let tag = "apis";
    let (read, write) = (Needs::Right(Right::Read), Needs::Right(Right::Publish));
    vec![
        Operation::new(Method::GET, "/management/v1/apis", "listApis", tag, Needs::Token)
            .summary("APIs by name")
            .query("q", "In name, title and description")
            .query("lifecycle", "`planned`, `active`, `deprecated` or `retired`")
            .query("visibility", "`public`, `internal` or `private`")
            .query("owner", "Of this owner")
            .query("published", "`true`: as gateways are given them")
            .pages(api()),
        Operation::new(Method::POST, "/management/v1/apis", "createApi", tag, write)
            .summary("Makes an API; it is not published yet")
            .body(body())
            .example(example())
            .answer(api())
            .creates(),
        Operation::new(Method::GET, "/management/v1/apis/{api}", "getApi", tag, Needs::Token)
            .summary("An API; its `ETag` is for `If-Match`")
            .answer(api()),
        Operation::new(Method::PUT, "/management/v1/apis/{api}", "putApi", tag, write)
            .summary("Makes the next revision of an API, or a new API; `If-Match` and `If-None-Match: *` are heeded")
            .body(body())
            .example(example())
            .answer(api()),
        Operation::new(Method::DELETE, "/management/v1/apis/{api}", "deleteApi", tag, write)
            .summary("Removes an API that is not published, with its history"),
        Operation::new(Method::GET, "/management/v1/apis/{api}/operations", "listOperations", tag, Needs::Token)
            .summary("What can be called, and what it asks for")
            .answer(json!({"type": "object", "required": ["items"], "properties": {"items": {"type": "array", "items": {
                "type": "object", "required": ["name", "method", "path"], "properties": {
                    "name": {"type": "string"}, "method": {"type": "string"}, "path": {"type": "string"},
                    "summary": {"type": "string"}, "description": {"type": "string"},
                    "tags": {"type": "array", "items": {"type": "string"}},
                    "scopes": {"type": "array", "items": {"type": "string"}},
                    "anyScope": {"type": "array", "items": {"type": "string"}},
                    "public": {"type": "boolean"}, "deprecated": {"type": "boolean"}}}}}})),
        Operation::new(Method::GET, "/management/v1/apis/{api}/openapi", "getOpenApi", tag, Needs::Token)
            .summary("The OpenAPI document for consumers: the gateway's address, what the gateway asks for")
            .answer(json!({"type": "object"})),
        Operation::new(Method::GET, "/management/v1/apis/{api}/revisions", "listRevisions", tag, read)
            .summary("The history of an API, the newest first")
            .pages(json!({"$ref": "#/components/schemas/Revision"})),
        Operation::new(Method::GET, "/management/v1/apis/{api}/revisions/{revision}", "getRevision", tag, read)
            .summary("A revision with all that it holds")
            .answer(json!({"$ref": "#/components/schemas/Revision"})),
        Operation::new(Method::GET, "/management/v1/apis/{api}/diff", "diffRevisions", tag, read)
            .summary("What differs between two revisions, and what of it clients would notice")
            .query("from", "A revision; default: the published one")
            .query("to", "A revision; default: the newest")
            .answer(json!({"type": "object", "required": ["from", "to", "differences", "breaking"], "properties": {
                "from": {"type": "integer"}, "to": {"type": "integer"},
                "differences": {"type": "array", "items": {"type": "object"}},
                "breaking": {"type": "array", "items": {"type": "object"}}}})),
        Operation::new(Method::POST, "/management/v1/apis/{api}/rollback", "rollBackApi", tag, write)
            .summary("Makes a revision that says what an older one said; it is not published by that")
            .body(json!({"type": "object", "additionalProperties": false, "required": ["revision"], "properties": {
                "revision": {"type": "integer"}}}))
            .example(json!({"revision": 1}))
            .answer(api()),
        Operation::new(Method::POST, "/management/v1/import", "importOpenApi", tag, write)
            .summary("Makes an API of an OpenAPI document (3.0, 3.1), or its next revision; what was changed by hand stays")
            .body(json!({"type": "object", "additionalProperties": false, "required": ["document"], "properties": {
                "document": {"type": "string", "description": "JSON or YAML"},
                "name": {"type": "string"}, "upstream": {"type": "string", "format": "uri"},
                "basePath": {"type": "string"}, "audience": {"type": "string"},
                "visibility": {"$ref": "#/components/schemas/Visibility"},
                "subscription": {"$ref": "#/components/schemas/Needed"},
                "owner": {"type": "string"}, "publish": {"type": "boolean", "default": false},
                "allowBreaking": {"type": "boolean", "default": false},
                "dryRun": {"type": "boolean", "default": false}, "note": {"type": "string"}}}))
            .example(json!({"document": "openapi: 3.1.0\ninfo: {title: Sample, version: '1'}\npaths: {}\n", "upstream": "http://127.0.0.1:1"}))
            .answer(json!({"type": "object", "required": ["api", "revision", "changed", "findings", "breaking", "routes"], "properties": {
                "api": {"type": "string"}, "title": {"type": "string"}, "version": {"type": "string"},
                "revision": {"type": "integer"}, "changed": {"type": "boolean"}, "published": {"type": ["integer", "null"]},
                "findings": {"type": "array", "items": {"type": "object"}},
                "breaking": {"type": "array", "items": {"type": "object"}},
                "conflicts": {"type": "array", "items": {"type": "string"}},
                "kept": {"type": "array", "items": {"type": "string"}},
                "differences": {"type": "array", "items": {"type": "object"}},
                "routes": {"type": "array", "items": {"type": "object"}},
                "scopes": {"type": "array", "items": {"type": "string"}},
                "audience": {"type": "string"}, "upstream": {"type": "string"},
                "address": {"type": "string"}, "portal": {"type": "string"}}})),
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
struct Which {
    q: Option<String>,
    lifecycle: Option<String>,
    visibility: Option<String>,
    owner: Option<String>,
    #[serde(default)]
    published: bool,
    limit: Option<usize>,
    cursor: Option<String>,
}

async fn list_apis(mut cx: Cx, uri: OriginalUri, Asked(which): Asked<Which>) -> Result<Response, Refused> {
    let paging = Paging { limit: which.limit, cursor: which.cursor };
    let query = Query {
        text: which.q,
        lifecycle: which.lifecycle,
        visibility: which.visibility,
        owner: which.owner,
        published_only: which.published,
        after: paging.after()?,
    };
    let (found, next) = list(&mut cx, &query, paging.limit()).await?;
    Ok(page(&uri, &found.iter().map(view).collect::<Vec<_>>(), next))
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

async fn list_operations(mut cx: Cx, Path(name): Path<String>) -> Result<Response, Refused> {
    let revision = visible(&mut cx, &name).await?;
    Ok(ok(&json!({"items": operations_of(&revision.draft)})))
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

async fn list_revisions(
    mut cx: Cx,
    Path(name): Path<String>,
    uri: OriginalUri,
    Asked(paging): Asked<Paging>,
) -> Result<Response, Refused> {
    cx.need(Right::Read)?;
    find(&mut cx, &name).await?.ok_or(NO_API)?;
    let limit = paging.limit();
    let mut found = store::revisions(&mut cx, &name, paging.after()?, limit + 1).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|revision| revision.revision);
    Ok(page(&uri, &found.iter().map(line).collect::<Vec<_>>(), next))
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
