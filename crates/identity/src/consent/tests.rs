use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use testkit::Browser;
use testkit::browser::Page;
use testkit::db::TestDb;
use testkit::store_test;

use crate::MIGRATIONS;
use crate::scopes::{self, ScopeSpec};
use crate::tests::people::{CALLBACK, PASSWORD, World, fill_in, person, request, shop};

const ASKED: &str = "openid profile email";

async fn at_consent(w: &World, set: &[(&str, &str)]) -> (Browser, Page) {
    let mut browser = w.signed_in().await;
    let page = browser.get(&request(set)).await;
    assert!(page.text("h1").ends_with("asks for access"), "{}", page.body);
    (browser, page)
}

async fn granted(w: &World) -> String {
    let mut tx = w.p.identity.db.begin();
    let sql = "SELECT scopes FROM grants ORDER BY grant_id DESC LIMIT 1";
    tx.read_one(sql, &store::params![]).await.unwrap().unwrap().string("scopes").unwrap()
}

store_test!(a_scope_can_be_unticked_and_the_rest_is_granted, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let (mut browser, page) = at_consent(&w, &[("scope", ASKED)]).await;
    let form = page.form("consent").without("scope", "email");

    let page = browser.post("/consent", &form.with(&[("action", "allow")])).await;

    assert!(page.parameter("code").is_some());
    assert_eq!(granted(&w).await, "openid profile");
    // What was unticked is asked again; what was allowed is remembered.
    assert!(browser.get(&request(&[("scope", "openid profile")])).await.parameter("code").is_some());
    assert!(browser.get(&request(&[("scope", ASKED)])).await.text("h1").ends_with("asks for access"));
});

store_test!(nothing_that_was_not_asked_can_be_ticked, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let (mut browser, page) = at_consent(&w, &[("scope", "openid profile")]).await;
    let mut fields = page.form("consent").with(&[("action", "allow")]);
    fields.extend([("scope".to_owned(), "email".to_owned()), ("scope".to_owned(), "admin".to_owned())]);

    browser.post("/consent", &fields).await;

    assert_eq!(granted(&w).await, "openid profile");
});

store_test!(a_denial_is_told_to_the_client_and_nothing_is_remembered, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let (mut browser, page) = at_consent(&w, &[]).await;

    for action in ["deny", "", "anything"] {
        let answer = browser.submit(&page, "consent", &[("action", action)]).await;
        assert_eq!(answer.parameter("error").as_deref(), Some("access_denied"), "{action}");
    }
    assert_eq!(w.count("SELECT count(*) AS count FROM grants").await, 0);
    assert_eq!(w.count("SELECT count(*) AS count FROM consents").await, 0);
    assert!(browser.get(&request(&[])).await.text("h1").ends_with("asks for access"));
});

store_test!(nothing_ticked_and_nothing_required_is_a_denial, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let (mut browser, page) = at_consent(&w, &[("scope", "profile")]).await;
    let form = page.form("consent").without("scope", "profile");

    let answer = browser.post("/consent", &form.with(&[("action", "allow")])).await;

    assert_eq!(answer.parameter("error").as_deref(), Some("access_denied"));
});

store_test!(the_page_says_who_what_and_until_when, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let scope: ScopeSpec = serde_json::from_value(serde_json::json!({
        "name": "orders_read", "description": "See your <orders>", "claims": {"account_nr": "user.account_nr"},
    }))
    .unwrap();
    let mut cx = w.p.cx();
    scopes::apply(&mut cx, &scope).await.unwrap();
    let mut user = crate::accounts::find(&mut cx, &w.alice).await.unwrap().unwrap().spec;
    user.attributes.insert("account_nr".to_owned(), "4711".into());
    crate::accounts::apply(&mut cx, &user).await.unwrap();
    cx.commit().await.unwrap();
    let mut client = shop();
    client.scopes = base::scope::Scopes::parse("openid orders_read").unwrap();
    w.p.apply(&client).await;

    let (_, page) = at_consent(&w, &[("scope", "openid orders_read")]).await;

    for text in ["The &lt;b&gt;Shop", "shop.example", "See your &lt;orders&gt;", "account_nr", "signed in as alice"] {
        assert!(page.body.contains(text), "{text}: {}", page.body);
    }
});

store_test!(a_scope_that_no_token_could_carry_is_not_asked_for, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let scope: ScopeSpec =
        serde_json::from_value(serde_json::json!({"name": "orders_read", "claims": {"account_nr": "user.account_nr"}}))
            .unwrap();
    let mut cx = w.p.cx();
    scopes::apply(&mut cx, &scope).await.unwrap();
    cx.commit().await.unwrap();
    let mut client = shop();
    client.scopes = base::scope::Scopes::parse("openid orders_read").unwrap();
    w.p.apply(&client).await;

    let (mut browser, page) = at_consent(&w, &[("scope", "openid orders_read")]).await;
    assert!(!page.body.contains("orders_read"));
    browser.submit(&page, "consent", &[("action", "allow")]).await;

    assert_eq!(granted(&w).await, "openid");
});

store_test!(the_answer_counts_for_the_user_who_was_asked, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    person(&w.p, "bob", PASSWORD).await;
    let (mut browser, alices) = at_consent(&w, &[]).await;
    // In another tab of the same browser somebody else signs in.
    let page = browser.get(&request(&[("prompt", "login")])).await;
    fill_in(&mut browser, &page, "bob", PASSWORD).await;

    let page = browser.submit(&alices, "consent", &[("action", "allow")]).await;

    assert!(page.text("h1").ends_with("asks for access") && page.body.contains("signed in as bob"));
    assert_eq!(w.count("SELECT count(*) AS count FROM grants").await, 0);
});

store_test!(use_another_account_asks_for_a_login, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    person(&w.p, "bob", PASSWORD).await;
    let (mut browser, page) = at_consent(&w, &[]).await;

    let page = browser.submit(&page, "consent", &[("action", "switch")]).await;
    assert_eq!(page.text("h1"), "Sign in");
    let sealed = page.form("login").value("interaction").to_owned();
    let still = browser.get(&format!("/authorize?interaction={sealed}")).await;
    assert_eq!(still.text("h1"), "Sign in", "the old session does not count any more");
    w.p.advance(1);
    let page = fill_in(&mut browser, &page, "bob", PASSWORD).await;

    assert!(page.text("h1").ends_with("asks for access") && page.body.contains("signed in as bob"));
});

store_test!(prompt_consent_asks_again_and_is_not_satisfied_by_going_round, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let mut browser = w.consented().await;

    let page = browser.get(&request(&[("prompt", "consent")])).await;
    assert!(page.text("h1").ends_with("asks for access"));
    let sealed = page.form("consent").value("interaction").to_owned();
    let round = browser.get(&format!("/authorize?interaction={sealed}")).await;
    assert!(round.text("h1").ends_with("asks for access"));
    let page = browser.submit(&page, "consent", &[("action", "allow")]).await;

    assert!(page.parameter("code").is_some());
});

store_test!(a_forged_consent_is_refused, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let (mut browser, page) = at_consent(&w, &[]).await;
    let good = page.form("consent").with(&[("action", "allow")]);
    let mut victim = w.signed_in().await;
    let login = victim.get("/logout").await.form("logout").value("csrf").to_owned();
    let with_token = |token: &str| {
        let mut fields = good.clone();
        fields.retain(|field| field.0 != "csrf");
        fields.push(("csrf".to_owned(), token.to_owned()));
        fields
    };

    // The attacker's form, sent by the victim's browser; with no token, and with one of another form.
    for fields in [good.clone(), with_token(""), with_token(&login)] {
        assert_eq!(victim.post_once("/consent", &fields).await.status, 403);
    }
    for (name, value) in [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")] {
        assert_eq!(browser.clone().with(name, value).post_once("/consent", &good).await.status, 403);
    }
    assert_eq!(w.count("SELECT count(*) AS count FROM grants").await, 0);
    assert!(browser.post("/consent", &good).await.parameter("code").is_some());
});

/// What a person, or somebody in their place, may do next, in any order.
#[derive(Debug, Clone, Copy)]
enum Move {
    Ask,
    AskForLogin,
    Login,
    LoginWrongly,
    Allow,
    Deny,
    JumpToConsent,
    JumpToAuthorize,
    LogOut,
    ReplayConsentForm,
}

// R22: whatever the order of steps, a code comes only to who is signed in and has allowed it.
store_test!(no_order_of_steps_skips_one, MIGRATIONS, |db: TestDb| async move {
    use Move::{
        Allow, Ask, AskForLogin, Deny, JumpToAuthorize, JumpToConsent, LogOut, Login, LoginWrongly, ReplayConsentForm,
    };
    let w = World::with(db, |config| config.budgets.per_account = 100_000).await;
    let moves =
        [Ask, AskForLogin, Login, LoginWrongly, Allow, Deny, JumpToConsent, JumpToAuthorize, LogOut, ReplayConsentForm];
    let strategy = proptest::collection::vec(proptest::sample::select(moves.to_vec()), 4..14);
    let mut runner = TestRunner::deterministic();
    let mut answered = 0;
    for _ in 0..40 {
        let walk = strategy.new_tree(&mut runner).unwrap().current();
        let mut tx = w.p.identity.db.begin();
        tx.execute("DELETE FROM consents", &store::params![]).await.unwrap();
        tx.commit().await.unwrap();
        answered += walk_once(&w, &walk).await;
    }
    assert!(answered > 3, "walks that lead nowhere prove nothing: {answered}");
});

/// How many codes came.
async fn walk_once(w: &World, walk: &[Move]) -> usize {
    let mut codes = 0;
    let mut browser = w.browser.another();
    let (mut signed_in, mut allowed) = (false, false);
    let mut page = browser.get(&request(&[])).await;
    let mut last_consent: Option<Page> = None;
    for step in walk {
        w.p.advance(1);
        let is = |page: &Page, form: &str| page.body.contains(&format!("id=\"{form}\"")) && page.body.contains("<form");
        let sealed = page.body.contains("name=\"interaction\"").then(|| {
            page.body.split("name=\"interaction\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
        });
        page = match step {
            Move::Ask => browser.get(&request(&[])).await,
            Move::AskForLogin => browser.get(&request(&[("prompt", "login")])).await,
            Move::Login if is(&page, "login") => {
                signed_in = true;
                fill_in_any(&mut browser, &page, PASSWORD).await
            }
            Move::LoginWrongly if is(&page, "login") => fill_in_any(&mut browser, &page, "wrong password").await,
            Move::Allow if is(&page, "consent") => {
                assert!(signed_in, "a consent page without a login: {walk:?}");
                allowed = true;
                browser.submit(&page, "consent", &[("action", "allow")]).await
            }
            Move::Deny if is(&page, "consent") => browser.submit(&page, "consent", &[("action", "deny")]).await,
            Move::JumpToConsent => browser.get(&format!("/consent?interaction={}", sealed.unwrap_or_default())).await,
            Move::JumpToAuthorize => match sealed {
                Some(sealed) => browser.get(&format!("/authorize?interaction={sealed}")).await,
                None => page,
            },
            Move::LogOut => {
                let out = browser.get("/logout").await;
                signed_in = false;
                if is(&out, "logout") { browser.submit(&out, "logout", &[("action", "logout")]).await } else { out }
            }
            Move::ReplayConsentForm => match &last_consent {
                Some(form) if signed_in => {
                    allowed = true;
                    browser.submit(form, "consent", &[("action", "allow")]).await
                }
                Some(form) => browser.submit(form, "consent", &[("action", "allow")]).await,
                None => page,
            },
            _ => page,
        };
        if page.url.starts_with(CALLBACK) && page.parameter("code").is_some() {
            assert!(signed_in && allowed, "a code without login or consent: {walk:?}");
            codes += 1;
        }
        if is(&page, "consent") {
            last_consent = Some(page.clone());
        }
    }
    codes
}

async fn fill_in_any(browser: &mut Browser, page: &Page, password: &str) -> Page {
    browser.submit(page, "login", &[("username", "alice"), ("password", password), ("action", "login")]).await
}
