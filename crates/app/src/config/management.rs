//! The section `management:`.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Database, Outgoing, Reference, Span};

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Management {
    /// What people call it: scheme, host and port, no path; portal, console and interface stand below it.
    pub url: String,
    /// Where it listens; TLS in front of it is the gateway's or a proxy's work.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// The name that people see on pages; the host of `url`, if it is not given.
    pub site: Option<String>,
    /// `sqlite` (a file in the data folder) or PostgreSQL.
    #[serde(default)]
    pub database: Database,
    /// At least 32 random bytes as text or not; everything secret at rest is sealed under it.
    pub master_key: Reference,
    /// The issuer identifier of the identity system: people log in and applications are registered there.
    pub issuer: String,
    /// Management's own client at the issuer, for login and introspection.
    pub client_id: String,
    /// The secret of that client.
    pub client_secret: Reference,
    /// How management shows the issuer that it may register clients.
    #[serde(default)]
    pub registration: Registration,
    /// The gateways that fetch what is published and report what was used.
    #[serde(default)]
    pub gateways: Vec<GatewayCaller>,
    /// Name of the gateways' `Issuer` resource that published routes refer to.
    #[serde(default = "default_gateway_issuer")]
    pub gateway_issuer: String,
    /// How clients call the gateway, as the portal shows it: scheme, host and port, no path.
    pub gateway_url: String,
    /// What becomes of single calls.
    #[serde(default)]
    pub usage: Usage,
    /// When invoices are issued.
    #[serde(default)]
    pub invoices: Invoices,
    /// The entitlement system, for the console's pages of policies; without it they say how to set it.
    pub entitlement: Option<EntitlementPeer>,
    /// Proxies whose `X-Forwarded-For` is believed.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub trusted_proxies: Vec<IpNet>,
    /// A folder whose templates replace the built-in pages.
    pub templates: Option<PathBuf>,
}

fn default_gateway_issuer() -> String {
    "main".to_owned()
}

/// One of the two; `clientCredentials` if neither is given.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Registration {
    /// A token that the issuer's operator gave (RFC 7591 §3).
    pub initial_access_token: Option<Reference>,
    /// A token of scope `client.register`, which management's own client gets at the token endpoint.
    pub client_credentials: Option<bool>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Usage {
    /// How many days single calls are kept; sums, and what is paid, stay.
    #[serde(default = "default_keep_days")]
    pub keep_days: u32,
    /// Where each call is sent to besides.
    pub push: Option<Push>,
}

impl Default for Usage {
    fn default() -> Self {
        Self { keep_days: default_keep_days(), push: None }
    }
}

fn default_keep_days() -> u32 {
    90
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Push {
    /// Takes batches of CloudEvents by POST.
    pub url: String,
    /// The secret of the signature, as Standard Webhooks writes it: `whsec_` and base64, at least 24 bytes.
    pub secret: Reference,
    /// The secret before this one: while receivers change over, both sign.
    pub previous_secret: Option<Reference>,
    /// Which addresses the receiver may have.
    #[serde(default)]
    pub outgoing: Outgoing,
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Invoices {
    #[serde(default)]
    pub issue: Issue,
    /// How long after the end of a month (UTC) its invoices are issued; 24h. What comes later is on the next ones.
    pub after: Option<Span>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Issue {
    /// By the clock.
    #[default]
    Automatic,
    /// Only when an administrator says so.
    Manual,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EntitlementPeer {
    /// Its `entitlement.url`: scheme, host and port, no path.
    pub url: String,
    /// The secret of a caller of it with the right `read`, or `administer` to put versions in force by page too.
    pub secret: Reference,
    /// How long a page waits for it; 5s.
    pub timeout: Option<Span>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewayCaller {
    /// How the console and the audit log call it.
    pub name: String,
    /// The token by which it is known, made by a machine: at least 32 bytes.
    pub token: Reference,
}

impl Management {
    pub(super) fn within(mut self, folder: &Path) -> Self {
        self.database = self.database.within(folder);
        self.master_key = self.master_key.within(folder);
        self.client_secret = self.client_secret.within(folder);
        self.registration.initial_access_token =
            self.registration.initial_access_token.map(|token| token.within(folder));
        for gateway in &mut self.gateways {
            gateway.token = gateway.token.clone().within(folder);
        }
        if let Some(push) = &mut self.usage.push {
            push.secret = push.secret.clone().within(folder);
            push.previous_secret = push.previous_secret.take().map(|secret| secret.within(folder));
        }
        self.entitlement = self.entitlement.map(|peer| EntitlementPeer { secret: peer.secret.within(folder), ..peer });
        self.templates = self.templates.map(|path| folder.join(path));
        self
    }

    /// What one key alone cannot say.
    pub(super) fn check(&self) -> Result<(), String> {
        for (key, text) in [("url", &self.url), ("gatewayUrl", &self.gateway_url)] {
            if !is_origin(text) {
                return Err(format!("`management.{key}` is an http or https URL without a path or a slash at the end"));
            }
        }
        if self.entitlement.as_ref().is_some_and(|peer| !is_origin(&peer.url)) {
            return Err(
                "`management.entitlement.url` is an http or https URL without a path or a slash at the end".to_owned()
            );
        }
        let issuer = url::Url::parse(&self.issuer).ok();
        if issuer.is_none_or(|issuer| !matches!(issuer.scheme(), "http" | "https") || issuer.host().is_none()) {
            return Err("`management.issuer` is an http or https URL".to_owned());
        }
        let push = self.usage.push.as_ref().and_then(|push| url::Url::parse(&push.url).ok());
        if self.usage.push.is_some() && push.as_ref().is_none_or(|url| !matches!(url.scheme(), "http" | "https")) {
            return Err("`management.usage.push.url` is an http or https URL".to_owned());
        }
        if self.usage.push.as_ref().is_some_and(|push| push.outgoing == Outgoing::Public)
            && push.is_some_and(|url| url.scheme() != "https")
        {
            let what = "`management.usage.push.url` is plain http: use https, or say `outgoing: anywhere`";
            return Err(what.to_owned());
        }
        if self.usage.keep_days == 0 {
            return Err("`management.usage.keepDays` is at least 1".to_owned());
        }
        let registration = &self.registration;
        if registration.initial_access_token.is_some() && registration.client_credentials == Some(true) {
            return Err("`management.registration` names two ways; keep one".to_owned());
        }
        if registration.initial_access_token.is_none() && registration.client_credentials == Some(false) {
            return Err("`management.registration` names no way: give `initialAccessToken`".to_owned());
        }
        let mut names = BTreeSet::new();
        match self.gateways.iter().find(|gateway| !names.insert(gateway.name.as_str())) {
            Some(twice) => Err(format!("`management.gateways` names `{}` twice", twice.name)),
            None => Ok(()),
        }
    }
}

/// Scheme, host and port alone.
pub(super) fn is_origin(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.host().is_some()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
    }) && !text.ends_with('/')
}
