//! The console's pages of policies, with an entitlement system that is down, refuses, lies or tells what it should.

mod fake;

use std::sync::Arc;
use std::time::Duration;

use ::http::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::browser::Page;
use testkit::db::TestDb;
use testkit::{Browser, store_test};

use crate::actor::Role;
use crate::audit::Filter;
use crate::console::tests::signed_in;
use crate::tests::Platform;
use crate::tests::house::config;
use crate::{Cx, EntitlementPeer, MIGRATIONS, audit};
use fake::{BAD_MOODS, Fake, Mood, PDP, SECRET};

/// With slashes as they are; pages write them with a number.
fn plain(page: &Page) -> String {
    page.body.replace("&#x2f;", "/")
}

/// Every page that reads.
const PAGES: &[&str] = &[
    "/console/policies",
    "/console/policies?q=ALL&effect=permit",
    "/console/policies/versions",
    "/console/policies/versions/2",
    "/console/policies/history",
    "/console/policies/difference?from=1&to=2",
    "/console/policies/decisions",
    "/console/policies/decisions?subject=ann&decision=deny&from=2026-11-22T10:00",
    "/console/policies/explain",
];

async fn platform(db: TestDb, fake: &Fake) -> Platform {
    let entitlement = EntitlementPeer { url: PDP.to_owned(), secret: SECRET.into(), timeout: Duration::from_secs(5) };
    let config = crate::Config { peer: Arc::new(fake.clone()), entitlement: Some(entitlement), ..config(&db) };
    Platform::with(db, config).await
}

fn question() -> Vec<(&'static str, &'static str)> {
    vec![
        ("subject_type", "user"),
        ("subject_id", "ann"),
        ("subject_properties", "{\"roles\": [\"doctor\"]}"),
        ("action", "call"),
        ("resource_type", "operation"),
        ("resource_id", "a/b"),
        ("context", "{\"authentication\": {\"acr\": \"2\"}}"),
    ]
}

async fn ask(browser: &mut Browser, set: &[(&str, &str)]) -> Page {
    let page = browser.get("/console/policies/explain").await;
    let mut fields = question();
    fields.extend(set);
    browser.submit(&page, "explain", &fields).await
}

store_test!(without_an_entitlement_system_the_pages_say_how_to_name_it, MIGRATIONS, |db: TestDb| async move {
    let p = Platform::on(db).await;
    let mut browser = signed_in(&p, "adam", Some(Role::Administrator)).await;

    for path in PAGES.iter().chain(&["/console/policies/versions/2/publish"]) {
        let page = browser.get(path).await;

        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert!(page.body.contains("entitlement:\n    url:"), "{path}: {}", page.body);
    }
});

store_test!(whatever_is_wrong_with_the_entitlement_system_a_page_says_so, MIGRATIONS, |db: TestDb| async move {
    let fake = Fake::new();
    let p = platform(db, &fake).await;
    let mut browser = signed_in(&p, "adam", Some(Role::Administrator)).await;
    let form = browser.get("/console/policies/explain").await.form("explain").with(&question());
    let publish = browser.get("/console/policies/versions/1/publish").await.form("publish").with(&[("comment", "why")]);

    for (at, mood) in BAD_MOODS.iter().enumerate() {
        fake.with(|inside| inside.mood = *mood);
        let mut pages = Vec::new();
        // Each page with one of the moods, and all with the first.
        let some = PAGES.iter().chain(&["/console/policies/versions/1/publish"]).enumerate();
        for path in some.filter(|(nth, _)| at == 0 || nth % BAD_MOODS.len() == at).map(|(_, path)| path) {
            pages.push((*path, browser.get(path).await));
        }
        pages.push(("explain", browser.post("/console/policies/explain", &form).await));
        pages.push(("publish", browser.post("/console/policies/versions/1/publish", &publish).await));
        for (path, page) in pages {
            assert!(
                [StatusCode::BAD_GATEWAY, StatusCode::GATEWAY_TIMEOUT].contains(&page.status),
                "{mood:?} {path}: {}",
                page.status
            );
            let says = ["What to do", "Try again", PDP.trim_start_matches("https://")];
            assert!(says.iter().all(|words| page.body.contains(words)), "{mood:?} {path}: {}", page.body);
            assert!(!page.body.contains(SECRET) && !page.body.contains("<b>database"), "{mood:?} {path}");
            assert!(!page.body.contains("cannot be shown"), "{mood:?} {path}");
        }
    }
    let told = |mood: Mood| {
        fake.with(|inside| inside.mood = mood);
    };
    told(Mood::WrongSecret);
    assert!(browser.get("/console/policies").await.body.contains("management.entitlement.secret"));
    told(Mood::NoRight);
    assert!(browser.get("/console/policies").await.body.contains("the right `read`"));
    told(Mood::Slow);
    assert!(browser.get("/console/policies").await.body.contains("within 5000 ms"));
});

store_test!(texts_of_policies_are_texts_on_pages, MIGRATIONS, |db: TestDb| async move {
    let fake = Fake::new();
    let evil = json!({"id": "<script>alert(1)</script>", "effect": "forbid", "file": "\"><script>.cedar", "line": 3, "reason": "<img src=x onerror=alert(2)>"});
    fake.with(|inside| {
        inside.versions[1]["source"]["files"][0]["name"] = json!("\"><script>.cedar");
        inside.versions[1]["comment"] = json!("<script>alert(3)</script>");
        inside.versions[1]["author"] = json!("<script>alert(4)</script>");
        inside.history[1]["comment"] = json!("<script>alert(5)</script>");
        inside.decisions = vec![json!({
            "decided_at": 1, "caller": "<script>", "request_id": "<script>alert(6)</script>", "subject_type": "<script>", "subject_id": "\"><script>", "action": "<script>",
            "resource_type": "<script>", "resource_id": "<script>/\"x", "decision": "deny", "verdict": "<script>", "reasons": ["<script>"], "version": 2,
        })];
        inside.explanation = json!({"missing": ["<script>"], "explanation": {
            "decision": {"allow": false, "verdict": "<script>", "reasons": [evil], "errors": ["<script>"]},
            "considered": [{"policy": evil, "applies": true, "scope": "holds", "conditions": [{"text": "<script>", "outcome": "<script>"}]},
                {"policy": evil, "applies": false, "scope": "fails", "conditions": []}],
        }});
    });
    let p = platform(db, &fake).await;
    let mut browser = signed_in(&p, "adam", Some(Role::Administrator)).await;

    let mut pages = vec![ask(&mut browser, &[("version", "2")]).await];
    for path in PAGES.iter().chain(&["/console/policies/versions/1/publish", "/console/policies/versions/2/publish"]) {
        pages.push(browser.get(path).await);
    }
    for page in pages {
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        let scripts: Vec<&str> = page.body.match_indices("<script").map(|(at, _)| &page.body[at..at + 14]).collect();
        let ours = !scripts.is_empty() && scripts.iter().all(|script| *script == "<script src=\"/");
        assert!(ours, "{}: {scripts:?} {}", page.url, page.body);
        assert!(
            !page.body.contains("<img") && !page.body.contains("<u>") && !page.body.contains("<i>9"),
            "{}",
            page.url
        );
    }
});

store_test!(what_is_in_force_is_shown_with_its_places, MIGRATIONS, |db: TestDb| async move {
    let fake = Fake::new();
    let p = platform(db, &fake).await;
    let mut browser = signed_in(&p, "otto", Some(Role::Auditor)).await;

    let page = browser.get("/console/policies").await;
    assert!(
        ["1", "3"].iter().all(|line| plain(&page).contains(&format!("versions/2#p.cedar-{line}\""))),
        "{}",
        page.body
    );
    assert!(page.body.contains("by operator ann") && page.body.contains("&lt;b&gt;odd"), "{}", page.body);
    let one = browser.get("/console/policies?q=ALL").await;
    assert!(one.body.contains("p.cedar:1") && !one.body.contains("onerror"), "{}", one.body);
    assert!(browser.get("/console/policies?q=nowhere").await.body.contains("No policy is like that"));
    let version = browser.get("/console/policies/versions/2").await;
    assert!(version.body.contains("id=\"p.cedar-3\"") && version.body.contains("entity Ward"), "{}", version.body);
    assert!(version.body.contains(">in force<") && plain(&version).contains("a/b"), "{}", version.body);
    assert!(browser.get("/console/policies/versions").await.body.contains("before=2"));
    let difference = browser.get("/console/policies/difference?from=1&to=2").await;
    assert!(difference.body.contains("+2") && difference.body.contains("context.evil"), "{}", difference.body);
    assert!(!difference.body.contains("entity Ward"), "what is the same is not shown");
    let same = browser.get("/console/policies/difference?from=2&to=2").await;
    assert!(same.body.contains("They are the same"));
    let first = browser.get("/console/policies/difference?from=0&to=1").await;
    assert!(first.body.contains(">new<"), "{}", first.body);
    for path in [
        "/console/policies/versions/9",
        "/console/policies/versions/none",
        "/console/policies/difference?from=1&to=9",
        "/console/policies/difference",
    ] {
        assert_eq!(browser.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    fake.with(|inside| inside.history.clear());
    assert!(browser.get("/console/policies").await.body.contains("No policies are in force"));
});

store_test!(
    only_the_providers_people_see_policies_and_only_publishers_change_them,
    MIGRATIONS,
    |db: TestDb| async move {
        let fake = Fake::new();
        let p = platform(db, &fake).await;
        let mut developer = signed_in(&p, "ann", None).await;
        let mut stranger = developer.another();
        let mut auditor = signed_in(&p, "otto", Some(Role::Auditor)).await;
        let csrf = auditor.get("/console/policies/versions/2").await.form("logout").value("csrf").to_owned();
        let form = |csrf: &str| {
            let mut fields = vec![("csrf", csrf), ("comment", "mine"), ("activation", "2")];
            fields.extend(question());
            fields.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<Vec<_>>()
        };
        let developers = developer.get("/").await.form("logout").value("csrf").to_owned();
        fake.with(|inside| inside.asked.clear());

        for (path, _, _) in crate::console::routes().into_iter().filter(|(path, _, _)| path.contains("policies")) {
            let path = path.replace("{version}", "1");
            assert_eq!(stranger.get_once(&path).await.status, StatusCode::SEE_OTHER, "{path}");
            assert_eq!(developer.get_once(&path).await.status, StatusCode::FORBIDDEN, "{path}");
        }
        for path in ["/console/policies/explain", "/console/policies/versions/1/publish"] {
            assert_eq!(stranger.post_once(path, &form("")).await.status, StatusCode::SEE_OTHER, "{path}");
            assert_eq!(developer.post_once(path, &form(&developers)).await.status, StatusCode::FORBIDDEN, "{path}");
        }
        assert!(fake.asked().is_empty(), "who may not see is not asked for");
        let publish = "/console/policies/versions/1/publish";
        assert_eq!(auditor.get_once(publish).await.status, StatusCode::FORBIDDEN);
        assert_eq!(auditor.post_once(publish, &form(&csrf)).await.status, StatusCode::FORBIDDEN);
        assert!(!auditor.get("/console/policies/versions/1").await.body.contains("Roll back"));
        assert!(fake.asked().iter().all(|asked| asked.method == Method::GET));
    }
);

store_test!(a_version_is_rolled_back_by_page, MIGRATIONS, |db: TestDb| async move {
    let fake = Fake::new();
    let p = platform(db, &fake).await;
    let mut browser = signed_in(&p, "pia", Some(Role::Publisher)).await;
    let path = "/console/policies/versions/1/publish";
    assert!(browser.get("/console/policies/versions/1").await.body.contains("Roll back to it"));
    let page = browser.get(path).await;
    assert!(page.body.contains("context.evil") && page.body.contains("takes the place of version 2"), "{}", page.body);

    let silent = browser.submit(&page, "publish", &[("comment", "  ")]).await;
    assert_eq!(silent.status, StatusCode::UNPROCESSABLE_ENTITY);
    let forged = page.form("publish").with(&[("csrf", "forged"), ("comment", "x")]);
    assert_eq!(browser.post(path, &forged).await.status, StatusCode::FORBIDDEN);
    let tests = json!({"title": "the tests fail", "errors": [{"pointer": "/tests", "detail": "one: it was <denied>"}]});
    fake.with(|inside| inside.refusal = Some((StatusCode::UNPROCESSABLE_ENTITY, tests)));
    let refused = browser.submit(&page, "publish", &[("comment", "back to calm")]).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        refused.body.contains("it was &lt;denied") && refused.body.contains("value=\"back to calm\""),
        "{}",
        refused.body
    );
    let done = browser.submit(&page, "publish", &[("comment", "back to calm")]).await;

    assert_eq!((done.status, done.url.as_str()), (StatusCode::OK, "/console/policies"));
    assert!(done.body.contains("Version 1"), "{}", done.body);
    let sent: Vec<_> = fake.asked().into_iter().filter(|asked| asked.method == Method::POST).collect();
    assert_eq!(sent.len(), 2, "{sent:?}");
    assert_eq!(sent[1].path, "/admin/v1/policies/versions/1/publish");
    assert_eq!(sent[1].body, json!({"comment": "back to calm", "activation": 2, "on_behalf_of": "pia"}));
    let filter = Filter { object: Some("policies:1".to_owned()), ..Filter::default() };
    let mut entries = audit::list(&mut Cx::system(&p.management), &filter, 10).await.unwrap();
    entries.retain(|entry| entry.request_id == sent[1].request_id);
    let mut acts: Vec<&str> = entries.iter().map(|entry| entry.act.as_str()).collect();
    acts.sort_unstable();
    assert_eq!(acts, ["policies.publication_asked", "policies.published"]);
    assert!(entries.iter().all(|entry| entry.actor.starts_with("person:")), "{entries:?}");
    assert!(browser.get(path).await.body.contains("is in force already"));
});

store_test!(a_secret_that_may_only_read_is_not_used_to_publish, MIGRATIONS, |db: TestDb| async move {
    let fake = Fake::new();
    fake.with(|inside| inside.may_publish = false);
    let p = platform(db, &fake).await;
    let mut browser = signed_in(&p, "adam", Some(Role::Administrator)).await;

    let page = browser.get("/console/policies/versions/1").await;
    assert!(!page.body.contains("Roll back"), "{}", page.body);
    let page = browser.get("/console/policies/versions/1/publish").await;

    assert!(
        page.body.contains("Our secret may only read") && !page.body.contains("name=\"activation\""),
        "{}",
        page.body
    );
});

store_test!(a_question_is_explained_and_what_was_typed_stays, MIGRATIONS, |db: TestDb| async move {
    let fake = Fake::new();
    let policy = json!({"id": "doctors", "effect": "permit", "file": "p.cedar", "line": 1, "reason": "Doctors only."});
    let outcomes = ["holds", "fails", "not_reached", "error"]
        .map(|outcome| json!({"text": format!("c-{outcome}"), "outcome": outcome}));
    fake.with(|inside| {
        inside.explanation = json!({"missing": ["doctors: c-fails"], "explanation": {
            "decision": {"allow": false, "verdict": "not_permitted", "reasons": []},
            "considered": [{"policy": policy, "applies": false, "scope": "holds", "conditions": outcomes}],
        }});
    });
    let p = platform(db, &fake).await;
    let mut browser = signed_in(&p, "otto", Some(Role::Auditor)).await;

    let page = ask(&mut browser, &[]).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    let words =
        ["Denied", "No policy permits it", "doctors: c-fails", "does not hold", "not reached", "cannot be evaluated"];
    assert!(words.iter().all(|words| page.body.contains(words)), "{}", page.body);
    assert!(plain(&page).contains("versions/2#p.cedar-1"), "by the version in force");
    assert!(page.body.contains("cardea policy explain --question -"), "{}", page.body);
    let sent = fake.asked().pop().unwrap();
    let subject = json!({"type": "user", "id": "ann", "properties": {"roles": ["doctor"]}});
    assert_eq!((&sent.body["question"]["subject"], &sent.body["version"]), (&subject, &Value::Null));
    let many = fake.asked().len();
    for (field, value, says) in [
        ("context", "{\"a\": ", "write a JSON object"),
        ("subject_properties", "[1]", "write a JSON object"),
        ("subject_id", " ", "say who"),
        ("version", "first", "write its number"),
        ("version", "-1", "write its number"),
    ] {
        let bad = ask(&mut browser, &[(field, value), ("resource_id", "kept/typed")]).await;

        assert_eq!(bad.status, StatusCode::UNPROCESSABLE_ENTITY, "{field}");
        assert!(bad.body.contains(says) && bad.body.contains("href=\"#"), "{field}: {}", bad.body);
        let kept = bad.form("explain").value("resource_id").to_owned();
        let typed = value.trim().replace('"', "&quot;");
        let ends = [format!(">{typed}</textarea>"), format!("value=\"{typed}\"")];
        assert!(kept == "kept/typed" && ends.iter().any(|end| bad.body.contains(end)), "{field}: {}", bad.body);
    }
    assert!(fake.asked()[many..].iter().all(|asked| asked.method == Method::GET), "none of these was asked");
});

store_test!(decisions_lead_to_their_question, MIGRATIONS, |db: TestDb| async move {
    let fake = Fake::new();
    fake.with(|inside| {
        inside.decisions = vec![json!({
            "decided_at": 1, "caller": "gateway", "request_id": "0190-none", "subject_type": "User", "subject_id": "ann & bob", "action": "call",
            "resource_type": "Operation", "resource_id": "orders/list", "decision": "deny", "verdict": "not_permitted", "reasons": [], "version": 2,
        })];
    });
    let p = platform(db, &fake).await;
    let mut browser = signed_in(&p, "otto", Some(Role::Auditor)).await;

    let page = browser.get("/console/policies/decisions?subject=ann+%26+bob&decision=deny&from=2026-11-22T10:00").await;
    assert!(page.body.contains("not permitted, version 2") && page.body.contains("cursor=9.x"), "{}", page.body);
    assert!(!plain(&page).contains("/console/calls/0190-none"), "no such call is known");
    let asked = fake.asked().pop().unwrap();
    assert_eq!(asked.path, "/admin/v1/decisions?subject=ann+%26+bob&decision=deny&from=1795341600000&limit=50");
    let body = plain(&page);
    let link = body.split("href=\"/console/policies/explain?").nth(1).unwrap().split('"').next().unwrap();
    let link = link.replace("&amp;", "&");
    let explain = browser.get(&format!("/console/policies/explain?{link}")).await;
    let form = explain.form("explain");
    let values = ["subject_type", "subject_id", "action", "resource_type", "resource_id", "version"];
    let values = values.map(|name| form.value(name));
    assert_eq!(values, ["User", "ann & bob", "call", "Operation", "orders/list", "2"]);
    assert!(explain.body.contains(">{&quot;api&quot;:&quot;orders&quot;}</textarea>"), "{}", explain.body);
    assert!(explain.body.contains("From the decision log"));
    let bad = browser.get("/console/policies/decisions?from=yesterday&subject=ann").await;
    assert_eq!(bad.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        bad.body.contains("in UTC") && bad.body.contains("value=\"yesterday\"") && bad.body.contains("value=\"ann\"")
    );
});
