//! Content negotiation (RFC 9110 §12.5.1) among the three forms.

use http::{HeaderMap, header};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Json,
    /// The raw inner JWT.
    Jwt,
    /// RFC 9701.
    SignedResponse,
}

impl Form {
    const ALL: [Self; 3] = [Self::Json, Self::Jwt, Self::SignedResponse];

    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Jwt => "application/jwt",
            Self::SignedResponse => "application/token-introspection+jwt",
        }
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Jwt => "jwt",
            Self::SignedResponse => "rfc9701",
        }
    }
}

struct Range<'a> {
    media_type: &'a str,
    quality: f32,
}

/// The form that the caller likes best: by quality, then by how exactly it is named, then by what comes
/// first. Who accepts none of them gets JSON, which RFC 7662 promises.
pub fn negotiate(headers: &HeaderMap) -> Form {
    let lines = headers.get_all(header::ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    let ranges: Vec<Range<'_>> = lines.flat_map(|line| line.split(',')).take(32).map(Range::read).collect();
    let mut best: Option<(f32, u8, usize, Form)> = None;
    for form in Form::ALL {
        // The most exact range decides on a form's quality.
        let matches = ranges.iter().enumerate().filter_map(|(at, range)| Some((range.fits(form)?, at, range.quality)));
        let Some((exact, at, quality)) = matches.max_by_key(|(exact, at, _)| (*exact, usize::MAX - at)) else {
            continue;
        };
        let better =
            |(q, e, a, _): &(f32, u8, usize, Form)| quality.total_cmp(q).then(exact.cmp(e)).then(a.cmp(&at)).is_gt();
        if quality > 0.0 && best.as_ref().is_none_or(better) {
            best = Some((quality, exact, at, form));
        }
    }
    best.map_or(Form::Json, |(.., form)| form)
}

impl<'a> Range<'a> {
    fn read(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default();
        let quality = parts.filter_map(|part| part.split_once('=')).find(|(name, _)| name.eq_ignore_ascii_case("q"));
        let quality = quality.map_or(1.0, |(_, value)| value.parse().unwrap_or(0.0));
        Self { media_type, quality: if quality >= 0.0 { quality } else { 0.0 } }
    }

    /// How exactly the range names the form, if it does.
    fn fits(&self, form: Form) -> Option<u8> {
        match self.media_type {
            "*/*" => Some(0),
            range if range.eq_ignore_ascii_case("application/*") => Some(1),
            range if range.eq_ignore_ascii_case(form.media_type()) => Some(2),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn check(accept: &[&'static str], expected: Form) {
        let mut headers = HeaderMap::new();
        for line in accept {
            headers.append(header::ACCEPT, HeaderValue::from_static(line));
        }

        assert_eq!(negotiate(&headers), expected, "{accept:?}");
    }

    #[test]
    fn the_form_is_what_the_caller_likes_best() {
        check(&[], Form::Json);
        check(&["*/*"], Form::Json);
        check(&["text/html"], Form::Json);
        check(&["application/jwt"], Form::Jwt);
        check(&["Application/JWT"], Form::Jwt);
        check(&["application/jwt, */*"], Form::Jwt);
        check(&["*/*, application/jwt"], Form::Jwt);
        check(&["application/jwt;q=0.5, application/json"], Form::Json);
        check(&["application/json;q=0.5, application/jwt;q=0.9"], Form::Jwt);
        check(&["application/json", "application/jwt"], Form::Json);
        check(&["application/jwt, application/json"], Form::Jwt);
        check(&["application/token-introspection+jwt, application/json;q=0.1"], Form::SignedResponse);
        check(&["application/jwt;q=0, */*"], Form::Json);
        check(&["application/json;q=0, application/jwt;q=0, */*;q=0.1"], Form::SignedResponse);
        check(&["application/jwt;q=nonsense"], Form::Json);
    }
}
