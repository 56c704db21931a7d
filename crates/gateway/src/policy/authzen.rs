//! Asks a decision point (AuthZEN Authorization API 1.0 §6). The same question is on its way once; a decision
//! is used again only where the operator has named what it depends on, and for how long.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use base::Secret;
use base::peer::{Limits, SharedPeer};
use base::time::SharedClock;
use bytes::Bytes;
use catalog::AuthzenSpec;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use http::{HeaderValue, Request, StatusCode, header};
use policy::{Question, StepUp};
use quick_cache::sync::Cache;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::follow::bearer;
use super::source::State;
use super::{Answer, Judged, Outcome, Policies};
use crate::phantom::World;

const BODY_BYTES: usize = 256 * 1024;
/// Of what a foreign decision point says, as it goes to clients and logs.
const TEXT: usize = 500;

/// Until this monotonic millisecond it is good.
type Kept = (u64, Arc<Told>);
type Flight = Shared<BoxFuture<'static, Result<Arc<Told>, NoDecision>>>;

pub(crate) struct Asked {
    core: Arc<Core>,
    flights: Mutex<HashMap<Arc<str>, Flight>>,
    kept: Option<Cache<Arc<str>, Kept>>,
    permits: Arc<Semaphore>,
    runtime: Handle,
}

struct Core {
    name: Arc<str>,
    spec: AuthzenSpec,
    secret: Option<Secret<String>>,
    endpoint: String,
    peer: SharedPeer,
    clock: SharedClock,
    silent: AtomicBool,
}

/// What the decision point said.
#[derive(Debug)]
struct Told {
    allow: bool,
    reason: Option<String>,
    step_up: Option<StepUp>,
    policies: Vec<String>,
    version: i64,
}

/// Why there is no decision.
#[derive(Debug, Clone, thiserror::Error)]
enum NoDecision {
    #[error(transparent)]
    Peer(#[from] base::peer::PeerError),
    #[error("it answered with status {0}")]
    Status(u16),
    #[error("its answer is no decision")]
    Unreadable,
    #[error("the request cannot be made")]
    Unsendable,
    #[error("too many questions are under way")]
    Busy,
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asked").field("name", &self.core.name).finish_non_exhaustive()
    }
}

impl Asked {
    pub fn new(name: &Arc<str>, spec: &AuthzenSpec, secret: Option<Secret<String>>, world: &World) -> Self {
        let own = format!("{}/access/v1/evaluation", spec.url.as_str().trim_end_matches('/'));
        let entries = |cache: &catalog::DecisionCacheSpec| usize::try_from(cache.max_entries).unwrap_or(1);
        Self {
            kept: spec.cache.as_ref().map(|cache| Cache::new(entries(cache).max(1))),
            permits: Arc::new(Semaphore::new(usize::try_from(spec.max_concurrent).unwrap_or(256).max(1))),
            flights: Mutex::default(),
            runtime: world.runtime.clone(),
            core: Arc::new(Core {
                name: Arc::clone(name),
                endpoint: spec.endpoint.as_ref().map_or(own, |endpoint| endpoint.as_str().to_owned()),
                spec: spec.clone(),
                secret,
                peer: Arc::clone(&world.peer),
                clock: Arc::clone(&world.clock),
                silent: AtomicBool::new(false),
            }),
        }
    }

    pub fn spec(&self) -> &AuthzenSpec {
        &self.core.spec
    }

    pub fn secret(&self) -> Option<&Secret<String>> {
        self.core.secret.as_ref()
    }

    pub fn state(&self) -> State {
        let silent = self.core.silent.load(Ordering::Relaxed);
        let detail = if silent { "does not answer; nothing is allowed" } else { "asked at each call" };
        State { ok: !silent, detail: detail.to_owned() }
    }

    pub async fn ask(&self, question: Question, request_id: &str) -> Answer {
        let Ok(body) = serde_json::to_value(&question) else { return Answer::none() };
        let key = self.core.spec.cache.as_ref().map(|cache| key(&body, &cache.key));
        let now = self.core.clock.monotonic_ms();
        if let (Some(kept), Some(key)) = (&self.kept, &key)
            && let Some((until, told)) = kept.get(key)
            && now < until
        {
            return told.answer();
        }
        let told = match self.flight(&body, request_id).await {
            Ok(told) => told,
            Err(cause) => {
                tracing::debug!(%cause, policy.source = &*self.core.name, request.id = request_id, "there is no decision");
                return Answer::none();
            }
        };
        if let (Some(kept), Some(key), Some(cache)) = (&self.kept, key, &self.core.spec.cache) {
            let ttl = u64::try_from(cache.ttl.0.as_millis()).unwrap_or(u64::MAX);
            kept.insert(key, (now.saturating_add(ttl), Arc::clone(&told)));
        }
        told.answer()
    }

    async fn flight(&self, body: &Value, request_id: &str) -> Result<Arc<Told>, NoDecision> {
        let text: Arc<str> = body.to_string().into();
        let flight = {
            let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
            match flights.get(&text) {
                Some(flight) => flight.clone(),
                None => {
                    let permit = Arc::clone(&self.permits).try_acquire_owned().map_err(|_| NoDecision::Busy)?;
                    let (core, asked, id) = (Arc::clone(&self.core), Arc::clone(&text), request_id.to_owned());
                    // On the common runtime: whoever asked first may go away.
                    let task = self.runtime.spawn(async move {
                        let answer = core.ask(&asked, &id).await.map(Arc::new);
                        drop(permit);
                        core.note(&answer);
                        answer
                    });
                    let flight = task.map(|joined| joined.unwrap_or(Err(NoDecision::Unreadable))).boxed().shared();
                    flights.insert(Arc::clone(&text), flight.clone());
                    flight
                }
            }
        };
        let answer = flight.clone().await;
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        // Another one with the same question may have begun since.
        if flights.get(&text).is_some_and(|one| one.ptr_eq(&flight)) {
            flights.remove(&text);
        }
        answer
    }
}

impl Core {
    async fn ask(&self, body: &str, request_id: &str) -> Result<Told, NoDecision> {
        let mut request = Request::post(&self.endpoint)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json");
        // §10.1.3; ours are of safe characters.
        if let Ok(id) = HeaderValue::try_from(request_id) {
            request = request.header("x-request-id", id);
        }
        if let Some(secret) = &self.secret {
            request = request.header(header::AUTHORIZATION, bearer(secret).ok_or(NoDecision::Unsendable)?);
        }
        let request = request.body(Bytes::from(body.to_owned())).map_err(|_| NoDecision::Unsendable)?;
        let limits = Limits { time: self.spec.timeout.0, body_bytes: BODY_BYTES };
        let response = self.peer.call(request, limits).await?;
        if response.status() != StatusCode::OK {
            return Err(NoDecision::Status(response.status().as_u16()));
        }
        let answer: Value = serde_json::from_slice(response.body()).map_err(|_| NoDecision::Unreadable)?;
        Told::read(&answer).ok_or(NoDecision::Unreadable)
    }

    fn note(&self, answer: &Result<Arc<Told>, NoDecision>) {
        let silent = answer.is_err();
        if self.silent.swap(silent, Ordering::Relaxed) != silent {
            match answer {
                Ok(_) => tracing::info!(policy.source = &*self.name, "the decision point answers again"),
                Err(cause) => {
                    tracing::error!(%cause, policy.source = &*self.name, "the decision point gives no decisions")
                }
            }
        }
    }
}

impl Told {
    /// `decision` must be true or false, nothing that could be taken for it.
    fn read(answer: &Value) -> Option<Self> {
        let context = answer.get("context").cloned().unwrap_or_default();
        let cut = |text: &str| text.chars().filter(|c| !c.is_control()).take(TEXT).collect::<String>();
        // §5.5.2: reasons by status, or one text.
        let user = context.get("reason_user");
        let user = user.and_then(|user| user.as_str().or_else(|| user.get("403")?.as_str()));
        let list = |value: Option<&Value>| -> Vec<String> {
            match value {
                Some(Value::Array(values)) => values.iter().filter_map(Value::as_str).map(cut).collect(),
                Some(Value::String(text)) => text.split_whitespace().map(cut).collect(),
                _ => Vec::new(),
            }
        };
        let step_up = context.get("step_up").map(|asked| StepUp {
            acr_values: list(asked.get("acr_values")),
            max_age: asked.get("max_age").and_then(Value::as_u64),
        });
        Some(Self {
            allow: answer.get("decision")?.as_bool()?,
            reason: user.map(cut),
            step_up,
            policies: list(context.get("policies")),
            version: context.get("policy_version").and_then(Value::as_i64).unwrap_or(0),
        })
    }

    fn answer(&self) -> Answer {
        let verdict = if self.allow { "permitted" } else { "denied" };
        let outcome = match self.allow {
            true => Outcome::Allowed,
            false => Outcome::Denied { reason: self.reason.clone(), step_up: self.step_up.clone() },
        };
        let policies = Policies::Told(self.policies.clone());
        Answer { judged: Judged { verdict, policies, version: self.version }, outcome }
    }
}

/// The named parts of a question as one text; a part that is missing is null, which is nothing else's text.
fn key(question: &Value, paths: &[String]) -> Arc<str> {
    let part = |path: &String| path.split('.').try_fold(question, |value, name| value.get(name)).cloned();
    json!(paths.iter().map(part).collect::<Vec<_>>()).to_string().into()
}
