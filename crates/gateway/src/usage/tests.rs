mod disk;
mod shipping;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use base::Time;
use catalog::usage::{Outcome, UsageRecord};
use proptest::prelude::*;
use serde_json::json;

use super::record::{Call, Frame, Passed, decode, encode, encode_nothing};
use super::{OnFailure, UsageConfig};
use crate::edge::Steps;
use crate::policy::{Judged, Policies};
use crate::tests::house::{House, RESOURCES, TOKEN, jwt_answer};
use crate::tests::ledger::Ledger;

const PLANS: &str = r#"---
kind: Api
name: orders
spec: { title: Orders, version: "1" }
---
kind: Plan
name: small
spec: { title: Small, apis: [orders], quota: { requests: 50, per: day } }
---
kind: Subscription
name: s1
spec: { client: shop, plan: small }
"#;

fn text() -> String {
    RESOURCES.replace("spec: { upstream: pool,", "spec: { upstream: pool, api: orders,") + PLANS
}

fn call(id: &str) -> Call<'_> {
    Call {
        id,
        at: Time(1_700_000_000_123),
        api: "orders",
        operation: "list",
        method: "GET",
        client: Some("shop"),
        subscription: Some("s1"),
        plan: None,
        status: 200,
        outcome: Outcome::Served,
        reason: None,
        units: 1,
        micros: 77,
        way: NO_WAY,
    }
}

const NO_WAY: Passed<'static> =
    Passed { steps: &NO_STEPS, token: None, judged: None, shadowed: None, told: None, parts: [None; 2] };

static NO_STEPS: Steps = Steps {
    identified: None,
    admitted: None,
    permitted: None,
    token_end: None,
    grant: None,
    rate_left: None,
    quota_left: None,
};

fn frame(id: &str) -> Vec<u8> {
    let mut frame = Vec::new();
    encode(&call(id), &mut frame);
    frame
}

fn ids(records: &[UsageRecord]) -> Vec<&str> {
    records.iter().map(|record| record.id.as_str()).collect()
}

#[test]
fn a_record_is_read_as_it_was_written() {
    let long = "ü".repeat(2_000);
    let mut bytes = Vec::new();
    encode(&Call { client: Some(&long), reason: Some("quota_exceeded"), plan: Some(""), ..call("r1") }, &mut bytes);
    encode_nothing(0, &mut bytes);

    let Frame::Record(record, taken) = decode(&bytes) else { panic!() };
    assert_eq!((record.id.as_str(), record.at, record.status, record.micros), ("r1", 1_700_000_000_123, 200, 77));
    assert_eq!((record.plan.as_deref(), record.reason.as_deref()), (Some(""), Some("quota_exceeded")));
    assert_eq!(record.client.unwrap().len(), 1_024);
    assert_eq!(decode(&bytes[taken..]), Frame::Nothing(bytes.len() - taken));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_torn_or_changed_ends_the_log(at in 0usize..120, bit in 0u8..8) {
        let good = frame("018bcfe5680070008000000000000001");
        let mut changed = good.clone();
        let at = at % good.len();
        changed[at] ^= 1 << bit;

        prop_assert_eq!(decode(&good[..at]), Frame::End);
        prop_assert_eq!(decode(&changed), Frame::End);
    }

    #[test]
    fn any_bytes_are_taken_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        decode(&bytes);
    }
}

#[test]
fn the_way_of_a_call_is_read_as_it_was_written() {
    let steps = Steps {
        identified: Some(Duration::from_nanos(0)),
        admitted: Some(Duration::from_micros(300)),
        permitted: Some(Duration::MAX),
        token_end: Some(*b"aB3-_z"),
        grant: Some("grant-1".into()),
        rate_left: Some(0),
        quota_left: Some(u64::MAX - 1),
    };
    let ids = (0..100).map(|id| format!("policy-{id:03}")).collect();
    let judged = Judged { verdict: "permitted", policies: Policies::Told(ids), version: 3 };
    let way =
        Passed { steps: &steps, token: Some("miss"), judged: Some(&judged), shadowed: Some("rate_limited"), ..NO_WAY };
    let mut bytes = Vec::new();
    encode(&Call { way, ..call("r1") }, &mut bytes);

    let Frame::Record(record, _) = decode(&bytes) else { panic!() };
    let way = record.way.unwrap();
    assert_eq!((way.identified_ns, way.admitted_ns), (Some(0), Some(300_000)));
    assert!(way.permitted_ns.unwrap() > 1 << 62, "what is more than it can hold is its most");
    assert_eq!((way.token_end.as_deref(), way.grant.as_deref()), (Some("aB3-_z"), Some("grant-1")));
    assert_eq!((way.rate_left, way.quota_left), (Some(0), Some(u64::MAX - 1)));
    assert_eq!((way.token.as_deref(), way.shadowed.as_deref()), (Some("miss"), Some("rate_limited")));
    assert_eq!(way.verdict.as_deref(), Some("permitted"));
    let policies = way.policies.unwrap();
    assert!(policies.starts_with("policy-000 policy-001 ") && policies.len() <= 200, "{policies}");
}

#[test]
fn what_was_told_and_what_was_not_are_kept_apart() {
    let way = |told, parts| Passed { told, parts, ..NO_WAY };
    let mut bytes = Vec::new();
    for way in [way(Some("Closed."), [None; 2]), way(None, [Some("a"), None]), way(None, [None, Some("b")]), NO_WAY] {
        encode(&Call { way, ..call("r") }, &mut bytes);
    }

    let mut found = Vec::new();
    let mut rest = &bytes[..];
    while let Frame::Record(record, taken) = decode(rest) {
        let way = record.way.unwrap();
        found.push((way.told, way.parts, way.parts_withheld));
        rest = &rest[taken..];
    }
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        found,
        [(text("Closed."), None, false), (None, text("a"), false), (None, text("b"), true), (None, None, false)]
    );
}

/// A frame as the program before wrote it, or as one after may: payload and checksum.
fn framed(payload: &[u8]) -> Vec<u8> {
    let mut frame = u16::try_from(payload.len()).unwrap().to_le_bytes().to_vec();
    frame.extend_from_slice(&crc32fast::hash(payload).to_le_bytes());
    frame.extend_from_slice(payload);
    frame
}

#[test]
fn records_of_other_versions_of_the_program_count_all_the_same() {
    // Written by the version that knew no ways.
    let old = "01 01ad01 00000000 7b68e5cf8b010000 4d00000000000000 0200 7231 0600 6f7264657273 0400 6c697374 0300 474554 \
               0400 73686f70 0200 7331 ffff 0e00 71756f74615f6578636565646564";
    let digits: String = old.split_whitespace().collect();
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    let old: Vec<u8> = (0..digits.len()).step_by(2).map(byte).collect();
    let later = [&old[..], &[9, 9, 9, 9]].concat();
    let torn = [&old[..], &[1, 0xff]].concat();

    for payload in [old, later, torn] {
        let frame = framed(&payload);
        let Frame::Record(record, taken) = decode(&frame) else { panic!("{payload:?}") };
        assert_eq!(taken, frame.len());
        assert_eq!((record.id.as_str(), record.status, record.micros, record.at), ("r1", 429, 77, 1_700_000_000_123));
        assert_eq!((record.client.as_deref(), record.reason.as_deref()), (Some("shop"), Some("quota_exceeded")));
        assert_eq!(record.way, None);
    }
}

#[tokio::test]
async fn each_call_of_an_api_has_its_record_and_nothing_else_has() {
    let ledger = Ledger::new();
    let house = House::managed(&text(), &ledger);
    let served = house.call(TOKEN).await;
    let nobody = house.get("/orders/42", &[]).await;
    let open = house.get("/public/x", &[]).await;
    let unknown = house.get("/nowhere", &[]).await;
    let preflight = [("origin", "https://app.test"), ("access-control-request-method", "GET")];
    assert_eq!(house.send("OPTIONS", "/orders/42", &preflight).await.status(), 204);
    let jwt = house.issuer.jwt(&json!({"scope": "other"}));
    house.issuer.answers(move |_| Ok(jwt_answer(&jwt, None)));
    let without = house.call("without-the-scope").await;
    assert_eq!(unknown.status(), 404);

    ledger.until(|books| books.records.len() >= 4).await;

    let books = ledger.books();
    let told: Vec<_> = [&served, &nobody, &open, &without]
        .iter()
        .map(|sent| books.records.iter().find(|record| record.id == sent.exchange.request_id.as_str()).unwrap())
        .map(|record| {
            let client = (record.client.as_deref(), record.subscription.as_deref(), record.plan.as_deref());
            (record.operation.as_str(), record.status, record.outcome, record.reason.as_deref(), record.units, client)
        })
        .collect();
    let shop = (Some("shop"), Some("s1"), Some("small"));
    let stranger = (None, None, None);
    assert_eq!(books.records.len(), 4);
    assert_eq!(
        told,
        [
            ("orders-read", 200, Outcome::Served, None, 1, shop),
            ("orders-read", 401, Outcome::Refused, Some("token_missing"), 0, stranger),
            ("public", 200, Outcome::Served, None, 1, stranger),
            ("orders-read", 403, Outcome::Refused, Some("insufficient_scope"), 0, shop),
        ]
    );
}

#[tokio::test]
async fn calls_go_on_while_management_is_away_and_are_told_when_it_is_back() {
    let ledger = Ledger::new();
    ledger.down(true);
    let mut house = House::managed(&text(), &ledger);
    for _ in 0..10 {
        assert_eq!(house.call(TOKEN).await.status(), 200);
    }
    house.restart();
    assert_eq!(house.call(TOKEN).await.status(), 200);
    assert!(house.gateway.metrics_text().contains("cardea_usage_unshipped "));

    ledger.down(false);
    ledger.until(|books| books.records.len() == 11).await;
    assert_eq!(ledger.books().records.iter().map(|record| &record.id).collect::<BTreeSet<_>>().len(), 11);
}

#[tokio::test]
async fn a_quota_is_common_to_gateways_and_outlives_them() {
    let ledger = Ledger::new();
    let one = House::managed(&text(), &ledger);
    let mut two = House::managed(&text(), &ledger);
    for _ in 0..20 {
        assert_eq!(one.call(TOKEN).await.status(), 200);
        assert_eq!(two.call(TOKEN).await.status(), 200);
    }
    ledger.until(|books| books.records.len() == 40).await;
    let batches = ledger.books().batches;
    // One more answer for each: with it both know of all forty.
    ledger.until(|books| books.batches >= batches + 4).await;

    let left =
        |sent: &str| sent.split("\"quota\";r=").nth(1).unwrap().split(';').next().unwrap().parse::<u64>().unwrap();
    assert_eq!(left(&one.call(TOKEN).await.told("ratelimit")), 9);
    two.restart();
    ledger.until(|books| books.batches >= batches + 8).await;
    for _ in 0..9 {
        assert_eq!(two.call(TOKEN).await.status(), 200);
    }
    let over = two.call(TOKEN).await;
    assert_eq!((over.status(), over.exchange.denied), (429, Some("quota_exceeded")));
}

#[tokio::test]
async fn without_room_on_the_disk_nothing_is_given_away() {
    let ledger = Ledger::new();
    ledger.down(true);
    let usage = |on_failure| UsageConfig { max_bytes: 1_500, on_failure, ..UsageConfig::default() };
    let house = House::build(&text(), Some(Arc::clone(&ledger)), usage(OnFailure::Refuse));
    let mut served = 0;
    let refused = loop {
        let sent = house.call(TOKEN).await;
        match sent.status() {
            200 => served += 1,
            _ => break sent,
        }
    };
    assert_eq!((refused.status(), refused.slug().as_str()), (503, "usage_unavailable"));
    assert!(served > 3);
    // From now on before a service works for it.
    assert_eq!(house.call(TOKEN).await.exchange.token_cache, None);
    let check = house.gateway.ready().checks.into_iter().find(|check| check.name == "usage").unwrap();
    assert!(!check.ok && check.detail.contains("the disk takes no records"), "{check:?}");

    ledger.down(false);
    ledger.until(|books| books.records.len() == served).await;
    ledger.until(|books| books.empty_batches > 1).await;
    assert_eq!(house.call(TOKEN).await.status(), 200);

    let generous = House::build(&text(), Some(Ledger::new()), UsageConfig { max_bytes: 1, ..usage(OnFailure::Serve) });
    assert_eq!(generous.call(TOKEN).await.status(), 200);
    assert!(generous.gateway.metrics_text().contains("cardea_usage_unrecorded_total 1"));
}

#[tokio::test]
async fn strangers_cannot_fill_the_disk() {
    let ledger = Ledger::new();
    let house = House::managed(&text(), &ledger);
    for _ in 0..150 {
        assert_eq!(house.get("/orders/1", &[]).await.status(), 401);
    }
    house.clock.advance(Duration::from_secs(1));
    assert_eq!(house.get("/orders/1", &[]).await.status(), 401);

    ledger.until(|books| books.records.len() == 101).await;
    assert!(house.gateway.metrics_text().contains("cardea_usage_unrecorded_total 50"));
}

#[tokio::test]
async fn a_gateway_without_management_keeps_nothing_and_still_counts() {
    let house = House::with(&text());
    for _ in 0..50 {
        assert_eq!(house.call(TOKEN).await.status(), 200);
    }

    assert_eq!(house.call(TOKEN).await.status(), 429);
    assert!(!house.folder.path().join("data/gateway/usage").exists());
    let metrics = house.gateway.metrics_text();
    assert!(metrics.contains(r#"cardea_api_calls_total{api="orders",plan="small",outcome="served"} 50"#), "{metrics}");
    assert!(metrics.contains(r#"cardea_limited_total{plan="small",reason="quota_exceeded",mode="enforce"} 1"#));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hangs_up_while_a_service_works_has_had_a_call() {
    let ledger = Ledger::new();
    let house = House::managed(&text().replace("requests: 50", "requests: 2"), &ledger);

    // Nobody has worked for this one.
    drop(house.call_and_leave(TOKEN, false).await);
    drop(house.call_and_leave(TOKEN, true).await);
    assert_eq!(house.call(TOKEN).await.status(), 200);
    assert_eq!(house.call(TOKEN).await.status(), 429, "two units are taken");

    ledger.until(|books| books.records.len() == 3).await;
    let left = ledger.books().records[0].clone();
    assert_eq!((left.status, left.outcome, left.units), (499, Outcome::Served, 1));
    assert_eq!(left.reason.as_deref(), Some("client_gone"));
    assert_eq!(house.call(TOKEN).await.status(), 429, "also when the ledger has told its totals");
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_leave_room_for_the_calls_that_are_served() {
    let ledger = Ledger::new();
    ledger.down(true);
    let usage = UsageConfig { max_bytes: 64 * 1024, ..UsageConfig::default() };
    let house = House::build(&text(), Some(Arc::clone(&ledger)), usage);
    let (good, other) = (house.issuer.jwt(&json!({})), house.issuer.jwt(&json!({"client_id": "other"})));
    house.issuer.answers(move |request| {
        let others = String::from_utf8_lossy(request.body()).contains("not-subscribed");
        Ok(jwt_answer(if others { &other } else { &good }, None))
    });

    // One client without a plan asks as often as it likes while nobody takes records.
    for _ in 0..1_000 {
        assert_eq!(house.call("not-subscribed").await.status(), 403);
    }

    assert_eq!(house.call(TOKEN).await.status(), 200, "the disk is not full for those who may call");
}
