//! Builds the roles of a process and joins them: who asks whom, over which peer.

mod entitlement;
mod management;

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::entitlement::SharedEntitlement;
use ::management::SharedManagement;
use anyhow::Context as _;
use base::egress::Reach;
use base::peer::{HttpPeer, SharedPeer};
use base::time::SharedClock;
use gateway::edge::{self, CertificateFiles, Certificates, EdgeConfig, Listener};
use gateway::{Gateway, GatewayConfig};
use identity::SharedIdentity;
use tokio_util::sync::CancellationToken;

use crate::config::{self, Reference};
use crate::environment;
use crate::exit::usage;
use crate::ops::health::{Check, State};
use crate::peer::RouterPeer;
use crate::roles::Role;

pub use self::entitlement::{CALLER_SECRET_BYTES, entitlement_config, open_entitlement, tend_entitlement};
pub use self::management::{GATEWAY_TOKEN_BYTES, management_config, open_management, tend_management};

/// The parts that run in this process.
#[derive(Default)]
pub struct Roles {
    pub identity: Option<SharedIdentity>,
    pub entitlement: Option<SharedEntitlement>,
    pub management: Option<SharedManagement>,
    pub gateway: Option<Arc<Gateway>>,
    certificates: Vec<(Arc<Certificates>, Vec<CertificateFiles>)>,
    stopping: AtomicBool,
}

impl Roles {
    pub fn running(&self) -> Vec<Role> {
        let runs = |role: &Role| match role {
            Role::Identity => self.identity.is_some(),
            Role::Entitlement => self.entitlement.is_some(),
            Role::Management => self.management.is_some(),
            Role::Gateway => self.gateway.is_some(),
        };
        Role::all().into_iter().filter(runs).collect()
    }

    /// For those who ask others: roles of this process are asked without a socket, by the same messages.
    pub fn peer(&self) -> SharedPeer {
        let mut peer = HttpPeer::shared();
        if let Some(entitlement) = &self.entitlement {
            peer = inside(&entitlement.config.url, ::entitlement::router::served(entitlement.clone()), peer);
        }
        if let Some(identity) = &self.identity {
            peer = inside(&identity.config.issuer, identity::router::public(identity.clone()), peer);
        }
        if let Some(management) = &self.management {
            peer = inside(&management.config.url, ::management::router::public(management.clone()), peer);
        }
        peer
    }

    /// From now on not ready, so that whoever distributes requests looks elsewhere.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    pub async fn checks(&self) -> Vec<Check> {
        let mut checks = Vec::new();
        if self.stopping.load(Ordering::Relaxed) {
            let detail = "is stopping".to_owned();
            checks.push(Check { name: "process".to_owned(), state: State::Down, detail });
        }
        if let Some(identity) = &self.identity {
            let (state, detail) = match identity.db.ping().await {
                Ok(()) => (State::Fine, "answers".to_owned()),
                Err(error) => (State::Down, error.to_string()),
            };
            checks.push(Check { name: "identity: database".to_owned(), state, detail });
        }
        if let Some(entitlement) = &self.entitlement {
            checks.extend(self::entitlement::checks(entitlement).await);
        }
        if let Some(management) = &self.management {
            checks.push(self::management::check(management).await);
        }
        if let Some(gateway) = &self.gateway {
            let readiness = gateway.ready();
            if !readiness.ready {
                let detail = "no resources are served".to_owned();
                checks.push(Check { name: "gateway".to_owned(), state: State::Down, detail });
            }
            // What is not as it should be is told; what is served goes on being served.
            let state = |ok| if ok { State::Fine } else { State::Degraded };
            checks.extend(readiness.checks.into_iter().map(|check| Check {
                name: format!("gateway: {}", check.name),
                state: state(check.ok),
                detail: check.detail,
            }));
        }
        checks
    }

    /// Resources and certificates again; what is bad is refused and the old stays.
    pub async fn reload(&self) -> anyhow::Result<()> {
        for (certificates, files) in &self.certificates {
            certificates.replace(files)?;
        }
        if let Some(gateway) = self.gateway.clone() {
            let reloaded = tokio::task::spawn_blocking(move || gateway.reload()).await?;
            reloaded.map_err(|faults| anyhow::anyhow!("{}", lines(&faults)))?;
        }
        Ok(())
    }
}

pub fn lines(faults: &[catalog::Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// The identity system of a configuration: its settings with all secrets read.
pub fn identity_config(section: &config::Identity, data: &std::path::Path) -> anyhow::Result<identity::Config> {
    let mut lifetimes = identity::config::Lifetimes::default();
    let given = &section.lifetimes;
    for (target, value) in [
        (&mut lifetimes.code, given.code),
        (&mut lifetimes.access_token, given.access_token),
        (&mut lifetimes.inner_token, given.inner_token),
        (&mut lifetimes.id_token, given.id_token),
        (&mut lifetimes.grant, given.grant),
        (&mut lifetimes.refresh_idle, given.refresh_idle),
        (&mut lifetimes.refresh_replay, given.refresh_replay),
        (&mut lifetimes.session, given.session),
        (&mut lifetimes.session_idle, given.session_idle),
    ] {
        if let Some(span) = value {
            *target = span.0;
        }
    }
    Ok(identity::Config {
        issuer: section.issuer.clone(),
        database: database(&section.database, Role::Identity, data)?,
        master_key: section.master_key.read()?,
        node: section.node.clone().or_else(environment::host_name).unwrap_or_else(|| "node-1".to_owned()),
        lifetimes,
        keys: key_schedule(&section.keys)?,
        passwords: identity::config::Passwords::default(),
        budgets: identity::config::Budgets::default(),
        trusted_proxies: section.trusted_proxies.clone(),
        templates: section.templates.clone(),
        open_registration: section.registration.open.as_ref().map(registration_policy).transpose()?,
        statement_issuers: section
            .registration
            .software_statements
            .iter()
            .map(statement_issuer)
            .collect::<Result<_, _>>()?,
        policy: section.policy.as_ref().map(policy_point).transpose()?,
        peers: identity::config::Peers::new(reach(section.outgoing), HttpPeer::shared()),
    })
}

/// Which addresses that others chose may be called.
fn reach(outgoing: config::Outgoing) -> Reach {
    match outgoing {
        config::Outgoing::Public => Reach::Public,
        config::Outgoing::Anywhere => Reach::Anywhere,
    }
}

/// Where a role keeps its tables.
pub fn database(given: &config::Database, role: Role, data: &std::path::Path) -> anyhow::Result<store::Config> {
    Ok(match given {
        config::Database::Sqlite => store::Config::Sqlite { path: data.join(format!("{}.db", role.name())) },
        config::Database::Postgres(postgres) => {
            let schema = postgres.schema.clone().unwrap_or_else(|| role.name().to_owned());
            store::Config::Postgres { url: postgres.postgres.read_text()?, schema }
        }
    })
}

fn policy_point(given: &config::IssuePolicy) -> anyhow::Result<identity::config::PolicyPoint> {
    let url = given.url.trim_end_matches('/');
    if !url.parse::<http::Uri>().is_ok_and(|uri| uri.host().is_some()) {
        return Err(usage("`identity.policy.url` is not a URL").into());
    }
    Ok(identity::config::PolicyPoint {
        url: url.to_owned(),
        secret: given.secret.read_text()?,
        timeout: given.timeout.map_or(Duration::from_secs(2), |span| span.0),
        mode: match given.mode {
            config::IssuePolicyMode::Enforce => identity::config::PolicyMode::Enforce,
            config::IssuePolicyMode::Shadow => identity::config::PolicyMode::Shadow,
        },
    })
}

/// The words of a policy are those of the identity system.
fn registration_policy(given: &config::OpenRegistration) -> anyhow::Result<identity::register::Policy> {
    let words = serde_json::to_value(given)?;
    serde_json::from_value(words).map_err(|error| usage(format!("`identity.registration.open`: {error}")).into())
}

fn statement_issuer(given: &config::SoftwareStatements) -> anyhow::Result<identity::register::StatementIssuer> {
    let wrong = |fault: &str| usage(format!("`identity.registration.softwareStatements`, `{}`: {fault}", given.issuer));
    let text = given.jwks.read_text()?;
    let keys = jose::KeySet::parse(text.expose().as_bytes()).map_err(|_| wrong("this is no JWK set"))?;
    if keys.is_empty() {
        return Err(wrong("there is no key in it that could have signed").into());
    }
    Ok(identity::register::StatementIssuer { issuer: given.issuer.clone(), keys })
}

fn key_schedule(given: &config::Keys) -> anyhow::Result<identity::config::KeySchedule> {
    let mut schedule = identity::config::KeySchedule::default();
    if let Some(names) = &given.algorithms {
        schedule.algorithms = names
            .iter()
            .map(|name| {
                jose::Algorithm::parse(name).ok_or_else(|| {
                    usage(format!("`{name}` is no signature algorithm")).hint("known are ES256, EdDSA, RS256, PS256")
                })
            })
            .collect::<Result<_, _>>()?;
    }
    for (target, value) in [
        (&mut schedule.announce, given.announce),
        (&mut schedule.active, given.active),
        (&mut schedule.retire, given.retire),
    ] {
        if let Some(span) = value {
            *target = span.0;
        }
    }
    Ok(schedule)
}

/// Opens the identity system: database at its newest schema, keys there.
pub async fn open_identity(config: identity::Config, clock: &SharedClock) -> anyhow::Result<SharedIdentity> {
    identity::Identity::open(config, clock.clone()).await.context("the identity system cannot start")
}

/// What recurs by the clock: keys, expired rows.
pub async fn tend_identity(identity: SharedIdentity, stop: CancellationToken) {
    let mut minute = tokio::time::interval(Duration::from_secs(60));
    minute.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = minute.tick() => {}
        }
        if let Err(error) = identity.minute().await {
            tracing::error!(cause = %error, "housekeeping of the identity system failed; it is tried again in a minute");
        }
    }
}

/// What the data plane needs of a configuration.
pub struct GatewayParts {
    /// The data folder of the process; the gateway has a folder of its own in it.
    pub data: PathBuf,
    pub resources: Option<PathBuf>,
    pub public_url: String,
    pub management: Option<gateway::ManagementConfig>,
    pub usage: gateway::UsageConfig,
}

impl GatewayParts {
    /// With all secrets read.
    pub fn new(section: &config::Gateway, data: PathBuf) -> anyhow::Result<Self> {
        let management = match &section.management {
            Some(given) => Some(gateway::ManagementConfig {
                url: given.url.clone(),
                token: given.token.read_text()?,
                name: given.name.clone().or_else(environment::host_name).unwrap_or_else(|| "gateway".to_owned()),
            }),
            None => None,
        };
        let given = &section.usage;
        let mut usage = gateway::UsageConfig {
            on_failure: match given.on_failure {
                config::OnFailure::Refuse => gateway::OnFailure::Refuse,
                config::OnFailure::Serve => gateway::OnFailure::Serve,
            },
            ..gateway::UsageConfig::default()
        };
        usage.sync_interval = given.sync_interval.map_or(usage.sync_interval, |interval| interval.0);
        usage.max_bytes = given.max_bytes.unwrap_or(usage.max_bytes);
        let (resources, public_url) = (section.resources.clone(), section.public_url.clone());
        Ok(Self { data, resources, public_url, management, usage })
    }
}

pub fn open_gateway(parts: GatewayParts, peer: SharedPeer, clock: &SharedClock) -> anyhow::Result<Arc<Gateway>> {
    let config = GatewayConfig {
        data_dir: parts.data,
        resources: parts.resources,
        public_url: parts.public_url,
        peer,
        clock: clock.clone(),
        runtime: tokio::runtime::Handle::current(),
        environment: Arc::new(environment::variable),
        management: parts.management,
        usage: parts.usage,
    };
    Gateway::new(config).context("the gateway cannot start")
}

fn inside(url: &str, router: axum::Router, outside: SharedPeer) -> SharedPeer {
    match RouterPeer::new(url, router, outside.clone()) {
        Some(own) => Arc::new(own),
        None => outside,
    }
}

/// Puts the gateway's engine on its sockets.
pub fn serve_gateway(
    roles: &mut Roles,
    section: &config::Gateway,
    sockets: Vec<TcpListener>,
    clock: &SharedClock,
) -> anyhow::Result<edge::Running> {
    let gateway = roles.gateway.clone().context("the gateway is not there")?;
    let mut listeners = Vec::new();
    for (listen, socket) in section.listen.iter().zip(sockets) {
        let tls = match &listen.tls {
            None => None,
            Some(tls) => {
                let files = tls.certificates.iter().map(certificate_files).collect::<anyhow::Result<Vec<_>>>()?;
                let certificates = Arc::new(Certificates::load(&files).map_err(|error| usage(error.to_string()))?);
                roles.certificates.push((certificates.clone(), files));
                Some(certificates)
            }
        };
        listeners.push(Listener { socket, tls });
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let config = EdgeConfig {
        workers: section.threads.unwrap_or(cores),
        limits: limits(&section.limits),
        trusted_proxies: section.trusted_proxies.clone(),
        clock: clock.clone(),
    };
    edge::serve(config, listeners, gateway).context("the gateway cannot listen")
}

fn certificate_files(certificate: &config::Certificate) -> anyhow::Result<CertificateFiles> {
    let Reference::File(key) = &certificate.key else {
        return Err(usage("the key of a certificate is a file").hint("write `key: file:PATH`").into());
    };
    Ok(CertificateFiles { chain: certificate.certificate.clone(), key: key.clone() })
}

fn limits(given: &config::Limits) -> edge::Limits {
    let mut limits = edge::Limits::default();
    limits.head_bytes = given.head_bytes.unwrap_or(limits.head_bytes);
    limits.connections = given.connections.unwrap_or(limits.connections);
    limits.connections_per_client = given.connections_per_client.unwrap_or(limits.connections_per_client);
    limits.head_time = given.head_time.map_or(limits.head_time, |span| span.0);
    limits.keep_alive = given.idle_time.map_or(limits.keep_alive, |span| span.0);
    limits
}
