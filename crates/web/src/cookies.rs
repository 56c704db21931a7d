//! Cookies of pages: host-bound, out of scripts' reach, not sent along with requests from other sites.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};

/// How cookies are named and marked: with `Secure` and the `__Host-` prefix (RFC 6265bis §4.1.3.2) where pages
/// are served over https; with plain names where development uses plain http.
#[derive(Debug, Clone, Copy)]
pub struct Cookies {
    secure: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSite {
    Lax,
    Strict,
}

impl Cookies {
    pub fn new(secure: bool) -> Self {
        Self { secure }
    }

    /// The full name of a cookie.
    pub fn name(&self, short: &str) -> String {
        if self.secure { format!("__Host-cardea-{short}") } else { format!("cardea-{short}") }
    }

    /// The value of a cookie. A cookie sent twice counts as not sent: one of the two was planted.
    pub fn read(&self, headers: &HeaderMap, short: &str) -> Option<String> {
        let name = self.name(short);
        let mut found = None;
        for line in headers.get_all(header::COOKIE) {
            for pair in line.to_str().ok()?.split(';') {
                let Some((key, value)) = pair.trim().split_once('=') else { continue };
                if key != name {
                    continue;
                }
                if found.is_some() {
                    return None;
                }
                found = Some(value.to_owned());
            }
        }
        found.filter(|value| !value.is_empty())
    }

    /// `Set-Cookie`; without `max_age` the cookie ends with the browser. `value` is base64url text.
    pub fn set(&self, short: &str, value: &str, max_age: Option<Duration>, same_site: SameSite) -> Option<HeaderValue> {
        let name = self.name(short);
        let secure = if self.secure { "; Secure" } else { "" };
        let same_site = match same_site {
            SameSite::Lax => "Lax",
            SameSite::Strict => "Strict",
        };
        let age = max_age.map(|age| format!("; Max-Age={}", age.as_secs())).unwrap_or_default();
        let text = format!("{name}={value}; Path=/{age}; HttpOnly; SameSite={same_site}{secure}");
        HeaderValue::try_from(text).ok()
    }

    /// `Set-Cookie` that removes the cookie.
    pub fn clear(&self, short: &str) -> Option<HeaderValue> {
        self.set(short, "", Some(Duration::ZERO), SameSite::Lax)
    }
}
