//! What takes requests: routes and compositions.

use std::sync::Arc;

use serde_json::Value;

use super::{Compiler, MAX_BODY, is_token, refer};
use crate::kinds::api::Needed;
use crate::kinds::composition::CompositionSpec;
use crate::kinds::route::{AuthSpec, MatchSpec, RouteSpec, TokenSpec};
use crate::kinds::service::ForwardIdentity;
use crate::kinds::upstream::TimeoutsSpec;
use crate::matcher::unknown_parameter;
use crate::pattern::{Pattern, Segment};
use crate::resource::Resource;
use crate::snapshot::{Api, Auth, Required, Route, Service, Target};

impl Compiler {
    pub(super) fn route(&mut self, resource: &Resource) {
        let Some(spec) = self.read::<RouteSpec>(resource) else { return };
        let before = self.faults.len();
        let pattern = Pattern::parse(&spec.matches.path);
        let pattern = pattern.map_err(|message| self.fault(resource, "/spec/match/path", message)).ok();
        let methods = self.methods(resource, &spec.matches);
        let hosts = self.hosts(resource, &spec.matches);
        let answers = self.answers_itself(resource, &spec);
        let service = spec.service.as_ref().and_then(|name| {
            let service = refer(&self.services, "Service", name);
            service.map_err(|message| self.fault(resource, "/spec/service", message)).ok().flatten()
        });
        let auth = match &spec.auth {
            AuthSpec::None => Some(Auth::None),
            AuthSpec::Token(token) => {
                let audience = match (&spec.audience, service.as_deref()) {
                    (Some(audience), _) => Some(audience.as_str().into()),
                    (None, Some(service)) => self.audience_of(resource, service),
                    (None, None) if spec.service.is_none() => {
                        self.fault(resource, "/spec/auth", "`audience` is missing, so no token can be meant for this");
                        None
                    }
                    (None, None) => None,
                };
                self.required(resource, token, audience).map(|required| Auth::Token(Arc::new(required)))
            }
        };
        if let Some(cors) = &spec.cors {
            self.cors(resource, cors);
        }
        self.operation(resource, spec.operation.as_deref());
        let rewrite = pattern.as_ref().and_then(|pattern| self.rewrite(resource, &spec, pattern));
        let (Some(pattern), Some(auth)) = (pattern, auth) else { return };
        let of_service = service.as_deref().and_then(|service| service.spec.policy.as_ref());
        let policy = self.policy(resource, spec.policy.as_ref(), of_service, &pattern, &auth);
        let api = service.as_ref().and_then(|service| service.api.clone());
        let subscription = self.needed(resource, spec.subscription, api.as_deref(), &auth);
        if self.faults.len() != before {
            return;
        }
        let at = |pointer: &str| resource.fault(pointer, "").source_at;
        let of_service = service.as_deref().map(|service| &service.spec);
        let inherited = of_service.and_then(|spec| spec.cors.clone());
        let cors_source = match (&spec.cors, &inherited, &service) {
            (Some(_), _, _) => Some(at("/spec/cors")),
            (None, Some(_), Some(service)) => Some(service.source.clone()),
            _ => None,
        };
        let of_upstream = service.as_deref().map(|service| service.upstream.spec.timeouts.clone());
        let timeouts = of_service.and_then(|spec| spec.timeouts.clone()).or(of_upstream).unwrap_or_default();
        let max_body = spec.limits.max_body.or(of_service.and_then(|spec| spec.max_body));
        let target = match service.clone() {
            Some(service) if !answers => Target::Service { service, rewrite },
            service => Target::Answer { service },
        };
        let route = Arc::new(Route {
            index: self.snapshot.routes.len(),
            name: resource.name.as_str().into(),
            operation: spec.operation.as_deref().unwrap_or(&resource.name).into(),
            api,
            subscription,
            source: resource.source.clone(),
            pattern,
            methods,
            hosts,
            auth,
            auth_source: at("/spec/auth"),
            policy,
            cors: spec.cors.or(inherited).map(Arc::new),
            cors_source,
            max_body: max_body.map_or(MAX_BODY, |size| size.0),
            head_timeout: spec.limits.timeout.unwrap_or(timeouts.head).0,
            idle_timeout: timeouts.idle.0,
            target,
        });
        self.add(resource, route);
    }

    /// Whether a route has its answer from configuration. What it says is compiled by the integration service.
    fn answers_itself(&mut self, resource: &Resource, spec: &RouteSpec) -> bool {
        let answers = spec.answer.is_some() || spec.mock.is_some();
        if spec.answer.is_some() && spec.mock.is_some() {
            self.fault(resource, "/spec/mock", "`answer` and `mock` exclude each other");
        }
        if spec.service.is_none() && !answers {
            self.fault(resource, "/spec", "one of `service`, `answer` and `mock` is needed");
        }
        if answers && spec.rewrite.is_some() {
            self.fault(resource, "/spec/rewrite", "nothing is sent on, so there is no path to write anew");
        }
        if spec.audience.is_some() && spec.service.is_some() {
            self.fault(resource, "/spec/audience", "the service says whom a token must be meant for");
        }
        answers
    }

    /// A composition takes requests as a route does. Its steps are compiled by the integration service.
    pub(super) fn composition(&mut self, resource: &Resource) {
        let Some(spec) = self.read::<CompositionSpec>(resource) else { return };
        let before = self.faults.len();
        let pattern = Pattern::parse(&spec.matches.path);
        let pattern = pattern.map_err(|message| self.fault(resource, "/spec/match/path", message)).ok();
        let methods = self.methods(resource, &spec.matches);
        let hosts = self.hosts(resource, &spec.matches);
        let auth = match &spec.auth {
            AuthSpec::None => Some(Auth::None),
            AuthSpec::Token(token) => {
                if spec.audience.is_none() {
                    let message = "`audience` of the composition is missing, so no token can be meant for it";
                    self.fault(resource, "/spec/auth", message);
                }
                let audience = spec.audience.as_deref().map(Arc::from);
                self.required(resource, token, audience).map(|required| Auth::Token(Arc::new(required)))
            }
        };
        if let Some(cors) = &spec.cors {
            self.cors(resource, cors);
        }
        self.operation(resource, spec.operation.as_deref());
        let api = self.api_of(resource);
        // Both are named alike in metrics, logs and records of usage.
        if let Some(route) = self.snapshot.routes.iter().find(|route| *route.name == *resource.name) {
            let message = format!("a route has this name, too, in {}: choose another", route.source);
            self.fault(resource, "/name", message);
        }
        let (Some(pattern), Some(auth)) = (pattern, auth) else { return };
        let policy = self.policy(resource, spec.policy.as_ref(), None, &pattern, &auth);
        let subscription = self.needed(resource, spec.subscription, api.as_deref(), &auth);
        if self.faults.len() != before {
            return;
        }
        let at = |pointer: &str| resource.fault(pointer, "").source_at;
        let route = Arc::new(Route {
            index: self.snapshot.routes.len(),
            name: resource.name.as_str().into(),
            operation: spec.operation.as_deref().unwrap_or(&resource.name).into(),
            api,
            subscription,
            source: resource.source.clone(),
            pattern,
            methods,
            hosts,
            auth,
            auth_source: at("/spec/auth"),
            policy,
            cors_source: spec.cors.as_ref().map(|_| at("/spec/cors")),
            cors: spec.cors.map(Arc::new),
            max_body: spec.max_body.0,
            head_timeout: spec.deadline.0,
            idle_timeout: TimeoutsSpec::default().idle.0,
            target: Target::Composition,
        });
        self.add(resource, route);
    }

    /// Nobody can be asked for a subscription where nobody is asked who they are: that this is meant is written down.
    fn needed(&mut self, resource: &Resource, own: Option<Needed>, api: Option<&Api>, auth: &Auth) -> Needed {
        let Some(api) = api else {
            if own.is_some_and(|own| own != Needed::None) {
                let message = "a subscription is to a plan of an API, and no `api` is named for this";
                self.fault(resource, "/spec/subscription", message);
            }
            return Needed::None;
        };
        let needed = own.unwrap_or(api.spec.subscription);
        if matches!(auth, Auth::None) && needed == Needed::Required {
            let message = format!(
                "this is public (`auth: none`), and API `{}` asks for a subscription, of which nobody could be asked here: \
                 if everybody may call it, write `subscription: none`",
                api.name
            );
            self.fault(resource, "/spec/auth", message);
        }
        needed
    }

    fn operation(&mut self, resource: &Resource, name: Option<&str>) {
        if name.is_some_and(|name| name.is_empty() || name.len() > 200) {
            self.fault(resource, "/spec/operation", "an operation's name has 1 to 200 bytes");
        }
    }

    fn add(&mut self, resource: &Resource, route: Arc<Route>) {
        for rival in self.snapshot.matcher.add(&route) {
            let message = format!(
                "this path and `{}` of {} `{}` ({}) take the same requests, and neither is the more specific",
                rival.pattern,
                rival.kind().to_lowercase(),
                rival.name,
                rival.source
            );
            self.fault(resource, "/spec/match/path", message);
        }
        self.snapshot.routes.push(route);
    }

    fn methods(&mut self, resource: &Resource, spec: &MatchSpec) -> Vec<String> {
        for (at, method) in spec.methods.iter().enumerate() {
            let message = match method.as_str() {
                "CONNECT" | "TRACE" => format!("`{method}` is never sent on"),
                method if is_token(method) && !method.bytes().any(|byte| byte.is_ascii_lowercase()) => continue,
                method => format!("`{method}` is not a method: methods are written in capitals"),
            };
            self.fault(resource, &format!("/spec/match/methods/{at}"), message);
        }
        spec.methods.clone()
    }

    fn hosts(&mut self, resource: &Resource, spec: &MatchSpec) -> Vec<String> {
        let mut hosts = Vec::new();
        for (at, host) in spec.hosts.iter().enumerate() {
            let name = host.strip_prefix("*.").unwrap_or(host);
            let fine = !name.is_empty()
                && name.len() <= 253
                && name.bytes().all(|byte| {
                    byte.is_ascii_alphanumeric() || b".-_[]".contains(&byte) || (byte == b':' && name.starts_with('['))
                })
                && !name.starts_with('.')
                && !name.ends_with('.');
            if fine {
                hosts.push(host.to_ascii_lowercase());
            } else {
                let message = format!("`{host}` is not a host (no scheme, no port; `*.` in front for one label)");
                self.fault(resource, &format!("/spec/match/hosts/{at}"), message);
            }
        }
        hosts.sort();
        hosts.dedup();
        hosts
    }

    /// Whom the tokens of a route to this service must be meant for.
    fn audience_of(&mut self, resource: &Resource, service: &Service) -> Option<Arc<str>> {
        let Some(audience) = service.spec.audience.as_deref() else {
            let message = format!("service `{}` has no `audience`, so no token can be meant for it", service.name);
            self.fault(resource, "/spec/service", message);
            return None;
        };
        if service.spec.identity.forward == ForwardIdentity::AsReceived {
            let message = format!(
                "service `{}` is sent `Authorization` as received, so the caller's token would reach it; \
                 only routes with `auth: none` may lead there",
                service.name
            );
            self.fault(resource, "/spec/service", message);
        }
        Some(audience.into())
    }

    /// `audience`: `None` only after a fault.
    fn required(&mut self, resource: &Resource, token: &TokenSpec, audience: Option<Arc<str>>) -> Option<Required> {
        let issuer = refer(&self.issuers, "Issuer", &token.issuer);
        let issuer = issuer.map_err(|message| self.fault(resource, "/spec/auth/issuer", message)).ok().flatten();
        for (list, scopes) in [("scopes", &token.scopes), ("anyScope", &token.any_scope)] {
            for (at, scope) in scopes.iter().enumerate() {
                let single = base::scope::Scopes::parse(scope).is_ok_and(|set| set.len() == 1 && set.contains(scope));
                if !single {
                    let message = format!("`{scope}` is not one scope (RFC 6749 §3.3)");
                    self.fault(resource, &format!("/spec/auth/{list}/{at}"), message);
                }
            }
        }
        let mut claims = Vec::new();
        for (name, value) in &token.claims {
            let values = match value {
                Value::Array(values) if !values.is_empty() => values.clone(),
                Value::String(_) | Value::Number(_) | Value::Bool(_) => vec![value.clone()],
                _ => {
                    let message = format!("the claim `{name}` needs a value or a list of values");
                    self.fault(resource, "/spec/auth/claims", message);
                    continue;
                }
            };
            claims.push((name.clone(), values));
        }
        let shared = |scopes: &[String]| scopes.iter().map(|scope| scope.as_str().into()).collect();
        Some(Required {
            issuer: issuer?,
            audience: audience?,
            scopes: shared(&token.scopes),
            any_scope: shared(&token.any_scope),
            claims,
        })
    }

    fn rewrite(&mut self, resource: &Resource, spec: &RouteSpec, pattern: &Pattern) -> Option<Pattern> {
        let template = match Pattern::parse(&spec.rewrite.as_ref()?.path) {
            Ok(template) => template,
            Err(message) => {
                self.fault(resource, "/spec/rewrite/path", message);
                return None;
            }
        };
        if let Some(name) = unknown_parameter(&template, pattern) {
            self.fault(resource, "/spec/rewrite/path", format!("the path of the match has no parameter `{name}`"));
        }
        // `{rest...}` may be empty or of several segments: anywhere but at the end it would move slashes.
        let rest = pattern.segments.iter().find_map(|segment| match segment {
            Segment::Rest(name) => Some(name),
            _ => None,
        });
        if template.segments.iter().any(|segment| matches!(segment, Segment::Param(name) if Some(name) == rest)) {
            self.fault(resource, "/spec/rewrite/path", "write the rest as `{name...}`, at the end");
        }
        Some(template)
    }
}
