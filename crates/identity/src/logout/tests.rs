use base::ids::SessionId;
use serde_json::json;
use testkit::db::TestDb;
use testkit::store_test;

use crate::tests::people::{World, request, shop};
use crate::tests::platform::ISSUER;
use crate::{MIGRATIONS, sessions};

async fn id_token(w: &World, client_id: &str, session_id: Option<&SessionId>) -> String {
    let ring = crate::keys::ring(&w.p.identity).await.unwrap();
    let now = w.p.cx().now.seconds();
    let mut claims = json!({"iss": ISSUER, "sub": w.alice, "aud": client_id, "iat": now, "exp": now + 600});
    if let Some(session_id) = session_id {
        claims["sid"] = json!(session_id);
    }
    sign(&ring, w, &claims)
}

fn sign(ring: &crate::keys::Ring, w: &World, claims: &serde_json::Value) -> String {
    let claims = claims.as_object().unwrap();
    ring.signer(&w.p.identity, None).unwrap().sign("JWT", claims).unwrap()
}

async fn session_of(w: &World) -> SessionId {
    sessions::list_of_user(&mut w.p.cx(), &w.alice).await.unwrap()[0].session_id.clone()
}

fn url(parameters: &[(&str, &str)]) -> String {
    format!("/logout?{}", serde_urlencoded::to_string(parameters).unwrap())
}

const BYE: &str = "https://shop.example/bye";

store_test!(a_client_with_its_id_token_signs_out_at_once, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let mut browser = w.consented().await;
    let hint = id_token(&w, "shop", Some(&session_of(&w).await)).await;

    let page =
        browser.get(&url(&[("id_token_hint", &hint), ("post_logout_redirect_uri", BYE), ("state", "a&b")])).await;

    assert_eq!(page.url, "https://shop.example/bye?state=a%26b");
    assert_eq!(browser.get("/account").await.text("h1"), "Sign in");
    assert!(!browser.cookies.contains_key("__Host-cardea-session"));
    assert_eq!(w.count("SELECT count(*) AS count FROM grants WHERE revoked_at IS NULL").await, 0);
    // Once more: it is done already, and goes on all the same.
    let page = browser.get(&url(&[("id_token_hint", &hint), ("post_logout_redirect_uri", BYE)])).await;
    assert_eq!(page.url, BYE);
});

store_test!(an_expired_id_token_is_still_a_hint, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let mut browser = w.signed_in().await;
    let hint = id_token(&w, "shop", Some(&session_of(&w).await)).await;
    w.p.advance(3600);

    browser.get(&url(&[("id_token_hint", &hint)])).await;

    assert_eq!(browser.get("/account").await.text("h1"), "Sign in");
});

store_test!(whoever_else_asks_the_user_is_asked, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let mut browser = w.signed_in().await;
    let others = id_token(&w, "shop", Some(&"another-session".into())).await;

    for parameters in
        [&[][..], &[("client_id", "shop"), ("post_logout_redirect_uri", BYE)], &[("id_token_hint", others.as_str())]]
    {
        let page = browser.get(&url(parameters)).await;
        assert_eq!(page.text("h1"), "Sign out?", "{parameters:?}");
        assert_eq!(browser.get("/account").await.text("h1"), "Your account");
    }
    let page = browser.get(&url(&[("client_id", "shop"), ("post_logout_redirect_uri", BYE), ("state", "s")])).await;
    let stay = browser.submit(&page, "logout", &[("action", "stay")]).await;
    assert_eq!(stay.text("h1"), "Your account");
    let page = browser.submit(&page, "logout", &[("action", "logout")]).await;

    assert_eq!(page.url, "https://shop.example/bye?state=s");
    assert_eq!(browser.get("/logout").await.text("h1"), "You are signed out");
});

// R26: no open redirect.
store_test!(only_a_registered_address_is_gone_to_afterwards, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let mut client = shop();
    client.client_id = "other".into();
    client.post_logout_redirect_uris = vec!["https://other.example/bye".to_owned()];
    w.p.apply(&client).await;
    let mut browser = w.signed_in().await;
    let hint = id_token(&w, "shop", None).await;

    for uri in [
        "https://evil.example",
        "https://shop.example/bye/",
        "https://shop.example/bye?x",
        "https://shop.example/bye#x",
        "https://shop.example.evil.example/bye",
        "https://shop.example@evil.example/bye",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "https://other.example/bye",
        "https://shop.example/callback",
        "https://SHOP.example/bye",
    ] {
        for who in [("client_id", "shop"), ("id_token_hint", hint.as_str())] {
            let page = browser.get(&url(&[who, ("post_logout_redirect_uri", uri)])).await;
            assert!(page.status == 400 && page.header("refresh").is_empty() && page.location().is_none(), "{uri}");
        }
    }
    // Nobody says whose address it is.
    assert_eq!(browser.get(&url(&[("post_logout_redirect_uri", BYE)])).await.status, 400);
    assert_eq!(browser.get("/account").await.text("h1"), "Your account", "and nothing was ended");
});

store_test!(a_hint_that_is_not_ours_is_refused, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let mut browser = w.signed_in().await;
    let good = id_token(&w, "shop", None).await;
    let ring = crate::keys::ring(&w.p.identity).await.unwrap();
    let now = w.p.cx().now.seconds();
    let elsewhere =
        sign(&ring, &w, &json!({"iss": "https://evil.example", "sub": w.alice, "aud": "shop", "exp": now + 9}));
    let access = ring.signer(&w.p.identity, None).unwrap();
    let claims = json!({"iss": ISSUER, "sub": w.alice, "aud": "shop", "exp": now + 9});
    let access = access.sign("at+jwt", claims.as_object().unwrap()).unwrap();
    let mut changed = good.clone();
    changed.truncate(changed.len() - 2);

    for hint in [changed.as_str(), "x", "a.b.c", &elsewhere, &access] {
        assert_eq!(browser.get(&url(&[("id_token_hint", hint)])).await.status, 400, "{hint}");
    }
    assert_eq!(browser.get(&url(&[("id_token_hint", &good), ("client_id", "other")])).await.status, 400);
    let twice = format!("{}&client_id=shop", url(&[("client_id", "shop")]));
    assert_eq!(browser.get(&twice).await.status, 400);
    assert_eq!(browser.get("/account").await.text("h1"), "Your account");
});

store_test!(a_forged_logout_is_refused, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let mut browser = w.signed_in().await;
    let page = browser.get("/logout").await;
    let good = page.form("logout").with(&[("action", "logout")]);
    let theirs = w.signed_in().await.get("/logout").await.form("logout").with(&[("action", "logout")]);

    assert_eq!(browser.post_once("/logout", &theirs).await.status, 403);
    assert_eq!(browser.clone().with("origin", "https://evil.example").post_once("/logout", &good).await.status, 403);
    // A client's request by POST: it goes on by GET, and the user is asked.
    let fields = [("client_id".to_owned(), "shop".to_owned())];
    assert_eq!(browser.post("/logout", &fields).await.text("h1"), "Sign out?");
    assert_eq!(browser.get("/account").await.text("h1"), "Your account");
});

store_test!(an_id_token_hint_of_another_person_asks_for_a_login, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let bob = crate::tests::people::person(&w.p, "bob", crate::tests::people::PASSWORD).await;
    let mut browser = w.consented().await;
    let ring = crate::keys::ring(&w.p.identity).await.unwrap();
    let now = w.p.cx().now.seconds();
    let bobs = sign(&ring, &w, &json!({"iss": ISSUER, "sub": bob, "aud": "shop", "exp": now + 9}));
    let alices = id_token(&w, "shop", None).await;
    let not_for_shop = id_token(&w, "other", None).await;

    assert!(browser.get(&request(&[("id_token_hint", &alices), ("prompt", "none")])).await.parameter("code").is_some());
    let page = browser.get(&request(&[("id_token_hint", &bobs), ("prompt", "none")])).await;
    assert_eq!(page.parameter("error").as_deref(), Some("login_required"));
    let page = browser.get(&request(&[("id_token_hint", &not_for_shop)])).await;
    assert_eq!(page.parameter("error").as_deref(), Some("invalid_request"));
    let page = browser.get(&request(&[("id_token_hint", &bobs)])).await;
    assert_eq!(page.text("h1"), "Sign in");
    let page = crate::tests::people::fill_in(&mut browser, &page, "alice", crate::tests::people::PASSWORD).await;
    assert_eq!(page.parameter("error").as_deref(), Some("login_required"));
});
