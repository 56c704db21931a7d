//! Step 7: what is sent on. The opaque token is left behind, the JWT takes its place, and whatever a
//! service might take for our word about the caller is removed before we say it ourselves (R16).

use std::sync::Arc;

use catalog::{CanonicalPath, ForwardIdentity, HostHeader, ServiceSpec, Tell};
use http::header::{AUTHORIZATION, CONNECTION, HOST, HeaderMap};
use http::{HeaderName, HeaderValue, Method};

use crate::authorize::Permit;
use crate::cors::OVERRULED;
use crate::edge::{Decision, Exchange, Forward, Head, Headers};
use crate::phantom::Facts;
use crate::snapshot::{LiveRoute, Target};
use crate::upstreams::Upstream;
use crate::{compose, limits, trace};

/// What the permit is for.
pub(crate) fn prepare(permit: Permit<'_>, head: &Head<'_>, exchange: &Exchange) -> Decision {
    let (route, path, facts) = permit.into_parts();
    match route.target() {
        Target::Forward { service, upstream } => {
            let to = To { route, service: &service.spec, upstream };
            Decision::Forward(Box::new(forward(to, &path, facts.as_deref(), head, exchange)))
        }
        Target::Compose(live) => {
            Decision::Compose(compose::prepare(live, route, &path, facts.as_deref(), head, exchange))
        }
    }
}

struct To<'a> {
    route: &'a LiveRoute,
    service: &'a ServiceSpec,
    upstream: &'a Arc<Upstream>,
}

fn forward(
    to: To<'_>,
    path: &CanonicalPath<'_>,
    facts: Option<&Facts>,
    head: &Head<'_>,
    exchange: &Exchange,
) -> Forward {
    let To { route, service, upstream } = to;
    let settings = route.settings();
    let mut headers = passed_on(head.headers);
    let mut answer_secret = None;
    match (facts, service.identity.forward) {
        (Some(facts), ForwardIdentity::Jwt) => {
            if let Some(authorization) = &facts.authorization {
                headers.insert(AUTHORIZATION, authorization.clone());
            }
            answer_secret.clone_from(&facts.jwt);
        }
        (None, ForwardIdentity::AsReceived) => {
            for value in head.headers.all(AUTHORIZATION) {
                headers.append(AUTHORIZATION, value.clone());
            }
        }
        _ => {}
    }
    set_forwarded(&mut headers, head);
    for tell in &service.identity.tell {
        told(*tell, &mut headers, exchange);
    }
    trace::send_on(&mut headers, head, exchange);
    let mut path_and_query = settings.forwarded_path(path).unwrap_or_default().into_owned();
    if let Some(query) = head.query {
        path_and_query.push('?');
        path_and_query.push_str(query);
    }
    Forward {
        upstream: Arc::clone(upstream),
        path_and_query,
        headers,
        authority: match &service.host {
            HostHeader::Endpoint => None,
            HostHeader::Preserve => HeaderValue::from_str(head.authority).ok(),
            HostHeader::Fixed(host) => HeaderValue::from_str(host).ok(),
        },
        answer_strip: if route.cors().is_some() { OVERRULED.to_vec() } else { Vec::new() },
        answer_secret,
        head_timeout: settings.head_timeout,
        idle_timeout: settings.idle_timeout,
        max_body_bytes: settings.max_body,
        // RFC 9110 §9.2.2: idempotent methods; PUT and DELETE are so too, but services are often not.
        retry_safe: matches!(*head.method, Method::GET | Method::HEAD | Method::OPTIONS),
    }
}

const CARDEA_TOKEN: HeaderName = HeaderName::from_static("cardea-token");
const CARDEA_PLAN: HeaderName = HeaderName::from_static("cardea-plan");

/// What a service has asked to be told. A client cannot say it instead: `Cardea-…` from outside is dropped, and so are
/// the limits' fields where they are told.
fn told(tell: Tell, headers: &mut HeaderMap, exchange: &Exchange) {
    let mut put = |name: HeaderName, text: String| {
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(name, value);
        }
    };
    match tell {
        Tell::TokenEnd => {
            let end = exchange.steps.token_end.as_ref().and_then(|end| std::str::from_utf8(end).ok());
            if let Some(end) = end {
                put(CARDEA_TOKEN, format!("opaque;end=\"{end}\""));
            }
        }
        Tell::Plan => {
            if let Some(plan) = &exchange.plan {
                put(CARDEA_PLAN, format!("\"{plan}\";units=1"));
            }
            for name in [limits::LIMIT, limits::POLICY] {
                match exchange.answer_headers.iter().find(|(own, _)| *own == name) {
                    Some((_, value)) => drop(headers.insert(name, value.clone())),
                    None => drop(headers.remove(name)),
                }
            }
        }
    }
}

/// The client's fields that a service may see.
fn passed_on(headers: Headers<'_>) -> HeaderMap {
    let nominated = nominated(headers);
    // With room for what we add.
    let mut out = HeaderMap::with_capacity(headers.lines().saturating_add(8));
    for (name, value) in headers.iter() {
        let text = name.as_str();
        if !is_ours(text) && !nominated.iter().any(|other| other == text) {
            out.append(name.clone(), value.clone());
        }
    }
    out
}

/// What a step of a composition is told besides what the composition says.
pub(crate) fn along(head: &Head<'_>, exchange: &Exchange) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    set_forwarded(&mut headers, head);
    trace::send_on(&mut headers, head, exchange);
    headers
}

/// The client's fields that a composition may read: of these, or any.
pub(crate) fn readable(headers: Headers<'_>, names: Option<&[HeaderName]>) -> HeaderMap {
    let Some(names) = names else { return passed_on(headers) };
    let mut out = HeaderMap::new();
    let nominated = if names.is_empty() { Vec::new() } else { nominated(headers) };
    for name in names.iter().filter(|name| !is_ours(name.as_str())) {
        if !nominated.iter().any(|other| other == name.as_str()) {
            headers.all(name.clone()).for_each(|value| {
                out.append(name.clone(), value.clone());
            });
        }
    }
    out
}

/// What `Connection` names is for us alone (RFC 9110 §7.6.1).
fn nominated(headers: Headers<'_>) -> Vec<String> {
    headers
        .all(CONNECTION)
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| std::str::from_utf8(name.trim_ascii()).ok())
        .map(str::to_ascii_lowercase)
        // Without these a request would lose what it is about.
        .filter(|name| {
            !matches!(name.as_str(), "" | "close" | "keep-alive" | "host" | "content-type" | "content-length")
        })
        .collect()
}

/// Whether a field of this name from outside never reaches a service: framing and hops, credentials,
/// and everything by which some server or framework learns who the caller is or where it is.
///
/// Servers fold names before they look them up (CGI and WSGI turn `-` into `_`), so any sign but a
/// letter or digit counts as `-`, and a name with `_` is always dropped.
pub(crate) fn is_ours(name: &str) -> bool {
    if name.contains('_') {
        return true;
    }
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.bytes().all(plain) && !name.contains("--") {
        return is_ours_folded(name);
    }
    let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    is_ours_folded(&words.collect::<Vec<_>>().join("-").to_ascii_lowercase())
}

fn is_ours_folded(name: &str) -> bool {
    let name = name.trim_matches('-');
    match name.split_once('-') {
        None => ALONE.contains(&name),
        Some(("x", rest)) => X_PREFIXES.iter().any(|prefix| rest.starts_with(prefix)),
        Some(_) => PREFIXES.iter().any(|prefix| name.starts_with(prefix)),
    }
}

/// Whole names.
const ALONE: [&str; 13] = [
    "authorization",
    "connection",
    "expect",
    "forwarded",
    "from",
    "host",
    "proxy",
    "te",
    "traceparent",
    "trailer",
    "tracestate",
    "upgrade",
    "remoteuser",
];

/// Beginnings of names that do not begin with `X-`.
const PREFIXES: [&str; 27] = [
    "authenticated-",
    "authorization-",
    "cardea-",
    "cf-access-",
    "cf-connecting-",
    "client-cert",
    "client-ip",
    "client-verify",
    "content-length",
    "fastly-client-",
    "forwarded-",
    "gap-auth",
    "http2-settings",
    "http-",
    "keep-alive",
    "kong-",
    "proxy-",
    "remote-",
    "request-id",
    "ssl-",
    "tls-client-",
    "transfer-encoding",
    "true-client-",
    "user-id",
    "user-name",
    "user-email",
    "userinfo-",
];

/// Beginnings of what follows `X-`.
const X_PREFIXES: [&str; 54] = [
    "access-token",
    "account",
    "admin",
    "amzn-oidc",
    "anonymous",
    "apigateway",
    "auth",
    "bearer",
    "cardea",
    "claim",
    "client-cert",
    "client-dn",
    "client-id",
    "client-ip",
    "client-verify",
    "cluster-client-ip",
    "consumer",
    "credential",
    "email",
    "end-user",
    "endpoint-api-userinfo",
    "envoy",
    "forwarded",
    "goog-authenticated",
    "goog-iap",
    "grant",
    "group",
    "host",
    "http-method",
    "id-token",
    "identity",
    "impersonat",
    "internal",
    "jwt",
    "login",
    "method-override",
    "ms-client-principal",
    "ms-token",
    "original",
    "permission",
    "pomerium",
    "principal",
    "proxy",
    "real-ip",
    "remote",
    "request-id",
    "rewrite",
    "role",
    "scope",
    "ssl",
    "sub",
    "token",
    "user",
    "webauth",
];

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Who asked, for what: our word, whatever came in (RFC 7239 and its forerunners).
fn set_forwarded(headers: &mut HeaderMap, head: &Head<'_>) {
    let client = head.client.to_string();
    let scheme = head.scheme.as_str();
    let mut forwarded = String::with_capacity(client.len() + head.authority.len() + 32);
    let (open, close) = if head.client.is_ipv6() { ("\"[", "]\"") } else { ("", "") };
    for part in ["for=", open, &client, close, ";host=\"", head.authority, "\";proto=", scheme] {
        forwarded.push_str(part);
    }
    if let Ok(value) = HeaderValue::try_from(client) {
        headers.insert(X_FORWARDED_FOR, value);
    }
    if let Ok(host) = HeaderValue::from_str(head.authority) {
        headers.insert(X_FORWARDED_HOST, host);
    }
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme));
    if let Ok(value) = HeaderValue::try_from(forwarded) {
        headers.insert(http::header::FORWARDED, value);
    }
    headers.remove(HOST);
}
