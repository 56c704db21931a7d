//! What a client is told (draft-ietf-httpapi-ratelimit-headers-11): `RateLimit-Policy` says what the plan
//! allows, `RateLimit` what is left of it: `r` calls can be sent now, and `t` seconds pass before there is
//! one more (rate), or all of them again (quota).

use http::{HeaderName, HeaderValue};

use super::rate::Rate;
use crate::edge::Exchange;

pub(crate) const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
pub(crate) const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

pub(super) const RATE: &str = "rate";
pub(super) const QUOTA: &str = "quota";

/// RFC 9651 §3.3.1
const MOST: u64 = 999_999_999_999_999;

#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    pub left: u64,
    pub within_s: u64,
}

/// `quota`: requests and length of the window in seconds.
pub(super) fn policy(rate: Option<&Rate>, quota: Option<(u64, u64)>) -> Option<HeaderValue> {
    let mut text = String::new();
    if let Some(rate) = rate {
        item(&mut text, RATE, "q", rate.requests(), "w", rate.per_s);
        if rate.burst != rate.requests() {
            text.push_str(";cardea-burst=");
            push(&mut text, rate.burst);
        }
    }
    if let Some((requests, length_s)) = quota {
        item(&mut text, QUOTA, "q", requests, "w", length_s);
    }
    if text.is_empty() { None } else { HeaderValue::try_from(text).ok() }
}

pub(super) fn tell(exchange: &mut Exchange, policy: Option<HeaderValue>, rate: Option<Item>, quota: Option<Item>) {
    let Some(policy) = policy else { return };
    let mut text = String::with_capacity(64);
    for (name, told) in [(RATE, rate), (QUOTA, quota)] {
        if let Some(told) = told {
            item(&mut text, name, "r", told.left, "t", told.within_s);
        }
    }
    if let Ok(value) = HeaderValue::try_from(text) {
        exchange.answer_headers.push((POLICY, policy));
        exchange.answer_headers.push((LIMIT, value));
    }
}

/// By hand, since every call has one.
fn item(out: &mut String, name: &str, first: &str, one: u64, second: &str, other: u64) {
    if !out.is_empty() {
        out.push_str(", ");
    }
    for part in ["\"", name, "\";", first, "="] {
        out.push_str(part);
    }
    push(out, one);
    for part in [";", second, "="] {
        out.push_str(part);
    }
    push(out, other);
}

fn push(out: &mut String, number: u64) {
    let mut rest = number.min(MOST);
    let mut digits = [b'0'; 16];
    let mut from = digits.len();
    for (at, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        from = at;
        if rest == 0 {
            break;
        }
    }
    out.push_str(digits.get(from..).and_then(|digits| std::str::from_utf8(digits).ok()).unwrap_or("0"));
}
