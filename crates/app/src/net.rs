//! Listeners, and the small HTTP server for what is not the data plane: identity, operations, the sample service.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::middleware::{self, Next};
use base::Problem;
use http::{StatusCode, header};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::exit::{Exit, Failure};
use crate::handover::Inherited;

/// Connections of one small server at once; more wait in the kernel's queue.
const CONNECTIONS: usize = 4096;
const HEAD_TIME: Duration = Duration::from_secs(15);

/// The socket that was handed to this process for the address, or a new one.
pub fn take_or_bind(inherited: &mut Inherited, address: SocketAddr, what: &str) -> anyhow::Result<TcpListener> {
    match inherited.listener(address) {
        Some(listener) => {
            listener.set_nonblocking(true)?;
            Ok(listener)
        }
        None => bind(address, what),
    }
}

/// A listening socket. `what` names it in the error that says which address is taken and what to do.
pub fn bind(address: SocketAddr, what: &str) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).map_err(|error| {
        let message = format!("the address {address} for {what} cannot be listened on: {error}");
        let hint = match error.kind() {
            io::ErrorKind::AddrInUse => "stop the program that holds it, or choose another port",
            io::ErrorKind::PermissionDenied => "choose a port above 1023, or give the service that capability",
            _ => "choose an address of this machine",
        };
        Failure::new(Exit::Failed, message).hint(hint)
    })?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Requests that wait for something to happen: snapshots of policies and of APIs, the feed of revocations.
const WAITING: [&str; 3] = ["/policy/v1/snapshot", "/gateway/v1/snapshot", "/events/poll"];

/// Lets those go that wait, when the process stops: they ask again, and find whoever serves then.
pub fn released(router: Router, stop: CancellationToken) -> Router {
    router.layer(middleware::from_fn(move |request: Request, next: Next| {
        let stop = stop.clone();
        async move {
            if !WAITING.contains(&request.uri().path()) {
                return next.run(request).await;
            }
            tokio::select! {
                response = next.run(request) => response,
                () = stop.cancelled() => {
                    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", "the process is stopping").into_response()
                }
            }
        }
    }))
}

/// Answers for names of this machine alone: in development mode, where what is open lies behind no firewall. A page of
/// a stranger whose own name leads to this machine asks under that name (DNS rebinding), and would read the answer.
pub fn for_this_machine(router: Router) -> Router {
    router.layer(middleware::from_fn(|request: Request, next: Next| async move {
        if names_this_machine(&request) {
            return next.run(request).await;
        }
        Problem::new(StatusCode::MISDIRECTED_REQUEST, "misdirected_request", "this is not who was asked for")
            .detail("development mode answers for localhost and loopback addresses only")
            .into_response()
    }))
}

fn names_this_machine(request: &Request) -> bool {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let authority = match (request.uri().authority(), hosts.next(), hosts.next()) {
        (Some(authority), None, _) => Some(authority.clone()),
        (None, Some(host), None) => host.to_str().ok().and_then(|host| host.parse().ok()),
        (Some(authority), Some(host), None) if host.as_bytes() == authority.as_str().as_bytes() => {
            Some(authority.clone())
        }
        _ => None,
    };
    authority.is_some_and(|authority| is_this_machine(authority.host()))
}

/// Whether a host, as URLs write it, is this machine whoever resolves it (RFC 6761 §6.3).
pub fn is_this_machine(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost"
        || bare.ends_with(".localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// Serves until `stop`, then lets what runs come to its end. The task ends when all of it has.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener).context("a listener cannot be used")?;
    let connections = TaskTracker::new();
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &room) => accepted,
        };
        match accepted {
            Ok((stream, peer, permit)) => {
                let connection = serve_connection(stream, peer, router.clone(), HEAD_TIME, stop.clone());
                connections.spawn(async move {
                    connection.await;
                    drop(permit);
                });
            }
            // Out of file descriptors, or a client gone before it was accepted.
            Err(error) => {
                tracing::warn!(cause = %error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
    Ok(())
}

async fn accept(
    listener: &tokio::net::TcpListener,
    room: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let permit = room.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, permit))
}

async fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    head_time: Duration,
    stop: CancellationToken,
) {
    let _slower = stream.set_nodelay(true);
    let asked = Arc::new(AtomicBool::new(false));
    let told = asked.clone();
    let service = router.map_request(move |mut request: http::Request<_>| {
        told.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(ConnectInfo(peer));
        request
    });
    let service = TowerToHyperService::new(service);
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(head_time).max_buf_size(64 * 1024);
    server.http2().timer(TokioTimer::new()).max_concurrent_streams(256).max_header_list_size(32 * 1024);
    let connection = server.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = silence(&asked, head_time) => {
            tracing::debug!("a connection asked nothing");
            return;
        }
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(cause = %error, "a connection ended early");
    }
}

/// Ends when a connection has not asked anything in its time. The reading of a head has a limit of its own; what comes
/// before it, finding out which protocol is spoken, has none, and connections are few.
async fn silence(asked: &AtomicBool, head_time: Duration) {
    tokio::time::sleep(head_time).await;
    if asked.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn who_waits_is_let_go_when_the_process_stops() {
        let waiting = || axum::routing::get(|| async { std::future::pending::<()>().await });
        let done = axum::routing::get(|| async { "done" });
        let stop = CancellationToken::new();
        let router = Router::new().route("/policy/v1/snapshot", waiting()).route("/done", done);
        let router = released(router, stop.clone());
        let ask = |path: &str| {
            let request = http::Request::get(path).body(axum::body::Body::empty()).unwrap();
            router.clone().oneshot(request)
        };

        let poll = tokio::spawn(ask("/policy/v1/snapshot"));
        stop.cancel();

        assert_eq!(poll.await.unwrap().unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(ask("/done").await.unwrap().status(), StatusCode::OK, "what does not wait comes to its end");
    }

    #[tokio::test]
    async fn development_mode_answers_no_name_that_a_stranger_has_led_here() {
        let router = for_this_machine(Router::new().route("/metrics", axum::routing::get(|| async { "inner" })));
        let ask = async |hosts: &[&str]| {
            let mut request = http::Request::get("/metrics");
            for host in hosts {
                request = request.header("host", *host);
            }
            router.clone().oneshot(request.body(axum::body::Body::empty()).unwrap()).await.unwrap().status().as_u16()
        };

        for own in ["localhost:9404", "LOCALHOST", "app.localhost:1", "127.0.0.1:9404", "127.8.8.8", "[::1]:9404"] {
            assert_eq!(ask(&[own]).await, 200, "{own}");
        }
        for foreign in
            ["evil.example", "localhost.evil.example:9404", "10.0.0.1", "[2001:db8::1]", "0.0.0.0", "", "a b"]
        {
            assert_eq!(ask(&[foreign]).await, 421, "{foreign}");
        }
        assert_eq!(ask(&[]).await, 421);
        assert_eq!(ask(&["localhost", "evil.example"]).await, 421);
    }

    #[tokio::test]
    async fn who_says_nothing_is_not_waited_for() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        // Both protocols could begin so.
        for beginning in ["", "P", "PRI * HTTP/2.0\r\n"] {
            let mut client = TcpStream::connect(address).await.unwrap();
            let (stream, peer) = listener.accept().await.unwrap();
            client.write_all(beginning.as_bytes()).await.unwrap();

            let short = Duration::from_millis(20);
            serve_connection(stream, peer, Router::new(), short, CancellationToken::new()).await;

            let mut answer = Vec::new();
            let _reset = client.read_to_end(&mut answer).await;
            assert!(answer.is_empty(), "{beginning:?}");
        }
    }
}
