//! Tests of the rules: policies and questions in, decisions out.

mod explaining;
mod faults;
mod fitting;
mod properties;
mod quick;
mod rules;
mod suites;

use base::Time;

use crate::{Directory, Engine, EntitySpec, Party, PolicySet, Question, Source};

pub const NOW: Time = Time(1_767_225_600_000);

pub fn compile(text: &str) -> PolicySet {
    PolicySet::compile(&Source::text("p.cedar", text)).unwrap()
}

pub fn engine(text: &str) -> Engine {
    Engine::of(compile(text))
}

pub fn with(text: &str, schema: &str, entities: serde_json::Value) -> Engine {
    let policies = PolicySet::compile(&Source::text("p.cedar", text).with_schema(schema)).unwrap();
    let specs: Vec<EntitySpec> = serde_json::from_value(entities).unwrap();
    let directory = Directory::new(&policies, &specs).unwrap();
    Engine::new(policies.into(), directory.into())
}

/// May alice call this operation?
pub fn call(operation: &str) -> Question {
    let (api, _) = operation.split_once('.').unwrap();
    Question::new(Party::new("user", "alice"), "call", Party::new("operation", operation).property("api", api), NOW)
}
