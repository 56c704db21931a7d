//! Dynamic client registration (RFC 7591) and its management (RFC 7592).
//!
//! Who registers is a registrar: a client with `registrar: true` and a token of the scope `client.register`, the
//! holder of an initial access token, or, where the operator has opened the door, anybody. Each has a policy of what
//! its clients may be. A repeated `Idempotency-Key` gets the same client. Of tokens and secrets only keyed hashes are
//! stored, but for the answer of a registration with such a key, which is kept sealed for a day.
//!
//! Ours beyond the standards: the `Idempotency-Key`, the list of a registrar's own clients, that a registrar may manage
//! them with its own token, `POST …/secret` (exchange without an outage), `POST …/revoke` (the end of what one holds).

mod error;
mod http;
pub mod initial;
mod metadata;
mod policy;
mod repeatable;
mod revocation;
mod rotation;
mod statement;
mod store;
#[cfg(test)]
pub(crate) mod tests;

use std::time::Duration;

use ::http::{HeaderMap, StatusCode};
use ::store::StoreError;
use base::ids::ClientId;
use base::{Secret, handle};
use jose::hash::{base64url, base64url_decode};
use serde_json::{Map, Value, json};

pub use error::Error;
pub use http::routes;
pub use policy::Policy;
pub use statement::StatementIssuer;
pub use store::all;

use crate::applied::Applied;
use crate::audit::{self, Act};
use crate::clients::{self, Client, ClientSpec};
use crate::cx::Actor;
use crate::scopes::{self, CLIENT_REGISTER};
use crate::token::bearer::bearer;
use crate::token::live;
use crate::{Cx, Identity};
use metadata::Asked;
use repeatable::Repeatable;
use statement::Reader;
use store::Registration;

/// How long the answer to an `Idempotency-Key` is kept.
const ANSWER_KEPT: Duration = Duration::from_secs(24 * 3600);
const MOST_LISTED: u32 = 200;

/// Who registers.
#[derive(Debug)]
pub enum Registrar {
    Client(Box<Client>),
    Initial(initial::InitialToken),
    /// Nobody in particular.
    Open(Policy),
}

impl Registrar {
    /// How it is named beside its clients.
    fn name(&self) -> String {
        match self {
            Self::Client(client) => format!("client:{}", client.client_id),
            Self::Initial(token) => format!("token:{}", token.token_id),
            Self::Open(_) => "open".to_owned(),
        }
    }

    fn policy(&self) -> Policy {
        match self {
            Self::Client(client) => client.spec.registration.clone().unwrap_or_default(),
            Self::Initial(token) => token.policy.clone(),
            Self::Open(policy) => policy.clone(),
        }
    }
}

/// Who asks at the registration endpoint.
async fn registrar(cx: &mut Cx, headers: &HeaderMap) -> Result<Registrar, Error> {
    let Some(token) = bearer(headers)? else {
        return cx.identity.config.open_registration.clone().map(Registrar::Open).ok_or_else(Error::unauthorized);
    };
    registrar_of(cx, token).await?.ok_or_else(Error::unauthorized)
}

/// The registrar that holds this token; it becomes the actor.
async fn registrar_of(cx: &mut Cx, token: &str) -> Result<Option<Registrar>, Error> {
    if token.starts_with(handle::INITIAL_TOKEN) {
        return Ok(initial::find(cx, token).await?.map(Registrar::Initial));
    }
    let live = live::for_us(cx, token, CLIENT_REGISTER).await?;
    let Some(live) = live.filter(|live| live.client.registrar) else {
        return Ok(None);
    };
    let client = clients::find(cx, &live.client.client_id).await?;
    cx.actor = Actor::Client(live.client.client_id);
    Ok(client.map(|client| Registrar::Client(Box::new(client))))
}

/// A client as it is after a change, and what is told of it this once.
struct Done {
    client: Client,
    registration: Registration,
    secret: Option<Secret<String>>,
    token: Option<Secret<String>>,
}

impl Done {
    /// RFC 7591 §3.2.1, RFC 7592 §3.
    async fn answer(&self, cx: &mut Cx) -> Result<Value, Error> {
        let client_id = &self.client.client_id;
        let mut out = Map::new();
        out.insert("client_id".to_owned(), json!(client_id));
        out.insert("client_id_issued_at".to_owned(), json!(self.registration.created_at.seconds()));
        if let Some(secret) = &self.secret {
            out.insert("client_secret".to_owned(), json!(secret.expose()));
        }
        if self.client.spec.token_endpoint_auth_method.has_secret() {
            out.insert("client_secret_expires_at".to_owned(), json!(rotation::secret_expiry(cx, client_id).await?));
        }
        if let Some(token) = &self.token {
            out.insert("registration_access_token".to_owned(), json!(token.expose()));
        }
        let uri = format!("{}/register/{client_id}", cx.identity.config.issuer);
        out.insert("registration_client_uri".to_owned(), json!(uri));
        out.extend(metadata::written(&self.client, &self.registration.metadata));
        Ok(Value::Object(out))
    }
}

fn reader(cx: &Cx) -> Reader<'_> {
    let config = &cx.identity.config;
    Reader { trusted: &config.statement_issuers, issuer: &config.issuer, now: cx.now }
}

/// Registers a client, or tells again of the one that an earlier request with the same key has registered.
async fn register(cx: &mut Cx, registrar: &Registrar, key: Option<&str>, request: &Value) -> Result<Value, Error> {
    let Value::Object(members) = request else {
        return Err(Error::invalid_request("the body must be a JSON object"));
    };
    if key.is_some() && matches!(registrar, Registrar::Open(_)) {
        // A key stands for its registrar; among strangers one could ask for the other's secret with it.
        return Err(Error::invalid_request("Idempotency-Key needs a registrar's token"));
    }
    let asked = metadata::read(&reader(cx).merge(members, None)?)?;
    let name = registrar.name();
    let repeatable = key.map(|key| Repeatable::new(&cx.identity, &name, key, request));
    // From here on nobody else registers for this registrar until the transaction ends.
    store::lock_registrar(cx, &name).await?;
    if let Some(repeatable) = &repeatable
        && let Some(known) = store::find_key(cx, &repeatable.key_hash).await?
    {
        return repeat(cx, &name, repeatable, known).await;
    }

    let policy = registrar.policy();
    let catalog = scopes::catalog(&cx.identity).await?;
    policy.check(&catalog, &asked.spec, None)?;
    if store::count_of(cx, &name).await? >= i64::from(policy.max_clients) {
        return Err(Error::new(StatusCode::FORBIDDEN, "access_denied", "this registrar has as many clients as it may"));
    }
    if let Registrar::Initial(token) = registrar
        && !initial::take_use(cx, token).await?
    {
        return Err(Error::unauthorized());
    }
    let done = create(cx, &name, asked).await?;
    let answer = done.answer(cx).await?;
    if let Some(repeatable) = repeatable {
        keep(cx, &repeatable, &done.client.client_id, &answer).await?;
    }
    Ok(answer)
}

async fn create(cx: &mut Cx, registrar: &str, asked: Asked) -> Result<Done, Error> {
    let spec = ClientSpec { client_id: ClientId::random(), ..asked.spec };
    let client_id = spec.client_id.clone();
    if clients::apply(cx, &spec).await? != Applied::Created {
        return Err(StoreError::Invalid.into());
    }
    let secret = match spec.token_endpoint_auth_method.has_secret() {
        true => Some(clients::add_secret(cx, &client_id, None).await?.secret),
        false => None,
    };
    let token = new_token();
    let registration = Registration {
        client_id: client_id.clone(),
        registrar: registrar.to_owned(),
        software_id: asked.software_id,
        metadata: asked.kept,
        created_at: cx.now,
    };
    store::insert(cx, &registration, &hash_of(&cx.identity, &token)).await?;
    let detail = json!({"registrar": registrar, "software_id": registration.software_id});
    let record = audit::Record { client_id: Some(client_id), detail, ..audit::Record::default() };
    audit::record(cx, Act::ClientRegistered, record).await?;
    let client = Client { client_id: spec.client_id.clone(), spec, epoch: 0, disabled_at: None };
    Ok(Done { client, registration, secret, token: Some(token) })
}

/// The answer is kept sealed, so that a repeat gets the same secret.
async fn keep(cx: &mut Cx, repeatable: &Repeatable, client_id: &ClientId, answer: &Value) -> Result<(), Error> {
    let seal = cx.identity.seal.derive("registration answers");
    let sealed = base64url(&seal.seal(repeatable.key_hash.as_bytes(), answer.to_string().as_bytes()));
    let expires_at = cx.now.plus(ANSWER_KEPT);
    store::insert_key(cx, &repeatable.key_hash, &repeatable.request_hash, client_id).await?;
    store::insert_answer(cx, &repeatable.key_hash, &sealed, expires_at).await?;
    Ok(())
}

/// The key was used before.
async fn repeat(cx: &mut Cx, registrar: &str, repeatable: &Repeatable, known: store::KnownKey) -> Result<Value, Error> {
    if known.request_hash != repeatable.request_hash {
        let text = "the Idempotency-Key was used with another request";
        return Err(Error::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", text));
    }
    let Some((client, registration)) = owned(cx, &known.client_id, registrar).await? else {
        let text = "the client that was registered with this Idempotency-Key has been deleted";
        return Err(Error::new(StatusCode::CONFLICT, "invalid_request", text));
    };
    let seal = cx.identity.seal.derive("registration answers");
    let sealed = store::find_answer(cx, &repeatable.key_hash).await?;
    let opened = sealed.and_then(|sealed| seal.open(repeatable.key_hash.as_bytes(), &base64url_decode(&sealed)?));
    if let Some(answer) = opened.and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
        return Ok(answer);
    }
    // The answer of that time is gone, and its secret is nobody's to tell: the way to a new one is told.
    let token = new_token();
    store::replace_token(cx, &client.client_id, &hash_of(&cx.identity, &token)).await?;
    Done { client, registration, secret: None, token: Some(token) }.answer(cx).await
}

async fn owned(cx: &mut Cx, client_id: &ClientId, registrar: &str) -> Result<Option<(Client, Registration)>, Error> {
    let registration = store::find(cx, client_id).await?.filter(|found| found.registrar == registrar);
    let client = clients::find(cx, client_id).await?;
    Ok(client.zip(registration))
}

fn new_token() -> Secret<String> {
    Secret::new(handle::encode(handle::REGISTRATION_TOKEN, &base::random::bytes::<32>()))
}

fn hash_of(identity: &Identity, token: &Secret<String>) -> String {
    base64url(&identity.hashes.registration.tag(token.expose().as_bytes()))
}

/// Who may manage a client: the holder of its registration access token, or its registrar.
struct Managed {
    client: Client,
    registration: Registration,
    /// The token that was shown, if it is the client's own.
    own: Option<Secret<String>>,
    policy: Policy,
}

async fn managed(cx: &mut Cx, headers: &HeaderMap, client_id: &ClientId) -> Result<Managed, Error> {
    let token = bearer(headers)?.ok_or_else(Error::unauthorized)?;
    if token.starts_with(handle::REGISTRATION_TOKEN) {
        let own = Secret::from(token);
        let hash = hash_of(&cx.identity, &own);
        // RFC 7592 §2.1: of a client that is gone, too, the answer is 401.
        let registration = store::take_token(cx, client_id, &hash).await?.ok_or_else(Error::unauthorized)?;
        let client = clients::find(cx, client_id).await?.ok_or_else(Error::unauthorized)?;
        cx.actor = Actor::Client(client_id.clone());
        let policy = policy_of(cx, &registration.registrar).await?;
        return Ok(Managed { client, registration, own: Some(own), policy });
    }
    // Not the holder of an initial access token: such a token may be with many, each with clients of its own, and is
    // good for registering alone (RFC 7591 §3).
    let Some(registrar @ Registrar::Client(_)) = registrar_of(cx, token).await? else {
        return Err(Error::unauthorized());
    };
    let not_found = || Error::new(StatusCode::NOT_FOUND, "not_found", "there is no such client of this registrar");
    let (client, registration) = owned(cx, client_id, &registrar.name()).await?.ok_or_else(not_found)?;
    Ok(Managed { client, registration, own: None, policy: registrar.policy() })
}

/// What the clients of a registrar may be; nothing new if it is none any more.
async fn policy_of(cx: &mut Cx, registrar: &str) -> Result<Policy, Error> {
    let none = || Policy { grant_types: Vec::new(), token_endpoint_auth_methods: Vec::new(), ..Policy::default() };
    let policy = match registrar.split_once(':') {
        Some(("client", id)) => {
            let client = clients::find(cx, &id.into()).await?.filter(|client| client.spec.registrar);
            client.map(|client| client.spec.registration.unwrap_or_default())
        }
        Some(("token", id)) => initial::policy(cx, id).await?,
        _ => cx.identity.config.open_registration.clone(),
    };
    Ok(policy.unwrap_or_else(none))
}

/// RFC 7592 §2.2: the whole document anew. The registration access token changes with it.
async fn update(cx: &mut Cx, managed: Managed, request: &Value) -> Result<Value, Error> {
    let Managed { client, registration, own, policy } = managed;
    if !client.may_act() {
        return Err(Error::new(StatusCode::FORBIDDEN, "access_denied", "the client is suspended"));
    }
    let Value::Object(members) = request else {
        return Err(Error::invalid_request("the body must be a JSON object"));
    };
    check_own_members(cx, &client, members).await?;
    let stated = registration.metadata.get("software_statement").and_then(Value::as_str);
    let asked = metadata::read(&reader(cx).merge(members, stated)?)?;
    let before = client.spec;
    let spec = ClientSpec {
        display_name: asked.spec.display_name,
        token_endpoint_auth_method: asked.spec.token_endpoint_auth_method,
        token_endpoint_auth_signing_alg: asked.spec.token_endpoint_auth_signing_alg,
        jwks: asked.spec.jwks,
        jwks_uri: asked.spec.jwks_uri,
        application_type: asked.spec.application_type,
        redirect_uris: asked.spec.redirect_uris,
        post_logout_redirect_uris: asked.spec.post_logout_redirect_uris,
        grant_types: asked.spec.grant_types,
        scopes: asked.spec.scopes,
        audiences: asked.spec.audiences,
        id_token_signed_response_alg: asked.spec.id_token_signed_response_alg,
        // The rest is the operator's.
        ..before.clone()
    };
    let catalog = scopes::catalog(&cx.identity).await?;
    policy.check(&catalog, &spec, Some(&before))?;
    clients::apply(cx, &spec).await?;
    let client_id = &spec.client_id;
    let secret = match (before.token_endpoint_auth_method.has_secret(), spec.token_endpoint_auth_method.has_secret()) {
        (false, true) => Some(clients::add_secret(cx, client_id, None).await?.secret),
        (true, false) => {
            for old in clients::list_secrets(cx, client_id).await? {
                clients::remove_secret(cx, client_id, &old.secret_id).await?;
            }
            None
        }
        _ => None,
    };
    let registration = Registration { software_id: asked.software_id, metadata: asked.kept, ..registration };
    let token = own.is_some().then(new_token);
    store::update(cx, &registration).await?;
    if let (Some(own), Some(token)) = (own, &token) {
        let (own, new) = (hash_of(&cx.identity, &own), hash_of(&cx.identity, token));
        store::rotate_token(cx, client_id, &own, &new).await?;
    }
    let client = clients::find(cx, client_id).await?.ok_or_else(Error::unauthorized)?;
    Done { client, registration, secret, token }.answer(cx).await
}

/// §2.2: what the server alone sets is not sent; what the client says of itself is true.
async fn check_own_members(cx: &mut Cx, client: &Client, members: &Map<String, Value>) -> Result<(), Error> {
    use error::invalid_client_metadata as invalid;
    for name in
        ["registration_access_token", "registration_client_uri", "client_secret_expires_at", "client_id_issued_at"]
    {
        if members.contains_key(name) {
            return Err(invalid(name, "is the server's, and not sent in an update (RFC 7592 §2.2)"));
        }
    }
    if members.get("client_id").and_then(Value::as_str) != Some(client.client_id.as_str()) {
        return Err(invalid("client_id", "must be the client's own (RFC 7592 §2.2)"));
    }
    if let Some(secret) = members.get("client_secret") {
        let secret = Secret::from(secret.as_str().unwrap_or_default());
        let known = clients::credentials(cx, &client.client_id).await?;
        if clients::check_secret(cx, known, &secret).is_err() {
            return Err(invalid("client_secret", "is not the client's; a client cannot choose its own"));
        }
    }
    Ok(())
}
