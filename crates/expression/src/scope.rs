//! What an expression is evaluated over: JSON values by name.

use std::borrow::Cow;
use std::fmt;
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

/// Values by the names of [`Names`](crate::Names). A clone shares the values.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    // A handful: a walk is quicker than a hash.
    parts: Vec<(Cow<'static, str>, Arc<Part>)>,
}

impl Scope {
    pub fn set(&mut self, name: impl Into<Cow<'static, str>>, part: Arc<Part>) {
        let name = name.into();
        match self.parts.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = part,
            None => self.parts.push((name, part)),
        }
    }

    pub fn get(&self, name: &str) -> Option<&Arc<Part>> {
        self.parts.iter().find(|(known, _)| known == name).map(|(_, part)| part)
    }
}
