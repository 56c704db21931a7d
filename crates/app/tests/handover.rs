#![expect(clippy::disallowed_methods, reason = "the test starts itself as the new process and tells it so")]
#![expect(clippy::unwrap_used, reason = "a test that cannot start its actors must fail loudly")]

//! R7: processes take the listening sockets from each other under load, and no request is lost.

#[path = "../src/handover.rs"]
mod handover;

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use base::SystemClock;
use bytes::Bytes;
use gateway::edge::{
    Decision, EdgeConfig, Exchange, Head, Limits, Listener, Outcome, Pipeline, Running, listen, serve,
};
use handover::{HandOverFailed, Inherited, hand_over};
use http::Response;
use testkit::http::RawConnection;

/// Names the address whose socket the child is to take.
const ADDRESS: &str = "HANDOVER_TEST_ADDRESS";

/// Answers with the number of its process.
struct WhoAmI;

impl Pipeline for WhoAmI {
    async fn decide(&self, _: &Head<'_>, _: &mut Exchange) -> Decision {
        Decision::Answer(Response::new(Bytes::from(std::process::id().to_string())))
    }

    fn finished(&self, _: &Exchange, _: &Outcome) {}
}

fn start(socket: TcpListener) -> Running {
    let config =
        EdgeConfig { workers: 2, limits: Limits::default(), trusted_proxies: vec![], clock: SystemClock::shared() };
    serve(config, vec![Listener { socket, tls: None }], Arc::new(WhoAmI)).unwrap()
}

/// This program again, as the new process.
fn child(address: SocketAddr) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["a_process_takes_the_sockets_it_was_given", "--exact", "--nocapture"])
        .env(ADDRESS, address.to_string());
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

#[tokio::test]
async fn a_process_takes_the_sockets_it_was_given() {
    let mut inherited = Inherited::take();
    let Ok(address) = std::env::var(ADDRESS) else {
        assert!(inherited.listener(SocketAddr::from(([127, 0, 0, 1], 0))).is_none());
        inherited.ready().unwrap();
        return;
    };
    // Here this is the new process of another test.
    let running = start(inherited.listener(address.parse().unwrap()).unwrap());
    inherited.ready().unwrap();
    let _ = std::io::stdin().read(&mut [0]);
    running.drain(Duration::from_secs(20)).await;
}

#[derive(Default)]
struct Load {
    stop: AtomicBool,
    answered: AtomicUsize,
    lost: AtomicUsize,
}

impl Load {
    /// Until so many more requests have come to their end.
    async fn more(&self, requests: usize) {
        let count = || self.answered.load(Ordering::SeqCst) + self.lost.load(Ordering::SeqCst);
        let goal = count() + requests;
        while count() < goal {
            tokio::task::yield_now().await;
        }
    }

    /// Asks again and again; on the same connection, as long as the server keeps it, or on new ones.
    async fn run(self: Arc<Self>, address: SocketAddr, keep: bool) {
        let field = if keep { "" } else { "Connection: close\r\n" };
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{field}\r\n");
        let mut connection = RawConnection::connect(address).await;
        while !self.stop.load(Ordering::SeqCst) {
            connection.send(&request).await;
            let answer = connection.message().await;
            let good = answer.as_ref().is_some_and(|answer| answer.status() == 200);
            let counter = if good { &self.answered } else { &self.lost };
            counter.fetch_add(1, Ordering::SeqCst);
            if answer.is_none_or(|answer| answer.field("connection") == ["close"]) {
                connection = RawConnection::connect(address).await;
            }
        }
    }
}

async fn who(address: SocketAddr) -> String {
    let mut connection = RawConnection::connect(address).await;
    connection.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.text()
}

#[tokio::test]
async fn no_request_is_lost_in_a_hand_over() {
    let socket = listen(SocketAddr::from(([127, 0, 0, 1], 0)), false).unwrap();
    let address = socket.local_addr().unwrap();
    let first = start(socket);
    let sockets: Vec<TcpListener> = first.sockets().iter().map(|socket| socket.try_clone().unwrap()).collect();
    let load = Arc::new(Load::default());
    let clients: Vec<_> = (0..8).map(|number| tokio::spawn(Arc::clone(&load).run(address, number % 2 == 0))).collect();
    assert_eq!(who(address).await, std::process::id().to_string());

    let mut first = Some(first);
    let mut before: Option<tokio::process::Child> = None;
    let mut ended = Vec::new();
    for _ in 0..10 {
        load.more(300).await;
        let command = child(address);
        let new = hand_over(command, &sockets, Duration::from_secs(20)).await.unwrap();
        if let Some(first) = first.take() {
            first.drain(Duration::from_secs(20)).await;
        }
        if let Some(mut old) = before.replace(new) {
            drop(old.stdin.take());
            ended.push(old.wait().await.unwrap());
        }
        let now = who(address).await;
        assert_eq!(now, before.as_ref().unwrap().id().unwrap().to_string());
    }
    load.more(300).await;
    load.stop.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.unwrap();
    }

    assert_eq!(load.lost.load(Ordering::SeqCst), 0);
    assert!(ended.iter().all(std::process::ExitStatus::success), "{ended:?}");
    let mut last = before.unwrap();
    drop(last.stdin.take());
    assert!(last.wait().await.unwrap().success());
}

#[tokio::test]
async fn a_new_process_that_fails_leaves_the_old_one_at_work() {
    let socket = listen(SocketAddr::from(([127, 0, 0, 1], 0)), false).unwrap();
    let address = socket.local_addr().unwrap();
    let running = start(socket);
    let within = Duration::from_secs(20);

    let failed = hand_over(Command::new("true"), running.sockets(), within).await;
    assert!(matches!(failed, Err(HandOverFailed::Ended(_))), "{failed:?}");
    let missing = hand_over(Command::new("/nonexistent/cardea"), running.sockets(), within).await;
    assert!(matches!(missing, Err(HandOverFailed::Start(_))), "{missing:?}");
    let mut mute = Command::new("cat");
    mute.stdin(Stdio::piped()).stdout(Stdio::null());
    let late = hand_over(mute, running.sockets(), Duration::from_millis(20)).await;
    assert!(matches!(late, Err(HandOverFailed::TimedOut(_))), "{late:?}");

    assert_eq!(who(address).await, std::process::id().to_string());
}
