//! Usage: one record for each call of an API.

pub(crate) use catalog::usage::Outcome;
use http::StatusCode;

use crate::edge::Exchange;

/// Served is what a service answered below 500, or a composition; what the gateway answered with a
/// problem of its own is refused; from 500 on it failed, whoever said so.
pub(crate) fn outcome(exchange: &Exchange, status: StatusCode) -> Outcome {
    if status.is_server_error() {
        Outcome::Failed
    } else if exchange.denied.is_some() {
        Outcome::Refused
    } else {
        Outcome::Served
    }
}
