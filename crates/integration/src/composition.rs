//! A compiled composition: what it is made of.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use catalog::{AuthSpec, CorsSpec, ForwardIdentity, Pattern, ReportWhen, Source, TokenEndpointSpec, TokenRequestSpec};
use expression::{Document, Expression, Reference};
use http::StatusCode;

use crate::caller::Target;
use crate::plan::Plan;
use crate::request::Request;
use crate::shape::Shape;

/// A compiled composition. Immutable.
#[derive(Debug)]
pub struct Composition {
    pub name: Arc<str>,
    pub source: Source,
    pub pattern: Pattern,
    /// Empty: every method.
    pub methods: Vec<String>,
    /// Empty: every host.
    pub hosts: Vec<String>,
    pub auth: AuthSpec,
    pub audience: Option<Arc<str>>,
    pub cors: Option<CorsSpec>,
    pub deadline: Duration,
    pub concurrency: usize,
    pub steps: Vec<Step>,
    pub plan: Plan,
    pub tokens: BTreeMap<String, TokenEndpointSpec>,
    pub(crate) shape: Shape,
    pub(crate) partial: Partial,
    pub(crate) max_answer: usize,
}

#[derive(Debug)]
pub(crate) struct Partial {
    pub status: Option<StatusCode>,
    pub report: ReportWhen,
    pub member: String,
}

#[derive(Debug)]
pub struct Step {
    pub name: String,
    pub required: bool,
    pub retries: u32,
    pub timeout: Option<Duration>,
    /// Steps by index that it waits for.
    pub needs: Vec<usize>,
    pub(crate) request: Request,
    pub(crate) when: Option<Expression>,
    pub(crate) fallback: Option<Document>,
    pub(crate) expect: Vec<u16>,
    pub(crate) pass: Vec<u16>,
    pub(crate) max_body: usize,
    pub(crate) identity: Identity,
    pub(crate) compensate: Option<Request>,
    /// Its names in a scope, in the order of [`crate::input::OF_STEP`].
    pub(crate) names: [String; 4],
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Identity {
    Forward,
    None,
    Exchange(TokenRequestSpec),
    ClientCredentials(TokenRequestSpec),
}

impl Composition {
    pub(crate) fn step_index(&self, name: &str) -> Option<usize> {
        self.steps.iter().position(|step| step.name == name)
    }
}

impl Step {
    pub(crate) fn reads(&self) -> impl Iterator<Item = &Reference> {
        self.request.reads().into_iter().chain(self.when.iter().flat_map(Expression::reads))
    }
}

impl Identity {
    /// Where the step says nothing. An upstream without a service may be anybody's: it is told nothing.
    pub fn of(target: &Target) -> Self {
        match target {
            Target::Service(service) if service.spec.identity.forward == ForwardIdentity::Jwt => Self::Forward,
            Target::Service(_) | Target::Upstream(_) => Self::None,
        }
    }
}

/// The step that a reference reads.
pub(crate) fn step_of(reference: &Reference) -> Option<&str> {
    reference.name.strip_prefix("steps.")?.split('.').next()
}
