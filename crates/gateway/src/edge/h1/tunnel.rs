//! After `101 Switching Protocols`: bytes in both directions, unread (RFC 6455).

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use http::Response;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::write::{self, Asked};
use super::{After, Shared};
use crate::edge::body::Download;
use crate::edge::exchange::Pipeline;
use crate::edge::received::Received;
use crate::edge::serve::Worker;
use crate::edge::timer::Idle;

/// Answers 101 and copies until one side closes, nothing moves for too long, or the worker ends.
pub(super) async fn run<P: Pipeline>(
    worker: &Rc<Worker<P>>,
    wire: &Shared,
    response: Response<Download<P>>,
    upgrade: hyper::upgrade::OnUpgrade,
    received: &Received,
) -> After {
    let asked = Asked { method: &received.method, version: received.version, keep_alive: true };
    let ending = write::ending(&response, &asked);
    write::head(&mut wire.borrow_mut().output, &response, ending, &asked, &[]);
    let mut body = response.into_body();
    body.finish.break_off();
    if poll_fn(|cx| wire.borrow_mut().poll_drain(cx)).await.is_err() {
        return After::Cut;
    }
    let Ok(upgraded) = upgrade.await else { return After::Cut };
    let moved = Rc::new(Cell::new(Moved::default()));
    let mut client = ClientSide { wire: Rc::clone(wire), moved: Rc::clone(&moved) };
    let mut upstream = TokioIo::new(upgraded);
    let mut idle = Idle::new(body.write_limit(worker.limits.idle_time));
    let ended = {
        let mut copy = pin!(tokio::io::copy_bidirectional(&mut client, &mut upstream));
        let mut seen = Moved::default();
        poll_fn(|cx| {
            if let Poll::Ready(ended) = copy.as_mut().poll(cx) {
                return Poll::Ready(ended.is_ok());
            }
            if moved.get() != seen {
                seen = moved.get();
                idle.moved();
            }
            idle.poll(cx).map(|()| false)
        })
        .await
    };
    body.tunnelled(moved.get().read, moved.get().written, ended);
    After::Cut
}

/// The client's side as a stream, beginning with what was read ahead.
struct ClientSide {
    wire: Shared,
    moved: Rc<Cell<Moved>>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Moved {
    read: u64,
    written: u64,
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

impl AsyncRead for ClientSide {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let mut wire = self.wire.borrow_mut();
        if wire.input.is_empty() {
            ready!(Pin::new(&mut wire.stream).poll_read(cx, buf))?;
        } else {
            let length = wire.input.len().min(buf.remaining());
            buf.put_slice(&wire.input.split_to(length));
        }
        let mut moved = self.moved.get();
        moved.read = moved.read.saturating_add(count(buf.filled().len().saturating_sub(before)));
        self.moved.set(moved);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ClientSide {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.wire.borrow_mut().stream).poll_write(cx, buf))?;
        let mut moved = self.moved.get();
        moved.written = moved.written.saturating_add(count(written));
        self.moved.set(moved);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire.borrow_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire.borrow_mut().stream).poll_shutdown(cx)
    }
}
