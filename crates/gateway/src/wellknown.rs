//! Documents that the gateway serves itself: metadata of protected resources (RFC 9728) and, where it
//! signs tokens, its keys. All from configuration; nothing from the request but which one is wanted.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use catalog::{Auth, CanonicalPath, Route, Snapshot};
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

/// The protected resources of a set, by service or composition; made in one pass over the routes.
#[derive(Debug, Default)]
pub(crate) struct Resources<'a>(BTreeMap<(&'static str, &'a str), Protected<'a>>);

#[derive(Debug)]
struct Protected<'a> {
    /// As configured, or our public URL with the path that the service's protected routes have in common.
    identifier: String,
    servers: BTreeSet<&'a str>,
    scopes: BTreeSet<&'a str>,
}

impl<'a> Resources<'a> {
    pub fn of(public_url: &str, snapshot: &'a Snapshot) -> Self {
        let mut found: BTreeMap<(&str, &str), (Vec<String>, Protected<'_>)> = BTreeMap::new();
        for route in &snapshot.routes {
            let Auth::Token(required) = &route.auth else { continue };
            let prefix: Vec<String> = route.pattern.literal_prefix().split('/').skip(1).map(str::to_owned).collect();
            let new = || {
                let nothing =
                    Protected { identifier: String::new(), servers: BTreeSet::new(), scopes: BTreeSet::new() };
                (prefix.clone(), nothing)
            };
            let (common, protected) = found.entry((route.kind(), route.realm())).or_insert_with(new);
            let shared = common.iter().zip(&prefix).take_while(|(a, b)| a == b).count();
            common.truncate(shared);
            protected.servers.insert(required.issuer.spec.issuer.as_str());
            protected.scopes.extend(required.scopes.iter().chain(&required.any_scope).map(|scope| &**scope));
        }
        for (common, protected) in found.values_mut() {
            let parts = common.iter().filter(|part| !part.is_empty());
            protected.identifier = parts.fold(public_url.to_owned(), |url, part| url + "/" + part);
        }
        for service in &snapshot.services {
            let (Some(resource), Some((_, protected))) =
                (&service.spec.resource, found.get_mut(&("Route", &*service.name)))
            else {
                continue;
            };
            protected.identifier = resource.as_str().trim_end_matches('/').to_owned();
        }
        Self(found.into_iter().map(|(name, (_, protected))| (name, protected)).collect())
    }

    /// Where the metadata of a route's resource is (RFC 9728 §3.1: the well-known part goes before the path).
    pub fn metadata_url(&self, route: &Route) -> String {
        let identifier = self.0.get(&(route.kind(), &**route.realm())).map_or("", |protected| &protected.identifier);
        let (origin, path) = split(identifier);
        format!("{origin}{RESOURCE}{path}")
    }

    pub fn documents(&self, jwks: Option<Value>) -> Documents {
        // Services may share a resource; then it has the servers and scopes of all of them.
        let mut merged: BTreeMap<&str, (BTreeSet<&str>, BTreeSet<&str>)> = BTreeMap::new();
        for protected in self.0.values() {
            let (servers, scopes) = merged.entry(&protected.identifier).or_default();
            servers.extend(&protected.servers);
            scopes.extend(&protected.scopes);
        }
        let mut documents: Documents = merged
            .into_iter()
            .map(|(identifier, (servers, scopes))| {
                let document = json!({
                    "resource": identifier,
                    "authorization_servers": servers,
                    "scopes_supported": scopes,
                    "bearer_methods_supported": ["header"],
                });
                (format!("{RESOURCE}{}", split(identifier).1), Bytes::from(document.to_string()))
            })
            .collect();
        if let Some(jwks) = jwks {
            documents.insert(JWKS.to_owned(), Bytes::from(jwks.to_string()));
        }
        documents
    }
}

/// Origin and path of a URL.
fn split(url: &str) -> (&str, &str) {
    let start = url.find("://").map_or(0, |at| at + 3);
    let path = url.get(start..).and_then(|rest| rest.find('/')).map_or(url.len(), |at| start + at);
    url.split_at_checked(path).unwrap_or((url, ""))
}
