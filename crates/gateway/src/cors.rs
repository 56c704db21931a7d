//! Step 2: cross-origin requests (Fetch §3.2). A preflight is answered from configuration, without a
//! token; the answer to any other request is made readable for the origins that are allowed. This
//! protects the browser's user, it lets nobody in.

use bytes::Bytes;
use catalog::{CanonicalPath, CorsSpec};
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
    ORIGIN, VARY,
};
use http::{HeaderName, HeaderValue, Method, Response, StatusCode};

use crate::edge::{Exchange, Head};
use crate::pipeline::Stop;
use crate::route::Matched;
use crate::snapshot::LiveRoute;

/// A request that is no preflight.
#[derive(Debug)]
pub(crate) struct Cleared<'a> {
    matched: Matched<'a>,
}

impl<'a> Cleared<'a> {
    pub fn route(&self) -> &'a LiveRoute {
        self.matched.route()
    }

    pub fn into_parts(self) -> (&'a LiveRoute, CanonicalPath<'a>) {
        self.matched.into_parts()
    }
}

/// `cors` of a route, as header values.
#[derive(Debug)]
pub(crate) struct Cors {
    any_origin: bool,
    origins: Vec<String>,
    credentials: bool,
    allow_headers: Option<HeaderValue>,
    expose_headers: Option<HeaderValue>,
    max_age: HeaderValue,
}

impl Cors {
    pub fn new(spec: &CorsSpec) -> Self {
        let list = |names: &[String]| {
            let names: Vec<String> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
            if names.is_empty() { None } else { HeaderValue::from_str(&names.join(", ")).ok() }
        };
        Self {
            any_origin: spec.origins.iter().any(|origin| origin == "*"),
            origins: spec.origins.clone(),
            credentials: spec.credentials,
            allow_headers: list(&spec.headers),
            expose_headers: list(&exposed(&spec.expose_headers)),
            max_age: HeaderValue::from(spec.max_age.0.as_secs()),
        }
    }

    /// What goes onto every answer; nothing but `Vary` for an origin that is not allowed.
    fn fields(&self, origin: Option<&HeaderValue>) -> Vec<(HeaderName, HeaderValue)> {
        let mut fields = Vec::with_capacity(4);
        if !self.any_origin {
            // Or a cache would give one origin's answer to another.
            fields.push((VARY, HeaderValue::from_static("Origin")));
        }
        let Some(origin) = origin.filter(|origin| self.allows(origin)) else { return fields };
        let allowed = if self.any_origin { HeaderValue::from_static("*") } else { origin.clone() };
        fields.push((ACCESS_CONTROL_ALLOW_ORIGIN, allowed));
        if self.credentials {
            fields.push((ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true")));
        }
        if let Some(expose) = &self.expose_headers {
            fields.push((ACCESS_CONTROL_EXPOSE_HEADERS, expose.clone()));
        }
        fields
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        self.any_origin || self.origins.iter().any(|own| own.as_bytes() == origin.as_bytes())
    }
}

/// What the configuration names, and what a well-behaved client needs to read of ours.
fn exposed(names: &[String]) -> Vec<String> {
    const OWN: [&str; 6] = ["x-request-id", "ratelimit", "ratelimit-policy", "retry-after", "deprecation", "sunset"];
    let own = OWN.iter().filter(|own| !names.iter().any(|name| name.eq_ignore_ascii_case(own)));
    names.iter().cloned().chain(own.map(|own| (*own).to_owned())).collect()
}

/// Answers of the service that would contradict the configuration.
pub(crate) const OVERRULED: [HeaderName; 6] = [
    ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE,
];

/// The method that a preflight asks about; `None`: the request is not one.
pub(crate) fn preflight<'a>(head: &Head<'a>) -> Option<&'a str> {
    if *head.method != Method::OPTIONS || head.headers.first(ORIGIN).is_none() {
        return None;
    }
    head.headers.single(ACCESS_CONTROL_REQUEST_METHOD).ok()??.to_str().ok().filter(|method| !method.is_empty())
}

pub(crate) fn clear<'a>(matched: Matched<'a>, head: &Head<'_>, exchange: &mut Exchange) -> Result<Cleared<'a>, Stop> {
    let Some(cors) = matched.route().cors() else { return Ok(Cleared { matched }) };
    let origin = head.headers.single(ORIGIN).ok().flatten();
    exchange.answer_headers.extend(cors.fields(origin));
    match preflight(head) {
        Some(method) => Err(Stop::Answer(Box::new(permission(cors, origin, method)))),
        None => Ok(Cleared { matched }),
    }
}

/// 204 in any case: what is not allowed is left unsaid, and the browser draws its conclusion.
fn permission(cors: &Cors, origin: Option<&HeaderValue>, method: &str) -> Response<Bytes> {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("Access-Control-Request-Method, Access-Control-Request-Headers"));
    if origin.is_some_and(|origin| cors.allows(origin)) {
        if let Ok(method) = HeaderValue::from_str(method) {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, method);
        }
        if let Some(allow) = &cors.allow_headers {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, allow.clone());
        }
        headers.insert(ACCESS_CONTROL_MAX_AGE, cors.max_age.clone());
    }
    response
}
