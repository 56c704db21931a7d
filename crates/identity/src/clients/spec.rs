//! The document of a client, and what is wrong with one.

use std::collections::BTreeMap;

use base::ids::ClientId;
use base::scope::Scopes;
use jose::Algorithm;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::redirect;
use crate::applied::{Faults, Refused};
use crate::scopes::Audiences;
use crate::sessions::ACR_PASSWORD;

/// Kind `Client`; names as RFC 7591 §2 has them, in camel case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClientSpec {
    /// The resource's name.
    pub client_id: ClientId,
    #[serde(default)]
    pub display_name: String,
    #[serde(default)]
    pub token_endpoint_auth_method: AuthMethod,
    #[serde(default)]
    pub application_type: ApplicationType,
    #[serde(default)]
    pub redirect_uris: Vec<String>,
    #[serde(default)]
    pub post_logout_redirect_uris: Vec<String>,
    #[serde(default)]
    pub grant_types: Vec<GrantType>,
    /// The scopes it may ask for.
    #[serde(default, with = "scope_list")]
    pub scopes: Scopes,
    /// Resource servers it may ask tokens for, beyond those of its scopes.
    #[serde(default)]
    pub audiences: Audiences,
    #[serde(default)]
    pub access_token_format: TokenFormat,
    /// RS256 where the server has such a key (OpenID Connect Registration §2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_token_signed_response_alg: Option<Algorithm>,
    #[serde(default)]
    pub consent: Consent,
    /// It is a resource server, or guards some: it may introspect tokens for these audiences.
    #[serde(default)]
    pub introspect: Audiences,
    /// It may poll the security event feed.
    #[serde(default)]
    pub events: bool,
    /// `acr` that is demanded when a request names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_acr: Option<String>,
    /// Facts about the client that scopes may bring as claims (`client.<attribute>`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, Value>,
}

/// RFC 7591 §2 `token_endpoint_auth_method`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    #[default]
    ClientSecretBasic,
    ClientSecretPost,
    /// A public client: it cannot keep a secret.
    None,
}

impl AuthMethod {
    pub const ALL: [Self; 3] = [Self::ClientSecretBasic, Self::ClientSecretPost, Self::None];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::None => "none",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApplicationType {
    #[default]
    Web,
    /// Installed at the user's (RFC 8252).
    Native,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantType {
    AuthorizationCode,
    RefreshToken,
    ClientCredentials,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenFormat {
    #[default]
    Opaque,
    /// RFC 9068.
    Jwt,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consent {
    /// The user is asked, once per scope.
    #[default]
    Required,
    /// The operator's own application: nobody is asked.
    Implicit,
}

/// Whether a client can have this name.
fn is_client_id(id: &str) -> bool {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/@".contains(&byte);
    (1..=128).contains(&id.len()) && id.bytes().all(fine)
}

impl ClientSpec {
    /// A client that may do nothing yet; for tests and code that fills it in.
    pub fn named(client_id: &str) -> Self {
        Self {
            client_id: client_id.into(),
            display_name: String::new(),
            token_endpoint_auth_method: AuthMethod::default(),
            application_type: ApplicationType::default(),
            redirect_uris: Vec::new(),
            post_logout_redirect_uris: Vec::new(),
            grant_types: Vec::new(),
            scopes: Scopes::default(),
            audiences: Audiences::default(),
            access_token_format: TokenFormat::default(),
            id_token_signed_response_alg: None,
            consent: Consent::default(),
            introspect: Audiences::default(),
            events: false,
            default_acr: None,
            attributes: BTreeMap::new(),
        }
    }

    pub(super) fn check(&self, signed_with: &[Algorithm]) -> Result<(), Refused> {
        let mut faults = Faults::default();
        faults.add_if(
            !is_client_id(self.client_id.as_str()),
            "/clientId",
            "must be 1 to 128 of the characters A–Z a–z 0–9 - . _ ~ : / @",
        );
        let public = self.token_endpoint_auth_method == AuthMethod::None;
        let uses = |grant_type| self.grant_types.contains(&grant_type);
        faults.add_if(
            uses(GrantType::AuthorizationCode) && self.redirect_uris.is_empty(),
            "/redirectUris",
            "must name at least one for the grant type authorization_code",
        );
        faults.add_if(
            public && uses(GrantType::ClientCredentials),
            "/grantTypes",
            "a client without a secret cannot use client_credentials (RFC 6749 §4.4)",
        );
        faults.add_if(
            public && (!self.introspect.is_empty() || self.events),
            "/tokenEndpointAuthMethod",
            "introspection and events need a client with a secret",
        );
        faults.add_if(
            self.id_token_signed_response_alg.is_some_and(|alg| !signed_with.contains(&alg)),
            "/idTokenSignedResponseAlg",
            "is not one of the algorithms this server has keys for",
        );
        faults.add_if(
            self.default_acr.as_deref().is_some_and(|acr| acr != ACR_PASSWORD),
            "/defaultAcr",
            "is not an authentication context of this server, so that it could never be met",
        );
        for (list, name) in
            [(&self.redirect_uris, "redirectUris"), (&self.post_logout_redirect_uris, "postLogoutRedirectUris")]
        {
            for (index, uri) in list.iter().enumerate() {
                if let Err(fault) = redirect::check(uri, self.application_type) {
                    faults.add(format!("/{name}/{index}"), fault);
                }
            }
        }
        faults.into_result()
    }

    /// Whether a client that had `before` loses something by this document.
    pub(super) fn takes_away_from(&self, before: &Self) -> bool {
        !before.scopes.is_subset(&self.scopes)
            || !before.audiences.is_subset(&self.audiences)
            || before.grant_types.iter().any(|grant_type| !self.grant_types.contains(grant_type))
    }
}

/// A set of scopes as a list in documents.
mod scope_list {
    use base::scope::Scopes;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(scopes: &Scopes, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(scopes.iter())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Scopes, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        match names.iter().find(|name| name.contains(' ') || name.is_empty()) {
            Some(_) => Err(serde::de::Error::custom("each scope is one word (RFC 6749 §3.3)")),
            None => Scopes::parse(&names.join(" ")).map_err(serde::de::Error::custom),
        }
    }
}
