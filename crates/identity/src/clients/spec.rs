//! The document of a client, and what is wrong with one.

use std::collections::BTreeMap;

use base::ids::ClientId;
use base::scope::Scopes;
use jose::Algorithm;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::redirect;
use crate::applied::{Faults, Refused};
use crate::register::Policy;
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
    /// The algorithm of its assertions; any that its keys have, if it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_endpoint_auth_signing_alg: Option<Algorithm>,
    /// Its public keys (RFC 7517 §5) …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<Value>,
    /// … or where it publishes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
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
    /// It may register clients (RFC 7591), with a token of the scope `client.register`.
    #[serde(default)]
    pub registrar: bool,
    /// What the clients that it registers may be; without it, what is the default of each member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration: Option<Policy>,
    /// Shut out for a while: its tokens are not active and it gets none, but its grants stay.
    #[serde(default)]
    pub suspended: bool,
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
    /// An assertion that the client signs (RFC 7523, OpenID Connect Core §9).
    PrivateKeyJwt,
    /// A public client: it cannot keep a secret.
    None,
}

impl AuthMethod {
    pub const ALL: [Self; 4] = [Self::ClientSecretBasic, Self::ClientSecretPost, Self::PrivateKeyJwt, Self::None];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::PrivateKeyJwt => "private_key_jwt",
            Self::None => "none",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == name)
    }

    pub const fn has_secret(self) -> bool {
        matches!(self, Self::ClientSecretBasic | Self::ClientSecretPost)
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
    /// RFC 8693.
    #[serde(rename = "urn:ietf:params:oauth:grant-type:token-exchange")]
    TokenExchange,
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
            token_endpoint_auth_signing_alg: None,
            jwks: None,
            jwks_uri: None,
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
            registrar: false,
            registration: None,
            suspended: false,
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
            public && uses(GrantType::TokenExchange),
            "/grantTypes",
            "a client that cannot show who it is cannot exchange tokens",
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
        self.check_keys(&mut faults);
        self.check_registrar(&mut faults);
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

    /// RFC 7591 §2: `jwks` and `jwks_uri` exclude each other, and `private_key_jwt` needs one of them.
    fn check_keys(&self, faults: &mut Faults) {
        let signs = self.token_endpoint_auth_method == AuthMethod::PrivateKeyJwt;
        faults.add_if(
            signs && self.jwks.is_none() && self.jwks_uri.is_none(),
            "/jwks",
            "private_key_jwt needs the client's public keys, here or at jwksUri",
        );
        faults.add_if(
            self.jwks.is_some() && self.jwks_uri.is_some(),
            "/jwksUri",
            "cannot be there beside jwks (RFC 7591 §2)",
        );
        faults.add_if(
            self.token_endpoint_auth_signing_alg.is_some() && !signs,
            "/tokenEndpointAuthSigningAlg",
            "is for private_key_jwt only",
        );
        if let Some(fault) = self.jwks.as_ref().and_then(|jwks| fault_of_keys(jwks, signs)) {
            faults.add("/jwks", fault);
        }
        if let Some(fault) = self.jwks_uri.as_deref().and_then(redirect::fault_of_own_address) {
            faults.add("/jwksUri", fault);
        }
    }

    fn check_registrar(&self, faults: &mut Faults) {
        faults.add_if(
            self.registrar && !self.grant_types.contains(&GrantType::ClientCredentials),
            "/registrar",
            "registers with a token of its own, which needs the grant type client_credentials",
        );
        faults.add_if(self.registration.is_some() && !self.registrar, "/registration", "needs `registrar: true`");
        faults.add_if(
            self.scopes.iter().any(crate::scopes::is_own),
            "/scopes",
            "client.register comes with `registrar: true`, and events.poll with `events: true`",
        );
    }

    /// Whether a client that had `before` loses something by this document.
    pub(super) fn takes_away_from(&self, before: &Self) -> bool {
        !before.scopes.is_subset(&self.scopes)
            || !before.audiences.is_subset(&self.audiences)
            || before.grant_types.iter().any(|grant_type| !self.grant_types.contains(grant_type))
            || (before.registrar && !self.registrar)
            || (self.suspended && !before.suspended)
    }
}

/// The parts of a set are no secret, and one of them can sign with it if it is to.
fn fault_of_keys(jwks: &Value, signs: bool) -> Option<&'static str> {
    let Some(keys) = jwks.get("keys").and_then(Value::as_array) else {
        return Some("must be a JWK set: an object with the list `keys` (RFC 7517 §5)");
    };
    if keys.len() > 20 || jwks.to_string().len() > 32 * 1024 {
        return Some("may have 20 keys and 32 KiB");
    }
    let private = |key: &Value| ["d", "k", "p", "q"].iter().any(|part| key.get(part).is_some());
    if keys.iter().any(private) {
        return Some("holds a private or symmetric key, which must not leave its owner: make a new one");
    }
    let usable = !jose::KeySet::from_jwks(keys.iter().cloned()).is_empty();
    (signs && !usable).then_some("has no key that can verify ES256, EdDSA, RS256 or PS256")
}

/// A set of scopes as a list in documents.
pub(crate) mod scope_list {
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
