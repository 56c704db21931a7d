//! `Service`: an interface behind the gateway, reached over an upstream.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

use super::policy_source::PolicySpec;
use super::route::CorsSpec;
use super::upstream::TimeoutsSpec;
use crate::words::{HttpUrl, Size, TextOr};

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceSpec {
    /// Name of the `Upstream`.
    pub upstream: String,
    /// Name of the `Api` whose calls these are: subscriptions, plans and usage are about it.
    #[serde(default)]
    pub api: Option<String>,
    /// What `aud` of the JWT must hold that this service receives. Needed where a route asks for a token.
    #[serde(default)]
    pub audience: Option<String>,
    /// Who decides about each call of its routes; a route's own `policy` stands instead of it.
    #[serde(default)]
    pub policy: Option<PolicySpec>,
    /// What the service is told about the caller.
    #[serde(default)]
    pub identity: IdentitySpec,
    /// Put in front of the path that is sent on.
    #[serde(default)]
    pub path_prefix: Option<String>,
    /// Who may call from a browser; a route's own `cors` stands instead of it.
    #[serde(default)]
    pub cors: Option<CorsSpec>,
    #[serde(default)]
    pub max_body: Option<Size>,
    /// Instead of the upstream's.
    #[serde(default)]
    pub timeouts: Option<TimeoutsSpec>,
    /// `Host` of what is sent on.
    #[serde(default)]
    pub host: HostHeader,
    /// The resource identifier in the metadata of RFC 9728; default: the gateway's public URL with
    /// the path that the service's routes have in common.
    #[serde(default)]
    pub resource: Option<HttpUrl>,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct IdentitySpec {
    pub forward: ForwardIdentity,
    /// What the service is told of the call besides, in fields of their own.
    pub tell: Vec<Tell>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Tell {
    /// `Cardea-Token`: the last six characters of the caller's opaque token, by which a person knows it again.
    TokenEnd,
    /// `Cardea-Plan`: the plan and the units that the call takes of it; `RateLimit` and `RateLimit-Policy` as the caller is
    /// told.
    Plan,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardIdentity {
    /// The issuer's JWT; where the issuer gives none, one that the gateway signs.
    #[default]
    Jwt,
    /// Nothing: no `Authorization` is sent on.
    None,
    /// The `Authorization` that the client sent, on public routes: for an identity system behind the
    /// gateway, which is whom the client's credentials are meant for.
    AsReceived,
}

/// Written as `endpoint` (default), `preserve`, or a host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum HostHeader {
    /// The endpoint's own.
    #[default]
    Endpoint,
    /// What the client addressed.
    Preserve,
    Fixed(String),
}

impl<'de> Deserialize<'de> for HostHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = deserializer.deserialize_any(TextOr("`endpoint`, `preserve` or a host"))?;
        match text.as_str() {
            "endpoint" => Ok(Self::Endpoint),
            "preserve" => Ok(Self::Preserve),
            host if !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b)) => {
                Ok(Self::Fixed(text))
            }
            _ => Err(D::Error::custom(format!("`{text}` is not `endpoint`, `preserve` or a host"))),
        }
    }
}

impl JsonSchema for HostHeader {
    fn schema_name() -> Cow<'static, str> {
        "HostHeader".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "description": "`endpoint`, `preserve` or a host", "default": "endpoint"})
    }
}
