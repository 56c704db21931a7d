//! The head of a request, read strictly (RFC 9112 §2–§6): what two readers could understand in two
//! ways is refused, since that is what request smuggling lives on.

use std::mem::MaybeUninit;
use std::net::IpAddr;
use std::sync::LazyLock;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, Method, StatusCode, Version};
use memchr::memmem::Finder;

use crate::edge::limits::Limits;
use crate::edge::received::{Received, Refusal, Target, is_authority, is_served, lists_token, strip_connection_fields};

/// A head and what it says about the connection.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) received: Received,
    pub(super) framing: Framing,
    pub(super) keep_alive: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub(super) expects_continue: bool,
}

/// `Limits::head_fields` may not be more.
const MOST_FIELDS: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
}

/// Where the head ends, looking from `from` on: the index after its empty line.
pub(super) fn end_of_head(input: &[u8], from: usize) -> Option<usize> {
    static EMPTY_LINE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\r\n\r\n"));
    let start = from.saturating_sub(3);
    let found = EMPTY_LINE.find(input.get(start..)?)?;
    Some(start.saturating_add(found).saturating_add(4))
}

/// Whether line ends are CRLF only, looking from `from` on. Also true of a head that is not yet
/// whole, so that a client that ends its lines otherwise is told so and does not wait for ever.
pub(super) fn lines_are_good(head: &[u8], from: usize) -> bool {
    let start = from.saturating_sub(1);
    let tail = head.get(start..).unwrap_or_default();
    memchr::memchr2_iter(b'\r', b'\n', tail).all(|at| {
        let at = start.saturating_add(at);
        match head.get(at) {
            Some(b'\r') => head.get(at.saturating_add(1)).is_none_or(|next| *next == b'\n'),
            _ => at.checked_sub(1).and_then(|before| head.get(before)) == Some(&b'\r'),
        }
    })
}

/// Reads a whole head, with its empty line.
pub(super) fn parse(head: &Bytes, peer: IpAddr, tls: bool, limits: &Limits) -> Result<Parsed, Refusal> {
    if !lines_are_good(head, 0) {
        return Err(Refusal::bad("lines end with CR LF, and neither stands alone"));
    }
    // Some read an empty line before a request as nothing, some as a request without a head.
    if head.starts_with(b"\r\n") {
        return Err(Refusal::bad("there is an empty line before the request"));
    }
    let mut fields = [const { MaybeUninit::uninit() }; MOST_FIELDS];
    let fields = fields.get_mut(..limits.head_fields.min(MOST_FIELDS)).unwrap_or_default();
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(head, fields) {
        Ok(httparse::Status::Complete(end)) if end == head.len() => {}
        Ok(_) => return Err(Refusal::bad("the head is not whole")),
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal::HEAD_TOO_LARGE),
        Err(httparse::Error::Version) => return Err(bad_version(head)),
        Err(_) => return Err(Refusal::bad("the request line or a field cannot be read")),
    }
    let version = match request.version {
        Some(1) => Version::HTTP_11,
        Some(0) => Version::HTTP_10,
        _ => return Err(Refusal::VERSION),
    };
    let method = request.method.and_then(|method| Method::from_bytes(method.as_bytes()).ok());
    let method = method.ok_or(Refusal::bad("the method is not a token"))?;
    if !is_served(&method) {
        return Err(Refusal::METHOD);
    }
    let raw_target = request.path.unwrap_or_default().as_bytes();
    if raw_target.len() > limits.target_bytes {
        return Err(Refusal::TARGET_TOO_LONG);
    }
    let mut headers = header_map(head, request.headers)?;
    let authority = host(&headers)?;
    let target = target(raw_target, &method, &authority)?;
    let framing = framing(&headers, version)?;
    let expects_continue = expectation(&headers, version)?;
    let http11 = version == Version::HTTP_11;
    let websocket = http11
        && method == Method::GET
        && framing == Framing::Length(0)
        && lists_token(&headers, CONNECTION, "upgrade")
        && headers.get_all(UPGRADE).iter().count() == 1
        && headers.get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let keep_alive = http11 && !lists_token(&headers, CONNECTION, "close");
    let te_trailers = http11 && lists_token(&headers, TE, "trailers");
    let length = match framing {
        Framing::Length(length) => headers.contains_key(CONTENT_LENGTH).then_some(length),
        Framing::Chunked => None,
    };
    strip_connection_fields(&mut headers);
    let received = Received { method, target, version, authority, headers, peer, tls, length, websocket, te_trailers };
    Ok(Parsed { received, framing, keep_alive, expects_continue })
}

fn bad_version(head: &[u8]) -> Refusal {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let version = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    // `HTTP/` DIGIT `.` DIGIT is a version, though not one of ours (RFC 9112 §2.3).
    match version {
        // A version of ours, so that something else is wrong with the line.
        b"HTTP/1.0" | b"HTTP/1.1" => Refusal::bad("the request line is not `method target HTTP/1.1`"),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
            Refusal::VERSION
        }
        _ => Refusal::bad("the request line is not `method target HTTP/1.1`"),
    }
}

/// The fields, their values as slices of the head: no copy.
fn header_map(head: &Bytes, fields: &[httparse::Header<'_>]) -> Result<HeaderMap, Refusal> {
    let mut headers = HeaderMap::with_capacity(fields.len().saturating_add(4));
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes())
            .map_err(|_| Refusal::bad("the name of a field is not a token"))?;
        let value = HeaderValue::from_maybe_shared(head.slice_ref(field.value))
            .map_err(|_| Refusal::bad("the value of a field holds a control character"))?;
        headers.try_append(name, value).map_err(|_| Refusal::HEAD_TOO_LARGE)?;
    }
    Ok(headers)
}

fn host(headers: &HeaderMap) -> Result<String, Refusal> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if is_authority(host.as_bytes()) => {
            Ok(std::str::from_utf8(host.as_bytes()).unwrap_or_default().to_owned())
        }
        (None, _) => Err(Refusal::bad("there is no Host")),
        (_, Some(_)) => Err(Refusal::bad("there is more than one Host")),
        _ => Err(Refusal::bad("Host is not a host with an optional port")),
    }
}

fn target(raw: &[u8], method: &Method, authority: &str) -> Result<Target, Refusal> {
    let bad = Refusal::bad("the request target is not a path with an optional query");
    if raw == b"*" && *method != Method::OPTIONS {
        return Err(bad);
    }
    if raw.first() == Some(&b'/') || raw == b"*" {
        return Target::parse(raw).ok_or(bad);
    }
    // absolute-form (RFC 9112 §3.2.2): only if it addresses the same host as `Host` does.
    let (scheme, rest) = raw.split_at_checked(memchr::memmem::find(raw, b"://").ok_or(bad)?).ok_or(bad)?;
    if !scheme.eq_ignore_ascii_case(b"http") && !scheme.eq_ignore_ascii_case(b"https") {
        return Err(bad);
    }
    let rest = rest.get(3..).unwrap_or_default();
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let (named, path) = rest.split_at_checked(end).ok_or(bad)?;
    if !is_authority(named) || !named.eq_ignore_ascii_case(authority.as_bytes()) {
        return Err(Refusal::bad("the request target addresses another host than Host"));
    }
    match path.first() {
        None => Target::parse(b"/").ok_or(bad),
        Some(b'/') => Target::parse(path).ok_or(bad),
        Some(_) => Target::parse(&[b"/", path].concat()).ok_or(bad),
    }
}

/// How long the body is (RFC 9112 §6.3), or a refusal if two readers could differ about it.
fn framing(headers: &HeaderMap, version: Version) -> Result<Framing, Refusal> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    match (codings.next(), codings.next(), lengths.next(), lengths.next()) {
        (None, _, None, _) => Ok(Framing::Length(0)),
        (None, _, Some(length), None) => {
            content_length(length.as_bytes()).map(Framing::Length).ok_or(Refusal::bad("Content-Length is not a number"))
        }
        (None, _, Some(_), Some(_)) => Err(Refusal::bad("there is more than one Content-Length")),
        (Some(_), _, Some(_), _) => Err(Refusal::bad("there are both Content-Length and Transfer-Encoding")),
        (Some(_), _, None, _) if version != Version::HTTP_11 => {
            Err(Refusal::bad("HTTP/1.0 knows no Transfer-Encoding"))
        }
        (Some(coding), None, None, _) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
        (Some(_), ..) => Err(Refusal {
            status: StatusCode::BAD_REQUEST,
            ..Refusal::bad("Transfer-Encoding is something else than `chunked`")
        }),
    }
}

/// 1*DIGIT and nothing else, and small enough to be added up.
fn content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn expectation(headers: &HeaderMap, version: Version) -> Result<bool, Refusal> {
    let mut expectations = headers.get_all(EXPECT).iter();
    match (expectations.next(), expectations.next()) {
        (None, _) => Ok(false),
        // An expectation of HTTP/1.0 is to be ignored (RFC 9110 §10.1.1).
        (Some(_), _) if version != Version::HTTP_11 => Ok(false),
        (Some(value), None) if value.as_bytes().eq_ignore_ascii_case(b"100-continue") => Ok(true),
        _ => Err(Refusal::EXPECTATION),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(head: &[u8]) -> Result<Parsed, Refusal> {
        parse(&Bytes::copy_from_slice(head), IpAddr::from([127, 0, 0, 1]), false, &Limits::default())
    }

    /// Pieces of heads that readers have disagreed about.
    fn piece() -> impl Strategy<Value = String> {
        prop_oneof![
            Just("Content-Length: 5\r\n".to_owned()),
            Just("Content-Length: 0\r\n".to_owned()),
            Just("Transfer-Encoding: chunked\r\n".to_owned()),
            Just("Transfer-Encoding: xchunked\r\n".to_owned()),
            Just("Host: b\r\n".to_owned()),
            Just("Connection: close\r\n".to_owned()),
            Just("X: y\r\n".to_owned()),
            Just(" folded\r\n".to_owned()),
            Just("\r".to_owned()),
            Just("\n".to_owned()),
            Just("\0".to_owned()),
            "[ -~]{0,12}\r\n",
            "[a-zA-Z-]{1,8}: [ -~]{0,8}\r\n",
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        /// Whatever is taken has one Host, one way to find its end, and only line ends of CR LF.
        #[test]
        fn what_is_taken_can_be_read_in_one_way(
            line in prop_oneof![Just("POST / HTTP/1.1\r\n".to_owned()), "[ -~]{0,20}\r\n"],
            before in proptest::collection::vec(piece(), 0..3),
            after in proptest::collection::vec(piece(), 0..3),
        ) {
            let head = format!("{line}{}Host: a\r\n{}\r\n", before.concat(), after.concat());
            if let Ok(parsed) = read(head.as_bytes()) {
                let lower = head.to_ascii_lowercase();
                let count = |name: &str| lower.matches(&format!("\n{name}:")).count();
                prop_assert!(count("host") == 1, "{head:?}");
                prop_assert!(count("content-length") + count("transfer-encoding") <= 1, "{head:?}");
                let rest = head.replace("\r\n", "");
                prop_assert!(!rest.contains(['\r', '\n', '\0']), "{head:?}");
                prop_assert!(!head.contains("\r\n ") && !head.contains("\r\n\t"), "{head:?}");
                let chunked = count("transfer-encoding") == 1;
                prop_assert_eq!(parsed.framing == Framing::Chunked, chunked);
                prop_assert!(parsed.received.target.path().starts_with(['/', '*']));
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
            let _ = end_of_head(&bytes, bytes.len() / 2);
            let _ = lines_are_good(&bytes, bytes.len() / 2);
        }
    }
}
