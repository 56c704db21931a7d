//! Who the client is (RFC 6749 §2.3): `client_secret_basic`, `client_secret_post` or `none`, one at a time
//! and the one that is registered. Whatever is wrong, the answer is the same and takes the same time; the
//! log says what it was.

use base::Secret;
use base::ids::ClientId;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, header};

use super::form::{Form, decode};
use crate::clients::{self, AuthMethod, Client};
use crate::cx::{Actor, Cx};
use crate::error::{OAuthError, invalid_client, invalid_request};

/// A client that has shown who it is.
#[derive(Debug, Clone)]
pub struct Authenticated {
    pub client: Client,
    /// Which of its secrets it showed; None for a public client, which has shown nothing.
    pub secret_id: Option<String>,
}

struct Claimed {
    client_id: ClientId,
    secret: Option<Secret<String>>,
    method: AuthMethod,
}

/// Finds out who the client is and makes it the actor of the context. Writes nothing.
pub async fn authenticate(cx: &mut Cx, headers: &HeaderMap, form: &Form) -> Result<Authenticated, OAuthError> {
    let claimed = claimed(headers, form)?;
    let found = clients::credentials(cx, &claimed.client_id).await?;
    let registered = found.as_ref().map(|found| found.client.spec.token_endpoint_auth_method);
    let known = found.as_ref().map(|found| found.client.client_id.clone());
    let authenticated = match claimed.secret {
        Some(secret) => {
            let checked = clients::check_secret(cx, found, &secret);
            checked.map(|(client, secret_id)| Authenticated { client, secret_id: Some(secret_id) })
        }
        None => match found {
            Some(found) if found.client.may_act() => Ok(Authenticated { client: found.client, secret_id: None }),
            _ => Err("unknown, disabled or suspended client"),
        },
    };
    let authenticated = authenticated.map_err(|reason| refused(known.as_ref(), reason))?;
    if registered != Some(claimed.method) {
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
    match authenticated.secret_id {
        Some(_) => Ok(authenticated),
        None => Err(refused(Some(&authenticated.client.client_id), "a public client")),
    }
}

/// What an unknown client calls itself is not logged: it may be a secret in the wrong place.
fn refused(known: Option<&ClientId>, reason: &'static str) -> OAuthError {
    tracing::warn!(client.id = known.map(ClientId::as_str), reason, "client authentication failed");
    // RFC 9110 §15.5.2: a 401 names what would do.
    invalid_client("client authentication failed").challenge("Basic realm=\"cardea\", charset=\"UTF-8\"")
}

fn claimed(headers: &HeaderMap, form: &Form) -> Result<Claimed, OAuthError> {
    if form.get("client_assertion").is_some() || form.get("client_assertion_type").is_some() {
        return Err(refused(None, "assertions are not supported"));
    }
    let mut lines = headers.get_all(header::AUTHORIZATION).iter();
    let (line, second) = (lines.next(), lines.next());
    if second.is_some() {
        return Err(invalid_request("there are two Authorization headers"));
    }
    let in_body = form.get("client_id");
    let Some(line) = line else {
        let client_id = ClientId::from(in_body.ok_or_else(|| refused(None, "no credentials"))?);
        let secret = form.get("client_secret").map(Secret::from);
        let method = if secret.is_some() { AuthMethod::ClientSecretPost } else { AuthMethod::None };
        return Ok(Claimed { client_id, secret, method });
    };
    // RFC 6749 §2.3: not more than one method in a request.
    if form.get("client_secret").is_some() {
        return Err(invalid_request("the client authenticates in two ways"));
    }
    let (client_id, secret) = line.to_str().ok().and_then(basic).ok_or_else(|| refused(None, "malformed"))?;
    if in_body.is_some_and(|in_body| in_body != client_id.as_str()) {
        return Err(invalid_request("`client_id` is not the client that authenticates"));
    }
    Ok(Claimed { client_id, secret: Some(secret), method: AuthMethod::ClientSecretBasic })
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
