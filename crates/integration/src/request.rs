//! Requests as templates, and what they become: values are encoded for the place where they stand and
//! cannot leave it.

use bytes::Bytes;
use catalog::CanonicalPath;
use expression::{Document, Failure, Reference, Scope, Template};
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::caller::Target;
use crate::partial::Trouble;

/// All but the unreserved characters of RFC 3986 §2.3.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Written by the gateway alone.
pub(crate) const OWN_HEADERS: [&str; 15] = [
    "authorization",
    "proxy-authorization",
    "proxy-connection",
    "cookie",
    "dpop",
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "idempotency-key",
];

static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

#[derive(Debug)]
pub(crate) struct Request {
    pub target: Target,
    pub method: Method,
    pub path: Template,
    pub query: Vec<(String, Document)>,
    pub headers: Vec<(HeaderName, Template)>,
    pub body: Option<Document>,
    pub idempotency_key: Option<Template>,
}

impl Request {
    pub fn reads(&self) -> Vec<&Reference> {
        let query = self.query.iter().flat_map(|(_, value)| value.reads());
        let headers = self.headers.iter().flat_map(|(_, value)| value.reads());
        let key = self.idempotency_key.iter().flat_map(Template::reads);
        let body = self.body.iter().flat_map(Document::reads);
        self.path.reads().chain(query).chain(headers).chain(key).chain(body).collect()
    }

    /// RFC 9110 §9.2.2, and what an idempotency key makes so.
    pub fn may_repeat(&self) -> bool {
        self.method.is_idempotent() || self.idempotency_key.is_some()
    }

    pub fn is_write(&self) -> bool {
        !self.method.is_safe()
    }

    pub fn render(&self, scope: &Scope) -> Result<http::Request<Bytes>, Trouble> {
        let mut uri = self.target.path(&self.path(scope)?);
        self.query(scope, &mut uri)?;
        let uri = PathAndQuery::from_maybe_shared(Bytes::from(uri)).map_err(|_| Trouble::BadValue)?;
        let mut request = http::Request::new(Bytes::new());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = Uri::from(uri);
        let headers = request.headers_mut();
        // With room for what goes along.
        headers.reserve(self.headers.len() + 10);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        for (name, template) in &self.headers {
            if let Some(text) = template.text(scope)? {
                headers.insert(name.clone(), header_value(&text)?);
            }
        }
        if let Some(key) = &self.idempotency_key {
            // Without a key a repetition would act twice.
            let key = key.text(scope)?.filter(|key| !key.is_empty()).ok_or(Trouble::BadValue)?;
            headers.insert(IDEMPOTENCY_KEY.clone(), header_value(&key)?);
        }
        if let Some(body) = &self.body {
            headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
            let value = body.value(scope).map_err(|(_, failure)| Trouble::from(failure))?;
            *request.body_mut() = serde_json::to_vec(&value).map_err(|_| Trouble::Mapping)?.into();
        }
        Ok(request)
    }

    fn path(&self, scope: &Scope) -> Result<String, Trouble> {
        let mut bad = false;
        let path = self.path.encoded(scope, |out, value| {
            // Servers disagree about escaped slashes, so a value with one is no value for a segment.
            bad |= value.is_empty() || value.contains(['/', '\\']) || value.chars().any(char::is_control);
            out.extend(utf8_percent_encode(value, ENCODED));
            Ok(())
        })?;
        // Also refuses what values make together: `.` and `.` is a step up.
        match CanonicalPath::new(&path) {
            Ok(canonical) if !bad && canonical.as_str() == path => Ok(path),
            _ => Err(Trouble::BadValue),
        }
    }

    fn query(&self, scope: &Scope, out: &mut String) -> Result<(), Trouble> {
        let mut mark = '?';
        let mut push = |name: &str, value: &Value, out: &mut String| {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Number(_) | Value::Bool(_) => value.to_string(),
                Value::Null => return Ok(()),
                Value::Array(_) | Value::Object(_) => return Err(Trouble::BadValue),
            };
            out.push(std::mem::replace(&mut mark, '&'));
            out.extend(utf8_percent_encode(name, ENCODED));
            out.push('=');
            out.extend(utf8_percent_encode(&text, ENCODED));
            Ok(())
        };
        for (name, document) in &self.query {
            match document.value(scope).map_err(|(_, failure)| Trouble::from(failure))? {
                Value::Array(values) => values.iter().try_for_each(|value| push(name, value, out))?,
                value => push(name, &value, out)?,
            }
        }
        Ok(())
    }
}

/// Visible ASCII and spaces only: a line break would begin a header of its own (RFC 9110 §5.5).
pub(crate) fn header_value(text: &str) -> Result<HeaderValue, Trouble> {
    let fine = text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    match HeaderValue::from_str(text) {
        Ok(value) if fine => Ok(value),
        _ => Err(Trouble::BadValue),
    }
}

impl From<Failure> for Trouble {
    fn from(_: Failure) -> Self {
        Self::Mapping
    }
}
