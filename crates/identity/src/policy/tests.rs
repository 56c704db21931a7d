//! A scripted decision point: what it is asked, and what its answers come to.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::Secret;
use base::peer::{Limits, Peer, PeerError};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response, StatusCode};
use serde_json::{Value, json};
use testkit::db::TestDb;
use testkit::store_test;

use crate::MIGRATIONS;
use crate::clients::{ClientSpec, Consent, GrantType};
use crate::config::{Config, PolicyMode, PolicyPoint};
use crate::tests::actors::{Answer, Caller, ORDERS};
use crate::tests::people::{PASSWORD, World, request, shop};
use crate::tests::platform::{Platform, config};

type Decide = dyn Fn(&Value, &Value) -> Value + Send + Sync;

/// Decides each evaluation by a script of (evaluation, context); keeps the questions.
struct Pdp {
    decide: Mutex<Arc<Decide>>,
    /// In place of an answer.
    instead: Mutex<Option<Result<(StatusCode, String), PeerError>>>,
    asked: Mutex<Vec<Value>>,
}

impl Pdp {
    fn script(&self, decide: impl Fn(&Value, &Value) -> Value + Send + Sync + 'static) {
        *self.decide.lock().unwrap() = Arc::new(decide);
    }

    fn instead(&self, answer: Option<Result<(StatusCode, String), PeerError>>) {
        *self.instead.lock().unwrap() = answer;
    }

    fn asked(&self) -> Vec<Value> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

struct Shared(Arc<Pdp>);

impl Peer for Shared {
    fn call(&self, request: Request<Bytes>, _: Limits) -> BoxFuture<'_, Result<Response<Bytes>, PeerError>> {
        assert_eq!(request.uri(), "https://pdp.internal/access/v1/evaluations");
        assert_eq!(request.headers()["authorization"], "Bearer the secret of the token service");
        let question: Value = serde_json::from_slice(request.body()).unwrap();
        self.0.asked.lock().unwrap().push(question.clone());
        let decide = self.0.decide.lock().unwrap().clone();
        let answers = question["evaluations"].as_array().unwrap().iter().map(|one| decide(one, &question["context"]));
        let answer = json!({"evaluations": answers.collect::<Vec<_>>()});
        let instead = self.0.instead.lock().unwrap().clone();
        Box::pin(async move {
            let (status, body) = instead.unwrap_or_else(|| Ok((StatusCode::OK, answer.to_string())))?;
            let mut response = Response::new(Bytes::from(body));
            *response.status_mut() = status;
            Ok(response)
        })
    }
}

fn with_policy(config: &mut Config, mode: PolicyMode) -> Arc<Pdp> {
    let yes: Arc<Decide> = Arc::new(|_, _| json!({"decision": true}));
    let pdp = Arc::new(Pdp { decide: Mutex::new(yes), instead: Mutex::default(), asked: Mutex::default() });
    config.peers.policy = Arc::new(Shared(pdp.clone()));
    config.policy = Some(PolicyPoint {
        url: "https://pdp.internal".to_owned(),
        secret: Secret::from("the secret of the token service"),
        timeout: Duration::from_secs(2),
        mode,
    });
    pdp
}

async fn world(db: TestDb) -> (World, Arc<Pdp>) {
    let mut pdp = None;
    let w = World::with(db, |config| pdp = Some(with_policy(config, PolicyMode::Enforce))).await;
    w.p.apply(&ClientSpec { consent: Consent::Implicit, ..shop() }).await;
    (w, pdp.unwrap())
}

async fn market(db: TestDb, mode: PolicyMode) -> (Platform, Arc<Pdp>) {
    let mut config = config(&db, "a");
    let pdp = with_policy(&mut config, mode);
    (Platform::with(db, config).await, pdp)
}

fn no(reason: &str) -> Value {
    json!({"decision": false, "context": {"reason_user": {"403": reason}, "reason_admin": {"403": "rule 7"}}})
}

fn after_login_of(max_age: i64, context: &Value, now: i64) -> Value {
    let fresh = context["authentication"]["auth_time"].as_i64().is_some_and(|at| now - at <= max_age);
    match fresh {
        true => json!({"decision": true}),
        false => json!({"decision": false, "context": {"step_up": {"max_age": max_age}}}),
    }
}

fn is_scope(evaluation: &Value, name: &str) -> bool {
    evaluation["action"]["name"] == "grant_scope" && evaluation["resource"]["id"] == name
}

store_test!(the_question_is_the_one_of_the_handbook, MIGRATIONS, |db: TestDb| async move {
    let (p, pdp) = market(db, PolicyMode::Enforce).await;
    let m = p.market().await;
    let sql = "UPDATE users SET spec = $2 WHERE user_id = $1";
    let spec = json!({
        "name": "Alice", "email": "alice@example.org",
        "attributes": {"account_nr": "4711", "roles": ["doctor"], "device": {"id": "tablet-7"}},
    });
    let mut tx = p.identity.db.begin();
    tx.execute(sql, &store::params![&m.alice, spec.to_string()]).await.unwrap();
    tx.commit().await.unwrap();
    let now = p.identity.clock.now().seconds();
    pdp.asked();

    let tokens = p.tokens(&m.shop, &m.alice, "openid orders_read").await;

    let evaluations = json!([
        {"action": {"name": "issue_token"}, "resource": {"type": "client", "id": "shop"}},
        {"action": {"name": "grant_scope"}, "resource": {"type": "scope", "id": "openid"}},
        {"action": {"name": "grant_scope"}, "resource": {"type": "scope", "id": "orders_read", "properties": {"api": ORDERS}}},
    ]);
    let expected = json!({
        "subject": {"type": "user", "id": m.alice, "properties": {
            "account_nr": "4711", "roles": ["doctor"], "device": {"id": "tablet-7"},
            "username": "alice", "name": "Alice", "email": "alice@example.org",
        }},
        "context": {
            "client": "shop",
            "authentication": {"auth_time": now, "acr": "1", "amr": ["pwd"]},
            "device": {"id": "tablet-7"},
            // Of the browser, not of the server that redeems the code.
            "network": {"address": "192.0.2.1"},
            "request": {"grant_type": "authorization_code", "scopes": ["openid", "orders_read"]},
        },
        "evaluations": evaluations,
    });
    assert_eq!(pdp.asked(), [expected]);
    // Later nobody knows where the person is, and a client that acts by itself is where it calls from.
    p.refresh(&m.shop, &tokens.text("refresh_token")).await;
    p.post_as(&m.robot, "/token", &[("grant_type", "client_credentials"), ("scope", "stock_read")]).await;
    let asked = pdp.asked();
    assert!(
        asked[0]["context"].get("network").is_none() && asked[0]["context"]["request"]["grant_type"] == "refresh_token"
    );
    assert_eq!(asked[1]["subject"], json!({"type": "client", "id": "robot"}));
    assert_eq!(asked[1]["context"]["network"], json!({"address": "192.0.2.7"}));
    assert_eq!(asked[1]["context"]["authentication"], json!({}));
});

store_test!(a_person_whom_policy_refuses_gets_nothing_and_is_told_why, MIGRATIONS, |db: TestDb| async move {
    let (w, pdp) = world(db).await;
    let mut browser = w.signed_in().await;
    pdp.script(|one, _| match one["action"]["name"] == "issue_token" {
        true => no("Only staff may use the \"shop\".\u{7}"),
        false => json!({"decision": true}),
    });

    let refused = browser.get(&request(&[])).await;
    let silent = browser.get(&request(&[("prompt", "none")])).await;

    for page in [refused, silent] {
        assert_eq!(page.parameter("error").as_deref(), Some("access_denied"), "{}", page.url);
        assert_eq!(page.parameter("error_description").as_deref(), Some("Only staff may use the 'shop'."));
        assert!(page.parameter("iss").is_some());
    }
    assert_eq!(w.count("SELECT count(*) AS count FROM grants").await, 0);
});

store_test!(consent_approves_what_policy_has_drawn, MIGRATIONS, |db: TestDb| async move {
    let (w, pdp) = world(db).await;
    w.p.apply(&shop()).await;
    let mut browser = w.signed_in().await;
    pdp.script(|one, _| json!({"decision": !is_scope(one, "profile")}));

    let page = browser.get(&request(&[("scope", "openid profile email")])).await;
    let form = page.form("consent");
    assert!(page.body.contains("value=\"email\"") && !page.body.contains("value=\"profile\""), "{}", page.body);
    let answered = browser.post("/consent", &form.with(&[("action", "allow"), ("scope", "profile")])).await;
    assert!(answered.parameter("code").is_some(), "{}", answered.url);

    let mut tx = w.p.identity.db.begin();
    let rows = tx.read("SELECT scopes FROM grants", &store::params![]).await.unwrap();
    assert_eq!(rows[0].text("scopes").unwrap(), "openid", "a tick of what was not shown is worth nothing");
    // What it may have is less by the time the form comes: it is asked anew.
    let page = browser.get(&request(&[("scope", "openid profile email"), ("prompt", "consent")])).await;
    let form = page.form("consent");
    pdp.script(|one, _| json!({"decision": !is_scope(one, "email") && !is_scope(one, "profile")}));
    let page = browser.post("/consent", &form.with(&[("action", "allow")])).await;
    assert!(page.parameter("code").is_none() && !page.body.contains("value=\"email\""), "{}", page.url);
    // And where nothing is left of what was asked, nothing is granted.
    pdp.script(
        |one, _| if one["action"]["name"] == "issue_token" { json!({"decision": true}) } else { no("not today") },
    );
    let page = browser.get(&request(&[("scope", "openid")])).await;
    assert_eq!(page.parameter("error").as_deref(), Some("access_denied"));
    assert_eq!(page.parameter("error_description").as_deref(), Some("not today"));
});

store_test!(a_login_that_would_help_is_asked_for_once, MIGRATIONS, |db: TestDb| async move {
    let (w, pdp) = world(db).await;
    let clock = w.p.clock.clone();
    let mut browser = w.signed_in().await;
    w.p.advance(1000);
    pdp.script(move |one, context| match is_scope(one, "email") {
        true => after_login_of(900, context, clock.shared().now().seconds()),
        false => json!({"decision": true}),
    });

    // Without a page it is left out, and the rest is granted.
    let silent = browser.get(&request(&[("scope", "openid email"), ("prompt", "none")])).await;
    assert!(silent.parameter("code").is_some(), "{}", silent.url);
    let page = browser.get(&request(&[("scope", "openid email")])).await;
    assert!(page.url.contains("/login"), "{}", page.url);
    let done = sign_in_here(&mut browser, &page).await;
    assert!(done.parameter("code").is_some(), "{}", done.url);
    let mut tx = w.p.identity.db.begin();
    let rows = tx.read("SELECT scopes FROM grants ORDER BY created_at", &store::params![]).await.unwrap();
    let granted: Vec<&str> = rows.iter().map(|row| row.text("scopes").unwrap()).collect();
    assert_eq!(granted, ["openid", "email openid"]);

    // For a token at all: silently it is a login that is missing; …
    w.p.advance(1000);
    let clock = w.p.clock.clone();
    pdp.script(move |_, context| after_login_of(900, context, clock.shared().now().seconds()));
    let silent = browser.get(&request(&[("prompt", "none")])).await;
    assert_eq!(silent.parameter("error").as_deref(), Some("login_required"));
    // … who has just signed in is not asked again, whatever policy thinks of it; …
    let page = browser.get(&request(&[])).await;
    pdp.script(|_, _| json!({"decision": false, "context": {"advice": {"type": "step_up", "max_age": 0}}}));
    let done = sign_in_here(&mut browser, &page).await;
    assert_eq!(done.parameter("error").as_deref(), Some("access_denied"), "{}", done.url);
    // … and nobody is asked for a login that there is not.
    w.p.advance(1000);
    pdp.script(|_, _| json!({"decision": false, "context": {"step_up": {"acr_values": ["urn:gold"], "max_age": 1}}}));
    let page = browser.get(&request(&[])).await;
    assert_eq!(page.parameter("error").as_deref(), Some("access_denied"), "{}", page.url);
});

async fn sign_in_here(browser: &mut testkit::Browser, page: &testkit::browser::Page) -> testkit::browser::Page {
    browser.submit(page, "login", &[("username", "alice"), ("password", PASSWORD)]).await
}

store_test!(an_outage_is_not_a_denial_and_issues_nothing, MIGRATIONS, |db: TestDb| async move {
    let (w, pdp) = world(db).await;
    let mut browser = w.signed_in().await;
    let whole = json!({"evaluations": [{"decision": true}, {"decision": true}, {"decision": true}]}).to_string();

    for instead in [
        Err(PeerError::Unreachable),
        Err(PeerError::TimedOut(Duration::from_secs(2))),
        Ok((StatusCode::INTERNAL_SERVER_ERROR, whole.clone())),
        Ok((StatusCode::UNAUTHORIZED, whole.clone())),
        Ok((StatusCode::OK, "yes".to_owned())),
        Ok((StatusCode::OK, json!({"decision": true}).to_string())),
        Ok((StatusCode::OK, json!({"evaluations": [{"decision": true}]}).to_string())),
        Ok((
            StatusCode::OK,
            json!({"evaluations": [{"decision": "true"}, {"decision": true}, {"decision": true}]}).to_string(),
        )),
    ] {
        pdp.instead(Some(instead.clone()));
        let page = browser.get(&request(&[])).await;
        assert_eq!(page.parameter("error").as_deref(), Some("temporarily_unavailable"), "{instead:?} {}", page.url);
    }
    pdp.instead(Some(Ok((StatusCode::OK, whole))));
    let page = browser.get(&request(&[])).await;
    assert!(page.parameter("code").is_some(), "{}", page.url);
});

store_test!(each_grant_is_asked_about_and_outlives_a_denial, MIGRATIONS, |db: TestDb| async move {
    let (p, pdp) = market(db, PolicyMode::Enforce).await;
    let m = p.market().await;
    let relay = ClientSpec {
        grant_types: vec![GrantType::TokenExchange],
        introspect: crate::scopes::Audiences::one(ORDERS),
        ..ClientSpec::named("relay")
    };
    let relay = p.client(&relay).await;
    let (_, code) = p.code("shop", &m.alice, "openid orders_read stock_read").await;
    let first = p.tokens(&m.shop, &m.alice, "openid orders_read stock_read").await;
    let (access, refresh) = (first.text("access_token"), first.text("refresh_token"));
    let all = async || -> Vec<Answer> {
        let exchange = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token", access.as_str()),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ];
        let robot = [("grant_type", "client_credentials"), ("scope", "stock_read")];
        vec![
            p.redeem(&m.shop, &code).await,
            p.refresh(&m.shop, &refresh).await,
            p.post_as(&m.robot, "/token", &robot).await,
            p.post_as(&relay, "/token", &exchange).await,
        ]
    };

    pdp.instead(Some(Err(PeerError::Unreachable)));
    for answer in all().await {
        assert_eq!(answer.error(), (503, "temporarily_unavailable".to_owned()));
    }
    pdp.instead(None);
    pdp.script(|one, _| match one["action"]["name"] == "issue_token" {
        true => json!({"decision": false, "context": {"reason_user": "closed", "step_up": {"max_age": 900, "acr_values": "a b"}}}),
        false => json!({"decision": true}),
    });
    let expected = [(400, "invalid_grant"), (400, "invalid_grant"), (403, "access_denied"), (403, "access_denied")];
    for (answer, (status, code)) in all().await.iter().zip(expected) {
        assert_eq!(answer.error(), (status, code.to_owned()));
        let shown = answer.json();
        assert_eq!(
            (&shown["error_description"], &shown["max_age"], &shown["acr_values"]),
            (&json!("closed"), &json!(900), &json!("a b"))
        );
    }
    // A scope alone is left out, with its audience; code and refresh token are as good as they were.
    pdp.script(|one, _| json!({"decision": !is_scope(one, "stock_read")}));
    let answers = all().await;
    assert_eq!(answers[0].text("scope"), "openid orders_read");
    assert_eq!(answers[1].text("scope"), "openid orders_read");
    assert!(!p.is_active(&m.stock, &answers[1].text("access_token")).await);
    assert_eq!(answers[2].error(), (403, "access_denied".to_owned()), "nothing is left of it");
    assert_eq!(answers[3].text("scope"), "orders_read");
    // The next time it may be there again: the grant has lost nothing.
    pdp.script(|_, _| json!({"decision": true}));
    let next = p.refresh(&m.shop, &answers[1].text("refresh_token")).await;
    assert_eq!(next.text("scope"), "openid orders_read stock_read");
});

store_test!(in_the_shadow_nothing_changes_and_all_is_counted, MIGRATIONS, |db: TestDb| async move {
    let (p, pdp) = market(db, PolicyMode::Shadow).await;
    let m = p.market().await;
    let robot = async |p: &Platform, by: &Caller| {
        p.post_as(by, "/token", &[("grant_type", "client_credentials"), ("scope", "stock_read")]).await.status
    };

    pdp.script(|_, _| no("never"));
    assert_eq!(robot(&p, &m.robot).await, 200);
    pdp.instead(Some(Err(PeerError::Unreachable)));
    assert_eq!(robot(&p, &m.robot).await, 200);

    let metrics = p.identity.metrics.render();
    for outcome in ["denied", "outage"] {
        let line = format!("cardea_identity_policy_decisions_total{{kind=\"shadow\",outcome=\"{outcome}\"}} 1");
        assert!(metrics.contains(&line), "{metrics}");
    }
});
