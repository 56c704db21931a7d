//! One worker's connections to upstreams. Nothing here is shared between threads.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Weak};

use base::time::SharedClock;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::task::AbortHandle;

use super::Scheme;
use super::body::Upload;
use super::connect::{ConnectFailure, Names, connect};
use super::timer::Alarm;
use crate::upstreams::{Endpoint, Protocol, Upstream};

/// Requests at the same time on one HTTP/2 connection before another one is opened, if the upstream
/// allows as many.
const H2_STREAMS: usize = 100;
/// Longest head of an answer.
const ANSWER_HEAD_BYTES: usize = 64 * 1024;

pub(super) struct Pool {
    clock: SharedClock,
    endpoints: RefCell<HashMap<u64, Rc<EndpointPool>>>,
}

struct EndpointPool {
    endpoint: Weak<Endpoint>,
    names: Names,
    idle: RefCell<Vec<IdleHttp1>>,
    h2: RefCell<Vec<Rc<H2Connection>>>,
    /// It speaks HTTP/2, so that requests that come together wait for one connection.
    speaks_h2: Cell<bool>,
    connecting: tokio::sync::Mutex<()>,
    max_idle: usize,
    clock: SharedClock,
}

struct IdleHttp1 {
    connection: Http1,
    until_ms: u64,
}

/// An HTTP/1.1 connection and the task that runs it.
pub(super) struct Http1 {
    pub(super) sender: http1::SendRequest<Upload>,
    /// For the answers on this connection.
    pub(super) alarm: Alarm,
    task: AbortHandle,
    idle_ms: u64,
}

impl Drop for Http1 {
    /// A request that is not wanted any more must not go on by itself.
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct H2Connection {
    sender: http2::SendRequest<Upload>,
    streams: Cell<usize>,
    last_used_ms: Cell<u64>,
    idle_ms: u64,
}

/// A connection to send one request on.
pub(super) struct Lease {
    pool: Rc<EndpointPool>,
    pub(super) sender: Sender,
    /// It has carried a request before, so the other end may be closing it just now.
    pub(super) reused: bool,
}

pub(super) enum Sender {
    Http1(Http1),
    H2(H2Stream),
}

/// A place on an HTTP/2 connection.
pub(super) struct H2Stream {
    pub(super) sender: http2::SendRequest<Upload>,
    connection: Rc<H2Connection>,
}

impl Drop for H2Stream {
    fn drop(&mut self) {
        let streams = &self.connection.streams;
        streams.set(streams.get().saturating_sub(1));
    }
}

impl Pool {
    pub(super) fn new(clock: SharedClock) -> Self {
        Self { clock, endpoints: RefCell::new(HashMap::new()) }
    }

    /// A connection that waits, or a new one. `fresh` passes over those that wait.
    pub(super) async fn take(
        &self,
        upstream: &Upstream,
        endpoint: &Arc<Endpoint>,
        http1_only: bool,
        fresh: bool,
    ) -> Result<Lease, ConnectFailure> {
        let pool = self.endpoint(upstream, endpoint);
        let now_ms = self.clock.monotonic_ms();
        let waiting = if fresh { None } else { pool.waiting(now_ms, http1_only) };
        if let Some(sender) = waiting {
            return Ok(Lease { pool, sender, reused: true });
        }
        let _turn = if pool.speaks_h2.get() && !http1_only {
            let turn = pool.connecting.lock().await;
            // Somebody may have connected while we waited.
            if let Some(sender) = pool.waiting(now_ms, http1_only) {
                return Ok(Lease { pool: Rc::clone(&pool), sender, reused: true });
            }
            Some(turn)
        } else {
            None
        };
        let stream = connect(upstream, endpoint, &pool.names, now_ms, http1_only).await?;
        let h2 = match upstream.spec().protocol {
            Protocol::Http1 => false,
            _ if http1_only => false,
            Protocol::Auto => stream.speaks_h2(),
            Protocol::H2 if endpoint.spec().scheme == Scheme::Https && !stream.speaks_h2() => {
                return Err(ConnectFailure::Protocol);
            }
            Protocol::H2 => true,
        };
        let idle_ms = u64::try_from(upstream.spec().max_idle_time.as_millis()).unwrap_or(u64::MAX);
        let sender = if h2 {
            let (sender, connection) = http2::Builder::new(LocalExecutor)
                .timer(TokioTimer::new())
                .max_header_list_size(64 * 1024)
                .initial_stream_window_size(256 * 1024)
                .initial_connection_window_size(4 * 1024 * 1024)
                .max_send_buf_size(64 * 1024)
                .max_concurrent_reset_streams(64)
                .handshake(TokioIo::new(stream))
                .await
                .map_err(|_| ConnectFailure::Refused)?;
            drive(endpoint, connection);
            let connection =
                Rc::new(H2Connection { sender, streams: Cell::new(0), last_used_ms: Cell::new(now_ms), idle_ms });
            pool.h2.borrow_mut().push(Rc::clone(&connection));
            Sender::H2(H2Connection::stream(&connection, now_ms))
        } else {
            let (sender, connection) = http1::Builder::new()
                .max_buf_size(ANSWER_HEAD_BYTES)
                .max_headers(256)
                .handshake(TokioIo::new(stream))
                .await
                .map_err(|_| ConnectFailure::Refused)?;
            let task = drive(endpoint, connection.with_upgrades());
            Sender::Http1(Http1 { sender, alarm: Alarm::default(), task, idle_ms })
        };
        Ok(Lease { pool: Rc::clone(&pool), sender, reused: false })
    }

    fn endpoint(&self, upstream: &Upstream, endpoint: &Arc<Endpoint>) -> Rc<EndpointPool> {
        if let Some(pool) = self.endpoints.borrow().get(&endpoint.id()) {
            return Rc::clone(pool);
        }
        let pool = Rc::new(EndpointPool {
            endpoint: Arc::downgrade(endpoint),
            names: Names::default(),
            idle: RefCell::default(),
            h2: RefCell::default(),
            speaks_h2: Cell::new(upstream.spec().protocol == Protocol::H2),
            connecting: tokio::sync::Mutex::new(()),
            max_idle: upstream.spec().max_idle,
            clock: Arc::clone(&self.clock),
        });
        self.endpoints.borrow_mut().insert(endpoint.id(), Rc::clone(&pool));
        pool
    }

    /// Closes what has waited too long, and forgets endpoints that no snapshot names any more.
    pub(super) fn sweep(&self) {
        let now_ms = self.clock.monotonic_ms();
        self.endpoints.borrow_mut().retain(|_, pool| {
            pool.idle.borrow_mut().retain(|idle| idle.until_ms > now_ms && !idle.connection.sender.is_closed());
            pool.h2.borrow_mut().retain(|connection| !connection.is_over(now_ms));
            pool.endpoint.strong_count() > 0
        });
    }
}

/// Runs a connection on this thread until it closes.
fn drive<E: std::fmt::Display>(
    endpoint: &Endpoint,
    connection: impl Future<Output = Result<(), E>> + 'static,
) -> AbortHandle {
    let label = Arc::clone(endpoint.label());
    let task = tokio::task::spawn_local(async move {
        if let Err(error) = connection.await {
            tracing::debug!(endpoint = %label, cause = %error, "upstream connection ended");
        }
    });
    task.abort_handle()
}

impl EndpointPool {
    fn waiting(&self, now_ms: u64, http1_only: bool) -> Option<Sender> {
        if !http1_only {
            let mut connections = self.h2.borrow_mut();
            connections.retain(|connection| !connection.sender.is_closed());
            let free = connections.iter().find(|connection| connection.has_room());
            if let Some(connection) = free {
                return Some(Sender::H2(H2Connection::stream(connection, now_ms)));
            }
        }
        let mut idle = self.idle.borrow_mut();
        // The last one used first, so that those not needed grow old and are closed.
        let mut at = idle.len();
        while let Some(before) = at.checked_sub(1) {
            at = before;
            let Some(waiting) = idle.get(at) else { break };
            if waiting.connection.sender.is_closed() || waiting.until_ms <= now_ms {
                idle.remove(at);
            } else if waiting.connection.sender.is_ready() {
                return Some(Sender::Http1(idle.remove(at).connection));
            }
        }
        None
    }
}

impl H2Connection {
    fn stream(connection: &Rc<Self>, now_ms: u64) -> H2Stream {
        connection.streams.set(connection.streams.get().saturating_add(1));
        connection.last_used_ms.set(now_ms);
        H2Stream { sender: connection.sender.clone(), connection: Rc::clone(connection) }
    }

    fn has_room(&self) -> bool {
        self.streams.get() < H2_STREAMS && self.sender.is_ready()
    }

    fn is_over(&self, now_ms: u64) -> bool {
        let idle = self.streams.get() == 0 && now_ms.saturating_sub(self.last_used_ms.get()) > self.idle_ms;
        idle || self.sender.is_closed()
    }
}

impl Lease {
    /// The exchange is over in good order: the connection may wait for the next one.
    pub(super) fn give_back(self) {
        if let Sender::Http1(connection) = self.sender {
            let mut idle = self.pool.idle.borrow_mut();
            if !connection.sender.is_closed() && idle.len() < self.pool.max_idle {
                let until_ms = self.pool.clock.monotonic_ms().saturating_add(connection.idle_ms);
                idle.push(IdleHttp1 { connection, until_ms });
            }
        }
    }
}

/// Runs hyper's own tasks on the worker's thread.
#[derive(Debug, Clone, Copy)]
pub(super) struct LocalExecutor;

impl<F> hyper::rt::Executor<F> for LocalExecutor
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}
