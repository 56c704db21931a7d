//! Bodies on their way through: counted, limited in size and time, never kept.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::exchange::Pipeline;
use super::finish::Finish;
use super::pool::Lease;
use super::received::Source;
use super::timer::Idle;
use crate::upstreams::InFlight;

/// Why a body broke off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BodyFailure {
    #[error("the client has gone away")]
    ClientGone,
    #[error("the body is not well framed")]
    Malformed,
    #[error("the body is larger than allowed")]
    TooLarge,
    #[error("nothing moved for too long")]
    Stalled,
    #[error("the upstream broke off")]
    UpstreamGone,
}

/// A request's body. Several attempts may hold it, of which one at a time reads.
#[derive(Clone)]
pub(super) struct Upload(Option<Rc<RefCell<UploadState>>>);

struct UploadState {
    source: Source,
    declared: Option<u64>,
    left: u64,
    received: u64,
    idle: Idle,
    begun: bool,
    /// It is the client that has nothing more yet, not the upstream that takes nothing.
    waiting: bool,
    done: bool,
    failure: Option<BodyFailure>,
}

impl Upload {
    pub(super) fn new(source: Source, declared: Option<u64>, max_bytes: u64, idle: Duration) -> Self {
        if matches!(source, Source::Empty) {
            return Self(None);
        }
        Self(Some(Rc::new(RefCell::new(UploadState {
            source,
            declared,
            left: max_bytes,
            received: 0,
            idle: Idle::new(idle),
            begun: false,
            waiting: false,
            done: false,
            failure: None,
        }))))
    }

    /// The body of a request of the gateway's own.
    pub(super) fn whole(bytes: Bytes) -> Self {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let source = if bytes.is_empty() { Source::Empty } else { Source::Whole(bytes) };
        Self::new(source, Some(length), length, Duration::MAX)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(super) fn declared(&self) -> Option<u64> {
        self.0.as_ref().and_then(|state| state.borrow().declared)
    }

    /// Takes all of it.
    pub(super) async fn read(mut self) -> Result<Bytes, BodyFailure> {
        let mut first = Bytes::new();
        let mut all: Option<BytesMut> = None;
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut self).poll_frame(cx)).await {
            let Ok(data) = frame?.into_data() else { continue };
            // Most bodies come in one piece, which is taken as it is.
            match &mut all {
                None if first.is_empty() => first = data,
                None => {
                    let mut both = BytesMut::with_capacity(first.len() + data.len());
                    both.extend_from_slice(&first);
                    both.extend_from_slice(&data);
                    all = Some(both);
                }
                Some(all) => all.extend_from_slice(&data),
            }
        }
        Ok(all.map_or(first, BytesMut::freeze))
    }

    /// Nothing of it has been read, so that another attempt can still send all of it.
    pub(super) fn is_whole(&self) -> bool {
        self.0.as_ref().is_none_or(|state| !state.borrow().begun)
    }

    pub(super) fn is_done(&self) -> bool {
        self.0.as_ref().is_none_or(|state| state.borrow().done)
    }

    pub(super) fn received(&self) -> u64 {
        self.0.as_ref().map_or(0, |state| state.borrow().received)
    }

    /// The client is to send more of it; how long it may take is seen to by whoever reads.
    pub(super) fn waits_for_client(&self) -> bool {
        self.0.as_ref().is_some_and(|state| {
            let state = state.borrow();
            state.waiting && !state.done && state.failure.is_none()
        })
    }

    pub(super) fn failure(&self) -> Option<BodyFailure> {
        self.0.as_ref().and_then(|state| state.borrow().failure)
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = BodyFailure;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFailure>>> {
        let Some(state) = &self.0 else { return Poll::Ready(None) };
        state.borrow_mut().poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.is_done()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            None => SizeHint::with_exact(0),
            Some(state) => {
                let state = state.borrow();
                let left = state.declared.map(|declared| declared.saturating_sub(state.received));
                left.map_or_else(SizeHint::default, SizeHint::with_exact)
            }
        }
    }
}

impl UploadState {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFailure>>> {
        self.begun = true;
        if self.done {
            return Poll::Ready(None);
        }
        if let Some(failure) = self.failure {
            return Poll::Ready(Some(Err(failure)));
        }
        let polled = self.poll_source(cx);
        self.waiting = polled.is_pending();
        match polled {
            Poll::Pending => {
                ready!(self.idle.poll(cx));
                Poll::Ready(Some(Err(self.fail(BodyFailure::Stalled))))
            }
            Poll::Ready(None) => {
                self.done = true;
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(failure))) => Poll::Ready(Some(Err(self.fail(failure)))),
            Poll::Ready(Some(Ok(data))) => {
                self.idle.moved();
                let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
                if length > self.left {
                    return Poll::Ready(Some(Err(self.fail(BodyFailure::TooLarge))));
                }
                self.left = self.left.saturating_sub(length);
                self.received = self.received.saturating_add(length);
                self.done = match &self.source {
                    Source::Empty | Source::Whole(_) => true,
                    Source::H1(body) => body.is_done(),
                    Source::H2(body) => body.is_end_stream(),
                };
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
        }
    }

    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyFailure>>> {
        match &mut self.source {
            Source::Empty => Poll::Ready(None),
            Source::Whole(bytes) => Poll::Ready(Some(Ok(std::mem::take(bytes)))),
            Source::H1(body) => body.poll(cx),
            Source::H2(body) => loop {
                match ready!(Pin::new(&mut *body).poll_frame(cx)) {
                    None => return Poll::Ready(None),
                    Some(Err(_)) => return Poll::Ready(Some(Err(BodyFailure::ClientGone))),
                    // Trailers of a request are left out, as with HTTP/1.1 (`h1/chunked.rs`).
                    Some(Ok(frame)) => {
                        if let Ok(data) = frame.into_data() {
                            return Poll::Ready(Some(Ok(data)));
                        }
                    }
                }
            },
        }
    }

    fn fail(&mut self, failure: BodyFailure) -> BodyFailure {
        self.failure = Some(failure);
        if let Source::H1(body) = &self.source {
            body.give_up();
        }
        failure
    }
}

/// An answer's body, on its way to the client; when it ends, so does the exchange.
pub(super) struct Download<P: Pipeline> {
    source: From,
    idle: Idle,
    pub(super) finish: Box<Finish<P>>,
    upload: Option<Upload>,
    lease: Option<Lease>,
    write_limit: Option<Duration>,
    _place: Option<InFlight>,
}

enum From {
    Whole(Bytes),
    Upstream(Incoming),
}

impl<P: Pipeline> Download<P> {
    pub(super) fn whole(bytes: Bytes, finish: Box<Finish<P>>) -> Self {
        let mut body = Self {
            source: From::Whole(bytes),
            idle: Idle::new(Duration::MAX),
            finish,
            upload: None,
            lease: None,
            write_limit: None,
            _place: None,
        };
        body.end_if_over();
        body
    }

    pub(super) fn upstream(incoming: Incoming, idle: Duration, passage: Passage, finish: Box<Finish<P>>) -> Self {
        let Passage { upload, lease, place } = passage;
        let mut body = Self {
            source: From::Upstream(incoming),
            idle: Idle::new(idle),
            finish,
            upload: Some(upload),
            lease: Some(lease),
            write_limit: Some(idle),
            _place: Some(place),
        };
        body.end_if_over();
        body
    }

    /// How long a client may take for a piece of the answer.
    pub(super) fn write_limit(&self, own: Duration) -> Duration {
        self.write_limit.unwrap_or(own)
    }

    /// The exchange went on as a tunnel and is over now.
    pub(super) fn tunnelled(&mut self, read: u64, written: u64, ended: bool) {
        self.upload = None;
        self.finish.outcome.request_bytes = read;
        self.finish.outcome.response_bytes = written;
        self.finish.outcome.broken_off = !ended;
    }

    fn end_if_over(&mut self) {
        if self.is_end_stream() {
            self.end();
        }
    }

    fn end(&mut self) {
        self.finish.complete();
        self.note_upload();
        // The connection may serve the next request, unless it is still taking this one.
        // A tunnel keeps it until it ends.
        if self.finish.outcome.status != StatusCode::SWITCHING_PROTOCOLS
            && let Some(lease) = self.lease.take()
            && self.upload.as_ref().is_none_or(Upload::is_done)
        {
            lease.give_back();
        }
    }

    fn note_upload(&mut self) {
        if let Some(upload) = &self.upload {
            self.finish.outcome.request_bytes = upload.received();
        }
    }
}

impl<P: Pipeline> Drop for Download<P> {
    fn drop(&mut self) {
        self.note_upload();
    }
}

/// What a forwarded exchange holds until it is over.
pub(super) struct Passage {
    pub(super) upload: Upload,
    pub(super) lease: Lease,
    pub(super) place: InFlight,
}

impl<P: Pipeline> Body for Download<P> {
    type Data = Bytes;
    type Error = BodyFailure;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFailure>>> {
        let this = &mut *self;
        let frame = match &mut this.source {
            From::Whole(bytes) if bytes.is_empty() => return Poll::Ready(None),
            From::Whole(bytes) => Frame::data(std::mem::take(bytes)),
            From::Upstream(incoming) => match Pin::new(incoming).poll_frame(cx) {
                Poll::Pending => {
                    ready!(this.idle.poll(cx));
                    return Poll::Ready(Some(Err(BodyFailure::Stalled)));
                }
                Poll::Ready(None) => {
                    this.end();
                    return Poll::Ready(None);
                }
                Poll::Ready(Some(Err(_))) => return Poll::Ready(Some(Err(BodyFailure::UpstreamGone))),
                Poll::Ready(Some(Ok(frame))) => frame,
            },
        };
        this.idle.moved();
        if let Some(data) = frame.data_ref() {
            let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
            this.finish.outcome.response_bytes = this.finish.outcome.response_bytes.saturating_add(length);
        }
        // Nobody asks for more after the trailers.
        if frame.is_trailers() {
            this.end();
        } else {
            this.end_if_over();
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            From::Whole(bytes) => bytes.is_empty(),
            From::Upstream(incoming) => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            From::Whole(bytes) => SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
            From::Upstream(incoming) => incoming.size_hint(),
        }
    }
}
