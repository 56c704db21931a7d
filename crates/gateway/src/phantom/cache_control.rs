//! How long an answer may be kept (RFC 9111 §5.2.2), as far as it concerns an answer to a POST that
//! only this client may use.

use std::time::Duration;

use http::HeaderMap;
use http::header::{AGE, CACHE_CONTROL};

/// What the issuer says of keeping its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// Nothing: the operator's cap alone counts.
    Unsaid,
    For(Duration),
    /// `no-store`, `no-cache`, `max-age=0`, or words that cannot be read.
    No,
}

pub(super) fn keep(headers: &HeaderMap) -> Keep {
    let mut shortest: Option<u64> = None;
    for value in headers.get_all(CACHE_CONTROL) {
        let Ok(value) = value.to_str() else { return Keep::No };
        for directive in value.split(',') {
            let (name, argument) = match directive.split_once('=') {
                Some((name, argument)) => (name.trim(), Some(argument.trim().trim_matches('"'))),
                None => (directive.trim(), None),
            };
            if name.eq_ignore_ascii_case("no-store") || name.eq_ignore_ascii_case("no-cache") {
                return Keep::No;
            }
            if name.eq_ignore_ascii_case("max-age") {
                // RFC 9111 §4.2.1: what is not valid counts as stale.
                let Some(seconds) = argument.and_then(|text| text.parse::<u64>().ok()) else { return Keep::No };
                shortest = Some(shortest.map_or(seconds, |known| known.min(seconds)));
            }
        }
    }
    let Some(seconds) = shortest else { return Keep::Unsaid };
    let age = headers.get(AGE).and_then(|age| age.to_str().ok()).and_then(|age| age.parse::<u64>().ok()).unwrap_or(0);
    match seconds.saturating_sub(age) {
        0 => Keep::No,
        seconds => Keep::For(Duration::from_secs(seconds)),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn check(values: &[&str], expected: Keep) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(CACHE_CONTROL, HeaderValue::from_str(value).unwrap());
        }
        assert_eq!(keep(&headers), expected, "{values:?}");
    }

    #[test]
    fn the_shortest_word_counts() {
        check(&[], Keep::Unsaid);
        check(&["private"], Keep::Unsaid);
        check(&["max-age=60"], Keep::For(Duration::from_secs(60)));
        check(&["Max-Age=\"60\", private"], Keep::For(Duration::from_secs(60)));
        check(&["max-age=60", "max-age=5"], Keep::For(Duration::from_secs(5)));
        check(&["max-age=60, no-store"], Keep::No);
        check(&["max-age=60", "No-Cache"], Keep::No);
        check(&["no-cache=\"x\""], Keep::No);
        check(&["max-age=0"], Keep::No);
        check(&["max-age=-1"], Keep::No);
        check(&["max-age"], Keep::No);
        check(&["max-age=99999999999999999999999"], Keep::No);
    }

    #[test]
    fn age_is_taken_off() {
        let mut headers = HeaderMap::new();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=60"));
        headers.insert(AGE, HeaderValue::from_static("45"));

        assert_eq!(keep(&headers), Keep::For(Duration::from_secs(15)));
    }
}
