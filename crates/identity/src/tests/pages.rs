//! The pages as a person gets them, whole; what differs each time is masked.

use testkit::browser::Page;

use super::people::{World, masked, request};
use crate::MIGRATIONS;

fn settled(page: &Page) -> String {
    let mut out = masked(page);
    for (before, after) in [("/assets/cardea-", ".css"), ("/assets/mark-", ".svg")] {
        let Some((_, rest)) = out.split_once(before) else { continue };
        let hash = rest.split(after).next().unwrap().to_owned();
        out = out.replace(&hash, "…");
    }
    let lines = out.lines().map(str::trim_end).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn the_pages_are_as_they_were() {
    let w = World::on(testkit::db::sqlite(MIGRATIONS).await).await;
    let mut browser = w.browser.another();

    insta::assert_snapshot!("login", settled(&browser.get(&request(&[("login_hint", "alice")])).await));
    let page = super::people::sign_in(&mut browser, "alice", "a wrong password").await;
    insta::assert_snapshot!("login-wrong", settled(&page));
    let mut browser = w.signed_in().await;
    insta::assert_snapshot!("consent", settled(&browser.get(&request(&[("scope", "openid profile email")])).await));
    insta::assert_snapshot!("select-account", settled(&browser.get(&request(&[("prompt", "select_account")])).await));
    insta::assert_snapshot!("logout", settled(&browser.get("/logout").await));
    let id = |page: &Page| page.body.split("<code>").nth(1).unwrap_or_default().split('<').next().unwrap().to_owned();
    let error = browser.get("/authorize?client_id=nobody").await;
    insta::assert_snapshot!("error", settled(&error).replace(&id(&error), "…"));
    let account = browser.get("/account").await;
    let session = account.form("/account/sessions/end").value("session").to_owned();
    insta::assert_snapshot!("account", settled(&account).replace(&session, "…"));
}
