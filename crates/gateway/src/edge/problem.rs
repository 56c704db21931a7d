//! Answers that the engine makes itself.

use base::Problem;
use bytes::Bytes;
use http::header::{ALLOW, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response, StatusCode};

use super::connect::ConnectFailure;
use super::exchange::Exchange;
use super::received::Refusal;

/// What went wrong on the way to the upstream, or with the body that goes there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    Connect(ConnectFailure),
    /// The connection closed before the head of an answer.
    NoAnswer,
    /// The head of the answer is not HTTP as we take it.
    BadAnswer,
    HeadTimeout,
    Busy,
    BodyTooLarge,
    BodyMalformed,
    BodyStalled,
    ClientGone,
    /// The pipeline's `Forward` cannot be written as a request.
    Unsendable,
}

impl Trouble {
    /// Status, slug, title, and what to do.
    fn describe(self) -> (StatusCode, &'static str, &'static str, &'static str) {
        let unreachable = "The service behind the gateway cannot be reached";
        match self {
            Self::Connect(ConnectFailure::Name) => {
                (StatusCode::BAD_GATEWAY, "upstream_name_unknown", unreachable, "its name has no address")
            }
            Self::Connect(ConnectFailure::Refused) => {
                (StatusCode::BAD_GATEWAY, "upstream_unreachable", unreachable, "it takes no connection")
            }
            Self::Connect(ConnectFailure::Timeout) => {
                (StatusCode::GATEWAY_TIMEOUT, "upstream_connect_timeout", unreachable, "connecting took too long")
            }
            Self::Connect(ConnectFailure::Tls) => {
                (StatusCode::BAD_GATEWAY, "upstream_tls_failed", unreachable, "its certificate was not accepted")
            }
            Self::Connect(ConnectFailure::Protocol) => {
                (StatusCode::BAD_GATEWAY, "upstream_protocol", unreachable, "it does not speak the protocol it should")
            }
            Self::NoAnswer => (
                StatusCode::BAD_GATEWAY,
                "upstream_no_answer",
                "The service behind the gateway gave no answer",
                "the connection closed before an answer",
            ),
            Self::BadAnswer => (
                StatusCode::BAD_GATEWAY,
                "upstream_bad_answer",
                "The service behind the gateway gave an answer that is not well formed",
                "its head cannot be passed on",
            ),
            Self::HeadTimeout => (
                StatusCode::GATEWAY_TIMEOUT,
                "upstream_timeout",
                "The service behind the gateway did not answer in time",
                "try again later",
            ),
            Self::Busy => (
                StatusCode::SERVICE_UNAVAILABLE,
                "upstream_busy",
                "The service behind the gateway has as many requests as it can take",
                "try again after the time in Retry-After",
            ),
            Self::BodyTooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "body_too_large",
                "The request's body is too large",
                "send less, or in several requests",
            ),
            Self::BodyMalformed => (
                StatusCode::BAD_REQUEST,
                "malformed_request",
                "The request is not well formed",
                "the chunks of the body cannot be read",
            ),
            Self::BodyStalled => (
                StatusCode::REQUEST_TIMEOUT,
                "body_timeout",
                "The request's body took too long",
                "nothing more of it came for too long",
            ),
            Self::ClientGone => (
                StatusCode::BAD_REQUEST,
                "client_gone",
                "The request's body broke off",
                "the connection closed before its end",
            ),
            Self::Unsendable => (
                StatusCode::BAD_GATEWAY,
                "unsendable_request",
                "The request cannot be passed on",
                "it cannot be written as an HTTP request",
            ),
        }
    }

    /// Tells the exchange, and makes the answer.
    pub(super) fn answer(self, exchange: &mut Exchange) -> Response<Bytes> {
        let (status, slug, title, detail) = self.describe();
        let mut response = problem(exchange, status, slug, title, detail);
        if self == Self::Busy {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// The answer to a request that the pipeline never sees.
pub(super) fn refuse(refusal: Refusal, exchange: &mut Exchange) -> Response<Bytes> {
    let mut response = problem(exchange, refusal.status, refusal.slug, refusal.title, refusal.detail);
    if refusal == Refusal::METHOD {
        let allowed = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
        response.headers_mut().insert(ALLOW, allowed);
    }
    response
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

fn problem(
    exchange: &mut Exchange,
    status: StatusCode,
    slug: &'static str,
    title: &str,
    detail: &str,
) -> Response<Bytes> {
    exchange.denied = Some(slug);
    let id = exchange.request_id.as_str();
    let mut response: Response<Vec<u8>> =
        Problem::new(status, slug, title).detail(detail).request_id(id).into_response();
    if let Ok(id) = HeaderValue::from_str(id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response.map(Bytes::from)
}
