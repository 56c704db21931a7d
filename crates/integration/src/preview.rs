//! What a composition would do, without doing it: for `check`, `explain` and a dry run.

use std::fmt;

use expression::Scope;
use serde::Serialize;

use crate::composition::{Composition, Identity, Step, step_of};
use crate::input::Input;

/// The plan of a composition as data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Preview {
    pub composition: String,
    pub deadline_ms: u64,
    /// Steps that run side by side, level by level; each starts as soon as what it waits for is there.
    pub levels: Vec<Vec<String>>,
    pub steps: Vec<PreviewStep>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PreviewStep {
    pub name: String,
    pub method: String,
    pub target: String,
    /// As it would be sent, where the request alone decides; otherwise with `…` for what is not known yet.
    pub path: String,
    pub required: bool,
    pub waits_for: Vec<String>,
    /// What it reads of the request and of other steps.
    pub reads: Vec<String>,
    pub identity: &'static str,
    pub timeout_ms: u64,
    pub attempts: u32,
    pub has_fallback: bool,
    pub is_compensated: bool,
    /// `None`: depends on other steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runs: Option<bool>,
}

impl fmt::Display for Preview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.steps.is_empty() {
            return writeln!(f, "  steps     none: the answer is made from the request alone");
        }
        writeln!(f, "  deadline  {} ms", self.deadline_ms)?;
        for (number, level) in self.levels.iter().enumerate() {
            for step in self.steps.iter().filter(|step| level.contains(&step.name)) {
                let part = if step.required { "required" } else { "optional" };
                writeln!(
                    f,
                    "  level {}   {}: {} {} {} ({part}, identity {}, {} ms)",
                    number + 1,
                    step.name,
                    step.method,
                    step.target,
                    step.path,
                    step.identity,
                    step.timeout_ms
                )?;
            }
        }
        Ok(())
    }
}

impl Composition {
    /// The plan, for any request or (a dry run) for this one. Nothing is sent.
    pub fn preview(&self, input: Option<Input>) -> Preview {
        let scope = input.map(|mut input| input.scope(&[true; crate::input::NAMES.len()]));
        let name = |at: &usize| self.steps.get(*at).map(|step| step.name.clone());
        Preview {
            composition: self.name.to_string(),
            deadline_ms: crate::step::milliseconds(self.deadline),
            levels: self.plan.levels.iter().map(|level| level.iter().filter_map(name).collect()).collect(),
            steps: self
                .steps
                .iter()
                .enumerate()
                .map(|(at, step)| self.preview_step(at, step, scope.as_ref()))
                .collect(),
        }
    }

    fn preview_step(&self, at: usize, step: &Step, scope: Option<&Scope>) -> PreviewStep {
        let request = scope.and_then(|scope| step.request.render(scope).ok());
        let path = match &request {
            Some(request) => request.uri().to_string(),
            None => step.request.target.path(&step.request.path.outline("…")),
        };
        let mut reads: Vec<String> = Vec::new();
        for read in step.reads().map(ToString::to_string) {
            if !reads.contains(&read) {
                reads.push(read);
            }
        }
        let height = self.plan.heights.get(at).copied().unwrap_or(1).max(1);
        let runs = match &step.when {
            None => Some(true),
            Some(when) if when.reads().iter().any(|read| step_of(read).is_some()) => None,
            Some(when) => scope.and_then(|scope| when.truth(scope).ok()),
        };
        PreviewStep {
            name: step.name.clone(),
            method: step.request.method.to_string(),
            target: step.request.target.name().to_owned(),
            path,
            required: step.required,
            waits_for: step.needs.iter().filter_map(|at| self.steps.get(*at)).map(|step| step.name.clone()).collect(),
            reads,
            identity: match step.identity {
                Identity::Forward => "forward",
                Identity::None => "none",
                Identity::Exchange(_) => "exchange",
                Identity::ClientCredentials(_) => "client-credentials",
            },
            timeout_ms: crate::step::milliseconds(step.timeout.unwrap_or(self.deadline / height)),
            attempts: step.retries + 1,
            has_fallback: step.fallback.is_some(),
            is_compensated: step.compensate.is_some(),
            runs,
        }
    }
}
