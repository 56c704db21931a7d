//! A gateway, its token service and its clock.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base::Clock;
use base::peer::{Limits, Peer, PeerError};
use bytes::Bytes;
use futures_util::future::{BoxFuture, LocalBoxFuture};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use integration::CallError;
use jose::{Algorithm, SigningKey};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::ManualClock;
use tokio::sync::{Notify, watch};

use super::ledger::Ledger;
use crate::edge::{Calls, Decision, Exchange, Forward, Head, Headers, Means, Outbound, Outcome, Pipeline, Scheme};
use crate::{Gateway, GatewayConfig, ManagementConfig, UsageConfig};

pub const ISSUER: &str = "http://issuer.test";
pub const TOKEN: &str = "opaque-token-0001";
pub const AUDIENCE: &str = "https://orders.internal";

/// One issuer, two services, a protected and a public route. `INTROSPECTION` is what tests change.
pub const RESOURCES: &str = "kind: Issuer
name: main
spec:
  issuer: http://issuer.test
  introspection: { as: 'gate:way', secret: file:gateway.secret, cache: { maxTtl: 300s } }
---
kind: Upstream
name: pool
spec: { endpoints: [http://127.0.0.1:9000] }
---
kind: Service
name: orders
spec: { upstream: pool, audience: https://orders.internal, cors: { origins: [https://app.test], credentials: true, exposeHeaders: [ETag] } }
---
kind: Route
name: orders-read
spec: { match: { path: /orders/{id}, methods: [GET] }, service: orders, auth: { issuer: main, scopes: [orders_read] } }
---
kind: Route
name: orders-write
spec: { match: { path: /orders/{id}, methods: [PUT] }, service: orders, auth: { issuer: main, scopes: [orders_write], claims: { tenant: [a, b] } } }
---
kind: Route
name: public
spec: { match: { path: '/public/{rest...}' }, service: orders, auth: none, subscription: none }
";

type Script = Arc<dyn Fn(&Request<Bytes>) -> Result<Response<Bytes>, PeerError> + Send + Sync>;

/// A scripted token service: what it answers at introspection is up to the test.
pub struct Issuer {
    pub key: Mutex<Arc<SigningKey>>,
    pub clock: ManualClock,
    script: Mutex<Script>,
    pub introspections: AtomicUsize,
    pub key_fetches: AtomicUsize,
    pub seen: Mutex<Vec<(HeaderMap, String)>>,
    /// Closed: questions wait until it is opened.
    gate: watch::Sender<bool>,
    pub polls: Mutex<Vec<(String, Value)>>,
    pages: Mutex<VecDeque<Result<Response<Bytes>, PeerError>>>,
    published: Notify,
    pub down: Mutex<bool>,
    /// Only metadata and keys are.
    pub documents_down: Mutex<bool>,
}

impl Issuer {
    pub fn new(clock: &ManualClock) -> Arc<Self> {
        let issuer = Arc::new(Self {
            key: Mutex::new(Arc::new(SigningKey::generate(Algorithm::Es256).unwrap())),
            clock: clock.clone(),
            script: Mutex::new(Arc::new(|_| Err(PeerError::Unreachable))),
            introspections: AtomicUsize::new(0),
            key_fetches: AtomicUsize::new(0),
            seen: Mutex::default(),
            gate: watch::Sender::new(true),
            polls: Mutex::default(),
            pages: Mutex::default(),
            published: Notify::new(),
            down: Mutex::new(false),
            documents_down: Mutex::new(false),
        });
        let jwt = issuer.jwt(&json!({}));
        issuer.answers(move |_| Ok(jwt_answer(&jwt, Some("max-age=60"))));
        issuer
    }

    pub fn answers(
        &self,
        script: impl Fn(&Request<Bytes>) -> Result<Response<Bytes>, PeerError> + Send + Sync + 'static,
    ) {
        *self.script.lock().unwrap() = Arc::new(script);
    }

    pub fn asked(&self) -> usize {
        self.introspections.load(Ordering::SeqCst)
    }

    pub fn hold(&self) {
        self.gate.send_replace(false);
    }

    pub fn release(&self) {
        self.gate.send_replace(true);
    }

    /// The claims of a good inner JWT with some of them replaced; `null` takes one out.
    pub fn claims(&self, changes: &Value) -> Value {
        let now = self.clock.now().seconds();
        let mut claims = json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "client_id": "shop", "scope": "openid orders_read",
            "jti": "t1", "grant_id": "g1", "sid": "s1", "iat": now, "exp": now + 600,
        });
        for (name, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => claims.as_object_mut().unwrap().remove(name),
                value => claims.as_object_mut().unwrap().insert(name.clone(), value.clone()),
            };
        }
        claims
    }

    pub fn jwt(&self, changes: &Value) -> String {
        self.sign("at+jwt", &self.claims(changes))
    }

    pub fn sign(&self, typ: &str, claims: &Value) -> String {
        let key = Arc::clone(&self.key.lock().unwrap());
        key.sign(typ, claims).unwrap()
    }

    /// The next answer of the feed.
    pub fn publish(&self, page: Result<Response<Bytes>, PeerError>) {
        self.pages.lock().unwrap().push_back(page);
        self.published.notify_one();
    }

    async fn poll(&self, request: &Request<Bytes>) -> Result<Response<Bytes>, PeerError> {
        let body: Value = serde_json::from_slice(request.body()).unwrap();
        let at_once = body["returnImmediately"] == true;
        self.polls.lock().unwrap().push((request.uri().query().unwrap().to_owned(), body));
        loop {
            if let Some(page) = self.pages.lock().unwrap().pop_front() {
                return page;
            }
            if at_once {
                return Ok(page(&json!({}), "new"));
            }
            self.published.notified().await;
        }
    }
}

impl Peer for Issuer {
    fn call(&self, request: Request<Bytes>, _: Limits) -> BoxFuture<'_, Result<Response<Bytes>, PeerError>> {
        Box::pin(async move {
            if *self.down.lock().unwrap() {
                return Err(PeerError::Unreachable);
            }
            match request.uri().path() {
                "/.well-known/openid-configuration" | "/.well-known/oauth-authorization-server" | "/jwks"
                    if *self.documents_down.lock().unwrap() =>
                {
                    Err(PeerError::TimedOut(std::time::Duration::from_secs(5)))
                }
                "/.well-known/openid-configuration" => Ok(Response::new(Bytes::from(
                    json!({"issuer": ISSUER, "jwks_uri": format!("{ISSUER}/jwks"), "introspection_endpoint": format!("{ISSUER}/introspect")})
                        .to_string(),
                ))),
                "/jwks" => {
                    self.key_fetches.fetch_add(1, Ordering::SeqCst);
                    let key = self.key.lock().unwrap().public_jwk();
                    Ok(Response::new(Bytes::from(json!({"keys": [key]}).to_string())))
                }
                "/introspect" => {
                    let body = String::from_utf8(request.body().to_vec()).unwrap();
                    self.seen.lock().unwrap().push((request.headers().clone(), body));
                    // What is answered is decided when the question comes in, not when it is let go.
                    let script = Arc::clone(&self.script.lock().unwrap());
                    let answer = script(&request);
                    // Counted only now: who sees the count may change the script for the next question.
                    self.introspections.fetch_add(1, Ordering::SeqCst);
                    self.gate.subscribe().wait_for(|open| *open).await.unwrap();
                    answer
                }
                "/events/poll" => self.poll(&request).await,
                path => panic!("nobody asks for {path}"),
            }
        })
    }
}

pub fn answer(status: u16, media_type: Option<&str>, body: &str, cache_control: Option<&str>) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_owned()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    if let Some(media_type) = media_type {
        response.headers_mut().insert("content-type", HeaderValue::from_str(media_type).unwrap());
    }
    if let Some(cache_control) = cache_control {
        response.headers_mut().insert("cache-control", HeaderValue::from_str(cache_control).unwrap());
    }
    response
}

pub fn jwt_answer(jwt: &str, cache_control: Option<&str>) -> Response<Bytes> {
    answer(200, Some("application/jwt"), jwt, cache_control)
}

/// A page of the feed.
pub fn page(sets: &Value, stream: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(json!({"sets": sets, "moreAvailable": false}).to_string()));
    response.headers_mut().insert("cardea-stream", HeaderValue::from_static(stream));
    response
}

/// Asks management by its name, and the issuer otherwise.
struct Peers {
    issuer: Arc<Issuer>,
    management: Option<Arc<Ledger>>,
}

impl Peer for Peers {
    fn call(&self, request: Request<Bytes>, limits: Limits) -> BoxFuture<'_, Result<Response<Bytes>, PeerError>> {
        match &self.management {
            Some(management) if request.uri().host() == Some("management.test") => management.call(request, limits),
            _ => self.issuer.call(request, limits),
        }
    }
}

pub struct House {
    pub management: Option<Arc<Ledger>>,
    pub usage: UsageConfig,
    pub gateway: Arc<Gateway>,
    pub issuer: Arc<Issuer>,
    pub clock: ManualClock,
    pub folder: TempDir,
}

/// What became of a request.
pub struct Sent {
    pub exchange: Exchange,
    pub result: Result<Box<Forward>, Response<Bytes>>,
}

impl House {
    pub fn new() -> Self {
        Self::with(RESOURCES)
    }

    pub fn with(resources: &str) -> Self {
        Self::build(resources, None, UsageConfig::default())
    }

    /// A gateway that has this management.
    pub fn managed(resources: &str, management: &Arc<Ledger>) -> Self {
        Self::build(resources, Some(Arc::clone(management)), UsageConfig::default())
    }

    pub fn build(resources: &str, management: Option<Arc<Ledger>>, usage: UsageConfig) -> Self {
        let folder = TempDir::new().unwrap();
        std::fs::create_dir(folder.path().join("conf")).unwrap();
        std::fs::write(folder.path().join("conf/gateway.secret"), "s&e:c ret%\n").unwrap();
        std::fs::write(folder.path().join("conf/set.yaml"), resources).unwrap();
        let clock = ManualClock::new();
        let issuer = Issuer::new(&clock);
        let gateway = open(&folder, &issuer, &clock, management.clone(), usage.clone());
        Self { management, usage, gateway, issuer, clock, folder }
    }

    /// Stops the gateway and starts another on the same folders.
    pub fn restart(&mut self) {
        self.gateway = open(&self.folder, &self.issuer, &self.clock, self.management.clone(), self.usage.clone());
    }

    pub fn file(&self) -> PathBuf {
        self.folder.path().join("conf/set.yaml")
    }

    pub async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Sent {
        self.send("GET", path, headers).await
    }

    /// `GET /orders/42` with this token.
    pub async fn call(&self, token: &str) -> Sent {
        self.get("/orders/42", &[("authorization", &format!("Bearer {token}"))]).await
    }

    pub async fn send(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Sent {
        self.send_to("api.test", method, target, headers).await
    }

    /// `GET /orders/42` by a client that goes away while the service works, or (not `asked`) before it is connected to.
    pub async fn call_and_leave(&self, token: &str, asked: bool) -> Exchange {
        let mut map = HeaderMap::new();
        map.insert("authorization", HeaderValue::try_from(format!("Bearer {token}")).unwrap());
        let head = Head {
            method: &Method::GET,
            path: "/orders/42",
            query: None,
            version: Version::HTTP_11,
            scheme: Scheme::Https,
            authority: "api.test",
            headers: Headers::Map(&map),
            client: "192.0.2.7".parse().unwrap(),
        };
        let mut exchange = Exchange::begin(self.clock.now());
        assert!(matches!(self.gateway.decide(&head, &mut exchange).await, Decision::Forward(_)));
        let status = StatusCode::from_u16(499).unwrap();
        let outcome = Outcome {
            status,
            request_bytes: 0,
            response_bytes: 0,
            endpoint: None,
            attempts: 1,
            asked,
            broken_off: true,
        };
        self.gateway.finished(&exchange, &outcome);
        exchange
    }

    pub async fn send_to(&self, authority: &str, method: &str, target: &str, headers: &[(&str, &str)]) -> Sent {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let head = Head {
            method: &method,
            path,
            query,
            version: Version::HTTP_11,
            scheme: Scheme::Https,
            authority,
            headers: Headers::Map(&map),
            client: "192.0.2.7".parse().unwrap(),
        };
        let mut exchange = Exchange::begin(self.clock.now());
        let result = match self.gateway.decide(&head, &mut exchange).await {
            Decision::Forward(forward) => Ok(forward),
            Decision::Answer(mut response) => {
                exchange.dress(response.headers_mut());
                Err(response)
            }
            Decision::Compose(compose) => {
                let means = Means {
                    body: Bytes::new(),
                    calls: Rc::new(NoCalls),
                    gone: tokio_util::sync::CancellationToken::new(),
                };
                let composed = compose.work.run(means).await;
                exchange.denied = composed.failed;
                exchange.parts = composed.parts;
                exchange.missing_parts = composed.missing_parts;
                let mut response = composed.response;
                exchange.dress(response.headers_mut());
                Err(response)
            }
        };
        let status = result.as_ref().map_or_else(Response::status, |_| StatusCode::OK);
        let result = match self.gateway.answering(&mut exchange, status) {
            Ok(()) => result,
            Err(mut instead) => {
                exchange.dress(instead.headers_mut());
                Err(*instead)
            }
        };
        let status = result.as_ref().map_or_else(Response::status, |_| StatusCode::OK);
        let outcome = Outcome {
            status,
            request_bytes: 0,
            response_bytes: 0,
            endpoint: None,
            attempts: 1,
            asked: true,
            broken_off: false,
        };
        self.gateway.finished(&exchange, &outcome);
        Sent { exchange, result }
    }
}

/// The house has no backends.
struct NoCalls;

impl Calls for NoCalls {
    fn call(&self, _: Outbound) -> LocalBoxFuture<'_, Result<Response<Bytes>, CallError>> {
        Box::pin(std::future::ready(Err(CallError::Unreachable)))
    }
}

fn open(
    folder: &TempDir,
    issuer: &Arc<Issuer>,
    clock: &ManualClock,
    management: Option<Arc<Ledger>>,
    usage: UsageConfig,
) -> Arc<Gateway> {
    let config = management.is_some().then(|| ManagementConfig {
        url: "https://management.test".to_owned(),
        token: base::Secret::from("gateway-token"),
        name: "edge-1".to_owned(),
    });
    Gateway::new(GatewayConfig {
        data_dir: folder.path().join("data"),
        resources: Some(folder.path().join("conf")),
        public_url: "https://api.test/".to_owned(),
        peer: Arc::new(Peers { issuer: Arc::clone(issuer), management }),
        clock: clock.shared(),
        runtime: tokio::runtime::Handle::current(),
        environment: Arc::new(|name| (name == "SECRET").then(|| "from the environment".to_owned())),
        management: config,
        usage,
    })
    .unwrap()
}

impl Sent {
    /// 200 stands for "sent on".
    pub fn status(&self) -> u16 {
        self.result.as_ref().map_or_else(|response| response.status().as_u16(), |_| 200)
    }

    pub fn forward(&self) -> &Forward {
        self.result.as_ref().unwrap_or_else(|response| panic!("{response:?}"))
    }

    pub fn answer(&self) -> &Response<Bytes> {
        self.result.as_ref().expect_err("was sent on")
    }

    /// A field of the answer of the gateway itself.
    pub fn field(&self, name: &str) -> &str {
        self.answer().headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// A field that is put onto the answer, whoever makes it.
    pub fn told(&self, name: &str) -> String {
        let found = self.exchange.answer_headers.iter().find(|(own, _)| own == name);
        found.map_or_else(String::new, |(_, value)| value.to_str().unwrap().to_owned())
    }

    /// What the gateway's own answer says of the occurrence.
    pub fn detail(&self) -> String {
        let problem: Value = serde_json::from_slice(self.answer().body()).unwrap();
        problem["detail"].as_str().unwrap_or_default().to_owned()
    }

    pub fn slug(&self) -> String {
        let problem: Value = serde_json::from_slice(self.answer().body()).unwrap();
        assert_eq!(problem["request_id"], self.exchange.request_id.as_str());
        problem["type"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()
    }
}

impl House {
    pub fn clock_seconds(&self) -> i64 {
        self.clock.now().seconds()
    }
}
