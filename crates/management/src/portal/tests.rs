//! What developers see and do, over the router, with a scripted identity system.

use std::sync::{Arc, Mutex};

use ::http::{Method, Request, Response, StatusCode};
use base::peer::{Limits, Peer, PeerError};
use bytes::Bytes;
use catalog::usage::{Outcome, UsageRecord, Way};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use testkit::browser::Page;
use testkit::db::TestDb;
use testkit::{Browser, store_test};
use web::Fields;

use crate::actor::Role;
use crate::console::tests::{DOCUMENT, import, signed_in};
use crate::tests::Platform;
use crate::tests::house::{ISSUER, URL};
use crate::usage::tests::{batch, record, send};
use crate::{Cx, MIGRATIONS};

/// Registers clients and gives tokens; or is away.
#[derive(Default)]
struct Issuer(Mutex<Inside>);

#[derive(Default)]
struct Inside {
    away: bool,
    registered: Vec<Value>,
    tokens: Vec<(String, String)>,
}

impl Issuer {
    fn answer(&self, request: &Request<Bytes>) -> (u16, Value) {
        let mut inside = self.0.lock().unwrap();
        let fields = Fields::parse(request.body()).unwrap_or_default();
        match (request.method(), request.uri().path()) {
            (_, "/.well-known/openid-configuration") => (
                200,
                json!({
                    "issuer": ISSUER, "authorization_endpoint": format!("{ISSUER}/authorize"), "token_endpoint": format!("{ISSUER}/token"),
                    "registration_endpoint": format!("{ISSUER}/register"), "jwks_uri": format!("{ISSUER}/jwks"),
                }),
            ),
            (_, "/token") if fields.text("scope") == "client.register" => {
                (200, json!({"access_token": "registrar", "token_type": "Bearer", "expires_in": 300}))
            }
            (_, "/token") => {
                let client = request.headers()["authorization"].to_str().unwrap().to_owned();
                inside.tokens.push((client, fields.text("scope").to_owned()));
                (
                    200,
                    json!({"access_token": format!("token-{}", inside.tokens.len()), "token_type": "Bearer", "expires_in": 300}),
                )
            }
            (&Method::POST, "/register") if !inside.away => {
                let mut document: Value = serde_json::from_slice(request.body()).unwrap();
                let id = format!("client-{}", inside.registered.len() + 1);
                document["client_id"] = id.clone().into();
                document["client_secret"] = format!("secret of {id}").into();
                document["registration_client_uri"] = format!("{ISSUER}/register/{id}").into();
                document["registration_access_token"] = "t".into();
                inside.registered.push(document.clone());
                (201, document)
            }
            _ => (503, json!({})),
        }
    }
}

impl Peer for Issuer {
    fn call(&self, request: Request<Bytes>, _: Limits) -> BoxFuture<'_, Result<Response<Bytes>, PeerError>> {
        let (status, body) = self.answer(&request);
        let response = Response::builder().status(status).body(Bytes::from(body.to_string())).unwrap();
        Box::pin(std::future::ready(Ok(response)))
    }
}

/// With the API `orders` published, and this plan of it.
async fn house(db: TestDb, plan: Value) -> (Platform, Arc<Issuer>, Browser) {
    let issuer = Arc::new(Issuer::default());
    let p = Platform::asking(db, issuer.clone()).await;
    let mut publisher = signed_in(&p, "pia", Some(Role::Publisher)).await;
    import(&mut publisher, "publish", DOCUMENT).await;
    let mut cx = Cx::system(&p.management);
    crate::plans::put(&mut cx, "free", &plan).await.unwrap();
    cx.commit().await.unwrap();
    let ann = signed_in(&p, "ann", None).await;
    (p, issuer, ann)
}

fn free() -> Value {
    json!({"title": "Free", "apis": ["orders"], "quota": {"requests": 100, "per": "day"}})
}

async fn ask(browser: &mut Browser, csrf: &str) -> (StatusCode, Value) {
    let mut browser = browser.clone().with("accept", "application/json");
    let fields = [("csrf".to_owned(), csrf.to_owned()), ("operation".to_owned(), "readOrder".to_owned())];
    let page = browser.post_once("/apis/orders/token", &fields).await;
    (page.status, serde_json::from_str(&page.body).unwrap_or_default())
}

fn csrf(page: &Page) -> String {
    page.form("logout").value("csrf").to_owned()
}

store_test!(strangers_see_what_is_for_everybody, MIGRATIONS, |db: TestDb| async move {
    let (p, _issuer, mut ann) = house(db, free()).await;
    let mut stranger = Browser::new(p.public(), URL);

    let first = stranger.get("/").await;

    assert_eq!(first.status, StatusCode::OK);
    assert!(first.header("content-security-policy").contains("default-src 'none'"));
    assert!(!first.body.contains("/apis/orders"), "it is for signed-in people");
    let asked = stranger.get_once("/apis/orders").await;
    assert_eq!((asked.status, asked.location()), (StatusCode::SEE_OTHER, Some("/login?return_to=%2Fapis%2Forders")));
    assert!(ann.get("/").await.body.contains("/apis/orders"));
    let page = ann.get("/apis/orders/operations/readOrder").await;
    assert!(page.body.contains("orders.read") && page.body.contains("https:&#x2f;&#x2f;api.example"), "{}", page.body);
    assert!(page.header("content-security-policy").contains("connect-src 'self' https://api.example"));
    assert_eq!(ann.get("/apis/orders/operations/none").await.status, StatusCode::NOT_FOUND);
});

store_test!(an_application_is_made_subscribed_and_its_secret_shown_once, MIGRATIONS, |db: TestDb| async move {
    let (p, issuer, mut ann) = house(db, free()).await;
    let form = ann.get("/applications/new?api=orders").await;
    let wrong = ann.submit(&form, "application", &[("name", ""), ("kind", "web"), ("redirect_uris", "kept")]).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong.body.contains(">kept</textarea>"), "{}", wrong.body);

    let page = ann.submit(&form, "application", &[("name", "Shop"), ("kind", "service")]).await;
    assert!(page.body.contains("client-1") && page.body.contains("Show the secret"), "{}", page.body);
    let path = format!("/applications/{}", p_application(&p, "Shop").await);
    let shown = ann.submit(&page, "show", &[("action", "show")]).await;

    assert!(shown.body.contains("secret of client-1"), "{}", shown.body);
    let again =
        ann.post_once(&path, &[("csrf".to_owned(), csrf(&shown)), ("action".to_owned(), "show".to_owned())]).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    assert!(!ann.get(&path).await.body.contains("secret of client-1"));
    let api = ann.get("/apis/orders").await;
    let subscription = ann.submit(&api, "subscribe-free", &[("application", path.rsplit('/').next().unwrap())]).await;
    assert!(subscription.body.contains("in force") && subscription.body.contains("100"), "{}", subscription.body);
    assert_eq!(issuer.0.lock().unwrap().registered.len(), 1);
    let mut bob = signed_in(&p, "bob", None).await;
    let theirs = bob.get("/applications").await;
    assert!(!theirs.body.contains("Shop"));
    assert_eq!(bob.get(&path).await.status, StatusCode::NOT_FOUND);
    for (path, action) in [(path.as_str(), "delete"), (path.as_str(), "show"), (path.as_str(), "rotate")] {
        let fields = [("csrf".to_owned(), csrf(&theirs)), ("action".to_owned(), action.to_owned())];
        assert_eq!(bob.post_once(path, &fields).await.status, StatusCode::NOT_FOUND, "{action}");
    }
    let stolen = [
        ("csrf".to_owned(), csrf(&theirs)),
        ("plan".to_owned(), "free".to_owned()),
        ("application".to_owned(), path.rsplit('/').next().unwrap().to_owned()),
    ];
    assert_eq!(bob.post_once("/apis/orders/subscribe", &stolen).await.status, StatusCode::NOT_FOUND);
});

async fn p_application(p: &Platform, name: &str) -> String {
    let mut cx = Cx::system(&p.management);
    let all = crate::applications::list(&mut cx, &crate::applications::Filter::default(), 100).await.unwrap();
    all.into_iter().find(|one| one.name == name).unwrap().id
}

store_test!(calls_are_found_by_their_request_id_by_those_whose_they_are, MIGRATIONS, |db: TestDb| async move {
    let (p, _issuer, mut ann) = house(db, free()).await;
    let form = ann.get("/applications/new").await;
    ann.submit(&form, "application", &[("name", "Shop"), ("kind", "service")]).await;
    let now = p.clock.shared().now();
    // It has no subscription, and never had one.
    let refused = |id: &str, status: u16, reason: &str, way: Way| UsageRecord {
        client: Some("client-1".to_owned()),
        status,
        reason: Some(reason.to_owned()),
        way: Some(Box::new(way)),
        ..record(id, now, None, if status < 500 { Outcome::Refused } else { Outcome::Failed })
    };
    let text = |text: &str| Some(text.to_owned());
    let rules = Way { told: text("Closed at night."), policies: text("at-night house-rules"), ..Way::default() };
    let parts = text("order;outcome=done;status=200, stock;outcome=failed;error=unreachable");
    let parts = Way { parts, ..Way::default() };
    let records = vec![
        refused("r-policy", 403, "policy_denied", rules),
        refused("r-part", 502, "part_unreachable", parts.clone()),
        refused("r-hidden", 502, "part_unreachable", Way { parts_withheld: true, ..parts }),
    ];
    assert_eq!(send(&p, "edge-1", &batch("g1", 1, records)).await.status, StatusCode::OK);
    let mut operator = signed_in(&p, "olga", Some(Role::Auditor)).await;
    let mut eve = signed_in(&p, "eve", None).await;

    for id in ["r-policy", "r-part", "r-hidden"] {
        let path = format!("/calls/{id}");
        assert_eq!(ann.get(&path).await.status, StatusCode::OK, "{id}");
        assert_eq!(eve.get(&path).await.status, StatusCode::NOT_FOUND, "{id}");
        assert_eq!(ann.get(&format!("/console/calls/{id}")).await.status, StatusCode::FORBIDDEN, "{id}");
    }
    let (mine, theirs) = (ann.get("/calls/r-policy").await.body, operator.get("/console/calls/r-policy").await.body);
    assert!(mine.contains("Closed at night.") && !mine.contains("house-rules"), "{mine}");
    assert!(theirs.contains("Closed at night.") && theirs.contains("house-rules"), "{theirs}");
    let mine = ann.get("/calls/r-part").await.body;
    assert!(mine.contains("stock") && mine.contains("its backend could not be reached"), "{mine}");
    let (mine, theirs) = (ann.get("/calls/r-hidden").await.body, operator.get("/console/calls/r-hidden").await.body);
    assert!(!mine.contains("stock") && theirs.contains("stock") && theirs.contains("The caller was not told"));
});

store_test!(identity_away_is_told_plainly, MIGRATIONS, |db: TestDb| async move {
    let (_p, issuer, mut ann) = house(db, free()).await;
    issuer.0.lock().unwrap().away = true;
    let form = ann.get("/applications/new").await;

    let page = ann.submit(&form, "application", &[("name", "Shop"), ("kind", "service")]).await;

    assert!(
        page.body.contains("waits for the identity system") && page.body.contains("Nothing is lost"),
        "{}",
        page.body
    );
});

store_test!(a_token_to_try_with_is_that_of_an_application_of_ones_own, MIGRATIONS, |db: TestDb| async move {
    let (p, issuer, mut ann) = house(db, free()).await;
    let page = ann.get("/apis/orders/operations/readOrder").await;

    let (status, lent) = ask(&mut ann, &csrf(&page)).await;

    assert_eq!(status, StatusCode::OK, "{lent}");
    assert_eq!((lent["access_token"].as_str(), lent["fresh"].as_bool()), (Some("token-1"), Some(true)));
    let (_, second) = ask(&mut ann, &csrf(&page)).await;
    assert_eq!(second["fresh"].as_bool(), Some(false));
    {
        let inside = issuer.0.lock().unwrap();
        assert_eq!(inside.registered.len(), 1, "once for the organisation");
        assert_eq!(inside.tokens[0].1, "orders.read");
    }
    assert!(ann.get("/applications").await.body.contains("Try it"), "it is one like any other");
    let mut bob = signed_in(&p, "bob", None).await;
    let page = bob.get("/").await;
    assert_eq!(ask(&mut bob, &csrf(&page)).await.0, StatusCode::OK);
    {
        let inside = issuer.0.lock().unwrap();
        assert_eq!(inside.registered.len(), 2, "another organisation has its own");
        assert_ne!(inside.tokens[0].0, inside.tokens[2].0);
    }
    let mut cx = p.nobody();
    let rows = cx.tx.read("SELECT secret FROM try_clients", &[]).await.unwrap();
    assert!(rows.iter().all(|row| !row.text("secret").unwrap().contains("secret of")), "sealed");
});

store_test!(no_token_without_a_session_a_form_and_a_free_plan, MIGRATIONS, |db: TestDb| async move {
    let priced = json!({"title": "Gold", "apis": ["orders"], "price": {"currency": "EUR", "monthly": "9.00"}});
    let (p, issuer, mut ann) = house(db, priced).await;
    let page = ann.get("/").await;

    let (status, told) = ask(&mut ann, &csrf(&page)).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(told["title"].as_str().unwrap().contains("plan"), "{told}");
    assert_eq!(ask(&mut ann, "").await.0, StatusCode::FORBIDDEN);
    let mut stranger = Browser::new(p.public(), URL);
    assert_eq!(ask(&mut stranger, &csrf(&page)).await.0, StatusCode::UNAUTHORIZED);
    assert!(issuer.0.lock().unwrap().tokens.is_empty());
});

store_test!(tokens_to_try_with_are_limited_for_each_person_alone, MIGRATIONS, |db: TestDb| async move {
    let (p, issuer, mut ann) = house(db, free()).await;
    let page = ann.get("/apis/orders/operations/readOrder").await;
    let csrf_of_ann = csrf(&page);
    for turn in 0..20 {
        assert_eq!(ask(&mut ann, &csrf_of_ann).await.0, StatusCode::OK, "{turn}");
    }
    let before = issuer.0.lock().unwrap().tokens.len();

    let fields = [("csrf".to_owned(), csrf_of_ann.clone()), ("operation".to_owned(), "readOrder".to_owned())];
    let (status, told) = ask(&mut ann, &csrf_of_ann).await;
    let as_page = ann.post_once("/apis/orders/token", &fields).await;

    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "{told}");
    assert_eq!(told["type"], "https://cardea.dev/problems/rate_limited");
    assert_eq!((as_page.status, as_page.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, "3"));
    assert!(as_page.body.contains("too fast"), "{}", as_page.body);
    assert_eq!(issuer.0.lock().unwrap().tokens.len(), before, "nobody else was asked for them");
    // Others go on, also of the same organisation; and she herself at everything else.
    let mut cx = Cx::system(&p.management);
    let member = crate::people::arrive(&mut cx, "https://id.example", "cleo", "cleo", None).await.unwrap();
    let ours = crate::people::arrive(&mut cx, "https://id.example", "ann", "ann", None).await.unwrap();
    let home = ours.memberships.first().unwrap().organisation.clone();
    crate::people::make_member(&mut cx, &home, &member.id, crate::actor::Role::Developer).await.unwrap();
    cx.commit().await.unwrap();
    for name in ["cleo", "bob"] {
        let mut other = signed_in(&p, name, None).await;
        let page = other.get("/").await;
        assert_eq!(ask(&mut other, &csrf(&page)).await.0, StatusCode::OK, "{name}");
    }
    let form = ann.get("/applications/new").await;
    let made = ann.submit(&form, "application", &[("name", "Shop"), ("kind", "service")]).await;
    assert_eq!(made.status, StatusCode::OK);
    p.clock.advance(std::time::Duration::from_secs(3));
    assert_eq!(ask(&mut ann, &csrf_of_ann).await.0, StatusCode::OK, "one more");
    assert_eq!(ask(&mut ann, &csrf_of_ann).await.0, StatusCode::TOO_MANY_REQUESTS);
});

store_test!(members_are_invited_by_a_link_that_works_once, MIGRATIONS, |db: TestDb| async move {
    let (p, _issuer, mut ann) = house(db, free()).await;
    let page = ann.get("/organisation").await;

    let made = ann.submit(&page, "invite-form", &[("role", "developer"), ("note", "Bob")]).await;

    let link = made.body.split("id=\"invitation-link\">").nth(1).unwrap().split('<').next().unwrap();
    let path = link.replace("&#x2f;", "/").strip_prefix(URL).unwrap().to_owned();
    let mut bob = signed_in(&p, "bob", None).await;
    let invitation = bob.get(&path).await;
    assert!(invitation.body.contains("You are invited"), "{}", invitation.body);
    let joined = bob.submit(&invitation, "accept", &[]).await;
    assert_eq!(joined.status, StatusCode::OK);
    assert!(joined.body.contains("developer"));
    let mut eve = signed_in(&p, "eve", None).await;
    assert_eq!(eve.get(&path).await.status, StatusCode::NOT_FOUND);
    // A developer sees members and changes none.
    let csrf = csrf(&joined);
    let fields = [
        ("csrf".to_owned(), csrf),
        ("action".to_owned(), "invite".to_owned()),
        ("role".to_owned(), "owner".to_owned()),
    ];
    assert_eq!(bob.post_once("/organisation", &fields).await.status, StatusCode::FORBIDDEN);
});

store_test!(a_page_of_an_endless_document_is_shown, MIGRATIONS, |db: TestDb| async move {
    let (p, _issuer, _ann) = house(db, free()).await;
    let mut publisher = signed_in(&p, "pia", Some(Role::Publisher)).await;
    let endless = json!({"type": "array", "items": {"$ref": "#/components/schemas/Order"}}).to_string();
    let document = DOCUMENT.replace("Orders", "Endless").replace("readOrder", "readEndless");
    let (before, after) = document.split_once("\"Order\": ").unwrap();
    let document = format!("{before}\"Order\": {endless}{}", after.split_once("}}}").unwrap().1);
    let made = import(&mut publisher, "publish", &document.replace("/orders/{id}", "/endless/{id}")).await;
    assert!(made.body.contains("published"), "{}", made.body);

    let page = publisher.get("/apis/endless/operations/readEndless").await;

    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
});

store_test!(scopes_come_with_a_subscription_in_force_and_not_before, MIGRATIONS, |db: TestDb| async move {
    let manual = json!({"title": "Free", "apis": ["orders"], "approval": "manual"});
    let (p, issuer, mut ann) = house(db, manual).await;
    let form = ann.get("/applications/new").await;
    ann.submit(&form, "application", &[("name", "Shop"), ("kind", "service")]).await;
    let application = p_application(&p, "Shop").await;

    let page = ann.get("/apis/orders").await;
    let asked = ann.submit(&page, "subscribe-free", &[("application", application.as_str())]).await;

    assert!(asked.body.contains("waits for the provider"), "{}", asked.body);
    let found = crate::applications::find(&mut Cx::system(&p.management), &application).await.unwrap().unwrap();
    assert!(found.scopes.is_empty(), "{found:?}");
    // Neither does the application to try with get them ahead of a plan that can be had.
    let page = ann.get("/apis/orders/operations/readOrder").await;
    assert_eq!(ask(&mut ann, &csrf(&page)).await.0, StatusCode::CONFLICT);
    assert!(issuer.0.lock().unwrap().registered.iter().all(|client| client["scope"].is_null()));
});

store_test!(a_token_is_for_an_operation_that_is_there_and_is_told, MIGRATIONS, |db: TestDb| async move {
    let (p, issuer, mut ann) = house(db, free()).await;
    let page = ann.get("/apis/orders/operations/readOrder").await;
    let mut asking = ann.clone().with("accept", "application/json");
    for operation in ["", "none"] {
        let fields = [("csrf".to_owned(), csrf(&page)), ("operation".to_owned(), operation.to_owned())];
        assert_eq!(asking.post_once("/apis/orders/token", &fields).await.status, StatusCode::NOT_FOUND);
    }
    assert!(issuer.0.lock().unwrap().tokens.is_empty(), "no token of all scopes was asked for");

    assert_eq!(ask(&mut ann, &csrf(&page)).await.0, StatusCode::OK);

    let told = crate::audit::list(&mut p.nobody(), &crate::audit::Filter::default(), 20).await.unwrap();
    let lent = told.iter().find(|entry| entry.act == "token.lent").unwrap();
    assert!(lent.actor.starts_with("person:") && lent.detail["scopes"] == json!(["orders.read"]), "{lent:?}");
    assert!(!lent.detail.to_string().contains("token-1"));
});
