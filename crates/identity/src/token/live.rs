//! Whether an access token is good now, and all that is known about it: one look-up.

use std::sync::Arc;
use std::time::Duration;

use base::scope::Scopes;
use base::{Time, handle};
use jose::{Algorithm, Expected};
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
    let expected = Expected {
        types: &["at+jwt"],
        issuer: Some(&identity.config.issuer),
        audience: None,
        algorithms: &Algorithm::ALL,
        now,
        leeway: Duration::ZERO,
        expiry_required: true,
    };
    let Ok(verified) = keys::ring(identity).await?.verifying().verify(text, &expected) else {
        return Ok(None);
    };
    Ok(verified.text("handle").and_then(|text| identity.handles.open_reference(text)))
}

/// All about a token, if it is good: not expired, and neither it nor its grant, client or user revoked.
pub async fn find(cx: &mut Cx, text: &str) -> Result<Option<Live>, OAuthError> {
    let identity = cx.identity.clone();
    let Some(token) = read(&identity, text, cx.now).await? else {
        return Ok(None);
    };
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
            g.revoked_at, c.spec AS client_spec, u.user_id AS person_id, u.username, u.spec AS user_spec
        FROM grants g
        JOIN clients c ON c.client_id = g.client_id
        LEFT JOIN users u ON u.user_id = g.user_id AND u.disabled_at IS NULL
        WHERE g.grant_id = $1 AND g.epoch = $2 AND g.revoked_at IS NULL
          AND c.epoch = $3 AND c.disabled_at IS NULL
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
