//! A composition on its way: each step starts when what it needs is there; one deadline stands over all.

use std::sync::Arc;
use std::time::Duration;

use expression::{Part, Scope};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value};

use crate::answer::Answer;
use crate::caller::Caller;
use crate::composition::{Composition, Step, step_of};
use crate::finish::{Failed, finish, tells};
use crate::input::{Input, Subject};
use crate::partial::{self, Ending, Outcome, PartReport, Report, Trouble};
use crate::step::{Received, Sending, Sent};
use crate::time::Timer;
use crate::tokens::TokenSource;

/// The problem of a composition whose client has gone away. No client sees it.
pub const GIVEN_UP: &str = "composition_given_up";

/// Runs compositions.
#[derive(Clone)]
pub struct Runner<C> {
    pub caller: C,
    pub tokens: TokenSource,
    pub timer: Timer,
}

impl<C> std::fmt::Debug for Runner<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Runner")
    }
}

impl<C: Caller> Runner<C> {
    /// Runs a composition for a request that has been let in. Dropping the future gives up all of it, and
    /// undoes nothing.
    pub async fn run(&self, composition: &Composition, input: Input) -> Answer {
        self.run_until(composition, input, std::future::pending()).await
    }

    /// The same; when `gone` is over, since nobody waits for the answer any more, steps on their way are
    /// given up and what was done is undone.
    pub async fn run_until(
        &self,
        composition: &Composition,
        mut input: Input,
        gone: impl Future<Output = ()>,
    ) -> Answer {
        let subject = input.subject.take();
        let id = input.id.clone();
        let mut run = Run {
            composition,
            along: std::mem::take(&mut input.along),
            began_ms: self.timer.now_ms(),
            scope: input.scope(&composition.needs.names),
            states: composition.steps.iter().map(|_| State::Waiting).collect(),
            started: Vec::new(),
        };
        let given_up = self.steps(&mut run, subject.as_ref(), gone).await;
        let parts = run.close(self.timer.now_ms());
        let pass = |name: &str, status: u16| {
            composition
                .step_index(name)
                .and_then(|at| composition.steps.get(at))
                .is_some_and(|s| s.pass.contains(&status))
        };
        let failed = partial::decisive(&parts, pass).map(|(name, trouble, status)| Failed {
            status,
            slug: trouble.problem().1,
            detail: format!("part `{name}`: {trouble}"),
        });
        let shaped = match failed {
            _ if given_up => Err(Failed {
                status: StatusCode::BAD_GATEWAY,
                slug: GIVEN_UP,
                detail: "the client has gone away".to_owned(),
            }),
            Some(failed) => Err(failed),
            None => composition.shape.make(&run.scope, tells(composition, &parts)).map_err(|error| Failed {
                status: StatusCode::BAD_GATEWAY,
                slug: "composition_shape",
                detail: format!("the answer cannot be made: {error}"),
            }),
        };
        // An answer that cannot be sent is a failure, and what was done for it is undone, too.
        let shaped = shaped.and_then(|shaped| match composition.undoes() && shaped.size() > composition.max_answer {
            true => Err(Failed::too_large()),
            false => Ok(shaped),
        });
        let compensated = match &shaped {
            Ok(_) => Vec::new(),
            Err(_) => self.compensate(composition, &run.scope, &parts, &run.started, subject.as_ref()).await,
        };
        let duration_ms = self.timer.now_ms().saturating_sub(run.began_ms);
        let report = Report { ending: Ending::Complete, duration_ms, parts, compensated };
        finish(composition, &id, shaped, report)
    }

    /// Whether they were given up because nobody waits for them any more.
    async fn steps(&self, run: &mut Run<'_>, subject: Option<&Subject>, gone: impl Future<Output = ()>) -> bool {
        if run.states.is_empty() {
            return false;
        }
        let deadline = self.timer.sleep(run.composition.deadline);
        tokio::pin!(deadline, gone);
        let mut running = FuturesUnordered::new();
        loop {
            while running.len() < run.composition.concurrency {
                let Some((at, step, sending)) = run.next(self.timer.now_ms()) else { break };
                running.push(async move { (at, step, self.send(sending, subject).await) });
            }
            if running.is_empty() || run.is_lost() {
                return false;
            }
            tokio::select! {
                biased;
                ended = running.next() => {
                    let Some((at, step, sent)) = ended else { return false };
                    run.end(at, step, sent, self.timer.now_ms());
                    if run.is_lost() {
                        // What is still on its way is dropped with `running`.
                        return false;
                    }
                }
                () = &mut deadline => {
                    run.end_all(Trouble::Deadline, self.timer.now_ms());
                    return false;
                }
                () = &mut gone => {
                    run.end_all(Trouble::Cancelled, self.timer.now_ms());
                    return true;
                }
            }
        }
    }
}

struct Run<'c> {
    composition: &'c Composition,
    along: HeaderMap,
    began_ms: u64,
    scope: Scope,
    states: Vec<State>,
    /// Steps in the order in which they were sent.
    started: Vec<usize>,
}

enum State {
    Waiting,
    Running { started_ms: u64 },
    Ended(PartReport),
}

/// How a step ended.
struct End {
    outcome: Outcome,
    status: Option<u16>,
    error: Option<Trouble>,
    attempts: u32,
}

impl Default for End {
    fn default() -> Self {
        Self { outcome: Outcome::Failed, status: None, error: None, attempts: 0 }
    }
}

impl<'c> Run<'c> {
    /// The next step that can be sent; ends on the way those that are left out or cannot be made.
    fn next(&mut self, now_ms: u64) -> Option<(usize, &'c Step, Sending<'c>)> {
        let composition = self.composition;
        while !self.is_lost() {
            let at = self.ready()?;
            let step = composition.steps.get(at)?;
            match step.when.as_ref().map_or(Ok(true), |when| when.truth(&self.scope)) {
                Ok(true) => {}
                Ok(false) => {
                    self.conclude(at, step, End { outcome: Outcome::Skipped, ..End::default() }, now_ms);
                    continue;
                }
                Err(_) => {
                    self.fail(at, step, cannot_be_made(step), now_ms);
                    continue;
                }
            }
            let request = match step.request.render(&self.scope) {
                Ok(mut request) => {
                    self.go_along(request.headers_mut());
                    request
                }
                Err(_) => {
                    self.fail(at, step, cannot_be_made(step), now_ms);
                    continue;
                }
            };
            let time = self.share(at, step, now_ms);
            if let Some(state) = self.states.get_mut(at) {
                *state = State::Running { started_ms: now_ms };
            }
            self.started.push(at);
            return Some((at, step, Sending::of(step, request, time)));
        }
        None
    }

    /// In place of what a template may say of the same fields.
    fn go_along(&self, headers: &mut HeaderMap) {
        for name in self.along.keys() {
            headers.remove(name);
        }
        for (name, value) in &self.along {
            headers.append(name, value.clone());
        }
    }

    fn ready(&self) -> Option<usize> {
        let ended = |need: &usize| matches!(self.states.get(*need), Some(State::Ended(_)));
        self.composition
            .steps
            .iter()
            .zip(&self.states)
            .position(|(step, state)| matches!(state, State::Waiting) && step.needs.iter().all(ended))
    }

    /// What is left of the deadline, divided by the steps of the longest chain that begins here.
    fn share(&self, at: usize, step: &Step, now_ms: u64) -> Duration {
        let spent = Duration::from_millis(now_ms.saturating_sub(self.began_ms));
        let left = self.composition.deadline.saturating_sub(spent);
        let height = self.composition.plan.heights.get(at).copied().unwrap_or(1).max(1);
        step.timeout.map_or(left / height, |timeout| timeout.min(left))
    }

    fn end(&mut self, at: usize, step: &Step, sent: Sent, now_ms: u64) {
        let Sent { result, status, attempts } = sent;
        match result {
            Ok(received) => {
                self.tell(step, status, Some(received));
                self.record(at, step, End { outcome: Outcome::Done, status, error: None, attempts }, now_ms);
            }
            Err(error) => {
                // A step that had all the time there was has not been too slow by itself.
                let over = Duration::from_millis(now_ms.saturating_sub(self.began_ms)) >= self.composition.deadline;
                let error = if over && error == Trouble::TimedOut { Trouble::Deadline } else { error };
                self.conclude(at, step, End { outcome: failed(step), status, error: Some(error), attempts }, now_ms);
            }
        }
    }

    fn fail(&mut self, at: usize, step: &Step, error: Trouble, now_ms: u64) {
        self.conclude(at, step, End { outcome: failed(step), error: Some(error), ..End::default() }, now_ms);
    }

    /// Ends a step that brought nothing.
    fn conclude(&mut self, at: usize, step: &Step, end: End, now_ms: u64) {
        self.tell(step, end.status, None);
        self.record(at, step, end, now_ms);
    }

    /// What later steps and the answer read of it.
    fn tell(&mut self, step: &Step, status: Option<u16>, received: Option<Received>) {
        let ok = received.is_some();
        let (headers, body) = match received {
            Some(received) => (received.headers, received.body),
            None => {
                let fallback = step.fallback.as_ref().and_then(|fallback| fallback.value(&self.scope).ok());
                (Map::new(), fallback.unwrap_or(Value::Null))
            }
        };
        let values = [Value::from(status.unwrap_or(0)), Value::from(ok), Value::Object(headers), body];
        for (name, value) in step.names.iter().zip(values) {
            if let Some(name) = name {
                self.scope.set(Arc::clone(name), Part::new(value));
            }
        }
    }

    fn record(&mut self, at: usize, step: &Step, end: End, now_ms: u64) {
        let Some(state) = self.states.get_mut(at) else { return };
        let started_ms = match state {
            State::Running { started_ms } => *started_ms,
            _ => now_ms,
        };
        *state = State::Ended(PartReport {
            name: step.name.clone(),
            outcome: end.outcome,
            required: step.required,
            status: end.status,
            error: end.error,
            attempts: end.attempts,
            started_ms: started_ms.saturating_sub(self.began_ms),
            duration_ms: now_ms.saturating_sub(started_ms),
        });
    }

    /// Whether nothing can make this an answer any more.
    fn is_lost(&self) -> bool {
        self.states
            .iter()
            .any(|state| matches!(state, State::Ended(part) if part.required && part.outcome == Outcome::Failed))
    }

    fn end_all(&mut self, trouble: Trouble, now_ms: u64) {
        let composition = self.composition;
        for (at, step) in composition.steps.iter().enumerate() {
            let attempts = match self.states.get(at) {
                Some(State::Ended(_)) | None => continue,
                Some(State::Waiting) => 0,
                Some(State::Running { .. }) => 1,
            };
            let end = End { outcome: failed(step), status: None, error: Some(trouble), attempts };
            self.conclude(at, step, end, now_ms);
        }
    }

    fn close(&mut self, now_ms: u64) -> Vec<PartReport> {
        self.end_all(Trouble::Cancelled, now_ms);
        let ended = std::mem::take(&mut self.states).into_iter().filter_map(|state| match state {
            State::Ended(part) => Some(part),
            _ => None,
        });
        ended.collect()
    }
}

fn failed(step: &Step) -> Outcome {
    if !step.required && step.fallback.is_some() { Outcome::Fallback } else { Outcome::Failed }
}

/// A request that is made of the caller's alone is at fault with the caller.
fn cannot_be_made(step: &Step) -> Trouble {
    if step.reads().any(|read| step_of(read).is_some()) { Trouble::Mapping } else { Trouble::BadValue }
}
