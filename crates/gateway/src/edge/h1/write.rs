//! The head of an answer, written (RFC 9112 §4–§6).

use bytes::{BufMut as _, BytesMut};
use http::header::{CONTENT_LENGTH, DATE};
use http::{HeaderMap, Method, Response, StatusCode, Version};
use http_body::Body;

/// How the client finds the end of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    NoBody,
    Length(u64),
    Chunked,
    /// For HTTP/1.0: the connection closes.
    Close,
}

/// What the head of the answer depends on besides the answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) method: &'a Method,
    pub(super) version: Version,
    /// Stated in the answer; the reason is of no concern here.
    pub(super) keep_alive: bool,
}

pub(super) fn ending<B: Body>(response: &Response<B>, asked: &Asked<'_>) -> Ending {
    let status = response.status();
    let without = status.is_informational() || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
    if without || *asked.method == Method::HEAD {
        return Ending::NoBody;
    }
    match response.body().size_hint().exact() {
        Some(length) => Ending::Length(length),
        None if asked.version == Version::HTTP_11 => Ending::Chunked,
        None => Ending::Close,
    }
}

/// Writes the status line and the fields. `Content-Length` is ours, except where there is no body to
/// measure (`HEAD`, 304): there the upstream's word is passed on.
pub(super) fn head<B>(output: &mut BytesMut, response: &Response<B>, ending: Ending, asked: &Asked<'_>, date: &[u8]) {
    let status = response.status();
    output.put_slice(b"HTTP/1.1 ");
    output.put_slice(status.as_str().as_bytes());
    output.put_u8(b' ');
    output.put_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    output.put_slice(b"\r\n");
    fields(output, response.headers());
    if !response.headers().contains_key(DATE) && !status.is_informational() {
        field(output, b"date", date);
    }
    match ending {
        Ending::NoBody => {
            let told = status != StatusCode::NO_CONTENT && !status.is_informational();
            if let Some(length) = response.headers().get(CONTENT_LENGTH).filter(|_| told)
                && length.as_bytes().iter().all(u8::is_ascii_digit)
            {
                field(output, b"content-length", length.as_bytes());
            }
        }
        Ending::Length(length) => field(output, b"content-length", length.to_string().as_bytes()),
        Ending::Chunked => field(output, b"transfer-encoding", b"chunked"),
        Ending::Close => {}
    }
    if status == StatusCode::SWITCHING_PROTOCOLS {
        field(output, b"connection", b"upgrade");
        field(output, b"upgrade", b"websocket");
    } else if !asked.keep_alive || ending == Ending::Close {
        field(output, b"connection", b"close");
    }
    output.put_slice(b"\r\n");
}

/// The last chunk, with trailers if there are any and the client takes them.
pub(super) fn last_chunk(output: &mut BytesMut, trailers: Option<&HeaderMap>) {
    output.put_slice(b"0\r\n");
    if let Some(trailers) = trailers {
        fields(output, trailers);
    }
    output.put_slice(b"\r\n");
}

pub(super) fn chunk_size(output: &mut BytesMut, length: usize) {
    output.put_slice(format!("{length:x}\r\n").as_bytes());
}

fn fields(output: &mut BytesMut, headers: &HeaderMap) {
    for (name, value) in headers {
        if *name != CONTENT_LENGTH {
            field(output, name.as_str().as_bytes(), value.as_bytes());
        }
    }
}

fn field(output: &mut BytesMut, name: &[u8], value: &[u8]) {
    output.reserve(name.len() + value.len() + 4);
    output.put_slice(name);
    output.put_slice(b": ");
    output.put_slice(value);
    output.put_slice(b"\r\n");
}
