//! Documents that the gateway serves itself: metadata of protected resources (RFC 9728) and, where it
//! signs tokens, its keys. All from configuration; nothing from the request but which one is wanted.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use catalog::{Auth, CanonicalPath, Service, Snapshot};
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Response};
use serde_json::{Value, json};

use crate::edge::Head;
use crate::snapshot::Live;

const RESOURCE: &str = "/.well-known/oauth-protected-resource";
const JWKS: &str = "/.well-known/jwks.json";

/// The documents by path.
pub(crate) type Documents = BTreeMap<String, Bytes>;

pub(crate) fn answer(live: &Live, head: &Head<'_>, path: &CanonicalPath<'_>) -> Option<Response<Bytes>> {
    if !path.as_str().starts_with("/.well-known/") || !matches!(*head.method, Method::GET | Method::HEAD) {
        return None;
    }
    let document = live.documents().get(path.as_str())?;
    let mut response = Response::new(document.clone());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    Some(response)
}

/// The resource identifier of a service: as configured, or our public URL with the path that its
/// protected routes have in common.
pub(crate) fn resource(public_url: &str, service: &Service, snapshot: &Snapshot) -> String {
    if let Some(resource) = &service.spec.resource {
        return resource.as_str().trim_end_matches('/').to_owned();
    }
    let mut common: Option<Vec<String>> = None;
    for route in protected(snapshot, &service.name) {
        let prefix: Vec<String> = route.pattern.literal_prefix().split('/').skip(1).map(str::to_owned).collect();
        common = Some(match common {
            None => prefix,
            Some(before) => before.into_iter().zip(prefix).take_while(|(a, b)| a == b).map(|(a, _)| a).collect(),
        });
    }
    common
        .unwrap_or_default()
        .into_iter()
        .filter(|part| !part.is_empty())
        .fold(public_url.to_owned(), |url, part| url + "/" + &part)
}

/// Where the metadata of a resource is (RFC 9728 §3.1: the well-known part goes before the path).
pub(crate) fn metadata_url(resource: &str) -> String {
    let (origin, path) = split(resource);
    format!("{origin}{RESOURCE}{path}")
}

pub(crate) fn documents(public_url: &str, snapshot: &Snapshot, jwks: Option<Value>) -> Documents {
    struct Resource {
        servers: BTreeSet<String>,
        scopes: BTreeSet<String>,
    }
    let mut resources: BTreeMap<String, Resource> = BTreeMap::new();
    for service in &snapshot.services {
        let identifier = resource(public_url, service, snapshot);
        for route in protected(snapshot, &service.name) {
            let Auth::Token(required) = &route.auth else { continue };
            let entry = resources
                .entry(identifier.clone())
                .or_insert_with(|| Resource { servers: BTreeSet::new(), scopes: BTreeSet::new() });
            entry.servers.insert(required.issuer.spec.issuer.to_string());
            entry.scopes.extend(required.scopes.iter().chain(&required.any_scope).map(ToString::to_string));
        }
    }
    let mut documents: Documents = resources
        .into_iter()
        .map(|(identifier, found)| {
            let document = json!({
                "resource": identifier,
                "authorization_servers": found.servers,
                "scopes_supported": found.scopes,
                "bearer_methods_supported": ["header"],
            });
            (format!("{RESOURCE}{}", split(&identifier).1), Bytes::from(document.to_string()))
        })
        .collect();
    if let Some(jwks) = jwks {
        documents.insert(JWKS.to_owned(), Bytes::from(jwks.to_string()));
    }
    documents
}

fn protected<'a>(snapshot: &'a Snapshot, service: &str) -> impl Iterator<Item = &'a catalog::Route> {
    snapshot
        .routes
        .iter()
        .map(|route| &**route)
        .filter(move |route| *route.service.name == *service && matches!(route.auth, Auth::Token(_)))
}

/// Origin and path of a URL.
fn split(url: &str) -> (&str, &str) {
    let start = url.find("://").map_or(0, |at| at + 3);
    let path = url.get(start..).and_then(|rest| rest.find('/')).map_or(url.len(), |at| start + at);
    url.split_at_checked(path).unwrap_or((url, ""))
}
