//! What a grant holds after the consent, and what it does not.

use testkit::db::TestDb;
use testkit::store_test;

use super::people::{World, request, shop};
use crate::MIGRATIONS;
use crate::clients::{ClientSpec, Consent};

async fn scope_of(w: &World, spec: serde_json::Value) {
    let spec: crate::scopes::ScopeSpec = serde_json::from_value(spec).unwrap();
    let mut cx = w.p.cx();
    crate::scopes::apply(&mut cx, &spec).await.unwrap();
    cx.commit().await.unwrap();
}

// What is not granted takes its audience along, and where nothing is left nothing is granted: without a scope
// there is nothing that a person could have agreed to.
store_test!(a_scope_that_is_not_granted_takes_its_audience_along, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let orders = "https://orders.internal";
    let claims = serde_json::json!({"account_nr": "user.account_nr"});
    scope_of(&w, serde_json::json!({"name": "orders", "audience": orders, "claims": claims})).await;
    scope_of(&w, serde_json::json!({"name": "stock", "audience": "https://stock.internal"})).await;
    scope_of(&w, serde_json::json!({"name": "bills", "audience": "https://bills.internal"})).await;
    let scopes = base::scope::Scopes::parse("openid orders stock bills").unwrap();
    w.p.apply(&ClientSpec { scopes, ..shop() }).await;
    let mut browser = w.signed_in().await;

    // Alice has no account number, so that `orders` cannot be hers.
    let page = browser.get(&request(&[("scope", "orders")])).await;
    assert_eq!(page.parameter("error").as_deref(), Some("invalid_scope"), "{} {}", page.url, page.body);
    let page = browser.get(&request(&[("scope", "orders stock bills")])).await;
    let form = page.form("consent").without("scope", "bills");
    assert!(browser.post("/consent", &form.with(&[("action", "allow")])).await.parameter("code").is_some());

    let mut tx = w.p.identity.db.begin();
    let rows = tx.read("SELECT scopes, audiences FROM grants", &store::params![]).await.unwrap();
    assert_eq!(rows.len(), 1);
    let grant = (rows[0].text("scopes").unwrap(), rows[0].text("audiences").unwrap());
    assert_eq!(grant, ("stock", "https://stock.internal"));
});

store_test!(a_client_without_scopes_cannot_pass_by_the_consent, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    let audiences = crate::scopes::Audiences::one("https://orders.internal");
    let none = ClientSpec { scopes: base::scope::Scopes::default(), audiences, ..shop() };
    w.p.apply(&none).await;
    let mut browser = w.signed_in().await;

    let page = browser.get(&request(&[("scope", "")])).await;
    assert_eq!(page.parameter("error").as_deref(), Some("invalid_scope"), "{}", page.url);
    w.p.apply(&ClientSpec { consent: Consent::Implicit, ..none }).await;
    assert!(browser.get(&request(&[("scope", "")])).await.parameter("code").is_some(), "the operator's own");
});

// Between the look at the session and the code the session may have been ended.
store_test!(a_session_that_has_been_ended_gives_no_code, MIGRATIONS, |db: TestDb| async move {
    let w = World::on(db).await;
    w.signed_in().await;
    let session = crate::sessions::list_of_user(&mut w.p.cx(), &w.alice).await.unwrap().remove(0);
    let mut cx = w.p.cx();
    assert!(crate::sessions::hold(&mut cx, &session.session_id).await.unwrap());
    drop(cx);

    let mut cx = w.p.cx();
    crate::sessions::end(&mut cx, &session.session_id, "test").await.unwrap();
    cx.commit().await.unwrap();

    assert!(!crate::sessions::hold(&mut w.p.cx(), &session.session_id).await.unwrap());
});
