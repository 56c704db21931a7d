//! That what is shown is what gateways enforce.

use std::time::Duration;

use ::http::{Method, StatusCode};
use catalog::usage::Outcome;
use testkit::db::TestDb;
use testkit::store_test;

use crate::MIGRATIONS;
use crate::tests::Platform;
use crate::usage::tests::{batch, record, send, with_subscription};

store_test!(what_is_shown_is_what_gateways_are_told, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let id = with_subscription(&p, "app").await;
    let now = p.clock.shared().now();
    let outcomes = [Outcome::Served, Outcome::Served, Outcome::Refused, Outcome::Failed];
    let records = outcomes.map(|outcome| record("r", now, Some(&id), outcome)).to_vec();

    let told = send(&p, "edge-1", &batch("g1", 1, records)).await;
    let path = format!("/management/v1/subscriptions/{id}/quota");
    let shown = p.operate(Method::GET, &path, None).await;

    assert_eq!(shown.status, StatusCode::OK, "{}", shown.text);
    assert_eq!(shown.body["used"], told.body["totals"][0]["used"]);
    assert_eq!(shown.body["begins"], told.body["totals"][0]["window"]);
    assert_eq!((shown.body["used"].as_u64(), shown.body["remaining"].as_u64()), (Some(2), Some(98)));

    p.clock.advance(Duration::from_secs(86_400));
    let tomorrow = p.operate(Method::GET, &path, None).await;
    assert_eq!(tomorrow.body["used"], 0, "another window");
});
