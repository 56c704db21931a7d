//! Why: every policy that could have applied, and which of its conditions hold.

use std::sync::Arc;

use cedar_policy::PolicySet as CedarSet;
use serde::Serialize;

use crate::compile::{Compiled, PolicyInfo};
use crate::condition::Clause;
use crate::decide::{Asked, Decision, Engine, Verdict};
use crate::question::Question;
use crate::source::Effect;

/// A decision with its whole ground.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    pub decision: Decision,
    /// The policies for this action and these types; those of the same effect in order of their ids.
    pub considered: Vec<Considered>,
}

/// One policy against one question.
#[derive(Debug, Clone, Serialize)]
pub struct Considered {
    pub policy: Arc<PolicyInfo>,
    pub applies: bool,
    /// Whether its scope, the part in brackets, fits the question.
    pub scope: Outcome,
    pub conditions: Vec<Condition>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Condition {
    pub text: String,
    pub outcome: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Holds,
    Fails,
    /// It cannot be evaluated by itself, since a condition before it does not hold.
    NotReached,
    Error,
}

impl Explanation {
    /// In words, for the operator: which conditions stood in the way of a denied question.
    pub fn missing(&self) -> Vec<String> {
        if self.decision.allow {
            return Vec::new();
        }
        let permits = self.considered.iter().filter(|one| one.policy.effect == Effect::Permit);
        let in_scope = permits.filter(|one| one.scope == Outcome::Holds);
        let failing = in_scope.flat_map(|one| {
            let conditions = one.conditions.iter().filter(|condition| condition.outcome != Outcome::Holds);
            conditions.map(move |condition| format!("{}: {}", one.policy.id, condition.text))
        });
        failing.collect()
    }
}

impl Engine {
    /// Takes longer than [`Engine::decide`], since it tries each condition by itself.
    pub fn explain(&self, question: &Question) -> Explanation {
        let asked = match self.ask(question) {
            Ok(asked) => asked,
            Err(misfit) => {
                return Explanation { decision: Decision::failed(vec![misfit.0]), considered: Vec::new() };
            }
        };
        let decision = self.judge(&asked);
        let ids = asked.slice.map(|slice| slice.ids.as_slice()).unwrap_or_default();
        let compiled = ids.iter().filter_map(|id| self.policies.policies.get(id));
        let mut considered: Vec<Considered> = compiled.map(|compiled| self.consider(&asked, compiled)).collect();
        considered.sort_by(|a, b| b.policy.effect.cmp(&a.policy.effect).then(a.policy.id.cmp(&b.policy.id)));
        Explanation { decision, considered }
    }

    /// As [`Explanation::missing`], of the first few permits that fit: cheap enough for every denial.
    pub fn missing(&self, question: &Question, permits: usize) -> Vec<String> {
        let Ok(asked) = self.ask(question) else { return Vec::new() };
        let ids = asked.slice.map(|slice| slice.ids.as_slice()).unwrap_or_default();
        let compiled = ids.iter().filter_map(|id| self.policies.policies.get(id));
        let fitting =
            compiled.filter(|one| one.info.effect == Effect::Permit && self.try_scope(&asked, one) == Outcome::Holds);
        let considered = fitting.take(permits).map(|compiled| self.consider(&asked, compiled)).collect();
        let decision =
            Decision { allow: false, verdict: Verdict::NotPermitted, reasons: Vec::new(), errors: Vec::new() };
        Explanation { decision, considered }.missing()
    }

    fn consider(&self, asked: &Asked<'_>, compiled: &Compiled) -> Considered {
        let whole = self.try_alone(asked, compiled);
        let mut conditions: Vec<Condition> = Vec::with_capacity(compiled.clauses.len());
        for clause in &compiled.clauses {
            let before = conditions.iter().all(|condition| condition.outcome == Outcome::Holds);
            let outcome = match self.try_clause(asked, clause) {
                Outcome::Error if !before => Outcome::NotReached,
                outcome => outcome,
            };
            conditions.push(Condition { text: clause.text.clone(), outcome });
        }
        let all_hold = conditions.iter().all(|condition| condition.outcome == Outcome::Holds);
        let scope = match (whole, all_hold) {
            (Outcome::Holds, _) => Outcome::Holds,
            (_, true) => Outcome::Fails,
            _ => self.try_scope(asked, compiled),
        };
        Considered { policy: compiled.info.clone(), applies: whole == Outcome::Holds, scope, conditions }
    }

    /// Whether the policy applies, whatever its effect.
    fn try_alone(&self, asked: &Asked<'_>, compiled: &Compiled) -> Outcome {
        match CedarSet::from_policies([compiled.policy.clone()]) {
            Ok(set) => self.outcome(asked, &set),
            Err(_) => Outcome::Error,
        }
    }

    fn try_clause(&self, asked: &Asked<'_>, clause: &Clause) -> Outcome {
        self.outcome(asked, &clause.alone)
    }

    fn try_scope(&self, asked: &Asked<'_>, compiled: &Compiled) -> Outcome {
        compiled.scope.as_ref().map_or(Outcome::Error, |scope| self.outcome(asked, scope))
    }

    fn outcome(&self, asked: &Asked<'_>, set: &CedarSet) -> Outcome {
        let response = self.policies.authorizer.is_authorized(&asked.request, set, &asked.entities);
        let diagnostics = response.diagnostics();
        if diagnostics.errors().next().is_some() {
            return Outcome::Error;
        }
        if diagnostics.reason().next().is_some() { Outcome::Holds } else { Outcome::Fails }
    }
}
