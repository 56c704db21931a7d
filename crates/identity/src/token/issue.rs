//! What is issued: access token (opaque, or a JWT as RFC 9068 has it), refresh token, ID token.

use base::Time;
use base::ids::TokenId;
use jose::Algorithm;
use jose::hash::left_half_hash;
use serde_json::{Map, Value, json};

use super::exchange;
use super::select::Selection;
use crate::audit::{self, Act};
use crate::claims::{self, Person};
use crate::clients::{Client, TokenFormat};
use crate::error::OAuthError;
use crate::grants::Grant;
use crate::handles::{AccessToken, RefreshToken};
use crate::keys::{self, Ring};
use crate::scopes::{self, Audiences};
use crate::{Cx, Identity};

/// What a grant type adds.
#[derive(Debug, Clone, Default)]
pub struct Extras {
    pub nonce: Option<String>,
    pub refresh_generation: Option<i64>,
    pub kind: Kind,
    /// The token ends no later than this.
    pub not_after: Option<Time>,
}

/// How a token came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    #[default]
    Fresh,
    Refreshed,
    /// RFC 8693, for an access token …
    Exchanged,
    /// … or for a JWT as introspection makes it, for the inside.
    ExchangedForInner,
}

/// All that is needed to make the answer once the transaction is committed.
#[derive(Debug)]
pub struct Plan {
    client: Client,
    grant: Grant,
    selection: Selection,
    token: AccessToken,
    extras: Extras,
    /// Of JWT access tokens.
    contracted: Map<String, Value>,
}

/// Decides on the tokens, and writes the audit record: the last writes of a token request.
pub(super) async fn plan(
    cx: &mut Cx,
    client: &Client,
    grant: Grant,
    selection: Selection,
    extras: Extras,
) -> Result<Plan, OAuthError> {
    let lifetimes = cx.identity.config.lifetimes;
    let inner = extras.kind == Kind::ExchangedForInner;
    let longest = if inner { lifetimes.inner_token.min(lifetimes.access_token) } else { lifetimes.access_token };
    let expires_at = cx.now.plus(longest).min(grant.expires_at).min(extras.not_after.unwrap_or(grant.expires_at));
    let token = AccessToken {
        grant_id: grant.grant_id.clone(),
        epoch: grant.epoch,
        client_epoch: client.epoch,
        scope_set: selection.scope_set,
        audience_set: selection.audience_set,
        issued_at: cx.now,
        expires_at,
        jti: TokenId(base::random::text::<12>()),
    };
    let act = match extras.kind {
        Kind::Fresh => Act::TokenIssued,
        Kind::Refreshed => Act::TokenRefreshed,
        Kind::Exchanged | Kind::ExchangedForInner => Act::TokenExchanged,
    };
    let record = audit::Record {
        subject: grant.user_id.clone(),
        client_id: Some(client.client_id.clone()),
        object: Some(grant.grant_id.to_string()),
        detail: json!({
            "jti": token.jti,
            "scopes": selection.scopes.to_string(),
            "audiences": selection.audiences.to_string(),
            "expires_at": token.expires_at,
            "generation": extras.refresh_generation,
            "act": grant.act,
        }),
        ..audit::Record::default()
    };
    let contracted = match client.spec.access_token_format {
        TokenFormat::Opaque if !inner => Map::new(),
        _ => contracted(cx, client, &grant, &selection).await?,
    };
    audit::record(cx, act, record).await?;
    Ok(Plan { client: client.clone(), grant, selection, token, extras, contracted })
}

async fn contracted(
    cx: &mut Cx,
    client: &Client,
    grant: &Grant,
    selection: &Selection,
) -> Result<Map<String, Value>, OAuthError> {
    let person: Option<Person> = match &grant.user_id {
        Some(user_id) => claims::person(cx, user_id).await?,
        None => None,
    };
    let catalog = scopes::catalog(&cx.identity).await?;
    Ok(claims::contracted(&catalog, person.as_ref(), &client.spec, &selection.scopes).claims)
}

/// Seals and signs: the answer of RFC 6749 §5.1. After the commit.
pub(super) async fn finish(identity: &Identity, plan: &Plan) -> Result<Value, OAuthError> {
    let ring = keys::ring(identity).await?;
    let access_token = match plan.client.spec.access_token_format {
        _ if plan.extras.kind == Kind::ExchangedForInner => plan.jwt(identity, &ring).await?,
        TokenFormat::Opaque => identity.handles.seal_access(&plan.token).expose().clone(),
        TokenFormat::Jwt => plan.jwt(identity, &ring).await?,
    };
    let expires_in = plan.token.expires_at.since(plan.token.issued_at).as_secs();
    let mut answer = json!({
        "access_token": access_token,
        "token_type": "Bearer",
        "expires_in": expires_in,
        "scope": plan.selection.scopes,
    });
    // RFC 8693 §2.2.1.
    match plan.extras.kind {
        Kind::Fresh | Kind::Refreshed => {}
        Kind::Exchanged => put(&mut answer, "issued_token_type", exchange::ACCESS_TOKEN),
        Kind::ExchangedForInner => put(&mut answer, "issued_token_type", exchange::JWT),
    }
    if let Some(generation) = plan.extras.refresh_generation {
        let refresh = RefreshToken { grant_id: plan.grant.grant_id.clone(), generation };
        put(&mut answer, "refresh_token", identity.handles.seal_refresh(&refresh).expose().as_str());
    }
    if plan.grant.user_id.is_some() && plan.selection.scopes.contains("openid") {
        let id_token = plan.id_token(identity, &ring, &access_token)?;
        put(&mut answer, "id_token", id_token);
    }
    Ok(answer)
}

fn put(object: &mut Value, name: &str, value: impl Into<Value>) {
    if let Value::Object(members) = object {
        members.insert(name.to_owned(), value.into());
    }
}

impl Plan {
    /// OpenID Connect Core §2, §3.1.3.6; after a refresh §12.2.
    fn id_token(&self, identity: &Identity, ring: &Ring, access_token: &str) -> Result<String, OAuthError> {
        let algorithm = id_token_algorithm(identity, &self.client);
        let signer = ring.signer(identity, algorithm)?;
        let now = self.token.issued_at;
        let mut claims = json!({
            "iss": identity.config.issuer,
            "sub": self.grant.subject(),
            "aud": self.client.client_id,
            "azp": self.client.client_id,
            "iat": now.seconds(),
            "exp": now.plus(identity.config.lifetimes.id_token).seconds(),
            "at_hash": left_half_hash(signer.algorithm(), access_token),
        });
        about_the_login(&mut claims, &self.grant);
        if let Some(nonce) = &self.extras.nonce {
            put(&mut claims, "nonce", nonce.as_str());
        }
        Ok(signer.sign("JWT", &claims)?)
    }

    /// RFC 9068 §2.2.
    async fn jwt(&self, identity: &Identity, ring: &Ring) -> Result<String, OAuthError> {
        let catalog = scopes::catalog(identity).await?;
        let only = self.selection.audiences.iter().next().filter(|_| self.selection.audiences.len() == 1);
        let algorithm = only.and_then(|one| catalog.resource_servers.get(one)).and_then(|spec| spec.signing_algorithm);
        let mut claims = json!({
            "iss": identity.config.issuer,
            "sub": self.grant.subject(),
            "aud": audience_claim(&self.selection.audiences, &identity.config.issuer),
            "client_id": self.client.client_id,
            "scope": self.selection.scopes,
            "jti": self.token.jti,
            "iat": self.token.issued_at.seconds(),
            "exp": self.token.expires_at.seconds(),
            "grant_id": self.grant.grant_id,
        });
        if self.extras.kind == Kind::ExchangedForInner {
            put(&mut claims, "token_use", "inner");
            put(&mut claims, "handle", identity.handles.seal_inner(&self.token));
        } else {
            put(&mut claims, "handle", identity.handles.seal_reference(&self.token));
        }
        about_the_login(&mut claims, &self.grant);
        for (name, value) in &self.contracted {
            put(&mut claims, name, value.clone());
        }
        Ok(ring.signer(identity, algorithm)?.sign("at+jwt", &claims)?)
    }
}

/// RFC 7519 §4.1.3: one string, or a list. A token for no resource server is for ourselves (userinfo).
pub fn audience_claim(audiences: &Audiences, issuer: &str) -> Value {
    match audiences.len() {
        0 => Value::from(issuer),
        1 => audiences.iter().next().map_or(Value::Null, Value::from),
        _ => audiences.iter().collect::<Vec<_>>().into(),
    }
}

/// `auth_time`, `acr`, `amr`, `sid` and `act`, where they are known, and whether `sub` is a client that another acts for.
pub fn about_the_login(claims: &mut Value, grant: &Grant) {
    if let Some(auth_time) = grant.auth_time {
        put(claims, "auth_time", auth_time.seconds());
    }
    if let Some(acr) = &grant.acr {
        put(claims, "acr", acr.as_str());
    }
    if !grant.amr.is_empty() {
        put(claims, "amr", grant.amr.clone());
    }
    if let Some(session_id) = &grant.session_id {
        put(claims, "sid", session_id.as_str());
    }
    if let Some(act) = &grant.act {
        put(claims, "act", act.clone());
    }
    // Elsewhere `sub` and `client_id` are the same where no person is concerned; after an exchange they are not.
    if grant.on_behalf_of.is_some() {
        put(claims, "sub_kind", "client");
    }
}

/// The client's wish, or RS256 (the default of OpenID Connect Registration §2) where there is such a key.
fn id_token_algorithm(identity: &Identity, client: &Client) -> Option<Algorithm> {
    let rs256 = Some(Algorithm::Rs256).filter(|rs256| identity.config.keys.algorithms.contains(rs256));
    client.spec.id_token_signed_response_alg.or(rs256)
}
