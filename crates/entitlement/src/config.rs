//! Settings of the entitlement system, already parsed; the `app` reads files and environment.

use std::time::Duration;

use base::Secret;
use base::peer::SharedPeer;
use jose::hash::sha256;

#[derive(Clone)]
pub struct Config {
    pub database: store::Config,
    /// The decision point's identifier (AuthZEN §9.1.1): scheme, host and port alone, without a slash at the end.
    pub url: String,
    /// Who may ask what.
    pub callers: Vec<Caller>,
    pub source: Option<HttpSource>,
    pub log: LogSettings,
}

/// A program or a person with a secret that a machine made; so one hash of it is enough.
#[derive(Debug, Clone)]
pub struct Caller {
    pub name: String,
    /// SHA-256 of the secret.
    pub secret_hash: [u8; 32],
    pub rights: Vec<Right>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Right {
    /// To ask for decisions.
    Evaluate,
    /// To take the whole of the policies and entities, and to report what was decided with them.
    Snapshot,
    /// To read policies, entities and the decision log, to check and to explain.
    Read,
    /// To read and change policies, entities and the decision log.
    Administer,
}

impl Right {
    /// Whether who has this right may do what needs the other.
    pub fn covers(self, needed: Self) -> bool {
        self == needed || (self == Self::Administer && needed == Self::Read)
    }
}

impl Caller {
    pub fn new(name: &str, secret: &Secret<String>, rights: &[Right]) -> Self {
        let secret_hash = sha256(secret.expose().as_bytes());
        Self { name: name.to_owned(), secret_hash, rights: rights.to_vec() }
    }
}

/// A service that knows attributes of subjects. It is asked by `POST` of `{"type": …, "id": …}`, and answers
/// `{"attributes": {…}}`, or 404 where it knows nothing.
#[derive(Clone)]
pub struct HttpSource {
    pub url: String,
    /// The types of subjects it is asked about.
    pub types: Vec<String>,
    pub bearer: Option<Secret<String>>,
    pub time_out: Duration,
    /// How long an answer is believed.
    pub fresh: Duration,
    /// Answers kept.
    pub cache: usize,
    pub on_failure: OnFailure,
    pub peer: SharedPeer,
}

/// What happens to a decision when the source does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    Deny,
    /// The decision is made without these attributes.
    Ignore,
}

#[derive(Debug, Clone, Copy)]
pub struct LogSettings {
    /// Decisions waiting to be written; when it is full, further ones are counted and not written.
    pub queue: usize,
    /// Decisions written in one transaction.
    pub batch: usize,
    pub retention: Duration,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { queue: 10_000, batch: 500, retention: Duration::from_secs(90 * 24 * 3600) }
    }
}
