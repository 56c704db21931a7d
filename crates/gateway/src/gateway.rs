//! The gateway as the binary sees it.

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

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

use crate::edge::{Decision, Exchange, Head, Outcome, Pipeline};
use crate::loader::{Applied, ApplyMode, Loader};
use crate::metrics::Metrics;
use crate::phantom::{Minter, World};
use crate::secrets::{Environment, Secrets};
use crate::snapshot::Version;
use crate::{access_log, pipeline, usage, watch};

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
}

/// Tokens kept for steps of compositions.
const STEP_TOKENS: usize = 50_000;

pub struct Gateway {
    loader: Arc<Loader>,
    metrics: Arc<Metrics>,
    registry: Mutex<Registry>,
    clock: SharedClock,
    watching: AbortHandle,
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
        let world = World {
            tokens,
            peer: config.peer,
            clock: Arc::clone(&config.clock),
            runtime: config.runtime.clone(),
            minter: Arc::new(Minter::open(&folder, &public_url)?),
            metrics: Arc::clone(&metrics),
            book: Arc::default(),
        };
        let secrets = Secrets::new(secrets_from, config.environment);
        let loader = Arc::new(Loader::new(config.resources.clone(), folder, public_url, secrets, world));
        loader.start();
        let watching = config.runtime.spawn(watch::watch(Arc::downgrade(&loader), config.resources)).abort_handle();
        Ok(Arc::new(Self { loader, metrics, registry: Mutex::new(registry), clock: config.clock, watching }))
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

impl Drop for Gateway {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

impl Pipeline for Gateway {
    async fn decide(&self, head: &Head<'_>, exchange: &mut Exchange) -> Decision {
        let live = self.loader.live();
        pipeline::decide(live.as_deref(), head, exchange).await
    }

    fn answering(&self, exchange: &mut Exchange, status: StatusCode) -> Result<(), Box<Response<Bytes>>> {
        if let Some(api) = &exchange.api {
            let outcome = usage::outcome(exchange, status);
            self.metrics.called(api, exchange.plan.as_ref(), outcome);
            // What is not served takes nothing of the quota.
            if let Some(held) = exchange.held.take().filter(|_| outcome == usage::Outcome::Served) {
                held.count();
            }
        }
        Ok(())
    }

    fn finished(&self, exchange: &Exchange, outcome: &Outcome) {
        self.metrics.finished(exchange, outcome);
        access_log::write(exchange, outcome);
    }
}
