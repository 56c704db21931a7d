//! The entitlement system of a process.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use base::peer::HttpPeer;
use base::time::SharedClock;
use entitlement::config::{Caller, Config, HttpSource, LogSettings, OnFailure, Right};
use entitlement::{Entitlement, SharedEntitlement};
use tokio_util::sync::CancellationToken;

use super::database;
use crate::config;
use crate::config::entitlement as section;
use crate::exit::usage;
use crate::ops::health::{Check, State};
use crate::roles::Role;

/// Secrets of callers are kept as one hash: they must not be guessable.
pub const CALLER_SECRET_BYTES: usize = 32;

/// The settings with all secrets read.
pub fn entitlement_config(given: &config::Entitlement, data: &Path) -> anyhow::Result<Config> {
    let mut callers: Vec<Caller> = Vec::new();
    for one in &given.callers {
        let secret = one.secret.read_text()?;
        let length = secret.expose().len();
        if length < CALLER_SECRET_BYTES {
            let what =
                format!("the secret of the caller `{}` has {length} bytes; it needs {CALLER_SECRET_BYTES}", one.name);
            return Err(usage(what).hint("make it: openssl rand -base64 48").into());
        }
        let rights: Vec<Right> = one.rights.iter().map(|right| right_of(*right)).collect();
        let caller = Caller::new(&one.name, &secret, &rights);
        if let Some(other) = callers.iter().find(|other| other.secret_hash == caller.secret_hash) {
            let what = format!("the callers `{}` and `{}` have the same secret", other.name, caller.name);
            return Err(usage(what).hint("each caller has its own").into());
        }
        callers.push(caller);
    }
    let mut log = LogSettings::default();
    log.queue = given.log.queue.unwrap_or(log.queue);
    log.retention = given.log.retention.map_or(log.retention, |span| span.0);
    Ok(Config {
        database: database(&given.database, Role::Entitlement, data)?,
        url: given.url.clone(),
        callers,
        source: given.source.as_ref().map(source).transpose()?,
        log,
    })
}

fn right_of(right: section::Right) -> Right {
    match right {
        section::Right::Evaluate => Right::Evaluate,
        section::Right::Snapshot => Right::Snapshot,
        section::Right::Read => Right::Read,
        section::Right::Administer => Right::Administer,
    }
}

fn source(given: &section::AttributeSource) -> anyhow::Result<HttpSource> {
    Ok(HttpSource {
        url: given.url.clone(),
        types: given.types.clone(),
        bearer: given.bearer.as_ref().map(config::Reference::read_text).transpose()?,
        time_out: given.timeout.map_or(Duration::from_millis(500), |span| span.0),
        fresh: given.ttl.map_or(Duration::from_secs(60), |span| span.0),
        cache: given.cache.unwrap_or(10_000),
        on_failure: match given.on_failure {
            section::OnFailure::Deny => OnFailure::Deny,
            section::OnFailure::Ignore => OnFailure::Ignore,
        },
        peer: HttpPeer::shared(),
    })
}

/// Opens the entitlement system: database at its newest schema, policies in force compiled.
pub async fn open_entitlement(config: Config, clock: &SharedClock) -> anyhow::Result<SharedEntitlement> {
    Entitlement::open(config, clock.clone()).await.context("the entitlement system cannot start")
}

/// Writes the decision log as decisions come, and lets old ones leave each minute.
pub async fn tend_entitlement(entitlement: SharedEntitlement, stop: CancellationToken) {
    let mut minute = tokio::time::interval(Duration::from_secs(60));
    minute.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // On the heap, so that it can be ended before the rest is written: it holds the queue.
    let mut writing = Box::pin(entitlement.clone().write_decisions());
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = writing.as_mut() => break,
            _ = minute.tick() => {}
        }
        if let Err(error) = entitlement.minute().await {
            tracing::error!(cause = %error, "housekeeping of the entitlement system failed; it is tried again in a minute");
        }
    }
    drop(writing);
    // What was decided in the last moment.
    if let Err(error) = entitlement::decisions::flush(&entitlement).await {
        tracing::error!(cause = %error, "the last decisions could not be written");
    }
}

pub async fn checks(entitlement: &SharedEntitlement) -> Vec<Check> {
    let check = |name: &str, state, detail| Check { name: format!("entitlement: {name}"), state, detail };
    let database = match entitlement.db.ping().await {
        Ok(()) => check("database", State::Fine, "answers".to_owned()),
        Err(error) => check("database", State::Down, error.to_string()),
    };
    let policies = match entitlement.in_force().await {
        Ok(0) => check("policies", State::Degraded, "none are published; every question is denied".to_owned()),
        Ok(version) => check("policies", State::Fine, format!("version {version}")),
        Err(error) => check("policies", State::Down, error.to_string()),
    };
    vec![database, policies]
}
