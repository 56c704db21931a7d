//! Text → policies that are checked, named and sliced.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::sync::Arc;

use cedar_policy::{Authorizer, Policy, PolicyId, Schema, ValidationMode, Validator};
use serde::Serialize;

use crate::condition::{self, Clause};
use crate::decide::next_number;
use crate::fault::{Fault, Faults, position};
use crate::height::{self, Grammar};
use crate::quick::{self, Literals};
use crate::schema;
use crate::shape::Shapes;
use crate::slices::Slices;
use crate::source::{Effect, File, Limits, Source};

/// Enough for the height that `height` lets through.
const STACK: usize = 64 * 1024 * 1024;

/// Policies that are checked against their schema; immutable, shared by `Arc`.
#[derive(Debug)]
pub struct PolicySet {
    pub(crate) shapes: Shapes,
    pub(crate) limits: Limits,
    pub(crate) slices: Slices,
    pub(crate) authorizer: Authorizer,
    pub(crate) policies: BTreeMap<PolicyId, Compiled>,
    pub(crate) literals: Literals,
    /// No other set has it.
    pub(crate) number: u64,
    warnings: Vec<Fault>,
}

#[derive(Debug)]
pub(crate) struct Compiled {
    pub info: Arc<PolicyInfo>,
    pub policy: Policy,
    pub clauses: Vec<Clause>,
    /// The policy without its conditions.
    pub scope: Option<cedar_policy::PolicySet>,
}

/// What one can know of a policy without reading it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PolicyInfo {
    /// From `@id("…")`, else the file's name and the policy's number in it.
    pub id: String,
    pub effect: Effect,
    pub file: String,
    pub line: usize,
    /// `@reason("…")`: what to say to the person concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `@advice_<name>("…")`: what would help, for example `@advice_acr_values("mfa")`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub advice: BTreeMap<String, String>,
    /// Attributes that its conditions read, such as `context.device.enrolled`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub reads: BTreeSet<String>,
}

impl PolicySet {
    pub fn compile(source: &Source) -> Result<Self, Faults> {
        Self::compile_with(source, Limits::default())
    }

    /// # Errors
    /// All faults that were found, in the order of the files.
    pub fn compile_with(source: &Source, limits: Limits) -> Result<Self, Faults> {
        measure(source, &limits)?;
        let mut high: Vec<Fault> =
            height::check(Grammar::Schema, schema::FILE, &source.schema).err().into_iter().collect();
        high.extend(
            source.files.iter().filter_map(|file| height::check(Grammar::Policies, &file.name, &file.text).err()),
        );
        if !high.is_empty() {
            return Err(Faults(high));
        }
        // Parsing takes a stack that the caller's thread may not have; nor shall a fault in it be the caller's end.
        std::thread::scope(|scope| {
            let builder = std::thread::Builder::new().name("policy".to_owned()).stack_size(STACK);
            let compiled = builder.spawn_scoped(scope, || Self::read(source, limits)).map(|thread| thread.join());
            match compiled {
                Ok(Ok(result)) => result,
                _ => Err(Faults(vec![Fault::of_file("policies", "the text cannot be compiled")])),
            }
        })
    }

    fn read(source: &Source, limits: Limits) -> Result<Self, Faults> {
        let (schema, json) = schema::read(&source.schema).map_err(Faults)?;
        let shapes = Shapes::read(&json).map_err(|error| Faults(vec![Fault::of_file(schema::FILE, error)]))?;
        let mut read = Reading::default();
        for file in &source.files {
            read.file(file);
        }
        if read.policies.len() > limits.policies {
            let message = format!("{} policies, and at most {} are allowed", read.policies.len(), limits.policies);
            read.faults.push(Fault::of_file("policies", message));
        }
        if !read.faults.is_empty() {
            return Err(Faults(read.faults));
        }
        let warnings = validate(&schema, source, &read)?;
        let mut literals = Literals::default();
        let of = |compiled: &Compiled| quick::program(&compiled.policy, &compiled.info, &shapes, &mut literals);
        let mut programs: Vec<_> = read.policies.values().map(of).collect();
        quick::share(&mut programs);
        let policies = read.policies.values().map(|compiled| &compiled.policy);
        let sliced: Vec<_> = policies.zip(programs.into_iter().map(|program| program.map(Arc::new))).collect();
        let slices = Slices::new(&schema, &shapes, &mut literals, &sliced)
            .map_err(|error| Faults(vec![Fault::of_file("policies", error)]))?;
        let (authorizer, number) = (Authorizer::new(), next_number());
        Ok(Self { shapes, limits, slices, authorizer, policies: read.policies, literals, number, warnings })
    }

    pub fn len(&self) -> usize {
        self.policies.len()
    }

    pub fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }

    /// By id.
    pub fn policies(&self) -> impl Iterator<Item = &PolicyInfo> {
        self.policies.values().map(|compiled| compiled.info.as_ref())
    }

    /// What is allowed but probably not meant, such as a policy that can never apply.
    pub fn warnings(&self) -> &[Fault] {
        &self.warnings
    }

    pub fn find(&self, id: &str) -> Option<&PolicyInfo> {
        self.policies.get(&PolicyId::new(id)).map(|compiled| compiled.info.as_ref())
    }
}

fn measure(source: &Source, limits: &Limits) -> Result<(), Faults> {
    let refuse = |message: String| Err(Faults(vec![Fault::of_file("policies", message)]));
    if source.files.len() > limits.files {
        return refuse(format!("{} files, and at most {} are allowed", source.files.len(), limits.files));
    }
    let size = source.schema.len() + source.files.iter().map(|file| file.text.len()).sum::<usize>();
    if size > limits.text_bytes {
        return refuse(format!("{size} bytes of text, and at most {} are allowed", limits.text_bytes));
    }
    let mut names = BTreeSet::new();
    match source.files.iter().find(|file| !names.insert(file.name.as_str())) {
        Some(file) => refuse(format!("two files have the name `{}`", file.name)),
        None => Ok(()),
    }
}

#[derive(Default)]
struct Reading {
    policies: BTreeMap<PolicyId, Compiled>,
    faults: Vec<Fault>,
}

impl Reading {
    fn file(&mut self, file: &File) {
        let parsed = match cedar_policy::PolicySet::from_str(&file.text) {
            Ok(parsed) => parsed,
            Err(errors) => {
                self.faults.extend(errors.iter().map(|error| Fault::of(&file.name, &file.text, error)));
                return;
            }
        };
        if parsed.templates().next().is_some() {
            let message = "templates (`?principal`, `?resource`) are not supported; write the policy out";
            self.faults.push(Fault::of_file(&file.name, message));
        }
        let mut policies: Vec<(usize, &Policy)> = parsed.policies().map(|policy| (offset(policy), policy)).collect();
        policies.sort_by_key(|(offset, _)| *offset);
        for (number, (offset, policy)) in policies.into_iter().enumerate() {
            self.policy(file, number + 1, offset, policy);
        }
    }

    fn policy(&mut self, file: &File, number: usize, offset: usize, policy: &Policy) {
        let id = match policy.annotation("id") {
            Some(id) if !id.trim().is_empty() => id.to_owned(),
            _ => format!("{}#{number}", file.name),
        };
        let Some(clauses) = condition::clauses(policy) else {
            let message = "the conditions of this policy cannot be taken apart";
            self.faults.push(Fault::at(&file.name, &file.text, offset, message));
            return;
        };
        let info = PolicyInfo {
            id: id.clone(),
            effect: match policy.effect() {
                cedar_policy::Effect::Permit => Effect::Permit,
                cedar_policy::Effect::Forbid => Effect::Forbid,
            },
            file: file.name.clone(),
            line: position(&file.text, offset).0,
            reason: policy.annotation("reason").map(str::to_owned),
            advice: policy
                .annotations()
                .filter_map(|(name, value)| Some((name.strip_prefix("advice_")?.to_owned(), value.to_owned())))
                .collect(),
            reads: clauses.iter().flat_map(|clause| clause.reads.iter().cloned()).collect(),
        };
        let id = PolicyId::new(id);
        if let Some(other) = self.policies.get(&id) {
            let message =
                format!("the id `{}` is taken by the policy at {}:{}", info.id, other.info.file, other.info.line);
            self.faults.push(Fault::at(&file.name, &file.text, offset, message));
            return;
        }
        let policy = policy.new_id(id.clone());
        let scope = condition::scope(&policy);
        self.policies.insert(id, Compiled { info: Arc::new(info), policy, clauses, scope });
    }
}

fn offset(policy: &Policy) -> usize {
    policy.as_ref().loc().map_or(0, |loc| loc.start())
}

/// The warnings, or the faults.
fn validate(schema: &Schema, source: &Source, read: &Reading) -> Result<Vec<Fault>, Faults> {
    let whole = cedar_policy::PolicySet::from_policies(read.policies.values().map(|one| one.policy.clone()))
        .map_err(|error| Faults(vec![Fault::of_file("policies", error.to_string())]))?;
    let result = Validator::new(schema.clone()).validate(&whole, ValidationMode::Strict);
    let place = |id: &PolicyId, error: &dyn miette::Diagnostic| {
        let name = read.policies.get(id).map_or("policies", |compiled| compiled.info.file.as_str());
        let text = source.files.iter().find(|file| file.name == name).map_or("", |file| file.text.as_str());
        Fault::of(name, text, error)
    };
    let faults: Vec<Fault> = result.validation_errors().map(|error| place(error.policy_id(), error)).collect();
    if !faults.is_empty() {
        return Err(Faults(faults));
    }
    Ok(result.validation_warnings().map(|warning| place(warning.policy_id(), warning)).collect())
}
