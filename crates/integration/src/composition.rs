//! A compiled composition: what it is made of.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use catalog::{
    AuthSpec, CorsSpec, ForwardIdentity, Pattern, ReportWhen, Source, TokenEndpointSpec, TokenRequestSpec, Upstream,
};
use expression::{Document, Expression, Reference};
use http::{HeaderName, StatusCode};

use crate::caller::Target;
use crate::input::{NAMES, OF_STEP, Wanted};
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
    pub needs: Needs,
}

/// What a composition reads of the request: the rest need not be made ready.
#[derive(Debug, Default)]
pub struct Needs {
    pub body: bool,
    pub query: bool,
    /// Names of header fields; `None`: which ones is not known before.
    pub headers: Option<Vec<HeaderName>>,
    pub(crate) names: Wanted,
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
    /// Somebody reads the headers of its answer.
    pub(crate) headers_are_read: bool,
    /// Its names in a scope, in the order of [`OF_STEP`], but for those that nobody reads.
    pub(crate) names: [Option<Arc<str>>; OF_STEP.len()],
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Identity {
    Forward,
    None,
    Exchange(TokenRequestSpec),
    ClientCredentials(TokenRequestSpec),
}

impl Composition {
    /// Whether something is sent to undo steps when the whole fails.
    pub fn undoes(&self) -> bool {
        self.steps.iter().any(|step| step.compensate.is_some())
    }

    /// Those that its requests go to; one may come several times.
    pub fn upstreams(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        let requests = self.steps.iter().flat_map(|step| [Some(&step.request), step.compensate.as_ref()]);
        requests.flatten().map(|request| request.target.upstream())
    }

    /// All that anything in it reads.
    pub(crate) fn reads(&self) -> impl Iterator<Item = &Reference> {
        self.steps.iter().flat_map(Step::reads_at_all).chain(self.shape.reads())
    }

    /// To be called when all is compiled.
    pub(crate) fn find_needs(&mut self) {
        let mut needs = Needs { headers: Some(Vec::new()), ..Needs::default() };
        let mut read: HashSet<String> = HashSet::new();
        for reference in self.reads() {
            read.insert(reference.name.to_string());
            match &*reference.name {
                "request.body" => needs.body = true,
                "request.query" => needs.query = true,
                "request.headers" => {
                    // Fields are lower-case; another name reads nothing.
                    let name = reference.path.first().and_then(|segment| segment.key());
                    let name = name.map(|name| HeaderName::from_lowercase(name.as_bytes()));
                    match (name, &mut needs.headers) {
                        (Some(Ok(name)), Some(names)) if !names.contains(&name) => names.push(name),
                        (None, headers) => *headers = None,
                        _ => {}
                    }
                }
                _ => {}
            }
        }
        // Its examples are chosen by what the request prefers.
        if !self.shape.examples.is_empty() {
            read.insert("request.headers".to_owned());
            needs.headers.iter_mut().for_each(|names| names.push(HeaderName::from_static("prefer")));
        }
        needs.names = NAMES.map(|name| read.contains(name));
        self.needs = needs;
        for step in &mut self.steps {
            for name in &mut step.names {
                name.take_if(|name| !read.contains(&**name));
            }
            let [_, _, headers, _] = &step.names;
            step.headers_are_read = headers.is_some();
        }
    }

    pub(crate) fn step_index(&self, name: &str) -> Option<usize> {
        self.steps.iter().position(|step| step.name == name)
    }
}

impl Step {
    fn reads_at_all(&self) -> impl Iterator<Item = &Reference> {
        let undo = self.compensate.iter().flat_map(Request::reads);
        let fallback = self.fallback.iter().flat_map(Document::reads);
        self.reads().chain(undo).chain(fallback)
    }

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
