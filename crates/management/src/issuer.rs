//! The identity system as any client sees it: its metadata (OpenID Connect Discovery 1.0, RFC 8414), its keys, and
//! forms sent to its endpoints with our own client's credentials.

use std::sync::Arc;
use std::time::Duration;

use base::Time;
use base::peer::Limits;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, StatusCode, header};
use jose::KeySet;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::Management;
use crate::error::Refused;

/// Metadata is asked for again after this long.
const METADATA_LIFE: Duration = Duration::from_secs(3600);
/// Keys are asked for again after this long, or for a key that is not known.
const KEYS_LIFE: Duration = Duration::from_secs(600);
/// After an answer, good or bad, the same is not asked again for this long: a stranger's token with an unknown
/// key must not make us ask each time.
const COOL_DOWN: Duration = Duration::from_secs(10);
/// One that does not answer is left alone for this long.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
const LIMITS: Limits = Limits { time: Duration::from_secs(10), body_bytes: 1 << 20 };

/// What the issuer says of itself; what is absent it does not do.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Metadata {
    pub issuer: String,
    pub authorization_endpoint: Option<String>,
    pub token_endpoint: Option<String>,
    pub jwks_uri: Option<String>,
    pub userinfo_endpoint: Option<String>,
    pub introspection_endpoint: Option<String>,
    pub registration_endpoint: Option<String>,
    pub end_session_endpoint: Option<String>,
    #[serde(default)]
    pub scopes_supported: Vec<String>,
    #[serde(default)]
    pub grant_types_supported: Vec<String>,
    #[serde(default)]
    pub token_endpoint_auth_methods_supported: Vec<String>,
    /// RFC 9207 §3.
    #[serde(default)]
    pub authorization_response_iss_parameter_supported: bool,
    /// Not of a standard: a registrar's own clients are listed, and a repeated `Idempotency-Key` makes no second one.
    #[serde(default)]
    pub registration_list_supported: bool,
    /// Not of a standard: a registrar ends what a client of its own holds.
    #[serde(default)]
    pub registration_revocation_supported: bool,
}

impl Metadata {
    /// An endpoint that has to be there.
    pub fn need<'a>(&self, endpoint: Option<&'a String>, name: &str) -> Result<&'a str, Refused> {
        endpoint.map(String::as_str).ok_or_else(|| upstream(format!("the identity system has no {name}")))
    }
}

/// The issuer, with what it said kept for a while.
#[derive(Default)]
pub struct Issuer(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    metadata: Option<(Arc<Metadata>, Time)>,
    keys: Option<(KeySet, Time)>,
    /// When it last did not answer, and what came of it.
    failed: Option<(Time, String)>,
}

impl Issuer {
    /// One asks, others wait for the same answer. While the issuer is silent, what it said last counts.
    pub async fn metadata(&self, management: &Management) -> Result<Arc<Metadata>, Refused> {
        let mut kept = self.0.lock().await;
        kept.metadata(management).await
    }

    /// The keys; asked for anew when `kid` is not among them.
    pub async fn keys(&self, management: &Management, kid: Option<&str>) -> Result<KeySet, Refused> {
        let mut kept = self.0.lock().await;
        let now = management.clock.now();
        if let Some((keys, at)) = &kept.keys {
            let age = now.since(*at);
            let known = kid.is_none_or(|kid| keys.contains(kid));
            if (known && age < KEYS_LIFE) || (!known && age < COOL_DOWN) {
                return Ok(keys.clone());
            }
        }
        let metadata = kept.metadata(management).await?;
        let url = metadata.need(metadata.jwks_uri.as_ref(), "jwks_uri")?;
        match kept.fetch(management, url).await {
            Ok(body) => {
                let keys = KeySet::parse(&body).map_err(|_| upstream("the identity system's keys cannot be read"))?;
                kept.keys = Some((keys.clone(), now));
                Ok(keys)
            }
            // Keys that are known go on being known while it is silent.
            Err(error) => kept.keys.as_ref().map(|(keys, _)| keys.clone()).ok_or(error),
        }
    }

    /// Sends a form to an endpoint with our own client's credentials (RFC 6749 §2.3.1), and takes the JSON.
    pub async fn post(
        &self,
        management: &Management,
        url: &str,
        fields: &[(&str, &str)],
    ) -> Result<(StatusCode, Value), Refused> {
        let metadata = self.metadata(management).await?;
        let config = &management.config;
        let methods = &metadata.token_endpoint_auth_methods_supported;
        let by_form = !methods.is_empty() && !methods.iter().any(|method| method == "client_secret_basic");
        let credentials = Credentials { id: &config.client_id, secret: config.client_secret.expose(), by_form };
        post_as(management, url, &credentials, fields).await
    }
}

/// A client's name and secret, for the token endpoint.
pub struct Credentials<'a> {
    pub id: &'a str,
    pub secret: &'a str,
    /// `client_secret_post`, for servers that know nothing else.
    pub by_form: bool,
}

/// As [`Issuer::post`], with the credentials of another client.
pub async fn post_as(
    management: &Management,
    url: &str,
    credentials: &Credentials<'_>,
    fields: &[(&str, &str)],
) -> Result<(StatusCode, Value), Refused> {
    let mut fields = fields.to_vec();
    if credentials.by_form {
        fields.extend([("client_id", credentials.id), ("client_secret", credentials.secret)]);
    }
    let body = serde_urlencoded::to_string(&fields).map_err(|_| upstream("a form cannot be written"))?;
    let mut request = Request::post(url)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::ACCEPT, "application/json");
    if !credentials.by_form {
        request = request.header(header::AUTHORIZATION, basic(credentials)?);
    }
    let request = request.body(Bytes::from(body)).map_err(|_| upstream("the endpoint's address cannot be used"))?;
    let answer = management.config.peer.call(request, LIMITS).await;
    let answer = answer.map_err(|error| upstream(format!("the identity system does not answer: {error}")))?;
    let json = serde_json::from_slice(answer.body()).unwrap_or_default();
    Ok((answer.status(), json))
}

/// Sends JSON with our own client's credentials, and takes JSON.
pub async fn post_json(
    management: &Management,
    url: &str,
    body: &Value,
    limits: Limits,
) -> Result<(StatusCode, Value), Refused> {
    let config = &management.config;
    let credentials = Credentials { id: &config.client_id, secret: config.client_secret.expose(), by_form: false };
    let request = Request::post(url)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json")
        .header(header::AUTHORIZATION, basic(&credentials)?)
        .body(Bytes::from(body.to_string()))
        .map_err(|_| upstream("the endpoint's address cannot be used"))?;
    let answer = management.config.peer.call(request, limits).await;
    let answer = answer.map_err(|error| upstream(format!("the identity system does not answer: {error}")))?;
    Ok((answer.status(), serde_json::from_slice(answer.body()).unwrap_or_default()))
}

/// `GET` with a bearer token, for userinfo.
pub async fn get_with_token(management: &Management, url: &str, token: &str) -> Result<Value, Refused> {
    let request = Request::get(url)
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::ACCEPT, "application/json")
        .body(Bytes::new())
        .map_err(|_| upstream("the endpoint's address cannot be used"))?;
    let answer = management.config.peer.call(request, LIMITS).await;
    let answer = answer.map_err(|error| upstream(format!("the identity system does not answer: {error}")))?;
    if answer.status() != StatusCode::OK {
        return Err(upstream(format!("the identity system answers {}", answer.status().as_u16())));
    }
    serde_json::from_slice(answer.body()).map_err(|_| upstream("the identity system's answer cannot be read"))
}

/// RFC 6749 §2.3.1: both are form-encoded before they are joined.
fn basic(credentials: &Credentials<'_>) -> Result<String, Refused> {
    let encode = |text: &str| {
        let pair = serde_urlencoded::to_string([("", text)]).map_err(|_| upstream("a credential cannot be written"))?;
        Ok::<_, Refused>(pair.trim_start_matches('=').to_owned())
    };
    let joined = format!("{}:{}", encode(credentials.id)?, encode(credentials.secret)?);
    Ok(format!("Basic {}", STANDARD.encode(joined)))
}

impl Kept {
    async fn metadata(&mut self, management: &Management) -> Result<Arc<Metadata>, Refused> {
        let now = management.clock.now();
        if let Some((metadata, at)) = &self.metadata
            && now.since(*at) < METADATA_LIFE
        {
            return Ok(metadata.clone());
        }
        let issuer = management.config.issuer.trim_end_matches('/');
        let read = match self.fetch(management, &format!("{issuer}/.well-known/openid-configuration")).await {
            Ok(body) => read_metadata(&management.config.issuer, &body),
            Err(error) => Err(error),
        };
        match read {
            Ok(metadata) => {
                let metadata = Arc::new(metadata);
                self.metadata = Some((metadata.clone(), now));
                Ok(metadata)
            }
            Err(error) => self.metadata.as_ref().map(|(metadata, _)| metadata.clone()).ok_or(error),
        }
    }

    async fn fetch(&mut self, management: &Management, url: &str) -> Result<Bytes, Refused> {
        let now = management.clock.now();
        if let Some((at, why)) = &self.failed
            && now.since(*at) < AFTER_FAILURE
        {
            return Err(upstream(why.clone()));
        }
        let got = get(management, url).await;
        self.failed = match &got {
            Ok(_) => None,
            Err(error) => Some((now, error.to_string())),
        };
        got
    }
}

async fn get(management: &Management, url: &str) -> Result<Bytes, Refused> {
    let request = Request::get(url).header(header::ACCEPT, "application/json").body(Bytes::new());
    let request = request.map_err(|_| upstream("the identity system's address cannot be used"))?;
    let answer = management.config.peer.call(request, LIMITS).await;
    let answer = answer.map_err(|error| upstream(format!("the identity system does not answer: {error}")))?;
    if answer.status() != StatusCode::OK {
        return Err(upstream(format!("the identity system answers {}", answer.status().as_u16())));
    }
    Ok(answer.into_body())
}

/// OpenID Connect Discovery 1.0 §4.3: the issuer in it must be the one that was asked, to the letter. What it
/// names must be as well protected as it is itself.
fn read_metadata(issuer: &str, body: &[u8]) -> Result<Metadata, Refused> {
    let metadata: Metadata =
        serde_json::from_slice(body).map_err(|_| upstream("the identity system's metadata cannot be read"))?;
    if metadata.issuer != issuer {
        return Err(upstream("the identity system's metadata names another issuer"));
    }
    let secure = issuer.starts_with("https://");
    for endpoint in [
        &metadata.authorization_endpoint,
        &metadata.token_endpoint,
        &metadata.jwks_uri,
        &metadata.userinfo_endpoint,
        &metadata.introspection_endpoint,
        &metadata.registration_endpoint,
        &metadata.end_session_endpoint,
    ]
    .into_iter()
    .flatten()
    {
        let fits = endpoint.starts_with("https://") || (!secure && endpoint.starts_with("http://"));
        if !fits || !endpoint.parse::<http::Uri>().is_ok_and(|uri| uri.host().is_some()) {
            return Err(upstream("the identity system's metadata names an endpoint that is no address of the web"));
        }
    }
    Ok(metadata)
}

fn upstream(text: impl Into<String>) -> Refused {
    Refused::Upstream(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Metadata, Refused> {
        read_metadata("https://id.example", json.as_bytes())
    }

    #[test]
    fn metadata_of_another_issuer_is_refused() {
        assert!(read(r#"{"issuer":"https://id.example"}"#).is_ok());
        assert!(read(r#"{"issuer":"https://id.example/"}"#).is_err());
        assert!(read(r#"{"issuer":"https://evil.example"}"#).is_err());
        assert!(read(r"{}").is_err());
    }

    #[test]
    fn an_endpoint_without_protection_is_refused() {
        for bad in ["http://id.example/token", "javascript:alert(1)", "https://", "/token"] {
            let json = serde_json::json!({"issuer": "https://id.example", "token_endpoint": bad}).to_string();
            assert!(read(&json).is_err(), "{bad}");
        }
        assert!(read(r#"{"issuer":"https://id.example","token_endpoint":"https://other.example/t"}"#).is_ok());
    }

    #[test]
    fn credentials_are_encoded_before_they_are_joined() {
        let credentials = Credentials { id: "a:b", secret: "p w%", by_form: false };

        let header = basic(&credentials).unwrap();

        assert_eq!(header, format!("Basic {}", STANDARD.encode("a%3Ab:p+w%25")));
    }
}
