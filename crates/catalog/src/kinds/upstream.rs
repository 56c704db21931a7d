//! `Upstream`: a group of endpoints that do the same.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

use crate::words::{HttpUrl, SecretRef, Span};

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpstreamSpec {
    /// Where the service runs: scheme, host and port, without a path.
    pub endpoints: Vec<EndpointSpec>,
    #[serde(default)]
    pub protocol: Protocol,
    #[serde(default)]
    pub timeouts: TimeoutsSpec,
    #[serde(default)]
    pub tls: TlsSpec,
    #[serde(default)]
    pub health: HealthSpec,
    /// Requests that may be on their way at once; more are answered 503.
    #[serde(default = "max_concurrent")]
    pub max_concurrent: u32,
}

/// A URL, or a map with `url` and `weight`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointSpec {
    pub url: HttpUrl,
    pub weight: u32,
}

impl<'de> Deserialize<'de> for EndpointSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EndpointVisitor)
    }
}

struct EndpointVisitor;

impl<'de> Visitor<'de> for EndpointVisitor {
    type Value = EndpointSpec;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a URL, or a map with `url` and `weight`")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<EndpointSpec, E> {
        Ok(EndpointSpec { url: HttpUrl::parse(text).map_err(E::custom)?, weight: 1 })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<EndpointSpec, A::Error> {
        let long = EndpointLong::deserialize(MapAccessDeserializer::new(map))?;
        if long.weight > 1_000 {
            return Err(A::Error::custom("a weight is at most 1000"));
        }
        Ok(EndpointSpec { url: long.url, weight: long.weight })
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct EndpointLong {
    url: HttpUrl,
    #[serde(default = "one")]
    weight: u32,
}

impl JsonSchema for EndpointSpec {
    fn schema_name() -> Cow<'static, str> {
        "Endpoint".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let short = generator.subschema_for::<HttpUrl>();
        let long = generator.subschema_for::<EndpointLong>();
        json_schema!({"anyOf": [short, long]})
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// HTTP/1.1, or over TLS what the endpoint chooses (ALPN).
    #[default]
    Auto,
    Http1,
    /// HTTP/2, also without TLS (prior knowledge); what gRPC needs.
    Http2,
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TimeoutsSpec {
    /// Until a connection stands.
    pub connect: Span,
    /// From the end of the request to the head of the answer.
    pub head: Span,
    /// Between two pieces of a body.
    pub idle: Span,
}

impl Default for TimeoutsSpec {
    fn default() -> Self {
        Self { connect: Span::from_secs(5), head: Span::from_secs(60), idle: Span::from_secs(60) }
    }
}

#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TlsSpec {
    /// Certificates that sign the endpoints' (PEM); default: those of the operating system.
    pub ca: Option<SecretRef>,
    /// The name in the endpoints' certificate, where it is not the host of the URL.
    pub server_name: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct HealthSpec {
    /// After so many failures in a row an endpoint rests.
    pub failures: u32,
    /// How long it rests before it is tried again.
    pub rest: Span,
}

impl Default for HealthSpec {
    fn default() -> Self {
        Self { failures: 3, rest: Span::from_secs(10) }
    }
}

fn max_concurrent() -> u32 {
    10_000
}

fn one() -> u32 {
    1
}
