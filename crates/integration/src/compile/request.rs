//! What a step sends, and who it is there.

use std::collections::BTreeMap;

use catalog::{
    AuthSpec, CanonicalPath, CompositionSpec, RequestSpec, StepIdentitySpec, TokenRequestSpec, did_you_mean,
};
use expression::{Names, Template};
use http::Method;
use http::header::HeaderName;

use super::Compiler;
use crate::caller::Target;
use crate::composition::Identity;
use crate::request::{OWN_HEADERS, Request};

impl Compiler<'_> {
    /// `None` only after a fault.
    pub(super) fn request(&mut self, at: &str, spec: &RequestSpec, names: &Names) -> Option<Request> {
        let target = self.target(at, spec);
        let method = match Method::from_bytes(spec.method.as_bytes()) {
            Ok(method) if !matches!(spec.method.as_str(), "CONNECT" | "TRACE") && is_upper(&spec.method) => {
                Some(method)
            }
            _ => {
                self.fault(&format!("{at}/method"), format!("`{}` is not a method that can be sent", spec.method));
                None
            }
        };
        let path = self.path(&format!("{at}/path"), &spec.path, names);
        let mut query = Vec::new();
        for (name, value) in &spec.query {
            let pointer = format!("{at}/query/{}", escaped(name));
            query.extend(self.document(&pointer, value, names).map(|value| (name.clone(), value)));
        }
        let headers = self.headers(&format!("{at}/headers"), &spec.headers, &OWN_HEADERS, names);
        let body = match &spec.body {
            Some(json) => Some(self.document(&format!("{at}/body"), json, names)?),
            None => None,
        };
        let idempotency_key = match &spec.idempotency_key {
            Some(text) => Some(self.template(&format!("{at}/idempotencyKey"), text, names)?),
            None => None,
        };
        Some(Request { target: target?, method: method?, path: path?, query, headers, body, idempotency_key })
    }

    fn target(&mut self, at: &str, spec: &RequestSpec) -> Option<Target> {
        let (key, kind, name) = match (&spec.service, &spec.upstream) {
            (Some(name), None) => ("service", "Service", name),
            (None, Some(name)) => ("upstream", "Upstream", name),
            _ => {
                self.fault(at, "exactly one of `service` and `upstream` is needed");
                return None;
            }
        };
        let snapshot = self.snapshot;
        let found = match key {
            "service" => snapshot.services.iter().find(|known| *known.name == **name).cloned().map(Target::Service),
            _ => snapshot.upstreams.iter().find(|known| *known.name == **name).cloned().map(Target::Upstream),
        };
        if found.is_none() {
            let known: Vec<&str> = match key {
                "service" => snapshot.services.iter().map(|known| &*known.name).collect(),
                _ => snapshot.upstreams.iter().map(|known| &*known.name).collect(),
            };
            let guess = did_you_mean(name, known);
            self.fault(&format!("{at}/{key}"), format!("there is no {kind} `{name}`{guess}"));
        }
        found
    }

    fn path(&mut self, at: &str, text: &str, names: &Names) -> Option<Template> {
        let template = self.template(at, text, names)?;
        let outline = template.outline("x");
        match CanonicalPath::new(&outline) {
            Ok(canonical) if canonical.as_str() == outline => Some(template),
            Ok(canonical) => {
                self.fault(at, format!("the path is not in canonical form, which is `{canonical}`"));
                None
            }
            Err(error) => {
                self.fault(at, error.to_string());
                None
            }
        }
    }

    pub(super) fn headers(
        &mut self,
        at: &str,
        spec: &BTreeMap<String, String>,
        refused: &[&str],
        names: &Names,
    ) -> Vec<(HeaderName, Template)> {
        let mut headers = Vec::new();
        for (name, text) in spec {
            let pointer = format!("{at}/{}", escaped(name));
            let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
                self.fault(&pointer, format!("`{name}` is not a name of a header"));
                continue;
            };
            if refused.contains(&header.as_str()) {
                self.fault(&pointer, format!("`{name}` is written by the gateway itself"));
                continue;
            }
            headers.extend(self.template(&pointer, text, names).map(|template| (header, template)));
        }
        headers
    }

    pub(super) fn identity(&mut self, at: &str, spec: &StepIdentitySpec, whole: &CompositionSpec) -> Option<Identity> {
        let mut from = |request: &TokenRequestSpec| {
            let name = match (&request.from, whole.tokens.len()) {
                (Some(name), _) => name.clone(),
                (None, 1) => whole.tokens.keys().next().cloned().unwrap_or_default(),
                (None, _) => {
                    self.fault(at, "`from` says which of `tokens` the token is from");
                    return None;
                }
            };
            if !whole.tokens.contains_key(&name) {
                let guess = did_you_mean(&name, whole.tokens.keys().map(String::as_str));
                self.fault(at, format!("there is no `{name}` in `tokens`{guess}"));
                return None;
            }
            Some(TokenRequestSpec { from: Some(name), ..request.clone() })
        };
        Some(match spec {
            StepIdentitySpec::Forward => Identity::Forward,
            StepIdentitySpec::None => Identity::None,
            StepIdentitySpec::Exchange(request) => {
                let request = from(request)?;
                if matches!(whole.auth, AuthSpec::None) {
                    self.fault(at, "a public composition has no token that could be exchanged");
                }
                Identity::Exchange(request)
            }
            StepIdentitySpec::ClientCredentials(request) => {
                let request = from(request)?;
                if request.kind.is_some() {
                    self.fault(
                        &format!("{at}/clientCredentials/type"),
                        "only an exchange says what kind of token it asks for",
                    );
                }
                Identity::ClientCredentials(request)
            }
        })
    }
}

fn is_upper(method: &str) -> bool {
    !method.bytes().any(|byte| byte.is_ascii_lowercase())
}

fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
