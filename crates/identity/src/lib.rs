//! Identity Management System: authentication, OAuth 2.0 and OpenID Connect token service, consent,
//! introspection, revocation and its feed, audit. It is the only master of clients and users and
//! knows no other pillar.

pub mod account_pages;
pub mod accounts;
pub mod admin;
pub mod applied;
pub mod audit;
pub mod authorize;
pub mod claims;
pub mod clients;
pub mod codes;
pub mod config;
pub mod consent;
mod cors;
pub mod cx;
pub mod discovery;
pub mod error;
pub mod events;
pub mod grants;
pub mod handles;
pub mod housekeeping;
pub mod introspect;
pub mod keys;
pub mod login;
pub mod logout;
pub mod metrics;
mod pages;
pub mod policy;
pub mod register;
pub mod revoke;
pub mod router;
pub mod scopes;
pub mod sessions;
pub mod token;
pub mod userinfo;
mod watched;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use base::time::SharedClock;
use jose::seal::SealingKey;
use store::{Db, Migration, StoreError};

pub use config::Config;
pub use cx::Cx;

/// Forward only; the text of a released one never changes.
pub const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "init", sql: include_str!("../migrations/0001_init.sql") },
    Migration { version: 2, name: "registration", sql: include_str!("../migrations/0002_registration.sql") },
    Migration { version: 3, name: "exchange", sql: include_str!("../migrations/0003_exchange.sql") },
    Migration { version: 4, name: "network", sql: include_str!("../migrations/0004_network.sql") },
    Migration { version: 5, name: "on behalf of", sql: include_str!("../migrations/0005_on_behalf_of.sql") },
    Migration { version: 6, name: "exchanged from", sql: include_str!("../migrations/0006_exchanged_from.sql") },
];

/// The running identity system; handlers hold it as `State<Arc<Identity>>`.
pub struct Identity {
    pub config: Config,
    pub db: Db,
    pub clock: SharedClock,
    /// Root of all keys derived from the master key: `seal.derive("…")`, `seal.mac("…")`.
    pub seal: SealingKey,
    pub(crate) key_seal: SealingKey,
    pub handles: handles::Handles,
    pub(crate) hashes: handles::Hashes,
    pub(crate) sets: handles::Sets,
    pub(crate) keys: keys::KeyRing,
    pub(crate) scoping: scopes::Scoping,
    pub(crate) published_keys: clients::PublishedKeys,
    pub metrics: metrics::Metrics,
    pub kit: web::Kit,
    pub passwords: accounts::Passwords,
}

pub type SharedIdentity = Arc<Identity>;

/// Why the identity system cannot start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("database: {0}")]
    Store(#[from] StoreError),
    #[error("master key: {0}")]
    MasterKey(jose::JoseError),
    #[error("signing keys: {0}")]
    Keys(#[from] keys::KeyError),
    #[error(transparent)]
    Passwords(#[from] accounts::passwords::BadPasswordSettings),
    #[error(transparent)]
    Templates(#[from] web::KitError),
}

impl Identity {
    /// Opens and migrates the database, and makes the signing keys if there are none.
    pub async fn open(config: Config, clock: SharedClock) -> Result<SharedIdentity, OpenError> {
        let db = Db::open(&config.database, MIGRATIONS).await?;
        Self::with_db(config, clock, db).await
    }

    /// As [`Identity::open`], on a database that is open already.
    pub async fn with_db(config: Config, clock: SharedClock, db: Db) -> Result<SharedIdentity, OpenError> {
        let seal = SealingKey::new(&config.master_key).map_err(OpenError::MasterKey)?;
        let identity = Arc::new(Self {
            key_seal: seal.derive("keys"),
            handles: handles::Handles::new(&seal),
            hashes: handles::Hashes::new(&seal),
            sets: handles::Sets::default(),
            keys: keys::KeyRing::new(&db),
            scoping: scopes::Scoping::new(&db),
            published_keys: clients::PublishedKeys::default(),
            metrics: metrics::Metrics::default(),
            kit: pages::kit(&config, &seal)?,
            passwords: accounts::Passwords::start(config.passwords)?,
            config,
            db,
            clock,
            seal,
        });
        let mut cx = Cx::system(&identity);
        keys::tick(&mut cx).await?;
        cx.commit().await?;
        // A wrong master key shows here, before anything is served.
        keys::ring(&identity).await?;
        Ok(identity)
    }

    /// What has to be done each minute: keys by schedule, checkpoints, and rows whose time is over.
    pub async fn minute(self: &Arc<Self>) -> Result<(), OpenError> {
        self.keys.forget();
        self.scoping.forget();
        let mut cx = Cx::system(self);
        keys::tick(&mut cx).await?;
        cx.commit().await?;
        let mut cx = Cx::system(self);
        audit::checkpoint(&mut cx).await?;
        cx.commit().await?;
        housekeeping::sweep(self).await?;
        Ok(())
    }
}
