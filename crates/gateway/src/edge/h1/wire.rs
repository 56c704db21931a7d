//! The bytes of one HTTP/1.1 connection. The connection's own task writes answers and reads heads;
//! the body of a request is read by whoever sends it on, on the same thread.

use std::cell::RefCell;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWrite as _};

use super::chunked::{Decoder, Step};
use super::head::Framing;
use crate::edge::body::BodyFailure;
use crate::edge::stream::Stream;

const READ_BYTES: usize = 8 * 1024;
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

pub(super) type Shared = Rc<RefCell<Wire>>;

#[derive(Debug)]
pub(super) struct Wire {
    pub(super) stream: Stream,
    pub(super) input: BytesMut,
    /// Waiting to be written.
    pub(super) output: BytesMut,
    body: Incoming,
    /// `100 Continue` is owed before the body is read.
    pub(super) owes_continue: bool,
    /// Counts requests, so that the body of an earlier one reads nothing of a later one.
    request: u64,
}

#[derive(Debug)]
enum Incoming {
    Length(u64),
    Chunked(Decoder),
    Done,
    Failed,
}

impl Wire {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            stream,
            input: BytesMut::with_capacity(READ_BYTES),
            output: BytesMut::with_capacity(1024),
            body: Incoming::Done,
            owes_continue: false,
            request: 0,
        }
    }

    /// Reads what there is; 0 = the client has closed its side.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.input.capacity() - self.input.len() < 1024 {
            self.input.reserve(READ_BYTES);
        }
        let read = self.stream.read_buf(&mut self.input);
        pin!(read).poll(cx)
    }

    /// Writes out all that waits.
    pub(super) fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.output.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.output))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.output.advance(written);
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Makes ready for the body that comes after a head.
    pub(super) fn begin_body(&mut self, framing: Framing, owes_continue: bool) -> u64 {
        self.body = match framing {
            Framing::Length(0) => Incoming::Done,
            Framing::Length(length) => Incoming::Length(length),
            Framing::Chunked => Incoming::Chunked(Decoder::new()),
        };
        self.owes_continue = owes_continue && !self.body_is_done();
        self.request = self.request.wrapping_add(1);
        self.request
    }

    /// Whoever still holds the body reads no more of it; the connection's own task may.
    pub(super) fn take_back_body(&mut self) {
        self.request = self.request.wrapping_add(1);
    }

    /// What comes is not read as anything any more.
    pub(super) fn give_up_body(&mut self) {
        self.body = Incoming::Failed;
    }

    pub(super) fn body_is_done(&self) -> bool {
        matches!(self.body, Incoming::Done)
    }

    pub(super) fn body_has_failed(&self) -> bool {
        matches!(self.body, Incoming::Failed)
    }

    /// Bytes still to come, when known.
    pub(super) fn body_left(&self) -> Option<u64> {
        match self.body {
            Incoming::Length(left) => Some(left),
            Incoming::Done => Some(0),
            Incoming::Chunked(_) | Incoming::Failed => None,
        }
    }

    pub(super) fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyFailure>>> {
        loop {
            match &mut self.body {
                Incoming::Done => return Poll::Ready(None),
                Incoming::Failed => return Poll::Ready(Some(Err(BodyFailure::ClientGone))),
                Incoming::Length(left) if !self.input.is_empty() => {
                    let length = usize::try_from(*left).unwrap_or(usize::MAX).min(self.input.len());
                    *left = left.saturating_sub(u64::try_from(length).unwrap_or(u64::MAX));
                    if *left == 0 {
                        self.body = Incoming::Done;
                    }
                    return Poll::Ready(Some(Ok(self.input.split_to(length).freeze())));
                }
                Incoming::Length(_) => {}
                Incoming::Chunked(decoder) => match decoder.step(&mut self.input) {
                    Step::Data(data) => return Poll::Ready(Some(Ok(data))),
                    Step::Done => {
                        self.body = Incoming::Done;
                        continue;
                    }
                    Step::Bad => {
                        self.body = Incoming::Failed;
                        return Poll::Ready(Some(Err(BodyFailure::Malformed)));
                    }
                    Step::More => {}
                },
            }
            if self.owes_continue {
                self.owes_continue = false;
                self.output.extend_from_slice(CONTINUE);
            }
            if !self.output.is_empty() && self.poll_drain(cx)?.is_pending() {
                return Poll::Pending;
            }
            match ready!(self.poll_fill(cx)) {
                Ok(0) | Err(_) => {
                    self.body = Incoming::Failed;
                    return Poll::Ready(Some(Err(BodyFailure::ClientGone)));
                }
                Ok(_) => {}
            }
        }
    }

    /// Ready when the client has gone away. What it sends meanwhile is the beginning of its next
    /// request; of that no more is read ahead than a buffer.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.body_is_done() && self.input.len() < READ_BYTES {
            match ready!(self.poll_fill(cx)) {
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(_) => {}
            }
        }
        Poll::Pending
    }
}

impl From<io::Error> for BodyFailure {
    fn from(_: io::Error) -> Self {
        Self::ClientGone
    }
}

/// The body of one request.
#[derive(Debug)]
pub(in crate::edge) struct Body {
    wire: Shared,
    request: u64,
}

impl Body {
    pub(super) fn new(wire: &Shared, request: u64) -> Self {
        Self { wire: Rc::clone(wire), request }
    }

    pub(in crate::edge) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyFailure>>> {
        // Borrowed for one call of the other task only, which never calls here.
        let Ok(mut wire) = self.wire.try_borrow_mut() else {
            return Poll::Ready(Some(Err(BodyFailure::ClientGone)));
        };
        if wire.request != self.request {
            return Poll::Ready(Some(Err(BodyFailure::ClientGone)));
        }
        wire.poll_body(cx)
    }

    /// The rest of the body is not wanted, so that no other request can follow it.
    pub(in crate::edge) fn give_up(&self) {
        if let Ok(mut wire) = self.wire.try_borrow_mut()
            && wire.request == self.request
        {
            wire.give_up_body();
        }
    }

    pub(in crate::edge) fn is_done(&self) -> bool {
        self.wire.try_borrow().is_ok_and(|wire| wire.request == self.request && wire.body_is_done())
    }
}
