//! The section `identity.registration:`, and where the identity system may fetch.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Clients with `registrar: true` and holders of registration tokens may always register clients.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Registration {
    /// Anybody may register clients of this kind, without a token; nobody, if it is not given.
    pub open: Option<OpenRegistration>,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OpenRegistration {
    /// `authorization_code`, `refresh_token`, `client_credentials`; all of them, if it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant_types: Option<Vec<String>>,
    /// Scopes beyond those of OpenID Connect; `*` is every declared one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// Resource servers beyond those of the scopes; `*` is every declared one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audiences: Option<Vec<String>>,
    /// `client_secret_basic`, `client_secret_post`, `private_key_jwt`, `none`; all of them, if it is not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_endpoint_auth_methods: Option<Vec<String>>,
    /// So many clients in all; 10000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_clients: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Outgoing {
    /// The public Internet, by https.
    #[default]
    Public,
    /// Every address, inner ones and this machine's too.
    Anywhere,
}
