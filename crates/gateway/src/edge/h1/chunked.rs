//! The chunked coding (RFC 9112 §7.1), read strictly.

use bytes::{Buf as _, Bytes, BytesMut};

/// Longest line with a chunk's size; no extension is of use to us.
const MAX_SIZE_LINE: usize = 256;
/// Extensions of a whole body, so that a body of tiny chunks cannot carry endless ones.
const MAX_EXTENSIONS: usize = 16 * 1024;
const MAX_TRAILERS: usize = 8 * 1024;

#[derive(Debug)]
pub(super) struct Decoder {
    state: State,
    extension_bytes: usize,
    trailer_bytes: usize,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Size,
    Data(u64),
    DataEnd,
    Trailers,
    Done,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Data(Bytes),
    /// More input is needed.
    More,
    Done,
    Bad,
}

impl Decoder {
    pub(super) fn new() -> Self {
        Self { state: State::Size, extension_bytes: 0, trailer_bytes: 0 }
    }

    pub(super) fn step(&mut self, input: &mut BytesMut) -> Step {
        loop {
            let next = match self.state {
                State::Done => return Step::Done,
                State::Size => self.size(input),
                State::Data(left) => {
                    if input.is_empty() {
                        return Step::More;
                    }
                    let length = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                    let taken = u64::try_from(length).unwrap_or(u64::MAX);
                    let left = left.saturating_sub(taken);
                    self.state = if left == 0 { State::DataEnd } else { State::Data(left) };
                    return Step::Data(input.split_to(length).freeze());
                }
                State::DataEnd => match input.get(..2) {
                    None if input.first().is_none_or(|byte| *byte == b'\r') => Err(Step::More),
                    Some(b"\r\n") => {
                        input.advance(2);
                        Ok(State::Size)
                    }
                    _ => Err(Step::Bad),
                },
                State::Trailers => self.trailer(input),
            };
            match next {
                Ok(state) => self.state = state,
                Err(step) => return step,
            }
        }
    }

    fn size(&mut self, input: &mut BytesMut) -> Result<State, Step> {
        let line = take_line(input, MAX_SIZE_LINE)?;
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let (size, extension) = line.split_at_checked(digits).ok_or(Step::Bad)?;
        // An extension begins with `;` at once: space before it has been read as part of the size
        // by some, as the end of the line by others.
        let extension_is_good = match extension {
            [] => true,
            [b';', rest @ ..] => rest.iter().all(|byte| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\t')),
            _ => false,
        };
        self.extension_bytes = self.extension_bytes.saturating_add(extension.len());
        // 15 digits cannot overflow.
        if digits == 0 || digits > 15 || !extension_is_good || self.extension_bytes > MAX_EXTENSIONS {
            return Err(Step::Bad);
        }
        let size = std::str::from_utf8(size).ok().and_then(|size| u64::from_str_radix(size, 16).ok());
        match size.ok_or(Step::Bad)? {
            0 => Ok(State::Trailers),
            size => Ok(State::Data(size)),
        }
    }

    /// Trailers are read and left out (RFC 9110 §6.5.1 allows it): nothing that came after the
    /// decision may reach an upstream as a field. What may never be a trailer ends the request.
    fn trailer(&mut self, input: &mut BytesMut) -> Result<State, Step> {
        let line = take_line(input, MAX_TRAILERS)?;
        if line.is_empty() {
            return Ok(State::Done);
        }
        self.trailer_bytes = self.trailer_bytes.saturating_add(line.len());
        let colon = memchr::memchr(b':', &line).ok_or(Step::Bad)?;
        let (name, value) = line.split_at_checked(colon).ok_or(Step::Bad)?;
        let name = http::HeaderName::from_bytes(name).map_err(|_| Step::Bad)?;
        let value = http::HeaderValue::from_bytes(value.get(1..).unwrap_or_default().trim_ascii());
        if value.is_err() || self.trailer_bytes > MAX_TRAILERS || is_forbidden(name.as_str()) {
            return Err(Step::Bad);
        }
        Ok(State::Trailers)
    }
}

/// Fields for framing, routing, authentication or content (RFC 9110 §6.5.1).
fn is_forbidden(name: &str) -> bool {
    [
        "transfer-encoding",
        "content-length",
        "host",
        "connection",
        "te",
        "trailer",
        "upgrade",
        "expect",
        "range",
        "max-forwards",
        "cache-control",
        "authorization",
        "proxy-authorization",
        "cookie",
        "content-encoding",
        "content-type",
        "content-range",
        "forwarded",
    ]
    .contains(&name)
}

/// A line without its CR LF; neither byte stands alone.
fn take_line(input: &mut BytesMut, longest: usize) -> Result<BytesMut, Step> {
    match memchr::memchr2(b'\r', b'\n', input) {
        Some(end) if end > longest => Err(Step::Bad),
        Some(end) => match (input.get(end), input.get(end.saturating_add(1))) {
            (Some(b'\r'), None) => Err(Step::More),
            (Some(b'\r'), Some(b'\n')) => {
                let line = input.split_to(end);
                input.advance(2);
                Ok(line)
            }
            _ => Err(Step::Bad),
        },
        None if input.len() > longest => Err(Step::Bad),
        None => Err(Step::More),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds the text whole, and byte by byte: both must come to the same end.
    fn check(text: &str, expected: Result<(&str, &str), ()>) {
        let whole = decode(&[text.as_bytes()]);
        let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        let single = decode(&bytes);

        let expected = expected.map(|(body, rest)| (body.to_owned(), rest.to_owned()));
        assert_eq!(whole, expected, "{text:?}");
        assert_eq!(single.map(|(body, _)| body), expected.map(|(body, _)| body), "{text:?} byte by byte");
    }

    fn decode(pieces: &[&[u8]]) -> Result<(String, String), ()> {
        let mut decoder = Decoder::new();
        let mut input = BytesMut::new();
        let mut body = Vec::new();
        for piece in pieces {
            input.extend_from_slice(piece);
            loop {
                match decoder.step(&mut input) {
                    Step::Data(data) => body.extend_from_slice(&data),
                    Step::More => break,
                    Step::Done => {
                        return Ok((String::from_utf8(body).unwrap(), String::from_utf8(input.to_vec()).unwrap()));
                    }
                    Step::Bad => return Err(()),
                }
            }
        }
        Err(())
    }

    #[test]
    fn good_bodies_are_read_to_their_end() {
        check("0\r\n\r\n", Ok(("", "")));
        check("3\r\nabc\r\n0\r\n\r\nGET", Ok(("abc", "GET")));
        check("3\r\nabc\r\n2\r\nde\r\n000\r\n\r\n", Ok(("abcde", "")));
        check("A;x=\"y z\"\r\n0123456789\r\n0;end\r\nX-Sum: 1\r\n\r\n", Ok(("0123456789", "")));
        check("3\r\n\r\n0\r\n0\r\n\r\n", Ok(("\r\n0", "")));
    }

    #[test]
    fn odd_bodies_are_refused() {
        for text in [
            "\r\n",
            " 3\r\nabc\r\n0\r\n\r\n",
            "3 \r\nabc\r\n0\r\n\r\n",
            "3 ;x\r\nabc\r\n0\r\n\r\n",
            "+3\r\nabc\r\n0\r\n\r\n",
            "-3\r\nabc\r\n0\r\n\r\n",
            "0x3\r\nabc\r\n0\r\n\r\n",
            "3_\r\nabc\r\n0\r\n\r\n",
            "g\r\n",
            "10000000000000003\r\nabc\r\n0\r\n\r\n",
            "0000000000000003\r\nabc\r\n0\r\n\r\n",
            "3\nabc\r\n0\r\n\r\n",
            "3\rabc\r\n0\r\n\r\n",
            "3\r\nabcd\r\n0\r\n\r\n",
            "3\r\nabc0\r\n\r\n",
            "3\r\nabc\n0\r\n\r\n",
            "3\r\nabc\r0\r\n\r\n",
            "3;x\ny\r\nabc\r\n0\r\n\r\n",
            "3;\u{1}\r\nabc\r\n0\r\n\r\n",
            "0\r\nContent-Length: 5\r\n\r\n",
            "0\r\nAuthorization: Bearer x\r\n\r\n",
            "0\r\nbad name: 5\r\n\r\n",
            "0\r\n folded\r\n\r\n",
            "0\r\nx: 5\n\r\n",
            "0\r\nno colon\r\n\r\n",
        ] {
            check(text, Err(()));
        }
    }

    #[test]
    fn endless_lines_and_extensions_are_refused() {
        check(&format!("3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(300)), Err(()));
        check(&format!("3;{}", "x".repeat(300)), Err(()));
        check(&format!("{}0\r\n\r\n", format!("1;{}\r\na\r\n", "x".repeat(200)).repeat(100)), Err(()));
        check(&format!("0\r\n{}\r\n", "x: y\r\n".repeat(3000)), Err(()));
    }
}
