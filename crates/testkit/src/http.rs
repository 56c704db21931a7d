#![expect(clippy::expect_used, reason = "an actor that cannot play its part must fail loudly")]

//! HTTP actors: upstreams that record what reaches them, and a client that sends raw bytes.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri, Version};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A body in any form.
pub type AnyBody = BoxBody<Bytes, Infallible>;

/// A whole body.
pub fn whole(bytes: impl Into<Bytes>) -> AnyBody {
    Full::new(bytes.into()).boxed()
}

/// A request as an upstream saw it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: Method,
    pub uri: Uri,
    pub version: Version,
    pub headers: HeaderMap,
    /// `None` if it broke off.
    pub body: Option<Bytes>,
    pub trailers: Option<HeaderMap>,
}

/// An HTTP server on a free port of the loopback, for HTTP/1.1 and HTTP/2 (prior knowledge).
#[derive(Debug)]
pub struct HttpUpstream {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl HttpUpstream {
    /// Reads each request whole, records it, and gives this answer.
    pub async fn start<F>(answer: F) -> Self
    where
        F: Fn(&Seen) -> Response<AnyBody> + Send + Sync + 'static,
    {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let answer = Arc::new(answer);
        Self::with_log(seen, move |request: Request<Incoming>| {
            let log = Arc::clone(&log);
            let answer = Arc::clone(&answer);
            async move {
                let seen = record(request).await;
                let response = answer(&seen);
                log.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
                response
            }
        })
        .await
    }

    /// Answers 200 with this text.
    pub async fn saying(text: &'static str) -> Self {
        Self::start(move |_| Response::new(whole(text))).await
    }

    /// Leaves reading and answering to the script; nothing is recorded.
    pub async fn streaming<F, R>(answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Send + Sync + 'static,
        R: Future<Output = Response<AnyBody>> + Send + 'static,
    {
        Self::with_log(Arc::default(), answer).await
    }

    async fn with_log<F, R>(seen: Arc<Mutex<Vec<Seen>>>, answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Send + Sync + 'static,
        R: Future<Output = Response<AnyBody>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port on the loopback");
        let address = listener.local_addr().expect("its address");
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let answer = Arc::new(answer);
        let task = tokio::spawn(async move {
            // Dropped with the task, and then the connections end, too.
            let mut open = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let _ = stream.set_nodelay(true);
                let answer = Arc::clone(&answer);
                let service = service_fn(move |request| {
                    let answering = answer(request);
                    async move { Ok::<_, Infallible>(answering.await) }
                });
                open.spawn(async move {
                    let mut server = auto::Builder::new(TokioExecutor::new());
                    server.http1().auto_date_header(false);
                    let _ = server.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, seen, connections, task }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many connections were made so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for HttpUpstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn record(request: Request<Incoming>) -> Seen {
    let (parts, body) = request.into_parts();
    let collected = body.collect().await.ok();
    let trailers = collected.as_ref().and_then(|collected| collected.trailers().cloned());
    Seen {
        method: parts.method,
        uri: parts.uri,
        version: parts.version,
        headers: parts.headers,
        body: collected.map(http_body_util::Collected::to_bytes),
        trailers,
    }
}

/// A TCP server that gives each connection, numbered from 0, to a script.
#[derive(Debug)]
pub struct RawUpstream {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl RawUpstream {
    pub async fn start<F, R>(script: F) -> Self
    where
        F: Fn(usize, RawConnection) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port on the loopback");
        let address = listener.local_addr().expect("its address");
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let number = count.fetch_add(1, Ordering::SeqCst);
                open.spawn(script(number, RawConnection::new(stream)));
            }
        });
        Self { address, connections, task }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for RawUpstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One TCP connection on which bytes are sent and HTTP/1.1 messages are read.
#[derive(Debug)]
pub struct RawConnection {
    pub stream: TcpStream,
    input: Vec<u8>,
}

/// A message as it was on the wire.
#[derive(Debug, Clone)]
pub struct RawMessage {
    /// First line and fields, as sent.
    pub head: String,
    pub body: Vec<u8>,
    /// Fields after the last chunk, as sent.
    pub trailers: String,
}

impl RawMessage {
    /// The status of an answer.
    pub fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    /// All values of a field.
    pub fn field(&self, name: &str) -> Vec<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(':'));
        fields.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl RawConnection {
    pub fn new(stream: TcpStream) -> Self {
        let _ = stream.set_nodelay(true);
        Self { stream, input: Vec::new() }
    }

    pub async fn connect(address: SocketAddr) -> Self {
        Self::new(TcpStream::connect(address).await.expect("the server takes connections"))
    }

    /// Sends bytes; an other end that has closed already is seen when reading.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref()).await;
    }

    /// Sends a request or an answer and reads what comes.
    pub async fn ask(&mut self, bytes: impl AsRef<[u8]>) -> RawMessage {
        self.send(bytes).await;
        self.message().await.expect("an answer")
    }

    /// Reads more; false at the end.
    async fn fill(&mut self) -> bool {
        self.input.reserve(16 * 1024);
        matches!(self.stream.read_buf(&mut self.input).await, Ok(1..))
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        let rest = self.input.split_off(length.min(self.input.len()));
        std::mem::replace(&mut self.input, rest)
    }

    /// All up to and with a mark; `None` if the connection ends before it.
    pub async fn until(&mut self, mark: &str) -> Option<String> {
        let mark = mark.as_bytes();
        loop {
            let found = self.input.windows(mark.len()).position(|window| window == mark);
            if let Some(at) = found {
                return Some(String::from_utf8_lossy(&self.take(at + mark.len())).into_owned());
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    /// So many bytes; `None` if the connection ends before.
    pub async fn exactly(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.input.len() < length {
            if !self.fill().await {
                return None;
            }
        }
        Some(self.take(length))
    }

    pub async fn head(&mut self) -> Option<RawMessage> {
        let head = self.until("\r\n\r\n").await?;
        Some(RawMessage { head, body: Vec::new(), trailers: String::new() })
    }

    /// A whole message, leaving out interim answers; `None` if it breaks off.
    pub async fn message(&mut self) -> Option<RawMessage> {
        let mut message = self.head().await?;
        while message.head.starts_with("HTTP/1.1 1") && message.status() != 101 {
            message = self.head().await?;
        }
        if message.head.starts_with("HTTP/") && matches!(message.status(), 101 | 204 | 304) {
            return Some(message);
        }
        let length = message.field("content-length").first().and_then(|length| length.parse().ok());
        if message.field("transfer-encoding") == ["chunked"] {
            loop {
                let line = self.until("\r\n").await?;
                let size = line.trim().split(';').next().and_then(|size| usize::from_str_radix(size, 16).ok())?;
                if size == 0 {
                    break;
                }
                message.body.extend(self.exactly(size).await?);
                self.until("\r\n").await?;
            }
            loop {
                let line = self.until("\r\n").await?;
                if line == "\r\n" {
                    return Some(message);
                }
                message.trailers.push_str(&line);
            }
        }
        if let Some(length) = length {
            message.body = self.exactly(length).await?;
        } else if message.head.starts_with("HTTP/") {
            message.body = self.rest().await;
        }
        Some(message)
    }

    /// Everything to the end of the connection.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.fill().await {}
        std::mem::take(&mut self.input)
    }

    /// Whether the other end closes without sending anything more.
    pub async fn is_closed(&mut self) -> bool {
        self.rest().await.is_empty()
    }
}
