//! Redirect URIs: compared as text (RFC 9700 §4.1.3), but for the port of a native client's loopback
//! address (RFC 8252 §7.3).

use url::{Host, Url};

use super::spec::{ApplicationType, ClientSpec};

/// A redirect URI that belongs to the client of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedirectUri {
    uri: String,
    asked: bool,
}

impl RedirectUri {
    pub fn as_str(&self) -> &str {
        &self.uri
    }

    /// As the request had it; None if it left it out and the client has just one.
    pub fn asked(&self) -> Option<&str> {
        self.asked.then_some(self.uri.as_str())
    }
}

/// Why there is none: the user is not sent anywhere then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoRedirect {
    #[error("the request names no redirect_uri, and the client has not exactly one")]
    Missing,
    #[error("the redirect_uri is not one of the client's")]
    Unknown,
}

pub(super) fn choose(spec: &ClientSpec, asked: Option<&str>) -> Result<RedirectUri, NoRedirect> {
    let Some(asked) = asked else {
        return match spec.redirect_uris.as_slice() {
            [only] => Ok(RedirectUri { uri: only.clone(), asked: false }),
            _ => Err(NoRedirect::Missing),
        };
    };
    let native = spec.application_type == ApplicationType::Native;
    let fits = |registered: &String| registered == asked || (native && same_but_for_port(registered, asked));
    if spec.redirect_uris.iter().any(fits) {
        Ok(RedirectUri { uri: asked.to_owned(), asked: true })
    } else {
        Err(NoRedirect::Unknown)
    }
}

/// Both are `http` to the same loopback address literal with the same rest, byte for byte.
fn same_but_for_port(registered: &str, asked: &str) -> bool {
    match (split_loopback(registered), split_loopback(asked)) {
        (Some(registered), Some(asked)) => registered == asked,
        _ => false,
    }
}

/// (address, what follows the port) of `http://127.0.0.1[:port]…` and `http://[::1][:port]…`.
fn split_loopback(uri: &str) -> Option<(&'static str, &str)> {
    for address in ["http://127.0.0.1", "http://[::1]"] {
        let Some(rest) = uri.strip_prefix(address) else {
            continue;
        };
        let rest = match rest.strip_prefix(':') {
            Some(port) => {
                let end = port.find(|c: char| !c.is_ascii_digit()).unwrap_or(port.len());
                let (digits, rest) = port.split_at_checked(end)?;
                digits.parse::<u16>().ok()?;
                rest
            }
            None => rest,
        };
        // Nothing may hide behind the address, such as `http://127.0.0.1.evil` or `http://127.0.0.1@evil`.
        return (rest.is_empty() || rest.starts_with(['/', '?'])).then_some((address, rest));
    }
    None
}

/// What is wrong with a redirect URI that is to be registered.
pub(super) fn check(uri: &str, application_type: ApplicationType) -> Result<(), &'static str> {
    if uri.len() > 2000 || !uri.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("must be at most 2000 printable ASCII characters");
    }
    let Ok(parsed) = Url::parse(uri) else {
        return Err("must be an absolute URI");
    };
    // RFC 3986 §2 knows no others. Readers disagree about these, about `\` even as to which host is meant.
    if uri.bytes().any(|byte| b"\\^`{|}\"<>".contains(&byte)) {
        return Err("must not have any of \\ ^ ` { | } \" < > (RFC 3986 §2)");
    }
    if uri.contains('#') {
        return Err("must not have a fragment (RFC 6749 §3.1.2)");
    }
    if uri.contains('*') {
        return Err("must not have a wildcard: it is compared as it stands");
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err("must not have a user name or password in it");
    }
    // `https:host` is a host to browsers, and a path to everybody else.
    if matches!(parsed.scheme(), "https" | "http")
        && uri.get(parsed.scheme().len()..).is_none_or(|rest| !rest.starts_with("://"))
    {
        return Err("must have :// behind its scheme");
    }
    let is_loopback = match parsed.host() {
        Some(Host::Domain(domain)) => domain == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match (parsed.scheme(), application_type) {
        ("https", _) => Ok(()),
        ("http", _) if is_loopback => Ok(()),
        ("http", _) => Err("must be https, except for this machine's own addresses"),
        // RFC 8252 §7.1: a scheme of the application's own, a reversed domain name.
        (scheme, ApplicationType::Native) if scheme.contains('.') => Ok(()),
        (_, ApplicationType::Native) => Err("a private scheme must be a reversed domain name (RFC 8252 §7.1)"),
        (_, ApplicationType::Web) => Err("must be https, except for this machine's own addresses"),
    }
}

/// What is wrong with an address at which this server fetches something of the client's.
pub(super) fn fault_of_own_address(uri: &str) -> Option<&'static str> {
    check(uri, ApplicationType::Web).err()
}
