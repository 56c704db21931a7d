//! The account page: what a person sees and takes back themselves (OWASP ASVS 10.7.3): applications with access,
//! sessions, the password. Every revocation goes through [`crate::grants`] and [`crate::sessions`], so that the
//! gateways hear of it at once.

mod device;
mod http;
mod pages;
mod password;
#[cfg(test)]
mod tests;

use base::Time;
use base::ids::ClientId;
use base::scope::Scopes;

pub use http::routes;

use crate::grants::Grant;

/// What one client has from a user, over all its grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    pub client_id: ClientId,
    pub scopes: Scopes,
    pub since: Time,
    pub until: Time,
    pub used_at: Time,
}

/// Grants by client, the last used first.
pub fn by_client(grants: &[Grant]) -> Vec<Access> {
    let mut all: Vec<Access> = Vec::new();
    for grant in grants {
        let used_at = grant.refresh_rotated_at.max(grant.activated_at).unwrap_or(grant.created_at);
        match all.iter_mut().find(|access| access.client_id == grant.client_id) {
            Some(access) => {
                access.scopes = access.scopes.union(&grant.scopes);
                access.since = access.since.min(grant.created_at);
                access.until = access.until.max(grant.expires_at);
                access.used_at = access.used_at.max(used_at);
            }
            None => all.push(Access {
                client_id: grant.client_id.clone(),
                scopes: grant.scopes.clone(),
                since: grant.created_at,
                until: grant.expires_at,
                used_at,
            }),
        }
    }
    all.sort_by_key(|access| std::cmp::Reverse(access.used_at));
    all
}
