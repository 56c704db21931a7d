//! Policies: who decides about a call, and what is made of the decision.
//!
//! A source is followed (`snapshot`: policies of an entitlement system, decided here with the same engine) or
//! asked (`authzen`: any decision point that speaks AuthZEN 1.0). Without a decision nothing is allowed.
//! What is the same for all calls with one token is prepared once and kept beside its facts; a decision never is,
//! but by an `authzen` source whose operator has named key and time.

mod authzen;
mod caller;
mod follow;
mod live;
mod metrics;
mod report;
mod source;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use catalog::{CanonicalPath, Policy, Route, canonical_host};
use http::HeaderValue;
use percent_encoding::percent_decode_str;
use policy::{Call, Engine, Party, PolicyInfo, StepUp, Target, Verdict};

use crate::deny::Deny;
use crate::edge::{Exchange, Head};
use crate::phantom::Facts;
use crate::pipeline::Stop;

pub(crate) use live::{of_route, sources};
pub(crate) use metrics::{PolicyCounters, PolicyMetrics};
pub(crate) use source::Source;

/// What a decision rests on, for the log, the record of usage and the metrics.
#[derive(Debug)]
pub struct Judged {
    pub verdict: &'static str,
    /// The policies that decided.
    pub policies: Policies,
    /// Of the policies; 0 where it is not known.
    pub version: i64,
}

#[derive(Debug)]
pub enum Policies {
    Own(Vec<Arc<PolicyInfo>>),
    /// Of a foreign decision point, as far as it says.
    Told(Vec<String>),
}

impl Judged {
    /// The ids of the policies, with a space between.
    pub fn ids(&self) -> String {
        match &self.policies {
            Policies::Own(policies) => policies.iter().map(|info| info.id.as_str()).collect::<Vec<_>>().join(" "),
            Policies::Told(ids) => ids.join(" "),
        }
    }
}

/// A decision as far as a call is concerned.
#[derive(Debug)]
pub(crate) struct Answer {
    pub judged: Judged,
    pub outcome: Outcome,
}

#[derive(Debug)]
pub(crate) enum Outcome {
    Allowed,
    /// With what the person concerned may be told.
    Denied {
        reason: Option<String>,
        step_up: Option<StepUp>,
    },
    /// There is no decision.
    None,
}

/// The policy of one route.
#[derive(Debug)]
pub(crate) struct LivePolicy {
    policy: Arc<Policy>,
    source: Arc<Source>,
    counters: PolicyCounters,
    /// Begins and ends `WWW-Authenticate` of a step-up.
    challenge: [String; 2],
    /// The operation, where that is what is asked about.
    operation: Option<Party>,
    parameters: Vec<Box<str>>,
    prepared: ArcSwapOption<Target>,
}

impl LivePolicy {
    pub fn new(route: &Route, source: &Arc<Source>, counters: PolicyCounters, metadata: &str) -> Option<Self> {
        let policy = Arc::clone(route.policy.as_ref()?);
        let operation = policy.resource.is_none().then(|| operation(route));
        Some(Self {
            challenge: [
                format!("Bearer realm=\"{}\", error=\"insufficient_user_authentication\", ", route.realm()),
                format!(", resource_metadata=\"{metadata}\""),
            ],
            source: Arc::clone(source),
            counters,
            operation,
            parameters: route.pattern.parameters().map(Box::from).collect(),
            prepared: ArcSwapOption::empty(),
            policy,
        })
    }

    /// Lets the call pass, or says why not.
    pub async fn judge(
        &self,
        facts: &Facts,
        route: &Route,
        path: &CanonicalPath<'_>,
        head: &Head<'_>,
        exchange: &mut Exchange,
    ) -> Result<(), Stop> {
        let parameters: Vec<(&str, String)> = self
            .parameters
            .iter()
            .map(|name| {
                let value = percent_decode_str(route.pattern.value(name, path)).decode_utf8_lossy();
                (&**name, value.into_owned())
            })
            .collect();
        let pairs: Vec<(&str, &str)> = parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
        // As routes are found by them: host without port and in lower case, path as data. A rule for `/$x` or
        // `api.test` holds for `/%24x` and `API.test:443`, too.
        let host = canonical_host(head.authority);
        let decoded = percent_decode_str(path.as_str()).decode_utf8_lossy();
        let call = Call {
            address: head.client,
            method: head.method.as_str(),
            path: &decoded,
            host: &host,
            params: &pairs,
            now: exchange.at,
        };
        let answer = match &*self.source {
            Source::Followed(followed) => match &*followed.engine(exchange.at) {
                Some(engine) => self.decide(followed, engine, facts, &call, exchange),
                None => Answer::none(),
            },
            // In a box: those who do not wait for it shall not carry it.
            Source::Asked(asked) => {
                let question = caller::question(facts, &self.policy.action, self.resource(&pairs), &call);
                Box::pin(asked.ask(question, exchange.request_id.as_str())).await
            }
        };
        self.conclude(answer, exchange)
    }

    fn decide(
        &self,
        followed: &source::Followed,
        engine: &follow::Current,
        facts: &Facts,
        call: &Call<'_>,
        exchange: &Exchange,
    ) -> Answer {
        // What was prepared is borrowed: a count of references would be written by all threads at each call.
        let (known_caller, known_target) = (facts.prepared.load(), self.prepared.load());
        let (new_caller, new_target);
        let caller = match &*known_caller {
            Some(caller) if caller.is_of(&engine.engine, &self.policy.action) => caller,
            _ => {
                new_caller = facts.caller(&engine.engine, &self.policy.action);
                &new_caller
            }
        };
        let target = match &*known_target {
            Some(target) if target.is_of(&engine.engine) => target,
            _ => {
                new_target = self.target(&engine.engine, call.params);
                &new_target
            }
        };
        let decision = engine.engine.decide_call(caller, target, call);
        if !decision.allow {
            followed.report(|| {
                let question = engine.engine.question(caller, target, call);
                report::Entry::new(&question, &decision, engine.version, exchange)
            });
        }
        let outcome = match decision.verdict {
            Verdict::Permitted => Outcome::Allowed,
            Verdict::Failed => Outcome::None,
            Verdict::Forbidden | Verdict::NotPermitted => {
                let reasons: Vec<&str> = decision.reasons.iter().filter_map(|info| info.reason.as_deref()).collect();
                let reason = (!reasons.is_empty()).then(|| reasons.join(" "));
                Outcome::Denied { reason, step_up: decision.step_up() }
            }
        };
        if decision.verdict == Verdict::Failed {
            tracing::warn!(
                request.id = exchange.request_id.as_str(),
                errors = decision.errors.join("; "),
                "a call could not be decided by its policies"
            );
        }
        let (verdict, policies) = (decision.verdict.as_str(), Policies::Own(decision.reasons));
        Answer { judged: Judged { verdict, policies, version: engine.version }, outcome }
    }

    fn target(&self, engine: &Engine, parameters: &[(&str, &str)]) -> Arc<Target> {
        let names: Vec<&str> = parameters.iter().map(|(name, _)| *name).collect();
        let target = Arc::new(engine.target(self.resource(parameters), &self.policy.action, &names));
        // With parameters of the path it is another one at each call.
        if self.operation.is_some() {
            self.prepared.store(Some(Arc::clone(&target)));
        }
        target
    }

    fn resource(&self, parameters: &[(&str, &str)]) -> Party {
        if let Some(operation) = &self.operation {
            return operation.clone();
        }
        let Some(asked) = &self.policy.resource else { return Party::new("", "") };
        let mut id = String::new();
        for (text, name) in &asked.id {
            id.push_str(text);
            let value = name.as_ref().and_then(|name| parameters.iter().find(|(one, _)| **one == **name));
            id.push_str(value.map_or("", |(_, value)| value));
        }
        Party::new(&asked.kind, &id)
    }

    fn conclude(&self, answer: Answer, exchange: &mut Exchange) -> Result<(), Stop> {
        self.counters.count(answer.judged.verdict);
        exchange.policy = Some(answer.judged);
        let (deny, challenge) = match answer.outcome {
            Outcome::Allowed => return Ok(()),
            Outcome::None => (Deny::PolicyUnavailable, None),
            Outcome::Denied { step_up: Some(step_up), reason } => match self.challenge(&step_up) {
                Some(challenge) => (Deny::LoginTooWeak { reason }, Some(challenge)),
                None => (Deny::PolicyDenied { reason }, None),
            },
            Outcome::Denied { reason, step_up: None } => (Deny::PolicyDenied { reason }, None),
        };
        if self.policy.shadow {
            exchange.shadowed = exchange.shadowed.or(Some(deny.slug()));
            return Ok(());
        }
        Err(Stop::Deny(deny, challenge))
    }

    /// RFC 9470 §3. What a policy's author wrote goes into the header only if it is what the RFC means there.
    fn challenge(&self, step_up: &StepUp) -> Option<HeaderValue> {
        let word =
            |text: &&String| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\');
        let acr_values: Vec<&str> = step_up.acr_values.iter().filter(word).map(String::as_str).collect();
        let mut parts = vec!["error_description=\"a fresh or stronger login is needed\"".to_owned()];
        if !acr_values.is_empty() {
            parts.push(format!("acr_values=\"{}\"", acr_values.join(" ")));
        }
        if let Some(max_age) = step_up.max_age {
            parts.push(format!("max_age=\"{max_age}\""));
        }
        let [begin, end] = &self.challenge;
        (parts.len() > 1).then(|| HeaderValue::try_from(format!("{begin}{}{end}", parts.join(", "))).ok()).flatten()
    }
}

impl Answer {
    pub fn none() -> Self {
        let judged = Judged { verdict: "unavailable", policies: Policies::Told(Vec::new()), version: 0 };
        Self { judged, outcome: Outcome::None }
    }
}

/// What a route without words of its own asks about.
fn operation(route: &Route) -> Party {
    let api = route.api.as_ref().map_or(route.realm(), |api| &api.name);
    let party = Party::new("Operation", &format!("{api}/{}", route.operation))
        .property("api", &**api)
        .property("path", route.pattern.as_str());
    match route.methods.as_slice() {
        [method] => party.property("method", method.as_str()),
        _ => party,
    }
}
