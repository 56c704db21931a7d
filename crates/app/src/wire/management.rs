//! The management system of a process.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use base::Secret;
use base::egress::EgressPeer;
use base::peer::SharedPeer;
use base::time::SharedClock;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use management::{
    Config, EntitlementPeer, GatewayCaller, Invoices, Management, Push, Registration, SharedManagement, Usage,
};
use tokio_util::sync::CancellationToken;

use super::database;
use crate::config;
use crate::config::management::Issue;
use crate::exit::usage;
use crate::ops::health::{Check, State};
use crate::roles::Role;

/// Who guesses one reads what is published and writes into the ledger; kept as one hash, so it must be long.
pub const GATEWAY_TOKEN_BYTES: usize = 32;

/// As Standard Webhooks asks for.
const PUSH_KEY_BYTES: usize = 24;

/// The settings with all secrets read.
pub fn management_config(given: &config::Management, data: &Path, peer: SharedPeer) -> anyhow::Result<Config> {
    let registration = match &given.registration.initial_access_token {
        Some(token) => Registration::InitialAccessToken(token.read_text()?),
        None => Registration::ClientCredentials,
    };
    Ok(Config {
        url: given.url.clone(),
        site: given.site.clone(),
        database: database(&given.database, Role::Management, data)?,
        master_key: given.master_key.read()?,
        issuer: given.issuer.clone(),
        client_id: given.client_id.clone(),
        client_secret: given.client_secret.read_text()?,
        registration,
        gateways: callers(&given.gateways)?,
        gateway_issuer: given.gateway_issuer.clone(),
        gateway_url: given.gateway_url.clone(),
        usage: usage_config(&given.usage)?,
        invoices: invoices(&given.invoices),
        entitlement: given.entitlement.as_ref().map(entitlement_peer).transpose()?,
        trusted_proxies: given.trusted_proxies.clone(),
        templates: given.templates.clone(),
        peer,
    })
}

/// A page that takes longer than this is no page any more.
const PAGE_WAITS: Duration = Duration::from_secs(5);

fn entitlement_peer(given: &config::management::EntitlementPeer) -> anyhow::Result<EntitlementPeer> {
    let timeout = given.timeout.map_or(PAGE_WAITS, |span| span.0);
    Ok(EntitlementPeer { url: given.url.clone(), secret: given.secret.read_text()?, timeout })
}

fn usage_config(given: &config::management::Usage) -> anyhow::Result<Usage> {
    let push = given.push.as_ref().map(push).transpose()?;
    Ok(Usage { kept_days: given.keep_days, push })
}

fn invoices(given: &config::management::Invoices) -> Invoices {
    let after = given.after.map_or(Invoices::default().after, |span| Some(span.0));
    Invoices { after: after.filter(|_| given.issue == Issue::Automatic) }
}

fn push(given: &config::management::Push) -> anyhow::Result<Push> {
    let mut keys = vec![push_key("secret", &given.secret)?];
    keys.extend(given.previous_secret.as_ref().map(|secret| push_key("previousSecret", secret)).transpose()?);
    Ok(Push { url: given.url.clone(), keys, peer: EgressPeer::shared(super::reach(given.outgoing)) })
}

fn push_key(name: &str, given: &config::Reference) -> anyhow::Result<Secret<Vec<u8>>> {
    let secret = given.read_text()?;
    let encoded = secret.expose().trim();
    let encoded = encoded.strip_prefix("whsec_").unwrap_or(encoded);
    let key = STANDARD.decode(encoded).ok().filter(|key| key.len() >= PUSH_KEY_BYTES).ok_or_else(|| {
        let what =
            format!("`management.usage.push.{name}` is not `whsec_` and at least {PUSH_KEY_BYTES} bytes in base64");
        usage(what).hint("make it: echo whsec_$(openssl rand -base64 32)")
    })?;
    Ok(Secret::new(key))
}

fn callers(given: &[config::management::GatewayCaller]) -> anyhow::Result<Vec<GatewayCaller>> {
    let mut callers: Vec<GatewayCaller> = Vec::new();
    for one in given {
        let token = one.token.read_text()?;
        let length = token.expose().len();
        if length < GATEWAY_TOKEN_BYTES {
            let what =
                format!("the token of the gateway `{}` has {length} bytes; it needs {GATEWAY_TOKEN_BYTES}", one.name);
            return Err(usage(what).hint("make it: openssl rand -base64 48").into());
        }
        let caller = GatewayCaller::new(&one.name, &token);
        if let Some(other) = callers.iter().find(|other| other.token_hash == caller.token_hash) {
            let what = format!("the gateways `{}` and `{}` have the same token", other.name, caller.name);
            return Err(usage(what).hint("each gateway has its own").into());
        }
        callers.push(caller);
    }
    Ok(callers)
}

/// Opens the management system: its database at its newest schema.
pub async fn open_management(config: Config, clock: &SharedClock) -> anyhow::Result<SharedManagement> {
    Management::open(config, clock.clone()).await.context("the management system cannot start")
}

/// Does what waits to be done, and what recurs by the clock.
pub async fn tend_management(management: SharedManagement, stop: CancellationToken) {
    let mut minute = tokio::time::interval(Duration::from_secs(60));
    minute.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let working = management.clone().work();
    tokio::pin!(working);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = &mut working => return,
            _ = minute.tick() => {}
        }
        if let Err(error) = management.minute().await {
            tracing::error!(cause = %error, "housekeeping of the management system failed; it is tried again in a minute");
        }
    }
}

pub async fn check(management: &SharedManagement) -> Check {
    let (state, detail) = match management.db.ping().await {
        Ok(()) => (State::Fine, "answers".to_owned()),
        Err(error) => (State::Down, error.to_string()),
    };
    Check { name: "management: database".to_owned(), state, detail }
}
