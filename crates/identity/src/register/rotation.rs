//! `POST …/secret`: a new secret, and the one in use lives on for a while, so that no call fails in between.

use std::time::Duration;

use ::http::StatusCode;
use ::store::StoreError;
use base::Time;
use base::ids::ClientId;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Error, Managed};
use crate::Cx;
use crate::clients::{self, SecretInfo};

const DEFAULT_OVERLAP: Duration = Duration::from_secs(7 * 24 * 3600);
const LONGEST_OVERLAP: Duration = Duration::from_secs(30 * 24 * 3600);

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rotation {
    /// Seconds for which the secret in use stays good; 0 ends it at once.
    overlap: Option<u64>,
}

pub(super) async fn rotate(cx: &mut Cx, managed: &Managed, rotation: &Rotation) -> Result<Value, Error> {
    let client = &managed.client;
    let client_id = &client.client_id;
    if !client.may_act() {
        return Err(Error::new(StatusCode::FORBIDDEN, "access_denied", "the client is suspended"));
    }
    if !client.spec.token_endpoint_auth_method.has_secret() {
        return Err(Error::invalid_request("the client has no secret"));
    }
    let overlap = rotation.overlap.map_or(DEFAULT_OVERLAP, Duration::from_secs);
    if overlap > LONGEST_OVERLAP {
        return Err(Error::invalid_request("`overlap` may be 30 days"));
    }
    clients::lock(cx, client_id).await?;
    let now = cx.now;
    let mut live = clients::list_secrets(cx, client_id).await?;
    live.retain(|secret| secret.expires_at.is_none_or(|at| at > now));
    let kept = in_use(&live).filter(|_| !overlap.is_zero()).cloned();
    for secret in live.iter().filter(|secret| kept.as_ref().is_none_or(|kept| kept.secret_id != secret.secret_id)) {
        clients::remove_secret(cx, client_id, &secret.secret_id).await?;
    }
    let mut until: Option<Time> = None;
    if let Some(kept) = kept {
        let end = kept.expires_at.map_or(now.plus(overlap), |at| at.min(now.plus(overlap)));
        clients::expire_secret(cx, client_id, &kept.secret_id, end).await?;
        until = Some(end);
    }
    let secret = clients::add_secret(cx, client_id, None).await?.secret;
    Ok(json!({
        "client_id": client_id,
        "client_secret": secret.expose(),
        "client_secret_expires_at": 0,
        "previous_client_secret_expires_at": until.map(Time::seconds),
    }))
}

/// Of two live secrets the one that is used: if the answer to the last exchange was lost, that is the older one.
fn in_use(live: &[SecretInfo]) -> Option<&SecretInfo> {
    live.iter().max_by_key(|secret| (secret.last_used_at, secret.created_at))
}

/// When the newest secret ends, in seconds; 0 for never.
pub(super) async fn secret_expiry(cx: &mut Cx, client_id: &ClientId) -> Result<i64, StoreError> {
    let now = cx.now;
    let secrets = clients::list_secrets(cx, client_id).await?;
    let mut live = secrets.into_iter().filter(|secret| secret.expires_at.is_none_or(|at| at > now));
    Ok(live.next_back().and_then(|secret| secret.expires_at).map_or(0, Time::seconds))
}
