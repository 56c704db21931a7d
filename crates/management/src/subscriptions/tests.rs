//! Who may subscribe, what moves are there, and that an application has one subscription to an API.

use std::time::Duration;

use serde_json::json;
use testkit::db::TestDb;
use testkit::store_test;

use super::*;
use crate::actor::{Actor, Role};
use crate::tests::{Platform, house::person};
use crate::{MIGRATIONS, PROVIDER};

async fn with_plans(db: TestDb) -> Platform {
    let p = Platform::on(db).await;
    let mut cx = p.cx(Actor::System);
    let plans = [
        ("free", json!({"title": "Free", "apis": ["orders"]})),
        ("pro", json!({"title": "Pro", "apis": ["orders", "stock"], "price": {"currency": "EUR", "monthly": "9"}})),
        ("yen", json!({"title": "Yen", "apis": ["orders"], "price": {"currency": "JPY", "monthly": "900"}})),
        ("asked", json!({"title": "Asked", "apis": ["orders"], "approval": "manual"})),
        ("own", json!({"title": "Own", "apis": ["orders"], "organisations": ["other"]})),
        ("stock", json!({"title": "Stock", "apis": ["stock"]})),
    ];
    for (name, spec) in &plans {
        plans::put(&mut cx, name, spec).await.unwrap();
    }
    cx.commit().await.unwrap();
    p
}

fn wanted(application: &str, plan: &str) -> Wanted {
    Wanted {
        organisation: "acme".to_owned(),
        application: application.to_owned(),
        client: Some(format!("client-{application}")),
        plan: plan.to_owned(),
        note: None,
    }
}

fn dora() -> Actor {
    person("dora", "acme", Role::Developer)
}

fn pia() -> Actor {
    person("pia", PROVIDER, Role::Publisher)
}

async fn subscribe(p: &Platform, application: &str, plan: &str) -> Result<Subscription, Refused> {
    let mut cx = p.cx(dora());
    let done = request(&mut cx, wanted(application, plan)).await?;
    cx.commit().await?;
    Ok(done)
}

async fn published_plans(p: &Platform) -> Vec<(String, String)> {
    let all = published(&mut p.nobody()).await.unwrap();
    all.into_iter().map(|one| (one.client, one.plan)).collect()
}

store_test!(an_automatic_plan_is_in_force_at_once, MIGRATIONS, |db: TestDb| async move {
    let p = with_plans(db).await;

    let made = subscribe(&p, "app", "free").await.unwrap();

    assert_eq!(made.state, State::Active);
    assert_eq!(published_plans(&p).await, [("client-app".to_owned(), "free".to_owned())]);
    let terms = terms(&mut p.nobody(), "acme", Time::from_ms(0), Time::from_ms(i64::MAX)).await.unwrap();
    assert_eq!(terms.len(), 1);
    let next = request(&mut p.cx(dora()), wanted("app", "own")).await;
    assert!(matches!(next, Err(Refused::NotFound(_))), "a plan of others");
});

store_test!(a_manual_plan_waits_for_the_providers_word, MIGRATIONS, |db: TestDb| async move {
    let p = with_plans(db).await;
    let made = subscribe(&p, "app", "asked").await.unwrap();
    assert_eq!(made.state, State::Requested);
    assert!(published_plans(&p).await.is_empty());

    let own = approve(&mut p.cx(dora()), &made.id, None).await;
    assert!(matches!(own, Err(Refused::NoRight)), "nobody approves for themselves");
    let mut cx = p.cx(pia());
    approve(&mut cx, &made.id, Some("welcome")).await.unwrap();
    cx.commit().await.unwrap();
    assert_eq!(published_plans(&p).await.len(), 1);
    assert!(matches!(reject(&mut p.cx(pia()), &made.id, "late").await, Err(Refused::Conflict(_))));

    let other = subscribe(&p, "app2", "asked").await.unwrap();
    let mut cx = p.cx(pia());
    let rejected = reject(&mut cx, &other.id, "no contract").await.unwrap();
    cx.commit().await.unwrap();
    assert_eq!((rejected.state, rejected.reason.as_deref()), (State::Rejected, Some("no contract")));
    assert!(subscribe(&p, "app2", "free").await.is_ok(), "a rejected one stands in nobody's way");
});

store_test!(suspended_ones_are_not_published_and_come_back, MIGRATIONS, |db: TestDb| async move {
    let p = with_plans(db).await;
    let made = subscribe(&p, "app", "free").await.unwrap();

    let mut cx = p.cx(pia());
    suspend(&mut cx, &made.id, "unpaid").await.unwrap();
    assert!(published(&mut cx).await.unwrap().is_empty());
    assert!(matches!(suspend(&mut cx, &made.id, "again").await, Err(Refused::Conflict(_))));
    resume(&mut cx, &made.id).await.unwrap();
    cx.commit().await.unwrap();
    assert_eq!(published_plans(&p).await.len(), 1);

    let mut cx = p.cx(dora());
    assert!(matches!(suspend(&mut cx, &made.id, "x").await, Err(Refused::NoRight)));
    cancel(&mut cx, &made.id, None).await.unwrap();
    cx.commit().await.unwrap();
    assert!(published_plans(&p).await.is_empty());
    let terms = terms(&mut p.nobody(), "acme", Time::from_ms(0), Time::from_ms(i64::MAX)).await.unwrap();
    assert!(terms[0].until.is_some());
});

store_test!(other_organisations_see_and_change_nothing, MIGRATIONS, |db: TestDb| async move {
    let p = with_plans(db).await;
    let made = subscribe(&p, "app", "free").await.unwrap();

    for actor in [person("eve", "evil", Role::Owner), Actor::Nobody, Actor::Gateway("edge-1".to_owned())] {
        let mut cx = p.cx(actor);
        assert!(matches!(see(&mut cx, &made.id).await, Err(Refused::NotFound(_))));
        assert!(matches!(cancel(&mut cx, &made.id, None).await, Err(Refused::NotFound(_))));
        assert!(matches!(change_plan(&mut cx, &made.id, "pro", None).await, Err(Refused::NotFound(_))));
        assert!(matches!(request(&mut cx, wanted("app3", "free")).await, Err(Refused::NotFound(_))));
    }
    let auditor = person("ada", PROVIDER, Role::Auditor);
    assert!(see(&mut p.cx(auditor.clone()), &made.id).await.is_ok());
    assert!(matches!(cancel(&mut p.cx(auditor), &made.id, None).await, Err(Refused::NoRight)));
});

store_test!(of_many_at_once_one_subscribes, MIGRATIONS, |db: TestDb| async move {
    let p = with_plans(db).await;

    let tries = (0..12).map(|at| subscribe(&p, "app", ["free", "pro", "asked"][at % 3]));
    let results = futures_util::future::join_all(tries).await;

    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    for refused in results.into_iter().filter_map(Result::err) {
        assert!(matches!(refused, Refused::Conflict(_)), "{refused}");
    }
    assert_eq!(list(&mut p.nobody(), &Filter::default(), 100).await.unwrap().len(), 1);
});

store_test!(a_plan_is_changed_now_or_later, MIGRATIONS, |db: TestDb| async move {
    let p = with_plans(db).await;
    let made = subscribe(&p, "app", "free").await.unwrap();
    let later = p.clock.shared().now().plus(Duration::from_secs(3600));

    let mut cx = p.cx(dora());
    let asked = change_plan(&mut cx, &made.id, "pro", Some(later)).await.unwrap();
    cx.commit().await.unwrap();
    assert_eq!(asked.next, Some(NextPlan { plan: "pro".to_owned(), agreed: true, from: later }));
    assert_eq!(apply_due(&p.cx(Actor::System)).await.unwrap(), 0);
    p.clock.advance(Duration::from_secs(3600));
    assert_eq!(apply_due(&p.cx(Actor::System)).await.unwrap(), 1);

    assert_eq!(published_plans(&p).await, [("client-app".to_owned(), "pro".to_owned())]);
    let all = terms(&mut p.nobody(), "acme", Time::from_ms(0), Time::from_ms(i64::MAX)).await.unwrap();
    let plans: Vec<(&str, Option<Time>)> = all.iter().map(|term| (term.plan.as_str(), term.until)).collect();
    assert_eq!(plans, [("free", Some(later)), ("pro", None)]);
    let yen = change_plan(&mut p.cx(dora()), &made.id, "yen", None).await;
    assert!(matches!(yen, Err(Refused::Conflict(_))), "an invoice has one currency");
    assert!(subscribe(&p, "app", "stock").await.is_err(), "the new plan's APIs are taken");
});

store_test!(another_plan_may_need_the_providers_word, MIGRATIONS, |db: TestDb| async move {
    let p = with_plans(db).await;
    let made = subscribe(&p, "app", "free").await.unwrap();
    let mut cx = p.cx(dora());
    change_plan(&mut cx, &made.id, "asked", None).await.unwrap();
    cx.commit().await.unwrap();
    assert_eq!(published_plans(&p).await[0].1, "free");
    let waiting = Filter { to_decide: Some(()), ..Filter::default() };
    assert_eq!(list(&mut p.nobody(), &waiting, 10).await.unwrap().len(), 1);

    let mut cx = p.cx(pia());
    reject(&mut cx, &made.id, "not yet").await.unwrap();
    change_plan(&mut cx, &made.id, "asked", None).await.unwrap();
    cx.commit().await.unwrap();

    assert_eq!(published_plans(&p).await[0].1, "asked", "the provider's own word is enough");
});

store_test!(a_plan_with_another_api_must_not_make_two_subscriptions_to_it, MIGRATIONS, |db: TestDb| async move {
    let p = with_plans(db).await;
    subscribe(&p, "app", "free").await.unwrap();
    subscribe(&p, "app", "stock").await.unwrap();

    let mut cx = p.cx(pia());
    let both = plans::put(&mut cx, "free", &json!({"title": "Free", "apis": ["orders", "stock"]})).await;
    assert!(matches!(both, Err(Refused::Conflict(_))));
    drop(cx);
    let mut cx = p.cx(pia());
    plans::put(&mut cx, "free", &json!({"title": "Free", "apis": ["orders", "prices"]})).await.unwrap();
    cx.commit().await.unwrap();

    let third = plans::put(&mut p.cx(Actor::System), "p", &json!({"title": "P", "apis": ["prices"]})).await;
    assert!(third.is_ok());
});

store_test!(a_client_comes_later_and_an_application_goes, MIGRATIONS, |db: TestDb| async move {
    let p = with_plans(db).await;
    let mut cx = p.cx(dora());
    request(&mut cx, Wanted { client: None, ..wanted("app", "free") }).await.unwrap();
    cx.commit().await.unwrap();
    assert!(published_plans(&p).await.is_empty());

    let mut cx = p.cx(Actor::System);
    client_known(&mut cx, "app", "c-1").await.unwrap();
    cx.commit().await.unwrap();
    assert_eq!(published_plans(&p).await, [("c-1".to_owned(), "free".to_owned())]);

    let mut cx = p.cx(Actor::System);
    application_gone(&mut cx, "app").await.unwrap();
    cx.commit().await.unwrap();
    assert!(published_plans(&p).await.is_empty());
});

store_test!(a_yes_is_a_yes_to_what_was_read, MIGRATIONS, |db: TestDb| async move {
    let p = with_plans(db).await;
    let mut cx = p.cx(Actor::System);
    plans::put(&mut cx, "gold", &json!({"title": "Gold", "apis": ["orders"], "approval": "manual"})).await.unwrap();
    cx.commit().await.unwrap();
    let made = subscribe(&p, "app", "free").await.unwrap();
    for plan in ["asked", "gold"] {
        let mut cx = p.cx(dora());
        change_plan(&mut cx, &made.id, plan, None).await.unwrap();
        cx.commit().await.unwrap();
    }

    // The page showed `asked`; meanwhile it is `gold`.
    let said = approve_plan(&mut p.cx(pia()), &made.id, "asked", None).await;
    assert!(matches!(&said, Err(Refused::Conflict(why)) if why.contains("`gold`")), "{said:?}");

    let mut cx = p.cx(pia());
    assert_eq!(approve_plan(&mut cx, &made.id, "gold", None).await.unwrap().plan, "gold");
});

store_test!(ending_a_suspended_subscription_is_no_way_around_it, MIGRATIONS, |db: TestDb| async move {
    let p = with_plans(db).await;
    let made = subscribe(&p, "app", "free").await.unwrap();
    let mut cx = p.cx(pia());
    suspend(&mut cx, &made.id, "abuse").await.unwrap();
    cx.commit().await.unwrap();
    let other = subscribe(&p, "other-app", "pro").await.unwrap();
    assert_eq!(other.state, State::Requested, "another application of theirs, another plan, the same API");
    let elsewhere = subscribe(&p, "app", "stock").await.unwrap();
    assert_eq!(elsewhere.state, State::Active, "another API is another matter");
    let mut cx = p.cx(dora());
    cancel(&mut cx, &made.id, None).await.unwrap();
    cx.commit().await.unwrap();

    let again = subscribe(&p, "app", "free").await.unwrap();

    assert_eq!(again.state, State::Requested);
    let mut cx = p.cx(pia());
    approve(&mut cx, &again.id, None).await.unwrap();
    cx.commit().await.unwrap();
    assert_eq!(subscribe(&p, "third", "free").await.unwrap().state, State::Active, "the provider has said yes");
});

store_test!(a_note_has_an_end, MIGRATIONS, |db: TestDb| async move {
    let p = with_plans(db).await;
    for note in ["x".repeat(2_001), "a\0b".to_owned()] {
        let wanted = Wanted { note: Some(note), ..wanted("app", "asked") };
        assert!(matches!(request(&mut p.cx(dora()), wanted).await, Err(Refused::Invalid(..))));
    }
});
