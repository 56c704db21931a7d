//! The administration interface, seen from the command line.

use std::time::Duration;

use anyhow::Context as _;
use base::Secret;
use base::peer::{HttpPeer, Limits, Peer as _, PeerError};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use serde_json::Value;

use crate::exit::{Exit, Failure, usage};

const LIMITS: Limits = Limits { time: Duration::from_secs(30), body_bytes: 64 << 20 };

/// One server's operations address.
#[derive(Debug)]
pub struct Server {
    base: String,
    token: Secret<String>,
    peer: HttpPeer,
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub body: Value,
}

impl Server {
    pub fn new(base: &str, token: Secret<String>) -> anyhow::Result<Self> {
        let url = url::Url::parse(base).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let url = url.ok_or_else(|| {
            usage(format!("`{base}` is not the address of a server")).hint("write e.g. http://127.0.0.1:8084")
        })?;
        let local = match url.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        };
        if url.scheme() == "http" && !local {
            return Err(usage(format!("the administration token is not sent to `{base}` without TLS"))
                .hint("use https, or an SSH tunnel to its loopback address")
                .into());
        }
        Ok(Self { base: base.trim_end_matches('/').to_owned(), token, peer: HttpPeer::new(None) })
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        Ok(self.call(Method::GET, path, None).await?.body)
    }

    /// PUT of what is not there yet (RFC 9110 §13.1.2).
    pub async fn create(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let answer = self.send_if(Method::PUT, path, Some(body), true).await?;
        Ok(self.success(answer)?.body)
    }

    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        Ok(self.call(Method::POST, path, Some(body)).await?.body)
    }

    pub async fn delete(&self, path: &str) -> anyhow::Result<Value> {
        Ok(self.call(Method::DELETE, path, None).await?.body)
    }

    /// All pages of a list.
    pub async fn list(&self, path: &str) -> anyhow::Result<Vec<Value>> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mark = if path.contains('?') { '&' } else { '?' };
            let page = match &cursor {
                Some(cursor) => self.get(&format!("{path}{mark}cursor={cursor}")).await?,
                None => self.get(path).await?,
            };
            items.extend(page.get("items").and_then(Value::as_array).cloned().unwrap_or_default());
            let next = page.get("next").and_then(Value::as_str).map(str::to_owned);
            if next.is_none() || next == cursor {
                return Ok(items);
            }
            cursor = next;
        }
    }

    /// Sends one request; every answer that is not a success is a [`Failure`] that says what to do.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Answer> {
        let answer = self.send(method, path, body).await?;
        self.success(answer)
    }

    /// Sends one request and gives the answer whatever its status.
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Answer> {
        self.send_if(method, path, body, false).await
    }

    pub fn success(&self, answer: Answer) -> anyhow::Result<Answer> {
        match answer.status {
            status if status.is_success() => Ok(answer),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(Failure::new(Exit::NotAllowed, format!("{} does not accept the administration token", self.base))
                    .hint("give the token of that server: --admin-token file:PATH, or the variable CARDEA_ADMIN_TOKEN")
                    .into())
            }
            status => Err(refusal(status, &answer.body).into()),
        }
    }

    async fn send_if(&self, method: Method, path: &str, body: Option<&Value>, new: bool) -> anyhow::Result<Answer> {
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", self.token.expose()))
            .map_err(|_| usage("the administration token holds a character that no header can carry"))?;
        bearer.set_sensitive(true);
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(header::AUTHORIZATION, bearer)
            .header(header::ACCEPT, "application/json, application/problem+json");
        if new {
            request = request.header(header::IF_NONE_MATCH, "*");
        }
        let bytes = match body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Bytes::from(serde_json::to_vec(body)?)
            }
            None => Bytes::new(),
        };
        let request = request.body(bytes).context("the request cannot be built")?;
        let response = self.peer.call(request, LIMITS).await.map_err(|error| unreachable(&self.base, &error))?;
        let body = match response.body().is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(response.body()).map_err(|_| not_ours(&self.base))?,
        };
        Ok(Answer { status: response.status(), body })
    }
}

pub fn unreachable(address: &str, error: &PeerError) -> Failure {
    Failure::new(Exit::Unreachable, format!("{address}: {error}"))
        .hint("is it running? start it with `cardea dev` or `cardea serve`, or name another with --server")
}

fn not_ours(address: &str) -> Failure {
    Failure::new(Exit::Unreachable, format!("{address} does not answer like a Cardea server"))
        .hint("--server takes the operations address, by default http://127.0.0.1:8084")
}

/// A problem document (RFC 9457) as one message.
fn refusal(status: StatusCode, body: &Value) -> Failure {
    let text = |key: &str| body.get(key).and_then(Value::as_str);
    let mut message = text("title").map_or_else(|| format!("the server answered {status}"), str::to_owned);
    if let Some(detail) = text("detail") {
        message = format!("{message}: {detail}");
    }
    for error in body.get("errors").and_then(Value::as_array).into_iter().flatten() {
        let part = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or_default();
        message = format!("{message}\n  {} {}", part("pointer"), part("detail"));
    }
    let failure = Failure::new(Exit::Refused, message);
    match text("request_id") {
        Some(id) => failure.hint(format!("request id {id}")),
        None => failure,
    }
}
