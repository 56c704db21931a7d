//! The saga against a scripted identity system that dies, lies, loses answers and changes tokens.

pub(crate) mod fake;
mod revoke;

use std::time::Duration;

use futures_util::future::join_all;
use http::{Method, StatusCode};
use serde_json::json;
use testkit::db::TestDb;
use testkit::store_test;

use self::fake::{Fake, Fault};
use super::settle::{Came, run_due, settle};
use super::{
    Application, Filter, Kind, State, Wanted, create, delete, find, list, reconcile, retry, rotate, see,
    set_api_scopes, take_credentials, update,
};
use crate::actor::{Actor, Role};
use crate::people;
use crate::tests::Platform;
use crate::tests::house::{config, person};
use crate::{Config, Cx, MIGRATIONS, Refused, Registration};

struct Shop {
    p: Platform,
    fake: Fake,
}

impl Shop {
    async fn on(db: TestDb, fake: Fake) -> Self {
        let config = Config { peer: fake.peer(), ..config(&db) };
        Self::with(db, fake, config).await
    }

    async fn with(db: TestDb, fake: Fake, config: Config) -> Self {
        let p = Platform::with(db, config).await;
        let mut cx = p.cx(Actor::System);
        people::found(&mut cx, "Acme", Some("acme")).await.unwrap();
        people::found(&mut cx, "Other", Some("other")).await.unwrap();
        cx.commit().await.unwrap();
        Self { p, fake }
    }

    fn dev(&self) -> Cx {
        self.p.cx(person("dana", "acme", Role::Developer))
    }

    async fn made(&self, name: &str, kind: Kind) -> String {
        let mut cx = self.dev();
        let made = create(&mut cx, "acme", &wanted(name, kind)).await.unwrap();
        cx.commit().await.unwrap();
        made.id
    }

    async fn settled(&self, id: &str) -> Came {
        settle(&self.p.management, id).await.unwrap()
    }

    async fn see(&self, id: &str) -> Application {
        find(&mut self.p.cx(Actor::System), id).await.unwrap().unwrap()
    }

    /// Until nothing waits any more: time passes as quickly as the work needs.
    async fn quiet(&self) {
        for _ in 0..40 {
            self.p.clock.advance(Duration::from_secs(61));
            run_due(&self.p.management).await.unwrap();
        }
    }

    /// Pointers and clients match one to one.
    async fn match_up(&self) {
        let filter = Filter { organisation: Some("acme".to_owned()), ..Filter::default() };
        let ours = list(&mut self.p.cx(Actor::System), &filter, 1000).await.unwrap();
        let mut pointers: Vec<String> = ours.into_iter().filter_map(|one| one.client).collect();
        let mut clients = self.fake.clients();
        pointers.sort_unstable();
        clients.sort_unstable();
        assert_eq!(pointers, clients);
    }
}

fn wanted(name: &str, kind: Kind) -> Wanted {
    let redirect_uris = match kind {
        Kind::Service => Vec::new(),
        _ => vec!["https://app.example/callback".to_owned()],
    };
    Wanted { name: name.to_owned(), kind, redirect_uris, scopes: Vec::new() }
}

store_test!(an_application_becomes_a_client_whose_secret_is_shown_once, MIGRATIONS, |db: TestDb| async move {
    let shop = Shop::on(db, Fake::ours()).await;
    let id = shop.made("Orders", Kind::Service).await;
    assert_eq!(shop.see(&id).await.state, State::Intended);

    assert_eq!(shop.settled(&id).await, Came::Done);

    let application = shop.see(&id).await;
    assert_eq!((application.state, application.is_settled), (State::Registered, true));
    let client = application.client.unwrap();
    let document = shop.fake.document(&client);
    assert_eq!(document["grant_types"], json!(["client_credentials"]));
    assert_eq!((&document["software_id"], &document["client_name"]), (&json!(id), &json!("Orders")));
    let taken = join_all((0..20).map(|_| {
        let (shop, id) = (&shop, &id);
        async move {
            let mut cx = shop.dev();
            let taken = take_credentials(&mut cx, id).await.unwrap();
            cx.commit().await.unwrap();
            taken
        }
    }))
    .await;
    let taken: Vec<_> = taken.into_iter().flatten().collect();
    assert_eq!(taken.len(), 1, "shown once, to one");
    assert!(shop.fake.has_secret(&client, taken[0].secret.expose()));
});

store_test!(a_lost_answer_makes_no_second_client, MIGRATIONS, |db: TestDb| async move {
    let shop = Shop::on(db, Fake::ours()).await;
    for fault in [Fault::DiesAfter, Fault::TooLate, Fault::Garbage, Fault::Error, Fault::Away] {
        shop.fake.next(&[fault]);
        let id = shop.made("Orders", Kind::Web).await;

        assert!(matches!(shop.settled(&id).await, Came::Again(_)), "{fault:?}");
        assert!(shop.see(&id).await.error.is_some(), "{fault:?}: its developers are told");
        shop.quiet().await;

        assert_eq!(shop.see(&id).await.state, State::Registered, "{fault:?}");
        assert_eq!(shop.see(&id).await.error, None);
    }
    assert_eq!(shop.fake.clients().len(), 5);
    shop.match_up().await;
});

store_test!(what_is_refused_is_said_and_can_be_changed, MIGRATIONS, |db: TestDb| async move {
    let shop = Shop::on(db, Fake::ours()).await;
    shop.fake.next(&[Fault::Refuses]);
    let id = shop.made("Orders", Kind::Web).await;

    assert_eq!(shop.settled(&id).await, Came::Done);
    let failed = shop.see(&id).await;
    assert_eq!(failed.state, State::Failed);
    assert!(failed.error.unwrap().contains("invalid_redirect_uri: not this one"));
    shop.quiet().await;
    assert_eq!(shop.see(&id).await.state, State::Failed, "nobody asks again and again what was refused");

    let mut cx = shop.dev();
    let better = Wanted { redirect_uris: vec!["https://other.example/cb".to_owned()], ..wanted("Orders", Kind::Web) };
    update(&mut cx, &id, &better).await.unwrap();
    cx.commit().await.unwrap();
    assert_eq!(shop.settled(&id).await, Came::Done);
    let client = shop.see(&id).await.client.unwrap();
    assert_eq!(shop.fake.document(&client)["redirect_uris"], json!(["https://other.example/cb"]));
});

store_test!(a_change_before_the_answer_is_made_after_it, MIGRATIONS, |db: TestDb| async move {
    let shop = Shop::on(db, Fake::ours()).await;
    shop.fake.next(&[Fault::DiesAfter]);
    let id = shop.made("Before", Kind::Web).await;
    assert!(matches!(shop.settled(&id).await, Came::Again(_)));

    let mut cx = shop.dev();
    update(&mut cx, &id, &wanted("After", Kind::Web)).await.unwrap();
    cx.commit().await.unwrap();
    assert_eq!(shop.settled(&id).await, Came::Done);

    let client = shop.see(&id).await.client.unwrap();
    assert_eq!(shop.fake.document(&client)["client_name"], "After");
    shop.match_up().await;
});

store_test!(changes_survive_changing_tokens_and_lost_answers, MIGRATIONS, |db: TestDb| async move {
    let shop = Shop::on(db, Fake::ours().changing_tokens()).await;
    let id = shop.made("v0", Kind::Web).await;
    shop.settled(&id).await;

    for (round, fault) in [None, Some(Fault::DiesAfter), Some(Fault::Garbage), None].into_iter().enumerate() {
        shop.fake.next(&fault.into_iter().collect::<Vec<_>>());
        let mut cx = shop.dev();
        update(&mut cx, &id, &wanted(&format!("v{round}"), Kind::Web)).await.unwrap();
        cx.commit().await.unwrap();
        shop.quiet().await;

        let application = shop.see(&id).await;
        assert!(application.is_settled, "{round}: {:?}", application.error);
        assert_eq!(shop.fake.document(&application.client.unwrap())["client_name"], format!("v{round}"));
    }
});

store_test!(a_secret_is_exchanged_and_the_old_one_lives_on, MIGRATIONS, |db: TestDb| async move {
    let shop = Shop::on(db, Fake::ours()).await;
    let id = shop.made("Orders", Kind::Service).await;
    shop.settled(&id).await;
    let first = take_once(&shop, &id).await;

    let mut cx = shop.dev();
    rotate(&mut cx, &id, None).await.unwrap();
    cx.commit().await.unwrap();
    shop.fake.next(&[Fault::DiesAfter]);
    assert!(matches!(shop.settled(&id).await, Came::Again(_)));
    assert_eq!(shop.settled(&id).await, Came::Done);

    let second = take_once(&shop, &id).await;
    let client = shop.see(&id).await.client.unwrap();
    assert_ne!(first, second);
    assert!(shop.fake.has_secret(&client, &first) && shop.fake.has_secret(&client, &second));
    let public = shop.made("Page", Kind::Browser).await;
    shop.settled(&public).await;
    assert!(matches!(rotate(&mut shop.dev(), &public, None).await, Err(Refused::Conflict(_))));
});

async fn take_once(shop: &Shop, id: &str) -> String {
    let mut cx = shop.dev();
    let taken = take_credentials(&mut cx, id).await.unwrap().unwrap();
    cx.commit().await.unwrap();
    taken.secret.expose().clone()
}

store_test!(deletion_is_there_first_then_here, MIGRATIONS, |db: TestDb| async move {
    let shop = Shop::on(db, Fake::ours()).await;
    let id = shop.made("Orders", Kind::Service).await;
    shop.settled(&id).await;
    let mut cx = shop.dev();
    delete(&mut cx, &id).await.unwrap();
    cx.commit().await.unwrap();

    shop.fake.next(&[Fault::Away]);
    assert!(matches!(shop.settled(&id).await, Came::Again(_)));
    assert_eq!(shop.see(&id).await.state, State::Deleting, "it is not gone while its client is not");
    assert!(matches!(update(&mut shop.dev(), &id, &wanted("x", Kind::Service)).await, Err(Refused::Conflict(_))));
    shop.fake.next(&[Fault::DiesAfter]);
    shop.quiet().await;

    assert_eq!(shop.see(&id).await.state, State::Deleted);
    assert!(shop.fake.clients().is_empty());
    assert!(matches!(take_credentials(&mut shop.dev(), &id).await, Err(Refused::NotFound(_))));
});

store_test!(one_that_is_deleted_before_its_answer_leaves_no_client, MIGRATIONS, |db: TestDb| async move {
    let shop = Shop::on(db, Fake::ours()).await;
    shop.fake.next(&[Fault::DiesAfter]);
    let id = shop.made("Orders", Kind::Service).await;
    assert!(matches!(shop.settled(&id).await, Came::Again(_)));
    assert_eq!(shop.fake.clients().len(), 1);

    let mut cx = shop.dev();
    delete(&mut cx, &id).await.unwrap();
    cx.commit().await.unwrap();
    shop.quiet().await;

    assert_eq!(shop.see(&id).await.state, State::Deleted);
    assert!(shop.fake.clients().is_empty());
});

store_test!(many_workers_make_one_client, MIGRATIONS, |db: TestDb| async move {
    let shop = Shop::on(db, Fake::ours()).await;
    let id = shop.made("Orders", Kind::Service).await;

    join_all((0..20).map(|_| shop.settled(&id))).await;

    assert_eq!(shop.fake.clients().len(), 1);
    assert_eq!(shop.fake.registrations(), 1, "one of them asked");
    shop.match_up().await;
});

store_test!(faults_in_any_order_leave_both_sides_alike, MIGRATIONS, |db: TestDb| async move {
    let shop = Shop::on(db, Fake::ours().changing_tokens()).await;
    shop.fake.next_at_random(400);
    let mut ids = Vec::new();
    for number in 0..24 {
        let kind = Kind::ALL[number % 4];
        let id = shop.made(&format!("a{number}"), kind).await;
        shop.settled(&id).await;
        let mut cx = shop.dev();
        match number % 3 {
            0 => delete(&mut cx, &id).await.unwrap(),
            1 => drop(update(&mut cx, &id, &wanted(&format!("b{number}"), kind)).await.unwrap()),
            _ => {}
        }
        cx.commit().await.unwrap();
        ids.push(id);
        run_due(&shop.p.management).await.unwrap();
    }
    shop.fake.no_more_faults();
    for id in &ids {
        if shop.see(id).await.state == State::Failed {
            let mut cx = shop.dev();
            retry(&mut cx, id).await.unwrap();
            cx.commit().await.unwrap();
        }
    }
    shop.quiet().await;

    for id in &ids {
        let application = shop.see(id).await;
        assert!(application.is_settled, "{}: {:?}", application.name, application.error);
    }
    assert_eq!(shop.fake.clients().len(), 16);
    shop.match_up().await;
    let report = reconcile(&shop.p.cx(Actor::System), false).await.unwrap();
    assert_eq!(
        (report.applications, report.clients, report.findings.len()),
        (16, Some(16), 0),
        "{:?}",
        report.findings
    );
});

store_test!(another_server_may_be_left_with_one_client_that_nobody_uses, MIGRATIONS, |db: TestDb| async move {
    let shop = Shop::on(db, Fake::another()).await;
    shop.fake.next(&[Fault::DiesAfter]);
    let id = shop.made("Orders", Kind::Service).await;
    shop.quiet().await;
    assert_eq!(shop.see(&id).await.state, State::Registered);
    assert_eq!(shop.fake.clients().len(), 2, "one lost answer, one orphan");

    shop.fake.next(&[Fault::DiesAfter, Fault::DiesAfter, Fault::DiesAfter, Fault::DiesAfter]);
    let id = shop.made("More", Kind::Service).await;
    shop.quiet().await;
    let failed = shop.see(&id).await;
    assert_eq!(failed.state, State::Failed, "it does not go on making clients: a person has to look");
    assert!(shop.fake.clients().len() <= 4, "{}", shop.fake.clients().len());
    assert!(failed.error.unwrap().contains("its answers were lost"));
});

store_test!(what_the_server_answers_is_not_believed_because_it_says_so, MIGRATIONS, |db: TestDb| async move {
    let shop = Shop::on(db, Fake::ours()).await;
    let first = shop.made("First", Kind::Service).await;
    shop.settled(&first).await;

    for fault in [Fault::PointsElsewhere, Fault::GivesAnothersClient] {
        shop.fake.next(&[fault]);
        let id = shop.made("Orders", Kind::Service).await;

        assert!(matches!(shop.settled(&id).await, Came::Again(_)), "{fault:?}");
        assert_eq!(shop.see(&id).await.client, None, "{fault:?}");
    }
    assert_eq!(shop.fake.asked_elsewhere(), 0, "no request with a token went to another host");
});

store_test!(reconcile_puts_both_sides_right, MIGRATIONS, |db: TestDb| async move {
    let shop = Shop::on(db, Fake::ours()).await;
    let (lost, kept) = (shop.made("Lost", Kind::Service).await, shop.made("Kept", Kind::Service).await);
    shop.settled(&lost).await;
    shop.settled(&kept).await;
    let client = shop.see(&lost).await.client.unwrap();
    shop.fake.drop_client(&client);
    let orphan = shop.fake.add_client(&"0".repeat(32));
    let foreign = shop.fake.add_client("a tool of the operator");

    let found = reconcile(&shop.p.cx(Actor::System), false).await.unwrap();
    let mut kinds: Vec<_> = found.findings.iter().map(|finding| finding.kind).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["client_without_pointer", "foreign_client", "pointer_without_client"], "{:?}", found.findings);
    assert!(shop.fake.clients().contains(&orphan), "it only looks, unless it is asked to repair");
    assert!(matches!(reconcile(&shop.dev(), false).await, Err(Refused::NoRight)));

    reconcile(&shop.p.cx(Actor::System), true).await.unwrap();
    shop.quiet().await;
    let again = shop.see(&lost).await;
    assert!(again.is_settled && again.client.is_some_and(|new| new != client), "{:?}", again.error);
    let clients = shop.fake.clients();
    assert!(!clients.contains(&orphan) && clients.contains(&foreign) && clients.len() == 3);
    let left = reconcile(&shop.p.cx(Actor::System), false).await.unwrap();
    assert_eq!(left.findings.iter().map(|finding| finding.kind).collect::<Vec<_>>(), ["foreign_client"]);
});

store_test!(an_initial_access_token_is_shown_as_it_is, MIGRATIONS, |db: TestDb| async move {
    let fake = Fake::ours();
    let registration = Registration::InitialAccessToken("initial".into());
    let config = Config { peer: fake.peer(), registration, ..config(&db) };
    let shop = Shop::with(db, fake, config).await;

    let id = shop.made("Orders", Kind::Service).await;
    assert_eq!(shop.settled(&id).await, Came::Done);

    assert_eq!(shop.fake.tokens_given(), 0);
    assert_eq!(shop.see(&id).await.state, State::Registered);
});

store_test!(scopes_follow_what_it_is_subscribed_to, MIGRATIONS, |db: TestDb| async move {
    let shop = Shop::on(db, Fake::ours()).await;
    let id = shop.made("Orders", Kind::Web).await;
    shop.settled(&id).await;

    let mut cx = shop.p.cx(Actor::System);
    assert!(set_api_scopes(&mut cx, &id, &["orders.read".to_owned()]).await.unwrap());
    cx.commit().await.unwrap();
    shop.settled(&id).await;

    let client = shop.see(&id).await.client.unwrap();
    assert_eq!(shop.fake.document(&client)["scope"], "openid profile email offline_access orders.read");
    assert!(!set_api_scopes(&mut shop.p.cx(Actor::System), &id, &["orders.read".to_owned()]).await.unwrap());
});

store_test!(an_application_is_its_organisations_alone, MIGRATIONS, |db: TestDb| async move {
    let shop = Shop::on(db, Fake::ours()).await;
    let id = shop.made("Orders", Kind::Service).await;
    shop.settled(&id).await;
    let stranger = || shop.p.cx(person("eli", "other", Role::Owner));
    let auditor = || shop.p.cx(person("ann", crate::PROVIDER, Role::Publisher));

    assert!(matches!(see(&mut stranger(), &id).await, Err(Refused::NotFound(_))));
    assert!(matches!(delete(&mut stranger(), &id).await, Err(Refused::NotFound(_))));
    assert!(matches!(take_credentials(&mut stranger(), &id).await, Err(Refused::NotFound(_))));
    assert!(matches!(create(&mut stranger(), "acme", &wanted("x", Kind::Service)).await, Err(Refused::NotFound(_))));
    assert!(see(&mut auditor(), &id).await.is_ok());
    assert!(matches!(take_credentials(&mut auditor(), &id).await, Err(Refused::NoRight)));
    assert!(matches!(delete(&mut auditor(), &id).await, Err(Refused::NoRight)));
});

store_test!(the_interface_registers_within_the_request, MIGRATIONS, |db: TestDb| async move {
    let shop = Shop::on(db, Fake::ours()).await;
    let path = "/management/v1/organisations/acme/applications";
    let body = json!({"name": "Orders", "kind": "service"});

    let made = shop.p.operate(Method::POST, path, Some(&body)).await;
    assert_eq!((made.status, &made.body["state"]), (StatusCode::CREATED, &json!("registered")), "{}", made.text);
    let one = format!("/management/v1/applications/{}", made.body["id"].as_str().unwrap());
    let shown = shop.p.operate(Method::POST, &format!("{one}/credentials"), None).await;
    let again = shop.p.operate(Method::POST, &format!("{one}/credentials"), None).await;
    assert_eq!(shown.body["clientId"], made.body["clientId"]);
    assert_eq!(again.status, StatusCode::CONFLICT);
    assert!(!made.text.contains(shown.body["clientSecret"].as_str().unwrap()));
    let gone = shop.p.operate(Method::DELETE, &one, None).await;
    assert_eq!((gone.status, &gone.body["state"]), (StatusCode::OK, &json!("deleted")));
    assert_eq!(shop.p.operate(Method::GET, &one, None).await.status, StatusCode::NOT_FOUND);
});

#[test]
fn addresses_that_lead_nowhere_good_are_refused_at_their_place() {
    let check = |kind, uri: &str| {
        super::checked(&Wanted { redirect_uris: vec![uri.to_owned()], ..wanted("x", kind) }).map(drop)
    };

    for bad in [
        "http://app.example/cb",
        "https://app.example/cb#f",
        "javascript:alert(1)",
        "https://*.example/cb",
        "https://me@app.example/cb",
        "/cb",
        "myapp:/cb",
        "com.example.app:/cb",
    ] {
        assert!(matches!(check(Kind::Web, bad), Err(Refused::Invalid(..))), "{bad}");
    }
    assert!(check(Kind::Web, "http://localhost:3000/cb").is_ok());
    assert!(check(Kind::Native, "com.example.app:/cb").is_ok());
    assert!(check(Kind::Native, "myapp:/cb").is_err());
    assert!(check(Kind::Service, "https://app.example/cb").is_err(), "nobody logs in there");
}

store_test!(nobody_gives_an_application_scopes_by_themselves, MIGRATIONS, |db: TestDb| async move {
    let shop = Shop::on(db, Fake::ours()).await;
    let asking = |scopes: &[&str]| Wanted {
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        ..wanted("Orders", Kind::Web)
    };

    for scopes in [["management"], ["payroll.read"]] {
        let made = create(&mut shop.dev(), "acme", &asking(&scopes)).await;
        assert!(
            matches!(&made, Err(Refused::Invalid(_, errors)) if errors[0].pointer == "/scopes/0"),
            "{scopes:?}: {made:?}"
        );
    }
    let id = shop.made("Orders", Kind::Web).await;
    assert!(matches!(update(&mut shop.dev(), &id, &asking(&["management"])).await, Err(Refused::Invalid(..))));
    let mut cx = shop.p.cx(Actor::System);
    set_api_scopes(&mut cx, &id, &["orders.read".to_owned(), "management".to_owned()]).await.unwrap();
    cx.commit().await.unwrap();
    assert_eq!(shop.see(&id).await.scopes, ["orders.read"], "an API that asks for it does not bring it either");
    // What it has it keeps; and the provider's administrators say what they like.
    let mut cx = shop.dev();
    update(&mut cx, &id, &asking(&["orders.read", "profile"])).await.unwrap();
    create(&mut shop.p.cx(Actor::System), "acme", &asking(&["payroll.read"])).await.unwrap();
});

store_test!(a_hundred_applications_and_not_one_more, MIGRATIONS, |db: TestDb| async move {
    let shop = Shop::on(db, Fake::ours()).await;
    for at in 0..98 {
        shop.made(&format!("App {at}"), Kind::Service).await;
    }

    let made = join_all((0..6).map(|_| async {
        let mut cx = shop.dev();
        create(&mut cx, "acme", &wanted("One more", Kind::Service)).await?;
        Ok::<(), Refused>(cx.commit().await?)
    }))
    .await;

    assert_eq!(made.iter().filter(|one| one.is_ok()).count(), 2, "{made:?}");
});
