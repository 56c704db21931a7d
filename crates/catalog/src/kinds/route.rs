//! `Route`: which requests go to a service, and what they must show.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use std::collections::BTreeMap;

use super::api::Needed;
use super::composition::AnswerSpec;
use super::policy_source::PolicySpec;
use crate::words::{Size, Span};

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RouteSpec {
    #[serde(rename = "match")]
    pub matches: MatchSpec,
    /// Name of the `Service`. Needed unless there is an `answer` or a `mock`; with one of these the service
    /// is not asked, but its audience, CORS, limits and API hold.
    #[serde(default)]
    pub service: Option<String>,
    /// The answer, made here from the request alone. Texts may be templates, as in a `Composition`.
    #[serde(default)]
    pub answer: Option<AnswerSpec>,
    /// Answers by example, until there is a service.
    #[serde(default)]
    pub mock: Option<MockSpec>,
    /// Whom a token must be meant for, where no service says it.
    #[serde(default)]
    pub audience: Option<String>,
    /// What consumers and usage records call this operation of the API; default: the route's name.
    #[serde(default)]
    pub operation: Option<String>,
    /// `none`, written out, for a public route; there is no default.
    pub auth: AuthSpec,
    /// Whether a caller needs a subscription; default: what the API says. A public route of an API that asks for one
    /// says `none` here.
    #[serde(default)]
    pub subscription: Option<Needed>,
    /// Who decides about each call besides; default: what the service says.
    #[serde(default)]
    pub policy: Option<PolicySpec>,
    #[serde(default)]
    pub rewrite: Option<RewriteSpec>,
    #[serde(default)]
    pub cors: Option<CorsSpec>,
    #[serde(default)]
    pub limits: LimitsSpec,
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MatchSpec {
    /// `/orders/{id}`: `{id}` is one segment; `{rest...}` at the end is all that is left.
    pub path: String,
    /// Default: every method. `GET` includes `HEAD`.
    #[serde(default)]
    pub methods: Vec<String>,
    /// `api.example.com` or `*.example.com` (one label); default: every host.
    #[serde(default)]
    pub hosts: Vec<String>,
}

/// `none`, or what a token must show.
#[derive(Debug, Clone, PartialEq)]
pub enum AuthSpec {
    None,
    Token(TokenSpec),
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenSpec {
    /// Name of the `Issuer`.
    pub issuer: String,
    /// Scopes that the token must have, all of them.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Scopes of which the token must have one.
    #[serde(default)]
    pub any_scope: Vec<String>,
    /// Claims and the value, or one of the values, that each must have.
    #[serde(default)]
    pub claims: BTreeMap<String, Value>,
}

impl<'de> Deserialize<'de> for AuthSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AuthVisitor)
    }
}

struct AuthVisitor;

impl<'de> Visitor<'de> for AuthVisitor {
    type Value = AuthSpec;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`none`, or a map with `issuer`")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<AuthSpec, E> {
        match text {
            "none" => Ok(AuthSpec::None),
            _ => Err(E::custom(format!("`{text}` is not `none`, nor a map with `issuer`"))),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<AuthSpec, A::Error> {
        TokenSpec::deserialize(MapAccessDeserializer::new(map)).map(AuthSpec::Token)
    }
}

impl JsonSchema for AuthSpec {
    fn schema_name() -> Cow<'static, str> {
        "Auth".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let token = generator.subschema_for::<TokenSpec>();
        json_schema!({"anyOf": [{"const": "none"}, token]})
    }
}

/// The first example is the answer, unless the request asks for another one: `Prefer: example=NAME`, or
/// `Prefer: code=404` (RFC 7240).
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MockSpec {
    pub examples: Vec<ExampleSpec>,
}

/// Nothing in it is a template: examples of an OpenAPI document can be copied as they are.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExampleSpec {
    pub name: String,
    #[serde(default = "ok")]
    pub status: u16,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// JSON. One of `body` and `text`, or none.
    #[serde(default)]
    pub body: Option<Value>,
    #[serde(default)]
    pub text: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RewriteSpec {
    /// The path that is sent on, with the parameters of the match: `/v2/orders/{id}`.
    pub path: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CorsSpec {
    /// `https://app.example.com`, or `*` for every origin.
    pub origins: Vec<String>,
    /// Request headers that are allowed.
    #[serde(default = "cors_headers")]
    pub headers: Vec<String>,
    /// Answer headers that scripts may read.
    #[serde(default)]
    pub expose_headers: Vec<String>,
    #[serde(default)]
    pub credentials: bool,
    #[serde(default = "cors_max_age")]
    pub max_age: Span,
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LimitsSpec {
    /// Size of a request's body.
    pub max_body: Option<Size>,
    /// From the end of the request to the head of the answer.
    pub timeout: Option<Span>,
}

fn ok() -> u16 {
    200
}

fn cors_headers() -> Vec<String> {
    vec!["authorization".to_owned(), "content-type".to_owned()]
}

fn cors_max_age() -> Span {
    Span::from_secs(600)
}
