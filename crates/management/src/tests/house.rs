//! A management system on a test database, with scripted peers.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use base::Secret;
use base::ids::RequestId;
use base::peer::{Limits, Peer, PeerError, SharedPeer};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::Value;
use testkit::ManualClock;
use testkit::db::TestDb;
use tower::ServiceExt as _;

use crate::actor::{Membership, Person, Role};
use crate::{Actor, Config, Cx, GatewayCaller, Management, Operator, Registration, SharedManagement, router};

pub const URL: &str = "https://portal.example";
pub const ISSUER: &str = "https://id.example";

pub struct Platform {
    pub management: SharedManagement,
    pub clock: ManualClock,
    pub db: TestDb,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
    pub text: String,
}

/// Answers nothing: a test that asks somebody scripts who answers.
struct Silent;

impl Peer for Silent {
    fn call(&self, _: Request<Bytes>, _: Limits) -> BoxFuture<'_, Result<Response<Bytes>, PeerError>> {
        Box::pin(async { Err(PeerError::Unreachable) })
    }
}

pub fn config(db: &TestDb) -> Config {
    Config {
        url: URL.to_owned(),
        site: Some("Portal".to_owned()),
        database: db.config.clone(),
        master_key: Secret::new(vec![7; 32]),
        issuer: ISSUER.to_owned(),
        client_id: "portal".to_owned(),
        client_secret: "portal-secret".into(),
        registration: Registration::ClientCredentials,
        gateways: ["edge-1", "edge-2"]
            .map(|name| GatewayCaller::new(name, &Secret::from(format!("token of {name}"))))
            .to_vec(),
        gateway_issuer: "main".to_owned(),
        gateway_url: "https://api.example".to_owned(),
        usage: crate::Usage { kept_days: 90, push: None },
        invoices: crate::Invoices::default(),
        entitlement: None,
        trusted_proxies: Vec::new(),
        templates: None,
        peer: Arc::new(Silent),
    }
}

/// A person with one role, as a guard would find them.
pub fn person(name: &str, organisation: &str, role: Role) -> Actor {
    let memberships = vec![Membership { organisation: organisation.to_owned(), role }];
    Actor::Person(Person { id: name.to_owned(), name: name.to_owned(), memberships })
}

impl Platform {
    pub async fn on(db: TestDb) -> Self {
        let config = config(&db);
        Self::with(db, config).await
    }

    pub async fn asking(db: TestDb, peer: SharedPeer) -> Self {
        let config = Config { peer, ..config(&db) };
        Self::with(db, config).await
    }

    pub async fn with(db: TestDb, config: Config) -> Self {
        let clock = ManualClock::new();
        let management = Management::with_db(config, clock.shared(), db.db.clone()).await.unwrap();
        Self { management, clock, db }
    }

    pub fn public(&self) -> Router {
        router::public(self.management.clone())
    }

    /// A context of an actor, for the rules without HTTP.
    pub fn cx(&self, actor: Actor) -> Cx {
        Cx::new(&self.management, RequestId::random(), actor)
    }

    pub fn nobody(&self) -> Cx {
        self.cx(Actor::Nobody)
    }

    /// As the operator, at the operations listener.
    pub async fn operate(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let mut request = request(method, path, None, body);
        request.extensions_mut().insert(Operator("root".to_owned()));
        exchange(router::operator(self.management.clone()), request).await
    }

    /// As a gateway.
    pub async fn gateway(&self, name: &str, method: Method, path: &str, body: Option<&Value>) -> Answer {
        send(self.public(), method, path, Some(&format!("token of {name}")), body).await
    }
}

pub fn request(method: Method, path: &str, token: Option<&str>, body: Option<&Value>) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    match body {
        Some(body) => {
            request.header(header::CONTENT_TYPE, "application/json").body(Body::from(body.to_string())).unwrap()
        }
        None => request.body(Body::empty()).unwrap(),
    }
}

pub async fn send(router: Router, method: Method, path: &str, token: Option<&str>, body: Option<&Value>) -> Answer {
    exchange(router, request(method, path, token, body)).await
}

pub async fn exchange(router: Router, request: Request<Body>) -> Answer {
    let (parts, body) = router.oneshot(request).await.unwrap().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let body = serde_json::from_str(&text).unwrap_or_default();
    Answer { status: parts.status, headers: parts.headers, body, text }
}
