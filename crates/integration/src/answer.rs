//! The answer of a composition.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::partial::Report;

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub report: Report,
    /// Of a failure: the end of the problem's type.
    pub problem: Option<&'static str>,
}
