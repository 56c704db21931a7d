//! An entitlement system that answers as it is told to, and keeps what it was asked.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::peer::{Limits, Peer, PeerError};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Method, Request, Response, StatusCode, header};
use serde_json::{Value, json};

pub(crate) const PDP: &str = "https://pdp.example";
pub(crate) const SECRET: &str = "secret of the console";

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Fine,
    Away,
    Slow,
    /// Its answer is larger than what is taken.
    Huge,
    WrongSecret,
    NoRight,
    /// Answers 200, and no JSON.
    Garbage,
    /// Answers 200, and JSON of another kind.
    Other,
    /// Answers as a server that is none of ours.
    Stranger,
    /// 503 with a problem.
    Failing,
    /// 500 with a page of HTML.
    Broken,
}

pub(crate) const BAD_MOODS: &[Mood] = &[
    Mood::Away,
    Mood::Slow,
    Mood::Huge,
    Mood::WrongSecret,
    Mood::NoRight,
    Mood::Garbage,
    Mood::Other,
    Mood::Stranger,
    Mood::Failing,
    Mood::Broken,
];

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub method: Method,
    pub path: String,
    pub request_id: String,
    pub body: Value,
}

pub(crate) struct Inside {
    pub mood: Mood,
    pub may_publish: bool,
    pub versions: Vec<Value>,
    pub history: Vec<Value>,
    pub decisions: Vec<Value>,
    /// What the next questions of explanation are answered.
    pub explanation: Value,
    /// What the next publication is refused with.
    pub refusal: Option<(StatusCode, Value)>,
    pub asked: Vec<Asked>,
}

#[derive(Clone)]
pub(crate) struct Fake(Arc<Mutex<Inside>>);

impl Fake {
    /// With two versions, the second one in force.
    pub fn new() -> Self {
        let version = |number: i64, text: &str| {
            json!({
                "version": number, "author": "operator ann", "comment": format!("the {number}."), "created_at": 1_000 * number,
                "source": {"files": [{"name": "p.cedar", "text": text}], "schema": "entity Ward;"},
                "tests": {"tests": [{"name": "one", "question": {"subject": {"type": "user", "id": "ann"}, "action": {"name": "call"}, "resource": {"type": "operation", "id": "a/b"}}, "expect": "allow"}]},
            })
        };
        let first = "@id(\"all\")\npermit (principal, action, resource);\n";
        let second = format!(
            "{first}@id(\"<script>alert(1)</script>\")\nforbid (principal, action, resource) when {{ context.evil }};\n"
        );
        let activation = |number: i64| json!({"activation": number, "version": number, "author": "operator ann", "comment": "", "request_id": format!("request-{number}"), "activated_at": 5_000 * number});
        Self(Arc::new(Mutex::new(Inside {
            mood: Mood::Fine,
            may_publish: true,
            versions: vec![version(1, first), version(2, &second)],
            history: vec![activation(1), activation(2)],
            decisions: Vec::new(),
            explanation: json!({"missing": [], "explanation": {"decision": {"allow": true, "verdict": "permitted", "reasons": []}, "considered": []}}),
            refusal: None,
            asked: Vec::new(),
        })))
    }

    pub fn with<T>(&self, change: impl FnOnce(&mut Inside) -> T) -> T {
        change(&mut self.0.lock().unwrap())
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.with(|inside| inside.asked.clone())
    }
}

fn answer(status: StatusCode, body: impl Into<Bytes>) -> Result<Response<Bytes>, PeerError> {
    Ok(Response::builder().status(status).body(body.into()).unwrap())
}

fn problem(status: StatusCode, title: &str, errors: &[&str]) -> Value {
    let errors: Vec<Value> = errors.iter().map(|detail| json!({"pointer": "/tests", "detail": detail})).collect();
    json!({"type": "x", "title": title, "status": status.as_u16(), "errors": errors})
}

impl Peer for Fake {
    fn call(&self, request: Request<Bytes>, limits: Limits) -> BoxFuture<'_, Result<Response<Bytes>, PeerError>> {
        let mut inside = self.0.lock().unwrap();
        assert_eq!(request.headers()[header::AUTHORIZATION], format!("Bearer {SECRET}").as_str());
        assert_eq!(limits.time, Duration::from_secs(5));
        let path = request.uri().to_string();
        let path = path.strip_prefix(PDP).expect("only the entitlement system is asked").to_owned();
        inside.asked.push(Asked {
            method: request.method().clone(),
            path: path.clone(),
            request_id: request.headers()["x-request-id"].to_str().unwrap().to_owned(),
            body: serde_json::from_slice(request.body()).unwrap_or_default(),
        });
        let said = inside.said(request.method(), &path, limits);
        Box::pin(async move { said })
    }
}

impl Inside {
    fn said(&mut self, method: &Method, path: &str, limits: Limits) -> Result<Response<Bytes>, PeerError> {
        let secret = problem(StatusCode::UNAUTHORIZED, "a credential is needed", &[]);
        let right = problem(StatusCode::FORBIDDEN, "this credential has not the right to do this", &[]);
        let failing = problem(StatusCode::SERVICE_UNAVAILABLE, "the service cannot reach its <b>database</b>", &[]);
        match self.mood {
            Mood::Fine => {}
            Mood::Away => return Err(PeerError::Unreachable),
            Mood::Slow => return Err(PeerError::TimedOut(limits.time)),
            Mood::Huge => return Err(PeerError::TooLarge(limits.body_bytes)),
            Mood::WrongSecret => return answer(StatusCode::UNAUTHORIZED, secret.to_string()),
            Mood::NoRight => return answer(StatusCode::FORBIDDEN, right.to_string()),
            Mood::Garbage => return answer(StatusCode::OK, &b"\xff{]<script>"[..]),
            Mood::Other => return answer(StatusCode::OK, "{\"items\": 7, \"policies\": {}, \"explanation\": []}"),
            Mood::Stranger => return answer(StatusCode::NOT_FOUND, "<h1>Not here</h1>"),
            Mood::Failing => return answer(StatusCode::SERVICE_UNAVAILABLE, failing.to_string()),
            Mood::Broken => return answer(StatusCode::INTERNAL_SERVER_ERROR, "<h1>Oh</h1>"),
        }
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let last = self.history.last().cloned().unwrap_or_default();
        let (activation, active) = (last["activation"].as_i64().unwrap_or(0), last["version"].as_i64().unwrap_or(0));
        let newest_first = |of: &[Value]| of.iter().rev().cloned().collect::<Vec<_>>();
        let said = match (method, path.strip_prefix("/admin/v1/").unwrap()) {
            (&Method::GET, "policies") => json!({
                "version": active, "activation": activation, "revision": 0, "entities": 3, "may_publish": self.may_publish,
                "policies": [
                    {"id": "all", "effect": "permit", "file": "p.cedar", "line": 1},
                    {"id": "<script>alert(1)</script>", "effect": "forbid", "file": "p.cedar", "line": 3,
                     "reason": "\"><img src=x onerror=alert(2)>", "advice": {"max_age": "<i>900</i>"}, "reads": ["context.<u>evil</u>"]},
                ],
                "warnings": [{"file": "p.cedar", "line": 3, "column": 1, "message": "<b>odd</b>"}],
            }),
            (&Method::GET, "policies/versions") => {
                json!({"items": newest_first(&self.versions), "active": active, "next": query.is_empty().then_some(2)})
            }
            (&Method::GET, "policies/history") => json!({"items": newest_first(&self.history), "next": null}),
            (&Method::GET, "decisions") => {
                json!({"items": self.decisions, "next": (!query.contains("cursor")).then_some("9.x")})
            }
            (&Method::POST, "policies/explain") => self.explanation.clone(),
            (&Method::POST, publish) if publish.ends_with("/publish") => match self.refusal.take() {
                Some((status, body)) => return answer(status, body.to_string()),
                None => {
                    let version: i64 = publish.split('/').nth(2).unwrap().parse().unwrap();
                    let done = json!({"activation": activation + 1, "version": version, "author": "console", "comment": "", "request_id": "r", "activated_at": 0});
                    self.history.push(done.clone());
                    done
                }
            },
            (&Method::GET, version) => {
                let number = version.rsplit('/').next().and_then(|number| number.parse::<i64>().ok());
                match self.versions.iter().find(|one| one["version"].as_i64() == number) {
                    Some(found) => found.clone(),
                    None => {
                        let problem = problem(StatusCode::NOT_FOUND, "there is no such version", &[]);
                        return answer(StatusCode::NOT_FOUND, problem.to_string());
                    }
                }
            }
            other => panic!("nobody asks {other:?}"),
        };
        answer(StatusCode::OK, said.to_string())
    }
}
