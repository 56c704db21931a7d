//! A route that has its answer from configuration: a composition without steps.

use std::collections::HashSet;

use catalog::{AnswerSpec, ExampleSpec, Pattern, ReportWhen, RouteSpec};
use expression::{Document, Template};
use http::StatusCode;
use http::header::HeaderName;

use super::{Compiler, OWN};
use crate::composition::{Composition, Needs, Partial};
use crate::input;
use crate::plan::Plan;
use crate::request::header_value;
use crate::shape::{Content, Form, Shape};

impl Compiler<'_> {
    /// `None` only after a fault.
    pub(super) fn answer(&mut self, spec: RouteSpec) -> Option<Composition> {
        let pattern = Pattern::parse(&spec.matches.path);
        let pattern = pattern.map_err(|message| self.fault("/spec/match/path", message)).ok();
        let names = input::names(std::iter::empty());
        let shape = match (&spec.answer, &spec.mock) {
            (Some(answer), _) => {
                let output = self.form("/spec/answer", answer, &names)?;
                Shape { cases: Vec::new(), examples: Vec::new(), output }
            }
            (None, mock) => {
                let examples = mock.as_ref().map(|mock| mock.examples.as_slice()).unwrap_or_default();
                self.mock(examples)?
            }
        };
        Some(Composition {
            name: self.resource.name.as_str().into(),
            source: self.resource.source.clone(),
            pattern: pattern?,
            methods: spec.matches.methods,
            hosts: spec.matches.hosts,
            auth: spec.auth,
            audience: spec.audience.as_deref().map(Into::into),
            cors: spec.cors,
            deadline: std::time::Duration::ZERO,
            concurrency: 1,
            steps: Vec::new(),
            plan: Plan { levels: Vec::new(), heights: Vec::new() },
            tokens: std::collections::BTreeMap::new(),
            shape,
            partial: Partial { status: None, report: ReportWhen::Never, member: String::new() },
            max_answer: usize::MAX,
            needs: Needs::default(),
        })
    }

    fn mock(&mut self, specs: &[ExampleSpec]) -> Option<Shape> {
        if specs.is_empty() {
            self.fault("/spec/mock/examples", "at least one example is needed");
        }
        let mut seen = HashSet::new();
        let mut examples = Vec::new();
        for (at, spec) in specs.iter().enumerate() {
            let pointer = format!("/spec/mock/examples/{at}");
            let fine = !spec.name.is_empty()
                && spec.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
            if !fine {
                self.fault(
                    &format!("{pointer}/name"),
                    format!("`{}` is not a name for an example: letters, digits, `.`, `_`, `-`", spec.name),
                );
            } else if !seen.insert(spec.name.as_str()) {
                self.fault(&format!("{pointer}/name"), format!("there are two examples `{}`", spec.name));
            }
            examples.extend(self.example(&pointer, spec).map(|form| (spec.name.clone(), form)));
        }
        let names = input::names(std::iter::empty());
        let nothing =
            AnswerSpec { status: 200, headers: std::collections::BTreeMap::new(), body: None, text: None, merge: None };
        let output = self.form("/spec/mock", &nothing, &names)?;
        (examples.len() == specs.len()).then_some(Shape { cases: Vec::new(), examples, output })
    }

    fn example(&mut self, at: &str, spec: &ExampleSpec) -> Option<Form> {
        let status = StatusCode::from_u16(spec.status).ok().filter(|status| !status.is_informational());
        if status.is_none() {
            self.fault(&format!("{at}/status"), format!("{} is not a status of an answer", spec.status));
        }
        let mut headers = Vec::new();
        for (name, value) in &spec.headers {
            let pointer = format!("{at}/headers/{name}");
            match HeaderName::from_bytes(name.as_bytes()) {
                Ok(header) if OWN.contains(&header.as_str()) => {
                    self.fault(&pointer, format!("`{name}` is written by the gateway itself"));
                }
                Ok(header) if header_value(value).is_ok() => headers.push((header, Template::literal(value))),
                Ok(_) => self.fault(&pointer, "a header holds one line of visible ASCII signs"),
                Err(_) => self.fault(&pointer, format!("`{name}` is not a name of a header")),
            }
        }
        let content = match (&spec.body, &spec.text) {
            (None, None) => Content::Nothing,
            (Some(json), None) => Content::Json(Document::literal(json.clone())),
            (None, Some(text)) => Content::Text(Template::literal(text)),
            (Some(_), Some(_)) => {
                self.fault(at, "`body` and `text` exclude each other");
                return None;
            }
        };
        Some(Form { status: status?, headers, content })
    }
}
