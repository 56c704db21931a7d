//! The account page: what a person sees and takes back themselves (OWASP ASVS 10.7.3): applications with access or
//! that need not ask for it, sessions, the password. Every revocation goes through [`crate::grants`] and [`crate::sessions`], so that the
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

use crate::consent::Remembered;
use crate::grants::Grant;

/// What one client has from a user, over all its grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    pub client_id: ClientId,
    pub scopes: Scopes,
    pub since: Time,
    /// None: nothing is in use, but the client would not have to ask again.
    pub live: Option<Live>,
}

/// Over all live grants of one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    pub until: Time,
    pub used_at: Time,
}

/// Live grants and what is remembered without one, by client, the last used first.
pub fn by_client(grants: &[Grant], remembered: &[Remembered]) -> Vec<Access> {
    let mut all: Vec<Access> = Vec::new();
    for grant in grants {
        let used_at = grant.refresh_rotated_at.max(grant.activated_at).unwrap_or(grant.created_at);
        match all.iter_mut().find(|access| access.client_id == grant.client_id) {
            Some(access) => {
                access.scopes = access.scopes.union(&grant.scopes);
                access.since = access.since.min(grant.created_at);
                let live = access.live.get_or_insert(Live { until: grant.expires_at, used_at });
                live.until = live.until.max(grant.expires_at);
                live.used_at = live.used_at.max(used_at);
            }
            None => all.push(Access {
                client_id: grant.client_id.clone(),
                scopes: grant.scopes.clone(),
                since: grant.created_at,
                live: Some(Live { until: grant.expires_at, used_at }),
            }),
        }
    }
    for consent in remembered {
        let scope: Scopes = std::iter::once(consent.scope.as_str()).collect();
        match all.iter_mut().find(|access| access.client_id == consent.client_id) {
            Some(access) => {
                access.scopes = access.scopes.union(&scope);
                access.since = access.since.min(consent.since);
            }
            None => all.push(Access {
                client_id: consent.client_id.clone(),
                scopes: scope,
                since: consent.since,
                live: None,
            }),
        }
    }
    all.sort_by_key(|access| std::cmp::Reverse(access.live.as_ref().map_or(access.since, |live| live.used_at)));
    all
}
