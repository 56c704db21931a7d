//! The compiled picture: references resolved, defaults taken over, paths in a matcher. Immutable.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::kinds::api::{ApiSpec, Needed};
use crate::kinds::issuer::IssuerSpec;
use crate::kinds::plan::PlanSpec;
use crate::kinds::policy_source::PolicySourceSpec;
use crate::kinds::route::CorsSpec;
use crate::kinds::service::ServiceSpec;
use crate::kinds::upstream::UpstreamSpec;
use crate::matcher::{Found, Matcher};
use crate::path::CanonicalPath;
use crate::pattern::Pattern;
use crate::source::Source;

#[derive(Debug, Default)]
pub struct Snapshot {
    pub issuers: Vec<Arc<Issuer>>,
    pub upstreams: Vec<Arc<Upstream>>,
    pub services: Vec<Arc<Service>>,
    pub routes: Vec<Arc<Route>>,
    pub apis: Vec<Arc<Api>>,
    pub plans: Vec<Arc<Plan>>,
    pub subscriptions: Vec<Arc<Subscription>>,
    pub policy_sources: Vec<Arc<PolicySource>>,
    /// By the API's index: client → what holds for it there.
    pub(crate) subscribers: Vec<HashMap<Arc<str>, Arc<Subscription>>>,
    pub(crate) matcher: Matcher,
}

#[derive(Debug)]
pub struct Issuer {
    pub name: Arc<str>,
    pub spec: IssuerSpec,
    pub source: Source,
}

#[derive(Debug)]
pub struct Upstream {
    pub name: Arc<str>,
    pub spec: UpstreamSpec,
    pub source: Source,
}

#[derive(Debug)]
pub struct Api {
    /// Place in [`Snapshot::apis`].
    pub index: usize,
    pub name: Arc<str>,
    pub spec: ApiSpec,
    pub source: Source,
}

#[derive(Debug)]
pub struct Plan {
    pub name: Arc<str>,
    pub apis: Vec<Arc<Api>>,
    pub spec: PlanSpec,
    pub source: Source,
}

#[derive(Debug)]
pub struct Subscription {
    /// Place in [`Snapshot::subscriptions`].
    pub index: usize,
    pub id: Arc<str>,
    /// The `client_id` that tokens bear.
    pub client: Arc<str>,
    pub plan: Arc<Plan>,
    pub organisation: Option<Arc<str>>,
    pub source: Source,
}

#[derive(Debug)]
pub struct PolicySource {
    pub name: Arc<str>,
    pub spec: PolicySourceSpec,
    pub source: Source,
}

/// Who decides about the calls of a route, and what they are asked.
#[derive(Debug)]
pub struct Policy {
    pub source: Arc<PolicySource>,
    /// It is decided and not enforced.
    pub shadow: bool,
    pub action: Arc<str>,
    /// `None`: the operation.
    pub resource: Option<PolicyResource>,
    pub written_at: Source,
}

#[derive(Debug)]
pub struct PolicyResource {
    pub kind: Arc<str>,
    pub id: Vec<Piece>,
}

/// Text, and the parameter of the path behind it.
pub type Piece = (Box<str>, Option<Box<str>>);

#[derive(Debug)]
pub struct Service {
    pub name: Arc<str>,
    pub upstream: Arc<Upstream>,
    /// Whose calls these are; `None`: nobody's, and they are not counted.
    pub api: Option<Arc<Api>>,
    pub spec: ServiceSpec,
    pub source: Source,
    /// Without a slash at the end; empty where there is none.
    pub(crate) prefix: String,
}

#[derive(Debug)]
pub struct Route {
    /// Place in [`Snapshot::routes`].
    pub index: usize,
    pub name: Arc<str>,
    /// What consumers and records call it.
    pub operation: Arc<str>,
    /// Whose operation it is: the service's API, or the composition's.
    pub api: Option<Arc<Api>>,
    /// Of the API: what the route says, or else the API.
    pub subscription: Needed,
    pub source: Source,
    pub pattern: Pattern,
    /// Empty: every method.
    pub methods: Vec<String>,
    /// Empty: every host.
    pub hosts: Vec<String>,
    pub target: Target,
    pub auth: Auth,
    pub auth_source: Source,
    pub policy: Option<Arc<Policy>>,
    pub cors: Option<Arc<CorsSpec>>,
    pub cors_source: Option<Source>,
    pub max_body: u64,
    pub head_timeout: Duration,
    pub idle_timeout: Duration,
}

/// Who makes the answer.
#[derive(Debug)]
pub enum Target {
    /// A service behind the gateway; with the path that it gets, where that is another one.
    Service { service: Arc<Service>, rewrite: Option<Pattern> },
    /// The gateway itself: the `Composition` that has the route's name.
    Composition,
    /// The gateway itself, by what the `Route` says; in the place of this service.
    Answer { service: Option<Arc<Service>> },
}

/// What a route asks of the caller.
#[derive(Debug)]
pub enum Auth {
    None,
    Token(Arc<Required>),
}

#[derive(Debug)]
pub struct Required {
    pub issuer: Arc<Issuer>,
    pub audience: Arc<str>,
    pub scopes: Vec<Arc<str>>,
    pub any_scope: Vec<Arc<str>>,
    /// Claim and the values of which it must have one.
    pub claims: Vec<(String, Vec<Value>)>,
}

impl Snapshot {
    pub fn find(&self, method: &str, authority: &str, path: &CanonicalPath<'_>) -> Found<'_> {
        self.matcher.find(method, authority, path)
    }

    pub fn api(&self, name: &str) -> Option<&Arc<Api>> {
        self.apis.iter().find(|api| &*api.name == name)
    }

    /// What a client is subscribed to, as far as it is about this API of this snapshot.
    pub fn subscription(&self, api: &Api, client_id: &str) -> Option<&Arc<Subscription>> {
        self.subscribers.get(api.index)?.get(client_id)
    }
}

impl Service {
    /// What is put in front of a path that is sent on: without a slash at the end, empty for nothing.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }
}

impl Route {
    /// The service that it belongs to, be it asked or not.
    pub fn service(&self) -> Option<&Arc<Service>> {
        match &self.target {
            Target::Service { service, .. } => Some(service),
            Target::Composition => None,
            Target::Answer { service } => service.as_ref(),
        }
    }

    /// Whom a caller has before them: the service, or what answers in its place.
    pub fn realm(&self) -> &Arc<str> {
        self.service().map_or(&self.name, |service| &service.name)
    }

    /// The path that is sent on for a canonical path that this route matched; `None` if nothing is.
    pub fn forwarded_path<'p>(&self, path: &'p CanonicalPath<'_>) -> Option<Cow<'p, str>> {
        let Target::Service { service, rewrite } = &self.target else { return None };
        let own = match rewrite {
            Some(template) => Cow::Owned(template.fill(&self.pattern, path)),
            None => Cow::Borrowed(path.as_str()),
        };
        Some(if service.prefix.is_empty() { own } else { Cow::Owned(format!("{}{own}", service.prefix)) })
    }

    /// `Route` or `Composition`.
    pub fn kind(&self) -> &'static str {
        match self.target {
            Target::Service { .. } | Target::Answer { .. } => "Route",
            Target::Composition => "Composition",
        }
    }
}
