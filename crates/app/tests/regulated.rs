//! The regulated example on the running product: a patient's record is readable by their own doctor, from an enrolled
//! device, from the hospital's network, after a login of the last 15 minutes. Each condition broken once is refused for
//! that reason: by two gateways that decide themselves, by one that asks, by AuthZEN, and by the token service where people log in.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test whose premise fails must fail loudly"
)]

mod support;
#[path = "regulated/token_service.rs"]
mod token_service;

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use base::time::{Clock as _, Stopwatch, SystemClock};
use bytes::Bytes;
use http::{Request, Response};
use jose::{Algorithm, SigningKey};
use serde_json::{Value, json};
use support::{Dev, Server, body, call, free_ports, write};
use token_service::{Came, TokenService};

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../policy/examples/patient");

/// An authorization server that says what the test wants, and the records behind the gateways.
struct Hospital {
    url: String,
    key: SigningKey,
}

impl Hospital {
    async fn open() -> Self {
        let key = SigningKey::generate(Algorithm::Es256).unwrap();
        let keys = json!({"keys": [key.public_jwk()]}).to_string();
        let router = Router::new().route("/jwks", get(|| async move { keys })).fallback(|| async { "the record" });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, key }
    }

    fn token(&self, asked: &Asked) -> String {
        let now = SystemClock::default().now().seconds();
        let claims = json!({
            "iss": self.url, "aud": "https://records.internal", "sub": asked.doctor, "client_id": "ward-app",
            "scope": "records.read", "iat": now, "exp": now + 300, "jti": base::random::text::<12>(),
            "auth_time": now - asked.login_age, "device_id": asked.device,
        });
        self.key.sign("at+jwt", &claims).unwrap()
    }
}

/// What the four conditions are about.
struct Asked {
    doctor: &'static str,
    device: &'static str,
    address: &'static str,
    login_age: i64,
}

const GOOD: Asked = Asked { doctor: "ann", device: "tablet-7", address: "10.20.3.4", login_age: 600 };

/// Each breaks one: the policy that refuses, what the person is told, and whether a login helps.
fn broken() -> [(Asked, &'static str, &'static str, bool); 4] {
    [
        (Asked { doctor: "ben", ..GOOD }, "own-patients", "You are not the doctor of this patient.", false),
        (Asked { device: "phone-1", ..GOOD }, "enrolled-device", "Use a device that the hospital has enrolled.", false),
        (Asked { address: "203.0.113.9", ..GOOD }, "hospital-network", "Connect to the hospital's network.", false),
        (Asked { login_age: 960, ..GOOD }, "recent-login", "Log in again to read this record.", true),
    ]
}

struct Gateway {
    _folder: tempfile::TempDir,
    _server: Server,
    url: String,
}

impl Gateway {
    fn start(hospital: &Hospital, dev: &Dev) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_ports();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("resources")).unwrap();
        write(&at("admin.token"), &base::random::text::<48>());
        write(&at("resources/pdp.secret"), &dev.text("/entitlement/callers/gateway"));
        let (pdp, upstream) = (dev.text("/entitlement/url"), &hospital.url);
        let route = |name: &str, source: &str| {
            format!(
                "---\nkind: Route\nname: {name}\nspec: {{ match: {{ path: '/{name}/{{patient}}' }}, service: records, \
                 auth: {{ issuer: hospital, scopes: [records.read] }}, policy: {{ source: {source}, action: read_record, \
                 resource: {{ type: PatientRecord, id: '{{patient}}' }} }} }}\n"
            )
        };
        let resources = format!(
            "kind: Issuer\nname: hospital\nspec: {{ issuer: '{upstream}', jwks: {{ uri: '{upstream}/jwks' }} }}\n---\n\
             kind: Upstream\nname: records\nspec: {{ endpoints: ['{upstream}'] }}\n---\nkind: Service\nname: records\n\
             spec: {{ upstream: records, audience: 'https://records.internal' }}\n---\nkind: PolicySource\nname: followed\n\
             spec: {{ snapshot: {{ url: '{pdp}', secret: 'file:pdp.secret' }} }}\n---\nkind: PolicySource\nname: asked\n\
             spec: {{ authzen: {{ url: '{pdp}', secret: 'file:pdp.secret' }} }}\n{}{}",
            route("followed", "followed"),
            route("asked", "asked"),
        );
        write(&at("resources/all.yaml"), &resources);
        write(
            &at("cardea.yaml"),
            &format!(
                "data: ./data\ngateway:\n  listen: [{{ address: '127.0.0.1:{port}' }}]\n  publicUrl: http://localhost:{port}\n  \
                 resources: ./resources\n  trustedProxies: ['127.0.0.1/32']\n\
                 ops: {{ listen: '127.0.0.1:{}', adminToken: 'file:admin.token' }}\n",
                port + 1
            ),
        );
        let config = at("cardea.yaml");
        let server = Server::start(&["serve", "--json", "--config", config.to_str().unwrap(), "--roles", "gateway"]);
        Self { _folder: folder, _server: server, url: format!("http://127.0.0.1:{port}") }
    }

    async fn read(&self, how: &str, record: &str, asked: &Asked, token: &str) -> Response<Bytes> {
        let request = Request::get(format!("{}/{how}/{record}", self.url))
            .header("authorization", format!("Bearer {token}"))
            .header("x-forwarded-for", asked.address);
        call(request.body(Bytes::new()).unwrap()).await
    }

    /// What comes behind the calls is waited for, not slept for.
    async fn until(&self, token: &str, status: u16) {
        let waiting = Stopwatch::start();
        while self.read("followed", "r1", &GOOD, token).await.status().as_u16() != status {
            assert!(waiting.elapsed() < PATIENCE, "it does not answer {status}");
            tokio::task::yield_now().await;
        }
    }
}

async fn evaluate(dev: &Dev, path: &str, question: &Value) -> Value {
    let request = Request::post(format!("{}{path}", dev.text("/entitlement/url")))
        .header("authorization", format!("Bearer {}", dev.text("/entitlement/callers/identity")))
        .header("content-type", "application/json");
    body(&call(request.body(Bytes::from(question.to_string())).unwrap()).await)
}

/// The facts in the words of AuthZEN.
fn context(asked: &Asked) -> Value {
    let now = SystemClock::default().now().seconds();
    json!({
        "client": "ward-app",
        "authentication": {"auth_time": now - asked.login_age},
        "device": {"id": asked.device},
        "network": {"address": asked.address},
    })
}

fn subject(asked: &Asked) -> Value {
    json!({"type": "user", "id": asked.doctor})
}

#[tokio::test(flavor = "multi_thread")]
async fn each_condition_broken_once_is_refused_for_that_reason_wherever_it_is_asked() {
    let dev = Dev::start();
    dev.ok(&["policy", "publish", EXAMPLE, "--comment", "the hospital's rules"]);
    let entities = dev.data.join("entities.yaml");
    write(
        &entities,
        "entities:\n- { type: Device, id: tablet-7, attributes: { enrolled: true, owner: ann } }\n\
         - { type: Device, id: phone-1, attributes: { enrolled: false, owner: ann } }\n",
    );
    let suite = format!("{EXAMPLE}/tests.yaml");
    dev.ok(&["policy", "entities", "put", &suite, entities.to_str().unwrap()]);
    let hospital = Hospital::open().await;
    let gateways = [Gateway::start(&hospital, &dev), Gateway::start(&hospital, &dev)];
    let good = hospital.token(&GOOD);
    for gateway in &gateways {
        gateway.until(&good, 200).await;
        assert_eq!(gateway.read("asked", "r1", &GOOD, &good).await.status(), 200);
    }

    for (asked, policy, reason, login_helps) in broken() {
        let token = hospital.token(&asked);
        for (gateway, how) in [(&gateways[0], "followed"), (&gateways[1], "followed"), (&gateways[0], "asked")] {
            let refused = gateway.read(how, "r1", &asked, &token).await;
            assert_eq!(refused.status(), if login_helps { 401 } else { 403 }, "{policy} {how}");
            assert_eq!(body(&refused)["detail"], reason, "{policy} {how}");
            let challenge = refused.headers().get("www-authenticate").map(|value| value.to_str().unwrap());
            assert_eq!(challenge.is_some_and(|text| text.contains("max_age=\"900\"")), login_helps, "{challenge:?}");
        }
        let question = json!({
            "subject": subject(&asked), "action": {"name": "read_record"},
            "resource": {"type": "patient_record", "id": "r1"}, "context": context(&asked),
        });
        let answer = evaluate(&dev, "/access/v1/evaluation", &question).await;
        assert_eq!((&answer["decision"], &answer["context"]["policies"]), (&json!(false), &json!([policy])));
        assert_eq!(answer["context"]["reason_user"]["403"], reason);
    }
    the_token_service_refuses_for_the_same_reasons(&dev).await;
    the_decision_log_has_both(&dev).await;

    a_change_is_in_force_at_both(&dev, &gateways, &good).await;
}

/// By logins at the token service, which asks at each issue. Of the four conditions it knows three. Whose patient it
/// is, nobody knows before the call; in its place stands the role, without which there is nothing. The device is the
/// one that the account names: which one the person holds, the token service does not see.
async fn the_token_service_refuses_for_the_same_reasons(dev: &Dev) {
    let hospital = "10.20.3.4";
    // Every login here is 16 minutes old where it is judged, until the clock is put right.
    let late = Duration::from_secs(960);
    let service = TokenService::open(dev, late).await;
    let denied = |reason: &str| ("access_denied".to_owned(), reason.to_owned());

    // The login too old: what was asked for alone is refused, from beside other scopes it is left out; …
    let too_old = service.tokens("ann", hospital, "records.read").await.refused();
    assert_eq!(too_old, denied("Log in again to read this record."));
    let mut browser = service.browser(hospital);
    let page = service.ask(&mut browser, "openid records.read").await;
    assert_eq!(service.log_in(&mut browser, &page, "ann").await.scope(), "openid", "just logged in: not asked again");
    // … and as soon as another login helps, the person who is logged in is asked for it, and has the scope.
    service.clock.advance(late);
    let page = service.ask(&mut browser, "openid records.read offline_access").await;
    assert!(page.url.contains("/login"), "{}", page.url);
    let good = service.log_in(&mut browser, &page, "ann").await;
    assert_eq!(good.scope(), "offline_access openid records.read");

    let device = service.tokens("ben", hospital, "records.read").await.refused();
    assert_eq!(device, denied("Use a device that the hospital has enrolled."));
    assert_eq!(service.tokens("ben", hospital, "openid records.read").await.scope(), "openid");
    let network = service.tokens("ann", "203.0.113.9", "records.read").await.refused();
    assert_eq!(network, denied("Connect to the hospital's network."));
    assert_eq!(service.tokens("ann", "203.0.113.9", "openid records.read").await.scope(), "openid");
    // No doctor: no token at all. There is a rule that lets in, and none that says why not.
    let (error, _) = service.tokens("cleo", hospital, "openid records.read").await.refused();
    assert_eq!(error, "access_denied");
    // Where the person is by the time of a refresh is not known, and what is not known is not inside.
    let Came::Tokens { refresh, .. } = good else { panic!("{good:?}") };
    assert_eq!(service.refresh(&refresh).await.scope(), "offline_access openid");
    for (name, reasons) in [("ben", json!(["scope-on-enrolled-device"])), ("cleo", json!([]))] {
        let subject = service.user_id(name).await.to_string();
        let logged = dev.json(&["policy", "decisions", "--subject", &subject, "--decision", "deny"]);
        let first = &logged["items"][0];
        assert_eq!((&first["caller"], &first["reasons"]), (&json!("identity"), &reasons), "{logged}");
    }
}

/// Gateways that decide themselves tell of their denials; it comes behind the answers.
async fn the_decision_log_has_both(dev: &Dev) {
    let waiting = Stopwatch::start();
    while waiting.elapsed() < PATIENCE {
        let logged = dev.json(&["policy", "decisions", "--subject", "ben", "--decision", "deny"]);
        let of =
            |caller: &str| logged["items"].as_array().unwrap().iter().filter(|one| one["caller"] == caller).count();
        // Two that follow and one that asks, all by the same secret.
        if of("gateway") >= 3 && of("identity") >= 1 {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("the decision log does not have them");
}

async fn a_change_is_in_force_at_both(dev: &Dev, gateways: &[Gateway; 2], token: &str) {
    let closed = dev.data.join("closed");
    std::fs::create_dir(&closed).unwrap();
    for file in ["policy.cedar", "schema.cedarschema"] {
        std::fs::copy(format!("{EXAMPLE}/{file}"), closed.join(file)).unwrap();
    }
    write(
        &closed.join("closed.cedar"),
        "@id(\"closed\") forbid (principal, action == Action::\"read_record\", resource);",
    );
    write(
        &closed.join("tests.yaml"),
        "tests:\n- name: nobody\n  question:\n    subject: { type: user, id: ann }\n    action: { name: read_record }\n    \
         resource: { type: patient_record, id: r1, properties: { doctor: ann } }\n  expect: deny\n  because: [closed]\n",
    );
    assert_eq!(gateways[0].read("followed", "r1", &GOOD, token).await.status(), 200);

    dev.ok(&["policy", "publish", closed.to_str().unwrap()]);
    let published = Stopwatch::start();
    // What is acknowledged is what a decision point answers by, at once; the gateways hear of it.
    let question = json!({
        "subject": subject(&GOOD), "action": {"name": "read_record"},
        "resource": {"type": "patient_record", "id": "r1"}, "context": context(&GOOD),
    });
    let answer = evaluate(dev, "/access/v1/evaluation", &question).await;
    assert_eq!((&answer["decision"], &answer["context"]["policies"]), (&json!(false), &json!(["closed"])));
    for gateway in gateways {
        gateway.until(token, 403).await;
        // From here on it does not go back.
        assert_eq!(gateway.read("asked", "r1", &GOOD, token).await.status(), 403);
        assert_eq!(gateway.read("followed", "r1", &GOOD, token).await.status(), 403);
    }

    println!("in force at two gateways {} ms after the publication was acknowledged", published.elapsed().as_millis());
}
