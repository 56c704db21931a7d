//! Follows the policies of an entitlement system: waits at its snapshot for a change, takes each whole or not at
//! all, and keeps the last good one on disk for a start with everything else down.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwapOption, Guard};
use base::peer::{Limits, SharedPeer};
use base::time::SharedClock;
use base::{Secret, Time};
use bytes::Bytes;
use catalog::SnapshotSpec;
use http::{HeaderValue, Request, StatusCode, header};
use policy::{Engine, Snapshot};

use super::source::State;
use crate::files;
use crate::phantom::World;

/// How long the other side may wait for a change before it says that there is none.
const WAIT_S: u64 = 30;
const LIMITS: Limits = Limits { time: Duration::from_secs(WAIT_S + 10), body_bytes: 256 * 1024 * 1024 };
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// What was heard is noted on disk no more often than this.
const NOTED_EVERY: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Current {
    pub engine: Engine,
    pub version: i64,
    /// Types of subjects of which the source knows more than it publishes.
    sourced: Vec<String>,
    etag: String,
}

pub(crate) struct Core {
    name: Arc<str>,
    pub spec: SnapshotSpec,
    pub secret: Secret<String>,
    pub peer: SharedPeer,
    clock: SharedClock,
    file: PathBuf,
    current: ArcSwapOption<Current>,
    /// When the source was heard last; 0: never.
    heard: AtomicI64,
    noted: AtomicI64,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Why there is nothing new.
#[derive(Debug, thiserror::Error)]
enum NotHeard {
    #[error(transparent)]
    Peer(#[from] base::peer::PeerError),
    #[error("it answered with status {0}")]
    Status(u16),
    #[error("its answer is not a snapshot of policies")]
    Unreadable,
    #[error("the request cannot be made")]
    Unsendable,
    #[error("its policies cannot be used: {0}")]
    Unusable(String),
}

impl Core {
    pub fn new(name: &Arc<str>, spec: &SnapshotSpec, secret: Secret<String>, world: &World) -> Self {
        Self {
            name: Arc::clone(name),
            spec: spec.clone(),
            secret,
            peer: Arc::clone(&world.peer),
            clock: Arc::clone(&world.clock),
            file: world.folder.join(format!("policies-{name}.json")),
            current: ArcSwapOption::empty(),
            heard: AtomicI64::new(0),
            noted: AtomicI64::new(0),
        }
    }

    /// The policies to decide by; none if there are none yet, or what there is has become too old.
    pub fn engine(&self, now: Time) -> Guard<Option<Arc<Current>>> {
        let too_old = self.spec.max_age.is_some_and(|most| self.age(now).is_none_or(|age| age > most.0));
        if too_old { Guard::from_inner(None) } else { self.current.load() }
    }

    /// Since the source was heard last.
    fn age(&self, now: Time) -> Option<Duration> {
        let heard = self.heard.load(Ordering::Relaxed);
        (heard != 0).then(|| Duration::from_millis(u64::try_from(now.ms().saturating_sub(heard)).unwrap_or(0)))
    }

    pub fn state(&self, now: Time) -> State {
        let current = self.current.load();
        let Some(current) = current.as_ref() else {
            return State { ok: false, detail: "no policies are known yet; nothing is allowed".to_owned() };
        };
        let age = self.age(now);
        let heard = age.map_or_else(|| "never".to_owned(), |age| format!("{} s ago", age.as_secs()));
        let late = age.is_none_or(|age| age > LIMITS.time);
        let old = self.engine(now).is_none();
        let old = if old { "; too old, nothing is allowed" } else { "" };
        let mut detail = format!("version {}, heard {heard}{old}", current.version);
        if !current.sourced.is_empty() {
            // A `forbid` on such an attribute forbids nothing here.
            let types = current.sourced.join(", ");
            let _never_fails = write!(
                detail,
                "; decided without what its attribute source knows of {types}: ask by `authzen` where that matters"
            );
        }
        State { ok: !late, detail }
    }

    /// What was good last, if it is still on disk.
    pub fn load(&self) {
        let Ok(text) = std::fs::read(&self.file) else { return };
        match serde_json::from_slice::<Snapshot>(&text).map_err(|error| error.to_string()).and_then(|read| take(&read))
        {
            Ok(current) => {
                self.current.store(Some(Arc::new(current)));
                let heard = std::fs::read_to_string(self.note()).ok().and_then(|text| text.trim().parse().ok());
                self.heard.store(heard.unwrap_or(0), Ordering::Relaxed);
                tracing::info!(
                    policy.source = &*self.name,
                    "the last good policies are in force until the source is heard"
                );
            }
            Err(cause) => tracing::error!(policy.source = &*self.name, cause, "the last good policies cannot be used"),
        }
    }

    fn note(&self) -> PathBuf {
        self.file.with_extension("heard")
    }

    fn known(&self) -> Option<String> {
        self.current.load().as_ref().map(|current| current.etag.clone())
    }

    /// Waits for a change; whether there was one.
    async fn ask(self: &Arc<Self>) -> Result<bool, NotHeard> {
        let known = self.known();
        // Before the first answer nobody waits.
        let wait = if known.is_some() && self.heard_here() { self.wait_s() } else { 0 };
        let url = format!("{}/policy/v1/snapshot?wait={wait}", self.spec.url.as_str().trim_end_matches('/'));
        let mut request = Request::get(url).header(header::ACCEPT, "application/json");
        if let Some(known) = &known {
            request = request.header(header::IF_NONE_MATCH, known);
        }
        let request = request.header(header::AUTHORIZATION, bearer(&self.secret).ok_or(NotHeard::Unsendable)?);
        let request = request.body(Bytes::new()).map_err(|_| NotHeard::Unsendable)?;
        let response = self.peer.call(request, LIMITS).await?;
        match response.status() {
            StatusCode::NOT_MODIFIED if known.is_some() => {
                self.hear();
                Ok(false)
            }
            StatusCode::OK => {
                let bytes = response.into_body();
                let (current, bytes) = tokio::task::spawn_blocking(move || {
                    let snapshot: Snapshot = serde_json::from_slice(&bytes).map_err(|_| NotHeard::Unreadable)?;
                    Ok::<_, NotHeard>((take(&snapshot).map_err(NotHeard::Unusable)?, bytes))
                })
                .await
                .map_err(|_| NotHeard::Unreadable)??;
                // Kept before it is in force: what has decided once is what decides after a restart.
                if let Err(cause) = files::write_private(&self.file, &bytes) {
                    tracing::error!(%cause, policy.source = &*self.name, "the policies cannot be kept on disk");
                }
                let version = current.version;
                if !current.sourced.is_empty() {
                    tracing::warn!(
                        policy.source = &*self.name,
                        types = current.sourced.join(", "),
                        "policies decide here without what their publisher's attribute source knows of these types"
                    );
                }
                self.current.store(Some(Arc::new(current)));
                self.hear();
                tracing::info!(policy.source = &*self.name, policy.version = version, "policies are in force");
                Ok(true)
            }
            status => Err(NotHeard::Status(status.as_u16())),
        }
    }

    /// Where silence makes policies too old, the other side has to say in time that there is no change.
    fn wait_s(&self) -> u64 {
        self.spec.max_age.map_or(WAIT_S, |most| (most.0.as_secs() / 3).clamp(1, WAIT_S))
    }

    fn heard_here(&self) -> bool {
        self.noted.load(Ordering::Relaxed) != 0
    }

    fn hear(&self) {
        let now = self.clock.now().ms();
        self.heard.store(now, Ordering::Relaxed);
        let every = i64::try_from(NOTED_EVERY.as_millis()).unwrap_or(i64::MAX);
        if now.saturating_sub(self.noted.load(Ordering::Relaxed)) >= every {
            self.noted.store(now, Ordering::Relaxed);
            if let Err(cause) = files::write_private(&self.note(), now.to_string().as_bytes()) {
                tracing::warn!(%cause, "when the policies were heard last cannot be noted");
            }
        }
    }
}

fn take(snapshot: &Snapshot) -> Result<Current, String> {
    let engine = snapshot.compile()?;
    Ok(Current { engine, version: snapshot.version, sourced: snapshot.sourced.clone(), etag: snapshot.etag() })
}

pub(super) fn bearer(secret: &Secret<String>) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", secret.expose())).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Until the source is no longer part of the configuration.
pub(crate) async fn follow(core: Arc<Core>) {
    let mut pause = FIRST_PAUSE;
    let mut silent = false;
    loop {
        match core.ask().await {
            Ok(_) => {
                if std::mem::take(&mut silent) {
                    tracing::info!(policy.source = &*core.name, "the source of policies is heard again");
                }
                pause = FIRST_PAUSE;
            }
            Err(cause) => {
                if !std::mem::replace(&mut silent, true) {
                    tracing::warn!(%cause, policy.source = &*core.name, "the source of policies is not heard; the last good ones stay");
                }
                tokio::time::sleep(pause).await;
                pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
            }
        }
    }
}
