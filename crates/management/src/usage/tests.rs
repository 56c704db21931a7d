//! That the ledger holds each record once, whatever happens on the way, and that its folds say the same.

mod push;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ::http::{Method, StatusCode};
use catalog::usage::Outcome;
use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestRunner};
use serde_json::json;
use testkit::db::TestDb;
use testkit::store_test;

use super::*;
use crate::actor::{Actor, Role};
use crate::subscriptions::Wanted;
use crate::tests::{Platform, house::person};
use crate::{MIGRATIONS, PROVIDER, plans, quotas};

/// A subscription of `acme` to a plan with a quota per day.
pub async fn with_subscription(p: &Platform, application: &str) -> String {
    let mut cx = p.cx(Actor::System);
    let quota = json!({"requests": 100, "per": "day"});
    plans::put(&mut cx, "free", &json!({"title": "Free", "apis": ["orders"], "quota": quota})).await.unwrap();
    let wanted = Wanted {
        organisation: "acme".to_owned(),
        application: application.to_owned(),
        client: Some(format!("client-{application}")),
        plan: "free".to_owned(),
        note: None,
    };
    let made = subscriptions::request(&mut cx, wanted).await.unwrap();
    cx.commit().await.unwrap();
    made.id
}

pub fn record(id: &str, at: Time, subscription: Option<&str>, outcome: Outcome) -> UsageRecord {
    let refused = outcome == Outcome::Refused;
    UsageRecord {
        id: id.to_owned(),
        at: at.ms(),
        api: "orders".to_owned(),
        operation: "listOrders".to_owned(),
        method: "GET".to_owned(),
        client: Some("client-app".to_owned()),
        subscription: subscription.map(str::to_owned),
        plan: subscription.map(|_| "free".to_owned()),
        status: if refused { 429 } else { 200 },
        outcome,
        reason: refused.then(|| "quota_exceeded".to_owned()),
        units: u32::from(outcome == Outcome::Served),
        micros: 1_500,
        way: None,
    }
}

pub fn batch(gateway: &str, first: u64, records: Vec<UsageRecord>) -> UsageBatch {
    let name = gateway.to_owned();
    UsageBatch { gateway: name.clone(), name, first, records, serving: Some(1), refused: None, seen: 0 }
}

pub async fn send(p: &Platform, caller: &str, batch: &UsageBatch) -> crate::tests::house::Answer {
    let body = serde_json::to_value(batch).unwrap();
    p.gateway(caller, Method::POST, "/gateway/v1/usage", Some(&body)).await
}

async fn all(p: &Platform) -> Vec<Call> {
    exported(&mut p.nobody(), 0, 100_000).await.unwrap()
}

store_test!(a_batch_counts_once_and_a_gap_is_refused, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let id = with_subscription(&p, "app").await;
    let now = p.clock.shared().now();
    let records: Vec<UsageRecord> =
        (1..=3).map(|at| record(&format!("r{at}"), now, Some(&id), Outcome::Served)).collect();
    let three = batch("g1", 1, records.clone());

    let gap = send(&p, "edge-1", &batch("g1", 4, records.clone())).await;
    let first = send(&p, "edge-1", &three).await;
    let again = send(&p, "edge-1", &three).await;
    let longer = [&records[1..], &[record("r4", now, Some(&id), Outcome::Refused)]].concat();
    let overlap = send(&p, "edge-1", &batch("g1", 2, longer)).await;
    let gap_again = send(&p, "edge-1", &batch("g1", 6, records)).await;

    assert_eq!((gap.status, &gap.body["next"]), (StatusCode::CONFLICT, &json!(1)), "numbers begin with 1");
    assert_eq!(gap.body["type"], "https://cardea.dev/problems/usage_gap");
    assert_eq!((&first.body["next"], &again.body["next"], &overlap.body["next"]), (&json!(4), &json!(4), &json!(5)));
    assert_eq!(gap_again.body["next"], 5);
    let ids: Vec<String> = all(&p).await.into_iter().map(|call| call.request_id).collect();
    assert_eq!(ids, ["r1", "r2", "r3", "r4"]);
    let total = &overlap.body["totals"][0];
    assert_eq!((&total["subscription"], &total["used"]), (&json!(id), &json!(3)));
    let (day, _) = catalog::Window::Day.around(now.ms());
    assert_eq!(total["window"], json!(day));
});

store_test!(a_cursor_tells_what_has_changed_since, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let one = with_subscription(&p, "app").await;
    let two = with_subscription(&p, "app2").await;
    let now = p.clock.shared().now();

    let first = send(&p, "edge-1", &batch("g1", 1, vec![record("a", now, Some(&one), Outcome::Served)])).await;
    let cursor = first.body["cursor"].as_u64().unwrap();
    let second = send(&p, "edge-2", &batch("g2", 1, vec![record("b", now, Some(&two), Outcome::Served)])).await;
    let ask = UsageBatch { seen: cursor, ..batch("g1", 2, Vec::new()) };
    let news = send(&p, "edge-1", &ask).await;
    let quiet = UsageBatch { seen: news.body["cursor"].as_u64().unwrap(), ..ask.clone() };
    let none = send(&p, "edge-1", &quiet).await;
    let restored = send(&p, "edge-1", &UsageBatch { seen: 1_000_000, ..ask }).await;

    assert_eq!(second.body["totals"].as_array().unwrap().len(), 2, "who has seen nothing is told all");
    let told = news.body["totals"].as_array().unwrap();
    assert_eq!((told.len(), &told[0]["subscription"]), (1, &json!(two)));
    assert_eq!((none.body["totals"].as_array().unwrap().len(), &none.body["cursor"]), (0, &news.body["cursor"]));
    assert_eq!(restored.body["totals"].as_array().unwrap().len(), 2, "the ledger is older than the cursor");

    let mut cx = p.cx(Actor::System);
    let hourly = json!({"title": "Free", "apis": ["orders"], "quota": {"requests": 100, "per": "hour"}});
    plans::put(&mut cx, "free", &hourly).await.unwrap();
    cx.commit().await.unwrap();
    let other = send(&p, "edge-1", &quiet).await;
    let (hour, _) = catalog::Window::Hour.around(now.ms());
    let windows: Vec<i64> =
        other.body["totals"].as_array().unwrap().iter().map(|one| one["window"].as_i64().unwrap()).collect();
    assert_eq!(windows, [hour, hour], "another window is told to all, exact from the first moment");
});

store_test!(a_gateway_counts_for_itself_only, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let now = p.clock.shared().now();
    send(&p, "edge-1", &batch("g1", 1, vec![record("a", now, None, Outcome::Refused)])).await;

    let other = send(&p, "edge-2", &batch("g1", 2, vec![record("b", now, None, Outcome::Refused)])).await;
    let nobody = p.gateway("edge-9", Method::POST, "/gateway/v1/usage", Some(&json!({}))).await;
    let many = batch("g1", 2, vec![record("b", now, None, Outcome::Refused); 10_001]);

    assert_eq!(other.status, StatusCode::FORBIDDEN);
    assert_eq!(nobody.status, StatusCode::UNAUTHORIZED);
    assert_eq!(send(&p, "edge-1", &many).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(all(&p).await.len(), 1);
});

store_test!(of_the_same_batch_many_times_at_once_one_counts, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let id = with_subscription(&p, "app").await;
    let now = p.clock.shared().now();
    let records: Vec<UsageRecord> =
        (0..70).map(|at| record(&format!("r{at}"), now, Some(&id), Outcome::Served)).collect();
    let same = batch("g1", 1, records);

    let answers = futures_util::future::join_all((0..8).map(|_| send(&p, "edge-1", &same))).await;

    for answer in answers {
        assert_eq!((answer.status, &answer.body["next"]), (StatusCode::OK, &json!(71)), "{}", answer.text);
    }
    assert_eq!(all(&p).await.len(), 70);
    let mut cx = p.nobody();
    let found = subscriptions::find(&mut cx, &id).await.unwrap().unwrap();
    let quota = quotas::of(&mut cx, &found).await.unwrap().unwrap();
    assert_eq!((quota.used, quota.remaining(), quota.per), (70, 30, "day"));
});

store_test!(what_a_database_cannot_hold_does_not_stop_a_gateway, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let now = p.clock.shared().now();
    let mut odd = record("nul\0id", Time::from_ms(i64::MIN), None, Outcome::Failed);
    odd.api = "x".repeat(1000);
    odd.client = Some("c\0".to_owned());
    odd.micros = u64::MAX;

    let answer = send(&p, "edge-1", &batch("g1", 1, vec![odd])).await;

    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let call = &all(&p).await[0];
    assert_eq!((call.request_id.as_str(), call.api.len(), call.at), ("nulid", 200, now));
});

store_test!(calls_are_seen_by_their_own_and_by_the_provider, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let id = with_subscription(&p, "app").await;
    let now = p.clock.shared().now();
    let mut stranger = record("x", now, None, Outcome::Refused);
    stranger.client = Some("nobody-knows".to_owned());
    let without = record("w", now, None, Outcome::Refused);
    let records = vec![record("a", now, Some(&id), Outcome::Served), without, stranger];
    send(&p, "edge-1", &batch("g1", 1, records)).await;

    let dora = || p.cx(person("dora", "acme", Role::Developer));
    let own = Scope::Organisation("acme".to_owned());
    let filter = |scope| CallFilter { scope, outcome: None, before: None };
    let mine = calls(&mut dora(), &filter(own.clone()), 10).await.unwrap();
    let ids: Vec<&str> = mine.iter().map(|call| call.request_id.as_str()).collect();
    assert_eq!(ids, ["w", "a"], "the newest first; also refused for want of a subscription");
    assert_eq!(mine[0].reason.as_deref(), Some("quota_exceeded"));
    assert!(find_call(&mut dora(), "a").await.unwrap().is_some());
    assert!(find_call(&mut dora(), "x").await.unwrap().is_none(), "not one's own");
    assert!(matches!(calls(&mut dora(), &filter(Scope::All), 10).await, Err(Refused::NoRight)));

    let mut eve = p.cx(person("eve", "evil", Role::Owner));
    assert!(find_call(&mut eve, "a").await.unwrap().is_none());
    for scope in [own, Scope::Subscription(id), Scope::Client { organisation: "acme".into(), client: "c".into() }] {
        assert!(matches!(calls(&mut eve, &filter(scope), 10).await, Err(Refused::NotFound(_))));
    }
    let foreign = Scope::Client { organisation: "evil".into(), client: "client-app".into() };
    assert!(calls(&mut eve, &filter(foreign), 10).await.unwrap().is_empty(), "a client of others under one's own name");

    let mut ada = p.cx(person("ada", PROVIDER, Role::Auditor));
    assert_eq!(calls(&mut ada, &filter(Scope::All), 10).await.unwrap().len(), 3);
    assert!(find_call(&mut ada, "x").await.unwrap().is_some());
});

store_test!(reports_add_up, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let id = with_subscription(&p, "app").await;
    let now = p.clock.shared().now();
    let records = vec![
        record("a", now, Some(&id), Outcome::Served),
        record("b", now, Some(&id), Outcome::Failed),
        record("c", now, Some(&id), Outcome::Refused),
        record("d", now.minus(Duration::from_secs(86_400)), Some(&id), Outcome::Served),
    ];
    send(&p, "edge-1", &batch("g1", 1, records)).await;
    let question = |organisation: Option<&str>, step, group| Question {
        organisation: organisation.map(str::to_owned),
        subscription: None,
        client: None,
        api: None,
        from: Time::from_ms(0),
        until: Time::from_ms(i64::MAX),
        step,
        group,
    };

    let mut dora = p.cx(person("dora", "acme", Role::Developer));
    let days = report(&mut dora, &question(Some("acme"), Step::Day, Group::None)).await.unwrap();
    assert_eq!(days.iter().map(|line| line.figures.calls()).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(days[1].figures.mean_micros(), 1_500);
    assert_eq!((days[1].figures.failed_per_10000(), days[1].figures.refused_per_10000()), (3_333, 3_333));
    for (group, label) in [(Group::Api, "orders"), (Group::Client, "client-app"), (Group::Plan, "free")] {
        for step in [Step::Whole, Step::Hour] {
            let lines = report(&mut dora, &question(Some("acme"), step, group)).await.unwrap();
            assert!(lines.iter().all(|line| line.label == label), "{lines:?}");
            assert_eq!(lines.iter().map(|line| line.figures.calls()).sum::<i64>(), 4);
        }
    }
    assert!(matches!(report(&mut dora, &question(None, Step::Day, Group::None)).await, Err(Refused::NoRight)));
    let foreign = report(&mut dora, &question(Some("evil"), Step::Day, Group::None)).await;
    assert!(matches!(foreign, Err(Refused::NotFound(_))));
});

store_test!(events_are_exported_in_the_order_of_the_ledger, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let now = p.clock.shared().now();
    let records = (1..=3).map(|at| record(&format!("r{at}"), now, None, Outcome::Refused)).collect();
    send(&p, "edge-1", &batch("g1", 1, records)).await;

    let page = p.operate(Method::GET, "/management/v1/usage/events?limit=2", None).await;
    let link = page.headers["link"].to_str().unwrap().to_owned();
    let next = |link: &str| link.trim_start_matches('<').split('>').next().unwrap().to_owned();
    let rest = p.operate(Method::GET, &next(&link), None).await;
    let end = p.operate(Method::GET, &next(rest.headers["link"].to_str().unwrap()), None).await;
    let end = end.body == json!([]) && end.headers["link"] == rest.headers["link"];

    assert_eq!(page.headers["content-type"], "application/cloudevents-batch+json; charset=UTF-8");
    let event = &page.body[0];
    assert_eq!((&event["specversion"], &event["id"]), (&json!("1.0"), &json!("1")));
    assert_eq!(event["source"], "https://portal.example/gateways/g1");
    assert_eq!(event["type"], "dev.cardea.usage.call.v1");
    assert_eq!(event["data"]["requestId"], "r1");
    assert!(event["time"].as_str().unwrap().ends_with('Z'));
    assert_eq!((page.body.as_array().unwrap().len(), rest.body.as_array().unwrap().len(), end), (2, 1, true));
});

store_test!(single_calls_go_and_sums_stay, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let id = with_subscription(&p, "app").await;
    let now = p.clock.shared().now();
    send(&p, "edge-1", &batch("g1", 1, vec![record("old", now, Some(&id), Outcome::Served)])).await;
    p.clock.advance(Duration::from_secs(91 * 86_400));
    let later = p.clock.shared().now();
    send(&p, "edge-1", &batch("g1", 2, vec![record("new", later, Some(&id), Outcome::Served)])).await;

    assert_eq!(sweep(&p.management, KEPT_DAYS).await.unwrap(), 1);

    let left: Vec<String> = all(&p).await.into_iter().map(|call| call.request_id).collect();
    assert_eq!(left, ["new"]);
    let sums = billed(&mut p.nobody(), "acme", Time::from_ms(0), Time::from_ms(i64::MAX)).await.unwrap();
    assert_eq!(sums.iter().map(|sum| sum.units).sum::<u64>(), 2);
    let again = send(&p, "edge-1", &batch("g1", 1, vec![record("old", now, Some(&id), Outcome::Served)])).await;
    assert_eq!(again.body["next"], 3, "what was removed does not count again");
});

store_test!(a_sign_of_life_says_what_is_served, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let refused = Some("api `orders` is missing".to_owned());
    send(&p, "edge-1", &UsageBatch { serving: Some(7), ..batch("g1", 1, Vec::new()) }).await;
    send(&p, "edge-1", &UsageBatch { serving: Some(7), refused: refused.clone(), ..batch("g1", 1, Vec::new()) }).await;

    let seen = &gateways(&mut p.nobody()).await.unwrap()[0];

    assert_eq!((seen.caller.as_str(), seen.next, seen.serving), ("edge-1", 1, Some(7)));
    assert_eq!(seen.refused, refused);
});

/// What happens on the way to the ledger.
#[derive(Debug, Clone)]
enum Act {
    /// Gateway, begin and length of what is sent.
    Send { gateway: usize, from: usize, many: usize },
    /// As sending, but the transaction ends before its commit.
    Crash { gateway: usize, from: usize, many: usize },
}

const EACH: usize = 24;

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = (any::<bool>(), 0..2_usize, 0..EACH, 0..12_usize).prop_map(|(crash, gateway, from, many)| {
        if crash { Act::Crash { gateway, from, many } } else { Act::Send { gateway, from, many } }
    });
    proptest::collection::vec(act, 0..24)
}

/// The reference: what each gateway has recorded, once.
fn expected(ids: &[String], now: Time) -> Vec<Vec<UsageRecord>> {
    let outcomes = [Outcome::Served, Outcome::Refused, Outcome::Failed, Outcome::Served];
    let one = |gateway: usize, at: usize| {
        let subscription = ids.get((at + gateway) % 3).map(String::as_str);
        let when = now.minus(Duration::from_secs(u64::try_from(at * 9_000).unwrap()));
        record(&format!("{gateway}-{at}"), when, subscription, outcomes[at % 4])
    };
    (0..2).map(|gateway| (0..EACH).map(|at| one(gateway, at)).collect()).collect()
}

async fn play(p: &Platform, acts: &[Act], records: &[Vec<UsageRecord>]) {
    for act in acts {
        let (Act::Send { gateway, from, many } | Act::Crash { gateway, from, many }) = act.clone();
        let until = (from + many).min(EACH);
        let sent =
            batch(&format!("g{gateway}"), u64::try_from(from).unwrap() + 1, records[gateway][from..until].to_vec());
        let caller = format!("edge-{}", gateway + 1);
        if matches!(act, Act::Crash { .. }) {
            drop(take(&mut p.cx(Actor::System), &caller, &sent).await.unwrap());
        } else {
            send(p, &caller, &sent).await;
        }
    }
    // In the end each gateway sends what is wanted still.
    for (gateway, own) in records.iter().enumerate() {
        let id = format!("g{gateway}");
        let known = gateways(&mut p.nobody()).await.unwrap().into_iter().find(|one| one.id == id);
        let next = known.map_or(1, |one| one.next);
        let rest = own[usize::try_from(next).unwrap() - 1..].to_vec();
        send(p, &format!("edge-{}", gateway + 1), &batch(&id, next, rest)).await;
    }
}

async fn compare(p: &Platform, ids: &[String], records: &[Vec<UsageRecord>]) {
    let calls = all(p).await;
    let ledger: BTreeSet<String> = calls.iter().map(|call| call.request_id.clone()).collect();
    let truth: BTreeSet<String> = records.iter().flatten().map(|record| record.id.clone()).collect();
    assert_eq!((calls.len(), &ledger), (truth.len(), &truth));
    let seqs: Vec<i64> = calls.iter().map(|call| call.seq).collect();
    assert_eq!(seqs, (1..=i64::try_from(truth.len()).unwrap()).collect::<Vec<_>>(), "numbers without gaps");

    let mut months: BTreeMap<(String, i64), u64> = BTreeMap::new();
    let mut days: BTreeMap<(String, i64), u64> = BTreeMap::new();
    for record in records.iter().flatten().filter(|record| record.units > 0) {
        let Some(subscription) = record.subscription.clone() else { continue };
        let (month, _) = catalog::Window::Month.around(record.at);
        let (day, _) = catalog::Window::Day.around(record.at);
        *months.entry((subscription.clone(), month)).or_default() += u64::from(record.units);
        *days.entry((subscription, day)).or_default() += u64::from(record.units);
    }
    let mut cx = p.nobody();
    let sums = billed(&mut cx, "acme", Time::from_ms(0), Time::from_ms(i64::MAX)).await.unwrap();
    let folded: BTreeMap<(String, i64), u64> = sums
        .into_iter()
        .filter(|sum| sum.units > 0)
        .map(|sum| ((sum.subscription, sum.month.ms()), sum.units))
        .collect();
    assert_eq!(folded, months);
    for id in ids {
        for ((subscription, day), units) in days.iter().filter(|((subscription, _), _)| subscription == id) {
            assert_eq!(used(&mut cx, subscription, "day", Time::from_ms(*day)).await.unwrap(), *units);
        }
    }
}

#[test]
fn whatever_is_sent_twice_late_or_broken_off_the_ledger_is_the_set_of_records() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut runner = TestRunner::new(Cases { cases: 24, ..Cases::default() });
    runner
        .run(&acts(), |acts| {
            runtime.block_on(async {
                let db = testkit::db::sqlite(MIGRATIONS).await;
                let kept = db.kept();
                let p = Platform::on(db).await;
                let ids = vec![with_subscription(&p, "app").await, with_subscription(&p, "app2").await];
                let records = expected(&ids, p.clock.shared().now());
                play(&p, &acts, &records).await;
                compare(&p, &ids, &records).await;
                drop(kept);
            });
            Ok(())
        })
        .unwrap();
}

store_test!(a_quota_does_not_begin_anew_by_subscribing_again, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let mut subscription = with_subscription(&p, "app").await;
    let mut next = 1;
    for used in [40, 100] {
        let more = (0..used - if used == 40 { 0 } else { 40 })
            .map(|at| record(&format!("{used}-{at}"), p.management.clock.now(), Some(&subscription), Outcome::Served));
        let records: Vec<_> = more.collect();
        let count = u64::try_from(records.len()).unwrap();
        let mut cx = p.nobody();
        take(&mut cx, "edge-1", &batch("g", next, records)).await.unwrap();
        cx.commit().await.unwrap();
        next += count;
        let mut cx = p.cx(Actor::System);
        subscriptions::cancel(&mut cx, &subscription, None).await.unwrap();
        cx.commit().await.unwrap();

        subscription = with_subscription(&p, "app").await;

        let mut cx = p.nobody();
        let (start, _) = catalog::Window::Day.around(p.management.clock.now().ms());
        assert_eq!(super::used(&mut cx, &subscription, "day", Time::from_ms(start)).await.unwrap(), used);
        let told = answer(&mut cx, next, 0).await.unwrap();
        assert!(told.totals.iter().any(|total| total.subscription == subscription && total.used == used), "{told:?}");
    }
});
