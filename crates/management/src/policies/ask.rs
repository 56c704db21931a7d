//! The questions, each one HTTP message.

use base::peer::Limits;
use bytes::Bytes;
use http::{HeaderName, Method, Request, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Activation, Decisions, Explained, History, State, Trouble, Version, Versions};
use crate::Cx;

/// A version's texts may have 2 MiB, its tests as much again, and JSON writes some letters with six.
const MAX_ANSWER: usize = 16 << 20;
/// What is quoted of a problem, and how many of its faults.
const QUOTED: usize = 2_000;
const FAULTS: usize = 50;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const POLICIES: &str = "/admin/v1/policies";

pub(crate) async fn in_force(cx: &Cx) -> Result<State, Trouble> {
    get(cx, POLICIES).await
}

/// Newest first; `before` is the last one of the page before.
pub(crate) async fn versions(cx: &Cx, before: Option<i64>) -> Result<Versions, Trouble> {
    get(cx, &paged("versions", before)).await
}

pub(crate) async fn version(cx: &Cx, number: i64) -> Result<Version, Trouble> {
    get(cx, &format!("{POLICIES}/versions/{number}")).await
}

pub(crate) async fn history(cx: &Cx, before: Option<i64>) -> Result<History, Trouble> {
    get(cx, &paged("history", before)).await
}

fn paged(what: &str, before: Option<i64>) -> String {
    let query = before.map_or_else(String::new, |before| format!("?before={before}"));
    format!("{POLICIES}/{what}{query}")
}

/// By the policies in force, or by another version.
pub(crate) async fn explain(cx: &Cx, question: &Value, version: Option<i64>) -> Result<Explained, Trouble> {
    let body = json!({"question": question, "version": version});
    send(cx, Method::POST, &format!("{POLICIES}/explain"), Some(&body)).await
}

/// What is looked for; times in milliseconds.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Search {
    pub subject: Option<String>,
    pub resource: Option<String>,
    pub decision: Option<String>,
    pub request_id: Option<String>,
    pub from: Option<i64>,
    pub until: Option<i64>,
    pub cursor: Option<String>,
    pub limit: u32,
}

impl Search {
    /// Whether anything is looked for but all.
    pub fn filtered(&self) -> bool {
        let words = [&self.subject, &self.resource, &self.decision, &self.request_id, &self.cursor];
        words.iter().any(|word| word.is_some()) || self.from.is_some() || self.until.is_some()
    }
}

pub(crate) async fn decisions(cx: &Cx, search: &Search) -> Result<Decisions, Trouble> {
    let query =
        serde_urlencoded::to_string(search).map_err(|_| Trouble::Odd("the search cannot be sent".to_owned()))?;
    get(cx, &format!("/admin/v1/decisions?{query}")).await
}

/// A version that is to be in force.
#[derive(Debug)]
pub(crate) struct Publication<'a> {
    pub version: i64,
    /// What was in force when somebody decided this; if it is not any more, nothing happens.
    pub activation: i64,
    pub comment: &'a str,
    /// Who decided it, for the history.
    pub by: &'a str,
}

pub(crate) async fn publish(cx: &Cx, publication: &Publication<'_>) -> Result<Activation, Trouble> {
    let body = json!({
        "comment": publication.comment, "activation": publication.activation, "on_behalf_of": publication.by,
    });
    let path = format!("{POLICIES}/versions/{}/publish", publication.version);
    send(cx, Method::POST, &path, Some(&body)).await
}

async fn get<T: DeserializeOwned>(cx: &Cx, path: &str) -> Result<T, Trouble> {
    send(cx, Method::GET, path, None).await
}

async fn send<T: DeserializeOwned>(cx: &Cx, method: Method, path: &str, body: Option<&Value>) -> Result<T, Trouble> {
    let asked = exchange(cx, method, path, body).await;
    if let Err(trouble) = &asked
        && !matches!(trouble, Trouble::NotSet | Trouble::NotFound | Trouble::Refused { .. })
    {
        tracing::warn!(request.id = %cx.request_id, cause = %trouble, "the entitlement system gives no answer to a page");
    }
    asked
}

async fn exchange<T: DeserializeOwned>(
    cx: &Cx,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<T, Trouble> {
    let config = &cx.management.config;
    let Some(entitlement) = &config.entitlement else { return Err(Trouble::NotSet) };
    let mut request = Request::builder()
        .method(method)
        .uri(format!("{}{path}", entitlement.url))
        .header(header::ACCEPT, "application/json")
        .header(header::AUTHORIZATION, format!("Bearer {}", entitlement.secret.expose()))
        // So that its history and log name the request that ours name.
        .header(REQUEST_ID, cx.request_id.as_str());
    if body.is_some() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    let body = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
    let request = request.body(body).map_err(|_| Trouble::Odd("its address cannot be asked".to_owned()))?;
    let limits = Limits { time: entitlement.timeout, body_bytes: MAX_ANSWER };
    let answer = config.peer.call(request, limits).await?;
    let status = answer.status();
    let known = |title: String| Trouble::Refused { status, title, errors: errors(answer.body()) };
    match status {
        status if status.is_success() => {
            serde_json::from_slice(answer.body()).map_err(|_| Trouble::Odd("what it says is not understood".to_owned()))
        }
        StatusCode::UNAUTHORIZED => Err(Trouble::Secret),
        StatusCode::FORBIDDEN => Err(Trouble::NoRight),
        StatusCode::NOT_FOUND if title(answer.body()).is_some() => Err(Trouble::NotFound),
        StatusCode::BAD_REQUEST | StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY => {
            Err(title(answer.body()).map_or_else(|| odd(status), known))
        }
        StatusCode::SERVICE_UNAVAILABLE => Err(title(answer.body()).map_or_else(|| odd(status), Trouble::Failing)),
        _ => Err(odd(status)),
    }
}

fn odd(status: StatusCode) -> Trouble {
    Trouble::Odd(format!("it answers {}", status.as_u16()))
}

/// Of a problem (RFC 9457).
fn title(body: &[u8]) -> Option<String> {
    let problem: Value = serde_json::from_slice(body).ok()?;
    Some(problem.get("title")?.as_str()?.chars().take(QUOTED).collect())
}

fn errors(body: &[u8]) -> Vec<String> {
    let problem: Value = serde_json::from_slice(body).unwrap_or_default();
    let errors = problem.get("errors").and_then(Value::as_array).into_iter().flatten();
    let details = errors.filter_map(|error| error.get("detail")?.as_str());
    details.take(FAULTS).map(|detail| detail.chars().take(QUOTED).collect()).collect()
}
