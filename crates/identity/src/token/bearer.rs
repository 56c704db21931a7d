//! Bearer tokens of requests (RFC 6750 §2.1), by the `Authorization` header alone.

use http::{HeaderMap, header};

use crate::error::{OAuthError, invalid_request};

/// The token of the one Authorization header; the scheme is Bearer in any case, and exactly that.
pub fn bearer(headers: &HeaderMap) -> Result<Option<&str>, OAuthError> {
    let mut lines = headers.get_all(header::AUTHORIZATION).iter();
    let (line, second) = (lines.next(), lines.next());
    let wrong = || {
        let error = invalid_request("there must be one Authorization header with a bearer token");
        error.challenge("Bearer realm=\"cardea\", error=\"invalid_request\"")
    };
    if second.is_some() {
        return Err(wrong());
    }
    let Some(line) = line else {
        return Ok(None);
    };
    let line = line.to_str().map_err(|_| wrong())?;
    let Some((scheme, token)) = line.split_once(' ') else {
        return Err(wrong());
    };
    if !scheme.eq_ignore_ascii_case("Bearer") {
        return Ok(None);
    }
    let token = token.trim_start_matches(' ');
    if token.is_empty() || token.contains(char::is_whitespace) {
        return Err(wrong());
    }
    Ok(Some(token))
}
