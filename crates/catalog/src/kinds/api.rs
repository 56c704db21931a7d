//! `Api`: an interface as its consumers know it; services and compositions say whose calls they are.

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;

use crate::words::TextOr;

#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApiSpec {
    pub title: String,
    /// Of the interface, as text: `"1.4.0"`.
    pub version: String,
    /// Markdown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    #[serde(default)]
    pub lifecycle: Lifecycle,
    #[serde(default)]
    pub visibility: Visibility,
    /// Whether a caller needs a subscription to a plan with this API. A public route of an API that asks for one says
    /// itself that it asks for none.
    #[serde(default)]
    pub subscription: Needed,
    /// Told in `Deprecation` (RFC 9745) while `deprecated`. RFC 3339: `2026-07-01T00:00:00Z`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecated_at: Option<Moment>,
    /// When it is expected to end, told in `Sunset` (RFC 8594) while `deprecated`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sunset_at: Option<Moment>,
    /// An OpenAPI document (3.0 or 3.1) of it: kept and shown by management, passed over by gateways.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub openapi: Option<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Lifecycle {
    /// Shown, without a promise.
    Planned,
    #[default]
    Active,
    Deprecated,
    /// Calls are answered 410.
    Retired,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Visibility {
    /// Seen without a login.
    Public,
    /// Seen by everybody who is logged in.
    #[default]
    Internal,
    /// Seen by the organisations that a plan names.
    Private,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Needed {
    #[default]
    Required,
    /// Its limits hold where there is one.
    Optional,
    /// None is looked for.
    None,
}

/// A moment as RFC 3339 writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub base::Time);

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const HELP: &str = "a moment, such as `2026-07-01T00:00:00Z`";
        let text = deserializer.deserialize_any(TextOr(HELP))?;
        let moment = text.parse::<Timestamp>().map_err(|_| D::Error::custom(format!("`{text}` is not {HELP}")))?;
        Ok(Self(base::Time::from_ms(moment.as_millisecond())))
    }
}

impl Serialize for Moment {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let moment = Timestamp::from_millisecond(self.0.ms()).map_err(serde::ser::Error::custom)?;
        serializer.collect_str(&moment)
    }
}

impl JsonSchema for Moment {
    fn schema_name() -> Cow<'static, str> {
        "Moment".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "date-time"})
    }
}
