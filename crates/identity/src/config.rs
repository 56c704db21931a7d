//! Settings of the identity system, already parsed; the `app` reads files and environment.

use std::path::PathBuf;
use std::time::Duration;

use base::Secret;
use base::egress::{EgressPeer, Reach};
use base::peer::SharedPeer;
use ipnet::IpNet;
use jose::Algorithm;
use url::Url;

use crate::register::{Policy, StatementIssuer};

#[derive(Debug, Clone)]
pub struct Config {
    /// The issuer identifier, exactly as it stands in tokens: no trailing slash, no query, no fragment.
    pub issuer: String,
    pub database: store::Config,
    /// At least 32 bytes; everything sealed or keyed-hashed at rest is derived from it.
    pub master_key: Secret<Vec<u8>>,
    /// Name of this node in audit chains.
    pub node: String,
    pub lifetimes: Lifetimes,
    pub keys: KeySchedule,
    pub passwords: Passwords,
    pub budgets: Budgets,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Folder whose templates replace the built-in ones.
    pub templates: Option<PathBuf>,
    /// Anybody may register clients of this kind, without a token. Off unless it is given.
    pub open_registration: Option<Policy>,
    /// Whose software statements are taken (RFC 7591 §2.3); nobody's, unless it is given.
    pub statement_issuers: Vec<StatementIssuer>,
    /// A policy decision point that is asked before anything is issued.
    pub policy: Option<PolicyPoint>,
    pub peers: Peers,
}

/// AuthZEN Authorization API 1.0.
#[derive(Debug, Clone)]
pub struct PolicyPoint {
    /// Its base, without a slash at the end.
    pub url: String,
    pub secret: Secret<String>,
    pub timeout: Duration,
    pub mode: PolicyMode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PolicyMode {
    /// What it denies is not issued, nor is anything when it gives no answer.
    #[default]
    Enforce,
    /// It is asked, and what it would have done is logged and counted.
    Shadow,
}

/// Whom this system asks itself.
#[derive(Clone)]
pub struct Peers {
    /// For addresses that clients have registered.
    pub egress: SharedPeer,
    /// For the policy decision point.
    pub policy: SharedPeer,
}

impl Peers {
    pub fn new(reach: Reach, policy: SharedPeer) -> Self {
        Self { egress: EgressPeer::shared(reach), policy }
    }
}

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Peers")
    }
}

impl Config {
    /// Cookies are `Secure` and prefixed `__Host-` unless the issuer is plain HTTP, which only development uses.
    pub fn is_https(&self) -> bool {
        self.issuer.starts_with("https://")
    }

    /// The issuer's origin, to compare with `Origin` and `Sec-Fetch-Site`.
    pub fn origin(&self) -> String {
        Url::parse(&self.issuer).map(|url| url.origin().ascii_serialization()).unwrap_or_default()
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Lifetimes {
    pub code: Duration,
    pub access_token: Duration,
    /// Of the JWT that introspection hands out.
    pub inner_token: Duration,
    pub id_token: Duration,
    /// A grant lives this long at most, refreshed or not.
    pub grant: Duration,
    /// A refresh token not used for this long is dead.
    pub refresh_idle: Duration,
    /// How long a repeated refresh request gets the same successor.
    pub refresh_replay: Duration,
    pub session: Duration,
    pub session_idle: Duration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self {
            code: Duration::from_secs(60),
            access_token: Duration::from_secs(15 * 60),
            inner_token: Duration::from_secs(5 * 60),
            id_token: Duration::from_secs(10 * 60),
            grant: Duration::from_secs(90 * 24 * 3600),
            refresh_idle: Duration::from_secs(30 * 24 * 3600),
            refresh_replay: Duration::from_secs(10),
            session: Duration::from_secs(12 * 3600),
            session_idle: Duration::from_secs(2 * 3600),
        }
    }
}

/// Announced keys stand in the JWKS before they sign; retired ones stay until nothing they signed is alive.
#[derive(Debug, Clone)]
pub struct KeySchedule {
    pub algorithms: Vec<Algorithm>,
    pub announce: Duration,
    pub active: Duration,
    pub retire: Duration,
}

impl Default for KeySchedule {
    fn default() -> Self {
        Self {
            algorithms: vec![Algorithm::Es256, Algorithm::Rs256],
            announce: Duration::from_secs(24 * 3600),
            active: Duration::from_secs(30 * 24 * 3600),
            retire: Duration::from_secs(24 * 3600),
        }
    }
}

/// argon2id (RFC 9106) and its queue.
#[derive(Debug, Clone, Copy)]
pub struct Passwords {
    pub memory_kib: u32,
    pub passes: u32,
    pub lanes: u32,
    /// Hashes computed at once.
    pub workers: usize,
    /// Hashes waiting; more are answered 503.
    pub queue: usize,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { memory_kib: 19 * 1024, passes: 2, lanes: 1, workers: 1, queue: 64 }
    }
}

/// Failed logins allowed in a window.
#[derive(Debug, Clone, Copy)]
pub struct Budgets {
    pub window: Duration,
    pub per_account: u32,
    pub per_network: u32,
    pub per_known_device: u32,
}

impl Default for Budgets {
    fn default() -> Self {
        Self { window: Duration::from_secs(15 * 60), per_account: 10, per_network: 100, per_known_device: 10 }
    }
}
