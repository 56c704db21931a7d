//! The relying party: where the browser is sent, and what it comes back with.

use std::time::Duration;

use base::Time;
use jose::hash::{base64url, left_half_hash, sha256};
use jose::{Algorithm, Expected, Verified};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;
use web::{Browser, Fields};

use crate::error::Refused;
use crate::{Cx, issuer};

/// How long a person may take at the identity system.
const LIFETIME: Duration = Duration::from_secs(3600);
/// By how much its clock and ours may differ.
const LEEWAY: Duration = Duration::from_secs(30);
const SCOPE: &str = "openid profile email";
pub(super) const CALLBACK: &str = "/login/callback";
pub(super) const LOGGED_OUT: &str = "/logged-out";

/// A sign-in under way, sealed in `state`.
#[derive(Debug, Serialize, Deserialize)]
struct Pending {
    nonce: String,
    verifier: String,
    return_to: String,
    /// The administrator, in by the link, who wants the account to become one too.
    vouched_by: Option<String>,
    started_at: Time,
}

/// Who came back, as the identity system says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Arrived {
    pub subject: String,
    pub name: String,
    pub email: Option<String>,
    pub id_token: String,
    pub sid: Option<String>,
    pub return_to: String,
    pub vouched_by: Option<String>,
}

/// Why nobody came in. What is shown is fixed text; what the other side said goes to the log.
#[derive(Debug)]
pub(super) enum Failed {
    /// The person said no, or went back.
    Cancelled,
    /// Too late, another browser's, or not ours.
    Stale,
    /// Something that must fit does not.
    Mismatch(String),
    Refused(Refused),
}

impl From<Refused> for Failed {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// The address that the browser is sent to (OpenID Connect Core §3.1.2.1).
pub(super) async fn begin(
    cx: &Cx,
    browser: &Browser,
    return_to: &str,
    vouched_by: Option<String>,
) -> Result<String, Refused> {
    let management = &cx.management;
    let metadata = management.issuer.metadata(management).await?;
    let endpoint = metadata.need(metadata.authorization_endpoint.as_ref(), "authorization_endpoint")?;
    let pending = Pending {
        nonce: base::random::text::<32>(),
        verifier: base::random::text::<32>(),
        return_to: super::safe_return(return_to).to_owned(),
        vouched_by,
        started_at: cx.now,
    };
    let challenge = base64url(&sha256(pending.verifier.as_bytes()));
    let nonce = pending.nonce.clone();
    let content = serde_json::to_vec(&pending).unwrap_or_default();
    let state = super::seal(cx, &purpose(browser), &content);
    let mut url = Url::parse(endpoint).map_err(|_| Refused::Upstream("its address cannot be read".to_owned()))?;
    let redirect_uri = format!("{}{CALLBACK}", management.config.url);
    url.query_pairs_mut().extend_pairs([
        ("response_type", "code"),
        ("client_id", management.config.client_id.as_str()),
        ("redirect_uri", redirect_uri.as_str()),
        ("scope", SCOPE),
        ("state", state.as_str()),
        ("nonce", nonce.as_str()),
        ("code_challenge", challenge.as_str()),
        ("code_challenge_method", "S256"),
    ]);
    Ok(url.into())
}

/// What the browser came back with, checked from `state` to the ID token.
pub(super) async fn finish(cx: &Cx, browser: &Browser, fields: &Fields) -> Result<Arrived, Failed> {
    if fields.repeated(&[]).next().is_some() {
        return Err(Failed::Mismatch("a parameter came twice".to_owned()));
    }
    let pending = pending(cx, browser, fields.text("state")).ok_or(Failed::Stale)?;
    let management = &cx.management;
    let metadata = management.issuer.metadata(management).await?;
    // RFC 9207 §2.4: an answer of another server must not be mixed up with this one's.
    let required = metadata.authorization_response_iss_parameter_supported;
    match fields.one("iss") {
        Some(iss) if iss != management.config.issuer => return Err(Failed::Mismatch("iss is another's".to_owned())),
        None if required => return Err(Failed::Mismatch("iss is missing".to_owned())),
        _ => {}
    }
    if let Some(error) = fields.one("error") {
        return Err(if error == "access_denied" { Failed::Cancelled } else { Failed::Mismatch(plain(error)) });
    }
    let code = fields.one("code").ok_or(Failed::Stale)?;
    let redirect_uri = format!("{}{CALLBACK}", management.config.url);
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", redirect_uri.as_str()),
        ("code_verifier", pending.verifier.as_str()),
    ];
    let endpoint = metadata.need(metadata.token_endpoint.as_ref(), "token_endpoint")?;
    let (status, tokens) = management.issuer.post(management, endpoint, &form).await?;
    let text = |name: &str| tokens.get(name).and_then(Value::as_str);
    if !status.is_success() {
        let error = text("error").unwrap_or("none");
        // A code is good once: going back in the browser's history brings it again.
        return Err(if error == "invalid_grant" { Failed::Stale } else { Failed::Mismatch(plain(error)) });
    }
    let id_token = text("id_token").ok_or_else(|| Failed::Mismatch("there is no ID token".to_owned()))?;
    let access_token = text("access_token").unwrap_or_default();
    let verified = verify(cx, id_token, &pending.nonce, access_token).await?;
    let subject = verified.text("sub").filter(|sub| !sub.is_empty() && sub.len() <= 255);
    let subject = subject.ok_or_else(|| Failed::Mismatch("the ID token names nobody".to_owned()))?;
    let (name, email) = about(cx, &verified, subject, access_token).await;
    Ok(Arrived {
        name: name.unwrap_or_else(|| subject.to_owned()),
        email,
        subject: subject.to_owned(),
        id_token: id_token.to_owned(),
        sid: verified.text("sid").filter(|sid| sid.len() <= 255).map(str::to_owned),
        return_to: pending.return_to,
        vouched_by: pending.vouched_by,
    })
}

fn pending(cx: &Cx, browser: &Browser, state: &str) -> Option<Pending> {
    let content = super::open(cx, &purpose(browser), state)?;
    let pending: Pending = serde_json::from_slice(&content).ok()?;
    (cx.now <= pending.started_at.plus(LIFETIME)).then_some(pending)
}

/// Bound to the browser: a `state` that was made for one is worth nothing in another.
fn purpose(browser: &Browser) -> Vec<u8> {
    format!("login {}", browser.id()).into_bytes()
}

/// OpenID Connect Core §3.1.3.7.
async fn verify(cx: &Cx, id_token: &str, nonce: &str, access_token: &str) -> Result<Verified, Failed> {
    let management = &cx.management;
    let kid = jose::header_of(id_token).and_then(|header| header.kid);
    let keys = management.issuer.keys(management, kid.as_deref()).await?;
    let config = &management.config;
    let expected = Expected {
        types: &[],
        issuer: Some(&config.issuer),
        audience: Some(&config.client_id),
        algorithms: Algorithm::ALL.as_slice(),
        now: cx.now,
        leeway: LEEWAY,
        expiry_required: true,
    };
    let verified = keys
        .verify(id_token, &expected)
        .map_err(|rejected| Failed::Mismatch(format!("the ID token is refused: {rejected}")))?;
    check(&verified, &config.client_id, nonce, access_token).map_err(|what| Failed::Mismatch(what.to_owned()))?;
    Ok(verified)
}

fn check(verified: &Verified, client_id: &str, nonce: &str, access_token: &str) -> Result<(), &'static str> {
    if !verified.text("nonce").is_some_and(|found| base::secret::equal(found.as_bytes(), nonce.as_bytes())) {
        return Err("the nonce is another's");
    }
    let several = verified.claims.get("aud").and_then(Value::as_array).is_some_and(|aud| aud.len() > 1);
    match verified.text("azp") {
        Some(azp) if azp != client_id => return Err("the ID token was made for another client"),
        None if several => return Err("the ID token is for several and names no azp"),
        _ => {}
    }
    let at_hash = verified.text("at_hash");
    if at_hash.is_some_and(|hash| hash != left_half_hash(verified.header.alg, access_token)) {
        return Err("the access token is not the ID token's");
    }
    if !verified.claims.contains_key("iat") {
        return Err("the ID token has no iat");
    }
    Ok(())
}

/// Name and address, from the ID token or, where they are not in it (§5.4), from userinfo. Without them one can
/// still come in.
async fn about(cx: &Cx, verified: &Verified, subject: &str, access_token: &str) -> (Option<String>, Option<String>) {
    let from_token = described(&Value::Object(verified.claims.clone()));
    if from_token.0.is_some() {
        return from_token;
    }
    let management = &cx.management;
    let Ok(metadata) = management.issuer.metadata(management).await else { return from_token };
    let Some(endpoint) = &metadata.userinfo_endpoint else { return from_token };
    match issuer::get_with_token(management, endpoint, access_token).await {
        // §5.3.4: it must speak of the same person.
        Ok(claims) if claims.get("sub").and_then(Value::as_str) == Some(subject) => described(&claims),
        Ok(_) => from_token,
        Err(error) => {
            tracing::warn!(cause = %error, "userinfo gave nothing; the person is shown by their subject");
            from_token
        }
    }
}

/// An address counts when the identity system says that it has been verified.
fn described(claims: &Value) -> (Option<String>, Option<String>) {
    let text = |name: &str| {
        let text = claims.get(name).and_then(Value::as_str).map(str::trim);
        text.filter(|text| !text.is_empty()).map(|text| text.chars().take(200).collect::<String>())
    };
    let verified = claims.get("email_verified").and_then(Value::as_bool) == Some(true);
    (text("name").or_else(|| text("preferred_username")), text("email").filter(|_| verified))
}

/// An error code (RFC 6749 §4.1.2.1) as it may stand in a log.
fn plain(error: &str) -> String {
    error.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(60).collect()
}

/// Where the browser goes to be signed out there too (RP-Initiated Logout 1.0 §2), if the issuer has such a place.
pub(super) async fn end_session_url(cx: &Cx, id_token: Option<&str>) -> Option<String> {
    let management = &cx.management;
    let metadata = management.issuer.metadata(management).await.ok()?;
    let mut url = Url::parse(metadata.end_session_endpoint.as_ref()?).ok()?;
    let back = format!("{}{LOGGED_OUT}", management.config.url);
    url.query_pairs_mut()
        .append_pair("client_id", &management.config.client_id)
        .append_pair("post_logout_redirect_uri", &back);
    if let Some(id_token) = id_token {
        url.query_pairs_mut().append_pair("id_token_hint", id_token);
    }
    Some(url.into())
}
