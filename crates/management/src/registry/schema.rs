//! Whether a schema (JSON Schema, as OpenAPI 3.0 and 3.1 have it) lets through what an older one let through.
//!
//! What is compared: types, values, bounds, what is required, members, items. What cannot be decided is no
//! finding: a report that cries wolf is not read.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde_json::Value;

use super::openapi::OpenApi;

/// Schemas refer to themselves; nobody reads what is deeper.
const MOST_DEPTH: usize = 12;
const MOST_FINDINGS: usize = 200;

/// Of all schemas of two documents together. Forty members that are all itself, twelve deep, have no end otherwise.
const MOST_STEPS: usize = 1_000_000;

/// What is left of the work that a comparison of two documents may be.
#[derive(Debug)]
pub struct Effort(Cell<usize>);

impl Default for Effort {
    fn default() -> Self {
        Self(Cell::new(MOST_STEPS))
    }
}

impl Effort {
    fn spend(&self, steps: usize) -> bool {
        let left = self.0.get().saturating_sub(steps);
        self.0.set(left);
        left > 0
    }

    /// Not all of it was looked at.
    pub fn is_spent(&self) -> bool {
        self.0.get() == 0
    }
}

/// Which way the data goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The client sends it: what was accepted must stay accepted.
    In,
    /// The client receives it: what was promised must stay promised.
    Out,
}

/// A schema with its `allOf` folded into it.
#[derive(Debug, Default)]
struct View<'a> {
    types: BTreeSet<&'a str>,
    values: Option<Vec<&'a Value>>,
    required: BTreeSet<&'a str>,
    members: BTreeMap<&'a str, &'a Value>,
    items: Option<&'a Value>,
    closed: bool,
    pattern: Option<&'a str>,
    bounds: BTreeMap<&'static str, f64>,
    alternatives: Vec<&'a Value>,
}

/// The upper bounds, then the lower ones.
const UPPER: [&str; 5] = ["maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"];
const LOWER: [&str; 5] = ["minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"];

/// Compares, and says what breaks: (rule, where in the data, message).
pub struct Comparison<'a> {
    pub old: OpenApi<'a>,
    pub new: OpenApi<'a>,
    pub way: Way,
    pub effort: &'a Effort,
    pub found: Vec<(&'static str, String)>,
}

impl<'a> Comparison<'a> {
    pub fn run(&mut self, at: &str, old: &'a Value, new: &'a Value) {
        self.compare(at, old, new, MOST_DEPTH);
    }

    fn say(&mut self, rule: &'static str, message: String) {
        if self.found.len() < MOST_FINDINGS {
            self.found.push((rule, message));
        }
    }

    fn compare(&mut self, at: &str, old: &'a Value, new: &'a Value, depth: usize) {
        let Some(depth) = depth.checked_sub(1) else { return };
        if !self.effort.spend(1) {
            return;
        }
        let (was, is) = (view(self.old, old, self.effort), view(self.new, new, self.effort));
        self.types(at, &was, &is);
        if self.way == Way::In {
            self.narrowing(at, &was, &is);
        }
        self.required(at, &was, &is);
        for (name, before) in &was.members {
            match is.members.get(name) {
                Some(after) => self.compare(&format!("{at}.{name}"), before, after, depth),
                None if self.way == Way::Out => self.say("response_property_removed", format!("`{at}.{name}` is gone")),
                None => {}
            }
        }
        if let (Some(before), Some(after)) = (was.items, is.items) {
            self.compare(&format!("{at}[]"), before, after, depth);
        }
        if was.alternatives.len() == is.alternatives.len() {
            for (before, after) in was.alternatives.iter().zip(&is.alternatives) {
                self.compare(at, before, after, depth);
            }
        } else if self.way == Way::In && is.alternatives.len() < was.alternatives.len() {
            self.say("type_narrowed", format!("`{at}` may be one of fewer alternatives"));
        }
    }

    fn types(&mut self, at: &str, was: &View<'_>, is: &View<'_>) {
        let list = |types: &BTreeSet<&str>| {
            if types.is_empty() {
                "anything".to_owned()
            } else {
                types.iter().copied().collect::<Vec<_>>().join(" or ")
            }
        };
        let within = |inner: &BTreeSet<&str>, outer: &BTreeSet<&str>| {
            let covers = |kind: &&str| outer.contains(kind) || (*kind == "integer" && outer.contains("number"));
            outer.is_empty() || (!inner.is_empty() && inner.iter().all(covers))
        };
        let (fine, rule) = match self.way {
            Way::In => (within(&was.types, &is.types), "type_narrowed"),
            Way::Out => (within(&is.types, &was.types), "response_type_changed"),
        };
        if !fine {
            self.say(rule, format!("`{at}` was {}, and is {}", list(&was.types), list(&is.types)));
        }
    }

    fn narrowing(&mut self, at: &str, was: &View<'_>, is: &View<'_>) {
        if let Some(now) = &is.values {
            let gone = match &was.values {
                None => vec!["anything else".to_owned()],
                Some(before) => {
                    let now: HashSet<String> = now.iter().map(ToString::to_string).collect();
                    before.iter().map(ToString::to_string).filter(|value| !now.contains(value)).take(20).collect()
                }
            };
            if !gone.is_empty() {
                self.say("type_narrowed", format!("`{at}` takes no longer {}", gone.join(", ")));
            }
        }
        for (name, now) in &is.bounds {
            let tighter = match was.bounds.get(name) {
                None => true,
                Some(before) if UPPER.contains(name) => now < before,
                Some(before) => now > before,
            };
            if tighter {
                self.say("type_narrowed", format!("`{at}` has a tighter `{name}`: {now}"));
            }
        }
        if is.pattern.is_some() && is.pattern != was.pattern {
            self.say("type_narrowed", format!("`{at}` has another pattern"));
        }
        if is.closed && !was.closed {
            self.say("type_narrowed", format!("`{at}` takes no further members"));
        }
    }

    fn required(&mut self, at: &str, was: &View<'_>, is: &View<'_>) {
        match self.way {
            Way::In => {
                for name in is.required.difference(&was.required) {
                    self.say("required_property_added", format!("`{at}.{name}` must be sent"));
                }
            }
            Way::Out => {
                let still = |name: &&&str| is.members.contains_key(**name);
                let loosened: Vec<&str> = was.required.difference(&is.required).filter(still).copied().collect();
                for name in loosened {
                    self.say("response_property_optional", format!("`{at}.{name}` may be missing"));
                }
            }
        }
    }
}

fn view<'a>(openapi: OpenApi<'a>, schema: &'a Value, effort: &Effort) -> View<'a> {
    let mut view = View::default();
    fold(openapi, schema, &mut view, MOST_DEPTH, effort);
    view
}

fn fold<'a>(openapi: OpenApi<'a>, schema: &'a Value, view: &mut View<'a>, depth: usize, effort: &Effort) {
    let Some(depth) = depth.checked_sub(1) else { return };
    let Some(schema) = openapi.resolve(schema).and_then(Value::as_object) else { return };
    let lists = ["enum", "required", "type", "oneOf", "anyOf"].iter().filter_map(|name| schema.get(*name)?.as_array());
    let members = schema.get("properties").and_then(Value::as_object).map_or(0, serde_json::Map::len);
    if !effort.spend(lists.map(Vec::len).sum::<usize>().saturating_add(members).saturating_add(1)) {
        return;
    }
    match schema.get("type") {
        Some(Value::String(kind)) => view.types.extend([kind.as_str()]),
        Some(Value::Array(kinds)) => view.types.extend(kinds.iter().filter_map(Value::as_str)),
        _ => {}
    }
    // OpenAPI 3.0 has a word of its own for it.
    if schema.get("nullable") == Some(&Value::Bool(true)) && !view.types.is_empty() {
        view.types.insert("null");
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        view.values = Some(values.iter().collect());
    }
    if let Some(value) = schema.get("const") {
        view.values = Some(vec![value]);
    }
    view.required
        .extend(schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str));
    for (name, member) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        view.members.insert(name, member);
    }
    view.items = view.items.or_else(|| schema.get("items"));
    view.closed |= schema.get("additionalProperties") == Some(&Value::Bool(false));
    view.pattern = view.pattern.or_else(|| schema.get("pattern").and_then(Value::as_str));
    for name in UPPER.into_iter().chain(LOWER) {
        if let Some(bound) = schema.get(name).and_then(Value::as_f64) {
            view.bounds.insert(name, bound);
        }
    }
    for list in ["oneOf", "anyOf"] {
        view.alternatives.extend(schema.get(list).and_then(Value::as_array).into_iter().flatten());
    }
    for part in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
        fold(openapi, part, view, depth, effort);
    }
}
