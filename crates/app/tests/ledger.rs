//! Management is killed again and again while two gateways report: each record is in the ledger once, those of an
//! acknowledged batch from the acknowledgement on, and the sums say the same as the records.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test whose premise fails must fail loudly"
)]

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use base::peer::{HttpPeer, Limits, Peer as _, PeerError};
use base::time::{Clock as _, SystemClock};
use bytes::Bytes;
use catalog::usage::{Outcome, UsageAnswer, UsageBatch, UsageRecord};
use http::{Request, Response};
use support::{Server, body, free_ports, get, write};

const GATEWAYS: [&str; 2] = ["edge-1", "edge-2"];
const RECORDS: u64 = 6_000;
const BATCH: u64 = 150;
const KILLS: u64 = 5;

fn configure(folder: &Path) -> u16 {
    let port = free_ports();
    for name in ["admin.token", "management.key", "portal.secret", "edge-1.token", "edge-2.token"] {
        write(&folder.join(name), &base::random::text::<32>());
    }
    let gateways = GATEWAYS.map(|name| format!("{{ name: {name}, token: 'file:{name}.token' }}")).join(", ");
    write(
        &folder.join("cardea.yaml"),
        &format!(
            "data: ./data\nroles: [management]\nmanagement:\n  url: http://localhost:{port}\n  \
             listen: 127.0.0.1:{port}\n  masterKey: file:management.key\n  issuer: http://localhost:9\n  \
             clientId: portal\n  clientSecret: file:portal.secret\n  gatewayUrl: http://localhost:9\n  \
             gateways: [{gateways}]\nops: {{ listen: '127.0.0.1:{}', adminToken: 'file:admin.token' }}\n",
            port + 1
        ),
    );
    port
}

fn start(folder: &Path) -> Server {
    Server::start(&["serve", "--json", "--config", folder.join("cardea.yaml").to_str().unwrap()])
}

fn record(gateway: &str, number: u64, now: i64) -> UsageRecord {
    let (outcome, status) = match number % 10 {
        0 => (Outcome::Refused, 429),
        1 => (Outcome::Failed, 502),
        _ => (Outcome::Served, 200),
    };
    let subscription = format!("subscription-{}", number % 7);
    UsageRecord {
        id: format!("{gateway}-{number}"),
        at: now - i64::try_from(number % 100).unwrap(),
        api: "orders".to_owned(),
        operation: format!("op-{}", number % 3),
        method: "GET".to_owned(),
        client: Some("client".to_owned()),
        subscription: Some(subscription),
        plan: Some("free".to_owned()),
        status,
        outcome,
        reason: (outcome == Outcome::Refused).then(|| "quota_exceeded".to_owned()),
        units: u32::from(outcome == Outcome::Served),
        micros: 1_000,
        way: None,
    }
}

async fn post(port: u16, token: &str, batch: &UsageBatch) -> Result<Response<Bytes>, PeerError> {
    let request = Request::post(format!("http://127.0.0.1:{port}/gateway/v1/usage"))
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .body(Bytes::from(serde_json::to_vec(batch).unwrap()))
        .unwrap();
    let limits = Limits { time: Duration::from_secs(5), body_bytes: 1 << 20 };
    HttpPeer::new(None).call(request, limits).await
}

/// As a gateway does it: whatever is not acknowledged is sent again, overlapping what may have arrived.
async fn report(port: u16, name: &'static str, token: String, now: i64, acknowledged: Arc<AtomicU64>) {
    let mut next = 1;
    while next <= RECORDS {
        // Now and then a whole batch that was acknowledged already comes along.
        let first = if next % 4 == 0 { next.saturating_sub(BATCH).max(1) } else { next };
        let end = (next + BATCH).min(RECORDS + 1);
        let records = (first..end).map(|number| record(name, number, now)).collect();
        let gateway = format!("id-of-{name}");
        let batch =
            UsageBatch { gateway, name: name.to_owned(), first, records, serving: None, refused: None, seen: 0 };
        let Ok(answer) = post(port, &token, &batch).await else {
            tokio::task::yield_now().await;
            continue;
        };
        assert_eq!(answer.status(), 200, "{:?}", answer.body());
        let answer: UsageAnswer = serde_json::from_slice(answer.body()).unwrap();
        assert!(answer.next >= next, "what was acknowledged is kept: {} after {next}", answer.next);
        acknowledged.fetch_add(answer.next - next, Ordering::SeqCst);
        next = answer.next;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_reported_record_is_in_the_ledger_once_over_kills_of_management() {
    let folder = tempfile::tempdir().unwrap();
    let port = configure(folder.path());
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let now = SystemClock::default().now().ms();
    let acknowledged = Arc::new(AtomicU64::new(0));
    let over = Arc::new(AtomicBool::new(false));

    let killer = {
        let (acknowledged, over, folder) = (acknowledged.clone(), over.clone(), folder.path().to_owned());
        tokio::task::spawn_blocking(move || {
            let (mut server, mut kills) = (start(&folder), 0);
            while !over.load(Ordering::SeqCst) {
                let due = (kills + 1) * (2 * RECORDS / (KILLS + 1));
                if kills < KILLS && acknowledged.load(Ordering::SeqCst) >= due {
                    server.kill();
                    server = start(&folder);
                    kills += 1;
                }
                std::thread::yield_now();
            }
            (server, kills)
        })
    };
    let reports = GATEWAYS.map(|name| {
        let token = read(&format!("{name}.token"));
        tokio::spawn(report(port, name, token, now, acknowledged.clone()))
    });
    for report in reports {
        report.await.unwrap();
    }
    over.store(true, Ordering::SeqCst);
    let (_server, kills) = killer.await.unwrap();
    assert_eq!(kills, KILLS);

    compare(port + 1, &read("admin.token")).await;
}

async fn compare(ops: u16, token: &str) {
    let truth: BTreeSet<String> =
        GATEWAYS.iter().flat_map(|name| (1..=RECORDS).map(move |number| format!("{name}-{number}"))).collect();
    let mut ledger = Vec::new();
    let mut next = "/management/v1/usage/events?limit=2000".to_owned();
    loop {
        let answer = get(&format!("http://127.0.0.1:{ops}{next}"), Some(token)).await;
        let link = answer.headers()["link"].to_str().unwrap();
        next = link.trim_start_matches('<').split('>').next().unwrap().to_owned();
        let page = body(&answer);
        let page = page.as_array().unwrap();
        if page.is_empty() {
            break;
        }
        ledger.extend(page.iter().map(|event| event["data"]["requestId"].as_str().unwrap().to_owned()));
    }
    assert_eq!(ledger.len(), truth.len(), "none twice, none missing");
    assert_eq!(ledger.into_iter().collect::<BTreeSet<_>>(), truth);

    let url = format!("http://127.0.0.1:{ops}/management/v1/usage?step=whole&from=0");
    let sums = &body(&get(&url, Some(token)).await)["items"][0];
    let all = 2 * RECORDS;
    assert_eq!(sums["calls"], all);
    assert_eq!(
        (&sums["refused"], &sums["failed"], &sums["units"]),
        (&(all / 10).into(), &(all / 10).into(), &(all * 8 / 10).into())
    );
}
