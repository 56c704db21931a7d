//! Tests of policies: questions and the decisions that must come out. They are data, so that the people who
//! write policies write them, in YAML or JSON, and a policy that breaks one is not published.

use std::sync::Arc;

use base::Time;
use serde::{Deserialize, Serialize};

use crate::compile::PolicySet;
use crate::decide::Engine;
use crate::directory::{Directory, EntitySpec};
use crate::question::Question;

/// Tests with the entities they speak of; entities stored elsewhere do not reach into them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suite {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entities: Vec<EntitySpec>,
    pub tests: Vec<Case>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub name: String,
    pub question: Question,
    /// Seconds since the epoch at which it is asked.
    #[serde(default)]
    pub now: i64,
    pub expect: Expect,
    /// Ids of the policies that must have decided; empty: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub because: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Expect {
    Allow,
    Deny,
}

/// A test that did not come out, in plain words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    pub test: String,
    pub message: String,
}

impl Suite {
    /// The tests that fail; none is what one wants.
    pub fn run(&self, policies: &Arc<PolicySet>) -> Vec<Failure> {
        let directory = match Directory::new(policies, &self.entities) {
            Ok(directory) => directory,
            Err(faults) => {
                return faults.into_iter().map(|message| Failure { test: "entities".to_owned(), message }).collect();
            }
        };
        let engine = Engine::new(policies.clone(), Arc::new(directory));
        self.tests.iter().filter_map(|case| case.run(&engine)).collect()
    }
}

impl Case {
    fn run(&self, engine: &Engine) -> Option<Failure> {
        let mut question = self.question.clone();
        question.now = Time::from_seconds(self.now);
        let explanation = engine.explain(&question);
        let decision = &explanation.decision;
        let decided: Vec<&str> = decision.reasons.iter().map(|info| info.id.as_str()).collect();
        let fail = |message: String| Some(Failure { test: self.name.clone(), message });
        let by = |ids: &[&str]| if ids.is_empty() { String::new() } else { format!(" by {}", ids.join(", ")) };

        // A question that does not fit proves nothing about a policy, also where a denial is expected.
        if !decision.errors.is_empty() {
            return fail(format!("the question could not be decided: {}", decision.errors.join("; ")));
        }
        match (self.expect, decision.allow) {
            (Expect::Allow, false) => {
                let missing = explanation.missing();
                let why = if missing.is_empty() { "no permit fits".to_owned() } else { missing.join("; ") };
                fail(format!("expected allow, and it was denied{}: {why}", by(&decided)))
            }
            (Expect::Deny, true) => fail(format!("expected deny, and it was allowed{}", by(&decided))),
            _ => {
                let absent: Vec<&str> =
                    self.because.iter().map(String::as_str).filter(|id| !decided.contains(id)).collect();
                (!absent.is_empty()).then(|| Failure {
                    test: self.name.clone(),
                    message: format!("decided{}, and not{}", by(&decided), by(&absent)),
                })
            }
        }
    }
}
