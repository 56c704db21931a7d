//! The one canonical form of a path: what is matched, decided on and sent on are the same text.
//!
//! Percent-escapes of unreserved characters are decoded, the others written in upper case (RFC 3986
//! §6.2.2); characters that a URI may not hold raw are escaped. Refused, since servers disagree about
//! what they mean: an escaped `/` or `\`, NUL and other control characters in any form, a raw `\`,
//! `.` and `..` segments (also escaped), empty segments (`//`), `;` (some servers cut a segment there;
//! as data it is written `%3B`), broken escapes and bytes that are not UTF-8. A trailing slash is kept:
//! `/a/` and `/a` are two paths.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::percent_decode_str;

/// A path in canonical form; the only way to one is [`CanonicalPath::new`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanonicalPath<'a>(Cow<'a, str>);

/// Why a path has no canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    #[error("the path does not begin with `/`")]
    NotAbsolute,
    #[error("the path has an empty segment (`//`)")]
    EmptySegment,
    #[error("the path has a `.` or `..` segment")]
    DotSegment,
    #[error("the path holds an escaped slash or backslash")]
    EscapedSeparator,
    #[error("the path holds a control character, a space or a backslash")]
    BadCharacter,
    #[error("the path holds a `;`")]
    Semicolon,
    #[error("the path holds `%` that is not followed by two hexadecimal digits")]
    BrokenEscape,
    #[error("the path is not UTF-8")]
    NotUtf8,
}

impl<'a> CanonicalPath<'a> {
    /// Borrows where the path already is canonical, which nearly every one is.
    pub fn new(raw: &'a str) -> Result<Self, BadPath> {
        if !raw.starts_with('/') {
            return Err(BadPath::NotAbsolute);
        }
        let path = if raw.bytes().all(|byte| class(byte) == Class::Plain) {
            Cow::Borrowed(raw)
        } else {
            Cow::Owned(rewrite(raw)?)
        };
        check_segments(&path)?;
        Ok(Self(path))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands between the slashes; the last one is empty where the path ends in a slash.
    pub fn segments(&self) -> impl Iterator<Item = &str> + Clone {
        self.0.split('/').skip(1)
    }
}

impl fmt::Display for CanonicalPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A segment as data: escapes decoded. A server that decodes `%24` to `$` must not be a way around
/// a rule for `$`, so literals are compared in this form.
pub(crate) fn decoded(segment: &str) -> Cow<'_, str> {
    if segment.contains('%') { percent_decode_str(segment).decode_utf8_lossy() } else { Cow::Borrowed(segment) }
}

/// A host for comparison: without port and final dot, in lower case.
pub fn canonical_host(authority: &str) -> Cow<'_, str> {
    let host = if authority.starts_with('[') {
        authority.find(']').and_then(|end| authority.get(..=end)).unwrap_or(authority)
    } else {
        authority.split_once(':').map_or(authority, |(host, _)| host)
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    }
}

#[derive(PartialEq, Eq)]
enum Class {
    /// May stand as it is: unreserved, sub-delims without `;`, `:`, `@`, and the slash.
    Plain,
    Percent,
    Semicolon,
    /// Not allowed raw in a URI, but harmless: escaped.
    Escape,
    Refused,
}

fn class(byte: u8) -> Class {
    match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => Class::Plain,
        b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' | b':' | b'@' => Class::Plain,
        b'%' => Class::Percent,
        b';' => Class::Semicolon,
        b'"' | b'<' | b'>' | b'[' | b']' | b'^' | b'`' | b'{' | b'|' | b'}' | 0x80.. => Class::Escape,
        _ => Class::Refused,
    }
}

fn rewrite(raw: &str) -> Result<String, BadPath> {
    let mut out = String::with_capacity(raw.len() + 8);
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        match class(byte) {
            Class::Plain => out.push(char::from(byte)),
            Class::Escape => push_escaped(&mut out, byte),
            Class::Semicolon => return Err(BadPath::Semicolon),
            Class::Refused => return Err(BadPath::BadCharacter),
            Class::Percent => {
                let value = hex(bytes.next())? << 4 | hex(bytes.next())?;
                match value {
                    b'/' | b'\\' => return Err(BadPath::EscapedSeparator),
                    0..=0x1f | 0x7f => return Err(BadPath::BadCharacter),
                    b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(value)),
                    _ => push_escaped(&mut out, value),
                }
            }
        }
    }
    match percent_decode_str(&out).decode_utf8() {
        // C1 controls are controls too, in their two bytes.
        Ok(text) if text.chars().any(char::is_control) => Err(BadPath::BadCharacter),
        Ok(_) => Ok(out),
        Err(_) => Err(BadPath::NotUtf8),
    }
}

fn hex(digit: Option<u8>) -> Result<u8, BadPath> {
    match digit {
        Some(digit @ b'0'..=b'9') => Ok(digit - b'0'),
        Some(digit @ b'a'..=b'f') => Ok(digit - b'a' + 10),
        Some(digit @ b'A'..=b'F') => Ok(digit - b'A' + 10),
        _ => Err(BadPath::BrokenEscape),
    }
}

fn push_escaped(out: &mut String, byte: u8) {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    let digit = |value: u8| DIGITS.get(usize::from(value)).copied().unwrap_or('0');
    out.push('%');
    out.push(digit(byte >> 4));
    out.push(digit(byte & 15));
}

fn check_segments(path: &str) -> Result<(), BadPath> {
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "." | ".." => return Err(BadPath::DotSegment),
            "" if segments.peek().is_some() => return Err(BadPath::EmptySegment),
            _ => {}
        }
    }
    Ok(())
}
