//! What the provider's people see, over the router.

use ::http::StatusCode;
use catalog::usage::{Outcome, UsageRecord, Way};
use serde_json::json;
use testkit::db::TestDb;
use testkit::{Browser, store_test};

use crate::actor::Role;
use crate::applications::tests::fake::Fake;
use crate::tests::Platform;
use crate::tests::house::{URL, config};
use crate::usage::tests::{batch, record, send};
use crate::{Actor, Config, Cx, MIGRATIONS, PROVIDER, applications, people, session};

pub(crate) const DOCUMENT: &str = r##"{"openapi": "3.1.0", "info": {"title": "Orders", "version": "1.0.0", "description": "All orders.\n\n- quick"},
  "servers": [{"url": "http://localhost:3000"}],
  "components": {
    "securitySchemes": {"oauth": {"type": "oauth2", "flows": {"clientCredentials": {"tokenUrl": "https://id.example/token", "scopes": {"orders.read": "Read"}}}}},
    "schemas": {"Order": {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}, "note": {"type": "string"}}}}
  },
  "paths": {"/orders/{id}": {"get": {"operationId": "readOrder", "summary": "Read an order", "tags": ["Orders"],
    "security": [{"oauth": ["orders.read"]}],
    "parameters": [{"name": "id", "in": "path", "required": true, "schema": {"type": "integer", "example": 7}}],
    "responses": {"200": {"description": "The order", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Order"}}}}}}}}}"##;

/// A browser in which somebody with a role is signed in.
pub(crate) async fn signed_in(p: &Platform, name: &str, provider: Option<Role>) -> Browser {
    let mut cx = Cx::system(&p.management);
    let person = people::arrive(&mut cx, "https://id.example", name, name, None).await.unwrap();
    if let Some(role) = provider {
        people::make_member(&mut cx, PROVIDER, &person.id, role).await.unwrap();
    }
    let headers = ::http::HeaderMap::new();
    let cookie = session::start(&mut cx, &headers, &person.id, session::Way::Login, None).await.unwrap();
    cx.commit().await.unwrap();
    let mut browser = Browser::new(p.public(), URL);
    let (name, value) = cookie.to_str().unwrap().split(';').next().unwrap().split_once('=').unwrap();
    browser.cookies.insert(name.to_owned(), value.to_owned());
    browser
}

pub(crate) async fn import(browser: &mut Browser, action: &str, document: &str) -> testkit::browser::Page {
    let page = browser.get("/console/import").await;
    browser.submit(&page, "import", &[("document", document), ("action", action)]).await
}

store_test!(the_console_asks_who_comes, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let mut browser = Browser::new(p.public(), URL);

    let page = browser.get_once("/console").await;

    assert_eq!((page.status, page.location()), (StatusCode::SEE_OTHER, Some("/login?return_to=%2Fconsole")));
    let mut consumer = signed_in(&p, "ann", None).await;
    for (path, _, _) in crate::console::routes().into_iter().filter(|(path, _, _)| !path.contains('{')) {
        assert_eq!(browser.get_once(path).await.status, StatusCode::SEE_OTHER, "{path}");
        let refused = consumer.get_once(path).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path}");
    }
});

store_test!(an_api_is_imported_published_and_changed_by_pages, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let mut browser = signed_in(&p, "pia", Some(Role::Publisher)).await;

    let wrong = import(&mut browser, "look", "{\"openapi\": \"2.0\"}").await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong.body.contains("&quot;2.0&quot;"), "what was typed is kept");
    let looked = import(&mut browser, "look", DOCUMENT).await;
    assert_eq!(looked.status, StatusCode::OK);
    assert!(looked.body.contains("What it would be") && looked.body.contains("orders.read"), "{}", looked.body);
    assert!(browser.get("/console/apis").await.body.contains("No APIs yet"), "looking changes nothing");

    let page = import(&mut browser, "publish", DOCUMENT).await;

    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    assert!(page.body.contains("published") && page.body.contains("kind: Api"), "{}", page.body);
    let changed = DOCUMENT.replace("/orders/{id}", "/order/{id}").replace("1.0.0", "2.0.0");
    let draft = import(&mut browser, "import", &changed).await;
    assert!(draft.body.contains("Clients would notice"), "{}", draft.body);
    let refused = import(&mut browser, "publish", &changed).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    let difference = browser.get("/console/apis/orders/difference").await;
    assert_eq!(difference.status, StatusCode::OK);
    assert!(difference.body.contains("&#x2f;order&#x2f;"));
});

store_test!(every_page_can_be_shown, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let mut browser = signed_in(&p, "adam", Some(Role::Administrator)).await;
    import(&mut browser, "publish", DOCUMENT).await;
    let page = browser.get("/console/plans/new?api=orders").await;
    let form = page.form("plan");
    let fields = form.with(&[
        ("name", "gold"),
        ("title", "Gold"),
        ("quota_requests", "1,000"),
        ("monthly", "9.00"),
        ("tiers", "100: 0\n0.01"),
        ("manual", "1"),
    ]);
    let plan = browser.post("/console/plans/new", &fields).await;
    assert_eq!(plan.status, StatusCode::OK, "{}", plan.body);
    assert!(plan.body.contains("1,000 a day") && plan.body.contains("upTo: 100"), "{}", plan.body);
    // What is saved again without a change stays as it is.
    let same = plan.form("plan").with(&[("rate_per", "1m"), ("quota_per", "day"), ("tiers", "100: 0\n0.01")]);
    assert!(plan.body.contains("<option value=\"1m\" selected>"), "{}", plan.body);
    assert!(browser.post("/console/plans/gold", &same).await.body.contains("Version 1:"));
    let bad = browser
        .post(
            "/console/plans/new",
            &form.with(&[("name", "bad name"), ("title", "Kept title"), ("rate_requests", "many")]),
        )
        .await;
    assert_eq!(bad.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(bad.body.contains("Kept title") && bad.body.contains("whole number"));

    for path in [
        "/console",
        "/console/calls",
        "/console/gateways",
        "/console/apis",
        "/console/apis?q=nothing",
        "/console/import",
        "/console/apis/orders",
        "/console/apis/orders/difference",
        "/console/plans",
        "/console/plans/new",
        "/console/plans/gold",
        "/console/approvals",
        "/console/consumers",
        "/console/usage?days=7&by=plan",
        "/console/audit",
        "/console/audit?object=api:orders",
        "/console/members",
        "/console/policies",
        "/",
        "/?q=zzz",
        "/apis/orders",
        "/apis/orders/operations/readOrder",
        "/apis/orders/document.json",
        "/usage",
        "/invoices",
        "/applications",
        "/applications/new",
        "/organisation",
        "/logged-out",
    ] {
        let page = browser.get(path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}: {}", page.body);
        assert!(!page.body.contains("cannot be shown"), "{path}");
    }
    for path in
        ["/console/apis/none", "/console/plans/none", "/console/calls/none", "/apis/none", "/console/consumers/none"]
    {
        assert_eq!(browser.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
});

store_test!(an_auditor_sees_all_and_changes_nothing, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let mut publisher = signed_in(&p, "pia", Some(Role::Publisher)).await;
    import(&mut publisher, "publish", DOCUMENT).await;
    let mut auditor = signed_in(&p, "otto", Some(Role::Auditor)).await;

    let page = auditor.get("/console/apis/orders").await;

    assert_eq!(page.status, StatusCode::OK);
    assert!(!page.body.contains("Withdraw") && !page.body.contains("Import again"));
    let csrf = page.form("logout").value("csrf").to_owned();
    for (path, action) in [
        ("/console/apis/orders", "withdraw"),
        ("/console/import", "publish"),
        ("/console/plans/new", "save"),
        ("/console/subscriptions/x", "approve"),
        ("/console/members", "invite"),
    ] {
        let fields = [
            ("csrf".to_owned(), csrf.clone()),
            ("action".to_owned(), action.to_owned()),
            ("role".to_owned(), "auditor".to_owned()),
        ];
        assert_eq!(auditor.post_once(path, &fields).await.status, StatusCode::FORBIDDEN, "{path}");
    }
});

store_test!(a_subscription_is_decided_by_page, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let mut publisher = signed_in(&p, "pia", Some(Role::Publisher)).await;
    import(&mut publisher, "publish", DOCUMENT).await;
    let mut ann = signed_in(&p, "ann", None).await;
    let mut cx = Cx::system(&p.management);
    let person = people::arrive(&mut cx, "https://id.example", "ann", "ann", None).await.unwrap();
    crate::plans::put(&mut cx, "gold", &json!({"title": "Gold", "apis": ["orders"], "approval": "manual"}))
        .await
        .unwrap();
    cx.commit().await.unwrap();
    let home = person.memberships[0].organisation.clone();
    let mut cx = p.cx(Actor::Person(person));
    let wanted = crate::subscriptions::Wanted {
        organisation: home.clone(),
        application: "app".into(),
        client: None,
        plan: "gold".into(),
        note: Some("<b>please</b>".into()),
    };
    let made = crate::subscriptions::request(&mut cx, wanted).await.unwrap();
    cx.commit().await.unwrap();

    let page = publisher.get("/console/approvals").await;
    assert!(page.body.contains("&lt;b&gt;please"), "{}", page.body);
    let path = format!("/console/subscriptions/{}", made.id);
    let no = publisher.submit(&page, &path, &[("action", "reject"), ("reason", "")]).await;
    assert_eq!(no.status, StatusCode::UNPROCESSABLE_ENTITY, "a no says why");
    let yes = publisher.submit(&page, &path, &[("action", "approve")]).await;

    assert!(yes.body.contains("Nothing waits"), "{}", yes.body);
    let page = ann.get(&format!("/subscriptions/{}", made.id)).await;
    assert!(page.body.contains("in force"), "{}", page.body);
    let mut other = signed_in(&p, "bob", None).await;
    assert_eq!(other.get(&format!("/subscriptions/{}", made.id)).await.status, StatusCode::NOT_FOUND);
    assert_eq!(publisher.get(&format!("/console/consumers/{home}")).await.status, StatusCode::OK);
});

/// A call of the application, as a gateway reports it.
async fn called(p: &Platform, first: u64, request: &str, client: Option<&str>, grant: Option<&str>) {
    let way = Way {
        identified_ns: Some(1_000),
        token: Some("hit".to_owned()),
        token_end: Some("aB3xyz".to_owned()),
        grant: grant.map(str::to_owned),
        ..Way::default()
    };
    let record = UsageRecord {
        client: client.map(str::to_owned),
        way: Some(Box::new(way)),
        ..record(request, p.clock.shared().now(), None, Outcome::Served)
    };
    assert_eq!(send(p, "edge-1", &batch("g1", first, vec![record])).await.status, StatusCode::OK);
}

store_test!(the_newest_call_is_shown_and_what_it_was_made_with_ended, MIGRATIONS, |db: TestDb| async move {
    let fake = Fake::ours();
    let config = Config { peer: fake.peer(), ..config(&db) };
    let p = Platform::with(db, config).await;
    let mut admin = signed_in(&p, "adam", Some(Role::Administrator)).await;
    let mut publisher = signed_in(&p, "pia", Some(Role::Publisher)).await;
    let mut cx = p.cx(Actor::System);
    people::found(&mut cx, "Acme", Some("acme")).await.unwrap();
    let wanted = applications::Wanted {
        name: "Bright Books".to_owned(),
        kind: applications::Kind::Service,
        redirect_uris: Vec::new(),
        scopes: Vec::new(),
    };
    let id = applications::create(&mut cx, "acme", &wanted).await.unwrap().id;
    cx.commit().await.unwrap();
    let client = applications::go_on(&p.management, &id).await.unwrap().unwrap().client.unwrap();

    assert!(admin.get("/console").await.body.contains("No calls yet"));
    assert_eq!(admin.get_once("/console/live?after=0").await.status, StatusCode::NO_CONTENT);
    called(&p, 1, "request-1", Some(&client), Some("grant-1")).await;
    let part = admin.get("/console/live?after=0").await;
    assert!(part.body.contains("…aB3xyz") && part.body.contains("Bright Books"), "{}", part.body);
    assert!(part.body.contains("data-seq=\"1\"") && part.body.contains("/console/calls/request-1/revoke"));
    assert_eq!(admin.get_once("/console/live?after=1").await.status, StatusCode::NO_CONTENT);
    assert!(admin.get("/console").await.body.contains("…aB3xyz"));
    assert!(!publisher.get("/console").await.body.contains("/revoke"), "who may not is not offered it");

    let path = "/console/calls/request-1/revoke";
    let page = admin.get(path).await;
    assert!(page.body.contains("grant-1") && page.body.contains("Everything that Bright Books holds"), "{}", page.body);
    let csrf = page.body.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let form = |what: &str, csrf: &str| [("csrf".to_owned(), csrf.to_owned()), ("what".to_owned(), what.to_owned())];
    assert_eq!(admin.post(path, &form("grant", "forged")).await.status, StatusCode::FORBIDDEN);
    assert_eq!(admin.post(path, &form("", &csrf)).await.status, StatusCode::BAD_REQUEST);
    let theirs = publisher.get("/console/plans/new").await;
    let their_csrf = theirs.body.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    assert_eq!(publisher.post(path, &form("grant", &their_csrf)).await.status, StatusCode::FORBIDDEN);
    assert_eq!(fake.revoked(), []);

    let done = admin.post(path, &form("grant", &csrf)).await;

    assert!(done.body.contains("Revoked: 1 grant"), "{}", done.body);
    admin.post(path, &form("all", &csrf)).await;
    assert_eq!(fake.revoked(), [(client.clone(), Some("grant-1".to_owned())), (client.clone(), None)]);
    // A call whose grant nobody told is not taken for all of them; a client from elsewhere is told of.
    called(&p, 2, "request-2", Some(&client), None).await;
    let nameless = "/console/calls/request-2/revoke";
    assert!(!admin.get(nameless).await.body.contains("revoke-grant"));
    assert_eq!(admin.post(nameless, &form("grant", &csrf)).await.status, StatusCode::BAD_REQUEST);
    called(&p, 3, "request-3", Some("elsewhere"), Some("grant-9")).await;
    assert!(admin.get("/console/calls/request-3").await.body.contains("was not registered by this portal"));
    assert_eq!(admin.post("/console/calls/request-3/revoke", &form("all", &csrf)).await.status, StatusCode::CONFLICT);
    called(&p, 4, "request-4", None, None).await;
    assert_eq!(admin.get_once("/console/calls/request-4/revoke").await.status, StatusCode::NOT_FOUND);
    assert_eq!(fake.revoked().len(), 2);
});

store_test!(with_another_identity_system_nothing_is_offered_and_why, MIGRATIONS, |db: TestDb| async move {
    let fake = Fake::another();
    let config = Config { peer: fake.peer(), ..config(&db) };
    let p = Platform::with(db, config).await;
    let mut admin = signed_in(&p, "adam", Some(Role::Administrator)).await;
    let mut cx = p.cx(Actor::System);
    people::found(&mut cx, "Acme", Some("acme")).await.unwrap();
    let wanted = applications::Wanted {
        name: "Bright Books".to_owned(),
        kind: applications::Kind::Service,
        redirect_uris: Vec::new(),
        scopes: Vec::new(),
    };
    let id = applications::create(&mut cx, "acme", &wanted).await.unwrap().id;
    cx.commit().await.unwrap();
    let client = applications::go_on(&p.management, &id).await.unwrap().unwrap().client.unwrap();

    called(&p, 1, "request-1", Some(&client), None).await;

    for path in ["/console", "/console/calls/request-1", "/console/calls/request-1/revoke"] {
        let page = admin.get(path).await;
        assert!(page.body.contains("no way for a portal to revoke"), "{path}: {}", page.body);
        assert!(!page.body.contains("revoke-all") && !page.body.contains("request-1/revoke\""), "{path}");
    }
});

store_test!(the_palette_finds_what_there_is_for_who_may_read, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let mut auditor = signed_in(&p, "aud", Some(Role::Auditor)).await;
    let mut publisher = signed_in(&p, "pia", Some(Role::Publisher)).await;
    import(&mut publisher, "publish", DOCUMENT).await;
    let mut cx = p.cx(Actor::System);
    people::found(&mut cx, "Acme_100% Ltd", Some("acme")).await.unwrap();
    let wanted = applications::Wanted {
        name: "Bright Orders".to_owned(),
        kind: applications::Kind::Service,
        redirect_uris: Vec::new(),
        scopes: Vec::new(),
    };
    let id = applications::create(&mut cx, "acme", &wanted).await.unwrap().id;
    cx.commit().await.unwrap();
    called(&p, 1, "request-1", Some("c"), None).await;

    let ask = async |browser: &mut Browser, q: &str| {
        let page = browser.get_once(&format!("/console/find?q={q}")).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        let found: Vec<serde_json::Value> = serde_json::from_str(&page.body).unwrap();
        found.iter().map(|one| one["href"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ask(&mut auditor, "ORDERS").await, ["/console/apis/orders".to_owned(), format!("/applications/{id}")]);
    assert_eq!(ask(&mut auditor, "request-1").await, ["/console/calls/request-1"]);
    assert_eq!(ask(&mut auditor, "e_100%25").await, ["/console/consumers/acme"]);
    for nothing in ["", "%25%25", "x_y", "'%20OR%201=1"] {
        assert!(ask(&mut auditor, nothing).await.is_empty(), "{nothing}");
    }
    let mut consumer = signed_in(&p, "ann", None).await;
    assert_eq!(consumer.get_once("/console/find?q=orders").await.status, StatusCode::FORBIDDEN);
    let mut stranger = Browser::new(p.public(), URL);
    assert_eq!(stranger.get_once("/console/find?q=orders").await.status, StatusCode::SEE_OTHER);
});
