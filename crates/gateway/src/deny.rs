//! Why the gateway answers instead of the service: one table, variant → status, problem, counter.
//!
//! A denial (401, 403), an overload (503 with `Retry-After`) and an outage (502, 503) are different
//! answers: a client that is told 401 throws its token away.

use base::Problem;
use bytes::Bytes;
use http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};

use crate::edge::Exchange;
use crate::phantom::NoFacts;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Deny {
    NotConfigured,
    BadPath,
    NoRoute,
    MethodNotAllowed(HeaderValue),
    TwoCredentials,
    TokenMissing,
    TokenInvalid,
    TokenBound,
    ScopeMissing,
    ClaimMissing,
    TokenServiceBusy,
    TokenServiceUnavailable,
    TokenServiceUntrusted,
    TokenServiceRefused,
}

struct Row {
    status: StatusCode,
    /// End of the problem's type, value of the counter.
    slug: &'static str,
    title: &'static str,
    detail: &'static str,
}

impl Deny {
    fn row(&self) -> Row {
        use StatusCode as S;
        let (status, slug, title, detail) = match self {
            Self::NotConfigured => (
                S::SERVICE_UNAVAILABLE,
                "not_configured",
                "The gateway has no configuration yet",
                "Resources have not been loaded, or none of them was good; see the log.",
            ),
            Self::BadPath => (
                S::BAD_REQUEST,
                "bad_path",
                "The path is not in a form that is served",
                "Escaped slashes, dot segments, empty segments, `;` and control characters are refused; write `;` as `%3B`.",
            ),
            Self::NoRoute => {
                (S::NOT_FOUND, "no_route", "There is nothing at this address", "No route matches host and path.")
            }
            Self::MethodNotAllowed(_) => (
                S::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "This address does not take this method",
                "See the `Allow` field for those it takes.",
            ),
            Self::TwoCredentials => (
                S::BAD_REQUEST,
                "invalid_request",
                "The request has more than one `Authorization` field",
                "Send exactly one.",
            ),
            Self::TokenMissing => (
                S::UNAUTHORIZED,
                "token_missing",
                "An access token is needed",
                "Send it in the `Authorization` field: `Bearer` and the token.",
            ),
            Self::TokenInvalid => (
                S::UNAUTHORIZED,
                "invalid_token",
                "The access token is not valid",
                "It is malformed, expired, revoked, or not meant for this service; get a new one.",
            ),
            Self::TokenBound => (
                S::UNAUTHORIZED,
                "token_bound",
                "The access token is bound to a key",
                "A bound token is not taken as a bearer token.",
            ),
            Self::ScopeMissing => (
                S::FORBIDDEN,
                "insufficient_scope",
                "The access token does not allow this",
                "A scope is missing; the challenge names what is needed.",
            ),
            Self::ClaimMissing => (
                S::FORBIDDEN,
                "insufficient_claims",
                "The access token does not allow this",
                "A claim does not have the value that is needed.",
            ),
            Self::TokenServiceBusy => (
                S::SERVICE_UNAVAILABLE,
                "token_service_busy",
                "Too many tokens are being looked up",
                "Try again shortly.",
            ),
            Self::TokenServiceUnavailable => (
                S::SERVICE_UNAVAILABLE,
                "token_service_unavailable",
                "The token cannot be looked up now",
                "The token service gives no answer; the token may well be valid. Try again shortly.",
            ),
            Self::TokenServiceUntrusted => (
                S::BAD_GATEWAY,
                "token_service_untrusted",
                "The token service's answer cannot be trusted",
                "Nothing was sent on; the operator must look at the log.",
            ),
            Self::TokenServiceRefused => (
                S::BAD_GATEWAY,
                "token_service_refused",
                "The token service does not take the gateway's credentials",
                "The operator must check the gateway's client at the issuer.",
            ),
        };
        Row { status, slug, title, detail }
    }

    /// The answer. `challenge` is `WWW-Authenticate` where the route has one for this denial.
    pub fn answer(&self, exchange: &mut Exchange, challenge: Option<HeaderValue>) -> Response<Bytes> {
        let row = self.row();
        exchange.denied = Some(row.slug);
        let problem = Problem::new(row.status, row.slug, row.title).detail(row.detail);
        let mut response: Response<Bytes> =
            problem.request_id(exchange.request_id.as_str()).into_response::<Vec<u8>>().map(Bytes::from);
        let headers = response.headers_mut();
        if let Some(challenge) = challenge {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        match self {
            Self::MethodNotAllowed(allow) => {
                headers.insert(ALLOW, allow.clone());
            }
            Self::NotConfigured | Self::TokenServiceBusy | Self::TokenServiceUnavailable => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}

impl From<NoFacts> for Deny {
    fn from(why: NoFacts) -> Self {
        match why {
            NoFacts::Junk | NoFacts::Inactive(_) => Self::TokenInvalid,
            NoFacts::Bound => Self::TokenBound,
            NoFacts::Busy => Self::TokenServiceBusy,
            NoFacts::Unavailable(_) => Self::TokenServiceUnavailable,
            NoFacts::Untrusted(_) => Self::TokenServiceUntrusted,
            NoFacts::Refused => Self::TokenServiceRefused,
        }
    }
}
