use std::time::Duration;

use testkit::db::TestDb;
use testkit::store_test;

use crate::tests::people::{PASSWORD, World, person, request, sign_in};
use crate::{MIGRATIONS, grants};

/// Makes the grants live, as the token endpoint does.
async fn activate(w: &World) {
    let mut cx = w.p.cx();
    let rows = cx.tx.read("SELECT grant_id FROM grants WHERE activated_at IS NULL", &store::params![]).await.unwrap();
    for row in rows {
        let grant_id = row.string("grant_id").unwrap().into();
        grants::activate(&mut cx, &grant_id, Duration::from_secs(86_400), 1).await.unwrap();
    }
    cx.commit().await.unwrap();
}

store_test!(a_person_sees_and_withdraws_what_a_client_may, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let mut browser = w.consented().await;
    browser.get(&request(&[])).await;
    activate(&w).await;
    w.p.advance(3700);

    let page = browser.get("/account").await;
    assert_eq!(page.body.matches("The &lt;b&gt;Shop").count(), 2, "one row, and its button's name");
    assert!(page.body.contains("1 hour ago") && page.body.contains("Read your name and profile"));
    let page = browser.submit(&page, "/account/grants/revoke", &[]).await;

    assert!(page.body.contains("The access has been withdrawn.") && page.body.contains("No application has access"));
    assert_eq!(w.count("SELECT count(*) AS count FROM grants WHERE revoked_at IS NULL").await, 0);
    assert_eq!(w.count("SELECT count(*) AS count FROM events WHERE subject LIKE '%grant%'").await, 2);
    assert!(browser.get(&request(&[])).await.text("h1").ends_with("asks for access"), "it has to ask again");
});

store_test!(a_consent_without_a_grant_is_seen_and_withdrawn, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let mut browser = w.consented().await;

    // The code was never redeemed.
    let page = browser.get("/account").await;
    assert_eq!(page.body.matches("The &lt;b&gt;Shop").count(), 2, "one row, and its button's name");
    assert!(page.body.contains("not in use") && page.body.contains("Read your name and profile"));
    assert!(!page.body.contains("last renewed"));
    w.p.advance(86_400);
    let mut browser = w.signed_in().await;
    let page = browser.get("/account").await;
    assert!(page.body.contains("not in use"), "a consent has no end: {}", page.body);
    let page = browser.submit(&page, "/account/grants/revoke", &[]).await;

    assert!(page.body.contains("The access has been withdrawn.") && page.body.contains("No application has access"));
    assert_eq!(w.count("SELECT count(*) AS count FROM consents").await, 0);
    assert_eq!(w.acts().await.iter().filter(|act| *act == "consent.withdrawn").count(), 1);
    assert!(browser.get(&request(&[])).await.text("h1").ends_with("asks for access"), "it has to ask again");
});

store_test!(what_was_never_allowed_is_not_withdrawn, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let mut browser = w.consented().await;
    let page = browser.get("/account").await;
    let csrf = page.form("/account/grants/revoke").value("csrf").to_owned();

    let fields = [("csrf".to_owned(), csrf), ("grant".to_owned(), "another".to_owned())];
    browser.post("/account/grants/revoke", &fields).await;

    assert!(!w.acts().await.contains(&"consent.withdrawn".to_owned()));
    assert_eq!(w.count("SELECT count(*) AS count FROM grants WHERE revoked_at IS NULL").await, 1);
});

store_test!(a_person_ends_one_session_or_all, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let mut other = w.signed_in().await;
    let mut browser = w.signed_in().await;
    let page = browser.get("/account").await;
    assert_eq!(page.body.matches("Firefox on Linux</strong>").count(), 2);
    assert_eq!(page.body.matches("this browser").count(), 1);
    let sessions = crate::sessions::list_of_user(&mut w.p.cx(), &w.alice).await.unwrap();
    let others = sessions.iter().min_by_key(|session| session.created_at).unwrap();

    let page = browser.submit(&page, "/account/sessions/end", &[("session", others.session_id.as_str())]).await;
    assert!(page.body.contains("The session has been ended."));
    assert_eq!(other.get("/account").await.text("h1"), "Sign in");
    let mut third = w.signed_in().await;
    let page = browser.submit(&page, "/account/sessions/end-all", &[]).await;

    assert_eq!(page.text("h1"), "You are signed out");
    assert_eq!(third.get("/account").await.text("h1"), "Sign in");
});

store_test!(nobody_ends_or_withdraws_what_is_anothers, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let mut alice = w.consented().await;
    activate(&w).await;
    person(&w.p, "mallory", PASSWORD).await;
    let mut mallory = w.browser.another();
    let page = sign_in(&mut mallory, "mallory", PASSWORD).await;
    let session = crate::sessions::list_of_user(&mut w.p.cx(), &w.alice).await.unwrap().remove(0);

    mallory.submit(&page, "/account/sessions/end", &[("session", session.session_id.as_str())]).await;
    let csrf = page.form("/account/sessions/end").value("csrf").to_owned();
    let fields = [("csrf".to_owned(), csrf), ("grant".to_owned(), "shop".to_owned())];
    mallory.post("/account/grants/revoke", &fields).await;

    assert_eq!(alice.get("/account").await.text("h1"), "Your account");
    assert_eq!(w.count("SELECT count(*) AS count FROM grants WHERE revoked_at IS NULL").await, 1);
});

store_test!(a_person_changes_the_password, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let mut browser = w.signed_in().await;
    let mut other = w.signed_in().await;
    let page = browser.get("/account").await;
    let change = |current: &str, new: &str| {
        let page = page.clone();
        let mut browser = browser.clone();
        let set = [("current_password".to_owned(), current.to_owned()), ("new_password".to_owned(), new.to_owned())];
        async move {
            let set: Vec<(&str, &str)> = set.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            browser.submit(&page, "change-password", &set).await
        }
    };

    assert!(change("a wrong one", "a new password").await.body.contains("not your current password"));
    assert!(change(PASSWORD, "short").await.body.contains("Use at least 8 characters."));
    assert!(change(PASSWORD, &"x".repeat(1025)).await.body.contains("Use at most 1024 bytes"));
    assert_eq!(other.get("/account").await.text("h1"), "Your account");
    assert!(change(PASSWORD, "a new password").await.body.contains("Your password has been changed"));

    assert_eq!(browser.get("/account").await.text("h1"), "Your account");
    assert_eq!(other.get("/account").await.text("h1"), "Sign in");
    assert_eq!(sign_in(&mut other, "alice", PASSWORD).await.status, 422);
    assert_eq!(sign_in(&mut other, "alice", "a new password").await.text("h1"), "Your account");
});

store_test!(the_account_page_needs_a_login_and_its_own_forms, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let mut nobody = w.browser.another();
    assert_eq!(nobody.get("/account").await.text("h1"), "Sign in");
    person(&w.p, "bob", PASSWORD).await;
    let mut browser = w.signed_in().await;
    let theirs = w.signed_in().await.get("/account").await;

    for path in ["/account/grants/revoke", "/account/sessions/end", "/account/sessions/end-all", "/account/password"] {
        assert_eq!(browser.post_once(path, &[]).await.status, 403, "{path}");
        let stolen = theirs.form("change-password").with(&[]);
        assert_eq!(browser.post_once(path, &stolen).await.status, 403, "{path}");
        let own = browser.get("/account").await.form("change-password").with(&[]);
        let evil = browser.clone().with("origin", "https://evil.example").post_once(path, &own).await;
        assert_eq!(evil.status, 403, "{path}");
        // A page left open does nothing to the account of whoever signs in next.
        let mut next = browser.clone();
        next.cookies.remove("__Host-cardea-session");
        sign_in(&mut next, "bob", PASSWORD).await;
        assert_eq!(next.post_once(path, &own).await.status, 403, "{path}");
        // The session is gone: nothing is done, a login comes first.
        let mut out = browser.clone();
        out.cookies.remove("__Host-cardea-session");
        assert_eq!(out.post_once(path, &own).await.location(), Some("/login"), "{path}");
    }
});

store_test!(a_withdrawal_reaches_a_code_that_is_still_out, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let mut browser = w.consented().await;
    activate(&w).await;
    assert!(browser.get(&request(&[])).await.parameter("code").is_some(), "a second grant, not redeemed yet");

    let page = browser.get("/account").await;
    browser.submit(&page, "/account/grants/revoke", &[]).await;

    assert_eq!(w.count("SELECT count(*) AS count FROM grants WHERE revoked_at IS NULL").await, 0);
    assert_eq!(w.count("SELECT count(*) AS count FROM events WHERE subject LIKE '%grant%'").await, 2);
});

// Grants outlive the session they were made in; a new password is to end them all the same.
store_test!(a_new_password_ends_the_grants_of_sessions_that_have_expired, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    w.consented().await;
    activate(&w).await;
    w.p.advance(13 * 3600);
    let mut browser = w.consented().await;
    activate(&w).await;

    let page = browser.get("/account").await;
    let set = [("current_password", PASSWORD), ("new_password", "a new password")];
    assert!(browser.submit(&page, "change-password", &set).await.body.contains("Your password has been changed"));

    assert_eq!(w.count("SELECT count(*) AS count FROM grants WHERE revoked_at IS NULL").await, 1, "this browser's own");
    assert_eq!(w.count("SELECT count(*) AS count FROM events WHERE subject LIKE '%grant%'").await, 1);
    let mut cx = w.p.cx();
    crate::accounts::set_password(&mut cx, &w.alice, "set by an administrator".into()).await.unwrap();
    cx.commit().await.unwrap();
    assert_eq!(w.count("SELECT count(*) AS count FROM grants WHERE revoked_at IS NULL").await, 0);
});
