//! The gateway as the binary sees it.

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base::peer::SharedPeer;
use base::time::SharedClock;
use bytes::Bytes;
use catalog::{Explanation, Fault, Resource};
use http::{Response, StatusCode};
use integration::{Preview, TokenSource};
use prometheus_client::registry::Registry;
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::deny::Deny;
use crate::edge::{Decision, Exchange, Head, Outcome, Pipeline};
use crate::limits::{Book, Held};
use crate::loader::{Applied, ApplyMode, Loader};
use crate::management::{Management, ManagementConfig, Standing};
use crate::metrics::Metrics;
use crate::phantom::{Minter, World};
use crate::secrets::{Environment, Secrets};
use crate::snapshot::Version;
use crate::usage::{Shipping, Usage, UsageConfig};
use crate::{access_log, pipeline, registry, usage, watch};

/// What the gateway needs of its process.
pub struct GatewayConfig {
    /// Kept over restarts: the last good resources, the applied ones, our own key.
    pub data_dir: PathBuf,
    /// File or folder of resources; `None`: only what is applied.
    pub resources: Option<PathBuf>,
    /// How clients reach us: scheme, host and port, maybe a path; without a slash at the end.
    pub public_url: String,
    /// How token services are reached.
    pub peer: SharedPeer,
    pub clock: SharedClock,
    /// Where questions to token services run, whichever thread asks.
    pub runtime: Handle,
    /// For `env:` references.
    pub environment: Environment,
    /// Where APIs, plans and subscriptions are published and usage goes; `None`: only what files say, and no usage is kept.
    pub management: Option<ManagementConfig>,
    pub usage: UsageConfig,
}

/// Tokens kept for steps of compositions.
const STEP_TOKENS: usize = 50_000;

pub struct Gateway {
    loader: Arc<Loader>,
    metrics: Arc<Metrics>,
    registry: Mutex<Registry>,
    clock: SharedClock,
    watching: AbortHandle,
    usage: Option<Arc<Usage>>,
    management: Option<Arc<Management>>,
    following: Option<AbortHandle>,
    _shipping: Option<Shipping>,
}

impl Gateway {
    /// Loads what there is and follows changes of the files. Bad resources are no error here: they are
    /// logged, and [`Gateway::ready`] tells of them.
    pub fn new(config: GatewayConfig) -> io::Result<Arc<Self>> {
        let folder = config.data_dir.join("gateway");
        std::fs::create_dir_all(&folder)?;
        let public_url = config.public_url.trim_end_matches('/').to_owned();
        let mut registry = Registry::default();
        let metrics = Arc::new(Metrics::new(&mut registry));
        let secrets_from = match &config.resources {
            Some(path) if path.is_dir() => path.clone(),
            Some(path) => path.parent().map(PathBuf::from).unwrap_or_default(),
            None => config.data_dir.clone(),
        };
        let tokens = TokenSource::new(Arc::clone(&config.peer), Arc::clone(&config.clock), STEP_TOKENS);
        let book: Arc<Book> = Arc::default();
        let management = config.management.map(|management| {
            Arc::new(Management::new(management, Arc::clone(&config.peer), Arc::clone(&config.clock)))
        });
        let mut usage = None;
        let mut shipping = None;
        if let Some(management) = &management {
            let (book, clock) = (Arc::clone(&book), Arc::clone(&config.clock));
            let management = Arc::clone(management);
            let (kept, shipper) = Usage::open(&folder.join("usage"), config.usage, management, book, clock)?;
            metrics.unrecorded(&mut registry, kept.unrecorded.clone());
            shipping = Some(kept.ship(shipper, &config.runtime));
            usage = Some(kept);
        }
        let world = World {
            tokens,
            peer: config.peer,
            clock: Arc::clone(&config.clock),
            runtime: config.runtime.clone(),
            minter: Arc::new(Minter::open(&folder, &public_url)?),
            metrics: Arc::clone(&metrics),
            folder: folder.clone(),
            book,
        };
        let secrets = Secrets::new(secrets_from, config.environment);
        let loader = Arc::new(Loader::new(config.resources.clone(), folder, public_url, secrets, world));
        loader.start();
        let following = management.as_ref().map(|management| {
            config.runtime.spawn(registry::follow(Arc::downgrade(&loader), Arc::clone(management))).abort_handle()
        });
        let watching = config.runtime.spawn(watch::watch(Arc::downgrade(&loader), config.resources)).abort_handle();
        Ok(Arc::new(Self {
            loader,
            metrics,
            registry: Mutex::new(registry),
            clock: config.clock,
            watching,
            usage,
            management,
            following,
            _shipping: shipping,
        }))
    }

    /// Reads the files anew. A bad set is refused whole and the one before goes on.
    pub fn reload(&self) -> Result<Version, Vec<Fault>> {
        self.loader.reload()
    }

    /// Applies a set of documents on top of the files.
    pub fn apply(&self, documents: &str, mode: ApplyMode) -> Result<Applied, Vec<Fault>> {
        self.loader.apply(documents, mode)
    }

    /// What is served, as it was written.
    pub fn resources(&self) -> Vec<Resource> {
        self.loader.live().as_ref().map(|live| live.resources.clone()).unwrap_or_default()
    }

    /// What is served, as YAML.
    pub fn export(&self) -> String {
        catalog::export(&self.resources())
    }

    pub fn version(&self) -> Option<Version> {
        self.loader.live().as_ref().map(|live| live.version.clone())
    }

    /// Which route takes a request, what it asks for, and where that is written.
    pub fn explain(&self, method: &str, host: &str, path: &str) -> Option<Explanation> {
        self.loader.live().as_ref().map(|live| live.catalog().explain(method, host, path))
    }

    /// The plan of a composition that is served.
    pub fn plan(&self, composition: &str) -> Option<Preview> {
        self.loader.live().as_ref()?.composition(composition).map(|found| found.preview(None))
    }

    /// Describes the compositions that are served (OpenAPI 3.1): all of them, or those of one API.
    pub fn openapi(&self, title: &str, api: Option<&str>) -> Option<serde_json::Value> {
        let live = self.loader.live();
        let live = live.as_ref()?;
        Some(integration::openapi(title, self.loader.public_url(), live.compositions_of(api)))
    }

    /// In the text format of Prometheus (OpenMetrics).
    pub fn metrics_text(&self) -> String {
        if let Some(live) = &*self.loader.live() {
            for authority in live.authorities() {
                self.metrics.state(authority.name(), authority.lag(), authority.cached());
            }
        }
        if let Some(usage) = &self.usage {
            self.metrics.usage(&usage.state());
        }
        if let Some(management) = &self.management {
            self.metrics.published(management.standing().serving, management.standing().refused.is_some());
        }
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        if prometheus_client::encoding::text::encode(&mut text, &registry).is_err() {
            tracing::error!("the metrics cannot be written");
        }
        text
    }

    /// Adds metrics of others (the engine, the process) to the same page.
    pub fn register(&self, add: impl FnOnce(&mut Registry)) {
        add(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Whether requests can be served, and what is not as it should be. An issuer that is away does not
    /// make the gateway unready: cached tokens and public routes go on.
    pub fn ready(&self) -> Readiness {
        let mut checks = Vec::new();
        let live = self.loader.live();
        let faults = self.loader.faults();
        let mut loaded = match &*live {
            Some(live) => format!(
                "set {} ({}) with {} routes",
                live.version.number,
                live.version.hash,
                live.catalog().routes.len()
            ),
            None => "no set is served".to_owned(),
        };
        if let Some(first) = faults.first() {
            let _never_fails = write!(loaded, "; the newest was refused with {} faults, first: {first}", faults.len());
        }
        checks.push(Check { name: "resources".to_owned(), ok: live.is_some() && faults.is_empty(), detail: loaded });
        for authority in live.iter().flat_map(|live| live.authorities()) {
            let lag = match authority.lag() {
                None => "no feed of revocations".to_owned(),
                Some(None) => "the feed of revocations has not answered yet".to_owned(),
                Some(Some(lag)) => format!("revocations are at most {} ms behind", lag.as_millis()),
            };
            let known = if authority.has_keys_or_metadata() { "known" } else { "not asked yet" };
            checks.push(Check {
                name: format!("issuer {}", authority.name()),
                ok: authority.hears_revocations(),
                detail: format!("{known}; {lag}; facts about {} tokens", authority.cached()),
            });
        }
        let now = self.clock.now();
        for (name, source) in live.iter().flat_map(|live| live.policy_sources()) {
            let state = source.state(now);
            checks.push(Check { name: format!("policies {name}"), ok: state.ok, detail: state.detail });
        }
        let now_ms = self.clock.monotonic_ms();
        for upstream in live.iter().flat_map(|live| live.upstreams()) {
            let states = upstream.endpoint_states(now_ms);
            let resting = states.iter().filter(|state| state.ejected).count();
            checks.push(Check {
                name: format!("upstream {}", upstream.name()),
                ok: resting < states.len(),
                detail: format!("{resting} of {} endpoints rest after failures", states.len()),
            });
        }
        if let (Some(usage), Some(management)) = (&self.usage, &self.management) {
            let state = usage.state();
            checks.extend(aside_check(&state.aside));
            checks.push(usage_check(&state, management.heard()));
            checks.push(published_check(&management.standing()));
        }
        Readiness { ready: live.is_some(), checks }
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct Readiness {
    pub ready: bool,
    pub checks: Vec<Check>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Check {
    pub name: String,
    pub ok: bool,
    pub detail: String,
}

fn published_check(standing: &Standing) -> Check {
    let mut detail = match standing.serving {
        Some(version) => format!("version {version} is served"),
        None => "nothing is published yet".to_owned(),
    };
    if let Some(refused) = &standing.refused {
        let _never_fails = write!(detail, "; {refused}");
    }
    Check { name: "published".to_owned(), ok: standing.refused.is_none(), detail }
}

/// Without an answer of management for this long something is wrong (a sign of life goes out each second).
const SILENCE: Duration = Duration::from_secs(10);

fn usage_check(state: &usage::State, heard: Option<Duration>) -> Check {
    let mut detail = format!("{} records are not shipped", state.unshipped);
    if let Some(oldest) = state.oldest {
        let _never_fails = write!(detail, ", the oldest for {} ms", oldest.as_millis());
    }
    match heard {
        Some(heard) => {
            let _never_fails = write!(detail, "; management answered {} ms ago", heard.as_millis());
        }
        None => detail.push_str("; management has not answered yet"),
    }
    if !state.writes {
        detail.push_str("; the disk takes no records");
    }
    Check { name: "usage".to_owned(), ok: state.writes && heard.is_some_and(|heard| heard < SILENCE), detail }
}

/// What is not counted until somebody looks at it.
fn aside_check(aside: &[usage::Aside]) -> Option<Check> {
    let mut detail = String::new();
    for one in aside {
        let join = if detail.is_empty() { "" } else { "; " };
        let folder = one.folder.display();
        let _never_fails = match (one.records, one.damaged_bytes) {
            (0, bytes) => write!(detail, "{join}{bytes} bytes in {folder} could not be read"),
            (records, 0) => write!(detail, "{join}{records} records in {folder} were refused by management"),
            (records, bytes) => {
                write!(detail, "{join}{records} records in {folder} were refused, {bytes} bytes could not be read")
            }
        };
    }
    let name = "usage set aside".to_owned();
    (!aside.is_empty()).then(|| Check { name, ok: false, detail: format!("{detail}; not counted: see the handbook") })
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.watching.abort();
        if let Some(following) = &self.following {
            following.abort();
        }
    }
}

impl Pipeline for Gateway {
    async fn decide(&self, head: &Head<'_>, exchange: &mut Exchange) -> Decision {
        let live = self.loader.live();
        let keeps_usage = self.usage.as_ref().is_none_or(|usage| !usage.refuses());
        pipeline::decide(live.as_deref(), keeps_usage, head, exchange).await
    }

    fn answering(&self, exchange: &mut Exchange, status: StatusCode) -> Result<(), Box<Response<Bytes>>> {
        if exchange.recorded {
            return Ok(());
        }
        let Some(api) = exchange.api.clone() else { return Ok(()) };
        exchange.recorded = true;
        let outcome = usage::outcome(exchange, status);
        let recorded = self.usage.as_ref().is_none_or(|usage| usage.record(exchange, status, outcome));
        // What is not served takes nothing of the quota.
        let held = exchange.held.take();
        if !recorded {
            self.metrics.called(&api, exchange.plan.as_ref(), usage::Outcome::Failed);
            return Err(Box::new(Deny::UsageUnavailable.answer(exchange, None)));
        }
        self.metrics.called(&api, exchange.plan.as_ref(), outcome);
        if let Some(held) = held.filter(|_| outcome == usage::Outcome::Served) {
            held.count();
        }
        Ok(())
    }

    fn finished(&self, exchange: &Exchange, outcome: &Outcome) {
        if exchange.api.is_some() && !exchange.recorded && outcome.asked {
            // Who leaves once a service is at work must not have it for nothing: the unit is taken.
            exchange.held.iter().for_each(Held::count);
            if let Some(usage) = &self.usage {
                usage.record_gone(exchange, outcome.status);
            }
        }
        self.metrics.finished(exchange, outcome);
        access_log::write(exchange, outcome);
    }
}
