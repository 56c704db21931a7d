//! The headers of every page.

use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use std::fmt::Write as _;

/// Which scripts a page may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scripts {
    #[default]
    None,
    /// Files of ours.
    Own,
}

/// Headers of a page: nothing is loaded from elsewhere, nobody frames it, caches it or learns its address, and
/// its forms go to `'self'` and to `form_targets` only.
///
/// `form_targets` is needed since Chromium applies `form-action` to the redirects after a form too: the
/// login form ends at the client's `redirect_uri`.
pub fn harden(response: &mut Response, form_targets: &[String], scripts: Scripts) {
    let mut policy = String::from(
        "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'; form-action 'self'",
    );
    for target in form_targets {
        let _ = write!(policy, " {target}");
    }
    if scripts == Scripts::Own {
        policy.push_str("; script-src 'self'");
    }
    let headers = response.headers_mut();
    let policy = HeaderValue::try_from(policy);
    headers.insert(header::CONTENT_SECURITY_POLICY, policy.unwrap_or(HeaderValue::from_static("default-src 'none'")));
    insert_all(headers);
}

/// Lets the scripts of a page speak to its own server, and to one more origin that the server chose.
pub fn allow_connect(response: &mut Response, url: Option<&str>) {
    let policy = response.headers().get(header::CONTENT_SECURITY_POLICY).and_then(|value| value.to_str().ok());
    let Some(policy) = policy else { return };
    let kept = policy.split("; ").filter(|directive| !directive.starts_with("connect-src")).collect::<Vec<_>>();
    let origin = url.and_then(form_target).map(|origin| format!(" {origin}")).unwrap_or_default();
    if let Ok(policy) = HeaderValue::try_from(format!("{}; connect-src 'self'{origin}", kept.join("; "))) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
}

fn insert_all(headers: &mut HeaderMap) {
    const FIXED: &[(&str, &str)] = &[
        ("cache-control", "no-store"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
        // For browsers that do not know `frame-ancestors`.
        ("x-frame-options", "DENY"),
    ];
    for (name, value) in FIXED {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
}

/// The `form-action` source that covers a URI: its origin, or its scheme where CSP knows no narrower form
/// (private schemes of native apps, and IPv6 addresses, which a host source cannot name).
pub fn form_target(uri: &str) -> Option<String> {
    let (scheme, rest) = uri.split_once(':')?;
    let fine = scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    if scheme.is_empty() || !fine {
        return None;
    }
    let authority = rest.strip_prefix("//").map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    match authority {
        Some(host)
            if matches!(scheme, "http" | "https")
                && !host.is_empty()
                && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'_')) =>
        {
            Some(format!("{scheme}://{host}"))
        }
        _ => Some(format!("{scheme}:")),
    }
}
