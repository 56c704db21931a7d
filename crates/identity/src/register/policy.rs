use serde::{Deserialize, Serialize};

use super::error::{Error, invalid_client_metadata};
use crate::clients::{AuthMethod, ClientSpec, GrantType, scope_list};
use crate::scopes::{Audiences, Catalog, is_built_in, is_own};
use base::scope::Scopes;

/// In a policy: every one that is declared.
const ANY: &str = "*";

/// What a registrant may ask for. Nothing is dropped silently: who asks for more is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Policy {
    pub grant_types: Vec<GrantType>,
    /// Beyond those of OpenID Connect, which everybody may ask for; `*` is every declared one.
    #[serde(with = "scope_list")]
    pub scopes: Scopes,
    /// Beyond those of the scopes; `*` is every declared resource server.
    pub audiences: Audiences,
    pub token_endpoint_auth_methods: Vec<AuthMethod>,
    /// So many clients may one registrar have.
    pub max_clients: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            grant_types: vec![GrantType::AuthorizationCode, GrantType::RefreshToken, GrantType::ClientCredentials],
            scopes: Scopes::default(),
            audiences: Audiences::default(),
            token_endpoint_auth_methods: AuthMethod::ALL.to_vec(),
            max_clients: 10_000,
        }
    }
}

impl Policy {
    /// Whether a client may be so. What it is already (`before`) it may stay, also if the policy has become narrower.
    pub(super) fn check(&self, catalog: &Catalog, spec: &ClientSpec, before: Option<&ClientSpec>) -> Result<(), Error> {
        let had = |fits: &dyn Fn(&ClientSpec) -> bool| before.is_some_and(fits);
        for grant_type in &spec.grant_types {
            if !self.grant_types.contains(grant_type) && !had(&|before| before.grant_types.contains(grant_type)) {
                return Err(invalid_client_metadata("grant_types", "names one that may not be registered here"));
            }
        }
        let method = spec.token_endpoint_auth_method;
        if !self.token_endpoint_auth_methods.contains(&method)
            && !had(&|before| before.token_endpoint_auth_method == method)
        {
            return Err(invalid_client_metadata("token_endpoint_auth_method", "may not be registered here"));
        }
        for scope in spec.scopes.iter() {
            if !self.allows_scope(catalog, scope) && !had(&|before| before.scopes.contains(scope)) {
                return Err(invalid_client_metadata("scope", "names one that may not be registered here"));
            }
        }
        for audience in spec.audiences.iter() {
            if !self.allows_audience(catalog, audience) && !had(&|before| before.audiences.contains(audience)) {
                return Err(invalid_client_metadata("resources", "names one that may not be registered here"));
            }
        }
        Ok(())
    }

    fn allows_scope(&self, catalog: &Catalog, scope: &str) -> bool {
        let declared = self.scopes.contains(ANY) && catalog.knows(scope);
        !is_own(scope) && scope != ANY && (is_built_in(scope) || self.scopes.contains(scope) || declared)
    }

    fn allows_audience(&self, catalog: &Catalog, audience: &str) -> bool {
        let declared = self.audiences.contains(ANY) && catalog.resource_servers.contains_key(audience);
        audience != catalog.issuer && audience != ANY && (self.audiences.contains(audience) || declared)
    }
}
