//! Tests of the entitlement system over its routers, without sockets, on both databases.

mod administration;
mod attributes;
mod certification;
mod decisions;
mod guards;
mod interop;
mod interop_records;
mod patient;
mod snapshot;

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use base::Secret;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use testkit::ManualClock;
use testkit::db::TestDb;
use tower::ServiceExt as _;

use crate::config::{Caller, Config, HttpSource, LogSettings, Right};
use crate::{Entitlement, SharedEntitlement, router};

pub const URL: &str = "https://pdp.example";

pub struct Platform {
    pub entitlement: SharedEntitlement,
    pub clock: ManualClock,
    pub db: TestDb,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

pub fn config(db: &TestDb) -> Config {
    let caller = |name: &str, right| Caller::new(name, &Secret::from(format!("secret of {name}").as_str()), &[right]);
    Config {
        database: db.config.clone(),
        url: URL.to_owned(),
        callers: vec![
            caller("gateway", Right::Evaluate),
            caller("reader", Right::Snapshot),
            caller("auditor", Right::Read),
            caller("root", Right::Administer),
        ],
        source: None,
        log: LogSettings { queue: 100, batch: 10, retention: Duration::from_secs(3600) },
    }
}

impl Platform {
    pub async fn on(db: TestDb) -> Self {
        let config = config(&db);
        Self::with(db, config).await
    }

    pub async fn asking(db: TestDb, source: HttpSource) -> Self {
        let config = Config { source: Some(source), ..config(&db) };
        Self::with(db, config).await
    }

    pub async fn with(db: TestDb, config: Config) -> Self {
        let clock = ManualClock::new();
        let entitlement = Entitlement::with_db(config, clock.shared(), db.db.clone()).await.unwrap();
        Self { entitlement, clock, db }
    }

    pub fn public(&self) -> Router {
        router::public(self.entitlement.clone())
    }

    pub async fn evaluate(&self, question: &Value) -> Answer {
        self.ask("/access/v1/evaluation", question).await
    }

    pub async fn ask(&self, path: &str, body: &Value) -> Answer {
        send(self.public(), Method::POST, path, Some("gateway"), Some(body)).await
    }

    pub async fn decides(&self, question: &Value) -> bool {
        let answer = self.evaluate(question).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        answer.body["decision"].as_bool().unwrap()
    }

    pub async fn admin(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        send(router::admin(self.entitlement.clone()), method, path, Some("root"), body).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.admin(Method::POST, path, Some(body)).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.admin(Method::GET, path, None).await
    }

    /// Writes a version and puts it in force.
    pub async fn publish(&self, policy: &str, schema: &str, tests: Value) -> i64 {
        let draft = json!({
            "source": {"files": [{"name": "policy.cedar", "text": policy}], "schema": schema},
            "tests": tests, "comment": "a test",
        });
        let created = self.post("/admin/v1/policies/versions", &draft).await;
        assert_eq!(created.status, StatusCode::CREATED, "{}", created.body);
        let version = created.body["version"].as_i64().unwrap();
        let path = format!("/admin/v1/policies/versions/{version}/publish");
        let published = self.admin(Method::POST, &path, None).await;
        assert_eq!(published.status, StatusCode::OK, "{}", published.body);
        version
    }

    pub async fn put(&self, entities: Value) {
        let answer = self.post("/admin/v1/entities", &json!({"put": entities})).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    }
}

pub fn request(method: Method, path: &str, caller: Option<&str>, body: Option<&Value>) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(caller) = caller {
        request = request.header(header::AUTHORIZATION, format!("Bearer secret of {caller}"));
    }
    match body {
        Some(body) => {
            request.header(header::CONTENT_TYPE, "application/json").body(Body::from(body.to_string())).unwrap()
        }
        None => request.body(Body::empty()).unwrap(),
    }
}

pub async fn send(router: Router, method: Method, path: &str, caller: Option<&str>, body: Option<&Value>) -> Answer {
    exchange(router, request(method, path, caller, body)).await
}

pub async fn exchange(router: Router, request: Request<Body>) -> Answer {
    let response = router.oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    Answer { status: parts.status, headers: parts.headers, body }
}

/// A permit for all, with the test that a version needs.
pub const ALL: &str = "@id(\"all\") permit (principal, action, resource);";

pub fn one_test(expect: &str) -> Value {
    json!({"tests": [{"name": "one", "question": call("alice"), "expect": expect}]})
}

pub fn call(user: &str) -> Value {
    json!({
        "subject": {"type": "user", "id": user},
        "action": {"name": "call"},
        "resource": {"type": "operation", "id": "orders.list", "properties": {"api": "orders"}},
    })
}
