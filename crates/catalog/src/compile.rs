//! From resources to a [`Snapshot`]: resolves references, checks what serde cannot, collects all faults.

mod plans;
mod policies;
mod routes;

use std::collections::HashMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::kinds::issuer::IssuerSpec;
use crate::kinds::route::CorsSpec;
use crate::kinds::service::ServiceSpec;
use crate::kinds::upstream::UpstreamSpec;
use crate::path::CanonicalPath;
use crate::published::PublishedSubscription;
use crate::resource::Resource;
use crate::snapshot::{Api, Issuer, Plan, PolicySource, Service, Snapshot, Upstream};
use crate::source::{Fault, Source, did_you_mean};
use crate::words::Span;

/// Where neither route nor service says anything.
const MAX_BODY: u64 = 10 * 1024 * 1024;
const MIN_LAG: Span = Span(std::time::Duration::from_millis(100));

impl Snapshot {
    /// Compiles the gateway's kinds of a set; other kinds are passed over. All faults are told.
    pub fn compile(resources: &[Resource]) -> Result<Self, Vec<Fault>> {
        Self::compile_published(resources, &[])
    }

    /// With the subscriptions that management has published.
    pub fn compile_published(
        resources: &[Resource],
        subscriptions: &[PublishedSubscription],
    ) -> Result<Self, Vec<Fault>> {
        let mut compiler = Compiler::default();
        compiler.no_doubles(resources);
        for resource in resources {
            match resource.kind.as_str() {
                "Issuer" => compiler.issuer(resource),
                "Upstream" => compiler.upstream(resource),
                "Api" => compiler.api(resource),
                "PolicySource" => compiler.policy_source(resource),
                _ => {}
            }
        }
        let of = |kind: &'static str| resources.iter().filter(move |resource| resource.kind == kind);
        of("Plan").for_each(|resource| compiler.plan(resource));
        of("Subscription").for_each(|resource| compiler.subscription(resource));
        compiler.published(subscriptions);
        of("Service").for_each(|resource| compiler.service(resource));
        of("Route").for_each(|resource| compiler.route(resource));
        of("Composition").for_each(|resource| compiler.composition(resource));
        compiler.one_issuer_per_plan();
        compiler.one_issuer_per_policy_source();
        if compiler.faults.is_empty() {
            Ok(compiler.snapshot)
        } else {
            compiler.faults.sort();
            Err(compiler.faults)
        }
    }
}

#[derive(Default)]
struct Compiler {
    snapshot: Snapshot,
    faults: Vec<Fault>,
    issuers: HashMap<String, Option<Arc<Issuer>>>,
    upstreams: HashMap<String, Option<Arc<Upstream>>>,
    services: HashMap<String, Option<Arc<Service>>>,
    apis: HashMap<String, Option<Arc<Api>>>,
    plans: HashMap<String, Option<Arc<Plan>>>,
    policy_sources: HashMap<String, Option<Arc<PolicySource>>>,
}

impl Compiler {
    fn no_doubles(&mut self, resources: &[Resource]) {
        let mut seen: HashMap<(&str, &str), &Source> = HashMap::new();
        for resource in resources.iter().filter(|resource| resource.is_for_gateway()) {
            if let Some(first) = seen.insert((&resource.kind, &resource.name), &resource.source) {
                let message = format!("{} `{}` is already there, in {first}", resource.kind, resource.name);
                self.faults.push(resource.fault("/name", message));
            }
            let name = resource.name.as_bytes();
            let fine = name.len() <= 63
                && name.first().is_some_and(u8::is_ascii_alphanumeric)
                && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte));
            if !fine {
                let message = "a name has at most 63 letters, digits, `.`, `_`, `-` and begins with a letter or digit";
                self.faults.push(resource.fault("/name", message));
            }
        }
    }

    fn read<T: DeserializeOwned>(&mut self, resource: &Resource) -> Option<T> {
        resource.read().map_err(|mut faults| self.faults.append(&mut faults)).ok()
    }

    fn fault(&mut self, resource: &Resource, pointer: &str, message: impl Into<String>) {
        self.faults.push(resource.fault(pointer, message));
    }

    fn issuer(&mut self, resource: &Resource) {
        // A known name with unknown content: what refers to it is not at fault.
        self.issuers.entry(resource.name.clone()).or_default();
        let Some(spec) = self.read::<IssuerSpec>(resource) else { return };
        match (&spec.introspection, &spec.jwks) {
            (None, None) => self.fault(resource, "/spec", "one of `introspection` and `jwks` is needed"),
            (Some(_), Some(_)) => self.fault(resource, "/spec/jwks", "`introspection` and `jwks` exclude each other"),
            _ => {}
        }
        if spec.issuer.as_str().contains('?') {
            self.fault(resource, "/spec/issuer", "an issuer has no query (RFC 8414 §2)");
        }
        let revocations = spec.introspection.as_ref().and_then(|introspection| introspection.revocations.as_ref());
        if revocations.is_some_and(|revocations| revocations.max_lag < MIN_LAG) {
            let pointer = "/spec/introspection/revocations/maxLag";
            self.fault(resource, pointer, "`maxLag` is at least 100ms: the feed is asked several times within it");
        }
        if spec.algorithms.is_empty() {
            self.fault(resource, "/spec/algorithms", "at least one algorithm is needed");
        }
        if spec.types.is_empty() {
            self.fault(resource, "/spec/types", "at least one type is needed");
        }
        let issuer = Arc::new(Issuer { name: resource.name.as_str().into(), spec, source: resource.source.clone() });
        self.issuers.insert(resource.name.clone(), Some(Arc::clone(&issuer)));
        self.snapshot.issuers.push(issuer);
    }

    fn upstream(&mut self, resource: &Resource) {
        self.upstreams.entry(resource.name.clone()).or_default();
        let Some(spec) = self.read::<UpstreamSpec>(resource) else { return };
        if spec.endpoints.iter().all(|endpoint| endpoint.weight == 0) {
            self.fault(resource, "/spec/endpoints", "at least one endpoint is needed");
        }
        for (at, endpoint) in spec.endpoints.iter().enumerate() {
            let path = endpoint.url.as_str().splitn(4, '/').nth(3).unwrap_or_default();
            if !path.is_empty() || endpoint.url.as_str().contains('?') {
                let message = "an endpoint has no path; write it as `pathPrefix` of the service";
                self.fault(resource, &format!("/spec/endpoints/{at}"), message);
            }
        }
        let upstream =
            Arc::new(Upstream { name: resource.name.as_str().into(), spec, source: resource.source.clone() });
        self.upstreams.insert(resource.name.clone(), Some(Arc::clone(&upstream)));
        self.snapshot.upstreams.push(upstream);
    }

    fn service(&mut self, resource: &Resource) {
        self.services.entry(resource.name.clone()).or_default();
        let Some(spec) = self.read::<ServiceSpec>(resource) else { return };
        let upstream = refer(&self.upstreams, "Upstream", &spec.upstream);
        let upstream = upstream.map_err(|message| self.fault(resource, "/spec/upstream", message)).ok().flatten();
        let prefix = spec.path_prefix.as_deref().unwrap_or_default().trim_end_matches('/').to_owned();
        if !prefix.is_empty() && !matches!(CanonicalPath::new(&prefix), Ok(canonical) if canonical.as_str() == prefix) {
            self.fault(resource, "/spec/pathPrefix", format!("`{prefix}` is not a path in canonical form"));
        }
        if let Some(cors) = &spec.cors {
            self.cors(resource, cors);
        }
        let api = self.api_of(resource);
        let Some(upstream) = upstream else { return };
        let (name, source) = (resource.name.as_str().into(), resource.source.clone());
        let service = Arc::new(Service { name, upstream, api, spec, source, prefix });
        self.services.insert(resource.name.clone(), Some(Arc::clone(&service)));
        self.snapshot.services.push(service);
    }

    fn cors(&mut self, resource: &Resource, cors: &CorsSpec) {
        for (at, origin) in cors.origins.iter().enumerate() {
            let pointer = format!("/spec/cors/origins/{at}");
            if origin == "*" {
                if cors.credentials {
                    // Fetch §3.2.5: every site could act for a logged-in user.
                    self.fault(resource, &pointer, "`*` and `credentials` exclude each other");
                }
            } else if crate::words::HttpUrl::parse(origin).map(|url| url.origin()).as_deref() != Ok(origin) {
                let message = format!("`{origin}` is not an origin: scheme, host and port only, in lower case");
                self.fault(resource, &pointer, message);
            }
        }
        for (at, header) in cors.headers.iter().chain(&cors.expose_headers).enumerate() {
            if !is_token(header) {
                self.fault(resource, &format!("/spec/cors/headers/{at}"), format!("`{header}` is not a header name"));
            }
        }
    }
}

fn refer<T>(known: &HashMap<String, Option<Arc<T>>>, kind: &str, name: &str) -> Result<Option<Arc<T>>, String> {
    match known.get(name) {
        Some(found) => Ok(found.clone()),
        None => {
            // In a set of machine size nobody reads a guess, and many of them take long.
            let mut names: Vec<&str> = known.keys().map(String::as_str).take(1_000).collect();
            names.sort_unstable();
            Err(format!("there is no {kind} `{name}`{}", did_you_mean(name, names)))
        }
    }
}

fn is_token(text: &str) -> bool {
    // RFC 9110 §5.6.2
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}
