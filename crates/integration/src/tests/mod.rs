mod places;
mod running;
mod sockets;
mod tokens;
mod undoing;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::peer::{Limits, Peer, PeerError};
use base::time::Clock as _;
use bytes::Bytes;
use catalog::{Snapshot, parse};
use futures_util::future::BoxFuture;
use http::{Request, Response};
use serde_json::{Value, json};
use testkit::ManualClock;
use tokio::sync::oneshot;

use crate::{Answer, Call, CallError, Caller, Composition, Input, Runner, Timer, TokenSource};

pub const BACKENDS: &str = "
kind: Upstream
name: pool
spec: { endpoints: [http://127.0.0.1:9] }
---
kind: Service
name: orders
spec: { upstream: pool, pathPrefix: /v1 }
---
kind: Service
name: users
spec: { upstream: pool }
---
kind: Service
name: reviews
spec: { upstream: pool }
";

/// Compiles the `spec` of a composition against [`BACKENDS`]; `match` and `auth` are added.
pub fn compile(spec: &str) -> Result<Composition, Vec<String>> {
    compile_against(BACKENDS, spec)
}

pub fn compile_against(backends: &str, spec: &str) -> Result<Composition, Vec<String>> {
    compile_guarded(backends, "none", spec)
}

pub fn compile_guarded(backends: &str, auth: &str, spec: &str) -> Result<Composition, Vec<String>> {
    let indented: String = spec.trim_matches('\n').lines().map(|line| format!("  {line}\n")).collect();
    let text = format!(
        "{backends}\n---\nkind: Composition\nname: page\nspec:\n  match: {{ path: \"/page/{{id}}\", methods: [GET] }}\n  auth: {auth}\n{indented}"
    );
    let told = |faults: Vec<catalog::Fault>| -> Vec<String> { faults.iter().map(ToString::to_string).collect() };
    let set = parse("set.yaml", &text).map_err(told)?;
    let snapshot = Snapshot::compile(&set).map_err(told)?;
    let composition = set.iter().find(|resource| resource.kind == "Composition").expect("a composition");
    Composition::compile(composition, &snapshot).map_err(told)
}

pub fn composition(spec: &str) -> Composition {
    compile(spec).unwrap_or_else(|faults| panic!("{faults:#?}"))
}

pub fn faults(spec: &str) -> Vec<String> {
    compile(spec).err().unwrap_or_default()
}

/// A request for `/page/7`.
pub fn input() -> Input {
    Input {
        id: "r1".to_owned(),
        path: "/page/7".to_owned(),
        params: vec![("id".to_owned(), "7".to_owned())],
        ..Input::default()
    }
}

pub fn ok(body: Value) -> Result<Response<Bytes>, CallError> {
    status(200, body)
}

pub fn status(code: u16, body: Value) -> Result<Response<Bytes>, CallError> {
    let response = Response::builder().status(code).header("content-type", "application/json");
    Ok(response.body(Bytes::from(body.to_string())).expect("an answer"))
}

/// What a script was sent.
#[derive(Debug, Clone)]
pub struct Sent {
    pub service: String,
    pub line: String,
    pub headers: http::HeaderMap,
    pub body: Value,
}

type Answering = BoxFuture<'static, Result<Response<Bytes>, CallError>>;

/// A caller that answers by a script, and remembers.
#[derive(Clone)]
pub struct Script {
    answer: Arc<dyn Fn(Sent) -> Answering + Send + Sync>,
    sent: Arc<Mutex<Vec<Sent>>>,
    given_up: Arc<AtomicUsize>,
}

impl Script {
    pub fn new<F, R>(answer: F) -> Self
    where
        F: Fn(Sent) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Response<Bytes>, CallError>> + Send + 'static,
    {
        Self { answer: Arc::new(move |sent| Box::pin(answer(sent))), sent: Arc::default(), given_up: Arc::default() }
    }

    /// Answers at once.
    pub fn at_once(answer: impl Fn(&Sent) -> Result<Response<Bytes>, CallError> + Send + Sync + 'static) -> Self {
        Self::new(move |sent| std::future::ready(answer(&sent)))
    }

    pub fn sent(&self) -> Vec<Sent> {
        self.sent.lock().unwrap().clone()
    }

    pub fn lines(&self) -> Vec<String> {
        self.sent().into_iter().map(|sent| sent.line).collect()
    }

    /// Requests that were dropped before their answer.
    pub fn given_up(&self) -> usize {
        self.given_up.load(Ordering::SeqCst)
    }
}

struct OnDrop(Arc<AtomicUsize>, bool);

impl OnDrop {
    fn answered(&mut self) {
        self.1 = true;
    }
}

impl Drop for OnDrop {
    fn drop(&mut self) {
        if !self.1 {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Caller for Script {
    fn call(&self, call: Call<'_>) -> impl Future<Output = Result<Response<Bytes>, CallError>> {
        let body = call.request.body();
        let sent = Sent {
            service: call.target.name().to_owned(),
            line: format!("{} {}", call.request.method(), call.request.uri()),
            headers: call.request.headers().clone(),
            body: if body.is_empty() { Value::Null } else { serde_json::from_slice(body).expect("JSON") },
        };
        self.sent.lock().unwrap().push(sent.clone());
        let answering = (self.answer)(sent);
        let mut guard = OnDrop(Arc::clone(&self.given_up), false);
        async move {
            let answer = answering.await;
            guard.answered();
            answer
        }
    }
}

/// When, and how to wake them.
type Sleeper = (u64, oneshot::Sender<()>);

/// Time that tests move by hand: the clock and all who sleep.
#[derive(Clone, Default)]
pub struct Hands {
    pub clock: ManualClock,
    sleepers: Arc<Mutex<Vec<Sleeper>>>,
}

impl Hands {
    pub fn timer(&self) -> Timer {
        let hands = self.clone();
        let sleep = move |time: Duration| -> BoxFuture<'static, ()> {
            let (wake, woken) = oneshot::channel();
            let at = hands.clock.monotonic_ms() + u64::try_from(time.as_millis()).unwrap();
            if time.is_zero() {
                return Box::pin(std::future::ready(()));
            }
            hands.sleepers.lock().unwrap().push((at, wake));
            Box::pin(async move {
                let _ = woken.await;
            })
        };
        Timer::new(self.clock.shared(), Arc::new(sleep))
    }

    /// Lets every task go as far as it can.
    pub async fn settle() {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    /// Time passes, and everybody wakes at their own moment.
    pub async fn advance(&self, time: Duration) {
        Self::settle().await;
        let target = self.clock.monotonic_ms() + u64::try_from(time.as_millis()).unwrap();
        loop {
            let next = {
                let mut sleepers = self.sleepers.lock().unwrap();
                sleepers.retain(|(_, wake)| !wake.is_closed());
                let first = sleepers.iter().map(|(at, _)| *at).min().filter(|at| *at <= target);
                first.map(|first| {
                    let (now, later) = std::mem::take(&mut *sleepers).into_iter().partition(|(at, _)| *at <= first);
                    *sleepers = later;
                    (first, now)
                })
            };
            let Some((at, awake)): Option<(u64, Vec<Sleeper>)> = next else { break };
            self.clock.advance(Duration::from_millis(at.saturating_sub(self.clock.monotonic_ms())));
            for (_, wake) in awake {
                let _ = wake.send(());
            }
            Self::settle().await;
        }
        self.clock.advance(Duration::from_millis(target.saturating_sub(self.clock.monotonic_ms())));
    }
}

/// A peer that nobody answers.
pub struct Silent;

impl Peer for Silent {
    fn call(&self, _: Request<Bytes>, _: Limits) -> BoxFuture<'_, Result<Response<Bytes>, PeerError>> {
        Box::pin(std::future::ready(Err(PeerError::Unreachable)))
    }
}

pub fn runner<C: Caller + Clone>(caller: &C, hands: &Hands) -> Runner<C> {
    let tokens = TokenSource::new(Arc::new(Silent), hands.clock.shared(), 16);
    Runner { caller: caller.clone(), tokens, timer: hands.timer() }
}

/// Runs with a script that answers at once.
pub async fn run(composition: &Composition, script: &Script, input: Input) -> Answer {
    runner(script, &Hands::default()).run(composition, input).await
}

pub fn body(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|_| json!(String::from_utf8_lossy(&answer.body)))
}

/// `name: outcome status error attempts` of each part.
pub fn parts(answer: &Answer) -> Vec<String> {
    answer
        .report
        .parts
        .iter()
        .map(|part| {
            let error = part.error.map_or(String::new(), |error| format!(" {error:?}"));
            let status = part.status.map_or(String::new(), |status| format!(" {status}"));
            format!("{}: {:?}{status}{error} x{}", part.name, part.outcome, part.attempts)
        })
        .collect()
}
