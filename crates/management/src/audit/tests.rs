//! That what is done is told.

use serde_json::json;
use testkit::db::TestDb;
use testkit::store_test;

use super::{Filter, Record, list, record};
use crate::tests::Platform;
use crate::{Cx, MIGRATIONS};

store_test!(an_act_and_its_audit_are_one_transaction, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let entry = |object: &str| Record {
        act: "thing.made",
        object: object.to_owned(),
        organisation: Some("acme"),
        detail: json!({"name": "n"}),
    };

    let mut kept = Cx::system(&p.management);
    record(&mut kept, entry("thing:1")).await.unwrap();
    kept.commit().await.unwrap();
    let mut dropped = Cx::system(&p.management);
    record(&mut dropped, entry("thing:2")).await.unwrap();
    drop(dropped);

    let filter = Filter { organisation: Some("acme".to_owned()), ..Filter::default() };
    let found = list(&mut Cx::system(&p.management), &filter, 10).await.unwrap();
    assert_eq!(found.iter().map(|entry| entry.object.as_str()).collect::<Vec<_>>(), ["thing:1"]);
    assert_eq!((found[0].actor.as_str(), &found[0].detail["name"]), ("system", &json!("n")));
});
