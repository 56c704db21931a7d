//! API Management Service: which APIs there are, who may use them on which plan, how much they are used and
//! what that costs. Portal, console and administration interface stand on the same functions.
//!
//! It is a slave of the identity system, by standards only: people log in by OpenID Connect, applications are
//! registered there (RFC 7591) and stay there. Gateways fetch what is published and send what was used.

pub mod actor;
mod admin;
pub mod applications;
pub mod audit;
pub mod billing;
pub mod config;
pub mod console;
mod cx;
mod error;
pub mod issuer;
pub mod metrics;
mod pages;
pub mod people;
pub mod plans;
mod policies;
pub mod portal;
pub mod publish;
pub mod quotas;
pub mod registry;
pub mod router;
pub mod session;
pub mod subscriptions;
pub mod usage;

mod throttle;
mod views;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use base::time::SharedClock;
use jose::seal::SealingKey;
use store::{Db, Migration, StoreError};

pub use actor::{Actor, Operator};
pub use config::{Config, EntitlementPeer, GatewayCaller, Invoices, Push, Registration, Usage};
pub use cx::Cx;
pub use error::Refused;

/// Forward only; the text of a released one never changes.
pub const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "core", sql: include_str!("../migrations/0001_core.sql") },
    Migration { version: 10, name: "registry", sql: include_str!("../migrations/0010_registry.sql") },
    Migration { version: 20, name: "plans", sql: include_str!("../migrations/0020_plans.sql") },
    Migration { version: 21, name: "usage", sql: include_str!("../migrations/0021_usage.sql") },
    Migration { version: 22, name: "billing", sql: include_str!("../migrations/0022_billing.sql") },
    Migration { version: 23, name: "pushes", sql: include_str!("../migrations/0023_pushes.sql") },
    Migration { version: 30, name: "people", sql: include_str!("../migrations/0030_people.sql") },
    Migration { version: 31, name: "applications", sql: include_str!("../migrations/0031_applications.sql") },
    Migration { version: 40, name: "session", sql: include_str!("../migrations/0040_session.sql") },
    Migration { version: 41, name: "try it", sql: include_str!("../migrations/0041_try_it.sql") },
    Migration { version: 42, name: "ways", sql: include_str!("../migrations/0042_ways.sql") },
    Migration { version: 50, name: "suspended", sql: include_str!("../migrations/0050_suspended.sql") },
    Migration { version: 60, name: "push state", sql: include_str!("../migrations/0060_push_state.sql") },
    Migration { version: 61, name: "billing periods", sql: include_str!("../migrations/0061_billing_periods.sql") },
    Migration { version: 70, name: "sid", sql: include_str!("../migrations/0070_sid.sql") },
];

/// The organisation that publishes APIs.
pub const PROVIDER: &str = "provider";

/// The running management system; handlers hold it as `State<SharedManagement>`.
pub struct Management {
    pub config: Config,
    pub db: Db,
    pub clock: SharedClock,
    pub metrics: metrics::Metrics,
    pub kit: web::Kit,
    /// The identity system: its metadata and keys.
    pub issuer: issuer::Issuer,
    pub registrar: applications::Registrar,
    /// Whose usage it is.
    pub owners: usage::Owners,
    /// Root of all keys derived from the master key: `seal.derive("…")`, `seal.mac("…")`.
    pub seal: SealingKey,
    pub(crate) tokens: admin::Tokens,
    pub(crate) publications: publish::Publications,
    pub(crate) throttle: throttle::Throttle,
    /// Of tokens to try with.
    pub(crate) lent: throttle::Throttle,
}

pub type SharedManagement = Arc<Management>;

impl Management {
    /// Opens and migrates the database.
    pub async fn open(config: Config, clock: SharedClock) -> Result<SharedManagement, Refused> {
        let db = Db::open(&config.database, MIGRATIONS).await?;
        Self::with_db(config, clock, db).await
    }

    /// As [`Management::open`], on a database that is open already.
    pub async fn with_db(config: Config, clock: SharedClock, db: Db) -> Result<SharedManagement, Refused> {
        let seal = SealingKey::new(&config.master_key).map_err(|error| Refused::Broken(error.to_string()))?;
        let kit = kit(&config, &seal).map_err(|error| Refused::Broken(error.to_string()))?;
        Ok(Arc::new(Self {
            metrics: metrics::Metrics::default(),
            kit,
            issuer: issuer::Issuer::default(),
            registrar: applications::Registrar::default(),
            owners: usage::Owners::default(),
            tokens: admin::Tokens::new(seal.mac("tokens")),
            publications: publish::Publications::default(),
            throttle: throttle::Throttle::default(),
            lent: throttle::Throttle::default(),
            seal,
            config,
            db,
            clock,
        }))
    }

    /// What goes on beside the listeners until the process ends: registrations that wait, exports.
    pub async fn work(self: Arc<Self>) {
        tokio::join!(
            usage::push::run(&self),
            applications::work(self.clone()),
            Box::pin(session::follow(self.clone()))
        );
    }

    /// What has to be done each minute.
    pub async fn minute(self: &Arc<Self>) -> Result<(), StoreError> {
        let mut cx = Cx::system(self);
        session::purge(&mut cx).await?;
        people::sweep(&mut cx).await?;
        admin::sweep(&mut cx).await?;
        cx.commit().await?;
        applications::sweep(self).await?;
        let changed = subscriptions::apply_due(&Cx::system(self)).await.map(drop);
        told(changed)?;
        told(billing::close_due(self).await.map(drop))?;
        told(usage::sweep(self, self.config.usage.kept_days).await.map(drop))
    }
}

/// What is no fault of the database is told, and other work goes on.
fn told(result: Result<(), Refused>) -> Result<(), StoreError> {
    match result {
        Ok(()) => Ok(()),
        Err(Refused::Store(error)) => Err(error),
        Err(why) => {
            tracing::error!(%why, "work that recurs was not done");
            Ok(())
        }
    }
}

fn kit(config: &Config, seal: &SealingKey) -> Result<web::Kit, web::KitError> {
    let mac = seal.mac("web");
    let url = config.url.as_str();
    let site = url.split("://").nth(1).unwrap_or(url);
    web::Kit::new(web::Settings {
        origin: url.to_owned(),
        base_path: String::new(),
        site: config.site.clone().unwrap_or_else(|| site.to_owned()),
        secure: url.starts_with("https://"),
        overrides: config.templates.clone(),
        mac: Box::new(move |data| mac.tag(data)),
    })
}
