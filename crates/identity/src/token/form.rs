//! Request bodies of the OAuth endpoints: `application/x-www-form-urlencoded`, each parameter once
//! (RFC 6749 §3.2), an empty one as good as none.

use axum::body::Bytes;
use http::{HeaderMap, header};
use percent_encoding::percent_decode_str;

use crate::error::{OAuthError, invalid_request};

/// Parameters that may be repeated (RFC 8707 §2).
const REPEATABLE: [&str; 2] = ["resource", "audience"];
const MOST_PARAMETERS: usize = 64;

/// No `Debug`: it holds codes, tokens and secrets.
pub struct Form(Vec<(String, String)>);

impl Form {
    pub fn read(headers: &HeaderMap, body: &Bytes) -> Result<Self, OAuthError> {
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(invalid_request("the body must be application/x-www-form-urlencoded"));
        }
        Self::parse(body)
    }

    pub fn parse(body: &[u8]) -> Result<Self, OAuthError> {
        let text = std::str::from_utf8(body).map_err(|_| invalid_request("the body is not UTF-8"))?;
        let mut parameters: Vec<(String, String)> = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(name)?, decode(value)?);
            if value.is_empty() {
                continue;
            }
            let repeated = parameters.iter().any(|(earlier, _)| *earlier == name);
            if repeated && !REPEATABLE.contains(&name.as_str()) {
                return Err(invalid_request("a parameter is there twice"));
            }
            if parameters.len() == MOST_PARAMETERS {
                return Err(invalid_request("there are too many parameters"));
            }
            parameters.push((name, value));
        }
        Ok(Self(parameters))
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// All resources that are asked for: `resource` must be an absolute URI without fragment (RFC 8707 §2),
    /// `audience` is a name.
    pub fn resources(&self) -> Result<Vec<String>, OAuthError> {
        let mut out = Vec::new();
        for resource in self.all("resource") {
            if resource.contains('#') || url::Url::parse(resource).is_err() {
                return Err(crate::error::invalid_target("`resource` must be an absolute URI without fragment"));
            }
            out.push(resource.to_owned());
        }
        out.extend(self.all("audience").map(str::to_owned));
        Ok(out)
    }
}

/// One name or value, form-decoded; strict, since what is not text cannot be meant.
pub fn decode(text: &str) -> Result<String, OAuthError> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().map_err(|_| invalid_request("a parameter is not UTF-8"))?;
    if decoded.contains('\0') {
        return Err(invalid_request("a parameter holds a NUL character"));
    }
    Ok(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code_of(body: &str) -> &'static str {
        Form::parse(body.as_bytes()).err().unwrap().code
    }

    #[test]
    fn values_are_decoded_once() {
        let form = Form::parse(b"token=a%2Bb%25+c&state=&x").unwrap();

        assert_eq!(form.get("token"), Some("a+b% c"));
        assert_eq!((form.get("state"), form.get("x")), (None, None));
    }

    #[test]
    fn a_parameter_twice_is_refused_but_for_resource() {
        let form = Form::parse(b"resource=https%3A%2F%2Fa&resource=https://b").unwrap();

        assert_eq!(form.resources().unwrap(), ["https://a", "https://b"]);
        assert_eq!(code_of("code=1&code=2"), "invalid_request");
        assert_eq!(code_of("c%6Fde=1&code=1"), "invalid_request");
    }

    #[test]
    fn what_is_not_text_is_refused() {
        assert_eq!(code_of("code=%FF"), "invalid_request");
        assert_eq!(code_of("code=%00"), "invalid_request");
    }

    #[test]
    fn a_resource_must_be_an_absolute_uri() {
        for wrong in ["resource=orders", "resource=https://a%23b"] {
            let error = Form::parse(wrong.as_bytes()).unwrap().resources().unwrap_err();

            assert_eq!(error.code, "invalid_target");
        }
    }
}
