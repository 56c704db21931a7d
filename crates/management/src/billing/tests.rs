//! That an invoice is the ledger and the ledger the records, to the unit; and what is rounded when.

mod close;

use std::collections::BTreeMap;
use std::time::Duration;

use ::http::{Method, StatusCode};
use catalog::usage::{Outcome, UsageRecord};
use catalog::{PlanSpec, PriceSpec};
use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestRunner};
use serde_json::json;
use testkit::db::TestDb;
use testkit::store_test;

use super::*;
use crate::actor::{Actor, Role};
use crate::subscriptions::{self, Wanted};
use crate::tests::{Platform, house::person};
use crate::usage::tests::{batch, record, send};
use crate::{MIGRATIONS, PROVIDER, plans};

const DAY: Duration = Duration::from_secs(86_400);

fn tiered() -> Value {
    json!({"title": "Pro", "apis": ["orders"], "price": {"currency": "EUR", "monthly": "9.00",
        "tiers": [{"upTo": 3, "unit": "0"}, {"upTo": 10, "unit": "0.0015"}, {"unit": "0.0005"}]}})
}

fn price(spec: &Value) -> PriceSpec {
    let spec: PlanSpec = plans::parse("p", spec).unwrap();
    spec.price.unwrap()
}

/// The reference: unit by unit.
fn by_hand(price: &PriceSpec, units: u64) -> Money {
    let mut sum = 0_i64;
    for unit in 1..=units {
        let tier = price.tiers.iter().find(|tier| tier.up_to.is_none_or(|end| unit <= end));
        sum += tier.map_or(0, |tier| tier.unit.micros());
    }
    let step = 10_i64.pow(6 - price.currency.digits());
    let (whole, rest) = (sum / step, sum % step);
    Money::from_micros((whole + i64::from(rest * 2 >= step)) * step)
}

async fn put(p: &Platform, name: &str, spec: &Value) {
    let mut cx = p.cx(Actor::System);
    plans::put(&mut cx, name, spec).await.unwrap();
    cx.commit().await.unwrap();
}

async fn subscribe(p: &Platform, organisation: &str, application: &str, plan: &str) -> String {
    let mut cx = p.cx(Actor::System);
    let wanted = Wanted {
        organisation: organisation.to_owned(),
        application: application.to_owned(),
        client: Some(format!("client-{application}")),
        plan: plan.to_owned(),
        note: None,
    };
    let made = subscriptions::request(&mut cx, wanted).await.unwrap();
    cx.commit().await.unwrap();
    made.id
}

/// So many calls at a moment, as the next records of a gateway.
async fn call(p: &Platform, first: &mut u64, subscription: &str, plan: &str, at: Time, many: u64) {
    let one = |number: u64| UsageRecord {
        plan: Some(plan.to_owned()),
        ..record(&format!("r{number}"), at, Some(subscription), Outcome::Served)
    };
    let sent = batch("g1", *first, (*first..*first + many).map(one).collect());
    assert_eq!(send(p, "edge-1", &sent).await.status, StatusCode::OK);
    *first += many;
}

fn now(p: &Platform) -> Time {
    p.clock.shared().now()
}

/// To the first moment of the next month.
fn next_month(p: &Platform) -> Month {
    let month = Month::of(now(p));
    p.clock.advance(month.end().since(now(p)));
    month
}

async fn issue_as_root(p: &Platform, month: Month) -> Result<Vec<Invoice>, Refused> {
    issue(&p.cx(Actor::Operator("root".to_owned())), "acme", month).await
}

#[test]
fn tiers_are_graduated_and_a_line_is_rounded_once() {
    let euro = price(&tiered());
    for (units, cents) in [(0, "0.00"), (3, "0.00"), (4, "0.00"), (6, "0.00"), (7, "0.01"), (10, "0.01"), (19, "0.02")]
    {
        let (tiers, amount) = rate(&euro, units).unwrap();
        assert_eq!(amount.to_string(), cents, "{units}");
        assert_eq!(tiers.iter().map(|tier| tier.units).sum::<u64>(), units);
    }
    let yen = price(&json!({"title": "Y", "apis": [], "price": {"currency": "JPY", "tiers": [{"unit": "0.5"}]}}));
    assert_eq!(super::amount(rate(&yen, 1).unwrap().1, &yen.currency), "1");
    let dinar = price(&json!({"title": "D", "apis": [], "price": {"currency": "KWD", "tiers": [{"unit": "0.0125"}]}}));
    assert_eq!(super::amount(rate(&dinar, 2).unwrap().1, &dinar.currency), "0.025");
    assert_eq!(super::amount(rate(&dinar, 8).unwrap().1, &dinar.currency), "0.100");
    let dear = price(&json!({"title": "D", "apis": [], "price": {"currency": "EUR", "tiers": [{"unit": "1000000"}]}}));
    assert_eq!(rate(&dear, u64::MAX), None, "what cannot be counted is no amount");
}

proptest! {
    #![proptest_config(Cases { cases: 64, ..Cases::default() })]

    #[test]
    fn tiers_cost_what_their_units_cost_one_by_one(
        ends in proptest::collection::btree_set(1_u64..400, 0..4),
        units in proptest::collection::vec(0_i64..3_000_000, 5),
        many in 0_u64..500,
        currency in prop_oneof![Just("EUR"), Just("JPY"), Just("KWD")],
    ) {
        let ends: Vec<Option<u64>> = ends.into_iter().map(Some).chain([None]).collect();
        let tiers: Vec<Value> = ends.iter().zip(&units)
            .map(|(end, unit)| {
                let unit = Money::from_micros(*unit).to_string();
                end.map_or_else(|| json!({"unit": unit}), |end| json!({"upTo": end, "unit": unit}))
            })
            .collect();
        let price = price(&json!({"title": "T", "apis": [], "price": {"currency": currency, "tiers": tiers}}));
        prop_assert_eq!(rate(&price, many).unwrap().1, by_hand(&price, many));
    }
}

#[test]
fn months_are_read_as_they_are_written() {
    for text in ["2026-11", "1999-01", "2028-02"] {
        assert_eq!(Month::parse(text).unwrap().to_string(), text);
    }
    assert_eq!(Month::parse("2026-12").unwrap().next().to_string(), "2027-01");
    for text in ["2026-13", "2026-00", "2026-1", "26-11", "2026/11", "2026-11-01", ""] {
        assert_eq!(Month::parse(text), None, "{text}");
    }
}

store_test!(a_month_becomes_an_invoice_once_and_late_calls_the_next, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    put(&p, "pro", &tiered()).await;
    let id = subscribe(&p, "acme", "app", "pro").await;
    let mut number = 1;
    call(&p, &mut number, &id, "pro", now(&p), 7).await;
    let early = issue_as_root(&p, Month::of(now(&p))).await;
    assert!(matches!(early, Err(Refused::Conflict(_))), "the month is not over");

    let month = next_month(&p);
    let late = now(&p).minus(Duration::from_secs(60));
    call(&p, &mut number, &id, "pro", late, 3).await;
    let issued = issue_as_root(&p, month).await.unwrap();
    assert_eq!(issued.len(), 1);
    let totals: Vec<String> = issued[0].lines.iter().map(|line| line.amount.to_string()).collect();
    assert_eq!((issued[0].total.to_string().as_str(), totals), ("9.01", vec!["9.00".to_owned(), "0.01".to_owned()]));
    assert_eq!(issued[0].lines[1].units, 10, "what came before the invoice is on it");
    assert!(issue_as_root(&p, month).await.unwrap().is_empty(), "an invoice is issued once");

    call(&p, &mut number, &id, "pro", late, 10).await;
    p.clock.advance(Duration::from_secs(1));
    put(&p, "pro", &json!({"title": "Pro", "apis": ["orders"], "price": {"currency": "EUR", "monthly": "1000"}})).await;
    let stored = find(&mut p.cx(Actor::System), &issued[0].issued.as_ref().unwrap().id).await.unwrap();
    assert_eq!(stored, issued[0], "what is issued does not change");

    let second = next_month(&p);
    let issued = issue_as_root(&p, second).await.unwrap();
    let correction = issued[0].lines.iter().find(|line| line.kind == Kind::Correction).unwrap();
    assert_eq!((correction.units, correction.month), (10, month));
    assert_eq!(correction.amount.to_string(), "0.01", "0.0155 is 0.02, and 0.01 was billed");
    assert_eq!(issued[0].total.to_string(), "9.01", "and the new price holds from the month after its change on");
    assert_eq!(issued[0].issued.as_ref().unwrap().number, 2);
});

store_test!(the_calls_behind_a_line_are_as_many_as_its_units, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    put(&p, "pro", &tiered()).await;
    let id = subscribe(&p, "acme", "app", "pro").await;
    let mut number = 1;
    call(&p, &mut number, &id, "pro", now(&p), 5).await;
    let month = next_month(&p);
    issue_as_root(&p, month).await.unwrap();
    call(&p, &mut number, &id, "pro", now(&p).minus(DAY), 4).await;
    let second = next_month(&p);
    issue_as_root(&p, second).await.unwrap();

    let mut dora = p.cx(person("dora", "acme", Role::Developer));
    for brief in list(&mut dora, "acme").await.unwrap() {
        let invoice = find(&mut dora, &brief.issued.unwrap().id).await.unwrap();
        for (at, line) in (1..).zip(&invoice.lines) {
            let calls = calls_of_line(&mut dora, &invoice, at, 0, 100).await.unwrap();
            assert_eq!(calls.iter().map(|call| call.units).sum::<i64>(), line.units, "{line:?}");
        }
    }
    let id = list(&mut dora, "acme").await.unwrap().pop().unwrap().issued.unwrap().id;
    let path = format!("/management/v1/invoices/{id}");
    let shown = p.operate(Method::GET, &path, None).await;
    assert_eq!((&shown.body["number"], &shown.body["total"]), (&json!("INV-000001"), &json!("9.00")));
    let csv = p.operate(Method::GET, &format!("{path}/csv"), None).await;
    assert_eq!(csv.text.lines().count(), 3);
    assert!(csv.text.contains("INV-000001,acme,"), "{}", csv.text);
    let calls = p.operate(Method::GET, &format!("{path}/lines/2/calls?format=csv&limit=3"), None).await;
    assert_eq!(calls.text.lines().count(), 4);
    let link = calls.headers["link"].to_str().unwrap();
    let next = link.trim_start_matches('<').split('>').next().unwrap().replace("format=csv", "format=events");
    let events = p.operate(Method::GET, &next, None).await;
    assert_eq!(events.body.as_array().unwrap().len(), 2);
});

store_test!(the_dearest_plan_of_a_month_is_paid_once, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let flat =
        |monthly: &str| json!({"title": "F", "apis": ["orders"], "price": {"currency": "EUR", "monthly": monthly}});
    for (name, monthly) in [("small", "5"), ("large", "50"), ("middle", "20")] {
        put(&p, name, &flat(monthly)).await;
    }
    let id = subscribe(&p, "acme", "app", "small").await;
    for plan in ["large", "middle"] {
        p.clock.advance(Duration::from_secs(60));
        let mut cx = p.cx(Actor::System);
        subscriptions::change_plan(&mut cx, &id, plan, None).await.unwrap();
        cx.commit().await.unwrap();
    }

    let month = next_month(&p);
    let first = issue_as_root(&p, month).await.unwrap();
    assert_eq!((first[0].total.to_string().as_str(), first[0].lines.len()), ("50.00", 1));
    let month = next_month(&p);
    let mut cx = p.cx(Actor::System);
    subscriptions::cancel(&mut cx, &id, None).await.unwrap();
    cx.commit().await.unwrap();
    assert_eq!(issue_as_root(&p, month).await.unwrap()[0].total.to_string(), "20.00");
    let last = next_month(&p);
    assert!(issue_as_root(&p, last).await.unwrap().is_empty(), "cancelled at its first moment: never in force");
});

store_test!(months_are_issued_in_order_and_numbers_have_no_gaps, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    put(&p, "pro", &tiered()).await;
    for organisation in ["acme", "b", "c", "d", "e"] {
        subscribe(&p, organisation, &format!("app-{organisation}"), "pro").await;
    }
    let first = next_month(&p);
    let second = next_month(&p);
    let skipped = issue_as_root(&p, second).await;
    assert!(matches!(skipped, Err(Refused::Conflict(_))), "the first month comes first");

    let root = p.cx(Actor::Operator("root".to_owned()));
    let at_once = (0..3).map(|_| issue_all(&root, first));
    for result in futures_util::future::join_all(at_once).await {
        result.unwrap();
    }
    issue_all(&root, second).await.unwrap();

    let all = list_all(&mut p.cx(Actor::System), None, 100).await.unwrap();
    let mut numbers: Vec<i64> = all.iter().map(|one| one.issued.as_ref().unwrap().number).collect();
    numbers.reverse();
    assert_eq!(numbers, (1..=10).collect::<Vec<_>>());
});

store_test!(invoices_are_for_their_own_and_issued_by_administrators, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    put(&p, "pro", &tiered()).await;
    subscribe(&p, "acme", "app", "pro").await;
    let month = next_month(&p);
    for actor in [
        Actor::Nobody,
        Actor::Gateway("edge-1".to_owned()),
        person("olga", "acme", Role::Owner),
        person("pia", PROVIDER, Role::Publisher),
    ] {
        assert!(matches!(issue(&p.cx(actor), "acme", month).await, Err(Refused::NoRight)));
    }
    let ids: Vec<String> =
        issue_as_root(&p, month).await.unwrap().into_iter().map(|one| one.issued.unwrap().id).collect();

    let mut eve = p.cx(person("eve", "evil", Role::Owner));
    assert!(matches!(find(&mut eve, &ids[0]).await, Err(Refused::NotFound(_))));
    assert!(matches!(list(&mut eve, "acme").await, Err(Refused::NotFound(_))));
    assert!(matches!(statement(&mut eve, "acme", month).await, Err(Refused::NotFound(_))));
    assert!(matches!(list_all(&mut eve, None, 10).await, Err(Refused::NoRight)));
    let mut dora = p.cx(person("dora", "acme", Role::Developer));
    assert!(find(&mut dora, &ids[0]).await.is_ok());
    assert!(statement(&mut dora, "acme", month).await.is_ok());
});

#[test]
fn a_spreadsheet_gets_no_formula() {
    let invoice = Invoice {
        issued: None,
        organisation: "=cmd|' /C calc'!A0".to_owned(),
        month: Month::parse("2026-11").unwrap(),
        currency: Currency::parse("EUR").unwrap(),
        lines: vec![Line {
            kind: Kind::Correction,
            month: Month::parse("2026-10").unwrap(),
            subscription: "a\"b".to_owned(),
            application: "-x".to_owned(),
            plan: "x,y".to_owned(),
            units: -5,
            tiers: Vec::new(),
            amount: Money::from_micros(-10_000),
        }],
        total: Money::ZERO,
    };

    let text = invoice_csv(&invoice);

    let expected = "draft,'=cmd|' /C calc'!A0,2026-11,EUR,1,correction,2026-10,\"a\"\"b\",'-x,\"x,y\",-5,-0.01\r\n";
    assert_eq!(text.lines().nth(1).map(|line| format!("{line}\r\n")).as_deref(), Some(expected));
}

#[derive(Debug, Clone)]
enum Act {
    /// Subscription, days back, calls.
    Call {
        of: usize,
        back: u64,
        many: u64,
    },
    Wait {
        days: u64,
    },
    /// Issues the oldest month that is over and not issued.
    Issue,
    /// To the plan of this number.
    Change {
        of: usize,
        to: usize,
    },
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        6 => (0..2_usize, 0..70_u64, 1..9_u64).prop_map(|(of, back, many)| Act::Call { of, back, many }),
        3 => (1..25_u64).prop_map(|days| Act::Wait { days }),
        2 => Just(Act::Issue),
        1 => (0..2_usize, 0..2_usize).prop_map(|(of, to)| Act::Change { of, to }),
    ];
    proptest::collection::vec(act, 0..30)
}

/// Units by subscription, plan and month, as the records say.
type Truth = BTreeMap<(String, String, Month), u64>;

async fn play(p: &Platform, acts: &[Act], ids: &[String]) -> Truth {
    let mut truth = Truth::new();
    let mut plan_of = ["pro".to_owned(), "pro".to_owned()];
    let mut number = 1;
    for act in acts {
        match act {
            Act::Call { of, back, many } => {
                let at = now(p).minus(DAY * u32::try_from(*back).unwrap());
                call(p, &mut number, &ids[*of], &plan_of[*of], at, *many).await;
                *truth.entry((ids[*of].clone(), plan_of[*of].clone(), Month::of(at))).or_default() += many;
            }
            Act::Wait { days } => p.clock.advance(DAY * u32::try_from(*days).unwrap()),
            Act::Issue => drop(issue_next(p).await),
            Act::Change { of, to } => {
                let to = ["pro", "units"][*to];
                let mut cx = p.cx(Actor::System);
                if subscriptions::change_plan(&mut cx, &ids[*of], to, None).await.is_ok() {
                    cx.commit().await.unwrap();
                    plan_of[*of] = to.to_owned();
                }
            }
        }
    }
    truth
}

/// The first month from two years ago that issues anything; `None`: none does.
async fn issue_next(p: &Platform) -> Option<Vec<Invoice>> {
    let mut month = Month::of(now(p).minus(DAY * 400));
    while month.end() <= now(p) {
        if let Ok(issued) = issue_as_root(p, month).await
            && !issued.is_empty()
        {
            return Some(issued);
        }
        month = month.next();
    }
    None
}

async fn compare(p: &Platform, truth: &Truth) {
    let mut cx = p.cx(Actor::System);
    let mut units: BTreeMap<(String, String, Month), i64> = BTreeMap::new();
    let mut amounts: BTreeMap<(String, String, Month), i64> = BTreeMap::new();
    for brief in list(&mut cx, "acme").await.unwrap() {
        let invoice = find(&mut cx, &brief.issued.as_ref().unwrap().id).await.unwrap();
        let sum: i64 = invoice.lines.iter().map(|line| line.amount.micros()).sum();
        assert_eq!(sum, invoice.total.micros(), "the total is the sum of the lines");
        for line in invoice.lines.iter().filter(|line| line.kind != Kind::Monthly) {
            let key = (line.subscription.clone(), line.plan.clone(), line.month);
            *units.entry(key.clone()).or_default() += line.units;
            *amounts.entry(key).or_default() += line.amount.micros();
        }
    }
    let expected: BTreeMap<_, i64> =
        truth.iter().map(|(key, units)| (key.clone(), i64::try_from(*units).unwrap())).collect();
    assert_eq!(units, expected, "invoices and records");
    for (key, units) in truth {
        let versions = plans::versions(&mut cx, &key.1).await.unwrap();
        let price = versions[0].spec.price.as_ref().unwrap();
        assert_eq!(amounts[key], by_hand(price, *units).micros(), "{key:?} {units}");
    }
}

#[test]
fn invoices_are_the_records_to_the_unit_and_to_the_cent() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut runner = TestRunner::new(Cases { cases: 16, ..Cases::default() });
    runner
        .run(&acts(), |acts| {
            runtime.block_on(async {
                let db = testkit::db::sqlite(MIGRATIONS).await;
                let kept = db.kept();
                let p = Platform::on(db).await;
                put(&p, "pro", &tiered()).await;
                let units = json!({"currency": "EUR", "tiers": [{"unit": "0.0149"}]});
                put(&p, "units", &json!({"title": "U", "apis": ["orders"], "price": units})).await;
                let ids = vec![subscribe(&p, "acme", "a", "pro").await, subscribe(&p, "acme", "b", "pro").await];
                let truth = play(&p, &acts, &ids).await;
                next_month(&p);
                while issue_next(&p).await.is_some() {}
                next_month(&p);
                while issue_next(&p).await.is_some() {}
                compare(&p, &truth).await;
                drop(kept);
            });
            Ok(())
        })
        .unwrap();
}
