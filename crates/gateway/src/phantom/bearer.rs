//! Takes the token from the request (RFC 6750 §2.1): from one `Authorization` field and from nowhere
//! else. A token in the query or the body is not used (RFC 9700 §4.3.2).

use http::header::AUTHORIZATION;

use crate::edge::{Headers, Repeated};

/// Longer handles are not looked at.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Bearer<'a> {
    Token(&'a str),
    /// No `Authorization`, or one of another scheme.
    None,
    /// Bearer, but what follows is no token.
    Malformed,
    /// The field is there more than once: which one counts would depend on the reader.
    Repeated,
}

pub(crate) fn bearer<'a>(headers: Headers<'a>) -> Bearer<'a> {
    let value = match headers.single(AUTHORIZATION) {
        Ok(Some(value)) => value.as_bytes(),
        Ok(None) => return Bearer::None,
        Err(Repeated) => return Bearer::Repeated,
    };
    let Some((scheme, rest)) = value.split_at_checked("Bearer".len()) else { return Bearer::None };
    if !scheme.eq_ignore_ascii_case(b"Bearer") {
        return Bearer::None;
    }
    let token = match rest.first() {
        None => return Bearer::Malformed,
        Some(b' ') => rest.trim_ascii_start(),
        // Another scheme that begins alike, such as `BearerX`.
        Some(_) => return Bearer::None,
    };
    if token.len() > MAX_TOKEN_BYTES || rest.contains(&b'\t') || !is_b64token(token) {
        return Bearer::Malformed;
    }
    std::str::from_utf8(token).map_or(Bearer::Malformed, Bearer::Token)
}

/// `1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`
fn is_b64token(token: &[u8]) -> bool {
    let body = memchr::memchr(b'=', token).unwrap_or(token.len());
    let Some((body, padding)) = token.split_at_checked(body) else { return false };
    !body.is_empty()
        // To the end in any case, and without branches: so it takes many bytes at once.
        && body.iter().fold(true, |good, byte| good & is_token_byte(*byte))
        && padding.iter().all(|byte| *byte == b'=')
}

fn is_token_byte(byte: u8) -> bool {
    let letter = (byte | 0x20).wrapping_sub(b'a') < 26;
    // `-`, `.`, `/` and the digits stand in a row.
    let in_row = byte.wrapping_sub(b'-') <= b'9' - b'-';
    letter | in_row | (byte == b'_') | (byte == b'~') | (byte == b'+')
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;

    fn check(values: &[&str], expected: Bearer<'_>) {
        let mut map = HeaderMap::new();
        for value in values {
            map.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        assert_eq!(bearer(Headers::Map(&map)), expected, "{values:?}");
    }

    #[test]
    fn the_bytes_of_tokens_are_those_of_the_grammar() {
        for byte in 0..=u8::MAX {
            let listed =
                matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'+' | b'/');
            assert_eq!(is_token_byte(byte), listed, "{byte}");
        }
    }

    #[test]
    fn the_scheme_is_exactly_bearer_in_any_case() {
        check(&["Bearer abc"], Bearer::Token("abc"));
        check(&["bEARER   a-b.c_d~e+f/g=="], Bearer::Token("a-b.c_d~e+f/g=="));
        check(&[], Bearer::None);
        check(&["Basic Bearer x"], Bearer::None);
        check(&["Bearerabc"], Bearer::None);
        check(&["BearerX abc"], Bearer::None);
        check(&["abc"], Bearer::None);
        check(&["DPoP abc"], Bearer::None);
    }

    #[test]
    fn what_is_no_token_is_malformed() {
        for value in [
            "Bearer",
            "Bearer ",
            "Bearer a b",
            "Bearer a,b",
            "Bearer =",
            "Bearer a=b",
            "Bearer\ta",
            "Bearer \ta",
            "Bearer a&b",
            "Bearer a%20",
        ] {
            let expected = if value.starts_with("Bearer\t") { Bearer::None } else { Bearer::Malformed };
            check(&[value], expected);
        }
        check(&[&format!("Bearer {}", "a".repeat(MAX_TOKEN_BYTES + 1))], Bearer::Malformed);
    }

    #[test]
    fn two_fields_are_one_too_many() {
        check(&["Bearer abc", "Bearer abc"], Bearer::Repeated);
        check(&["Basic abc", "Bearer abc"], Bearer::Repeated);
    }
}
