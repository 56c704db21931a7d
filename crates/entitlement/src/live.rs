//! The policies in force, compiled; exchanged when a commit of this process or another one says so.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use policy::{Directory, Engine, Snapshot};
use store::Db;
use tokio::sync::{Mutex, watch};

use crate::SharedEntitlement;
use crate::error::Refused;
use crate::{attributes, policies};

/// Notified by each commit that changes policies or entities.
pub const TOPIC: &str = "policy";

/// Whoever asks after a commit gets what that commit made; meanwhile it waits. If what is in force is known
/// to have changed and cannot be had, there is no decision: the old one might allow what is forbidden now.
pub struct LiveEngine {
    counter: watch::Receiver<u64>,
    current: ArcSwapOption<Counted>,
    loading: Mutex<()>,
}

struct Counted {
    count: u64,
    live: Arc<Live>,
}

/// One state of policies and entities.
pub struct Live {
    pub version: i64,
    pub activation: i64,
    pub revision: i64,
    pub engine: Engine,
    pub etag: String,
    /// The snapshot as JSON.
    pub body: Bytes,
}

impl LiveEngine {
    pub fn new(db: &Db) -> Self {
        Self { counter: db.watch(TOPIC), current: ArcSwapOption::empty(), loading: Mutex::new(()) }
    }

    /// Changes when something may have changed.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.counter.clone()
    }

    pub async fn get(&self, entitlement: &SharedEntitlement) -> Result<Arc<Live>, Refused> {
        if let Some(live) = self.fresh() {
            return Ok(live);
        }
        let _one_at_a_time = self.loading.lock().await;
        if let Some(live) = self.fresh() {
            return Ok(live);
        }
        // Counted before the rows are read: a commit in between is seen twice rather than never.
        let count = *self.counter.borrow();
        let before = self.current.load().as_ref().map(|counted| counted.live.clone());
        let live = load(entitlement, before).await?;
        self.current.store(Some(Arc::new(Counted { count, live: live.clone() })));
        Ok(live)
    }

    fn fresh(&self) -> Option<Arc<Live>> {
        let current = self.current.load();
        let current = current.as_ref()?;
        (current.count == *self.counter.borrow()).then(|| current.live.clone())
    }
}

async fn load(entitlement: &SharedEntitlement, before: Option<Arc<Live>>) -> Result<Arc<Live>, Refused> {
    // Read until nothing changed meanwhile: policies and entities belong to the same moment.
    let (state, snapshot) = loop {
        let state = policies::state(&mut entitlement.db.begin()).await?;
        if let Some(before) = &before
            && (before.activation, before.revision) == (state.activation, state.revision)
        {
            return Ok(before.clone());
        }
        let source = match state.version {
            0 => policy::Source::default(),
            version => policies::source(&mut entitlement.db.begin(), version).await?,
        };
        let entities = attributes::all(&mut entitlement.db.begin()).await?;
        if policies::state(&mut entitlement.db.begin()).await? == state {
            let policies::State { version, activation, revision } = state;
            let sourced = entitlement.config.source.as_ref().map(|source| source.types.clone()).unwrap_or_default();
            break (state, Snapshot { version, activation, revision, source, entities, sourced });
        }
    };
    let compile = move || -> Result<Live, String> {
        let engine = match before.filter(|before| before.activation == state.activation) {
            Some(before) => {
                let policies = before.engine.policies().clone();
                let directory = Directory::new(&policies, &snapshot.entities).map_err(|faults| faults.join("\n"))?;
                Engine::new(policies, Arc::new(directory))
            }
            None => snapshot.compile()?,
        };
        let body = serde_json::to_vec(&snapshot).map_err(|error| error.to_string())?.into();
        let policies::State { version, activation, revision } = state;
        Ok(Live { version, activation, revision, engine, etag: snapshot.etag(), body })
    };
    let live = tokio::task::spawn_blocking(compile).await.map_err(|error| Refused::Broken(error.to_string()))?;
    Ok(Arc::new(live.map_err(Refused::Broken)?))
}
