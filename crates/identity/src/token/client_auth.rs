//! Who the client is (RFC 6749 §2.3): `client_secret_basic`, `client_secret_post`, `private_key_jwt` or `none`, one at a time
//! and the one that is registered. Whatever is wrong, the answer is the same and takes the same time; the
//! log says what it was.

use base::Secret;
use base::ids::ClientId;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, header};

use super::assertion::{self, Failure};
use super::form::{Form, decode};
use crate::clients::{self, AuthMethod, Client};
use crate::cx::{Actor, Cx};
use crate::error::{OAuthError, invalid_client, invalid_request};

/// A client that has shown who it is.
#[derive(Debug, Clone)]
pub struct Authenticated {
    pub client: Client,
    /// Which of its secrets it showed, if it was a secret.
    pub secret_id: Option<String>,
}

struct Claimed {
    client_id: ClientId,
    proof: Proof,
}

enum Proof {
    Nothing,
    Secret(AuthMethod, Secret<String>),
    Assertion(Secret<String>),
}

impl Proof {
    fn method(&self) -> AuthMethod {
        match self {
            Self::Nothing => AuthMethod::None,
            Self::Secret(method, _) => *method,
            Self::Assertion(_) => AuthMethod::PrivateKeyJwt,
        }
    }
}

/// Finds out who the client is and makes it the actor of the context. Writes nothing, but that an assertion was used.
pub async fn authenticate(cx: &mut Cx, headers: &HeaderMap, form: &Form) -> Result<Authenticated, OAuthError> {
    let claimed = claimed(headers, form)?;
    let found = clients::credentials(cx, &claimed.client_id).await?;
    let registered = found.as_ref().map(|found| found.client.spec.token_endpoint_auth_method);
    let known = found.as_ref().map(|found| found.client.client_id.clone());
    let authenticated = match &claimed.proof {
        Proof::Secret(_, secret) => {
            let checked = clients::check_secret(cx, found, secret);
            checked.map(|(client, secret_id)| Authenticated { client, secret_id: Some(secret_id) })
        }
        Proof::Assertion(assertion) => match assertion::check(cx, found.map(|found| found.client), assertion).await {
            Ok(client) => Ok(Authenticated { client, secret_id: None }),
            Err(Failure::Refused(reason)) => Err(reason),
            Err(Failure::Outage(error)) => return Err(error),
        },
        Proof::Nothing => match found {
            Some(found) if found.client.may_act() => Ok(Authenticated { client: found.client, secret_id: None }),
            _ => Err("unknown, disabled or suspended client"),
        },
    };
    let authenticated = authenticated.map_err(|reason| refused(known.as_ref(), reason))?;
    if registered != Some(claimed.proof.method()) {
        return Err(refused(known.as_ref(), "not the registered method"));
    }
    cx.actor = Actor::Client(authenticated.client.client_id.clone());
    Ok(authenticated)
}

/// As [`authenticate`], for endpoints that public clients may not use.
pub async fn authenticate_confidential(
    cx: &mut Cx,
    headers: &HeaderMap,
    form: &Form,
) -> Result<Authenticated, OAuthError> {
    let authenticated = authenticate(cx, headers, form).await?;
    match authenticated.client.is_public() {
        false => Ok(authenticated),
        true => Err(refused(Some(&authenticated.client.client_id), "a public client")),
    }
}

/// What an unknown client calls itself is not logged: it may be a secret in the wrong place.
fn refused(known: Option<&ClientId>, reason: &'static str) -> OAuthError {
    tracing::warn!(client.id = known.map(ClientId::as_str), reason, "client authentication failed");
    // RFC 9110 §15.5.2: a 401 names what would do.
    invalid_client("client authentication failed").challenge("Basic realm=\"cardea\", charset=\"UTF-8\"")
}

fn claimed(headers: &HeaderMap, form: &Form) -> Result<Claimed, OAuthError> {
    let mut lines = headers.get_all(header::AUTHORIZATION).iter();
    let (line, second) = (lines.next(), lines.next());
    if second.is_some() {
        return Err(invalid_request("there are two Authorization headers"));
    }
    let in_body = form.get("client_id");
    let secret = form.get("client_secret").map(Secret::from);
    let assertion = form.get("client_assertion").map(Secret::from);
    // RFC 6749 §2.3: not more than one method in a request.
    if usize::from(line.is_some()) + usize::from(secret.is_some()) + usize::from(assertion.is_some()) > 1 {
        return Err(invalid_request("the client authenticates in two ways"));
    }
    let (client_id, proof) = if let Some(line) = line {
        let (id, secret) = line.to_str().ok().and_then(basic).ok_or_else(|| refused(None, "malformed"))?;
        (Some(id), Proof::Secret(AuthMethod::ClientSecretBasic, secret))
    } else if let Some(assertion) = assertion {
        if form.get("client_assertion_type") != Some(assertion::TYPE) {
            return Err(refused(None, "another kind of assertion"));
        }
        let id = assertion::claimed_client(assertion.expose()).ok_or_else(|| refused(None, "malformed assertion"))?;
        (Some(id), Proof::Assertion(assertion))
    } else {
        (None, secret.map_or(Proof::Nothing, |secret| Proof::Secret(AuthMethod::ClientSecretPost, secret)))
    };
    if client_id.as_ref().zip(in_body).is_some_and(|(id, in_body)| in_body != id.as_str()) {
        return Err(invalid_request("`client_id` is not the client that authenticates"));
    }
    let client_id = client_id.or_else(|| in_body.map(ClientId::from)).ok_or_else(|| refused(None, "no credentials"))?;
    if client_id.as_str().contains('\0') {
        return Err(refused(None, "malformed"));
    }
    Ok(Claimed { client_id, proof })
}

/// `Basic` credentials, both halves form-encoded before (RFC 6749 §2.3.1).
fn basic(line: &str) -> Option<(ClientId, Secret<String>)> {
    let (scheme, credentials) = line.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("Basic") {
        return None;
    }
    let bytes = STANDARD.decode(credentials.trim()).ok()?;
    let text = Secret::new(String::from_utf8(bytes).ok()?);
    let (id, secret) = text.expose().split_once(':')?;
    Some((ClientId(decode(id).ok()?), Secret::new(decode(secret).ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_credentials_are_form_decoded() {
        // `a:b` : `p+ %`
        let line = format!("basic {}", STANDARD.encode("a%3Ab:p%2B+%25"));
        let (id, secret) = basic(&line).unwrap();

        assert_eq!((id.as_str(), secret.expose().as_str()), ("a:b", "p+ %"));
    }

    #[test]
    fn other_schemes_are_no_credentials() {
        for line in ["Bearer abc", "Basic", "Basic !!!", "Basic Bearer x"] {
            assert!(basic(line).is_none(), "{line}");
        }
    }
}
