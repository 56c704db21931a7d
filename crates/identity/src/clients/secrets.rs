//! Client secrets: long random handles, stored as keyed hashes; two may live at once, so that one can be
//! exchanged for the next without an outage.

use ::store::StoreError;
use base::ids::ClientId;
use base::{Secret, Time, handle};
use serde::Serialize;
use serde_json::json;

use super::{Client, find, store};
use crate::Cx;
use crate::applied::Refused;
use crate::audit::{self, Act};

/// What may be shown of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SecretInfo {
    pub secret_id: String,
    /// The last characters, to tell two apart.
    pub hint: String,
    pub created_at: Time,
    pub expires_at: Option<Time>,
    pub last_used_at: Option<Time>,
}

/// A secret that was made now; what it is can be told this once.
#[derive(Debug)]
pub struct NewSecret {
    pub secret_id: String,
    pub secret: Secret<String>,
}

/// Makes a secret, and tells it this once.
pub async fn add_secret(cx: &mut Cx, client_id: &ClientId, expires_at: Option<Time>) -> Result<NewSecret, Refused> {
    let secret = Secret::new(handle::encode(handle::CLIENT_SECRET, &base::random::bytes::<32>()));
    let secret_id = add(cx, client_id, &secret, expires_at).await?;
    Ok(NewSecret { secret_id, secret })
}

/// Makes `secret`, which somebody else chose, one of the client's. False if it was already.
pub async fn ensure_secret(cx: &mut Cx, client_id: &ClientId, secret: &Secret<String>) -> Result<bool, Refused> {
    // HMAC is no password hash: what it protects has to be long and random.
    if secret.expose().len() < 32 {
        return Err(Refused::NotAllowed("a client secret must be random and have at least 32 characters"));
    }
    let hash = hash_of(cx, secret.expose());
    let known = store::credentials(cx, client_id).await?;
    if known.is_some_and(|known| known.secrets.iter().any(|s| base::secret::equal(s.hash.as_bytes(), hash.as_bytes())))
    {
        return Ok(false);
    }
    add(cx, client_id, secret, None).await?;
    Ok(true)
}

async fn add(
    cx: &mut Cx,
    client_id: &ClientId,
    secret: &Secret<String>,
    expires_at: Option<Time>,
) -> Result<String, Refused> {
    let Some(client) = find(cx, client_id).await? else {
        return Err(Refused::NotFound("client"));
    };
    if client.is_public() {
        return Err(Refused::NotAllowed("a public client has no secret"));
    }
    if !client.spec.token_endpoint_auth_method.has_secret() {
        return Err(Refused::NotAllowed("a client that signs assertions has no secret"));
    }
    if expires_at.is_some_and(|at| at <= cx.now) {
        return Err(Refused::NotAllowed("the secret would have expired already"));
    }
    let secret_id = base::random::text::<9>();
    let text = secret.expose();
    let hint = text.char_indices().nth_back(3).and_then(|(at, _)| text.get(at..)).unwrap_or_default().to_owned();
    let new = store::NewSecret { secret_id: &secret_id, secret_hash: hash_of(cx, text), hint, expires_at };
    if !store::add_secret(cx, client_id, new).await? {
        return Err(Refused::NotAllowed("the client has two live secrets; remove one first"));
    }
    let record = audit::Record {
        client_id: Some(client_id.clone()),
        object: Some(secret_id.clone()),
        detail: json!({"expires_at": expires_at}),
        ..audit::Record::default()
    };
    audit::record(cx, Act::SecretAdded, record).await?;
    Ok(secret_id)
}

/// False if the client has no such secret.
pub async fn remove_secret(cx: &mut Cx, client_id: &ClientId, secret_id: &str) -> Result<bool, StoreError> {
    if !store::remove_secret(cx, client_id, secret_id).await? {
        return Ok(false);
    }
    let object = Some(secret_id.to_owned());
    let record = audit::Record { client_id: Some(client_id.clone()), object, ..audit::Record::default() };
    audit::record(cx, Act::SecretRemoved, record).await?;
    Ok(true)
}

/// Ends a secret at a moment to come.
pub async fn expire_secret(cx: &mut Cx, client_id: &ClientId, secret_id: &str, at: Time) -> Result<(), StoreError> {
    store::expire_secret(cx, client_id, secret_id, at).await
}

pub async fn list_secrets(cx: &mut Cx, client_id: &ClientId) -> Result<Vec<SecretInfo>, StoreError> {
    store::list_secrets(cx, client_id).await
}

/// Notes that a secret was used, at most once a minute; for requests that write anyway.
pub async fn touch_secret(cx: &mut Cx, secret_id: &str) -> Result<(), StoreError> {
    store::touch_secret(cx, secret_id).await
}

/// A client by the secret it brought: the client and the id of the secret. Takes the same time whatever is wrong.
pub(crate) fn check_secret(
    cx: &Cx,
    found: Option<store::Credentials>,
    secret: &Secret<String>,
) -> Result<(Client, String), &'static str> {
    let hash = hash_of(cx, secret.expose());
    let Some(found) = found else {
        let _same_work = base::secret::equal(hash.as_bytes(), hash.as_bytes());
        return Err("unknown client");
    };
    let mut right = None;
    for candidate in &found.secrets {
        if base::secret::equal(candidate.hash.as_bytes(), hash.as_bytes()) {
            right = Some(candidate.secret_id.clone());
        }
    }
    match right {
        Some(_) if !found.client.may_act() => Err("disabled or suspended client"),
        Some(secret_id) => Ok((found.client, secret_id)),
        None => Err("wrong or expired secret"),
    }
}

fn hash_of(cx: &Cx, secret: &str) -> String {
    jose::hash::base64url(&cx.identity.hashes.client_secrets.tag(secret.as_bytes()))
}
