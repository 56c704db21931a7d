//! The picture that requests are decided on: the compiled resources with their live parts (caches,
//! connections). Built off the data path, immutable, swapped whole.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use catalog::published::PublishedSubscription;
use catalog::{Auth, CanonicalPath, Fault, Found, IssuerSpec, Required, Resource, Route, Service, Snapshot};
use integration::{Composition, TokenEndpoint};
use serde::Serialize;

use crate::api::Farewell;
use crate::challenges::Challenges;
use crate::compose::LiveComposition;
use crate::cors::Cors;
use crate::limits::{self, Book};
use crate::phantom::{Audience, AudienceId, Authority, Core, World};
use crate::policy::{self, LivePolicy};
use crate::secrets::Secrets;
use crate::upstreams::{self, Upstream};
use crate::wellknown::{Documents, Resources};

/// Which set of resources is served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Version {
    /// Counts the sets that this process has taken.
    pub number: u64,
    /// Of the content; the same on every gateway that serves the same set.
    pub hash: String,
}

pub(crate) struct Live {
    catalog: Snapshot,
    routes: Vec<LiveRoute>,
    documents: Documents,
    authorities: BTreeMap<String, Arc<Authority>>,
    upstreams: BTreeMap<String, Arc<Upstream>>,
    policy_sources: BTreeMap<String, Arc<policy::Source>>,
    limits: limits::Table,
    book: Arc<Book>,
    pub version: Version,
    pub resources: Vec<Resource>,
}

#[derive(Debug)]
pub(crate) struct LiveRoute {
    route: Arc<Route>,
    target: Target,
    protection: Option<Protection>,
    cors: Option<Cors>,
    policy: Option<LivePolicy>,
    farewell: Farewell,
}

/// Who makes the answer.
#[derive(Debug)]
pub(crate) enum Target {
    Forward { service: Arc<Service>, upstream: Arc<Upstream> },
    Compose(Arc<LiveComposition>),
}

/// What a route asks of the caller, and whom to ask about the caller's token.
#[derive(Debug)]
pub(crate) struct Protection {
    pub required: Arc<Required>,
    pub authority: Arc<Core>,
    pub audience: Audience,
    pub challenges: Challenges,
}

/// The compiled set: the catalog's picture, and the compositions in it by the index of their route.
pub(crate) struct Compiled {
    pub catalog: Snapshot,
    pub compositions: BTreeMap<usize, Composition>,
}

pub(crate) fn compile(resources: &[Resource], subscriptions: &[PublishedSubscription]) -> Result<Compiled, Vec<Fault>> {
    let catalog = Snapshot::compile_published(resources, subscriptions)?;
    let mut compositions = BTreeMap::new();
    let mut faults = Vec::new();
    for route in catalog.routes.iter().filter(|route| !matches!(route.target, catalog::Target::Service { .. })) {
        let is_it = |resource: &&Resource| resource.kind == route.kind() && resource.name == *route.name;
        let Some(resource) = resources.iter().find(is_it) else { continue };
        match Composition::compile(resource, &catalog) {
            Ok(composition) => {
                compositions.insert(route.index, composition);
            }
            Err(found) => faults.extend(found),
        }
    }
    if faults.is_empty() { Ok(Compiled { catalog, compositions }) } else { Err(faults) }
}

/// What a picture is made from.
pub(crate) struct Plan<'a> {
    pub resources: Vec<Resource>,
    /// Those that management has published.
    pub subscriptions: &'a [PublishedSubscription],
    /// What is served now; live parts that have not changed are taken over.
    pub before: Option<&'a Live>,
    pub world: &'a World,
    pub secrets: &'a Secrets,
    pub public_url: &'a str,
    pub version: Version,
}

impl Live {
    pub fn build(plan: Plan<'_>) -> Result<Self, Vec<Fault>> {
        let Compiled { catalog, compositions } = compile(&plan.resources, plan.subscriptions)?;
        let mut faults = Vec::new();
        let authorities = authorities(&plan, &catalog, &mut faults);
        let upstreams = upstreams(&plan, &catalog, &mut faults);
        let mut compositions = live_compositions(&plan, compositions, &upstreams, &mut faults);
        let sources = policy::sources(&plan, &catalog, &mut faults);
        if !faults.is_empty() {
            return Err(faults);
        }
        let resources = Resources::of(plan.public_url, &catalog);
        let routes = catalog.routes.iter().filter_map(|route| {
            let target = match &route.target {
                catalog::Target::Service { service, .. } => {
                    let upstream = Arc::clone(upstreams.get(&*service.upstream.name)?);
                    Target::Forward { service: Arc::clone(service), upstream }
                }
                catalog::Target::Composition | catalog::Target::Answer { .. } => {
                    Target::Compose(Arc::new(compositions.remove(&route.index)?))
                }
            };
            let policy = policy::of_route(route, &sources, &resources, plan.world);
            // A route whose policy is not there is not served.
            (policy.is_some() == route.policy.is_some())
                .then(|| live_route(route, target, policy, &resources, &authorities))?
        });
        let routes = routes.collect();
        let documents = resources.documents(signs_itself(&catalog).then(|| plan.world.minter.jwks()));
        let book = Arc::clone(&plan.world.book);
        let limits = limits::Table::new(&catalog, &book, &plan.world.clock);
        book.forget();
        Ok(Self {
            limits,
            book,
            routes,
            documents,
            authorities,
            upstreams,
            policy_sources: sources,
            version: plan.version,
            resources: plan.resources,
            catalog,
        })
    }

    pub fn find(&self, method: &str, authority: &str, path: &CanonicalPath<'_>) -> Found<'_> {
        self.catalog.find(method, authority, path)
    }

    pub fn route(&self, route: &Route) -> Option<&LiveRoute> {
        self.routes.get(route.index).filter(|live| live.route.index == route.index)
    }

    pub fn documents(&self) -> &Documents {
        &self.documents
    }

    pub fn limits(&self) -> &limits::Table {
        &self.limits
    }

    pub fn book(&self) -> &Book {
        &self.book
    }

    pub fn catalog(&self) -> &Snapshot {
        &self.catalog
    }

    pub fn authorities(&self) -> impl Iterator<Item = &Arc<Core>> {
        self.authorities.values().map(|authority| authority.core())
    }

    pub fn composition(&self, name: &str) -> Option<&Composition> {
        self.compositions_of(None).find(|composition| *composition.name == *name)
    }

    /// All compositions, or those of one API.
    pub fn compositions_of(&self, api: Option<&str>) -> impl Iterator<Item = &Composition> {
        self.routes.iter().filter_map(move |route| match &route.target {
            Target::Compose(live)
                if api.is_none_or(|api| route.route.api.as_ref().is_some_and(|of| *of.name == *api)) =>
            {
                Some(live.composition())
            }
            _ => None,
        })
    }

    pub fn policy_source(&self, name: &str) -> Option<&Arc<policy::Source>> {
        self.policy_sources.get(name)
    }

    pub fn policy_sources(&self) -> impl Iterator<Item = (&String, &Arc<policy::Source>)> {
        self.policy_sources.iter()
    }

    pub fn upstreams(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.upstreams.values()
    }
}

impl LiveRoute {
    pub fn name(&self) -> &Arc<str> {
        &self.route.name
    }

    /// The service, or the composition.
    pub fn realm(&self) -> &Arc<str> {
        self.route.realm()
    }

    pub fn settings(&self) -> &Route {
        &self.route
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    pub fn protection(&self) -> Option<&Protection> {
        self.protection.as_ref()
    }

    pub fn policy(&self) -> Option<&LivePolicy> {
        self.policy.as_ref()
    }

    pub fn farewell(&self) -> &Farewell {
        &self.farewell
    }

    pub fn cors(&self) -> Option<&Cors> {
        self.cors.as_ref()
    }
}

fn authorities(plan: &Plan<'_>, catalog: &Snapshot, faults: &mut Vec<Fault>) -> BTreeMap<String, Arc<Authority>> {
    let mut made = BTreeMap::new();
    // All secrets first: a set that is refused starts nothing.
    let mut specs = Vec::new();
    for issuer in &catalog.issuers {
        let secret = match &issuer.spec.introspection {
            Some(introspection) => plan.secrets.read(&introspection.secret),
            None => Ok(base::Secret::from("")),
        };
        match secret {
            Ok(secret) => specs.push((issuer, secret)),
            Err(message) => {
                faults.extend(fault(plan, "Issuer", &issuer.name, "/spec/introspection/secret", &message));
            }
        }
    }
    if !faults.is_empty() {
        return made;
    }
    for (issuer, secret) in specs {
        let name = issuer.name.to_string();
        let before = plan.before.and_then(|before| before.authorities.get(&name));
        let authority = match before {
            Some(before) if before.is(&issuer.spec, &secret) => Arc::clone(before),
            _ => Arc::new(Authority::start(&issuer.name, &issuer.spec, secret, plan.world)),
        };
        made.insert(name, authority);
    }
    made
}

fn upstreams(plan: &Plan<'_>, catalog: &Snapshot, faults: &mut Vec<Fault>) -> BTreeMap<String, Arc<Upstream>> {
    let mut made = BTreeMap::new();
    for upstream in &catalog.upstreams {
        let name = upstream.name.to_string();
        let before = plan.before.and_then(|before| before.upstreams.get(&name));
        let built = live_upstream(upstream, plan.secrets).and_then(|spec| match before {
            Some(before) if *before.spec() == spec => Ok(Arc::clone(before)),
            _ => Upstream::new(spec).map(Arc::new).map_err(|error| error.to_string()),
        });
        match built {
            Ok(upstream) => {
                made.insert(name, upstream);
            }
            Err(message) => faults.extend(fault(plan, "Upstream", &upstream.name, "/spec", &message)),
        }
    }
    made
}

fn live_upstream(upstream: &catalog::Upstream, secrets: &Secrets) -> Result<upstreams::UpstreamSpec, String> {
    let spec = &upstream.spec;
    let mut endpoints = Vec::new();
    for endpoint in &spec.endpoints {
        let parsed = upstreams::EndpointSpec::parse(endpoint.url.as_str()).map_err(|error| error.to_string())?;
        endpoints.push(upstreams::EndpointSpec { weight: endpoint.weight, ..parsed });
    }
    let ca_pem = spec.tls.ca.as_ref().map(|ca| secrets.read(ca)).transpose()?;
    Ok(upstreams::UpstreamSpec {
        protocol: match spec.protocol {
            catalog::Protocol::Auto => upstreams::Protocol::Auto,
            catalog::Protocol::Http1 => upstreams::Protocol::Http1,
            catalog::Protocol::Http2 => upstreams::Protocol::H2,
        },
        connect_timeout: spec.timeouts.connect.0,
        max_in_flight: spec.max_concurrent,
        tls: upstreams::TlsSpec {
            ca_pem: ca_pem.map(|pem| pem.expose().clone()),
            server_name: spec.tls.server_name.clone(),
            ..upstreams::TlsSpec::default()
        },
        health: upstreams::HealthSpec { max_failures: spec.health.failures, open_for: spec.health.rest.0 },
        ..upstreams::UpstreamSpec::new(upstream.name.to_string(), endpoints)
    })
}

fn live_compositions(
    plan: &Plan<'_>,
    compiled: BTreeMap<usize, Composition>,
    upstreams: &BTreeMap<String, Arc<Upstream>>,
    faults: &mut Vec<Fault>,
) -> BTreeMap<usize, LiveComposition> {
    let mut live = BTreeMap::new();
    for (index, composition) in compiled {
        let mut endpoints = HashMap::new();
        for (name, spec) in &composition.tokens {
            match plan.secrets.read(&spec.secret) {
                Ok(secret) => {
                    let (url, client_id) = (spec.url.as_str().into(), spec.client_id.as_str().into());
                    endpoints.insert(name.clone(), TokenEndpoint { url, client_id, secret });
                }
                Err(message) => {
                    let pointer = format!("/spec/tokens/{name}/secret");
                    faults.extend(fault(plan, "Composition", &composition.name, &pointer, &message));
                }
            }
        }
        let tokens = plan.world.tokens.with(endpoints);
        live.insert(index, LiveComposition::new(composition, tokens, upstreams, plan.world));
    }
    live
}

fn live_route(
    route: &Arc<Route>,
    target: Target,
    policy: Option<LivePolicy>,
    resources: &Resources<'_>,
    authorities: &BTreeMap<String, Arc<Authority>>,
) -> Option<LiveRoute> {
    let protection = match &route.auth {
        Auth::None => None,
        Auth::Token(required) => Some(Protection {
            authority: Arc::clone(authorities.get(&*required.issuer.name)?.core()),
            audience: Audience { id: AudienceId::of(&required.audience), name: Arc::clone(&required.audience) },
            challenges: Challenges::new(route, required, &resources.metadata_url(route)),
            required: Arc::clone(required),
        }),
    };
    Some(LiveRoute {
        target,
        cors: route.cors.as_deref().map(Cors::new),
        policy,
        farewell: Farewell::of(route.api.as_deref()),
        protection,
        route: Arc::clone(route),
    })
}

/// Whether some issuer gives no JWT that could be sent on.
fn signs_itself(catalog: &Snapshot) -> bool {
    let gives_none = |spec: &IssuerSpec| {
        spec.introspection
            .as_ref()
            .is_some_and(|introspection| matches!(introspection.form, catalog::Form::Plain | catalog::Form::Rfc9701))
    };
    catalog.issuers.iter().any(|issuer| gives_none(&issuer.spec))
}

pub(crate) fn fault(plan: &Plan<'_>, kind: &str, name: &str, pointer: &str, message: &str) -> Option<Fault> {
    let resource = plan.resources.iter().find(|resource| resource.kind == kind && resource.name == name)?;
    Some(resource.fault(pointer, message))
}
