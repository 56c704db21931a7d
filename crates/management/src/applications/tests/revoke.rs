//! The end of what an application holds: who may ask for it, and of whom.

use testkit::db::TestDb;
use testkit::store_test;

use super::super::revoke::{Revocable, revocable, revoke};
use super::Shop;
use super::fake::{Fake, Fault};
use crate::actor::{Actor, Role};
use crate::applications::Kind;
use crate::tests::house::person;
use crate::{MIGRATIONS, Refused};

store_test!(what_an_application_holds_is_ended_by_those_who_may, MIGRATIONS, |db: TestDb| async move {
    let shop = Shop::on(db, Fake::ours()).await;
    let id = shop.made("Orders", Kind::Service).await;
    assert!(matches!(revoke(&mut shop.dev(), &id, None).await, Err(Refused::Conflict(_))), "it has no client yet");
    shop.settled(&id).await;
    let client = shop.see(&id).await.client.unwrap();
    let as_ = |actor| shop.p.cx(actor);

    let publisher = person("pia", crate::PROVIDER, Role::Publisher);
    let stranger = person("eve", "other", Role::Owner);
    assert!(matches!(revoke(&mut as_(publisher), &id, None).await, Err(Refused::NoRight)));
    assert!(matches!(revoke(&mut as_(stranger), &id, None).await, Err(Refused::NotFound(_))));
    assert!(matches!(revoke(&mut as_(Actor::Nobody), &id, None).await, Err(Refused::NotFound(_))));
    assert!(matches!(revoke(&mut shop.dev(), &id, Some("strange")).await, Err(Refused::Conflict(_))));
    assert!(matches!(revoke(&mut shop.dev(), &id, Some("")).await, Err(Refused::Invalid(..))));
    assert_eq!(shop.fake.revoked(), [], "and nobody was asked in vain");
    shop.fake.next(&[Fault::Away]);
    assert!(matches!(revoke(&mut shop.dev(), &id, Some("g1")).await, Err(Refused::Upstream(_))));

    let administrator = person("ada", crate::PROVIDER, Role::Administrator);
    let mut cx = as_(administrator);
    assert!(matches!(revocable(&mut cx, &client).await.unwrap(), Revocable::By(found) if found.id == id));
    assert_eq!(revoke(&mut cx, &id, Some("g1")).await.unwrap(), 1);
    cx.commit().await.unwrap();
    let mut cx = shop.dev();
    revoke(&mut cx, &id, None).await.unwrap();
    cx.commit().await.unwrap();

    assert_eq!(shop.fake.revoked(), [(client.clone(), Some("g1".to_owned())), (client, None)]);
    let acts = crate::audit::list(&mut as_(Actor::System), &crate::audit::Filter::default(), 100).await.unwrap();
    let acts: Vec<&str> = acts.iter().map(|entry| entry.act.as_str()).collect();
    let count = |act: &str| acts.iter().filter(|one| **one == act).count();
    assert_eq!((count("application.revocation_asked"), count("application.tokens_revoked")), (4, 2), "{acts:?}");
});

store_test!(another_server_is_not_asked_to_revoke, MIGRATIONS, |db: TestDb| async move {
    let shop = Shop::on(db, Fake::another()).await;
    let id = shop.made("Orders", Kind::Service).await;
    shop.settled(&id).await;
    let client = shop.see(&id).await.client.unwrap();

    let Revocable::Not(why) = revocable(&mut shop.dev(), &client).await.unwrap() else { panic!("it is offered") };

    assert!(why.contains("no way"), "{why}");
    assert!(matches!(revoke(&mut shop.dev(), &id, None).await, Err(Refused::Conflict(_))));
    assert_eq!(shop.fake.revoked(), []);
    assert!(matches!(revocable(&mut shop.dev(), "unknown").await.unwrap(), Revocable::Not(_)));
});
