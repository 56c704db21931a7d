//! Invoices by the clock, and the calls behind their lines as their own take them along.

use std::time::Duration;

use ::http::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::db::TestDb;
use testkit::store_test;

use super::{DAY, call, next_month, now, put, subscribe, tiered};
use crate::MIGRATIONS;
use crate::actor::Actor;
use crate::billing::{Kind, Month, close_due, find, list, list_all};
use crate::tests::Platform;

async fn issued_by_number(p: &Platform) -> Vec<(i64, String, String, String)> {
    let mut all = list_all(&mut p.cx(Actor::System), None, 1_000).await.unwrap();
    all.reverse();
    all.into_iter()
        .map(|one| {
            let number = one.issued.as_ref().unwrap().number;
            (number, one.organisation, one.month.to_string(), one.total.to_string())
        })
        .collect()
}

store_test!(a_month_is_closed_by_the_clock_a_day_after_its_end, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    put(&p, "pro", &tiered()).await;
    let id = subscribe(&p, "acme", "app", "pro").await;
    let mut number = 1;
    call(&p, &mut number, &id, "pro", now(&p), 7).await;
    assert_eq!(close_due(&p.management).await.unwrap(), 0);

    let first = next_month(&p);
    p.clock.advance(DAY - Duration::from_secs(1));
    assert_eq!(close_due(&p.management).await.unwrap(), 0, "late calls have a day's time");
    call(&p, &mut number, &id, "pro", first.end().minus(Duration::from_secs(5)), 3).await;
    p.clock.advance(Duration::from_secs(1));
    assert_eq!(close_due(&p.management).await.unwrap(), 1);
    assert_eq!(close_due(&p.management).await.unwrap(), 0, "once");
    let expected = vec![(1, "acme".to_owned(), first.to_string(), "9.01".to_owned())];
    assert_eq!(issued_by_number(&p).await, expected);
    let by = list_all(&mut p.cx(Actor::System), None, 1).await.unwrap().pop().unwrap().issued.unwrap().by;
    assert_eq!(by, Actor::System.to_string());

    // What comes after that is on the next one, by the clock as well.
    call(&p, &mut number, &id, "pro", first.end().minus(Duration::from_secs(5)), 10).await;
    assert_eq!(close_due(&p.management).await.unwrap(), 0);
    next_month(&p);
    p.clock.advance(DAY);
    p.management.minute().await.unwrap();
    let second = list(&mut p.cx(Actor::System), "acme").await.unwrap().remove(0);
    let second = find(&mut p.cx(Actor::System), &second.issued.unwrap().id).await.unwrap();
    let correction = second.lines.iter().find(|line| line.kind == Kind::Correction).unwrap();
    assert_eq!((correction.month, correction.units, correction.amount.to_string()), (first, 10, "0.01".to_owned()));
});

store_test!(months_that_were_missed_are_closed_in_order_each_by_its_own_invoice, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    put(&p, "pro", &tiered()).await;
    let mut number = 1;
    let mut months = Vec::new();
    let id = subscribe(&p, "acme", "app", "pro").await;
    subscribe(&p, "beta", "app-b", "pro").await;
    for _ in 0..4 {
        call(&p, &mut number, &id, "pro", now(&p), 10).await;
        months.push(next_month(&p));
    }
    // Nothing ran for four months; the fifth began an hour ago, so its predecessor waits still.
    p.clock.advance(Duration::from_secs(3600));
    assert_eq!(close_due(&p.management).await.unwrap(), 6);
    p.clock.advance(DAY);
    assert_eq!(close_due(&p.management).await.unwrap(), 2);

    let all = issued_by_number(&p).await;
    let of = |organisation: &str| -> Vec<String> {
        all.iter().filter(|one| one.1 == organisation).map(|one| one.2.clone()).collect()
    };
    let expected: Vec<String> = months.iter().map(Month::to_string).collect();
    assert_eq!((of("acme"), of("beta")), (expected.clone(), expected));
    assert_eq!(all.iter().map(|one| one.0).collect::<Vec<_>>(), (1..=8).collect::<Vec<_>>(), "no gaps");
});

store_test!(two_processes_close_a_month_once, MIGRATIONS, |db: TestDb| async move {
    let one = Platform::on(db).await;
    put(&one, "pro", &tiered()).await;
    for name in ["a", "b", "c", "d", "e", "f"] {
        subscribe(&one, name, &format!("app-{name}"), "pro").await;
    }
    next_month(&one);
    next_month(&one);
    one.clock.advance(DAY);
    let config = crate::tests::config(&one.db);
    let other = crate::Management::with_db(config, one.clock.shared(), one.db.db.clone()).await.unwrap();

    let (first, second, third) = tokio::join!(close_due(&one.management), close_due(&other), close_due(&other));

    let (first, second, third) = (first.unwrap(), second.unwrap(), third.unwrap());
    let all = issued_by_number(&one).await;
    assert_eq!((first + second + third, all.len()), (12, 12), "who counts an invoice has issued it");
    assert_eq!(all.iter().map(|one| one.0).collect::<Vec<_>>(), (1..=12).collect::<Vec<_>>());
    let pairs: std::collections::BTreeSet<_> = all.iter().map(|one| (one.1.clone(), one.2.clone())).collect();
    assert_eq!(pairs.len(), 12);
    let due = one.operate(Method::GET, "/management/v1/billing/due", None).await;
    assert_eq!(due.body["items"], json!([]));
});

store_test!(an_invoice_that_cannot_be_made_stops_no_other_and_is_told, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    put(&p, "pro", &tiered()).await;
    let most = json!({"currency": "EUR", "tiers": [{"unit": "1000000000"}]});
    put(&p, "absurd", &json!({"title": "A", "apis": ["orders"], "price": most})).await;
    let id = subscribe(&p, "acme", "a", "absurd").await;
    subscribe(&p, "beta", "b", "pro").await;
    let mut number = 1;
    call(&p, &mut number, &id, "absurd", now(&p), 9_300).await;
    next_month(&p);
    p.clock.advance(DAY);

    assert_eq!(close_due(&p.management).await.unwrap(), 1, "beta's");
    assert_eq!(close_due(&p.management).await.unwrap(), 0);

    let due = &p.operate(Method::GET, "/management/v1/billing/due", None).await.body["items"];
    assert_eq!((due.as_array().unwrap().len(), &due[0]["organisation"]), (1, &json!("acme")));
    assert!(due[0]["error"].as_str().unwrap().contains("look at the prices"), "{due}");
    p.clock.advance(Duration::from_secs(300));
    close_due(&p.management).await.unwrap();
    let due = &p.operate(Method::GET, "/management/v1/billing/due", None).await.body["items"];
    assert_eq!(due[0]["failures"], 2, "tried again in a while");
});

store_test!(an_operator_who_issues_by_hand_has_no_clock, MIGRATIONS, |db: TestDb| async move {
    let mut config = crate::tests::config(&db);
    config.invoices = crate::Invoices { after: None };
    let p = Platform::with(db, config).await;
    put(&p, "pro", &tiered()).await;
    subscribe(&p, "acme", "app", "pro").await;
    next_month(&p);
    p.clock.advance(DAY * 20);

    assert_eq!(close_due(&p.management).await.unwrap(), 0);
    assert_eq!(issued_by_number(&p).await, []);
});

store_test!(each_call_behind_a_line_is_taken_along_by_its_own, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    put(&p, "pro", &tiered()).await;
    let mut cx = p.cx(Actor::System);
    let dora = crate::people::arrive(&mut cx, "https://id.example", "dora", "dora", None).await.unwrap();
    let home = dora.memberships[0].organisation.clone();
    cx.commit().await.unwrap();
    let id = subscribe(&p, &home, "app", "pro").await;
    let mut number = 1;
    for _ in 0..3 {
        call(&p, &mut number, &id, "pro", now(&p), 900).await;
    }
    next_month(&p);
    p.clock.advance(DAY);
    close_due(&p.management).await.unwrap();
    let invoice = list(&mut p.cx(Actor::System), &home).await.unwrap().remove(0).issued.unwrap().id;

    let mut browser = crate::console::tests::signed_in(&p, "dora", None).await;
    let page = browser.get(&format!("/invoices/{invoice}")).await;
    assert!(page.body.contains(&format!("/invoices/{invoice}/lines/2/csv")), "{}", page.body);
    let csv = browser.get(&format!("/invoices/{invoice}/lines/2/csv")).await;
    assert_eq!(csv.body.lines().count(), 2_701);
    let ids: std::collections::BTreeSet<&str> =
        csv.body.lines().skip(1).map(|line| line.split(',').nth(2).unwrap()).collect();
    assert_eq!(ids.len(), 2_700, "each once, over all parts");
    let json = browser.get(&format!("/invoices/{invoice}/lines/2/json")).await;
    let events: Value = serde_json::from_str(&json.body).unwrap();
    assert_eq!((events.as_array().unwrap().len(), &events[0]["specversion"]), (2_700, &json!("1.0")));

    for path in ["lines/9/csv", "lines/0/csv", "lines/x/csv", "lines/2/xml"] {
        assert_eq!(browser.get(&format!("/invoices/{invoice}/{path}")).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    let mut eve = crate::console::tests::signed_in(&p, "eve", None).await;
    for format in ["csv", "json"] {
        let other = eve.get(&format!("/invoices/{invoice}/lines/2/{format}")).await;
        assert_eq!(other.status, StatusCode::NOT_FOUND, "not one's own");
        assert!(!other.body.contains("orders"));
    }
});
