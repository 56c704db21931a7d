//! What lets one request be followed: its id (ours) and W3C trace context (continued or begun).

use base::random::unique;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::edge::{Exchange, Head, RequestLine};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Notes what log and answer need, before anything is decided.
pub(crate) fn begin(head: &Head<'_>, exchange: &mut Exchange) {
    exchange.request = Some(Box::new(RequestLine {
        method: head.method.clone(),
        path: head.path.to_owned(),
        authority: head.authority.to_owned(),
        scheme: head.scheme,
        version: head.version,
        client: head.client,
    }));
    if let Ok(id) = HeaderValue::from_str(exchange.request_id.as_str()) {
        exchange.answer_headers.push((X_REQUEST_ID, id));
    }
    // By hand: the machinery of `format!` costs more than all else here.
    let mut traceparent = String::with_capacity(55);
    traceparent.push_str("00-");
    let flags = match incoming(head) {
        Some((trace, flags)) => {
            traceparent.push_str(trace);
            flags
        }
        None => {
            push_hex(&mut traceparent, unique::<16>());
            "00"
        }
    };
    traceparent.push('-');
    push_hex(&mut traceparent, unique::<8>());
    traceparent.push('-');
    traceparent.push_str(flags);
    exchange.traceparent = Some(traceparent);
}

/// The context on the way to the service.
pub(crate) fn send_on(headers: &mut HeaderMap, head: &Head<'_>, exchange: &Exchange) {
    if let Some(value) = exchange.traceparent.as_deref().and_then(|text| HeaderValue::from_str(text).ok()) {
        headers.insert(TRACEPARENT, value);
    }
    // Meaningless without the parent that it belongs to (Trace Context §3.3).
    if incoming(head).is_some() {
        for value in head.headers.all(TRACESTATE) {
            headers.append(TRACESTATE, value.clone());
        }
    }
    if let Ok(id) = HeaderValue::from_str(exchange.request_id.as_str()) {
        headers.insert(X_REQUEST_ID, id);
    }
}

/// Trace id and flags of a `traceparent` in version 00 (Trace Context §3.2).
fn incoming<'a>(head: &Head<'a>) -> Option<(&'a str, &'a str)> {
    let text = head.headers.single(TRACEPARENT).ok()??.to_str().ok()?;
    let mut parts = text.split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_zero = |text: &str| text.bytes().all(|byte| byte == b'0');
    let good = version == "00"
        && parts.next().is_none()
        && is_hex(trace, 32)
        && !is_zero(trace)
        && is_hex(parent, 16)
        && !is_zero(parent)
        && is_hex(flags, 2);
    good.then_some((trace, flags))
}

fn push_hex<const N: usize>(out: &mut String, bytes: [u8; N]) {
    let digit = |value: u8| if value < 10 { b'0' + value } else { b'a' + value - 10 };
    let digits = bytes.map(|byte| [digit(byte >> 4), digit(byte & 0x0f)]);
    out.push_str(std::str::from_utf8(digits.as_flattened()).unwrap_or_default());
}
