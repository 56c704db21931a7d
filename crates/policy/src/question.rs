//! A question in the information model of AuthZEN (Authorization API 1.0 §5): may this subject do this
//! action on this resource, in this context?

use base::Time;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Members that are not known are ignored (AuthZEN §10.1.1).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Question {
    pub subject: Party,
    pub action: Action,
    pub resource: Party,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub context: Map<String, Value>,
    /// The moment of the question: the time of whoever decides, never of whoever asks.
    #[serde(skip, default = "epoch")]
    pub now: Time,
}

/// A subject or a resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Party {
    #[serde(rename = "type")]
    pub kind: String,
    pub id: String,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub properties: Map<String, Value>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Action {
    pub name: String,
    /// Reach the policies as `context.action`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub properties: Map<String, Value>,
}

/// An entity by type and id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EntityRef {
    #[serde(rename = "type")]
    pub kind: String,
    pub id: String,
}

fn epoch() -> Time {
    Time::from_ms(0)
}

impl Question {
    pub fn new(subject: Party, action: &str, resource: Party, now: Time) -> Self {
        let action = Action { name: action.to_owned(), properties: Map::new() };
        Self { subject, action, resource, context: Map::new(), now }
    }

    /// With the facts of a call, typed.
    #[must_use]
    pub fn facts(mut self, facts: &CallFacts) -> Self {
        if let Ok(Value::Object(context)) = serde_json::to_value(facts) {
            self.context.extend(context);
        }
        self
    }

    #[must_use]
    pub fn context(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.context.insert(name.to_owned(), value.into());
        self
    }
}

impl Party {
    pub fn new(kind: &str, id: &str) -> Self {
        Self { kind: kind.to_owned(), id: id.to_owned(), properties: Map::new() }
    }

    #[must_use]
    pub fn property(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.properties.insert(name.to_owned(), value.into());
        self
    }
}

/// What the base schema knows of the environment of a call; `time` is added from [`Question::now`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CallFacts {
    /// The client that the subject uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    pub authentication: Authentication,
    pub device: Device,
    pub network: Network,
    pub request: HttpRequest,
    /// Of the token; those that the schema declares reach the policies.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub claims: Map<String, Value>,
}

/// From the token: `auth_time` in seconds, `acr`, `amr` (OpenID Connect Core §2).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Authentication {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acr: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub amr: Vec<String>,
}

/// What is stored of the `Device` with this id outranks the rest.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Device {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enrolled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Network {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<std::net::IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HttpRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Of the token, or those that are asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// At the token endpoint (RFC 6749 §4).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant_type: Option<String>,
}
