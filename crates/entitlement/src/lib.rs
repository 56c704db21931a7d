//! Entitlement Management System: where an organisation's rules live. Authored and tested (PAP), decided
//! (PDP, AuthZEN Authorization API 1.0), fed with attributes (PIP), and published to those who decide with
//! the same engine in their own process. It knows no other pillar.

pub mod attributes;
mod callers;
pub mod config;
mod cx;
pub mod decisions;
mod error;
pub mod evaluate;
mod json;
mod live;
pub mod metrics;
pub mod policies;
pub mod router;
pub mod snapshot;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use base::time::SharedClock;
use store::{Db, Migration, StoreError};

pub use callers::Operator;
pub use config::{Caller, Config, Right};
pub use cx::Cx;
pub use error::Refused;

/// Forward only; the text of a released one never changes.
pub const MIGRATIONS: &[Migration] =
    &[Migration { version: 1, name: "init", sql: include_str!("../migrations/0001_init.sql") }];

/// The running entitlement system; handlers hold it as `State<SharedEntitlement>`.
pub struct Entitlement {
    pub config: Config,
    pub db: Db,
    pub clock: SharedClock,
    pub metrics: metrics::Metrics,
    pub(crate) live: live::LiveEngine,
    pub(crate) log: decisions::DecisionLog,
    pub(crate) source: Option<attributes::HttpAttributes>,
}

pub type SharedEntitlement = Arc<Entitlement>;

impl Entitlement {
    /// Opens and migrates the database, and compiles the policies in force.
    pub async fn open(config: Config, clock: SharedClock) -> Result<SharedEntitlement, Refused> {
        let db = Db::open(&config.database, MIGRATIONS).await?;
        Self::with_db(config, clock, db).await
    }

    /// As [`Entitlement::open`], on a database that is open already.
    pub async fn with_db(config: Config, clock: SharedClock, db: Db) -> Result<SharedEntitlement, Refused> {
        let metrics = metrics::Metrics::default();
        let entitlement = Arc::new(Self {
            live: live::LiveEngine::new(&db),
            log: decisions::DecisionLog::new(config.log.queue, metrics.clone()),
            source: config.source.clone().map(|source| attributes::HttpAttributes::new(source, clock.clone())),
            metrics,
            config,
            db,
            clock,
        });
        entitlement.live.get(&entitlement).await?;
        Ok(entitlement)
    }

    /// The version of the policies in force; 0 where none is published.
    pub async fn in_force(self: &Arc<Self>) -> Result<i64, Refused> {
        Ok(self.live.get(self).await?.version)
    }

    /// Writes the decision log until the process ends; the program starts it once, beside the listeners.
    pub async fn write_decisions(self: Arc<Self>) {
        decisions::run(&self).await;
    }

    /// What has to be done each minute: decisions whose time is over leave.
    pub async fn minute(self: &Arc<Self>) -> Result<(), StoreError> {
        decisions::sweep(self).await
    }
}
