//! Whether an access token is good now, and all that is known about it: one look-up.

use std::sync::Arc;
use std::time::Duration;

use base::scope::Scopes;
use base::{Time, handle};
use jose::{Algorithm, Expected, Verified};
use store::{StoreError, params};

use crate::claims::{self, Person};
use crate::clients::ClientSpec;
use crate::error::OAuthError;
use crate::grants::{self, Grant};
use crate::handles::{self, AccessToken};
use crate::scopes::Audiences;
use crate::{Cx, Identity, keys};

/// A token that is good at this moment.
#[derive(Debug, Clone)]
pub struct Live {
    pub token: AccessToken,
    pub grant: Grant,
    pub client: ClientSpec,
    /// None for a client that acts by itself.
    pub person: Option<Person>,
    pub scopes: Arc<Scopes>,
    pub audiences: Arc<Audiences>,
}

/// What an access token of ours says, opaque or JWT, unless it has expired. Refresh tokens, ID tokens and
/// the JWTs that introspection hands out are not access tokens.
pub async fn read(identity: &Identity, text: &str, now: Time) -> Result<Option<AccessToken>, OAuthError> {
    let token = if text.starts_with(handle::ACCESS_TOKEN) {
        identity.handles.open_access(text)
    } else if text.starts_with("ey") {
        read_jwt(identity, text, now).await?
    } else {
        None
    };
    Ok(token.filter(|token| token.expires_at > now))
}

async fn read_jwt(identity: &Identity, text: &str, now: Time) -> Result<Option<AccessToken>, OAuthError> {
    let verified = verified(identity, text, now).await?;
    Ok(verified.and_then(|verified| identity.handles.open_reference(verified.text("handle")?)))
}

/// A JWT access token of ours, also an inner one.
async fn verified(identity: &Identity, text: &str, now: Time) -> Result<Option<Verified>, OAuthError> {
    let expected = Expected {
        types: &["at+jwt"],
        issuer: Some(&identity.config.issuer),
        audience: None,
        algorithms: &Algorithm::ALL,
        now,
        leeway: Duration::ZERO,
        expiry_required: true,
    };
    Ok(keys::ring(identity).await?.verifying().verify(text, &expected).ok())
}

/// All about a token, if it is good: not expired, and neither it nor its grant, client or user revoked.
pub async fn find(cx: &mut Cx, text: &str) -> Result<Option<Live>, OAuthError> {
    let identity = cx.identity.clone();
    match read(&identity, text, cx.now).await? {
        Some(token) => of(cx, token).await,
        None => Ok(None),
    }
}

/// A client's own token with this scope, for this server and nobody else: what other servers have seen of a token is
/// worth nothing here.
pub async fn for_us(cx: &mut Cx, text: &str, scope: &str) -> Result<Option<Live>, OAuthError> {
    let issuer = cx.identity.config.issuer.clone();
    let own = |live: &Live| live.audiences.len() == 1 && live.audiences.contains(&issuer);
    let fits = |live: &Live| own(live) && live.scopes.contains(scope) && live.person.is_none();
    Ok(find(cx, text).await?.filter(fits))
}

/// All about the token that an inner JWT was made from, if both are good, and the JWT's own audience. It lives no
/// longer than the JWT.
pub async fn find_inner(cx: &mut Cx, text: &str) -> Result<Option<(Live, String)>, OAuthError> {
    let identity = cx.identity.clone();
    let Some(verified) = verified(&identity, text, cx.now).await? else {
        return Ok(None);
    };
    let opened = verified.text("handle").and_then(|handle| identity.handles.open_inner(handle));
    let exp = verified.claims.get("exp").and_then(serde_json::Value::as_i64).map(Time::from_seconds);
    let (Some("inner"), Some(token), Some(audience), Some(exp)) =
        (verified.text("token_use"), opened, verified.text("aud"), exp)
    else {
        return Ok(None);
    };
    let token = AccessToken { expires_at: token.expires_at.min(exp), ..token };
    if token.expires_at <= cx.now {
        return Ok(None);
    }
    Ok(of(cx, token).await?.map(|live| (live, audience.to_owned())))
}

async fn of(cx: &mut Cx, token: AccessToken) -> Result<Option<Live>, OAuthError> {
    let identity = cx.identity.clone();
    let Some((grant, client, person)) = facts(cx, &token).await? else {
        return Ok(None);
    };
    let scopes = handles::scopes(&identity, token.scope_set).await?;
    let audiences = handles::audiences(&identity, token.audience_set).await?;
    let (Some(scopes), Some(audiences)) = (scopes, audiences) else {
        return Ok(None);
    };
    Ok(Some(Live { token, grant, client, person, scopes, audiences }))
}

async fn facts(cx: &mut Cx, token: &AccessToken) -> Result<Option<(Grant, ClientSpec, Option<Person>)>, StoreError> {
    let sql =
        "SELECT g.grant_id, g.client_id, g.user_id, g.session_id, g.scopes, g.audiences, g.auth_time, g.acr, g.amr,
            g.nonce, g.epoch, g.created_at, g.activated_at, g.expires_at, g.refresh_generation, g.refresh_rotated_at,
            g.revoked_at, g.act, g.network, g.on_behalf_of, c.spec AS client_spec, u.user_id AS person_id, u.username, u.spec AS user_spec
        FROM grants g
        JOIN clients c ON c.client_id = g.client_id
        LEFT JOIN grants p ON p.grant_id = g.parent_grant_id
        LEFT JOIN clients pc ON pc.client_id = p.client_id
        LEFT JOIN users u ON u.user_id = g.user_id AND u.disabled_at IS NULL
        WHERE g.grant_id = $1 AND g.epoch = $2 AND g.revoked_at IS NULL
          AND c.epoch = $3 AND c.disabled_at IS NULL
          AND (g.parent_grant_id IS NULL OR (p.epoch = g.parent_epoch AND p.revoked_at IS NULL
               AND pc.epoch = g.parent_client_epoch AND pc.disabled_at IS NULL))
          AND NOT EXISTS (SELECT 1 FROM revoked_tokens r WHERE r.jti = $4)";
    let values = params![&token.grant_id, token.epoch, token.client_epoch, token.jti.as_str()];
    let Some(row) = cx.tx.read_one(sql, &values).await? else {
        return Ok(None);
    };
    let grant = grants::grant_of(&row)?;
    let person = claims::person_of(&row)?;
    // A user who is disabled or gone is one whose tokens are dead.
    if !grant.is_live(cx.now) || grant.user_id.is_some() != person.is_some() {
        return Ok(None);
    }
    let client: ClientSpec = serde_json::from_str(row.text("client_spec")?).map_err(|_| StoreError::Invalid)?;
    Ok((!client.suspended).then_some((grant, client, person)))
}
