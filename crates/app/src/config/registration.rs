//! The sections `identity.registration:` and `identity.policy:`, and where the identity system may fetch.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Reference, Span};

/// Clients with `registrar: true` and holders of registration tokens may always register clients.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Registration {
    /// Anybody may register clients of this kind, without a token; nobody, if it is not given.
    pub open: Option<OpenRegistration>,
    /// Whose software statements are taken (RFC 7591 §2.3): what they say of a client stands before what it says itself.
    /// Nobody's, if it is not given.
    #[serde(default)]
    pub software_statements: Vec<SoftwareStatements>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SoftwareStatements {
    /// `iss` of the statements.
    pub issuer: String,
    /// The issuer's public keys, a JWK set: a file.
    pub jwks: Reference,
}

impl Registration {
    pub(super) fn within(mut self, folder: &Path) -> Self {
        for issuer in &mut self.software_statements {
            issuer.jwks = issuer.jwks.clone().within(folder);
        }
        self
    }
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

/// Before consent and before each token it is asked `issue_token`, and `grant_scope` for each scope. Without an answer
/// nothing is issued.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IssuePolicy {
    /// Its base; `/access/v1/evaluations` is asked.
    pub url: String,
    /// Sent as a bearer token; at our entitlement system that of a caller with the right `evaluate`.
    pub secret: Reference,
    /// How long an answer may take; 2s.
    pub timeout: Option<Span>,
    #[serde(default)]
    pub mode: IssuePolicyMode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum IssuePolicyMode {
    /// What it denies is not issued.
    #[default]
    Enforce,
    /// It is asked, and what it would have done is logged and counted.
    Shadow,
}

impl IssuePolicy {
    pub(super) fn within(mut self, folder: &Path) -> Self {
        self.secret = self.secret.within(folder);
        self
    }
}
