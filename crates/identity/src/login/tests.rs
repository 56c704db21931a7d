use std::collections::BTreeSet;

use base::Secret;
use base::ids::UserId;
use testkit::Browser;
use testkit::browser::Page;
use testkit::db::TestDb;
use testkit::store_test;

use crate::accounts::{self, UserSpec};
use crate::config::{Budgets, Passwords};
use crate::tests::people::{PASSWORD, World, fill_in, masked, person, request, sign_in};
use crate::{Cx, MIGRATIONS};

async fn guess(browser: &mut Browser, username: &str, password: &str) -> Page {
    let page = browser.get("/login").await;
    fill_in(browser, &page, username, password).await
}

async fn disable(w: &World, user_id: &UserId) {
    let mut cx = w.p.cx();
    accounts::disable(&mut cx, user_id).await.unwrap();
    cx.commit().await.unwrap();
}

// R23: who exists and who does not cannot be told from the answer.
store_test!(every_failed_login_gets_the_same_answer, MIGRATIONS, |db: TestDb| async move {
    let w = World::with(db, |config| config.budgets.per_account = 3).await;
    let off = person(&w.p, "dora1", PASSWORD).await;
    disable(&w, &off).await;
    let mut cx = w.p.cx();
    let empty =
        UserSpec { username: "nopwd".into(), name: None, email: None, email_verified: false, attributes: [].into() };
    accounts::apply(&mut cx, &empty).await.unwrap();
    cx.commit().await.unwrap();
    for _ in 0..4 {
        sign_in(&mut w.browser.another(), "locke", "a wrong password").await;
    }
    person(&w.p, "locke", PASSWORD).await;

    let mut bodies = BTreeSet::new();
    let mut headers = BTreeSet::new();
    for (username, password) in [
        ("alice", "a wrong password"),
        ("alice", ""),
        ("nobod", "a wrong password"),
        ("nobod", PASSWORD),
        ("dora1", PASSWORD),
        ("nopwd", PASSWORD),
        ("nopwd", ""),
        ("locke", PASSWORD),
    ] {
        let page = guess(&mut w.browser.another(), username, password).await;
        assert_eq!(page.status, 422, "{username}");
        bodies.insert(masked(&page).replace(username, "xxxxx"));
        let mut names: Vec<String> = page.headers.iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
        names.retain(|line| !line.starts_with("x-request-id"));
        headers.insert(names.join("\n"));
        assert_eq!(page.header("set-cookie"), "");
    }
    assert_eq!((bodies.len(), headers.len()), (1, 1), "{bodies:#?}");
});

store_test!(what_was_typed_is_kept_but_the_password, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;

    let page = guess(&mut w.browser.another(), "alice", "a wrong password").await;

    assert_eq!(page.form("login").value("username"), "alice");
    assert!(!page.body.contains("a wrong password"));
    assert!(page.body.contains("autocomplete=\"username\"") && page.body.contains("autocomplete=\"current-password\""));
    assert!(page.text("title").starts_with("Error: "));
});

store_test!(a_name_is_compared_without_case_and_space, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;

    for name in ["Alice", " alice ", "ALICE"] {
        assert_eq!(sign_in(&mut w.browser.another(), name, PASSWORD).await.text("h1"), "Your account", "{name}");
    }
    for password in ["Correct horse battery", "correct horse battery ", ""] {
        assert_eq!(sign_in(&mut w.browser.another(), "alice", password).await.status, 422);
    }
    for name in ["", "\0", "ali\0ce", &"x".repeat(5000)] {
        assert_eq!(sign_in(&mut w.browser.another(), name, PASSWORD).await.status, 422);
    }
});

// R25: the count is exact, however many guess at once.
store_test!(guesses_in_parallel_cannot_exceed_the_budget, MIGRATIONS, |db: TestDb| async move {
    let w = World::with(db, |config| {
        config.budgets = Budgets { per_account: 7, per_network: 1000, ..Budgets::default() };
        config.passwords.queue = 1000;
    })
    .await;
    let mut tries = Vec::new();
    for number in 0..100_u8 {
        let mut browser = w.browser.another().from(&format!("198.51.{number}.1"));
        tries.push(async move { guess(&mut browser, "alice", "a wrong password").await.status });
    }

    let statuses = futures_util::future::join_all(tries).await;

    assert!(statuses.iter().all(|status| *status == 422), "{statuses:?}");
    assert_eq!(w.count("SELECT count(*) AS count FROM audit_records WHERE act = 'login.failed'").await, 7);
    assert_eq!(w.count("SELECT count(*) AS count FROM audit_records WHERE act = 'login.throttled'").await, 93);
    // Now even the right password is wrong …
    assert_eq!(sign_in(&mut w.browser.another(), "alice", PASSWORD).await.status, 422);
    // … until the window is over.
    w.p.advance(15 * 60 + 1);
    assert_eq!(sign_in(&mut w.browser.another(), "alice", PASSWORD).await.text("h1"), "Your account");
});

store_test!(strangers_cannot_lock_out_a_known_device, MIGRATIONS, |db: TestDb| async move {
    let w = World::with(db, |config| {
        config.budgets = Budgets { per_account: 3, per_known_device: 3, ..Budgets::default() }
    })
    .await;
    let mut known = w.signed_in().await;
    for number in 0..10 {
        guess(&mut w.browser.another().from(&format!("198.51.{number}.1")), "alice", "a wrong password").await;
    }

    known.cookies.remove("__Host-cardea-session");
    assert_eq!(sign_in(&mut w.browser.another(), "alice", PASSWORD).await.status, 422, "a stranger is locked out");
    assert_eq!(sign_in(&mut known, "alice", PASSWORD).await.text("h1"), "Your account");
    // A known device has a budget of its own, and it is one.
    known.cookies.remove("__Host-cardea-session");
    for _ in 0..3 {
        guess(&mut known, "alice", "a wrong password").await;
    }
    assert_eq!(guess(&mut known, "alice", PASSWORD).await.status, 422);
    // Knowing a device of one account is worth nothing for another's.
    person(&w.p, "bob", PASSWORD).await;
    for number in 0..10 {
        guess(&mut w.browser.another().from(&format!("198.52.{number}.1")), "bob", "a wrong password").await;
    }
    assert_eq!(guess(&mut known, "bob", PASSWORD).await.status, 422);
});

store_test!(one_network_cannot_try_many_accounts, MIGRATIONS, |db: TestDb| async move {
    let w = World::with(db, |config| config.budgets.per_network = 5).await;
    for number in 0..5 {
        guess(&mut w.browser.another().from("198.51.100.7"), &format!("user{number}"), "a wrong password").await;
    }

    assert_eq!(guess(&mut w.browser.another().from("198.51.100.250"), "alice", PASSWORD).await.status, 422);
    assert_eq!(
        sign_in(&mut w.browser.another().from("198.51.101.7"), "alice", PASSWORD).await.text("h1"),
        "Your account"
    );
});

// A whole office signs in from one network.
store_test!(good_logins_use_up_no_budget, MIGRATIONS, |db: TestDb| async move {
    let w = World::with(db, |config| config.budgets = Budgets { per_account: 3, per_network: 3, ..Budgets::default() })
        .await;

    for _ in 0..8 {
        assert_eq!(sign_in(&mut w.browser.another(), "alice", PASSWORD).await.text("h1"), "Your account");
    }
});

store_test!(a_full_queue_is_busy_and_counts_nothing, MIGRATIONS, |db: TestDb| async move {
    let w = World::with(db, |config| {
        config.passwords = Passwords { memory_kib: 8192, passes: 2, lanes: 1, workers: 1, queue: 1 };
        config.budgets.per_account = 2;
    })
    .await;
    let mut tries = Vec::new();
    for _ in 0..24 {
        let mut browser = w.browser.another();
        let page = browser.get("/login").await;
        tries.push(async move { fill_in(&mut browser, &page, "nobody", PASSWORD).await });
    }

    let pages = futures_util::future::join_all(tries).await;

    let busy: Vec<&Page> = pages.iter().filter(|page| page.status == 503).collect();
    assert!(!busy.is_empty() && busy.len() < pages.len());
    assert!(busy[0].body.contains("We are busy") && busy[0].form("login").value("username") == "nobody");
    let failures = w.count("SELECT CAST(max(failures) AS BIGINT) AS count FROM login_budgets").await;
    assert_eq!(usize::try_from(failures).unwrap(), pages.len() - busy.len());
});

store_test!(an_old_hash_is_renewed_at_the_next_login, MIGRATIONS, |db: TestDb| async move {
    let w = World::with(db, |config| config.passwords.passes = 2).await;
    let weak =
        accounts::Passwords::start(Passwords { memory_kib: 16, passes: 1, lanes: 1, workers: 1, queue: 4 }).unwrap();
    let old = weak.hash(Secret::from(PASSWORD)).await.unwrap();
    let mut cx = w.p.cx();
    accounts::store_password(&mut cx, &w.alice, &old).await.unwrap();
    cx.commit().await.unwrap();

    assert_eq!(sign_in(&mut w.browser.another(), "alice", PASSWORD).await.text("h1"), "Your account");
    let new = accounts::password_of(&mut w.p.cx(), &w.alice).await.unwrap().unwrap();
    assert_ne!(new, old);
    assert_eq!(sign_in(&mut w.browser.another(), "alice", PASSWORD).await.text("h1"), "Your account");
});

// R26: only our own form, in its own browser, from our own origin.
store_test!(a_forged_login_is_refused, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let mut browser = w.browser.another();
    let page = browser.get(&request(&[])).await;
    let good = page.form("login").with(&[("username", "alice"), ("password", PASSWORD)]);
    let without = |name: &str| good.iter().filter(|field| field.0 != name).cloned().collect::<Vec<_>>();
    let theirs = w.browser.another().get("/login").await.form("login").value("csrf").to_owned();
    let mut swapped = without("csrf");
    swapped.push(("csrf".to_owned(), theirs));

    assert_eq!(browser.clone().post_once("/login", &without("csrf")).await.status, 403);
    assert_eq!(browser.clone().post_once("/login", &swapped).await.status, 403);
    assert_eq!(browser.clone().post_once("/consent", &good).await.status, 403);
    assert_eq!(browser.another().post_once("/login", &good).await.status, 403);
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("origin", "http://id.example"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        assert_eq!(browser.clone().with(name, value).post_once("/login", &good).await.status, 403, "{name}: {value}");
    }
    assert_eq!(w.count("SELECT count(*) AS count FROM sessions").await, 0);
    assert_eq!(w.count("SELECT count(*) AS count FROM login_budgets").await, 0);
    assert_eq!(browser.post_once("/login", &good).await.status, 303);
});

store_test!(a_cancelled_login_goes_back_to_the_client, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let mut browser = w.browser.another();
    let page = browser.get(&request(&[])).await;

    let page = browser.submit(&page, "login", &[("action", "cancel")]).await;

    assert_eq!(page.parameter("error").as_deref(), Some("access_denied"));
    assert_eq!(page.parameter("state").as_deref(), Some("st&te"));
});

store_test!(
    a_form_leaves_our_origin_by_a_page_in_browsers_and_by_a_redirect_elsewhere,
    MIGRATIONS,
    |db: TestDb| async move {
        let w = World::on(db).await;
        let mut browser = w.browser.another();
        let page = browser.get(&request(&[])).await;
        let cancel = page.form("login").with(&[("action", "cancel")]);

        let in_browser = browser.clone().post_once("/login", &cancel).await;
        let elsewhere = browser.clone().with("sec-fetch-mode", "cors").post_once("/login", &cancel).await;

        assert_eq!((in_browser.status.as_u16(), elsewhere.status.as_u16()), (200, 303));
        let location = elsewhere.location().unwrap();
        assert_eq!(in_browser.header("refresh"), format!("0; url={location}"));
        assert_eq!(in_browser.location(), None);
    }
);

store_test!(the_password_is_in_no_table, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let browser = w.signed_in().await;
    sign_in(&mut w.browser.another(), "alice", "some wrong password").await;

    let Cx { mut tx, .. } = w.p.cx();
    let mut all = String::new();
    for sql in [
        "SELECT username || spec || coalesce(password_hash, '') AS text FROM users",
        "SELECT act || detail || actor || coalesce(subject, '') || coalesce(object, '') AS text FROM audit_records",
        "SELECT session_id || cookie_hash || user_agent AS text FROM sessions",
        "SELECT device_hash || user_id AS text FROM known_devices",
        "SELECT budget_key AS text FROM login_budgets",
    ] {
        for row in tx.read(sql, &store::params![]).await.unwrap() {
            all.push_str(row.text("text").unwrap());
        }
    }
    assert!(all.contains("$argon2id$"));
    for secret in [PASSWORD, "some wrong password"].into_iter().chain(browser.cookies.values().map(String::as_str)) {
        assert!(!all.contains(secret));
    }
});

store_test!(a_new_password_is_known_on_no_other_device, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let browser = w.signed_in().await;
    w.signed_in().await;
    assert_eq!(w.count("SELECT count(*) AS count FROM known_devices").await, 2);

    let mut changing = browser.clone();
    let page = changing.get("/account").await;
    let set = [("current_password", PASSWORD), ("new_password", "a new password")];
    changing.submit(&page, "change-password", &set).await;
    assert_eq!(w.count("SELECT count(*) AS count FROM known_devices").await, 1);
    let mut cx = w.p.cx();
    accounts::set_password(&mut cx, &w.alice, Secret::from("by the administrator")).await.unwrap();
    cx.commit().await.unwrap();
    assert_eq!(w.count("SELECT count(*) AS count FROM known_devices").await, 0);
});

// A login or a change of the password that is under way does not outlive what an administrator does meanwhile.
store_test!(a_password_that_was_right_a_moment_ago_is_wrong, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let old = accounts::password_of(&mut w.p.cx(), &w.alice).await.unwrap().unwrap();
    let mut cx = w.p.cx();
    assert!(accounts::hold(&mut cx, &w.alice, &old).await.unwrap());
    drop(cx);

    let mut cx = w.p.cx();
    accounts::set_password(&mut cx, &w.alice, Secret::from("another password")).await.unwrap();
    cx.commit().await.unwrap();
    assert!(!accounts::hold(&mut w.p.cx(), &w.alice, &old).await.unwrap());

    let new = accounts::password_of(&mut w.p.cx(), &w.alice).await.unwrap().unwrap();
    disable(&w, &w.alice).await;
    assert!(!accounts::hold(&mut w.p.cx(), &w.alice, &new).await.unwrap());
});

store_test!(no_login_survives_a_change_of_the_password_beside_it, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let mut logins = Vec::new();
    for _ in 0..12 {
        let mut browser = w.browser.another();
        logins.push(async move { sign_in(&mut browser, "alice", PASSWORD).await.status });
    }
    let change = async {
        let mut cx = w.p.cx();
        accounts::set_password(&mut cx, &w.alice, Secret::from("another password")).await.unwrap();
        cx.commit().await.unwrap();
    };

    futures_util::future::join(futures_util::future::join_all(logins), change).await;

    let alive = crate::sessions::list_of_user(&mut w.p.cx(), &w.alice).await.unwrap();
    assert_eq!(alive, [], "who knew the old password is out");
});
