//! The shape of the answer: mapping, merging, static and templated answers.

use std::borrow::Cow;

use bytes::Bytes;
use catalog::Conflict;
use expression::{Document, Expression, Failure, Reference, Scope, Template};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, VARY};
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value};

use crate::request::header_value;

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

#[derive(Debug)]
pub(crate) struct Shape {
    pub cases: Vec<(Expression, Form)>,
    /// Of a mock, by name: one that the request prefers, or the first, stands instead of all else.
    pub examples: Vec<(String, Form)>,
    pub output: Form,
}

#[derive(Debug)]
pub(crate) struct Form {
    pub status: StatusCode,
    pub headers: Vec<(HeaderName, Template)>,
    pub content: Content,
}

#[derive(Debug)]
pub(crate) enum Content {
    Nothing,
    Json(Document),
    Text(Template),
    Merge { of: Vec<Expression>, conflict: Conflict, deep: bool },
}

/// An answer before it is bytes, so that the report can become part of it.
#[derive(Debug)]
pub(crate) struct Shaped {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub content: Made,
}

#[derive(Debug)]
pub(crate) enum Made {
    Nothing,
    Json(Value),
    /// JSON already.
    Written(Vec<u8>),
    Text(String),
}

/// Why an answer could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Misshapen {
    #[error("{0}")]
    Mapping(#[from] Failure),
    #[error("a header of the answer cannot hold its value")]
    Header,
    #[error("two parts have different values for the same member")]
    Conflict,
    #[error("what is merged are not all objects, or not all lists")]
    Unlike,
}

impl Shape {
    pub fn reads(&self) -> Vec<&Reference> {
        let cases = self.cases.iter().flat_map(|(when, form)| when.reads().iter().chain(form.reads()));
        cases.chain(self.output.reads()).collect()
    }

    /// `open`: something will be put into the answer.
    pub fn make(&self, scope: &Scope, open: bool) -> Result<Shaped, Misshapen> {
        if !self.examples.is_empty() {
            return self.example(scope);
        }
        for (when, form) in &self.cases {
            if when.truth(scope)? {
                return form.make(scope, open);
            }
        }
        self.output.make(scope, open)
    }
}

impl Shape {
    /// RFC 7240: a preference that cannot be met is passed over; one that is, is told.
    fn example(&self, scope: &Scope) -> Result<Shaped, Misshapen> {
        let asked = scope.get("request.headers").and_then(|headers| headers.json().get("prefer")?.as_str());
        let named = |wanted: &str| self.examples.iter().find(|(name, _)| name == wanted);
        let coded = |wanted: &str| self.examples.iter().find(|(_, form)| form.status.as_str() == wanted);
        let found = preferences(asked.unwrap_or_default()).find_map(|(token, value)| {
            let (_, form) = match token.as_str() {
                "example" => named(value)?,
                "code" => coded(value)?,
                _ => return None,
            };
            Some((form, format!("{token}={value}")))
        });
        let (form, applied) = match &found {
            Some((form, applied)) => (*form, Some(applied)),
            None => (self.examples.first().map_or(&self.output, |(_, form)| form), None),
        };
        let mut shaped = form.make(scope, false)?;
        shaped.headers.append(VARY, HeaderValue::from_static("Prefer"));
        if let Some(applied) = applied.and_then(|applied| HeaderValue::from_str(applied).ok()) {
            shaped.headers.insert(PREFERENCE_APPLIED, applied);
        }
        Ok(shaped)
    }
}

/// `token=value` pairs of a `Prefer` field (RFC 7240 §2), without their parameters.
fn preferences(field: &str) -> impl Iterator<Item = (String, &str)> {
    field.split(',').filter_map(|preference| {
        let (token, value) = preference.split(';').next()?.split_once('=')?;
        Some((token.trim().to_ascii_lowercase(), value.trim().trim_matches('"')))
    })
}

impl Form {
    fn reads(&self) -> Vec<&Reference> {
        let headers = self.headers.iter().flat_map(|(_, value)| value.reads());
        let content: Vec<&Reference> = match &self.content {
            Content::Nothing => Vec::new(),
            Content::Json(document) => document.reads(),
            Content::Text(template) => template.reads().collect(),
            Content::Merge { of, .. } => of.iter().flat_map(Expression::reads).collect(),
        };
        headers.chain(content).collect()
    }

    fn make(&self, scope: &Scope, open: bool) -> Result<Shaped, Misshapen> {
        let mut headers = HeaderMap::new();
        for (name, template) in &self.headers {
            if let Some(text) = template.text(scope)? {
                headers.append(name.clone(), header_value(&text).map_err(|_| Misshapen::Header)?);
            }
        }
        let content = match &self.content {
            Content::Nothing => Made::Nothing,
            Content::Json(document) if !open => {
                let mut out = Vec::with_capacity(512);
                document.write(scope, &mut out)?;
                Made::Written(out)
            }
            Content::Json(document) => Made::Json(document.value(scope).map_err(|(_, failure)| failure)?),
            Content::Text(template) => Made::Text(template.text(scope)?.unwrap_or_default()),
            Content::Merge { of, conflict, deep } => {
                let mut values = Vec::with_capacity(of.len());
                for expression in of {
                    values.extend(expression.value(scope)?.filter(|value| !value.is_null()).map(Cow::into_owned));
                }
                Made::Json(merge(values, *conflict, *deep)?)
            }
        };
        Ok(Shaped { status: self.status, headers, content })
    }
}

impl Shaped {
    /// Of its content as it will be written.
    pub fn size(&self) -> usize {
        match &self.content {
            Made::Nothing => 0,
            Made::Json(value) => serde_json::to_vec(value).map_or(0, |json| json.len()),
            Made::Written(json) => json.len(),
            Made::Text(text) => text.len(),
        }
    }

    pub fn into_parts(mut self) -> (StatusCode, HeaderMap, Bytes) {
        let (kind, body) = match self.content {
            Made::Nothing => return (self.status, self.headers, Bytes::new()),
            Made::Json(value) => ("application/json", serde_json::to_vec(&value).unwrap_or_default()),
            Made::Written(json) => ("application/json", json),
            Made::Text(text) => ("text/plain; charset=utf-8", text.into_bytes()),
        };
        self.headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static(kind));
        (self.status, self.headers, body.into())
    }
}

/// Objects made one, in order, or lists one behind the other; nothing at all is an empty object.
pub(crate) fn merge(values: Vec<Value>, conflict: Conflict, deep: bool) -> Result<Value, Misshapen> {
    let mut values = values.into_iter();
    match values.next() {
        None => Ok(Value::Object(Map::new())),
        Some(Value::Object(mut into)) => {
            for value in values {
                let Value::Object(members) = value else { return Err(Misshapen::Unlike) };
                merge_into(&mut into, members, conflict, deep)?;
            }
            Ok(Value::Object(into))
        }
        Some(Value::Array(mut into)) => {
            for value in values {
                let Value::Array(items) = value else { return Err(Misshapen::Unlike) };
                into.extend(items);
            }
            Ok(Value::Array(into))
        }
        Some(_) => Err(Misshapen::Unlike),
    }
}

fn merge_into(
    into: &mut Map<String, Value>,
    members: Map<String, Value>,
    conflict: Conflict,
    deep: bool,
) -> Result<(), Misshapen> {
    for (key, value) in members {
        match (into.get_mut(&key), value) {
            (None, value) => {
                into.insert(key, value);
            }
            (Some(Value::Object(known)), Value::Object(value)) if deep => merge_into(known, value, conflict, deep)?,
            (Some(known), value) if *known == value => {}
            (Some(known), value) => match conflict {
                Conflict::Fail => return Err(Misshapen::Conflict),
                Conflict::First => {}
                Conflict::Last => *known = value,
            },
        }
    }
    Ok(())
}
