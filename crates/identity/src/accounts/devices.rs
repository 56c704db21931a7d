//! Browsers that have logged a user in before, known by a long-lived random cookie that is stored hashed.

use std::time::Duration;

use base::ids::UserId;
use store::{StoreError, params};

use crate::Cx;

/// Browsers keep no cookie longer (RFC 6265bis §4.1.2.2).
pub const LIFETIME: Duration = Duration::from_secs(400 * 24 * 3600);
pub const COOKIE: &str = "device";

/// A browser that has logged this user in before.
#[derive(Debug, Clone)]
pub struct KnownDevice {
    hash: String,
    pub(super) user_id: UserId,
}

impl KnownDevice {
    pub(super) fn hash(&self) -> &str {
        &self.hash
    }
}

/// Whether the cookie is of a device that this user is known on.
pub async fn find(cx: &mut Cx, cookie: &str, user_id: &UserId) -> Result<Option<KnownDevice>, StoreError> {
    let hash = hash_of(cx, cookie);
    let sql = "SELECT device_hash FROM known_devices WHERE device_hash = $1 AND user_id = $2 AND expires_at > $3";
    let row = cx.tx.read_one(sql, &params![&hash, user_id, cx.now]).await?;
    Ok(row.map(|_| KnownDevice { hash, user_id: user_id.clone() }))
}

/// After a login: the device is known from now on. Returns a new cookie for it, unless the one that it has is of
/// ours already (another person's login on the same browser counts: it is the same device).
pub async fn remember(cx: &mut Cx, cookie: Option<&str>, user_id: &UserId) -> Result<Option<String>, StoreError> {
    let ours = match cookie {
        Some(cookie) => {
            let sql = "SELECT device_hash FROM known_devices WHERE device_hash = $1 AND expires_at > $2 LIMIT 1";
            cx.tx.read_one(sql, &params![hash_of(cx, cookie), cx.now]).await?.map(|_| cookie)
        }
        None => None,
    };
    let fresh = if ours.is_some() { None } else { Some(base::random::text::<32>()) };
    if let Some(cookie) = ours.or(fresh.as_deref()) {
        let sql = "INSERT INTO known_devices (device_hash, user_id, seen_at, expires_at) VALUES ($1, $2, $3, $4)
            ON CONFLICT (device_hash, user_id) DO UPDATE SET seen_at = $3, expires_at = $4";
        let expires_at = cx.now.plus(LIFETIME);
        cx.tx.execute(sql, &params![hash_of(cx, cookie), user_id, cx.now, expires_at]).await?;
    }
    Ok(fresh)
}

/// After a change of the password: the user is known on this device alone, or on none.
pub async fn forget_others(cx: &mut Cx, user_id: &UserId, but: Option<&str>) -> Result<(), StoreError> {
    let but = but.map(|cookie| hash_of(cx, cookie)).unwrap_or_default();
    let sql = "DELETE FROM known_devices WHERE user_id = $1 AND device_hash <> $2";
    cx.tx.execute(sql, &params![user_id, but]).await?;
    Ok(())
}

fn hash_of(cx: &Cx, cookie: &str) -> String {
    jose::hash::base64url(&cx.identity.seal.mac("device cookie").tag(cookie.as_bytes()))
}
