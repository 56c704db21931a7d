//! Listening, accepting, and ending in good order.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use base::time::SharedClock;
use bytes::Bytes;
use ipnet::IpNet;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::{mpsc, watch};
use tokio_rustls::{TlsAcceptor, TlsStream};
use tokio_util::sync::CancellationToken;

use super::exchange::Pipeline;
use super::forwarded::Trusted;
use super::limits::{Connections, Limits, Place};
use super::pool::Pool;
use super::stream::Stream;
use super::tls::Certificates;
use super::{date, h1, h2};

/// How the engine runs.
#[derive(Clone)]
pub struct EdgeConfig {
    /// Threads, each with a runtime of its own; one per core is right.
    pub workers: usize,
    pub limits: Limits,
    /// Networks of proxies whose `Forwarded` and `X-Forwarded-*` are believed.
    pub trusted_proxies: Vec<IpNet>,
    pub clock: SharedClock,
}

/// A bound socket and what is spoken on it: with certificates TLS, without plain HTTP; on both
/// HTTP/1.1 and HTTP/2.
#[derive(Debug)]
pub struct Listener {
    pub socket: std::net::TcpListener,
    pub tls: Option<Arc<Certificates>>,
}

/// Binds a socket. `reuse_port` lets other sockets, also of other processes, share the address
/// (`SO_REUSEPORT`); a socket that is handed over needs no such thing.
pub fn listen(address: SocketAddr, reuse_port: bool) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart may bind while old connections are in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(reuse_port)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    Ok(socket.into())
}

/// Serves on these sockets, each worker on all of them, until drained or dropped.
pub fn serve<P: Pipeline>(config: EdgeConfig, listeners: Vec<Listener>, pipeline: Arc<P>) -> io::Result<Running> {
    let addresses = listeners.iter().map(|listener| listener.socket.local_addr()).collect::<io::Result<Vec<_>>>()?;
    let connections = Arc::new(Connections::new());
    let (order, orders) = watch::channel(Order::Serve);
    let (alive, ended) = mpsc::channel(1);
    let trusted = Trusted::new(config.trusted_proxies);
    for number in 0..config.workers.max(1) {
        let sockets = listeners
            .iter()
            .map(|listener| {
                let socket = listener.socket.try_clone()?;
                socket.set_nonblocking(true)?;
                Ok(Listener { socket, tls: listener.tls.clone() })
            })
            .collect::<io::Result<Vec<_>>>()?;
        let parts = Parts {
            pipeline: Arc::clone(&pipeline),
            limits: config.limits.clone(),
            clock: Arc::clone(&config.clock),
            trusted: trusted.clone(),
            connections: Arc::clone(&connections),
        };
        let orders = orders.clone();
        let alive = alive.clone();
        // A runtime of this kind is bound to its thread, so that it is made there.
        let (begun, beginning) = std::sync::mpsc::sync_channel(1);
        std::thread::Builder::new().name(format!("edge-{number}")).spawn(move || {
            let runtime = match tokio::runtime::LocalRuntime::new() {
                Ok(runtime) => runtime,
                Err(error) => {
                    let _ = begun.send(Err(error));
                    return;
                }
            };
            let _ = begun.send(Ok(()));
            runtime.block_on(work(parts, sockets, orders));
            // What is still running is cut here, and says so to the pipeline.
            drop(runtime);
            drop(alive);
        })?;
        beginning.recv().map_err(io::Error::other)??;
    }
    let sockets = listeners.into_iter().map(|listener| listener.socket).collect();
    Ok(Running { addresses, sockets, connections, order, ended })
}

#[derive(Debug, Clone, Copy)]
enum Order {
    Serve,
    /// End, and cut after this time what has not ended.
    Drain(Duration),
}

/// The engine at work. Dropping it ends everything at once.
#[derive(Debug)]
pub struct Running {
    addresses: Vec<SocketAddr>,
    sockets: Vec<std::net::TcpListener>,
    connections: Arc<Connections>,
    order: watch::Sender<Order>,
    ended: mpsc::Receiver<()>,
}

impl Running {
    /// Where it listens, in the order of the listeners.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The listening sockets, to hand them over to another process.
    pub fn sockets(&self) -> &[std::net::TcpListener] {
        &self.sockets
    }

    /// Open connections from clients.
    pub fn connections(&self) -> usize {
        self.connections.open()
    }

    /// Stops accepting, lets requests end, tells clients to go elsewhere, and after `within` cuts
    /// what is left. Returns when all threads have ended.
    pub async fn drain(mut self, within: Duration) {
        // The last of our handles on the sockets, so that a new connection is refused, or taken by
        // the process that they were handed over to.
        self.sockets.clear();
        let _ = self.order.send(Order::Drain(within));
        let _ = self.ended.recv().await;
    }
}

struct Parts<P> {
    pipeline: Arc<P>,
    limits: Limits,
    clock: SharedClock,
    trusted: Trusted,
    connections: Arc<Connections>,
}

/// What the tasks of one thread share.
pub(super) struct Worker<P> {
    pub(super) pipeline: Arc<P>,
    pub(super) limits: Limits,
    pub(super) clock: SharedClock,
    pub(super) trusted: Trusted,
    pub(super) pool: Pool,
    pub(super) draining: CancellationToken,
    connections: Arc<Connections>,
    /// Connections, and work that goes on without one.
    open: Cell<usize>,
    none_open: tokio::sync::Notify,
    outliving: Cell<usize>,
    date: RefCell<(i64, Bytes)>,
}

/// The other end of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer {
    pub(super) address: IpAddr,
}

impl<P> Worker<P> {
    fn one_less(&self) {
        let left = self.open.get().saturating_sub(1);
        self.open.set(left);
        if left == 0 {
            self.none_open.notify_one();
        }
    }

    /// The time as `Date` has it (RFC 9110 §5.6.7), made once a second.
    pub(super) fn date(&self) -> Bytes {
        let seconds = self.clock.now().seconds();
        let mut date = self.date.borrow_mut();
        if date.0 != seconds {
            *date = (seconds, Bytes::from(date::imf_fixdate(seconds)));
        }
        date.1.clone()
    }
}

const SWEEP: Duration = Duration::from_secs(5);

async fn work<P: Pipeline>(parts: Parts<P>, listeners: Vec<Listener>, mut orders: watch::Receiver<Order>) {
    let Parts { pipeline, limits, clock, trusted, connections } = parts;
    let worker = Rc::new(Worker {
        pipeline,
        limits,
        pool: Pool::new(Arc::clone(&clock)),
        clock,
        trusted,
        connections,
        draining: CancellationToken::new(),
        open: Cell::new(0),
        none_open: tokio::sync::Notify::new(),
        outliving: Cell::new(0),
        date: RefCell::new((i64::MIN, Bytes::new())),
    });
    let accepting: Vec<_> =
        listeners.into_iter().map(|listener| tokio::task::spawn_local(accept(Rc::clone(&worker), listener))).collect();
    let sweeper = {
        let worker = Rc::clone(&worker);
        tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep(SWEEP).await;
                worker.pool.sweep();
            }
        })
    };
    let within = loop {
        let order = *orders.borrow_and_update();
        match order {
            Order::Drain(within) => break within,
            Order::Serve if orders.changed().await.is_err() => break Duration::ZERO,
            Order::Serve => {}
        }
    };
    for task in accepting {
        task.abort();
        let _ = task.await;
    }
    worker.draining.cancel();
    let _ = tokio::time::timeout(within, async {
        while worker.open.get() > 0 {
            worker.none_open.notified().await;
        }
    })
    .await;
    sweeper.abort();
}

async fn accept<P: Pipeline>(worker: Rc<Worker<P>>, listener: Listener) {
    let socket = match tokio::net::TcpListener::from_std(listener.socket) {
        Ok(socket) => socket,
        Err(error) => {
            tracing::error!(cause = %error, "a listening socket cannot be used");
            return;
        }
    };
    let tls = listener.tls.map(|certificates| TlsAcceptor::from(Arc::clone(certificates.config())));
    loop {
        match socket.accept().await {
            Ok((stream, address)) => {
                let peer = Peer { address: address.ip().to_canonical() };
                let counted = (!worker.trusted.contains(peer.address)).then_some(peer.address);
                let Some(place) = worker.connections.admit(counted, &worker.limits) else { continue };
                let _ = stream.set_nodelay(true);
                let open = Open::begin(&worker, place);
                tokio::task::spawn_local(connection(Rc::clone(&worker), stream, tls.clone(), peer, open));
            }
            // The client went away before it was taken.
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) => {
            }
            Err(error) => {
                // Out of file descriptors, mostly: wait until some are free again.
                tracing::warn!(cause = %error, "accepting a connection failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn connection<P: Pipeline>(
    worker: Rc<Worker<P>>,
    stream: tokio::net::TcpStream,
    tls: Option<TlsAcceptor>,
    peer: Peer,
    open: Open<P>,
) {
    let stream = match tls {
        None => Stream::plain(stream),
        Some(acceptor) => match tokio::time::timeout(worker.limits.head_time, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => Stream::tls(TlsStream::Server(stream)),
            Ok(Err(error)) => {
                tracing::debug!(cause = %error, "TLS handshake failed");
                return;
            }
            Err(_) => return,
        },
    };
    let h2 = if stream.speaks_h2() { Some(stream) } else { h1::serve(&worker, stream, peer).await };
    if let Some(stream) = h2 {
        h2::serve(&worker, stream, peer).await;
    }
    drop(open);
}

/// Counts work that goes on without a connection among them, so that draining waits for it, too.
pub(super) struct Undone<P>(Rc<Worker<P>>);

impl<P> Undone<P> {
    /// `None`: there are as many as there may be.
    pub(super) fn begin(worker: &Rc<Worker<P>>) -> Option<Self> {
        let before = worker.outliving.get();
        if before >= worker.limits.outliving {
            return None;
        }
        worker.outliving.set(before.saturating_add(1));
        worker.open.set(worker.open.get().saturating_add(1));
        Some(Self(Rc::clone(worker)))
    }
}

impl<P> Drop for Undone<P> {
    fn drop(&mut self) {
        self.0.outliving.set(self.0.outliving.get().saturating_sub(1));
        self.0.one_less();
    }
}

/// Counts a connection among the worker's open ones.
struct Open<P> {
    worker: Rc<Worker<P>>,
    _place: Place,
}

impl<P> Open<P> {
    fn begin(worker: &Rc<Worker<P>>, place: Place) -> Self {
        worker.open.set(worker.open.get().saturating_add(1));
        Self { worker: Rc::clone(worker), _place: place }
    }
}

impl<P> Drop for Open<P> {
    fn drop(&mut self) {
        self.worker.one_less();
    }
}
