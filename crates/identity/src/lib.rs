//! Identity Management System: authentication, OAuth 2.0 and OpenID Connect token service, consent,
//! introspection, revocation and its feed, audit. It is the only master of clients and users and
//! knows no other pillar.

pub mod config;
pub mod cx;
pub mod error;

use std::sync::Arc;

use base::time::SharedClock;
use jose::seal::SealingKey;
use store::{Db, Migration};

pub use config::Config;
pub use cx::Cx;

/// Forward only; the text of a released one never changes.
pub const MIGRATIONS: &[Migration] =
    &[Migration { version: 1, name: "init", sql: include_str!("../migrations/0001_init.sql") }];

/// The running identity system; handlers hold it as `State<Arc<Identity>>`.
pub struct Identity {
    pub config: Config,
    pub db: Db,
    pub clock: SharedClock,
    /// Root of all keys derived from the master key: `seal.derive("…")`, `seal.mac("…")`.
    pub seal: SealingKey,
}

pub type SharedIdentity = Arc<Identity>;
