//! What an expression is evaluated over: JSON values by name.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use cel::common::value::Val;
use serde_json::Value;

use crate::{Failure, Segment, convert};

/// One JSON value. For what is more than a path it is converted once, at first need.
pub struct Part {
    json: Value,
    converted: OnceLock<Result<Box<dyn Val>, Failure>>,
}

impl Part {
    pub fn new(json: Value) -> Arc<Self> {
        Arc::new(Self { json, converted: OnceLock::new() })
    }

    pub fn json(&self) -> &Value {
        &self.json
    }

    pub(crate) fn converted(&self) -> Result<&dyn Val, Failure> {
        let converted = self.converted.get_or_init(|| convert::to_cel(&self.json));
        converted.as_ref().map(AsRef::as_ref).map_err(|failure| *failure)
    }

    pub(crate) fn at(&self, path: &[Segment]) -> Result<&Value, Failure> {
        path.iter().try_fold(&self.json, |value, segment| match (segment, value) {
            (Segment::Key(key), Value::Object(members)) => members.get(&**key).ok_or(Failure::Missing),
            (Segment::Index(at), Value::Array(items)) => items.get(*at).ok_or(Failure::OutOfBounds),
            _ => Err(Failure::Kind),
        })
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Part(…)")
    }
}

/// A name, shared or of the program's own; to take one costs no memory.
#[derive(Debug, Clone)]
pub enum Name {
    Own(&'static str),
    Shared(Arc<str>),
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Own(name) => name,
            Self::Shared(name) => name,
        }
    }
}

impl From<&'static str> for Name {
    fn from(name: &'static str) -> Self {
        Self::Own(name)
    }
}

impl From<Arc<str>> for Name {
    fn from(name: Arc<str>) -> Self {
        Self::Shared(name)
    }
}

impl From<String> for Name {
    fn from(name: String) -> Self {
        Self::Shared(name.into())
    }
}

/// Values by the names of [`Names`](crate::Names). A clone shares the values.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    // A handful: a walk is quicker than a hash.
    parts: Vec<(Name, Arc<Part>)>,
}

impl Scope {
    pub fn set(&mut self, name: impl Into<Name>, part: Arc<Part>) {
        let name = name.into();
        match self.parts.iter_mut().find(|(known, _)| **known == *name) {
            Some((_, known)) => *known = part,
            None => self.parts.push((name, part)),
        }
    }

    pub fn get(&self, name: &str) -> Option<&Arc<Part>> {
        self.parts.iter().find(|(known, _)| **known == *name).map(|(_, part)| part)
    }
}
