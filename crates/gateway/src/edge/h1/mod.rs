//! HTTP/1.1 towards clients (RFC 9112): a reader of our own, since a lenient one in front of another
//! lenient one is where request smuggling comes from. Answers are always written anew.

mod chunked;
mod head;
mod tunnel;
mod wire;
mod write;

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::{BufMut as _, Bytes};
use http::{Method, Version};
use http_body::Body as _;
use tokio::io::AsyncWrite as _;

pub(super) use wire::Body;
use wire::{Shared, Wire};
use write::{Asked, Ending};

use super::body::Download;
use super::exchange::Pipeline;
use super::handle::{Answer, handle, refusal};
use super::received::{Received, Refusal, Source};
use super::serve::{Peer, Worker};
use super::stream::Stream;
use super::timer::Idle;
use head::Parsed;

/// What a client sends first if it knows that we speak HTTP/2 (RFC 9113 §3.4).
const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// As much of a body that nobody wants is read to keep the connection.
const DISCARD_BYTES: u64 = 64 * 1024;
/// Answers wait for so many bytes before they are written.
const WRITE_BYTES: usize = 64 * 1024;

/// What came instead of, or as, the next request.
enum Next {
    Head(Bytes),
    H2,
    Refused(Refusal),
    Closed,
}

/// How the exchange left the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    KeepAlive,
    /// Close so that the client can read the answer first.
    Linger,
    Cut,
}

/// Serves a connection to its end; gives it back if it turns out to speak HTTP/2.
pub(super) async fn serve<P: Pipeline>(worker: &Rc<Worker<P>>, stream: Stream, peer: Peer) -> Option<Stream> {
    let tls = stream.is_tls();
    let wire: Shared = Rc::new(RefCell::new(Wire::new(stream)));
    let _closing = CloseAtEnd(Rc::clone(&wire));
    let mut idle = Idle::new(worker.limits.keep_alive);
    let mut first = true;
    // One for all requests: signing on and off at each would cost more than looking.
    let mut draining = pin!(async {
        worker.draining.cancelled().await;
        tokio::time::sleep(worker.limits.drain_idle).await;
    });
    loop {
        let next = next_head(worker, &wire, &mut idle, first, draining.as_mut()).await;
        let parsed = match next {
            Next::Closed => return None,
            Next::H2 => {
                let mut wire = wire.borrow_mut();
                let ahead = wire.input.split().freeze();
                return Some(wire.stream.take().with_ahead(ahead));
            }
            Next::Refused(refusal) => Err(refusal),
            Next::Head(head) => head::parse(&head, peer.address, tls, &worker.limits),
        };
        first = false;
        idle.moved();
        let after = match parsed {
            Err(reason) => {
                refuse(worker, &wire, reason).await;
                After::Linger
            }
            Ok(parsed) => exchange(worker, &wire, parsed).await,
        };
        match after {
            After::KeepAlive => {}
            After::Linger => {
                linger(worker, &wire).await;
                return None;
            }
            After::Cut => return None,
        }
    }
}

/// Closes the socket when the connection's task ends, even if a body is still held elsewhere.
struct CloseAtEnd(Shared);

impl Drop for CloseAtEnd {
    fn drop(&mut self) {
        if let Ok(mut wire) = self.0.try_borrow_mut() {
            wire.stream.close();
        }
    }
}

/// Waits for the next head and takes it off the input, whole.
async fn next_head<P: Pipeline>(
    worker: &Rc<Worker<P>>,
    wire: &Shared,
    idle: &mut Idle,
    first: bool,
    mut draining: Pin<&mut impl Future<Output = ()>>,
) -> Next {
    let mut looked_at = 0;
    let limits = &worker.limits;
    let mut head_time = None;
    poll_fn(|cx| {
        let mut wire = wire.borrow_mut();
        loop {
            let input = &wire.input;
            if first && H2_PREFACE.starts_with(input.get(..H2_PREFACE.len()).unwrap_or(input)) && !input.is_empty() {
                if input.len() >= H2_PREFACE.len() {
                    return Poll::Ready(Next::H2);
                }
            } else if let Some(end) = head::end_of_head(input, looked_at) {
                if end > limits.head_bytes {
                    return Poll::Ready(Next::Refused(Refusal::HEAD_TOO_LARGE));
                }
                return Poll::Ready(Next::Head(wire.input.split_to(end).freeze()));
            } else if input.len() > limits.head_bytes {
                return Poll::Ready(Next::Refused(Refusal::HEAD_TOO_LARGE));
            } else if !head::lines_are_good(input, looked_at) {
                return Poll::Ready(Next::Refused(Refusal::bad("lines end with CR LF, and neither stands alone")));
            }
            looked_at = input.len();
            match wire.poll_fill(cx) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Next::Closed),
                Poll::Ready(Ok(_)) => continue,
                Poll::Pending => {}
            }
            if looked_at == 0 && draining.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Next::Closed);
            }
            // Between requests a client may wait long; within a head, or before its first, it may not.
            if looked_at == 0 && !first {
                return idle.poll(cx).map(|()| Next::Closed);
            }
            let limit = head_time.get_or_insert_with(|| Box::pin(tokio::time::sleep(limits.head_time)));
            let late = if looked_at == 0 { Next::Closed } else { Next::Refused(Refusal::HEAD_TIMEOUT) };
            return limit.as_mut().poll(cx).map(|()| late);
        }
    })
    .await
}

async fn refuse<P: Pipeline>(worker: &Rc<Worker<P>>, wire: &Shared, reason: Refusal) {
    wire.borrow_mut().give_up_body();
    let Answer { response, .. } = refusal(worker, reason);
    let asked = Asked { method: &Method::GET, version: Version::HTTP_11, keep_alive: false };
    write_answer(worker, wire, response, asked, false).await;
}

/// One request and its answer.
async fn exchange<P: Pipeline>(worker: &Rc<Worker<P>>, wire: &Shared, parsed: Parsed) -> After {
    let Parsed { received, framing, keep_alive, expects_continue } = parsed;
    let request = wire.borrow_mut().begin_body(framing, expects_continue);
    let source = if wire.borrow().body_is_done() { Source::Empty } else { Source::H1(Body::new(wire, request)) };
    let Answer { response, tunnel } = {
        let mut handling = pin!(handle(worker, &received, source));
        let answer = poll_fn(|cx| {
            if let Poll::Ready(answer) = handling.as_mut().poll(cx) {
                return Poll::Ready(Some(answer));
            }
            wire.borrow_mut().poll_gone(cx).map(|()| None)
        });
        match answer.await {
            Some(answer) => answer,
            None => return After::Cut,
        }
    };
    if let Some(upgrade) = tunnel {
        return tunnel::run(worker, wire, response, upgrade, &received).await;
    }
    finish(worker, wire, response, &received, keep_alive).await
}

/// Writes the answer and finds out whether another request may follow.
async fn finish<P: Pipeline>(
    worker: &Rc<Worker<P>>,
    wire: &Shared,
    response: http::Response<Download<P>>,
    received: &Received,
    keep_alive: bool,
) -> After {
    let keep_alive = {
        let mut wire = wire.borrow_mut();
        let small = wire.body_left().is_some_and(|left| left <= DISCARD_BYTES);
        // A client that waits for `100 Continue` may send the body or not after a final answer.
        let reusable = !wire.owes_continue && !wire.body_has_failed() && (small || response.status().is_success());
        wire.owes_continue = false;
        keep_alive && reusable && !worker.draining.is_cancelled()
    };
    let asked = Asked { method: &received.method, version: received.version, keep_alive };
    let written = write_answer(worker, wire, response, asked, received.te_trailers).await;
    wire.borrow_mut().take_back_body();
    if !written {
        return After::Cut;
    }
    if keep_alive && discard(worker, wire).await { After::KeepAlive } else { After::Linger }
}

/// Writes head and body as they come; false if the answer is not whole.
async fn write_answer<P: Pipeline>(
    worker: &Rc<Worker<P>>,
    wire: &Shared,
    response: http::Response<Download<P>>,
    asked: Asked<'_>,
    te_trailers: bool,
) -> bool {
    let ending = write::ending(&response, &asked);
    write::head(&mut wire.borrow_mut().output, &response, ending, &asked, &worker.date());
    let mut body = pin!(response.into_body());
    let mut left = match ending {
        Ending::Length(length) => Some(length),
        _ => None,
    };
    let mut over = ending == Ending::NoBody || (left == Some(0));
    let mut stalled = Idle::new(body.write_limit(worker.limits.idle_time));
    let whole = poll_fn(|cx| {
        let mut wire = wire.borrow_mut();
        loop {
            while !over && wire.output.len() < WRITE_BYTES {
                match body.as_mut().poll_frame(cx) {
                    Poll::Pending => break,
                    Poll::Ready(None) => {
                        over = true;
                        if ending == Ending::Chunked {
                            write::last_chunk(&mut wire.output, None);
                        }
                    }
                    Poll::Ready(Some(Err(_))) => return Poll::Ready(false),
                    Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                        Ok(data) => {
                            let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
                            match &mut left {
                                Some(left) if *left < length => return Poll::Ready(false),
                                Some(left) => *left -= length,
                                None => {}
                            }
                            if ending == Ending::Chunked && !data.is_empty() {
                                write::chunk_size(&mut wire.output, data.len());
                                wire.output.put_slice(&data);
                                wire.output.put_slice(b"\r\n");
                            } else {
                                wire.output.put_slice(&data);
                            }
                        }
                        Err(frame) => {
                            if ending == Ending::Chunked {
                                let trailers = frame.trailers_ref().filter(|_| te_trailers);
                                write::last_chunk(&mut wire.output, trailers);
                            }
                            over = true;
                        }
                    },
                }
                over = over || (left == Some(0));
            }
            let before = wire.output.len();
            match wire.poll_drain(cx) {
                Poll::Ready(Err(_)) => return Poll::Ready(false),
                Poll::Ready(Ok(())) if over => return Poll::Ready(left.is_none_or(|left| left == 0)),
                Poll::Ready(Ok(())) if before >= WRITE_BYTES => {
                    stalled.moved();
                    continue;
                }
                Poll::Ready(Ok(())) => return wire.poll_gone(cx).map(|()| false),
                Poll::Pending if wire.output.len() < before => stalled.moved(),
                Poll::Pending => {}
            }
            return stalled.poll(cx).map(|()| false);
        }
    })
    .await;
    if !whole {
        body.finish.break_off();
    }
    whole
}

/// Reads what is left of a body that nobody wants; false if that is too much.
async fn discard<P: Pipeline>(worker: &Rc<Worker<P>>, wire: &Shared) -> bool {
    if wire.borrow().body_is_done() {
        return true;
    }
    let mut budget = DISCARD_BYTES;
    let all = poll_fn(|cx| {
        let mut wire = wire.borrow_mut();
        loop {
            match wire.poll_body(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(true),
                Poll::Ready(Some(Err(_))) => return Poll::Ready(false),
                Poll::Ready(Some(Ok(data))) => {
                    budget = budget.saturating_sub(u64::try_from(data.len()).unwrap_or(u64::MAX));
                    if budget == 0 {
                        return Poll::Ready(false);
                    }
                }
            }
        }
    });
    tokio::time::timeout(worker.limits.idle_time, all).await.unwrap_or(false)
}

/// Closes our side and, if there is more to come, reads on for a moment: closing with unread bytes
/// would reset the connection and might take the answer away from the client (RFC 9112 §9.6).
async fn linger<P: Pipeline>(worker: &Rc<Worker<P>>, wire: &Shared) {
    let mut budget = 16 * DISCARD_BYTES;
    let mut shut = false;
    let closing = poll_fn(|cx| {
        let mut wire = wire.borrow_mut();
        if !shut {
            match Pin::new(&mut wire.stream).poll_shutdown(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(())) => shut = true,
            }
        }
        if wire.body_is_done() && wire.input.is_empty() {
            return Poll::Ready(());
        }
        loop {
            wire.input.clear();
            match wire.poll_fill(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(read)) => {
                    budget = budget.saturating_sub(u64::try_from(read).unwrap_or(u64::MAX));
                    if budget == 0 {
                        return Poll::Ready(());
                    }
                }
            }
        }
    });
    let limit = worker.limits.idle_time.min(Duration::from_secs(2));
    let _ = tokio::time::timeout(limit, closing).await;
}
