//! One source of decisions: it outlives changes of configuration that do not concern it.

use std::sync::Arc;

use arc_swap::Guard;
use base::{Secret, Time};
use catalog::PolicySourceSpec;
use tokio::task::AbortHandle;

use super::authzen::Asked;
use super::follow::{self, Core, Current};
use super::report::{self, Entry, Reports};
use crate::phantom::World;

#[derive(Debug)]
pub(crate) enum Source {
    Followed(Followed),
    Asked(Asked),
}

/// Ends with the last snapshot that uses it.
#[derive(Debug)]
pub(crate) struct Followed {
    core: Arc<Core>,
    reports: Option<Arc<Reports>>,
    tasks: Vec<AbortHandle>,
}

/// How a source is, for readiness.
pub(crate) struct State {
    pub ok: bool,
    pub detail: String,
}

impl Source {
    pub fn start(
        name: &Arc<str>,
        spec: &PolicySourceSpec,
        secret: Option<Secret<String>>,
        world: &World,
    ) -> Option<Self> {
        if let Some(snapshot) = &spec.snapshot {
            let core = Arc::new(Core::new(name, snapshot, secret?, world));
            core.load();
            let mut tasks = vec![world.runtime.spawn(follow::follow(Arc::clone(&core))).abort_handle()];
            let reports = snapshot.report.then(|| Arc::new(Reports::new(&world.metrics)));
            if let Some(reports) = &reports {
                tasks.push(world.runtime.spawn(report::send(Arc::clone(&core), Arc::clone(reports))).abort_handle());
            }
            return Some(Self::Followed(Followed { core, reports, tasks }));
        }
        let authzen = spec.authzen.as_ref()?;
        Some(Self::Asked(Asked::new(name, authzen, secret, world)))
    }

    /// Whether this is still what configuration says.
    pub fn is(&self, spec: &PolicySourceSpec, secret: Option<&Secret<String>>) -> bool {
        let same = |own: Option<&Secret<String>>| match (own, secret) {
            (Some(own), Some(new)) => base::secret::equal(own.expose().as_bytes(), new.expose().as_bytes()),
            (None, None) => true,
            _ => false,
        };
        match self {
            Self::Followed(followed) => {
                spec.snapshot.as_ref() == Some(&followed.core.spec) && same(Some(&followed.core.secret))
            }
            Self::Asked(asked) => spec.authzen.as_ref() == Some(asked.spec()) && same(asked.secret()),
        }
    }

    pub fn state(&self, now: Time) -> State {
        match self {
            Self::Followed(followed) => followed.core.state(now),
            Self::Asked(asked) => asked.state(),
        }
    }
}

impl Followed {
    pub fn engine(&self, now: Time) -> Guard<Option<Arc<Current>>> {
        self.core.engine(now)
    }

    /// Never waits.
    pub fn report(&self, entry: impl FnOnce() -> Entry) {
        if let Some(reports) = &self.reports {
            reports.put(entry);
        }
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}
