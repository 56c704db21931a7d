//! Sessions end with what they came of.

use ::http::StatusCode;
use serde_json::{Map, Value, json};
use testkit::db::TestDb;
use testkit::store_test;

use super::{house, is_in, sign_in};
use crate::MIGRATIONS;
use crate::session::feed;
use crate::tests::house::ISSUER;

fn event(id: &str, revoked: &base::event::Revoked, audience: &str) -> (String, Value) {
    let claims = json!({
        "iss": ISSUER, "aud": audience, "jti": id, "iat": testkit::clock::START.seconds(),
        "sub_id": revoked.subject(ISSUER), "events": {revoked.event_type(): {}},
    });
    (id.to_owned(), claims)
}

store_test!(a_session_ends_with_the_account_and_the_session_that_it_came_of, MIGRATIONS, |db: TestDb| async move {
    let (p, issuer, mut browser) = house(db).await;
    issuer.set(|script| {
        script.metadata = Map::from_iter([("registration_list_supported".to_owned(), json!(true))]);
    });
    let mut read = Vec::new();
    for (at, revoked) in ["ann-1", "s-1"].into_iter().enumerate() {
        let revoked = match at {
            0 => base::event::Revoked::User(revoked.to_owned()),
            _ => base::event::Revoked::Session(revoked.to_owned()),
        };
        issuer.set(|script| script.claims = Map::from_iter([("sid".to_owned(), json!("s-1"))]));
        assert!(is_in(&sign_in(&issuer, &mut browser, &format!("mine-{at}")).await));
        let mut other = browser.another();
        issuer.set(|script| {
            script.claims = Map::from_iter([("sid".to_owned(), json!("s-2"))]);
            script.subject = Some("bob".to_owned());
        });
        assert!(is_in(&sign_in(&issuer, &mut other, &format!("other-{at}")).await));
        issuer.set(|script| script.subject = None);
        let elsewhere = base::event::Revoked::User("carol".to_owned());
        issuer.set(|script| {
            script.events = vec![event("1", &elsewhere, "portal"), event("2", &revoked, "portal")];
        });

        assert_eq!(feed::ask(&p.management, &mut read).await.unwrap(), feed::Told::Events(2));

        let page = browser.get_once("/applications").await;
        assert_eq!(page.status, StatusCode::SEE_OTHER, "{revoked:?}: {}", page.body);
        assert_eq!(other.get_once("/applications").await.status, StatusCode::OK, "{revoked:?}: others stay");
        feed::ask(&p.management, &mut read).await.unwrap();
        assert_eq!(issuer.script.lock().unwrap().acknowledged, 2);
        assert!(read.is_empty());
    }
    // What is not for us, or not the issuer's, is no event, and is not acknowledged.
    let revoked = base::event::Revoked::User("bob".to_owned());
    issuer.set(|script| script.events = vec![event("3", &revoked, "another")]);
    assert!(feed::ask(&p.management, &mut read).await.is_err());
    assert!(read.is_empty());
    issuer.set(|script| {
        script.metadata.clear();
    });
});
