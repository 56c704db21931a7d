//! Versions of plans, what is offered, and from when on a price holds.

use ::http::{Method, StatusCode};
use base::Time;
use serde_json::json;
use testkit::db::TestDb;
use testkit::store_test;

use super::*;
use crate::MIGRATIONS;
use crate::actor::{Actor, Role};
use crate::tests::{Platform, house::person, send};

fn spec(monthly: &str) -> Value {
    json!({"title": "Pro", "apis": ["orders"], "price": {"currency": "EUR", "monthly": monthly}})
}

store_test!(a_change_is_a_new_version_and_the_same_is_none, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let mut cx = p.cx(person("pia", crate::PROVIDER, Role::Publisher));

    let first = put(&mut cx, "pro", &spec("9.00")).await.unwrap();
    let same = put(&mut cx, "pro", &spec("9.00")).await.unwrap();
    let second = put(&mut cx, "pro", &spec("12.00")).await.unwrap();
    cx.commit().await.unwrap();

    assert_eq!((first.version, same.version, second.version), (1, 1, 2));
    let versions = versions(&mut p.nobody(), "pro").await.unwrap();
    let monthly: Vec<String> =
        versions.iter().map(|one| one.spec.price.as_ref().unwrap().monthly.to_string()).collect();
    assert_eq!(monthly, ["9.00", "12.00"]);
    assert_eq!(versions[1].changed_by, "person:pia");
});

store_test!(who_may_not_publish_changes_no_plan, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    for actor in [
        Actor::Nobody,
        Actor::Gateway("edge-1".to_owned()),
        person("olga", "acme", Role::Owner),
        person("ada", crate::PROVIDER, Role::Auditor),
    ] {
        let mut cx = p.cx(actor);
        assert!(matches!(put(&mut cx, "pro", &spec("9.00")).await, Err(Refused::NoRight)));
        assert!(matches!(retire(&mut cx, "pro").await, Err(Refused::NoRight)));
    }

    assert!(list(&mut p.nobody()).await.unwrap().is_empty());
});

store_test!(the_interface_tells_each_fault_at_its_place, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let body = json!({"spec": {"title": "Pro", "apis": ["orders"], "quota": {"requests": 0, "per": "day"},
        "price": {"currency": "EUR", "tiers": [{"upTo": 10, "unit": "1"}]}}});

    let answer = p.operate(Method::PUT, "/management/v1/plans/pro", Some(&body)).await;

    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    let pointers: Vec<&str> =
        answer.body["errors"].as_array().unwrap().iter().filter_map(|one| one["pointer"].as_str()).collect();
    assert_eq!(pointers, ["/spec/quota/requests", "/spec/price/tiers/0/upTo"]);

    let unknown = json!({"spec": {"title": "Pro", "apis": [], "prise": {}}});
    let answer = p.operate(Method::PUT, "/management/v1/plans/pro", Some(&unknown)).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.text);
    let named = json!({"spec": spec("9.00")});
    let answer = p.operate(Method::PUT, "/management/v1/plans/pro%20plan", Some(&named)).await;
    assert_eq!(answer.body["errors"][0]["pointer"], "/name");
    assert_eq!(
        send(p.public(), Method::GET, "/management/v1/plans", None, None).await.status,
        StatusCode::UNAUTHORIZED
    );
});

store_test!(a_retired_plan_is_not_offered_and_comes_back_by_a_change, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let mut cx = p.cx(Actor::System);
    put(&mut cx, "pro", &spec("9.00")).await.unwrap();
    let mut own = spec("1.00");
    own["organisations"] = json!(["acme"]);
    put(&mut cx, "special", &own).await.unwrap();

    assert_eq!(names(&offered(&mut cx, "acme").await.unwrap()), ["pro", "special"]);
    assert_eq!(names(&offered(&mut cx, "other").await.unwrap()), ["pro"]);

    assert!(retire(&mut cx, "pro").await.unwrap());
    assert!(!retire(&mut cx, "pro").await.unwrap(), "once is enough");
    assert_eq!(names(&offered(&mut cx, "acme").await.unwrap()), ["special"]);
    assert_eq!(published(&mut cx).await.unwrap().len(), 1, "nobody has the retired one");

    put(&mut cx, "pro", &spec("9.00")).await.unwrap();
    assert_eq!(names(&offered(&mut cx, "other").await.unwrap()), ["pro"]);
});

fn names(plans: &[Plan]) -> Vec<&str> {
    plans.iter().map(|plan| plan.name.as_str()).collect()
}

#[test]
fn a_price_holds_from_the_next_month_on() {
    let version = |number, since, monthly: &str| Version {
        plan: "pro".to_owned(),
        number,
        spec: parse("pro", &spec(monthly)).unwrap(),
        since: Time::from_ms(since),
        changed_by: String::new(),
    };
    let versions = [version(1, 100, "1.00"), version(2, 250, "2.00"), version(3, 260, "3.00")];
    let at = |month: i64, agreed: i64| {
        price_at(&versions, Time::from_ms(month), Time::from_ms(agreed)).unwrap().monthly.to_string()
    };

    assert_eq!(at(200, 150), "1.00", "changed within the month: not for who was there");
    assert_eq!(at(200, 255), "2.00", "for who came after the change: at once");
    assert_eq!(at(300, 150), "3.00", "from the next month on: for all");
    assert_eq!(at(0, 0), "1.00", "the first there is");
}
