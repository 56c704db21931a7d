//! The identity system as a registrar sees it: registration (RFC 7591), management (RFC 7592), and what our own
//! identity system has beyond them: a list, and the exchange of secrets.
//!
//! Nothing that it answers is believed because it answers it: sizes and times have limits, and a client is managed
//! at an address of the issuer or of its registration endpoint, nowhere else.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base::peer::Limits;
use base::{Secret, Time};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use serde_json::{Map, Value, json};
use url::Url;

use crate::config::Registration;
use crate::issuer::Metadata;
use crate::{Management, Refused};

const LIMITS: Limits = Limits { time: Duration::from_secs(8), body_bytes: 1 << 20 };
const SCOPE: &str = "client.register";
/// A token is not used in the last moments of its life.
const MARGIN: Duration = Duration::from_secs(20);
const MOST_TEXT: usize = 8 << 10;

/// Our own access token for registering, while it lives.
#[derive(Default)]
pub struct Registrar(Mutex<Option<(Secret<String>, Time)>>);

/// Why there is no good answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Nothing has been done there.
    Later(String),
    /// It may have been done; only the answer is missing.
    Unsure(String),
    /// It said no, and will say no again.
    No(String),
    /// The credential that was shown is not good, or there is no such client (RFC 7592 §2.1 has one answer for both).
    Unauthorized,
    /// The key was used for a client that is gone.
    KeyUsedUp,
}

/// What was registered, as far as we look at it.
#[derive(Debug, Clone)]
pub(super) struct Registered {
    pub client: String,
    pub secret: Option<Secret<String>>,
    pub token: Option<Secret<String>>,
    pub uri: Option<String>,
}

/// One client of ours, as the list tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub client: String,
    pub software_id: String,
    pub name: String,
    pub uri: Option<String>,
}

/// Where and how to ask; made anew for each piece of work.
pub(super) struct Desk<'a> {
    management: &'a Management,
    pub metadata: std::sync::Arc<Metadata>,
    endpoint: String,
}

impl<'a> Desk<'a> {
    pub async fn open(management: &'a Management) -> Result<Self, Trouble> {
        let metadata = management.issuer.metadata(management).await.map_err(later)?;
        let endpoint = metadata
            .registration_endpoint
            .clone()
            .ok_or_else(|| Trouble::No("the identity system registers no applications".to_owned()))?;
        Ok(Self { management, metadata, endpoint })
    }

    /// Whether it is one of ours: a repeat is no second client, clients are listed, secrets are exchanged.
    pub fn repeats(&self) -> bool {
        self.metadata.registration_list_supported
    }

    /// RFC 7591 §3.1.
    pub async fn register(&self, key: &str, document: &Value) -> Result<Registered, Trouble> {
        let mut answered = self.as_registrar(Method::POST, &self.endpoint, Some(key), Some(document)).await?;
        if answered.0 == StatusCode::UNAUTHORIZED {
            self.forget_token();
            answered = self.as_registrar(Method::POST, &self.endpoint, Some(key), Some(document)).await?;
        }
        let (status, body) = answered;
        match status {
            StatusCode::CREATED | StatusCode::OK => self.read(&body).map_err(Trouble::Unsure),
            StatusCode::CONFLICT => Err(Trouble::KeyUsedUp),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if !said(&body, "access_denied") => Err(Trouble::Later(
                "the identity system does not let this portal register applications; its operator has to look"
                    .to_owned(),
            )),
            _ => Err(refused(status, &body)),
        }
    }

    /// RFC 7592 §2.1.
    pub async fn read_client(&self, uri: &str, token: Option<&Secret<String>>) -> Result<Registered, Trouble> {
        let (status, body) = self.manage(Method::GET, uri, token, None).await?;
        match status {
            StatusCode::OK => self.read(&body).map_err(Trouble::Later),
            StatusCode::NOT_FOUND | StatusCode::GONE => Err(Trouble::Unauthorized),
            _ => Err(refused(status, &body)),
        }
    }

    /// RFC 7592 §2.2: the whole document. A new token, or a new secret, may come with the answer.
    pub async fn update(
        &self,
        (client, uri): (&str, &str),
        token: Option<&Secret<String>>,
        document: &Value,
    ) -> Result<Registered, Trouble> {
        let mut document = document.clone();
        if let Some(members) = document.as_object_mut() {
            members.insert("client_id".to_owned(), json!(client));
        }
        let (status, body) = self.manage(Method::PUT, uri, token, Some(&document)).await?;
        match status {
            StatusCode::OK => {
                let read = self.read(&body).map_err(Trouble::Later)?;
                if read.client == client { Ok(read) } else { Err(Trouble::Later(WRONG.to_owned())) }
            }
            _ => Err(refused(status, &body)),
        }
    }

    /// RFC 7592 §2.3. `Ok` means that there is no such client any more.
    pub async fn delete(&self, uri: &str, token: Option<&Secret<String>>) -> Result<(), Trouble> {
        let (status, body) = self.manage(Method::DELETE, uri, token, None).await?;
        match status {
            StatusCode::NO_CONTENT | StatusCode::OK | StatusCode::NOT_FOUND | StatusCode::GONE => Ok(()),
            _ => Err(refused(status, &body)),
        }
    }

    /// Not of a standard: another secret, the one in use lives on.
    pub async fn new_secret(
        &self,
        uri: &str,
        token: Option<&Secret<String>>,
        overlap_s: i64,
    ) -> Result<Secret<String>, Trouble> {
        if !self.repeats() {
            let why = "this identity system cannot exchange secrets; make another application, then delete this one";
            return Err(Trouble::No(why.to_owned()));
        }
        let uri = format!("{uri}/secret");
        let (status, body) = self.manage(Method::POST, &uri, token, Some(&json!({"overlap": overlap_s}))).await?;
        let secret = body.get("client_secret").and_then(Value::as_str).filter(|secret| is_text(secret));
        match (status, secret) {
            (StatusCode::OK | StatusCode::CREATED, Some(secret)) => Ok(Secret::from(secret)),
            (StatusCode::OK | StatusCode::CREATED, None) => Err(Trouble::Later(WRONG.to_owned())),
            _ => Err(refused(status, &body)),
        }
    }

    /// Not of a standard: our own clients there; of one application, or all. `None`: it has no such list.
    pub async fn list(&self, software_id: Option<&str>) -> Result<Option<Vec<Listed>>, Trouble> {
        if !self.repeats() {
            return Ok(None);
        }
        let mut found = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut url = Url::parse(&self.endpoint).map_err(|_| Trouble::Later(WRONG.to_owned()))?;
            url.query_pairs_mut().append_pair("limit", "200");
            if let Some(software_id) = software_id {
                url.query_pairs_mut().append_pair("software_id", software_id);
            }
            if let Some(cursor) = &cursor {
                url.query_pairs_mut().append_pair("cursor", cursor);
            }
            let (status, body) = self.as_registrar(Method::GET, url.as_str(), None, None).await?;
            if status == StatusCode::UNAUTHORIZED {
                self.forget_token();
            }
            if status != StatusCode::OK {
                return Err(refused(status, &body));
            }
            let clients =
                body.get("clients").and_then(Value::as_array).ok_or_else(|| Trouble::Later(WRONG.to_owned()))?;
            found.extend(clients.iter().filter_map(|client| self.listed(client)));
            let next = body.get("next").and_then(Value::as_str).map(str::to_owned);
            if next.is_none() || next == cursor || found.len() > 1_000_000 {
                return Ok(Some(found));
            }
            cursor = next;
        }
    }

    /// Not of a standard: ends what a client holds, of one grant or of all; as its registrar, so that the identity
    /// system knows who asks. How many grants there were.
    pub async fn revoke(&self, uri: &str, grant: Option<&str>) -> Result<u64, Trouble> {
        if !self.metadata.registration_revocation_supported {
            return Err(Trouble::No(NO_REVOCATION.to_owned()));
        }
        let asked = grant.map_or_else(|| json!({}), |grant| json!({"grant_id": grant}));
        let (status, body) = self.manage(Method::POST, &format!("{uri}/revoke"), None, Some(&asked)).await?;
        match (status, body.get("revoked").and_then(Value::as_u64)) {
            (StatusCode::OK, Some(revoked)) => Ok(revoked),
            (StatusCode::OK, None) => Err(Trouble::Unsure(WRONG.to_owned())),
            (StatusCode::NOT_FOUND, _) => {
                Err(Trouble::No("the identity system has no such grant of this application".to_owned()))
            }
            _ => Err(refused(status, &body)),
        }
    }

    fn listed(&self, client: &Value) -> Option<Listed> {
        let text = |name: &str| client.get(name).and_then(Value::as_str).filter(|text| text.len() <= MOST_TEXT);
        Some(Listed {
            client: text("client_id")?.to_owned(),
            software_id: text("software_id").unwrap_or_default().to_owned(),
            name: text("client_name").unwrap_or_default().to_owned(),
            uri: text("registration_client_uri").filter(|uri| self.is_at_home(uri)).map(str::to_owned),
        })
    }

    /// With the client's own token; where that is not good (any more) and the server is one of ours, as its registrar.
    async fn manage(
        &self,
        method: Method,
        uri: &str,
        token: Option<&Secret<String>>,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Value), Trouble> {
        if !self.is_at_home(uri) {
            return Err(Trouble::No("the identity system named an address elsewhere for this client".to_owned()));
        }
        if let Some(token) = token {
            let answer = self.send(method.clone(), uri, Some(token), None, body).await?;
            if answer.0 != StatusCode::UNAUTHORIZED {
                return Ok(answer);
            }
        }
        if !self.repeats() {
            return Err(Trouble::Unauthorized);
        }
        let answer = self.as_registrar(method.clone(), uri, None, body).await?;
        if answer.0 != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        self.forget_token();
        let answer = self.as_registrar(method, uri, None, body).await?;
        if answer.0 == StatusCode::UNAUTHORIZED { Err(Trouble::Unauthorized) } else { Ok(answer) }
    }

    async fn as_registrar(
        &self,
        method: Method,
        url: &str,
        key: Option<&str>,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Value), Trouble> {
        let token = self.token().await?;
        self.send(method, url, Some(&token), key, body).await
    }

    async fn send(
        &self,
        method: Method,
        url: &str,
        token: Option<&Secret<String>>,
        key: Option<&str>,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Value), Trouble> {
        let cannot = |_| Trouble::No("the request cannot be written".to_owned());
        let mut request = Request::builder().method(method).uri(url).header(header::ACCEPT, "application/json");
        if let Some(token) = token {
            let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose()))
                .map_err(|_| Trouble::No("a token cannot be sent".to_owned()))?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let request = match body {
            Some(body) => request.header(header::CONTENT_TYPE, "application/json").body(Bytes::from(body.to_string())),
            None => request.body(Bytes::new()),
        };
        let answer = self.management.config.peer.call(request.map_err(cannot)?, LIMITS).await;
        let answer =
            answer.map_err(|error| Trouble::Unsure(format!("the identity system does not answer: {error}")))?;
        let json = serde_json::from_slice(answer.body()).unwrap_or_default();
        Ok((answer.status(), json))
    }

    /// RFC 7591 §3.2.1, RFC 7592 §3.
    fn read(&self, body: &Value) -> Result<Registered, String> {
        let members: &Map<String, Value> = body.as_object().ok_or_else(|| WRONG.to_owned())?;
        let text = |name: &str| members.get(name).and_then(Value::as_str).filter(|text| is_text(text));
        let client = text("client_id").ok_or_else(|| WRONG.to_owned())?;
        let uri = text("registration_client_uri");
        if uri.is_some_and(|uri| !self.is_at_home(uri)) {
            return Err("the identity system named an address elsewhere for this client".to_owned());
        }
        Ok(Registered {
            client: client.to_owned(),
            secret: text("client_secret").map(Secret::from),
            token: text("registration_access_token").map(Secret::from),
            uri: uri.map(str::to_owned),
        })
    }

    /// The address is the issuer's own, or that of its registration endpoint: a request with a token goes nowhere else.
    fn is_at_home(&self, uri: &str) -> bool {
        let Ok(uri) = Url::parse(uri) else { return false };
        let plain = uri.username().is_empty() && uri.password().is_none() && uri.fragment().is_none();
        let same = |other: &str| Url::parse(other).is_ok_and(|other| other.origin() == uri.origin());
        plain && uri.has_host() && (same(&self.management.config.issuer) || same(&self.endpoint))
    }

    async fn token(&self) -> Result<Secret<String>, Trouble> {
        if let Registration::InitialAccessToken(token) = &self.management.config.registration {
            return Ok(token.clone());
        }
        let now = self.management.clock.now();
        let kept = self.kept().clone();
        if let Some((token, until)) = kept
            && now < until
        {
            return Ok(token);
        }
        let endpoint =
            self.metadata.need(self.metadata.token_endpoint.as_ref(), "token_endpoint").map_err(later)?.to_owned();
        let form = [("grant_type", "client_credentials"), ("scope", SCOPE)];
        let (status, body) = self.management.issuer.post(self.management, &endpoint, &form).await.map_err(later)?;
        let token = body.get("access_token").and_then(Value::as_str).filter(|token| is_text(token));
        let Some(token) = token.filter(|_| status == StatusCode::OK) else {
            tracing::error!(status = status.as_u16(), "the identity system gives no token for registering");
            let why = "the identity system does not let this portal register applications; its operator has to look";
            return Err(Trouble::Later(why.to_owned()));
        };
        let token = Secret::from(token);
        let life = body.get("expires_in").and_then(Value::as_u64).unwrap_or(60).min(3600);
        let until = now.plus(Duration::from_secs(life).saturating_sub(MARGIN));
        *self.kept() = Some((token.clone(), until));
        Ok(token)
    }

    fn forget_token(&self) {
        *self.kept() = None;
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Option<(Secret<String>, Time)>> {
        self.management.registrar.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the identity system is not one of ours.
pub(super) const NO_REVOCATION: &str = "this identity system has no way for a portal to revoke tokens that it does not \
    know (RFC 7009 asks for the token itself); revoke them there";
const WRONG: &str = "the identity system's answer cannot be read";

fn later(refused: Refused) -> Trouble {
    Trouble::Later(refused.to_string())
}

fn is_text(text: &str) -> bool {
    (1..=MOST_TEXT).contains(&text.len()) && text.bytes().all(|byte| (0x20..0x7f).contains(&byte))
}

fn said(body: &Value, code: &str) -> bool {
    body.get("error").and_then(Value::as_str) == Some(code)
}

/// What a refusal means, with its words (RFC 7591 §3.2.2) made fit to be shown.
fn refused(status: StatusCode, body: &Value) -> Trouble {
    let text = |name: &str| {
        let text = body.get(name).and_then(Value::as_str).unwrap_or_default();
        text.chars().filter(|letter| !letter.is_control()).take(300).collect::<String>()
    };
    let words = [text("error"), text("error_description")].into_iter().filter(|text| !text.is_empty());
    let words = words.collect::<Vec<_>>().join(": ");
    let words = if words.is_empty() { format!("status {}", status.as_u16()) } else { words };
    match status {
        StatusCode::UNAUTHORIZED => Trouble::Unauthorized,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            Trouble::Later("the identity system is busy".to_owned())
        }
        status if status.is_server_error() => {
            Trouble::Unsure(format!("the identity system failed with status {}", status.as_u16()))
        }
        status if status.is_client_error() => Trouble::No(format!("the identity system refuses: {words}")),
        _ => Trouble::Unsure(WRONG.to_owned()),
    }
}
