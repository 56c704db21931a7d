//! The section `entitlement:`.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Database, Reference, Span};

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Entitlement {
    /// The decision point's identifier (AuthZEN §9.1.1), under which those who ask reach it: scheme, host and port alone.
    pub url: String,
    /// Where the entitlement system listens; TLS in front of it is a proxy's work.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// `sqlite` (a file in the data folder) or PostgreSQL.
    #[serde(default)]
    pub database: Database,
    /// Who may ask what. Administrators come over `ops` with its token.
    pub callers: Vec<Caller>,
    /// A service that knows more about subjects.
    pub source: Option<AttributeSource>,
    #[serde(default)]
    pub log: DecisionLog,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Caller {
    /// Stands in the decision log and in histories.
    pub name: String,
    /// At least 32 bytes, made by a machine.
    pub secret: Reference,
    pub rights: Vec<Right>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Right {
    /// To ask for decisions.
    Evaluate,
    /// To take the whole of the policies and entities, as gateways do, and to report decisions.
    Snapshot,
    /// To read policies, entities and the decision log, to check and explain.
    Read,
    /// To read and change all of it.
    Administer,
}

/// It is asked by `POST` of `{"type": …, "id": …}` and answers `{"attributes": {…}}`, or 404 where it knows nothing.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AttributeSource {
    pub url: String,
    /// The types of subjects it is asked about, such as `User`.
    pub types: Vec<String>,
    /// The bearer token that it asks for.
    pub bearer: Option<Reference>,
    /// How long it may take; 500ms.
    pub timeout: Option<Span>,
    /// How long an answer is believed; 60s.
    pub ttl: Option<Span>,
    /// Answers kept; 10000.
    pub cache: Option<usize>,
    /// What happens to a decision when it does not answer.
    #[serde(default)]
    pub on_failure: OnFailure,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OnFailure {
    /// Nothing is allowed without these attributes.
    #[default]
    Deny,
    /// It is decided without them.
    Ignore,
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DecisionLog {
    /// Decisions waiting to be written; further ones are counted and not written. 10000.
    pub queue: Option<usize>,
    /// How long a decision is kept; 90d.
    pub retention: Option<Span>,
}

impl Entitlement {
    pub(super) fn within(mut self, folder: &Path) -> Self {
        self.database = self.database.within(folder);
        for caller in &mut self.callers {
            caller.secret = caller.secret.clone().within(folder);
        }
        self.source = self.source.map(|mut source| {
            source.bearer = source.bearer.map(|bearer| bearer.within(folder));
            source
        });
        self
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let url = url::Url::parse(&self.url).map_err(|_| "`entitlement.url` is not a URL")?;
        if url.origin().ascii_serialization() != self.url || !matches!(url.scheme(), "http" | "https") {
            return Err("`entitlement.url` is scheme, host and port alone, such as `https://pdp.example.com`".into());
        }
        let mut names = BTreeSet::new();
        for caller in &self.callers {
            if !names.insert(&caller.name) {
                return Err(format!("`entitlement.callers`: two callers have the name `{}`", caller.name));
            }
            if caller.rights.is_empty() {
                return Err(format!("`entitlement.callers`: `{}` has no rights", caller.name));
            }
        }
        if let Some(source) = &self.source {
            let known = url::Url::parse(&source.url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
            if !known {
                return Err("`entitlement.source.url` is not an http or https URL".into());
            }
            if source.types.is_empty() {
                return Err("`entitlement.source.types` names no type, so it would never be asked".into());
            }
        }
        Ok(())
    }
}
