//! `cardea.yaml`: what is fixed while the process runs (addresses, databases, issuer, keys, roles).
//! Everything that customers create is a resource and does not stand here.

pub mod entitlement;
mod fault;
pub mod management;
mod metering;
mod registration;
mod words;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;

pub use self::entitlement::Entitlement;
pub use self::management::Management;
pub use catalog::Span;
pub use fault::Fault;
pub use metering::{ManagementPeer, OnFailure, Usage};
pub use registration::{IssuePolicy, IssuePolicyMode, OpenRegistration, Outgoing, Registration, SoftwareStatements};
pub use words::Reference;

use crate::exit::usage;
use crate::roles::{self, Role};

/// The whole file. Paths are seen from the folder of the file.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(title = "cardea.yaml")]
pub struct File {
    /// The folder for databases in files and for the last good configuration of the gateway.
    #[serde(default = "default_data")]
    pub data: PathBuf,
    /// What this process runs, unless `serve --roles` says otherwise; without it the roles that have a section here.
    #[serde(default)]
    pub roles: Vec<Role>,
    /// The identity system; needed with the role `identity`.
    pub identity: Option<Identity>,
    /// The entitlement system; needed with the role `entitlement`.
    pub entitlement: Option<Entitlement>,
    /// The management system with portal and console; needed with the role `management`.
    pub management: Option<Management>,
    /// The gateway; needed with the role `gateway`.
    pub gateway: Option<Gateway>,
    /// Health, metrics and administration.
    pub ops: Ops,
}

fn default_data() -> PathBuf {
    "./.cardea".into()
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Identity {
    /// The issuer identifier, exactly as it stands in tokens: no trailing slash, no query, no fragment.
    pub issuer: String,
    /// Where the identity system listens; TLS in front of it is the gateway's or a proxy's work.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// `sqlite` (a file in the data folder) or PostgreSQL.
    #[serde(default)]
    pub database: Database,
    /// At least 32 random bytes as text or not; everything secret at rest is sealed under it.
    pub master_key: Reference,
    /// Name of this node in the audit log; each node has its own. The name of the machine, if it is not given.
    pub node: Option<String>,
    /// Proxies whose `X-Forwarded-For` is believed.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub trusted_proxies: Vec<IpNet>,
    #[serde(default)]
    pub lifetimes: Lifetimes,
    #[serde(default)]
    pub keys: Keys,
    /// A folder whose templates replace the built-in pages.
    pub templates: Option<PathBuf>,
    /// Registration of clients by programs (RFC 7591).
    #[serde(default)]
    pub registration: Registration,
    /// A policy decision point (AuthZEN) that is asked before anything is issued.
    pub policy: Option<IssuePolicy>,
    /// Where it may fetch what clients name (`jwks_uri`).
    #[serde(default)]
    pub outgoing: Outgoing,
}

#[derive(Debug, Clone, Default, JsonSchema)]
#[schemars(untagged, rename_all = "camelCase")]
pub enum Database {
    #[default]
    #[schemars(with = "SqliteWord")]
    Sqlite,
    Postgres(Postgres),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the word `sqlite` in the schema")]
enum SqliteWord {
    Sqlite,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Postgres {
    /// The connection URL, which holds a password.
    pub postgres: Reference,
    /// The schema that holds the tables; it is made if it is missing. The name of the role, if it is not given.
    pub schema: Option<String>,
}

impl Database {
    #[must_use]
    fn within(self, folder: &Path) -> Self {
        match self {
            Self::Sqlite => Self::Sqlite,
            Self::Postgres(Postgres { postgres, schema }) => {
                Self::Postgres(Postgres { postgres: postgres.within(folder), schema })
            }
        }
    }
}

impl<'de> Deserialize<'de> for Database {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Database;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("`sqlite` or `{ postgres: env:NAME, schema: … }`")
            }

            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<Database, E> {
                if word == "sqlite" { Ok(Database::Sqlite) } else { Err(E::unknown_variant(word, &["sqlite"])) }
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Database, A::Error> {
                Postgres::deserialize(MapAccessDeserializer::new(map)).map(Database::Postgres)
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

/// How long things live.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Lifetimes {
    /// Of an authorization code; 60s.
    pub code: Option<Span>,
    /// Of an opaque access token; 15m.
    pub access_token: Option<Span>,
    /// Of the JWT that introspection hands out; 5m.
    pub inner_token: Option<Span>,
    /// Of an ID token; 10m.
    pub id_token: Option<Span>,
    /// A grant lives this long at most, refreshed or not; 90d.
    pub grant: Option<Span>,
    /// A refresh token not used for this long is dead; 30d.
    pub refresh_idle: Option<Span>,
    /// How long a repeated refresh request gets the same successor; 10s.
    pub refresh_replay: Option<Span>,
    /// A login session lives this long at most; 12h.
    pub session: Option<Span>,
    /// A login session not used for this long ends; 2h.
    pub session_idle: Option<Span>,
}

/// The schedule of signing keys.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Keys {
    /// One key of each is kept; the first is the default. `ES256`, `RS256`.
    pub algorithms: Option<Vec<String>>,
    /// A key stands in the JWKS this long before it signs; 24h.
    pub announce: Option<Span>,
    /// A key signs for this long; 30d.
    pub active: Option<Span>,
    /// A key stays in the JWKS this long after it signed last; 24h.
    pub retire: Option<Span>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Gateway {
    /// Where clients connect.
    pub listen: Vec<Listen>,
    /// What clients call it: scheme, host and port, no path.
    pub public_url: String,
    /// The folder of the gateway's resources, watched for changes; without it they come by `cardea apply` alone.
    pub resources: Option<PathBuf>,
    /// Proxies whose `X-Forwarded-*` and `Forwarded` are believed.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub trusted_proxies: Vec<IpNet>,
    #[serde(default)]
    pub limits: Limits,
    /// Threads of the data plane; one per core.
    pub threads: Option<usize>,
    /// Where APIs, plans and subscriptions are published, and usage goes; without it no usage is kept.
    pub management: Option<ManagementPeer>,
    #[serde(default)]
    pub usage: Usage,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Listen {
    /// Address and port.
    #[schemars(with = "String")]
    pub address: SocketAddr,
    /// Without it plain HTTP is spoken.
    pub tls: Option<Tls>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tls {
    /// Chosen by the name that the client asks for; the first one serves the rest. Read again by `cardea reload`.
    pub certificates: Vec<Certificate>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Certificate {
    /// PEM file: the certificate, then those that signed it.
    pub certificate: PathBuf,
    /// The private key, PEM: `file:PATH`.
    pub key: Reference,
}

/// What one client may take of the gateway.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    /// Size of a request's head in bytes; 32768.
    pub head_bytes: Option<usize>,
    /// Connections at once; 20000.
    pub connections: Option<usize>,
    /// Connections at once from one address that is no trusted proxy; 1000.
    pub connections_per_client: Option<usize>,
    /// Time for a request's head to arrive; 10s.
    pub head_time: Option<Span>,
    /// A connection without a request is closed after this; 75s.
    pub idle_time: Option<Span>,
    /// Time for running requests to end when the process stops; 30s.
    pub drain_time: Option<Span>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ops {
    /// Not for the public: a loopback or management network address.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// The bearer token of the administration interface.
    pub admin_token: Reference,
}

impl File {
    pub fn parse(path: &Path, text: &str) -> Result<Self, Fault> {
        let file: Self = serde_saphyr::from_str(text).map_err(|error| Fault::of_yaml(path, &error))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let file = file.within(folder);
        file.check().map_err(|message| Fault { path: path.to_owned(), line: 0, column: 0, message })?;
        Ok(file)
    }

    /// What is to be run: what was asked for, else what the file names, else what it has sections for.
    pub fn roles(&self, asked: &[Role]) -> Vec<Role> {
        let named = if asked.is_empty() { self.roles.as_slice() } else { asked };
        let has = |role: &Role| match role {
            Role::Identity => self.identity.is_some(),
            Role::Entitlement => self.entitlement.is_some(),
            Role::Management => self.management.is_some(),
            Role::Gateway => self.gateway.is_some(),
        };
        let roles = if named.is_empty() { Role::all().into_iter().filter(has).collect() } else { named.to_vec() };
        roles::in_order(&roles)
    }

    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            usage(format!("{}: {error}", path.display())).hint("`cardea schema config` describes the file")
        })?;
        Ok(Self::parse(path, &text).map_err(|fault| usage(fault.to_string()))?)
    }

    fn within(mut self, folder: &Path) -> Self {
        self.data = folder.join(self.data);
        self.ops.admin_token = self.ops.admin_token.within(folder);
        self.identity = self.identity.map(|mut identity| {
            identity.master_key = identity.master_key.within(folder);
            identity.templates = identity.templates.map(|path| folder.join(path));
            identity.policy = identity.policy.map(|policy| policy.within(folder));
            identity.registration = identity.registration.within(folder);
            identity.database = identity.database.within(folder);
            identity
        });
        self.entitlement = self.entitlement.map(|entitlement| entitlement.within(folder));
        self.management = self.management.map(|management| management.within(folder));
        self.gateway = self.gateway.map(|mut gateway| {
            gateway.resources = gateway.resources.map(|path| folder.join(path));
            for certificate in
                gateway.listen.iter_mut().filter_map(|l| l.tls.as_mut()).flat_map(|t| &mut t.certificates)
            {
                certificate.certificate = folder.join(&certificate.certificate);
                certificate.key = certificate.key.clone().within(folder);
            }
            gateway.management = gateway.management.map(|management| management.within(folder));
            gateway
        });
        self
    }

    /// What one key alone cannot say.
    fn check(&self) -> Result<(), String> {
        if let Some(identity) = &self.identity {
            let issuer = url::Url::parse(&identity.issuer).map_err(|_| "`identity.issuer` is not a URL")?;
            let plain = matches!(issuer.scheme(), "http" | "https")
                && issuer.host().is_some()
                && issuer.query().is_none()
                && issuer.fragment().is_none()
                && issuer.username().is_empty()
                && issuer.password().is_none();
            if !plain || identity.issuer.ends_with('/') {
                // OpenID Connect Discovery 1.0 §3: no query or fragment; compared character by character, so no slash either.
                return Err(
                    "`identity.issuer` is an http or https URL without query, fragment or trailing slash".into()
                );
            }
        }
        if let Some(entitlement) = &self.entitlement {
            entitlement.check()?;
        }
        if let Some(management) = &self.management {
            management.check()?;
        }
        if let Some(gateway) = &self.gateway {
            let public = url::Url::parse(&gateway.public_url).map_err(|_| "`gateway.publicUrl` is not a URL")?;
            if !matches!(public.scheme(), "http" | "https") || public.host().is_none() || public.path() != "/" {
                return Err("`gateway.publicUrl` is an http or https URL without a path".into());
            }
            gateway.management.as_ref().map_or(Ok(()), ManagementPeer::check)?;
            gateway.usage.check()?;
            if gateway.listen.is_empty() {
                return Err("`gateway.listen` names no address".into());
            }
        }
        Ok(())
    }
}

/// The published JSON Schema.
pub fn schema() -> serde_json::Value {
    let settings = schemars::generate::SchemaSettings::draft2020_12();
    let schema = settings.into_generator().into_root_schema_for::<File>();
    serde_json::to_value(schema).unwrap_or_default()
}

#[cfg(test)]
mod tests;
