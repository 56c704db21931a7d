//! Says which route takes a request, what it asks for, and where that is written.

use std::fmt;

use percent_encoding::percent_decode_str;
use serde::Serialize;

use crate::matcher::Found;
use crate::path::CanonicalPath;
use crate::snapshot::{Auth, Policy, Route, Service, Snapshot, Target};
use crate::source::Source;

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    pub method: String,
    pub host: String,
    /// The path as it is matched and sent on; the given one where it has no canonical form.
    pub path: String,
    #[serde(flatten)]
    pub verdict: Verdict,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// 400
    Refused {
        reason: String,
    },
    /// 404
    NoRoute,
    /// 405
    MethodNotAllowed {
        allow: Vec<String>,
    },
    Route(Box<Chosen>),
}

/// The policy that holds for the request, after what the route takes over from its service.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Chosen {
    pub route: String,
    pub at: Source,
    pub pattern: String,
    /// `None`: the gateway makes the answer itself, by what the route or the composition of its name says.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub service: Option<Asked>,
    /// `None`: public, as written.
    pub token: Option<TokenAsked>,
    pub auth_at: Source,
    /// `None`: nobody is asked besides.
    pub policy: Option<PolicyAsked>,
    pub cors_at: Option<Source>,
    pub max_body_bytes: u64,
    pub head_timeout_ms: u64,
}

/// The service that is asked for the answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    pub service: String,
    pub service_at: Source,
    pub upstream: String,
    pub upstream_at: Source,
    /// What is sent on.
    pub forwarded_path: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenAsked {
    pub issuer: String,
    pub issuer_at: Source,
    pub audience: String,
    pub scopes: Vec<String>,
    pub any_scope: Vec<String>,
    pub claims: serde_json::Map<String, serde_json::Value>,
}

/// Who decides about the call, after scopes and claims.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyAsked {
    pub source: String,
    pub source_at: Source,
    pub engine: Engine,
    /// It is decided and written down; nothing is refused.
    pub shadow: bool,
    pub action: String,
    /// Type and id, with the values of this request's path.
    pub resource: String,
    pub written_at: Source,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// The gateway, by the policies of an entitlement system.
    Gateway,
    /// A decision point that is asked at each call (AuthZEN).
    DecisionPoint,
}

impl Snapshot {
    pub fn explain(&self, method: &str, host: &str, path: &str) -> Explanation {
        let explanation = |path: &str, verdict| Explanation {
            method: method.to_owned(),
            host: host.to_owned(),
            path: path.to_owned(),
            verdict,
        };
        let canonical = match CanonicalPath::new(path) {
            Ok(canonical) => canonical,
            Err(reason) => return explanation(path, Verdict::Refused { reason: reason.to_string() }),
        };
        let verdict = match self.find(method, host, &canonical) {
            Found::Nothing => Verdict::NoRoute,
            Found::MethodNotAllowed(allow) => {
                Verdict::MethodNotAllowed { allow: allow.into_iter().map(str::to_owned).collect() }
            }
            Found::Route(route) => Verdict::Route(Box::new(chosen(route, &canonical))),
        };
        explanation(canonical.as_str(), verdict)
    }
}

fn asked(route: &Route) -> Option<&Service> {
    match &route.target {
        Target::Service { service, .. } => Some(service),
        Target::Composition | Target::Answer { .. } => None,
    }
}

fn chosen(route: &Route, path: &CanonicalPath<'_>) -> Chosen {
    let token = match &route.auth {
        Auth::None => None,
        Auth::Token(required) => Some(TokenAsked {
            issuer: required.issuer.name.to_string(),
            issuer_at: required.issuer.source.clone(),
            audience: required.audience.to_string(),
            scopes: required.scopes.iter().map(ToString::to_string).collect(),
            any_scope: required.any_scope.iter().map(ToString::to_string).collect(),
            claims: required
                .claims
                .iter()
                .map(|(name, values)| (name.clone(), serde_json::Value::Array(values.clone())))
                .collect(),
        }),
    };
    Chosen {
        route: route.name.to_string(),
        at: route.source.clone(),
        pattern: route.pattern.to_string(),
        service: asked(route).map(|service| Asked {
            service: service.name.to_string(),
            service_at: service.source.clone(),
            upstream: service.upstream.name.to_string(),
            upstream_at: service.upstream.source.clone(),
            forwarded_path: route.forwarded_path(path).unwrap_or_default().into_owned(),
        }),
        token,
        auth_at: route.auth_source.clone(),
        policy: route.policy.as_ref().map(|policy| policy_asked(policy, route, path)),
        cors_at: route.cors_source.clone(),
        max_body_bytes: route.max_body,
        head_timeout_ms: u64::try_from(route.head_timeout.as_millis()).unwrap_or(u64::MAX),
    }
}

fn policy_asked(policy: &Policy, route: &Route, path: &CanonicalPath<'_>) -> PolicyAsked {
    let resource = match &policy.resource {
        Some(resource) => {
            let mut id = String::new();
            for (text, parameter) in &resource.id {
                id.push_str(text);
                let value = parameter.as_ref().map_or("", |name| route.pattern.value(name, path));
                id.push_str(&percent_decode_str(value).decode_utf8_lossy());
            }
            format!("{} {id}", resource.kind)
        }
        None => {
            let api = route.api.as_ref().map_or(route.realm(), |api| &api.name);
            format!("Operation {api}/{}", route.operation)
        }
    };
    PolicyAsked {
        source: policy.source.name.to_string(),
        source_at: policy.source.source.clone(),
        engine: if policy.source.spec.snapshot.is_some() { Engine::Gateway } else { Engine::DecisionPoint },
        shadow: policy.shadow,
        action: policy.action.to_string(),
        resource,
        written_at: policy.written_at.clone(),
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {} (host {})", self.method, self.path, if self.host.is_empty() { "any" } else { &self.host })?;
        match &self.verdict {
            Verdict::Refused { reason } => write!(f, "  refused with 400: {reason}"),
            Verdict::NoRoute => write!(f, "  404: no route matches"),
            Verdict::MethodNotAllowed { allow } => write!(f, "  405: this path takes {}", allow.join(", ")),
            Verdict::Route(chosen) => chosen.fmt(f),
        }
    }
}

impl fmt::Display for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.service.is_some() { "route     " } else { "answers   " };
        writeln!(f, "  {kind}{} ({})  {}", self.route, self.pattern, self.at)?;
        if let Some(asked) = &self.service {
            writeln!(f, "  service   {}  {}", asked.service, asked.service_at)?;
            writeln!(f, "  upstream  {}  {}", asked.upstream, asked.upstream_at)?;
            writeln!(f, "  sent as   {}", asked.forwarded_path)?;
        }
        if let Some(at) = &self.cors_at {
            writeln!(f, "  cors      {at}")?;
        }
        writeln!(
            f,
            "  limits    body {} bytes, answer begins within {} ms",
            self.max_body_bytes, self.head_timeout_ms
        )?;
        let Some(token) = &self.token else { return write!(f, "  auth      none: public  {}", self.auth_at) };
        write!(
            f,
            "  auth      token of issuer {} ({}) for {}  {}",
            token.issuer, token.issuer_at, token.audience, self.auth_at
        )?;
        if !token.scopes.is_empty() {
            write!(f, "\n            with scopes {}", token.scopes.join(" "))?;
        }
        if !token.any_scope.is_empty() {
            write!(f, "\n            with one scope of {}", token.any_scope.join(" "))?;
        }
        for (name, values) in &token.claims {
            write!(f, "\n            with claim {name} in {values}")?;
        }
        self.policy.as_ref().map_or(Ok(()), |policy| policy.fmt(f))
    }
}

impl fmt::Display for PolicyAsked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decided = match self.engine {
            Engine::Gateway => "decided in the gateway by the policies of",
            Engine::DecisionPoint => "asked at each call of",
        };
        write!(f, "\n  policy    {decided} {} ({})  {}", self.source, self.source_at, self.written_at)?;
        write!(f, "\n            may the subject {} {}?", self.action, self.resource)?;
        if self.shadow {
            write!(f, "\n            in shadow: written down, nothing is refused")?;
        }
        Ok(())
    }
}
