//! Settings of the management system, already parsed; the `app` reads files and environment.

use std::path::PathBuf;
use std::time::Duration;

use base::Secret;
use base::peer::SharedPeer;
use ipnet::IpNet;
use jose::hash::sha256;

#[derive(Clone)]
pub struct Config {
    /// The origin of portal, console and interface: scheme, host and port, no slash at the end.
    pub url: String,
    /// The name that people see; the host, if none is given.
    pub site: Option<String>,
    pub database: store::Config,
    /// Everything secret at rest is sealed under it.
    pub master_key: Secret<Vec<u8>>,
    /// The identity system: where people log in and applications are registered.
    pub issuer: String,
    /// Our own client there, for login and introspection.
    pub client_id: String,
    pub client_secret: Secret<String>,
    pub registration: Registration,
    pub gateways: Vec<GatewayCaller>,
    /// Name of the gateways' `Issuer` resource that published routes refer to.
    pub gateway_issuer: String,
    /// How clients call the gateway.
    pub gateway_url: String,
    pub usage: Usage,
    pub invoices: Invoices,
    /// Where policies are kept, for the console's pages of them.
    pub entitlement: Option<EntitlementPeer>,
    pub trusted_proxies: Vec<IpNet>,
    /// A folder whose templates replace the built-in pages.
    pub templates: Option<PathBuf>,
    /// How the identity system and others are reached.
    pub peer: SharedPeer,
}

/// How we show that we may register clients (RFC 7591 §3).
#[derive(Clone)]
pub enum Registration {
    /// A token that the identity system's operator gave us.
    InitialAccessToken(Secret<String>),
    /// A token of scope `client.register` from the token endpoint, with our own client's credentials.
    ClientCredentials,
}

/// What becomes of single calls.
#[derive(Clone)]
pub struct Usage {
    /// For so many days they are kept; sums stay.
    pub kept_days: u32,
    pub push: Option<Push>,
}

/// Where each call is sent to, as batches of CloudEvents with a signature of Standard Webhooks.
#[derive(Clone)]
pub struct Push {
    pub url: String,
    /// The keys of the signatures, the newest first: while one takes another's place, receivers may know either.
    pub keys: Vec<Secret<Vec<u8>>>,
    /// How the receiver is reached; it knows which addresses it may call.
    pub peer: SharedPeer,
}

/// When invoices are issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invoices {
    /// So long after the end of a month by themselves; `None`: only when somebody says so.
    pub after: Option<Duration>,
}

impl Default for Invoices {
    fn default() -> Self {
        Self { after: Some(Duration::from_secs(86_400)) }
    }
}

/// The entitlement system, and how we show that we may read (and publish) its policies.
#[derive(Clone)]
pub struct EntitlementPeer {
    /// Scheme, host and port; no slash at the end.
    pub url: String,
    /// The secret of a caller that it knows.
    pub secret: Secret<String>,
    /// How long a page waits for it.
    pub timeout: Duration,
}

/// A gateway that fetches what is published and reports what was used.
#[derive(Clone)]
pub struct GatewayCaller {
    pub name: String,
    /// SHA-256 of its token, which a machine made.
    pub token_hash: [u8; 32],
}

impl GatewayCaller {
    pub fn new(name: &str, token: &Secret<String>) -> Self {
        Self { name: name.to_owned(), token_hash: sha256(token.expose().as_bytes()) }
    }
}
