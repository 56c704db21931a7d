use std::time::Duration;

use testkit::db::TestDb;
use testkit::store_test;

use crate::accounts;
use crate::tests::people::{PASSWORD, World, person, request, sign_in};
use crate::{MIGRATIONS, sessions};

const COOKIE: &str = "__Host-cardea-session";

store_test!(a_planted_session_is_worth_nothing_after_the_login, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    // The attacker's own session, and a made-up one, planted in the victim's browser.
    person(&w.p, "mallory", PASSWORD).await;
    let mut attacker = w.browser.another();
    sign_in(&mut attacker, "mallory", PASSWORD).await;
    w.p.advance(1);
    for planted in [attacker.cookies[COOKIE].clone(), "made-up".to_owned()] {
        let mut victim = w.browser.another();
        victim.cookies.insert(COOKIE.to_owned(), planted.clone());
        // With mallory's session there is no login form; the victim asks for one.
        let page = victim.get(&request(&[("prompt", "login")])).await;
        let page = crate::tests::people::fill_in(&mut victim, &page, "alice", PASSWORD).await;
        assert!(page.text("h1").ends_with("asks for access"));
        assert_ne!(victim.cookies[COOKIE], planted);

        attacker.cookies.insert(COOKIE.to_owned(), planted);
        assert_eq!(attacker.get("/account").await.text("h1"), "Sign in");
    }
});

store_test!(a_new_login_has_a_new_cookie_and_the_same_session, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let mut browser = w.signed_in().await;
    let before = browser.clone();

    let page = browser.get(&request(&[("prompt", "login")])).await;
    crate::tests::people::fill_in(&mut browser, &page, "alice", PASSWORD).await;

    assert_ne!(browser.cookies[COOKIE], before.cookies[COOKIE]);
    assert_eq!(browser.get("/account").await.text("h1"), "Your account");
    assert_eq!(before.clone().get("/account").await.text("h1"), "Sign in");
    assert_eq!(w.count("SELECT count(*) AS count FROM sessions WHERE ended_at IS NULL").await, 1);
});

store_test!(a_session_ends_unused_and_at_its_age, MIGRATIONS, |db: TestDb| async move {
    let w = World::with(db, |config| {
        config.lifetimes.session_idle = Duration::from_secs(600);
        config.lifetimes.session = Duration::from_secs(3000);
    })
    .await;
    let mut idle = w.signed_in().await;
    let mut used = idle.clone();

    w.p.advance(590);
    assert_eq!(used.get("/account").await.text("h1"), "Your account");
    w.p.advance(590);
    assert_eq!(used.get("/account").await.text("h1"), "Your account", "use keeps it alive");
    w.p.advance(601);
    assert_eq!(idle.get("/account").await.text("h1"), "Sign in");
    let mut busy = w.signed_in().await;
    for _ in 0..5 {
        assert_eq!(busy.get("/account").await.text("h1"), "Your account");
        w.p.advance(590);
    }
    w.p.advance(100);
    assert_eq!(busy.get("/account").await.text("h1"), "Sign in", "nothing keeps it alive for ever");
});

store_test!(ending_a_session_ends_its_grants_and_tells_the_feed, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let mut browser = w.consented().await;
    let mut cx = w.p.cx();
    let session = sessions::list_of_user(&mut cx, &w.alice).await.unwrap().remove(0);

    let ended = sessions::end(&mut cx, &session.session_id, "test").await.unwrap();
    let again = sessions::end(&mut cx, &session.session_id, "test").await.unwrap();
    cx.commit().await.unwrap();

    assert_eq!((ended, again), (true, false));
    assert_eq!(browser.get("/account").await.text("h1"), "Sign in");
    assert_eq!(w.count("SELECT count(*) AS count FROM grants WHERE revoked_at IS NULL").await, 0);
    let sql = "SELECT count(*) AS count FROM events WHERE subject LIKE '%session%'";
    assert_eq!(w.count(sql).await, 1);
});

// Once only: of many that end a session at once, one does.
store_test!(a_session_is_ended_once, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    w.signed_in().await;
    let session = sessions::list_of_user(&mut w.p.cx(), &w.alice).await.unwrap().remove(0);
    let mut ends = Vec::new();
    for _ in 0..8 {
        let (mut cx, session_id) = (w.p.cx(), session.session_id.clone());
        ends.push(async move {
            let ended = sessions::end(&mut cx, &session_id, "test").await.unwrap();
            cx.commit().await.unwrap();
            ended
        });
    }

    let ended = futures_util::future::join_all(ends).await;

    assert_eq!(ended.iter().filter(|ended| **ended).count(), 1);
});

store_test!(a_disabled_user_is_out_at_once, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let mut browser = w.consented().await;
    let mut cx = w.p.cx();
    accounts::disable(&mut cx, &w.alice).await.unwrap();
    cx.commit().await.unwrap();

    assert_eq!(browser.get("/account").await.text("h1"), "Sign in");
    assert_eq!(browser.get(&request(&[])).await.text("h1"), "Sign in");
    assert_eq!(w.count("SELECT count(*) AS count FROM grants WHERE revoked_at IS NULL").await, 0);
    let mut cx = w.p.cx();
    accounts::enable(&mut cx, &w.alice).await.unwrap();
    cx.commit().await.unwrap();
    assert_eq!(browser.get("/account").await.text("h1"), "Sign in", "the old session stays dead");
    assert_eq!(sign_in(&mut browser, "alice", PASSWORD).await.text("h1"), "Your account");
});

store_test!(another_user_ends_the_first_ones_session, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    person(&w.p, "bob", PASSWORD).await;
    let mut browser = w.consented().await;

    let page = browser.get(&request(&[("prompt", "login")])).await;
    let page = crate::tests::people::fill_in(&mut browser, &page, "bob", PASSWORD).await;

    assert!(page.text("h1").ends_with("asks for access"), "bob has not consented");
    assert!(page.body.contains("signed in as bob"));
    assert_eq!(sessions::list_of_user(&mut w.p.cx(), &w.alice).await.unwrap(), []);
});
