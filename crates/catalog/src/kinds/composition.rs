//! `Composition`: an API made of several calls, or of none. Compiled by the integration service.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::api::Needed;
use super::policy_source::PolicySpec;
use super::route::{AuthSpec, CorsSpec, MatchSpec};
use crate::words::{HttpUrl, SecretRef, Size, Span};

/// Texts with `${ … }` are templates, their expressions CEL over `request`, `claims` and `steps`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CompositionSpec {
    #[serde(rename = "match")]
    pub matches: MatchSpec,
    /// `none`, written out, for a public composition; there is no default.
    pub auth: AuthSpec,
    /// Whether a caller needs a subscription; default: what the API says. A public composition of an API that asks for
    /// one says `none` here.
    #[serde(default)]
    pub subscription: Option<Needed>,
    /// Name of the `Api` whose calls these are: subscriptions, plans and usage are about it.
    #[serde(default)]
    pub api: Option<String>,
    /// What consumers and usage records call this operation of the API; default: the composition's name.
    #[serde(default)]
    pub operation: Option<String>,
    /// Whom a token must be meant for.
    #[serde(default)]
    pub audience: Option<String>,
    /// Who decides about each call besides.
    #[serde(default)]
    pub policy: Option<PolicySpec>,
    #[serde(default)]
    pub cors: Option<CorsSpec>,
    /// For all steps together; compensations come on top.
    #[serde(default = "deadline")]
    pub deadline: Span,
    /// Steps that may be on their way at once.
    #[serde(default = "concurrency")]
    pub concurrency: u32,
    /// Of the request's body.
    #[serde(default = "max_body")]
    pub max_body: Size,
    /// Of the answer that is made.
    #[serde(default = "max_answer")]
    pub max_answer: Size,
    /// Token endpoints that steps get their tokens from, by name.
    #[serde(default)]
    pub tokens: BTreeMap<String, TokenEndpointSpec>,
    /// None: the answer is made from the request alone.
    #[serde(default)]
    pub steps: Vec<StepSpec>,
    /// Answers for special cases: the first whose `when` is true stands instead of `output`.
    #[serde(default)]
    pub cases: Vec<CaseSpec>,
    pub output: AnswerSpec,
    #[serde(default)]
    pub partial: PartialSpec,
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StepSpec {
    /// A letter, then letters, digits and `_`, so that expressions can say `steps.name.body`.
    pub name: String,
    pub request: RequestSpec,
    /// An expression; false: the step is left out.
    #[serde(default)]
    pub when: Option<String>,
    /// Whether there is no answer at all without this step.
    #[serde(default = "yes")]
    pub required: bool,
    /// Stands for the body if the step fails or is left out. May be a template.
    #[serde(default)]
    pub fallback: Option<Value>,
    /// For all attempts together; default: a fair share of what is left of the deadline.
    #[serde(default)]
    pub timeout: Option<Span>,
    /// Further attempts after a failure that may pass. For idempotent methods, or with `idempotencyKey`.
    #[serde(default)]
    pub retries: u32,
    /// Steps to wait for though nothing of them is read.
    #[serde(default)]
    pub after: Vec<String>,
    /// Statuses that are a success; default: 200 to 299.
    #[serde(default)]
    pub expect: Vec<u16>,
    /// Statuses of this step that, if it is required, become the status of the whole answer.
    #[serde(default)]
    pub pass: Vec<u16>,
    /// Of this step's answer.
    #[serde(default = "max_body")]
    pub max_body: Size,
    /// Default: what the service says (`identity.forward`); nothing for an upstream, which may be anybody's.
    #[serde(default)]
    pub identity: Option<StepIdentitySpec>,
    /// What undoes this step if a later one fails. Sent at least once, so it must bear repeating.
    #[serde(default)]
    pub compensate: Option<RequestSpec>,
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequestSpec {
    /// Name of a `Service`. One of `service` and `upstream`.
    #[serde(default)]
    pub service: Option<String>,
    /// Name of an `Upstream`.
    #[serde(default)]
    pub upstream: Option<String>,
    #[serde(default = "get")]
    pub method: String,
    /// Values are encoded and stay within their segment.
    pub path: String,
    /// A list gives a parameter several times, null leaves it out.
    #[serde(default)]
    pub query: BTreeMap<String, Value>,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// JSON, with templates as its texts.
    #[serde(default)]
    pub body: Option<Value>,
    /// Sent as `Idempotency-Key`: the receiver acts once on what it gets twice.
    #[serde(default)]
    pub idempotency_key: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AnswerSpec {
    #[serde(default = "ok")]
    pub status: u16,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// JSON, with templates as its texts. One of `body`, `text` and `merge`, or none of them.
    #[serde(default)]
    pub body: Option<Value>,
    #[serde(default)]
    pub text: Option<String>,
    #[serde(default)]
    pub merge: Option<MergeSpec>,
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CaseSpec {
    /// An expression.
    pub when: String,
    pub answer: AnswerSpec,
}

/// Several objects made one, or several lists one behind the other.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MergeSpec {
    /// Expressions; null is passed over.
    pub of: Vec<String>,
    #[serde(default)]
    pub conflict: Conflict,
    /// Objects under the same key are merged in turn.
    #[serde(default)]
    pub deep: bool,
}

/// What becomes of a key that two of them have with different values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Conflict {
    /// There is no answer.
    #[default]
    Fail,
    First,
    Last,
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PartialSpec {
    /// Of an answer in which an optional part is missing.
    pub status: Option<u16>,
    /// When the answer tells of its parts.
    pub report: ReportWhen,
    /// The member of the body that does. The header `Cardea-Parts` does unless `report` is `never`.
    pub member: String,
}

impl Default for PartialSpec {
    fn default() -> Self {
        Self { status: None, report: ReportWhen::default(), member: "parts".to_owned() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ReportWhen {
    Always,
    #[default]
    Partial,
    Never,
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenEndpointSpec {
    /// RFC 6749 §3.2.
    pub url: HttpUrl,
    /// `client_id` at that endpoint.
    #[serde(rename = "as")]
    pub client_id: String,
    pub secret: SecretRef,
}

/// Who a step is for its receiver: `forward`, `none`, `exchange: {…}` or `clientCredentials: {…}`.
#[derive(Debug, Clone, PartialEq)]
pub enum StepIdentitySpec {
    /// The caller's inner JWT, as it is.
    Forward,
    None,
    /// A token for fewer rights in exchange for the caller's (RFC 8693).
    Exchange(TokenRequestSpec),
    /// The gateway itself (RFC 6749 §4.4).
    ClientCredentials(TokenRequestSpec),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenRequestSpec {
    /// One of `tokens`; may be left out if there is just one.
    #[serde(default)]
    pub from: Option<String>,
    #[serde(default)]
    pub audience: Option<String>,
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Of `exchange`: what is asked for. Default: `jwt`, as services behind a gateway take it.
    #[serde(default, rename = "type")]
    pub kind: Option<TokenKind>,
}

/// RFC 8693 §3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TokenKind {
    Jwt,
    /// In the form that the token endpoint gives its access tokens; with Cardea's own one that has to be introspected.
    AccessToken,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Obtained {
    #[serde(default)]
    exchange: Option<TokenRequestSpec>,
    #[serde(default)]
    client_credentials: Option<TokenRequestSpec>,
}

impl<'de> Deserialize<'de> for StepIdentitySpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IdentityVisitor)
    }
}

struct IdentityVisitor;

impl<'de> Visitor<'de> for IdentityVisitor {
    type Value = StepIdentitySpec;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`forward`, `none`, or a map with `exchange` or `clientCredentials`")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<StepIdentitySpec, E> {
        match text {
            "forward" => Ok(StepIdentitySpec::Forward),
            "none" => Ok(StepIdentitySpec::None),
            _ => Err(E::custom(format!(
                "`{text}` is not `forward`, `none`, or a map with `exchange` or `clientCredentials`"
            ))),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<StepIdentitySpec, A::Error> {
        use serde::de::Error as _;
        match Obtained::deserialize(MapAccessDeserializer::new(map))? {
            Obtained { exchange: Some(request), client_credentials: None } => Ok(StepIdentitySpec::Exchange(request)),
            Obtained { exchange: None, client_credentials: Some(request) } => {
                Ok(StepIdentitySpec::ClientCredentials(request))
            }
            _ => Err(A::Error::custom("exactly one of `exchange` and `clientCredentials` is needed")),
        }
    }
}

impl JsonSchema for StepIdentitySpec {
    fn schema_name() -> Cow<'static, str> {
        "StepIdentity".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let obtained = generator.subschema_for::<Obtained>();
        json_schema!({"anyOf": [{"enum": ["forward", "none"]}, obtained]})
    }
}

fn deadline() -> Span {
    Span::from_secs(10)
}

fn concurrency() -> u32 {
    8
}

fn max_answer() -> Size {
    Size(8 << 20)
}

fn max_body() -> Size {
    Size(1 << 20)
}

fn yes() -> bool {
    true
}

fn ok() -> u16 {
    200
}

fn get() -> String {
    "GET".to_owned()
}
