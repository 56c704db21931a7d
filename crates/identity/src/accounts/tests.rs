use base::Secret;
use serde_json::json;
use testkit::db::TestDb;
use testkit::store_test;

use super::*;
use crate::MIGRATIONS;
use crate::tests::people::{PASSWORD, World, sign_in};

fn spec(value: Value) -> UserSpec {
    serde_json::from_value(value).unwrap()
}

store_test!(applying_a_user_creates_changes_or_leaves_it, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let mut cx = w.p.cx();
    let one = spec(json!({"username": " Bob ", "attributes": {"account_nr": "4711", "tags": ["a"]}}));
    let two = spec(json!({"username": "bob", "name": "Bob"}));

    let (id, created) = apply(&mut cx, &one).await.unwrap();
    let (same, unchanged) = apply(&mut cx, &one).await.unwrap();
    let (still, updated) = apply(&mut cx, &two).await.unwrap();
    cx.commit().await.unwrap();

    assert_eq!((created, unchanged, updated), (Applied::Created, Applied::Unchanged, Applied::Updated));
    assert!(id == same && id == still);
    let mut cx = w.p.cx();
    assert_eq!(find_by_username(&mut cx, "BOB").await.unwrap().unwrap().spec, two);
    let names: Vec<String> = list(&mut cx, "", 10).await.unwrap().into_iter().map(|user| user.spec.username).collect();
    assert_eq!(names, ["alice", "bob"]);
    assert_eq!(list(&mut cx, "alice", 1).await.unwrap().len(), 1);
});

store_test!(a_bad_user_is_refused_with_the_place, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    for (document, pointer) in [
        (json!({"username": " "}), "/username"),
        (json!({"username": "x".repeat(129)}), "/username"),
        (json!({"username": "a\u{0}b"}), "/username"),
        (json!({"username": "bob", "email": "nowhere"}), "/email"),
        (json!({"username": "bob", "name": "x".repeat(257)}), "/name"),
    ] {
        match apply(&mut w.p.cx(), &spec(document)).await {
            Err(Refused::Invalid(faults)) => assert_eq!(faults[0].pointer, pointer),
            other => panic!("{pointer}: {other:?}"),
        }
    }
    assert!(serde_json::from_value::<UserSpec>(json!({"username": "bob", "password": "x"})).is_err());
});

store_test!(a_password_set_by_an_administrator_ends_all_sessions, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let mut browser = w.consented().await;
    let short = set_password(&mut w.p.cx(), &w.alice, Secret::from("short")).await;
    assert!(matches!(short, Err(Refused::Invalid(_))));
    let nobody = set_password(&mut w.p.cx(), &"nobody".into(), Secret::from("long enough")).await;
    assert!(matches!(nobody, Err(Refused::NotFound("user"))));

    let mut cx = w.p.cx();
    set_password(&mut cx, &w.alice, Secret::from("another password")).await.unwrap();
    cx.commit().await.unwrap();

    assert_eq!(browser.get("/account").await.text("h1"), "Sign in");
    assert_eq!(w.count("SELECT count(*) AS count FROM grants WHERE revoked_at IS NULL").await, 0);
    assert_eq!(sign_in(&mut browser, "alice", PASSWORD).await.status, 422);
    assert_eq!(sign_in(&mut browser, "alice", "another password").await.text("h1"), "Your account");
});

store_test!(a_deleted_user_is_gone_and_the_feed_says_so, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let mut browser = w.consented().await;

    let mut cx = w.p.cx();
    delete(&mut cx, &w.alice).await.unwrap();
    assert!(matches!(delete(&mut cx, &w.alice).await, Err(Refused::NotFound("user"))));
    cx.commit().await.unwrap();

    assert_eq!(browser.get("/account").await.text("h1"), "Sign in");
    assert_eq!(sign_in(&mut browser, "alice", PASSWORD).await.status, 422);
    assert_eq!(w.count("SELECT count(*) AS count FROM events WHERE subject LIKE '%\"user\"%'").await, 1);
    for table in [
        "SELECT count(*) AS count FROM sessions",
        "SELECT count(*) AS count FROM known_devices",
        "SELECT count(*) AS count FROM consents",
    ] {
        assert_eq!(w.count(table).await, 0, "{table}");
    }
});
