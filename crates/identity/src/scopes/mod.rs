//! Scopes and resource servers, as operators declare them, and what a client's request for them comes to.
//!
//! A scope may belong to one audience and may bring claims: its contract (`orders_read` brings
//! `account_nr`). What is asked is granted as asked or refused (`invalid_scope`, `invalid_target` of
//! RFC 8707); nothing is dropped silently.

mod audiences;
mod store;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use ::store::{Db, StoreError};
use base::scope::Scopes;
use jose::Algorithm;
use serde::{Deserialize, Serialize};
use serde_json::json;

pub use audiences::Audiences;
pub(crate) use audiences::is_audience;

use crate::applied::{Applied, Faults, Refused};
use crate::audit::{self, Act};
use crate::claims::Sources;
use crate::clients::Client;
use crate::error::{OAuthError, invalid_scope, invalid_target};
use crate::watched::Watched;
use crate::{Cx, Identity};

const TOPIC: &str = "scopes";

/// Scopes that every installation has (OpenID Connect Core §5.4, §11).
pub const BUILT_IN: [(&str, &str); 4] = [
    ("openid", "Know who you are"),
    ("profile", "Read your name and profile"),
    ("email", "Read your e-mail address"),
    ("offline_access", "Keep access while you are away"),
];

/// The scope of tokens for the registration endpoint. It belongs to the issuer itself, and no document can grant it:
/// it comes with being a registrar.
pub const CLIENT_REGISTER: &str = "client.register";

/// The scope of tokens for the feed of security events, for clients that show themselves by a signature: the body of
/// a poll is JSON (RFC 8936 §2.4), and has no room for an assertion. It comes with `events: true`.
pub const EVENTS_POLL: &str = "events.poll";

/// Whether a scope is for this server itself, and for nobody to grant.
pub fn is_own(scope: &str) -> bool {
    matches!(scope, CLIENT_REGISTER | EVENTS_POLL)
}

/// Kind `Scope`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScopeSpec {
    pub name: String,
    /// For the person who is asked to consent.
    #[serde(default)]
    pub description: String,
    /// The resource server it belongs to; tokens for others do not carry it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// The contract: claims that a token with this scope carries, and where they come from.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<String, Sources>,
}

/// Kind `ResourceServer`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResourceServerSpec {
    pub name: String,
    /// What stands in `aud`, and in `resource` of requests.
    pub audience: String,
    #[serde(default)]
    pub description: String,
    /// The algorithm of JWTs for it; without it the first configured one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing_algorithm: Option<Algorithm>,
}

/// A scope in plain words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeInfo {
    pub name: String,
    pub description: String,
    pub audience: Option<String>,
}

/// All declared scopes and resource servers.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    pub scopes: BTreeMap<String, ScopeSpec>,
    pub resource_servers: BTreeMap<String, ResourceServerSpec>,
    /// The audience of what is for this server itself.
    pub issuer: String,
}

impl Catalog {
    pub fn knows(&self, scope: &str) -> bool {
        is_built_in(scope) || is_own(scope) || self.scopes.contains_key(scope)
    }

    pub fn audience_of(&self, scope: &str) -> Option<&str> {
        match scope {
            CLIENT_REGISTER | EVENTS_POLL => Some(&self.issuer),
            _ => self.scopes.get(scope)?.audience.as_deref(),
        }
    }

    /// The audiences a client may ask tokens for: those it is given, and those of its scopes.
    pub fn allowed_audiences(&self, client: &Client) -> Audiences {
        let of_scopes = client.spec.scopes.iter().filter_map(|scope| self.audience_of(scope));
        let own = client.spec.registrar.then_some(self.issuer.as_str());
        client.spec.audiences.iter().chain(of_scopes).chain(own).collect()
    }

    /// The scopes that mean something to this audience: its own and those that belong to none. Of one that is
    /// no longer declared nobody knows to whom it belonged: it means nothing to anybody.
    pub fn scopes_for(&self, scopes: &Scopes, audience: &str) -> Scopes {
        let declared = |scope: &&str| !is_built_in(scope) && self.scopes.contains_key(*scope);
        let fits = |scope: &&str| declared(scope) && self.audience_of(scope).is_none_or(|own| own == audience);
        scopes.iter().filter(fits).collect()
    }

    /// Drops audiences of which scopes were asked and none was kept.
    pub fn audiences_left(&self, audiences: &Audiences, asked: &Scopes, kept: &Scopes) -> Audiences {
        let of = |scopes: &Scopes, audience: &str| scopes.iter().any(|scope| self.audience_of(scope) == Some(audience));
        audiences.iter().filter(|audience| !of(asked, audience) || of(kept, audience)).collect()
    }

    /// Drops scopes that belong to audiences which are not in the set, and those that nobody declares any more.
    pub fn scopes_within(&self, scopes: &Scopes, audiences: &Audiences) -> Scopes {
        let fits = |scope: &&str| self.audience_of(scope).is_none_or(|own| audiences.contains(own));
        scopes.iter().filter(|scope| self.knows(scope)).filter(fits).collect()
    }
}

pub fn is_built_in(scope: &str) -> bool {
    BUILT_IN.iter().any(|(name, _)| *name == scope)
}

/// The catalog in memory.
pub struct Scoping(Watched<Catalog>);

impl Scoping {
    pub fn new(db: &Db) -> Self {
        Self(Watched::new(db, TOPIC))
    }

    pub fn forget(&self) {
        self.0.forget();
    }
}

pub async fn catalog(identity: &Identity) -> Result<Arc<Catalog>, StoreError> {
    let load = async |tx| Ok(Catalog { issuer: identity.config.issuer.clone(), ..store::load(tx).await? });
    identity.scoping.0.get(&identity.db, load).await
}

/// What a request for scopes and resources comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    pub scopes: Scopes,
    pub audiences: Audiences,
}

/// What a client asked for, checked against what it may have. Without `scope` it gets all of its scopes
/// that fit the resources (RFC 6749 §3.3); without `resource` the audiences follow from the scopes, and if
/// they name none, all of the client's.
pub async fn resolve(
    cx: &Cx,
    client: &Client,
    requested: Option<&Scopes>,
    resources: &[String],
) -> Result<Resolved, OAuthError> {
    let catalog = catalog(&cx.identity).await?;
    resolve_in(&catalog, client, requested, resources)
}

fn resolve_in(
    catalog: &Catalog,
    client: &Client,
    requested: Option<&Scopes>,
    resources: &[String],
) -> Result<Resolved, OAuthError> {
    let allowed = catalog.allowed_audiences(client);
    let asked: Audiences = resources.iter().map(String::as_str).collect();
    if !asked.is_subset(&allowed) {
        return Err(invalid_target("the client may not ask for tokens for this resource"));
    }
    let scopes = match requested {
        Some(requested) => {
            let own = |scope: &str| match scope {
                CLIENT_REGISTER => client.spec.registrar,
                EVENTS_POLL => client.spec.events,
                _ => client.spec.scopes.contains(scope),
            };
            let permitted = |scope: &str| own(scope) && catalog.knows(scope);
            if !requested.iter().all(permitted) {
                return Err(invalid_scope("the client may not ask for one of these scopes"));
            }
            if !asked.is_empty() && catalog.scopes_within(requested, &asked) != *requested {
                return Err(invalid_scope("one of these scopes belongs to another resource"));
            }
            requested.clone()
        }
        None => {
            let known: Scopes = client.spec.scopes.iter().filter(|scope| catalog.knows(scope)).collect();
            if asked.is_empty() { known } else { catalog.scopes_within(&known, &asked) }
        }
    };
    let audiences = if asked.is_empty() {
        let of_scopes: Audiences = scopes.iter().filter_map(|scope| catalog.audience_of(scope)).collect();
        if of_scopes.is_empty() { allowed } else { of_scopes }
    } else {
        asked
    };
    Ok(Resolved { scopes, audiences })
}

/// Scopes in plain words, in their order, for the consent page.
pub async fn describe(cx: &Cx, scopes: &Scopes) -> Result<Vec<ScopeInfo>, StoreError> {
    let catalog = catalog(&cx.identity).await?;
    let built_in = |scope: &str| BUILT_IN.iter().find(|(name, _)| *name == scope).map(|(_, text)| *text);
    let info = |scope: &str| {
        let declared = catalog.scopes.get(scope);
        let own = declared.map(|spec| spec.description.as_str()).filter(|text| !text.is_empty());
        ScopeInfo {
            name: scope.to_owned(),
            description: own.or(built_in(scope)).unwrap_or(scope).to_owned(),
            audience: declared.and_then(|spec| spec.audience.clone()),
        }
    };
    Ok(scopes.iter().map(info).collect())
}

pub async fn apply(cx: &mut Cx, spec: &ScopeSpec) -> Result<Applied, Refused> {
    let mut faults = Faults::default();
    let one = Scopes::parse(&spec.name).is_ok_and(|scopes| scopes.len() == 1);
    faults.add_if(!one, "/name", "must be one scope token (RFC 6749 §3.3)");
    faults.add_if(
        is_built_in(&spec.name) && (!spec.claims.is_empty() || spec.audience.is_some()),
        "/name",
        "is a scope of OpenID Connect; only its description can be changed",
    );
    faults.add_if(is_own(&spec.name), "/name", "is a scope of this server itself");
    faults.add_if(
        spec.audience.as_deref().is_some_and(|audience| !audiences::is_audience(audience)),
        "/audience",
        "must be a URI or name without spaces",
    );
    for claim in spec.claims.keys() {
        if crate::claims::is_reserved(claim) {
            faults.add(format!("/claims/{claim}"), "is set by the token service itself");
        }
    }
    faults.into_result()?;
    let applied = store::apply_scope(cx, spec).await?;
    if applied != Applied::Unchanged {
        note(cx, Act::ScopeApplied, &spec.name, applied.as_str()).await?;
    }
    Ok(applied)
}

pub async fn apply_resource_server(cx: &mut Cx, spec: &ResourceServerSpec) -> Result<Applied, Refused> {
    let mut faults = Faults::default();
    faults.add_if(!audiences::is_audience(&spec.audience), "/audience", "must be a URI or name without spaces");
    let signs = |algorithm: &Algorithm| cx.identity.config.keys.algorithms.contains(algorithm);
    faults.add_if(
        spec.signing_algorithm.as_ref().is_some_and(|algorithm| !signs(algorithm)),
        "/signingAlgorithm",
        "is not one of the algorithms this server has keys for",
    );
    faults.into_result()?;
    let applied = store::apply_resource_server(cx, spec).await?;
    if applied != Applied::Unchanged {
        note(cx, Act::ResourceServerApplied, &spec.audience, applied.as_str()).await?;
    }
    Ok(applied)
}

/// False if there was none. Introspection of tokens that bear the scope tells neither its name nor its claims.
pub async fn delete(cx: &mut Cx, name: &str) -> Result<bool, StoreError> {
    let deleted = store::delete_scope(cx, name).await?;
    if deleted {
        note(cx, Act::ScopeDeleted, name, "deleted").await?;
    }
    Ok(deleted)
}

pub async fn delete_resource_server(cx: &mut Cx, audience: &str) -> Result<bool, StoreError> {
    let deleted = store::delete_resource_server(cx, audience).await?;
    if deleted {
        note(cx, Act::ResourceServerDeleted, audience, "deleted").await?;
    }
    Ok(deleted)
}

async fn note(cx: &mut Cx, act: Act, object: &str, what: &str) -> Result<(), StoreError> {
    cx.tx.notify(TOPIC);
    let detail = json!({"change": what});
    audit::record(cx, act, audit::Record { object: Some(object.to_owned()), detail, ..Default::default() }).await
}

pub async fn list(cx: &mut Cx) -> Result<Vec<ScopeSpec>, StoreError> {
    Ok(catalog(&cx.identity).await?.scopes.values().cloned().collect())
}

pub async fn list_resource_servers(cx: &mut Cx) -> Result<Vec<ResourceServerSpec>, StoreError> {
    Ok(catalog(&cx.identity).await?.resource_servers.values().cloned().collect())
}
