//! `private_key_jwt` (RFC 7523 §2.2, §3, OpenID Connect Core §9): the client signs who it is, for us, once.

use std::time::Duration;

use base::ids::ClientId;
use base::{Secret, Time};
use jose::hash::{base64url, sha256};
use jose::{Algorithm, Expected, KeySet, Rejected, Verified};
use serde_json::{Value, json};

use super::store;
use crate::clients::{self, AuthMethod, Client, NoKeys};
use crate::config::Config;
use crate::error::{OAuthError, temporarily_unavailable};
use crate::{Cx, Identity};

pub const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// An assertion is made for one request: one that lives longer is not taken.
const LONGEST: Duration = Duration::from_secs(10 * 60);
/// By how much clocks may differ.
const LEEWAY: Duration = Duration::from_secs(30);
const MAX_JTI: usize = 512;

/// Why an assertion shows nothing.
pub(super) enum Failure {
    Refused(&'static str),
    Outage(OAuthError),
}

impl From<NoKeys> for Failure {
    fn from(error: NoKeys) -> Self {
        Self::Outage(temporarily_unavailable("the keys at the client's jwks_uri cannot be fetched").cause(error))
    }
}

impl From<::store::StoreError> for Failure {
    fn from(error: ::store::StoreError) -> Self {
        Self::Outage(error.into())
    }
}

/// Who the assertion says it is from, before anything is verified.
pub(super) fn claimed_client(assertion: &str) -> Option<ClientId> {
    jose::unverified_text(assertion, "iss").map(ClientId)
}

/// The client, if the assertion is its own, for this server, young, and shown for the first time.
pub(super) async fn check(cx: &Cx, found: Option<Client>, assertion: &Secret<String>) -> Result<Client, Failure> {
    let client = found.filter(Client::may_act).ok_or(Failure::Refused("unknown, disabled or suspended client"))?;
    if client.spec.token_endpoint_auth_method != AuthMethod::PrivateKeyJwt {
        return Err(Failure::Refused("not the registered method"));
    }
    let verified = verify(cx, &client, assertion.expose()).await?;
    let (jti, expires_at) = check_claims(&cx.identity.config, &client, &verified, cx.now).map_err(Failure::Refused)?;
    let hash = base64url(&sha256(json!([client.client_id, jti]).to_string().as_bytes()));
    match store::take_assertion(&cx.identity.db, &hash, expires_at.plus(LEEWAY)).await? {
        true => Ok(client),
        false => Err(Failure::Refused("the assertion was used before")),
    }
}

/// The signature, by one of the client's keys and the algorithm of that key.
async fn verify(cx: &Cx, client: &Client, assertion: &str) -> Result<Verified, Failure> {
    let bound: Vec<Algorithm> = match client.spec.token_endpoint_auth_signing_alg {
        Some(algorithm) => vec![algorithm],
        None => Algorithm::ALL.to_vec(),
    };
    let expected = Expected {
        // OpenID Connect leaves it open; what else it may be is looked at below.
        types: &[],
        issuer: Some(client.client_id.as_str()),
        audience: None,
        algorithms: &bound,
        now: cx.now,
        leeway: LEEWAY,
        expiry_required: true,
    };
    let mut result = keys(&cx.identity, client, false).await?.verify(assertion, &expected);
    if matches!(result, Err(Rejected::UnknownKey { .. })) && client.spec.jwks_uri.is_some() {
        result = keys(&cx.identity, client, true).await?.verify(assertion, &expected);
    }
    result.map_err(|rejected| Failure::Refused(rejected.as_str()))
}

async fn keys(identity: &Identity, client: &Client, unknown: bool) -> Result<KeySet, NoKeys> {
    if let Some(uri) = &client.spec.jwks_uri {
        return clients::published(identity, uri, unknown).await;
    }
    let listed = client.spec.jwks.as_ref().and_then(|jwks| jwks.get("keys")).and_then(Value::as_array);
    Ok(KeySet::from_jwks(listed.cloned().unwrap_or_default()))
}

/// RFC 7523 §3. The `jti`, and when the assertion ends.
fn check_claims<'a>(
    config: &Config,
    client: &Client,
    verified: &'a Verified,
    now: Time,
) -> Result<(&'a str, Time), &'static str> {
    let typ = verified.header.typ.as_deref().unwrap_or("JWT");
    // Not any other JWT that the client may sign with the same key.
    if !typ.eq_ignore_ascii_case("JWT") && !typ.eq_ignore_ascii_case("client-authentication+jwt") {
        return Err("a JWT of another type");
    }
    if verified.text("sub") != Some(client.client_id.as_str()) {
        return Err("`sub` is not the client");
    }
    if !is_for_us(config, verified.claims.get("aud")) {
        return Err("`aud` is not this server alone");
    }
    let exp = verified.claims.get("exp").and_then(Value::as_f64).unwrap_or_default();
    let until = Duration::try_from_secs_f64(exp).map_err(|_| "`exp` is not a time")?;
    let expires_at = Time::from_ms(0).plus(until);
    if expires_at > now.plus(LONGEST).plus(LEEWAY) {
        return Err("it lives longer than ten minutes");
    }
    match verified.text("jti") {
        Some(jti) if (1..=MAX_JTI).contains(&jti.len()) => Ok((jti, expires_at)),
        _ => Err("`jti` is missing or too long"),
    }
}

/// The issuer or its token endpoint; among several nobody else, who could have been shown it first.
fn is_for_us(config: &Config, aud: Option<&Value>) -> bool {
    let endpoint = format!("{}/token", config.issuer);
    let ours = |value: &Value| value.as_str().is_some_and(|text| text == config.issuer || text == endpoint);
    match aud {
        Some(Value::Array(several)) => !several.is_empty() && several.iter().all(ours),
        Some(one) => ours(one),
        None => false,
    }
}
