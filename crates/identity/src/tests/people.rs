#![allow(dead_code, reason = "each test uses some of it")]

//! A platform with a shop, a person and a browser.

use base::Secret;
use base::ids::UserId;
use base::scope::Scopes;
use http::StatusCode;
use testkit::Browser;
use testkit::browser::Page;
use testkit::db::TestDb;

use super::platform::{ISSUER, Platform, config};
use crate::accounts::{self, UserSpec};
use crate::clients::{ClientSpec, GrantType};
use crate::config::{Config, Passwords};
use crate::router;

pub const PASSWORD: &str = "correct horse battery";
pub const CALLBACK: &str = "https://shop.example/callback";
/// S256 of the verifier of RFC 7636 appendix B.
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

pub struct World {
    pub p: Platform,
    pub alice: UserId,
    pub browser: Browser,
}

pub fn shop() -> ClientSpec {
    ClientSpec {
        display_name: "The <b>Shop</b>".to_owned(),
        redirect_uris: vec![CALLBACK.to_owned()],
        post_logout_redirect_uris: vec!["https://shop.example/bye".to_owned()],
        grant_types: vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
        scopes: Scopes::parse("openid profile email").unwrap(),
        ..ClientSpec::named("shop")
    }
}

impl World {
    pub async fn on(db: TestDb) -> Self {
        Self::with(db, |_| ()).await
    }

    pub async fn with(db: TestDb, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = config(&db, "a");
        // As cheap as argon2 can be: what is tested is what is done with it.
        config.passwords = Passwords { memory_kib: 32, passes: 1, lanes: 1, workers: 2, queue: 256 };
        change(&mut config);
        let p = Platform::with(db, config).await;
        p.apply(&shop()).await;
        let alice = person(&p, "alice", PASSWORD).await;
        let browser = Browser::new(router::public(p.identity.clone()), ISSUER);
        Self { p, alice, browser }
    }

    /// A new browser, signed in at the account page.
    pub async fn signed_in(&self) -> Browser {
        let mut browser = self.browser.another();
        let page = sign_in(&mut browser, "alice", PASSWORD).await;
        assert_eq!(page.text("h1"), "Your account");
        self.p.advance(1);
        browser
    }

    /// A new browser that has signed in and allowed the shop what `request` asks.
    pub async fn consented(&self) -> Browser {
        self.consented_by(&[]).await
    }

    pub async fn consented_by(&self, set: &[(&str, &str)]) -> Browser {
        let mut browser = self.signed_in().await;
        let page = browser.get(&request(set)).await;
        if page.parameter("code").is_some() {
            return browser;
        }
        let page = browser.submit(&page, "consent", &[("action", "allow")]).await;
        assert!(page.parameter("code").is_some(), "{}", page.url);
        self.p.advance(1);
        browser
    }

    pub async fn count(&self, sql: &'static str) -> i64 {
        let mut tx = self.p.identity.db.begin();
        tx.read_one(sql, &store::params![]).await.unwrap().unwrap().int("count").unwrap()
    }

    /// The acts in the audit log, newest first.
    pub async fn acts(&self) -> Vec<String> {
        let mut cx = self.p.cx();
        let page = crate::audit::list(&mut cx, &crate::audit::Filter::default(), None, 100).await.unwrap();
        page.entries.into_iter().map(|entry| entry.act).collect()
    }
}

pub async fn person(p: &Platform, username: &str, password: &str) -> UserId {
    let spec = UserSpec {
        username: username.to_owned(),
        name: Some("Alice <i>Doe</i>".to_owned()),
        email: Some("alice@example.com".to_owned()),
        email_verified: true,
        attributes: [].into(),
    };
    let mut cx = p.cx();
    let (user_id, _) = accounts::apply(&mut cx, &spec).await.unwrap();
    cx.commit().await.unwrap();
    let mut cx = p.cx();
    accounts::set_password(&mut cx, &user_id, Secret::from(password)).await.unwrap();
    cx.commit().await.unwrap();
    user_id
}

/// A good request with these parameters set; an empty value leaves one out.
pub fn request(set: &[(&str, &str)]) -> String {
    let mut parameters = vec![
        ("response_type", "code"),
        ("client_id", "shop"),
        ("redirect_uri", CALLBACK),
        ("scope", "openid profile"),
        ("state", "st&te"),
        ("nonce", "n-1"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    for (name, value) in set {
        parameters.retain(|parameter| parameter.0 != *name);
        if !value.is_empty() {
            parameters.push((name, value));
        }
    }
    format!("/authorize?{}", serde_urlencoded::to_string(parameters).unwrap())
}

pub async fn sign_in(browser: &mut Browser, username: &str, password: &str) -> Page {
    let page = browser.get("/login").await;
    fill_in(browser, &page, username, password).await
}

pub async fn fill_in(browser: &mut Browser, page: &Page, username: &str, password: &str) -> Page {
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    browser.submit(page, "login", &[("username", username), ("password", password), ("action", "login")]).await
}

/// The page with what differs each time taken out.
pub fn masked(page: &Page) -> String {
    let mut out = String::new();
    let mut rest = page.body.as_str();
    while let Some((before, after)) = rest.split_once(" value=\"") {
        out.push_str(before);
        out.push_str(" value=\"");
        let (value, after) = after.split_once('"').unwrap();
        out.push_str(if value.len() > 40 { "…" } else { value });
        out.push('"');
        rest = after;
    }
    out.push_str(rest);
    out
}
