//! `Issuer`: who vouches for tokens, and how the gateway asks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::words::{HttpUrl, SecretRef, Span};

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IssuerSpec {
    /// The issuer identifier (RFC 8414 §2); what `iss` must say, character by character.
    pub issuer: HttpUrl,
    /// Opaque tokens: ask the issuer (RFC 7662). Exactly one of `introspection` and `jwks` is written.
    #[serde(default)]
    pub introspection: Option<IntrospectionSpec>,
    /// Signed tokens of a foreign issuer: verify them here.
    #[serde(default)]
    pub jwks: Option<JwksSpec>,
    /// Audiences that are accepted besides the service's own.
    #[serde(default)]
    pub audiences: Vec<String>,
    /// Signature algorithms that are accepted.
    #[serde(default = "algorithms")]
    pub algorithms: Vec<Algorithm>,
    /// How far the issuer's clock may differ from ours.
    #[serde(default = "leeway")]
    pub clock_leeway: Span,
    /// JWT types (`typ`, RFC 8725 §3.11) that are accepted as access tokens.
    #[serde(default = "types")]
    pub types: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Algorithm {
    ES256,
    EdDSA,
    RS256,
    PS256,
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IntrospectionSpec {
    /// Default: `introspection_endpoint` of the issuer's metadata.
    #[serde(default)]
    pub endpoint: Option<HttpUrl>,
    /// The gateway's `client_id` at the issuer.
    #[serde(rename = "as")]
    pub client_id: String,
    /// The gateway's client secret, by reference.
    pub secret: SecretRef,
    #[serde(default)]
    pub form: Form,
    #[serde(default)]
    pub cache: CacheSpec,
    /// Subscribe to the issuer's feed of revocations (RFC 8936).
    #[serde(default)]
    pub revocations: Option<RevocationsSpec>,
    /// How long one question may take.
    #[serde(default = "timeout")]
    pub timeout: Span,
    /// Questions at the same time; more are answered 503.
    #[serde(default = "concurrent")]
    pub max_concurrent: u32,
    /// Prefix of handles with a checksum: what has another form is refused without asking.
    /// Default: what the issuer's metadata says, if anything.
    #[serde(default)]
    pub token_prefix: Option<String>,
}

/// What the issuer is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// The JWT as the body, `application/jwt`.
    #[default]
    Jwt,
    /// JSON with the JWT in a member `jwt` or `phantom_token`.
    JsonMember,
    /// A signed answer (RFC 9701).
    Rfc9701,
    /// JSON as in RFC 7662.
    Plain,
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CacheSpec {
    /// No answer is kept longer, whatever the issuer allows.
    pub max_ttl: Span,
    /// How long "not active" is kept; 0 (the default) = not at all.
    pub negative_ttl: Span,
    pub max_entries: u32,
}

impl Default for CacheSpec {
    fn default() -> Self {
        Self { max_ttl: Span::from_secs(300), negative_ttl: Span::default(), max_entries: 100_000 }
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RevocationsSpec {
    /// When the feed is further behind than this, kept answers are not used.
    #[serde(default = "max_lag")]
    pub max_lag: Span,
    /// Default: `events/poll` below the issuer.
    #[serde(default)]
    pub endpoint: Option<HttpUrl>,
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JwksSpec {
    /// Default: `jwks_uri` of the issuer's metadata.
    #[serde(default)]
    pub uri: Option<HttpUrl>,
    /// How long keys are used before they are fetched again.
    #[serde(default = "keys_ttl")]
    pub max_ttl: Span,
}

fn algorithms() -> Vec<Algorithm> {
    vec![Algorithm::ES256, Algorithm::EdDSA, Algorithm::RS256, Algorithm::PS256]
}

fn leeway() -> Span {
    Span::from_secs(5)
}

fn types() -> Vec<String> {
    vec!["at+jwt".to_owned()]
}

fn timeout() -> Span {
    Span::from_secs(5)
}

fn concurrent() -> u32 {
    256
}

fn max_lag() -> Span {
    Span::from_secs(5)
}

fn keys_ttl() -> Span {
    Span::from_secs(900)
}
