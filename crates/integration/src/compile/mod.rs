//! From a resource to a composition that runs: everything is compiled and checked here, nothing later.

mod answer;
mod request;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use catalog::{
    AnswerSpec, CompositionSpec, Fault, PartialSpec, Pattern, ReportWhen, Resource, Snapshot, StepSpec, did_you_mean,
};
use expression::{Document, Expression, Names, Template};
use http::StatusCode;
use serde_json::Value;

use crate::caller::Target;
use crate::composition::{Composition, Identity, Needs, Partial, Step, step_of};
use crate::input;
use crate::plan::Plan;
use crate::shape::{Content, Form, Shape};

/// More than anybody can oversee, and a bound on what one request may set off.
const MAX_STEPS: usize = 64;
const MAX_RETRIES: u32 = 5;
/// Headers of an answer that the gateway writes.
const OWN: [&str; 6] = ["content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "cardea-parts"];

impl Composition {
    /// Compiles one resource of the kind `Composition` against the services of a snapshot, or of the kind
    /// `Route` that has its answer from configuration. All faults are told.
    pub fn compile(resource: &Resource, snapshot: &Snapshot) -> Result<Self, Vec<Fault>> {
        let mut compiler = Compiler { resource, snapshot, faults: Vec::new() };
        let composition = match resource.kind.as_str() {
            "Route" => compiler.answer(resource.read()?),
            _ => compiler.composition(resource.read()?),
        };
        match composition {
            Some(mut composition) if compiler.faults.is_empty() => {
                composition.find_needs();
                Ok(composition)
            }
            _ => {
                compiler.faults.sort();
                Err(compiler.faults)
            }
        }
    }
}

struct Compiler<'a> {
    resource: &'a Resource,
    snapshot: &'a Snapshot,
    faults: Vec<Fault>,
}

impl Compiler<'_> {
    fn fault(&mut self, pointer: &str, message: impl Into<String>) {
        self.faults.push(self.resource.fault(pointer, message));
    }

    fn composition(&mut self, spec: CompositionSpec) -> Option<Composition> {
        let pattern = Pattern::parse(&spec.matches.path);
        let pattern = pattern.map_err(|message| self.fault("/spec/match/path", message)).ok();
        self.limits(&spec);
        self.step_names(&spec.steps);
        let of_request = input::names(std::iter::empty());
        let names = input::names(spec.steps.iter().map(|step| step.name.as_str()));
        let mut steps = Vec::new();
        for (at, step) in spec.steps.iter().enumerate() {
            steps.extend(self.step(&format!("/spec/steps/{at}"), step, &spec, &names, &of_request));
        }
        let shape = self.shape(&spec, &names);
        let partial = self.partial(&spec.partial, &spec);
        if steps.len() != spec.steps.len() {
            return None;
        }
        let plan = self.plan(&mut steps, &spec)?;
        Some(Composition {
            name: self.resource.name.as_str().into(),
            source: self.resource.source.clone(),
            pattern: pattern?,
            methods: spec.matches.methods,
            hosts: spec.matches.hosts,
            auth: spec.auth,
            audience: spec.audience.as_deref().map(Into::into),
            cors: spec.cors,
            deadline: spec.deadline.0,
            concurrency: usize::try_from(spec.concurrency).unwrap_or(usize::MAX),
            steps,
            plan,
            tokens: spec.tokens,
            shape: shape?,
            partial: partial?,
            max_answer: usize::try_from(spec.max_answer.0).unwrap_or(usize::MAX),
            needs: Needs::default(),
        })
    }

    fn limits(&mut self, spec: &CompositionSpec) {
        if spec.deadline.0.is_zero() {
            self.fault("/spec/deadline", "a deadline is longer than nothing");
        }
        if spec.concurrency == 0 {
            self.fault("/spec/concurrency", "at least one step must be able to run");
        }
        if spec.steps.len() > MAX_STEPS {
            self.fault("/spec/steps", format!("a composition has at most {MAX_STEPS} steps"));
        }
    }

    fn step_names(&mut self, steps: &[StepSpec]) {
        let mut seen = HashSet::new();
        for (at, step) in steps.iter().enumerate() {
            let fine = step.name.len() <= 63
                && step.name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic())
                && step.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            if !fine {
                let message = format!("`{}` is not a name for a step: a letter, then letters, digits, `_`", step.name);
                self.fault(&format!("/spec/steps/{at}/name"), message);
            } else if !seen.insert(step.name.as_str()) {
                self.fault(&format!("/spec/steps/{at}/name"), format!("there are two steps `{}`", step.name));
            }
        }
    }

    fn step(
        &mut self,
        at: &str,
        spec: &StepSpec,
        whole: &CompositionSpec,
        names: &Names,
        of_request: &Names,
    ) -> Option<Step> {
        let request = self.request(&format!("{at}/request"), &spec.request, names);
        let when = match &spec.when {
            Some(text) => Some(self.expression(&format!("{at}/when"), text, names)?),
            None => None,
        };
        let fallback = match &spec.fallback {
            Some(json) => Some(self.document(&format!("{at}/fallback"), json, of_request)?),
            None => None,
        };
        if spec.retries > MAX_RETRIES {
            self.fault(&format!("{at}/retries"), format!("at most {MAX_RETRIES} retries"));
        }
        let compensate = match &spec.compensate {
            Some(undo) => Some(self.request(&format!("{at}/compensate"), undo, names)?),
            None => None,
        };
        let request = request?;
        if spec.retries > 0 && !request.may_repeat() {
            let message = format!(
                "`{}` is not idempotent (RFC 9110 §9.2.2): give it an `idempotencyKey`, or no retries",
                request.method
            );
            self.fault(&format!("{at}/retries"), message);
        }
        if compensate.as_ref().is_some_and(|undo| !undo.may_repeat()) {
            let message =
                "a compensation is sent at least once, so it needs an idempotent method or an `idempotencyKey`";
            self.fault(&format!("{at}/compensate/method"), message);
        }
        if spec.compensate.is_some() && !request.is_write() {
            self.fault(
                &format!("{at}/compensate"),
                format!("`{}` changes nothing that could be undone", request.method),
            );
        }
        if !spec.pass.is_empty() && !spec.required {
            self.fault(&format!("{at}/pass"), "the status of an optional step never becomes that of the whole");
        }
        for (list, statuses) in [("expect", &spec.expect), ("pass", &spec.pass)] {
            for (index, status) in statuses.iter().enumerate().filter(|(_, status)| !(200..600).contains(*status)) {
                self.fault(&format!("{at}/{list}/{index}"), format!("{status} is not a status of an answer"));
            }
        }
        let identity = match &spec.identity {
            Some(identity) => self.identity(&format!("{at}/identity"), identity, whole)?,
            None => Identity::of(&request.target),
        };
        self.audience(at, &identity, &request.target, whole);
        let name = spec.name.clone();
        Some(Step {
            names: input::OF_STEP.map(|part| Some(format!("steps.{name}.{part}").into())),
            name,
            required: spec.required,
            retries: spec.retries,
            timeout: spec.timeout.map(|time| time.0),
            needs: Vec::new(),
            request,
            when,
            fallback,
            expect: spec.expect.clone(),
            pass: spec.pass.clone(),
            max_body: usize::try_from(spec.max_body.0).unwrap_or(usize::MAX),
            identity,
            compensate,
            headers_are_read: false,
        })
    }

    /// A JWT that a service gets though it is meant for another one could be used there by it.
    fn audience(&mut self, at: &str, identity: &Identity, target: &Target, whole: &CompositionSpec) {
        if let (Identity::Forward, Target::Service(service), Some(own)) = (identity, target, &whole.audience)
            && let Some(theirs) = service.spec.audience.as_deref().filter(|theirs| theirs != own)
        {
            let message = format!(
                "the caller's JWT is meant for `{own}`, and service `{}` is `{theirs}`: \
                 write `identity: {{ exchange: {{ audience: \"{theirs}\" }} }}`, or `none`",
                service.name
            );
            self.fault(&format!("{at}/identity"), message);
        }
    }

    fn shape(&mut self, spec: &CompositionSpec, names: &Names) -> Option<Shape> {
        let mut cases = Vec::new();
        for (at, case) in spec.cases.iter().enumerate() {
            let when = self.expression(&format!("/spec/cases/{at}/when"), &case.when, names);
            let form = self.form(&format!("/spec/cases/{at}/answer"), &case.answer, names);
            cases.push((when?, form?));
        }
        Some(Shape { cases, examples: Vec::new(), output: self.form("/spec/output", &spec.output, names)? })
    }

    fn form(&mut self, at: &str, spec: &AnswerSpec, names: &Names) -> Option<Form> {
        let status = StatusCode::from_u16(spec.status).ok().filter(|status| !status.is_informational());
        if status.is_none() {
            self.fault(&format!("{at}/status"), format!("{} is not a status of an answer", spec.status));
        }
        let headers = self.headers(&format!("{at}/headers"), &spec.headers, &OWN, names);
        let content = match (&spec.body, &spec.text, &spec.merge) {
            (None, None, None) => Some(Content::Nothing),
            (Some(json), None, None) => self.document(&format!("{at}/body"), json, names).map(Content::Json),
            (None, Some(text), None) => self.template(&format!("{at}/text"), text, names).map(Content::Text),
            (None, None, Some(merge)) => {
                let mut of = Vec::new();
                for (index, text) in merge.of.iter().enumerate() {
                    of.extend(self.expression(&format!("{at}/merge/of/{index}"), text, names));
                }
                Some(Content::Merge { of, conflict: merge.conflict, deep: merge.deep })
            }
            _ => {
                self.fault(at, "`body`, `text` and `merge` exclude each other");
                None
            }
        };
        Some(Form { status: status?, headers, content: content? })
    }

    fn partial(&mut self, spec: &PartialSpec, whole: &CompositionSpec) -> Option<Partial> {
        let status = match spec.status {
            Some(code) => match StatusCode::from_u16(code) {
                Ok(status) if !status.is_informational() => Some(status),
                _ => {
                    self.fault("/spec/partial/status", format!("{code} is not a status of an answer"));
                    return None;
                }
            },
            None => None,
        };
        let answers = whole.cases.iter().map(|case| &case.answer).chain([&whole.output]);
        let taken = answers.filter_map(|answer| answer.body.as_ref()?.get(&spec.member));
        if spec.report != ReportWhen::Never && taken.count() > 0 {
            let message = format!("the answer has a member `{}` of its own: name another one here", spec.member);
            self.fault("/spec/partial/member", message);
        }
        Some(Partial { status, report: spec.report, member: spec.member.clone() })
    }

    fn plan(&mut self, steps: &mut [Step], spec: &CompositionSpec) -> Option<Plan> {
        let names: Vec<String> = steps.iter().map(|step| step.name.clone()).collect();
        let index = |name: &str| names.iter().position(|known| known == name);
        for (at, (step, spec)) in steps.iter_mut().zip(&spec.steps).enumerate() {
            let mut needs: Vec<usize> = step.reads().filter_map(step_of).filter_map(index).collect();
            for (place, name) in spec.after.iter().enumerate() {
                match index(name) {
                    Some(need) => needs.push(need),
                    None => {
                        let guess = did_you_mean(name, names.iter().map(String::as_str));
                        self.fault(
                            &format!("/spec/steps/{at}/after/{place}"),
                            format!("there is no step `{name}`{guess}"),
                        );
                    }
                }
            }
            needs.sort_unstable();
            needs.dedup();
            step.needs = needs;
        }
        let needs: Vec<Vec<usize>> = steps.iter().map(|step| step.needs.clone()).collect();
        Plan::new(&needs)
            .map_err(|cycle| {
                let first = cycle.first().copied().unwrap_or_default();
                let way: Vec<&str> =
                    cycle.iter().chain([&first]).filter_map(|at| names.get(*at)).map(String::as_str).collect();
                self.fault(&format!("/spec/steps/{first}"), format!("steps wait for each other: {}", way.join(" → ")));
            })
            .ok()
    }

    fn expression(&mut self, at: &str, text: &str, names: &Names) -> Option<Expression> {
        // Both `a == b` and `${ a == b }`, since the one is as clear as the other.
        let inner = text.trim().strip_prefix("${").and_then(|text| text.strip_suffix('}')).unwrap_or(text);
        Expression::compile(inner, names).map_err(|fault| self.misread(at, &fault)).ok()
    }

    fn template(&mut self, at: &str, text: &str, names: &Names) -> Option<Template> {
        Template::compile(text, names).map_err(|fault| self.misread(at, &fault)).ok()
    }

    fn document(&mut self, at: &str, json: &Value, names: &Names) -> Option<Document> {
        let faults = match Document::compile(json, names) {
            Ok(document) => return Some(document),
            Err(faults) => faults,
        };
        faults.iter().for_each(|(pointer, fault)| self.misread(&format!("{at}{pointer}"), fault));
        None
    }

    fn misread(&mut self, at: &str, fault: &expression::Fault) {
        self.fault(at, format!("at character {}: {}", fault.offset + 1, fault.message));
    }
}
