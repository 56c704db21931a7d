//! The end of an exchange: the pipeline hears of it once, however it comes.

use std::sync::Arc;

use base::Time;
use bytes::Bytes;
use http::{Response, StatusCode};

use super::exchange::{Exchange, Outcome, Pipeline};

/// Tells the pipeline when dropped.
pub(super) struct Finish<P: Pipeline> {
    pipeline: Arc<P>,
    pub(super) exchange: Exchange,
    pub(super) outcome: Outcome,
}

/// Nobody was left to take an answer (as nginx logs it); never sent.
pub(super) fn client_closed() -> StatusCode {
    StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST)
}

impl<P: Pipeline> Finish<P> {
    /// In a box, since it is handed on from one to the next until the answer is out.
    pub(super) fn begin(pipeline: &Arc<P>, now: Time) -> Box<Self> {
        Box::new(Self {
            pipeline: Arc::clone(pipeline),
            exchange: Exchange::begin(now),
            outcome: Outcome {
                status: client_closed(),
                request_bytes: 0,
                response_bytes: 0,
                endpoint: None,
                attempts: 0,
                asked: false,
                broken_off: true,
            },
        })
    }

    /// Before the head of the answer goes out; an error is the answer instead.
    pub(super) fn answering(&mut self, status: StatusCode) -> Result<(), Box<Response<Bytes>>> {
        self.pipeline.answering(&mut self.exchange, status)
    }

    /// The whole answer has been handed on.
    pub(super) fn complete(&mut self) {
        self.outcome.broken_off = false;
    }

    pub(super) fn break_off(&mut self) {
        self.outcome.broken_off = true;
    }
}

impl<P: Pipeline> Drop for Finish<P> {
    fn drop(&mut self) {
        self.pipeline.finished(&self.exchange, &self.outcome);
    }
}
