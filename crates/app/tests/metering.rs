//! A gateway that is killed again and again under load: management has each call that a client has an answer
//! to, once, whatever became of the processes and of management's answers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test whose premise fails must fail loudly"
)]

mod support;

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use base::peer::{HttpPeer, Limits, Peer as _};
use bytes::Bytes;
use catalog::usage::{UsageAnswer, UsageBatch};
use support::{Server, free_ports};
use tempfile::TempDir;

/// Management's half of the contract, in memory; it breaks down when it is told to.
#[derive(Default)]
struct Ledger {
    next: HashMap<String, u64>,
    /// Request ids, as often as they were taken.
    taken: HashMap<String, usize>,
    /// Whether the next batches are refused, or taken and their answers lost.
    down: bool,
    forgetful: bool,
}

type Shared = Arc<Mutex<Ledger>>;

async fn take(State(ledger): State<Shared>, body: Bytes) -> Response {
    let batch: UsageBatch = serde_json::from_slice(&body).unwrap();
    let mut ledger = ledger.lock().unwrap();
    if ledger.down {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let next = ledger.next.get(&batch.gateway).copied().unwrap_or(1);
    if batch.first > next {
        return (StatusCode::CONFLICT, format!("{{\"next\":{next}}}")).into_response();
    }
    let known = usize::try_from(next - batch.first).unwrap();
    let end = batch.first + u64::try_from(batch.records.len()).unwrap();
    for record in batch.records.into_iter().skip(known) {
        *ledger.taken.entry(record.id).or_default() += 1;
    }
    ledger.next.insert(batch.gateway, next.max(end));
    if ledger.forgetful {
        return StatusCode::BAD_GATEWAY.into_response();
    }
    axum::Json(UsageAnswer { next: next.max(end), totals: Vec::new(), cursor: 0 }).into_response()
}

async fn serve(router: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn management(ledger: &Shared) -> SocketAddr {
    let router = Router::new()
        .route("/gateway/v1/usage", post(take))
        .route("/gateway/v1/snapshot", get(|| async { std::future::pending::<StatusCode>().await }));
    serve(router.with_state(Arc::clone(ledger))).await
}

/// A gateway with one API, open to everybody, and the port where it listens.
async fn configure(folder: &Path, management: SocketAddr) -> u16 {
    let service = serve(Router::new().fallback(|| async { "served" })).await;
    let port = free_ports();
    std::fs::write(folder.join("admin.token"), "a".repeat(40)).unwrap();
    std::fs::write(folder.join("edge.token"), "e".repeat(40)).unwrap();
    std::fs::write(
        folder.join("set.yaml"),
        format!(
            "kind: Api\nname: open\nspec: {{ title: Open, version: '1' }}\n---\nkind: Upstream\nname: up\nspec: {{ endpoints: ['http://{service}'] }}\n---\nkind: Service\nname: open\nspec: {{ upstream: up, api: open }}\n---\nkind: Route\nname: all\nspec: {{ match: {{ path: '/{{rest...}}' }}, service: open, auth: none, subscription: none }}\n"
        ),
    )
    .unwrap();
    std::fs::write(
        folder.join("cardea.yaml"),
        format!(
            "data: ./data\ngateway:\n  listen: [{{ address: '127.0.0.1:{port}' }}]\n  publicUrl: http://localhost:{port}\n  resources: ./set.yaml\n  management: {{ url: 'http://{management}', token: file:edge.token, name: edge-1 }}\nops: {{ listen: '127.0.0.1:{}', adminToken: file:admin.token }}\n",
            port + 1
        ),
    )
    .unwrap();
    port
}

fn start(folder: &Path) -> Server {
    let config = folder.join("cardea.yaml");
    Server::start(&["serve", "--json", "--config", config.to_str().unwrap(), "--roles", "gateway", "--log", "error"])
}

/// What clients have seen.
#[derive(Default)]
struct Seen {
    answered: Mutex<HashSet<String>>,
    /// Calls without an answer: what became of them their client does not know.
    unanswered: AtomicUsize,
    stop: AtomicBool,
}

async fn client(port: u16, seen: Arc<Seen>) {
    let peer = HttpPeer::new(None);
    let limits = Limits { time: Duration::from_secs(5), body_bytes: 1_000 };
    while !seen.stop.load(Ordering::SeqCst) {
        let request = http::Request::get(format!("http://127.0.0.1:{port}/x")).body(Bytes::new()).unwrap();
        match peer.call(request, limits).await {
            Ok(answer) => {
                assert_eq!(answer.status(), 200);
                let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
                assert!(seen.answered.lock().unwrap().insert(id), "a request id was given twice");
            }
            Err(_) => {
                seen.unanswered.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
}

async fn until(mut is: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(60), async {
        while !is() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    waited.await.expect("it comes to that within a minute");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_answered_call_is_in_the_ledger_once_over_kills_of_the_gateway_and_failures_of_management() {
    let folder = TempDir::new().unwrap();
    let ledger = Shared::default();
    let port = configure(folder.path(), management(&ledger).await).await;
    let seen = Arc::new(Seen::default());
    let mut server = start(folder.path());
    let clients: Vec<_> = (0..4).map(|_| tokio::spawn(client(port, Arc::clone(&seen)))).collect();

    for round in 0..6 {
        {
            let mut ledger = ledger.lock().unwrap();
            (ledger.down, ledger.forgetful) = (round == 2, round == 4);
        }
        let before = seen.answered.lock().unwrap().len();
        until(|| seen.answered.lock().unwrap().len() >= before + 150).await;
        server.kill();
        server = start(folder.path());
    }
    {
        let mut ledger = ledger.lock().unwrap();
        (ledger.down, ledger.forgetful) = (false, false);
    }
    seen.stop.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.unwrap();
    }

    let answered = seen.answered.lock().unwrap().clone();
    until(|| answered.iter().all(|id| ledger.lock().unwrap().taken.contains_key(id))).await;
    drop(server);
    let taken = ledger.lock().unwrap().taken.clone();
    assert!(taken.values().all(|times| *times == 1), "a call stands in the ledger more than once");
    // Written and not answered: no more than what was under way when the process was killed.
    let unseen = taken.len() - answered.len();
    assert!(unseen <= seen.unanswered.load(Ordering::SeqCst), "{unseen} calls that nobody made");
    assert!(answered.len() >= 900);
}
