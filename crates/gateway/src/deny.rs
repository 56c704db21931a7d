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
    TokenRevoked,
    TokenBound,
    ApiRetired,
    NoSubscription,
    UsageUnavailable,
    RateLimited {
        retry_after_s: u64,
    },
    QuotaExceeded {
        retry_after_s: u64,
    },
    ScopeMissing,
    ClaimMissing,
    /// With what the policies' authors let the person concerned know.
    PolicyDenied {
        reason: Option<String>,
    },
    LoginTooWeak {
        reason: Option<String>,
    },
    PolicyUnavailable,
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
            // The same problem: a client does the same about it.
            Self::TokenRevoked => (
                S::UNAUTHORIZED,
                "invalid_token",
                "The access token is not valid",
                "It has been revoked; get a new one.",
            ),
            Self::TokenBound => (
                S::UNAUTHORIZED,
                "token_bound",
                "The access token is bound to a key",
                "A bound token is not taken as a bearer token.",
            ),
            Self::ApiRetired => (
                S::GONE,
                "api_retired",
                "This API has been retired",
                "It will not come back; its page in the portal says what stands in its place.",
            ),
            Self::NoSubscription => (
                S::FORBIDDEN,
                "no_subscription",
                "The application has no subscription to this API",
                "Subscribe the application that the token was issued to, to a plan with this API.",
            ),
            Self::UsageUnavailable => (
                S::SERVICE_UNAVAILABLE,
                "usage_unavailable",
                "The gateway cannot record usage now",
                "Try again shortly; if the request changes something, look first whether it has.",
            ),
            Self::RateLimited { .. } => (
                S::TOO_MANY_REQUESTS,
                "rate_limited",
                "Requests come faster than the plan allows",
                "Send the next one after the time in Retry-After; the RateLimit field says what is left.",
            ),
            Self::QuotaExceeded { .. } => (
                S::TOO_MANY_REQUESTS,
                "quota_exceeded",
                "The plan's quota is used up",
                "It is renewed after the time in Retry-After; a larger plan has more.",
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
            Self::PolicyDenied { .. } => (
                S::FORBIDDEN,
                "policy_denied",
                "A policy does not allow this",
                "The operator finds the policies that decided under the request id.",
            ),
            Self::LoginTooWeak { .. } => (
                S::UNAUTHORIZED,
                "insufficient_user_authentication",
                "A fresh or stronger login is needed",
                "The challenge says which (RFC 9470); send the person to the authorization server with it.",
            ),
            Self::PolicyUnavailable => (
                S::SERVICE_UNAVAILABLE,
                "policy_unavailable",
                "It cannot be decided now whether this is allowed",
                "The policies are not known, or could not be evaluated. Nothing was sent on; try again shortly.",
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

    /// End of the problem's type, value of the counter.
    pub fn slug(&self) -> &'static str {
        self.row().slug
    }

    /// Which limit it was, and after what time there is room again.
    fn limit(&self) -> Option<(&'static str, u64)> {
        match self {
            Self::RateLimited { retry_after_s } => Some(("rate", *retry_after_s)),
            Self::QuotaExceeded { retry_after_s } => Some(("quota", *retry_after_s)),
            _ => None,
        }
    }

    /// The answer. `challenge` is `WWW-Authenticate` where the route has one for this denial.
    pub fn answer(&self, exchange: &mut Exchange, challenge: Option<HeaderValue>) -> Response<Bytes> {
        let row = self.row();
        exchange.denied = Some(row.slug);
        let detail = match self {
            Self::PolicyDenied { reason: Some(reason) } | Self::LoginTooWeak { reason: Some(reason) } => {
                exchange.told = Some(reason.clone());
                reason
            }
            _ => row.detail,
        };
        let problem = Problem::new(row.status, row.slug, row.title).detail(detail);
        let problem = problem.request_id(exchange.request_id.as_str());
        let mut response: Response<Bytes> = match self.limit() {
            Some((policy, _)) => over_limit(problem, policy, row.slug),
            None => problem.into_response::<Vec<u8>>().map(Bytes::from),
        };
        let headers = response.headers_mut();
        if let Some(challenge) = challenge {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        if let Some((_, retry_after_s)) = self.limit() {
            headers.insert(RETRY_AFTER, HeaderValue::from(retry_after_s));
        }
        match self {
            Self::MethodNotAllowed(allow) => {
                headers.insert(ALLOW, allow.clone());
            }
            Self::NotConfigured
            | Self::UsageUnavailable
            | Self::TokenServiceBusy
            | Self::TokenServiceUnavailable
            | Self::PolicyUnavailable => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}

/// draft-ietf-httpapi-ratelimit-headers-11 §5.1: one type for all limits, and which of them in a member;
/// `code` is our own name for it.
fn over_limit(mut problem: Problem, policy: &str, slug: &str) -> Response<Bytes> {
    problem.kind = "https://iana.org/assignments/http-problem-types#quota-exceeded".to_owned();
    let mut document = serde_json::to_value(&problem).unwrap_or_default();
    if let Some(members) = document.as_object_mut() {
        members.insert("violated-policies".to_owned(), serde_json::json!([policy]));
        members.insert("code".to_owned(), slug.into());
    }
    problem.into_response::<Vec<u8>>().map(|_| Bytes::from(document.to_string()))
}

impl From<NoFacts> for Deny {
    fn from(why: NoFacts) -> Self {
        match why {
            NoFacts::Junk | NoFacts::Inactive(_) => Self::TokenInvalid,
            NoFacts::Revoked => Self::TokenRevoked,
            NoFacts::Bound => Self::TokenBound,
            NoFacts::Busy => Self::TokenServiceBusy,
            NoFacts::Unavailable(_) => Self::TokenServiceUnavailable,
            NoFacts::Untrusted(_) => Self::TokenServiceUntrusted,
            NoFacts::Refused => Self::TokenServiceRefused,
        }
    }
}
