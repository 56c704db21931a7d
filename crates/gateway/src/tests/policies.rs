//! Policies at the pipeline's edge: followed and asked, denied, stepped up, shadowed, and what happens in an outage.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::peer::{Limits, Peer, PeerError};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use policy::{EntitySpec, File, Snapshot, Source};
use serde_json::{Value, json};
use testkit::ManualClock;
use tokio::sync::watch;

use super::House;
use super::house::{Issuer, RESOURCES, Sent, TOKEN, answer, jwt_answer};
use crate::{Gateway, GatewayConfig, UsageConfig};

const FOLLOWED: &str = "---
kind: PolicySource
name: central
spec: { snapshot: { url: 'http://pdp.test', secret: file:gateway.secret } }
";
pub const ASKED: &str = "---
kind: PolicySource
name: central
spec: { authzen: { url: 'http://pdp.test', secret: file:gateway.secret } }
";
const ALL: &str = "@id(\"all\") permit (principal, action, resource);";

type Script = Box<dyn Fn(&Value) -> Response<Bytes> + Send + Sync>;

/// An entitlement system of which the test is the author, beside the scripted issuer.
pub struct Pdp {
    issuer: Arc<Issuer>,
    snapshot: watch::Sender<Snapshot>,
    pub down: AtomicBool,
    fetches: AtomicUsize,
    waits: Mutex<Vec<String>>,
    pub questions: Mutex<Vec<Value>>,
    script: Mutex<Script>,
    pub gate: watch::Sender<bool>,
    reported: Mutex<Vec<Value>>,
}

impl Pdp {
    fn new(issuer: &Arc<Issuer>) -> Arc<Self> {
        Arc::new(Self {
            issuer: Arc::clone(issuer),
            snapshot: watch::Sender::new(Snapshot::default()),
            down: AtomicBool::new(false),
            fetches: AtomicUsize::new(0),
            waits: Mutex::default(),
            questions: Mutex::default(),
            script: Mutex::new(Box::new(|_| json_answer(&json!({"decision": true})))),
            gate: watch::Sender::new(true),
            reported: Mutex::default(),
        })
    }

    /// The next version of the policies; returns its number.
    fn publish(&self, text: &str) -> i64 {
        self.publish_with(text, "", json!([]))
    }

    fn publish_with(&self, text: &str, schema: &str, entities: Value) -> i64 {
        self.snapshot.send_modify(|snapshot| {
            snapshot.version += 1;
            snapshot.activation += 1;
            let files = vec![File { name: "p.cedar".to_owned(), text: text.to_owned() }];
            snapshot.source = Source { files, schema: schema.to_owned() };
            snapshot.entities = serde_json::from_value::<Vec<EntitySpec>>(entities).unwrap();
        });
        self.snapshot.borrow().version
    }

    pub fn answers(&self, script: impl Fn(&Value) -> Response<Bytes> + Send + Sync + 'static) {
        *self.script.lock().unwrap() = Box::new(script);
    }

    pub fn asked(&self) -> usize {
        self.questions.lock().unwrap().len()
    }

    async fn fetch(&self, request: &Request<Bytes>) -> Response<Bytes> {
        assert_eq!(request.headers()["authorization"], "Bearer s&e:c ret%");
        self.fetches.fetch_add(1, Ordering::SeqCst);
        self.waits.lock().unwrap().push(request.uri().query().unwrap_or_default().to_owned());
        let known = request.headers().get("if-none-match").map(|tag| tag.to_str().unwrap().to_owned());
        let mut changes = self.snapshot.subscribe();
        loop {
            let snapshot = changes.borrow_and_update().clone();
            if known.as_deref() != Some(&snapshot.etag()) {
                return json_answer(&serde_json::to_value(&snapshot).unwrap());
            }
            if request.uri().query() == Some("wait=0") {
                return answer(304, None, "", None);
            }
            changes.changed().await.unwrap();
        }
    }
}

impl Peer for Pdp {
    fn call(&self, request: Request<Bytes>, limits: Limits) -> BoxFuture<'_, Result<Response<Bytes>, PeerError>> {
        Box::pin(async move {
            if request.uri().host() != Some("pdp.test") {
                return self.issuer.call(request, limits).await;
            }
            if self.down.load(Ordering::SeqCst) {
                return Err(PeerError::Unreachable);
            }
            Ok(match request.uri().path() {
                "/policy/v1/snapshot" => self.fetch(&request).await,
                "/access/v1/evaluation" => {
                    let question = serde_json::from_slice(request.body()).unwrap();
                    let response = (self.script.lock().unwrap())(&question);
                    self.questions.lock().unwrap().push(question);
                    self.gate.subscribe().wait_for(|open| *open).await.unwrap();
                    response
                }
                "/policy/v1/decisions" => {
                    let body: Value = serde_json::from_slice(request.body()).unwrap();
                    self.reported.lock().unwrap().extend(body["decisions"].as_array().unwrap().clone());
                    json_answer(&json!({}))
                }
                path => panic!("nobody asks for {path}"),
            })
        })
    }
}

pub fn json_answer(value: &Value) -> Response<Bytes> {
    answer(200, Some("application/json"), &value.to_string(), None)
}

fn resources(source: &str, policy: &str) -> String {
    let route = "service: orders, auth: { issuer: main, scopes: [orders_read] } }";
    assert!(RESOURCES.contains(route));
    RESOURCES.replace(
        route,
        &format!("service: orders, policy: {policy}, auth: {{ issuer: main, scopes: [orders_read] }} }}"),
    ) + source
}

fn open(folder: &tempfile::TempDir, pdp: &Arc<Pdp>, clock: &ManualClock) -> Arc<Gateway> {
    let peer: Arc<Pdp> = Arc::clone(pdp);
    Gateway::new(GatewayConfig {
        data_dir: folder.path().join("data"),
        resources: Some(folder.path().join("conf")),
        public_url: "https://api.test/".to_owned(),
        peer,
        clock: clock.shared(),
        runtime: tokio::runtime::Handle::current(),
        environment: Arc::new(|_| None),
        management: None,
        usage: UsageConfig::default(),
    })
    .unwrap()
}

fn house_at(pdp: Option<&Arc<Pdp>>, text: &str) -> (House, Arc<Pdp>) {
    let folder = tempfile::TempDir::new().unwrap();
    std::fs::create_dir(folder.path().join("conf")).unwrap();
    std::fs::write(folder.path().join("conf/gateway.secret"), "s&e:c ret%\n").unwrap();
    std::fs::write(folder.path().join("conf/set.yaml"), text).unwrap();
    let clock = pdp.map_or_else(ManualClock::new, |pdp| pdp.issuer.clock.clone());
    let issuer = pdp.map_or_else(|| Issuer::new(&clock), |pdp| Arc::clone(&pdp.issuer));
    let pdp = pdp.map_or_else(|| Pdp::new(&issuer), Arc::clone);
    let gateway = open(&folder, &pdp, &clock);
    (House { gateway, issuer, clock, folder, management: None, usage: UsageConfig::default() }, pdp)
}

pub fn house(source: &str, policy: &str) -> (House, Arc<Pdp>) {
    house_at(None, &resources(source, policy))
}

/// Policies come in behind the calls: what has to come is waited for.
async fn until(house: &House, wanted: impl Fn(&Sent) -> bool) -> Sent {
    loop {
        let sent = house.call(TOKEN).await;
        if wanted(&sent) {
            return sent;
        }
        tokio::time::sleep(Duration::ZERO).await;
    }
}

fn version(sent: &Sent) -> i64 {
    sent.exchange.policy.as_ref().map_or(-1, |judged| judged.version)
}

pub fn detail(sent: &Sent) -> String {
    serde_json::from_slice::<Value>(sent.answer().body()).unwrap()["detail"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_allowed_before_policies_are_known_and_then_what_they_permit() {
    let (house, pdp) = house(FOLLOWED, "{ source: central }");
    let first = until(&house, |sent| version(sent) == 0 && sent.status() == 403).await;
    assert_eq!(first.slug(), "policy_denied", "nothing is published, so nothing is permitted");

    pdp.publish(&format!(
        "{ALL} @id(\"no\") @reason(\"Not today.\") forbid (principal == User::\"bob\", action, resource);"
    ));
    let alice = until(&house, |sent| version(sent) == 1).await;
    house.issuer.answers({
        let jwt = house.issuer.jwt(&json!({"sub": "bob"}));
        move |_| Ok(jwt_answer(&jwt, None))
    });
    let bob = house.call("opaque-token-0002").await;

    assert_eq!((alice.status(), alice.exchange.policy.as_ref().unwrap().ids().as_str()), (200, "all"));
    assert_eq!((bob.status(), bob.slug().as_str(), detail(&bob).as_str()), (403, "policy_denied", "Not today."));
    let judged = bob.exchange.policy.as_ref().unwrap();
    assert_eq!((judged.verdict, judged.ids().as_str(), judged.version), ("forbidden", "no", 1));
    assert_eq!((alice.exchange.told.as_deref(), bob.exchange.told.as_deref()), (None, Some("Not today.")));
    assert!(house.gateway.metrics_text().contains("verdict=\"forbidden\"} 1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_source_that_was_ever_heard_it_is_an_outage_not_a_denial() {
    let clock = ManualClock::new();
    let pdp = Pdp::new(&Issuer::new(&clock));
    pdp.down.store(true, Ordering::SeqCst);

    let (house, _) = house_at(Some(&pdp), &resources(FOLLOWED, "{ source: central }"));
    let refused = house.call(TOKEN).await;

    assert_eq!((refused.status(), refused.slug().as_str()), (503, "policy_unavailable"));
    assert_eq!(refused.field("retry-after"), "1");
    assert!(house.gateway.ready().checks.iter().any(|check| check.name == "policies central" && !check.ok));
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_that_only_the_decision_point_knows_are_told_to_be_missing() {
    let (house, pdp) = house(FOLLOWED, "{ source: central }");
    let detail =
        || house.gateway.ready().checks.into_iter().find(|check| check.name == "policies central").unwrap().detail;
    pdp.publish(ALL);
    until(&house, |sent| version(sent) == 1).await;
    assert!(!detail().contains("without"), "{}", detail());

    pdp.snapshot.send_modify(|snapshot| snapshot.sourced = vec!["User".to_owned()]);
    pdp.publish(ALL);
    until(&house, |sent| version(sent) == 2).await;

    assert!(detail().contains("decided without what its attribute source knows of User"), "{}", detail());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_for_a_host_or_a_path_is_not_gone_around_by_spelling() {
    let (house, pdp) = house(FOLLOWED, "{ source: central }");
    pdp.publish(&format!(
        "{ALL} @id(\"host\") forbid (principal, action, resource)
            when {{ context.request has host && context.request.host == \"inner.test\" }};
        @id(\"path\") forbid (principal, action, resource)
            when {{ context.request has path && context.request.path like \"/orders/$*\" }};"
    ));
    until(&house, |sent| version(sent) == 1).await;
    let bearer = format!("Bearer {TOKEN}");
    let ask = |host: &'static str, path: &'static str| {
        let (house, bearer) = (&house, bearer.as_str());
        async move { house.send_to(host, "GET", path, &[("authorization", bearer)]).await }
    };

    for host in ["inner.test", "INNER.test", "inner.test:443", "inner.test.", "Inner.Test.:8443"] {
        let sent = ask(host, "/orders/42").await;
        assert_eq!(sent.exchange.policy.as_ref().unwrap().ids(), "host", "{host}");
        assert_eq!(sent.status(), 403, "{host}");
    }
    for path in ["/orders/$x", "/orders/%24x"] {
        assert_eq!(ask("api.test", path).await.status(), 403, "{path}");
    }
    assert_eq!(ask("api.test", "/orders/42").await.status(), 200);
    assert_eq!(ask("other.inner.test", "/orders/42").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_in_force_at_two_gateways() {
    let (one, pdp) = house(FOLLOWED, "{ source: central }");
    let (other, _) = house_at(Some(&pdp), &resources(FOLLOWED, "{ source: central }"));
    pdp.publish(ALL);
    for house in [&one, &other] {
        until(house, |sent| version(sent) == 1 && sent.status() == 200).await;
    }

    pdp.publish("");

    for house in [&one, &other] {
        let after = until(house, |sent| version(sent) == 2).await;
        assert_eq!(after.slug(), "policy_denied");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_good_policies_outlive_a_restart_with_everything_else_down() {
    let (mut house, pdp) = house(FOLLOWED, "{ source: central }");
    pdp.publish_with("permit (principal, action, resource) when { resource in Api::\"orders\" };", "", json!([]));
    until(&house, |sent| version(sent) == 1 && sent.status() == 200).await;

    pdp.publish("this is no policy");
    pdp.down.store(true, Ordering::SeqCst);
    house.gateway = open(&house.folder, &pdp, &house.clock);

    let sent = house.call(TOKEN).await;
    assert_eq!((sent.status(), version(&sent)), (200, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_that_cannot_be_used_leave_the_last_good_ones_in_force() {
    let (house, pdp) = house(FOLLOWED, "{ source: central }");
    pdp.publish(ALL);
    until(&house, |sent| version(sent) == 1).await;

    pdp.publish("permit (principal, action, resource) when { context.nothing };");
    let before = pdp.fetches.load(Ordering::SeqCst);
    while pdp.fetches.load(Ordering::SeqCst) < before + 2 {
        assert_eq!(version(&house.call(TOKEN).await), 1);
        tokio::time::sleep(Duration::ZERO).await;
    }
    pdp.publish(ALL);

    assert_eq!(until(&house, |sent| version(sent) == 3).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_greatest_age_silence_shuts_the_door_also_after_a_restart() {
    let source = FOLLOWED.replace("secret: file:gateway.secret", "secret: file:gateway.secret, maxAge: 60s");
    let (mut house, pdp) = house(&source, "{ source: central }");
    pdp.publish(ALL);
    until(&house, |sent| version(sent) == 1 && sent.status() == 200).await;
    // Asked often enough that quiet policies do not become too old.
    while pdp.waits.lock().unwrap().last().is_none_or(|wait| wait != "wait=20") {
        tokio::task::yield_now().await;
    }
    pdp.down.store(true, Ordering::SeqCst);

    house.clock.advance(Duration::from_secs(60));
    let still = house.call(TOKEN).await.status();
    house.clock.advance(Duration::from_secs(1));
    let closed = house.call(TOKEN).await;
    house.gateway = open(&house.folder, &pdp, &house.clock);
    let restarted = house.call(TOKEN).await;

    assert_eq!(still, 200);
    assert_eq!((closed.status(), closed.slug().as_str()), (503, "policy_unavailable"));
    assert_eq!(restarted.status(), 503, "what was heard long ago is no younger for a restart");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_login_gets_the_challenge_of_rfc_9470_only_if_a_login_helps() {
    let (house, pdp) = house(FOLLOWED, "{ source: central }");
    let login = "@id(\"login\") @reason(\"Log in again.\") @advice_max_age(\"900\") @advice_acr_values(\"phr mfa\")
        forbid (principal, action, resource) unless { context.authentication has auth_time };";
    pdp.publish(&format!("{ALL} {login}"));

    let sent = until(&house, |sent| version(sent) == 1).await;
    pdp.publish(&format!(
        "{ALL} {login} @id(\"zone\") forbid (principal, action, resource) unless {{ context.network has zone }};"
    ));
    let hopeless = until(&house, |sent| version(sent) == 2).await;
    pdp.publish(&format!("{ALL} {}", login.replace("phr mfa", "a\\\" b, Basic realm=\\\"x")));
    let hostile = until(&house, |sent| version(sent) == 3).await;

    assert_eq!((sent.status(), sent.slug().as_str()), (401, "insufficient_user_authentication"));
    let challenge = sent.field("www-authenticate");
    assert!(
        challenge.starts_with("Bearer realm=\"orders\", error=\"insufficient_user_authentication\", "),
        "{challenge}"
    );
    assert!(
        challenge.contains("acr_values=\"phr mfa\", max_age=\"900\", resource_metadata=\"https://api.test/"),
        "{challenge}"
    );
    assert_eq!(detail(&sent), "Log in again.");
    assert_eq!((hopeless.status(), hopeless.field("www-authenticate")), (403, ""));
    assert!(!hostile.field("www-authenticate").contains("Basic realm"), "{}", hostile.field("www-authenticate"));
}

#[tokio::test(flavor = "multi_thread")]
async fn in_shadow_it_is_written_down_and_nothing_is_refused() {
    let (house, pdp) = house(FOLLOWED, "{ source: central, mode: shadow }");
    pdp.publish("@id(\"no\") forbid (principal, action, resource);");

    let sent = until(&house, |sent| version(sent) == 1).await;

    assert_eq!((sent.status(), sent.exchange.shadowed), (200, Some("policy_denied")));
    assert_eq!(sent.exchange.policy.as_ref().unwrap().verdict, "forbidden");
    assert!(house.gateway.metrics_text().contains("mode=\"shadow\",verdict=\"forbidden\""));
    assert!(
        !house.gateway.metrics_text().contains("cardea_limited_total{plan=\"\""),
        "a plan has nothing to do with it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_is_made_from_the_path_and_claims_reach_the_policies() {
    let (house, pdp) = house(FOLLOWED, "{ source: central, action: read, resource: { type: Order, id: 'o-{id}' } }");
    let schema = "entity Order { owner: User }; type Claims = { tenant?: String };
        action read appliesTo { principal: [User], resource: [Order], context: Facts };";
    let text = "@id(\"own\") permit (principal in Group::\"staff\", action == Action::\"read\", resource) when {
        resource.owner == principal && context.claims has tenant && context.claims.tenant == \"t1\" &&
        context has client && context.client == Client::\"shop\" && context.network has address &&
        context.network.address.isInRange(ip(\"192.0.2.0/24\")) };";
    pdp.publish_with(
        text,
        schema,
        json!([
            {"type": "Order", "id": "o-42", "attributes": {"owner": "alice"}},
            {"type": "Order", "id": "o-4/2", "attributes": {"owner": "bob"}},
        ]),
    );
    let jwt = house.issuer.jwt(&json!({"tenant": "t1", "groups": ["staff"]}));
    house.issuer.answers(move |_| Ok(jwt_answer(&jwt, None)));
    let get = |path: &'static str| house.get(path, &[("authorization", "Bearer opaque-token-0003")]);
    until(&house, |sent| version(sent) == 1).await;

    let own = get("/orders/42").await;
    let unknown = get("/orders/43").await;
    let encoded = get("/orders/4%32").await;

    assert_eq!((own.status(), own.exchange.policy.as_ref().unwrap().ids().as_str()), (200, "own"));
    assert_eq!(unknown.slug(), "policy_unavailable", "an order without an owner is no question one can decide");
    assert_eq!(encoded.status(), 200, "one path has one form");
}

#[tokio::test(flavor = "multi_thread")]
async fn denied_calls_are_told_to_the_decision_log() {
    let (house, pdp) = house(FOLLOWED, "{ source: central }");
    pdp.publish("@id(\"no\") forbid (principal, action, resource);");
    let denied = until(&house, |sent| version(sent) == 1).await;

    let id = denied.exchange.request_id.to_string();
    let entry = loop {
        let found = pdp.reported.lock().unwrap().iter().find(|entry| entry["request_id"] == id.as_str()).cloned();
        match found {
            Some(found) => break found,
            None => tokio::time::sleep(Duration::ZERO).await,
        }
    };

    assert_eq!((&entry["subject_type"], &entry["subject_id"]), (&json!("User"), &json!("alice")));
    assert_eq!((&entry["resource_id"], &entry["reasons"]), (&json!("orders/orders-read"), &json!(["no"])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_of_a_service_holds_for_its_routes_until_one_says_otherwise() {
    let at_service = |route: &str| {
        RESOURCES.replace("spec: { upstream: pool,", "spec: { upstream: pool, policy: { source: central },").replace(
            "spec: { match: { path: '/public/{rest...}' }, service: orders,",
            &format!("spec: {{ match: {{ path: '/public/{{rest...}}' }}, service: orders, {route}"),
        ) + FOLLOWED
    };
    let (open_route, pdp) = house_at(None, &at_service("policy: { source: central, mode: off },"));
    let (no_set, _) = house_at(Some(&pdp), &at_service(""));
    pdp.publish("");

    let denied = until(&open_route, |sent| version(sent) == 1).await;

    assert_eq!(denied.slug(), "policy_denied");
    assert_eq!(open_route.get("/public/x", &[]).await.status(), 200);
    assert_eq!(
        no_set.call(TOKEN).await.slug(),
        "not_configured",
        "a public route under a policy is refused with its set"
    );
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_place() {
    let faults = |text: &str| -> String {
        let resources = catalog::parse("set.yaml", text).unwrap();
        let faults = catalog::Snapshot::compile(&resources).unwrap_err();
        faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    for (source, policy, expected) in [
        (FOLLOWED, "{ source: centrall }", "did you mean `central`?"),
        (FOLLOWED, "{ source: central, resource: { type: Order, id: '{nr}' } }", "no parameter `nr`"),
        (FOLLOWED, "{ source: central, resource: { type: Order, id: '{id' } }", "without `}`"),
        (
            "---\nkind: PolicySource\nname: central\nspec: {}\n",
            "{ source: central }",
            "one of `snapshot` and `authzen`",
        ),
        (
            &ASKED.replace("secret: file", "cache: { ttl: 1s, key: [subject, action] }, secret: file"),
            "{ source: central }",
            "without `resource`",
        ),
    ] {
        let found = faults(&resources(source, policy));
        assert!(found.contains(expected), "{found}");
    }
}
