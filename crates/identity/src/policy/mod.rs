//! Policy at issue: what may be issued to whom is asked of a policy decision point (AuthZEN Authorization API 1.0 §7)
//! before consent and before each token: may the subject have tokens for the client (`issue_token`), and which scopes
//! (`grant_scope`). Consent then approves what policy has drawn.
//!
//! A denial may name the login that would turn it (RFC 9470): the person is asked for it. No answer is an outage, not
//! a denial, and nothing is issued. In shadow mode the answer is logged and counted, and changes nothing.

mod answer;
mod question;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use base::Time;
use base::peer::Limits;
use base::scope::Scopes;
use bytes::Bytes;
use http::{HeaderName, Method, Request, StatusCode, header};
use serde_json::Value;

use crate::claims::Person;
use crate::clients::Client;
use crate::config::{PolicyMode, PolicyPoint};
use crate::error::{OAuthError, access_denied, invalid_grant, invalid_scope, temporarily_unavailable};
use crate::grants::Grant;
use crate::sessions::Session;
use crate::{Cx, Identity, scopes};

pub use answer::{Denied, Ruling, StepUp};

/// Questions in one request: what our entitlement system takes.
const MOST: usize = 100;
const MAX_ANSWER: usize = 256 * 1024;
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// For whom something is to be issued, and what is known of it.
#[derive(Debug, Clone, Copy)]
pub struct Requester<'a> {
    pub client: &'a Client,
    /// None for a client that acts by itself.
    pub person: Option<&'a Person>,
    pub grant_type: &'static str,
    pub login: Login<'a>,
    /// Where the person (or the client that acts by itself) is, as far as that is known.
    pub network: Option<IpAddr>,
}

/// How and when the person has logged in.
#[derive(Debug, Clone, Copy, Default)]
pub struct Login<'a> {
    pub auth_time: Option<Time>,
    pub acr: Option<&'a str>,
    pub amr: &'a [String],
}

impl<'a> From<&'a Session> for Login<'a> {
    fn from(session: &'a Session) -> Self {
        Self { auth_time: Some(session.auth_time), acr: Some(&session.acr), amr: &session.amr }
    }
}

impl<'a> From<&'a Grant> for Login<'a> {
    fn from(grant: &'a Grant) -> Self {
        Self { auth_time: grant.auth_time, acr: grant.acr.as_deref(), amr: &grant.amr }
    }
}

/// Asks, unless there is nobody to ask. To be called before the request's first write: it waits for the network.
pub async fn ask(cx: &Cx, requester: &Requester<'_>, scopes: &Scopes) -> Result<Ruling, OAuthError> {
    let identity = &cx.identity;
    let all = || Ruling::Granted { scopes: scopes.clone(), more: None };
    let Some(point) = &identity.config.policy else {
        return Ok(all());
    };
    if scopes.len() >= MOST {
        return match point.mode {
            PolicyMode::Enforce => Err(invalid_scope("these are too many scopes for one request")),
            PolicyMode::Shadow => Ok(all()),
        };
    }
    let catalog = scopes::catalog(identity).await?;
    let question = question::question(&catalog, requester, scopes);
    let ruling = match consult(identity, point, &question, cx.request_id.as_str()).await {
        Ok(answer) => answer::rule(scopes, &answer),
        Err(cause) => Err(cause),
    };
    let outcome = match &ruling {
        Ok(Ruling::Granted { scopes: granted, .. }) if granted == scopes => "granted",
        Ok(Ruling::Granted { .. }) => "narrowed",
        Ok(Ruling::Denied(_)) => "denied",
        Err(_) => "outage",
    };
    let enforced = point.mode == PolicyMode::Enforce;
    identity.metrics.policy(if enforced { "enforce" } else { "shadow" }, outcome);
    if outcome != "granted" {
        let (client, request) = (&requester.client.client_id, &cx.request_id);
        let grant_type = requester.grant_type;
        let why = match &ruling {
            Ok(Ruling::Denied(denied)) => denied.reason_admin.as_deref(),
            Ok(Ruling::Granted { .. }) => None,
            Err(cause) => Some(*cause),
        };
        tracing::warn!(request.id = %request, client.id = %client, grant_type, outcome, enforced, why, "policy at issue");
    }
    match ruling {
        _ if !enforced => Ok(all()),
        Ok(ruling) => Ok(ruling),
        Err(cause) => {
            Err(temporarily_unavailable("the policy decision point gives no answer; try again later").cause(cause))
        }
    }
}

async fn consult(
    identity: &Identity,
    point: &PolicyPoint,
    question: &Value,
    request_id: &str,
) -> Result<Value, &'static str> {
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("{}/access/v1/evaluations", point.url))
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json")
        .header(header::AUTHORIZATION, format!("Bearer {}", point.secret.expose()))
        .header(REQUEST_ID, request_id)
        .body(Bytes::from(question.to_string()))
        .map_err(|_| "the question cannot be sent")?;
    let limits = Limits { time: point.timeout, body_bytes: MAX_ANSWER };
    let answer = identity.config.peers.policy.call(request, limits).await.map_err(|error| {
        tracing::warn!(cause = %error, "the policy decision point gives no answer");
        "the policy decision point gives no answer"
    })?;
    match answer.status() {
        StatusCode::OK => serde_json::from_slice(answer.body()).map_err(|_| "the answer is not JSON"),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err("the policy decision point does not take our secret"),
        _ => Err("the policy decision point does not answer the question"),
    }
}

impl Denied {
    /// At the token endpoint: where a grant does not get its tokens, the client has to begin again.
    pub fn at_token_endpoint(self, grant_type: &str) -> OAuthError {
        let text = "policy does not allow it";
        let mut error = match grant_type {
            "authorization_code" | "refresh_token" => invalid_grant(text),
            _ => access_denied(text),
        };
        if let Some(reason) = self.reason {
            error.description = reason.into();
        }
        error.step_up = self.step_up.map(Box::new);
        error
    }
}
