//! Requests of the gateway's own, on the connections that requests of clients are sent on: the same
//! limits, the same health, the same attempts.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, ready};

use bytes::{Bytes, BytesMut};
use futures_util::future::LocalBoxFuture;
use http::{Method, Response, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;
use integration::CallError;

use super::connect::ConnectFailure;
use super::exchange::{Calls, Outbound, Outcome, Pipeline};
use super::finish::client_closed;
use super::problem::Trouble;
use super::received::strip_connection_fields;
use super::send::{Hop, Outgoing, send};
use super::serve::Worker;
use super::timer::Idle;

pub(super) struct WorkerCalls<P: Pipeline>(pub(super) Rc<Worker<P>>);

impl<P: Pipeline> Calls for WorkerCalls<P> {
    fn call(&self, outbound: Outbound) -> LocalBoxFuture<'_, Result<Response<Bytes>, CallError>> {
        Box::pin(call(&self.0, outbound))
    }
}

async fn call<P: Pipeline>(worker: &Rc<Worker<P>>, outbound: Outbound) -> Result<Response<Bytes>, CallError> {
    let upstream = std::sync::Arc::clone(&outbound.upstream);
    // Held until the answer is whole.
    let _place = upstream.admit().ok_or(CallError::Busy)?;
    let hop = Hop {
        upstream: &upstream,
        head_timeout: outbound.head_timeout,
        // RFC 9110 §9.2.2; PUT and DELETE are idempotent too, but services are often not.
        retry_safe: matches!(outbound.method, Method::GET | Method::HEAD | Method::OPTIONS),
    };
    let (idle, most) = (Idle::new(outbound.idle_timeout), outbound.max_answer_bytes);
    let outgoing = Outgoing::own(outbound).map_err(told)?;
    let mut outcome = Outcome {
        status: client_closed(),
        request_bytes: 0,
        response_bytes: 0,
        endpoint: None,
        attempts: 0,
        asked: false,
        broken_off: true,
    };
    let (response, lease) = send(worker, hop, &outgoing, &mut outcome).await.map_err(told)?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(CallError::BrokenOff);
    }
    let (mut head, incoming) = response.into_parts();
    strip_connection_fields(&mut head.headers);
    let body = whole(incoming, most, idle).await?;
    if outgoing.upload.is_done() {
        lease.give_back();
    }
    Ok(Response::from_parts(head, body))
}

/// The body of an answer, if it is not larger than it may be.
async fn whole(mut incoming: Incoming, most: usize, mut idle: Idle) -> Result<Bytes, CallError> {
    if incoming.size_hint().lower() > u64::try_from(most).unwrap_or(u64::MAX) {
        return Err(CallError::TooLarge);
    }
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    loop {
        let frame = poll_fn(|cx| match Pin::new(&mut incoming).poll_frame(cx) {
            Poll::Ready(frame) => Poll::Ready(frame.map(|frame| frame.map_err(|_| CallError::BrokenOff))),
            Poll::Pending => {
                ready!(idle.poll(cx));
                Poll::Ready(Some(Err(CallError::TimedOut)))
            }
        });
        let Some(frame) = frame.await else { break };
        idle.moved();
        let Ok(data) = frame?.into_data() else { continue };
        if first.len() + all.len() + data.len() > most {
            return Err(CallError::TooLarge);
        }
        // Most answers come in one piece, which is taken as it is.
        if first.is_empty() && all.is_empty() {
            first = data;
        } else {
            if !first.is_empty() {
                all.extend_from_slice(&std::mem::take(&mut first));
            }
            all.extend_from_slice(&data);
        }
    }
    Ok(if first.is_empty() { all.freeze() } else { first })
}

fn told(trouble: Trouble) -> CallError {
    match trouble {
        Trouble::HeadTimeout | Trouble::Connect(ConnectFailure::Timeout) => CallError::TimedOut,
        Trouble::Busy => CallError::Busy,
        Trouble::NoAnswer | Trouble::BadAnswer => CallError::BrokenOff,
        _ => CallError::Unreachable,
    }
}
