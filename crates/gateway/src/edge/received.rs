//! A request as the engine holds it, whichever version it came in.

use std::net::IpAddr;

use http::header::{CONNECTION, HOST, HeaderName};
use http::{HeaderMap, Method, Version};

use super::{Head, Headers, Scheme};

/// The head of a request that is well framed.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) method: Method,
    pub(super) target: Target,
    pub(super) version: Version,
    pub(super) authority: String,
    /// Without the fields that concern this connection only.
    pub(super) headers: HeaderMap,
    /// The other end of the connection.
    pub(super) peer: IpAddr,
    pub(super) tls: bool,
    /// `Content-Length`, where there is one.
    pub(super) length: Option<u64>,
    /// The client wants to go on with the WebSocket protocol (RFC 6455).
    pub(super) websocket: bool,
    /// The client takes trailers (RFC 9110 §10.1.4).
    pub(super) te_trailers: bool,
}

impl Received {
    pub(super) fn head(&self, client: IpAddr, scheme: Scheme) -> Head<'_> {
        Head {
            method: &self.method,
            path: self.target.path(),
            query: self.target.query(),
            version: self.version,
            scheme,
            authority: &self.authority,
            headers: Headers::Map(&self.headers),
            client,
        }
    }
}

/// A request target in origin-form (RFC 9112 §3.2.1) or `*`, checked.
#[derive(Debug, Clone)]
pub(super) struct Target {
    text: String,
    /// Where the `?` is.
    query_at: Option<usize>,
}

impl Target {
    /// `None` if there is a byte that may not be in a target. The path is as RFC 3986 §3.3 has it;
    /// in the query what browsers leave as it is (`[`, `|`, `{` …) is let through.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let query_at = memchr::memchr(b'?', text);
        let (path, query) = match query_at {
            Some(at) => text.split_at_checked(at)?,
            None => (text, [].as_slice()),
        };
        let path_is_good = path == b"*" || (path.first() == Some(&b'/') && is_path(path));
        let query_is_good =
            query.iter().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'#' | b'"' | b'<' | b'>'));
        if !path_is_good || !query_is_good {
            return None;
        }
        Some(Self { text: String::from_utf8(text.to_vec()).ok()?, query_at })
    }

    pub(super) fn path(&self) -> &str {
        let end = self.query_at.unwrap_or(self.text.len());
        self.text.get(..end).unwrap_or("/")
    }

    pub(super) fn query(&self) -> Option<&str> {
        self.text.get(self.query_at?.saturating_add(1)..)
    }
}

fn is_path(path: &[u8]) -> bool {
    let mut rest = path;
    while let [first, after @ ..] = rest {
        rest = match (first, after) {
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => after,
            (b'%', _) => return false,
            (byte, _) if byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(byte) => after,
            _ => return false,
        };
    }
    true
}

/// Whether this is `uri-host [ ":" port ]` (RFC 9110 §7.2) of a name, an IPv4 address, or an IPv6
/// address in brackets; never empty, never with a user.
pub(super) fn is_authority(text: &[u8]) -> bool {
    let (host, port) = match text.first() {
        Some(b'[') => {
            let Some(end) = memchr::memchr(b']', text) else { return false };
            let Some((address, rest)) = text.split_at_checked(end.saturating_add(1)) else { return false };
            let inner = address.get(1..end).and_then(|inner| std::str::from_utf8(inner).ok());
            if inner.and_then(|inner| inner.parse::<std::net::Ipv6Addr>().ok()).is_none() {
                return false;
            }
            (None, rest)
        }
        _ => {
            let end = memchr::memchr(b':', text).unwrap_or(text.len());
            let Some((host, rest)) = text.split_at_checked(end) else { return false };
            (Some(host), rest)
        }
    };
    let host_is_good = host.is_none_or(|host| {
        !host.is_empty()
            && host.len() <= 255
            && host.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~'))
    });
    let port_is_good = match port {
        [] => true,
        [b':', digits @ ..] => {
            let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<u16>().ok());
            digits.iter().all(u8::is_ascii_digit) && number.is_some()
        }
        _ => false,
    };
    host_is_good && port_is_good
}

/// The longest method that is registered has 17 letters.
const LONGEST_METHOD: usize = 32;

/// Whether a method may be served. Methods are told apart by case (RFC 9110 §9.1), and many frameworks do not:
/// `delete` would pass by a rule for `DELETE` and be one behind the gateway. What is left is of capitals, digits, `-`
/// and `_`, as all registered ones are, and safe in any log and table.
pub(super) fn is_served(method: &Method) -> bool {
    let text = method.as_str();
    let plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    text.len() <= LONGEST_METHOD
        && text.bytes().next().is_some_and(|first| first.is_ascii_uppercase())
        && text.bytes().all(plain)
        && *method != Method::CONNECT
        && *method != Method::TRACE
}

/// Removes what concerns one connection only (RFC 9110 §7.6.1), also what `Connection` names.
/// `Content-Length` and `Host` stay: they are replaced when the message is written again.
pub(super) fn strip_connection_fields(headers: &mut HeaderMap) {
    // To go once through the names costs less than to ask for each, and mostly there is none.
    let mut gone: Vec<HeaderName> = headers.keys().filter(|name| is_of_connection(name)).cloned().collect();
    if gone.contains(&CONNECTION) {
        let named = headers
            .get_all(CONNECTION)
            .iter()
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .map(<[u8]>::trim_ascii)
            // Most often it is this, which is gone anyway.
            .filter(|name| !name.eq_ignore_ascii_case(b"keep-alive"))
            .filter_map(|name| HeaderName::from_bytes(name).ok());
        gone.extend(named);
    }
    for name in gone {
        headers.remove(name);
    }
}

fn is_of_connection(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "http2-settings"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Removes from an outgoing request whatever the engine writes itself.
pub(super) fn strip_framing(headers: &mut HeaderMap) {
    strip_connection_fields(headers);
    for name in [HOST, http::header::CONTENT_LENGTH, http::header::EXPECT] {
        headers.remove(name);
    }
}

/// Whether a list field names a token, in any case (RFC 9110 §5.6.1).
pub(super) fn lists_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

/// Why a request is refused before the pipeline sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: http::StatusCode,
    /// End of the problem's type, and counter.
    pub(super) slug: &'static str,
    pub(super) title: &'static str,
    pub(super) detail: &'static str,
}

impl Refusal {
    pub(super) const fn bad(detail: &'static str) -> Self {
        Self {
            status: http::StatusCode::BAD_REQUEST,
            slug: "malformed_request",
            title: "The request is not well formed",
            detail,
        }
    }

    pub(super) const TARGET_TOO_LONG: Self = Self {
        status: http::StatusCode::URI_TOO_LONG,
        slug: "target_too_long",
        title: "The request target is too long",
        detail: "shorten the path or the query",
    };

    pub(super) const HEAD_TOO_LARGE: Self = Self {
        status: http::StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        slug: "head_too_large",
        title: "The request's head is too large",
        detail: "send fewer or shorter header fields",
    };

    pub(super) const HEAD_TIMEOUT: Self = Self {
        status: http::StatusCode::REQUEST_TIMEOUT,
        slug: "head_timeout",
        title: "The request's head took too long",
        detail: "send the whole head at once",
    };

    pub(super) const METHOD: Self = Self {
        status: http::StatusCode::NOT_IMPLEMENTED,
        slug: "method_not_implemented",
        title: "This method is not served",
        detail: "a method is written in capitals, of at most 32 letters; CONNECT and TRACE are not served",
    };

    pub(super) const VERSION: Self = Self {
        status: http::StatusCode::HTTP_VERSION_NOT_SUPPORTED,
        slug: "version_not_supported",
        title: "This version of HTTP is not served",
        detail: "use HTTP/1.1 or HTTP/2",
    };

    pub(super) const EXPECTATION: Self = Self {
        status: http::StatusCode::EXPECTATION_FAILED,
        slug: "expectation_failed",
        title: "This expectation cannot be met",
        detail: "only `Expect: 100-continue` is known",
    };
}

/// A request's body as it comes in.
pub(super) enum Source {
    Empty,
    /// Of a request of the gateway's own.
    Whole(bytes::Bytes),
    H1(super::h1::Body),
    H2(hyper::body::Incoming),
}
