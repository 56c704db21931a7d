//! Step 7 for a composition: the request becomes an input of the integration service, whose steps go
//! out over the connections of the worker. The opaque token is left behind here, too: steps get the
//! inner JWT, or a token in exchange for it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use base::Problem;
use base::ids::RequestId;
use bytes::Bytes;
use catalog::{CanonicalPath, HostHeader};
use futures_util::future::LocalBoxFuture;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use integration::{Call, CallError, Caller, Composition, Ending, Input, Report, Runner, Subject, Timer, TokenSource};
use percent_encoding::percent_decode_str;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use serde_json::Value;

use crate::cors::OVERRULED;
use crate::edge::{Calls, Compose, Composed, Exchange, Head, Means, Outbound, Work, remove_secret};
use crate::forward::{along, readable};
use crate::metrics::Metrics;
use crate::phantom::{Facts, World};
use crate::snapshot::LiveRoute;
use crate::upstreams::Upstream;

/// The problem of a part whose status was not expected.
const PASSED: &str = "part_status";

/// A composition with what it needs to run.
pub(crate) struct LiveComposition {
    composition: Composition,
    /// Those that its steps go to.
    upstreams: Vec<(Arc<catalog::Upstream>, Arc<Upstream>)>,
    tokens: TokenSource,
    timer: Timer,
    metrics: Arc<Metrics>,
    whole_answers: Counter,
    /// By step.
    good_parts: Vec<Histogram>,
}

impl std::fmt::Debug for LiveComposition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveComposition").field("name", &self.composition.name).finish_non_exhaustive()
    }
}

impl LiveComposition {
    pub fn new(
        composition: Composition,
        tokens: TokenSource,
        upstreams: &BTreeMap<String, Arc<Upstream>>,
        world: &World,
    ) -> Self {
        let mut called: Vec<(Arc<catalog::Upstream>, Arc<Upstream>)> = Vec::new();
        for upstream in composition.upstreams() {
            if let Some(live) = upstreams.get(&*upstream.name)
                && !called.iter().any(|(known, _)| Arc::ptr_eq(known, upstream))
            {
                called.push((Arc::clone(upstream), Arc::clone(live)));
            }
        }
        let name = &composition.name;
        Self {
            upstreams: called,
            tokens,
            timer: Timer::new(Arc::clone(&world.clock), Arc::new(|time| Box::pin(tokio::time::sleep(time)))),
            whole_answers: world.metrics.whole_answers(name),
            good_parts: composition.steps.iter().map(|step| world.metrics.good_parts(name, &step.name)).collect(),
            metrics: Arc::clone(&world.metrics),
            composition,
        }
    }

    pub fn composition(&self) -> &Composition {
        &self.composition
    }

    fn upstream(&self, called: &Arc<catalog::Upstream>) -> Option<&Arc<Upstream>> {
        self.upstreams.iter().find(|(known, _)| Arc::ptr_eq(known, called)).map(|(_, live)| live)
    }

    fn count(&self, report: &Report) {
        let name = &self.composition.name;
        match report.ending {
            Ending::Complete => {
                self.whole_answers.inc();
            }
            ending => self.metrics.other_answer(name, ending.word()),
        }
        // The parts of a report stand in the order of the steps.
        for (part, good) in report.parts.iter().zip(&self.good_parts) {
            let took = Duration::from_millis(part.duration_ms);
            match (part.outcome, part.error) {
                (integration::Outcome::Done, None) => good.observe(took.as_secs_f64()),
                (outcome, error) => {
                    let error = error.map_or("", integration::Trouble::word);
                    self.metrics.other_part(name, &part.name, outcome.word(), error, took);
                }
            }
        }
    }
}

/// Only what a permit has been given for comes here.
pub(crate) fn prepare(
    live: &Arc<LiveComposition>,
    route: &LiveRoute,
    path: &CanonicalPath<'_>,
    facts: Option<&Facts>,
    head: &Head<'_>,
    exchange: &Exchange,
) -> Compose {
    let composition = &live.composition;
    let needs = &composition.needs;
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let parameter = |name: &str| (name.to_owned(), decoded(composition.pattern.value(name, path)));
    let query = head.query.filter(|_| needs.query).unwrap_or_default();
    let subject = facts.and_then(|facts| {
        let id = facts.subject.clone().unwrap_or_default();
        Some(Subject::with(id, facts.authorization.clone()?))
    });
    let input = Input {
        id: exchange.request_id.as_str().to_owned(),
        method: head.method.clone(),
        path: path.as_str().to_owned(),
        params: composition.pattern.parameters().map(parameter).collect(),
        query: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
        headers: readable(head.headers, needs.headers.as_deref()),
        body: Value::Null,
        claims: facts.map(Facts::readable).unwrap_or_default(),
        subject,
        along: if composition.steps.is_empty() { http::HeaderMap::new() } else { along(head, exchange) },
    };
    let job = Job {
        live: Arc::clone(live),
        input,
        is_json: head.headers.single(CONTENT_TYPE).ok().flatten().map(is_json),
        authority: HeaderValue::from_str(head.authority).ok(),
        secret: facts.and_then(|facts| facts.jwt.clone()),
        has_cors: route.cors().is_some(),
        request_id: exchange.request_id.clone(),
    };
    Compose {
        wants_body: needs.body,
        max_body_bytes: route.settings().max_body,
        idle_timeout: route.settings().idle_timeout,
        calls: !composition.steps.is_empty(),
        outlives_client: composition.undoes(),
        work: Box::new(job),
    }
}

fn is_json(media_type: &HeaderValue) -> bool {
    let text = media_type.to_str().unwrap_or_default();
    let kind = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

struct Job {
    live: Arc<LiveComposition>,
    input: Input,
    /// What the request says of its body, if anything.
    is_json: Option<bool>,
    /// What the client addressed.
    authority: Option<HeaderValue>,
    /// The inner JWT, which goes to no client.
    secret: Option<Bytes>,
    has_cors: bool,
    request_id: RequestId,
}

impl Work for Job {
    fn run(self: Box<Self>, means: Means) -> LocalBoxFuture<'static, Composed> {
        Box::pin(self.compose(means))
    }
}

impl Job {
    async fn compose(mut self: Box<Self>, means: Means) -> Composed {
        let Means { body, calls, gone } = means;
        if let Err(refused) = self.take_body(&body) {
            return *refused;
        }
        let live = Arc::clone(&self.live);
        let caller = StepCaller { live: &live, calls, authority: self.authority.take(), sent: Cell::new(0) };
        let runner = Runner { caller, tokens: live.tokens.clone(), timer: live.timer.clone() };
        let answer = runner.run_until(&live.composition, self.input, gone.cancelled()).await;
        live.count(&answer.report);
        let parts = answer.headers.get("cardea-parts").cloned();
        // What clients are not told is told to operators, if there is something to tell.
        let summary = (answer.report.ending != Ending::Complete).then(|| answer.report.summary());
        let missing_parts = if parts.is_some() { [summary, None] } else { [None, summary] };
        let parts = parts.or_else(|| HeaderValue::try_from(missing_parts[1].as_deref()?).ok());
        if answer.problem == Some(integration::GIVEN_UP) {
            tracing::warn!(
                composition.name = %live.composition.name, request.id = self.request_id.as_str(), ?parts,
                undone = answer.report.compensated.len(),
                "the client went away; what had been done was undone"
            );
        }
        let mut response = Response::new(answer.body);
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        if let Some(secret) = &self.secret {
            remove_secret(response.headers_mut(), secret);
        }
        for name in OVERRULED.iter().filter(|_| self.has_cors) {
            response.headers_mut().remove(name);
        }
        // A status that is passed on is the backend's no, not ours.
        let failed = answer.problem.filter(|slug| *slug != PASSED || answer.status.is_server_error());
        Composed { response, failed, parts, missing_parts, attempts: runner.caller.sent.get() }
    }

    /// The body as JSON, if the composition reads it.
    fn take_body(&mut self, body: &[u8]) -> Result<(), Box<Composed>> {
        if body.is_empty() {
            return Ok(());
        }
        if self.is_json != Some(true) {
            let detail = "Send JSON, and say so: `Content-Type: application/json`.";
            return Err(self.refused(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "body_not_json",
                "The request's body is not JSON",
                detail,
            ));
        }
        match serde_json::from_slice(body) {
            Ok(json) => {
                self.input.body = json;
                Ok(())
            }
            Err(error) => {
                let detail = format!("Line {}, column {} cannot be read.", error.line(), error.column());
                Err(self.refused(
                    StatusCode::BAD_REQUEST,
                    "body_malformed",
                    "The request's body is not well-formed JSON",
                    &detail,
                ))
            }
        }
    }

    fn refused(&self, status: StatusCode, slug: &'static str, title: &str, detail: &str) -> Box<Composed> {
        let problem = Problem::new(status, slug, title).detail(detail).request_id(self.request_id.as_str());
        let response = problem.into_response::<Vec<u8>>().map(Bytes::from);
        Box::new(Composed { response, failed: Some(slug), parts: None, missing_parts: [None, None], attempts: 0 })
    }
}

/// Lends the worker's connections to the steps of one request.
struct StepCaller<'l> {
    live: &'l LiveComposition,
    calls: Rc<dyn Calls>,
    authority: Option<HeaderValue>,
    sent: Cell<u32>,
}

impl Caller for StepCaller<'_> {
    async fn call(&self, call: Call<'_>) -> Result<Response<Bytes>, CallError> {
        self.sent.set(self.sent.get().saturating_add(1));
        let outbound = self.outbound(call).ok_or(CallError::Unreachable)?;
        self.calls.call(outbound).await
    }
}

impl StepCaller<'_> {
    fn outbound(&self, call: Call<'_>) -> Option<Outbound> {
        let upstream = call.target.upstream();
        let (timeouts, host) = match call.target {
            integration::Target::Service(service) => {
                (service.spec.timeouts.as_ref().unwrap_or(&upstream.spec.timeouts), Some(&service.spec.host))
            }
            integration::Target::Upstream(_) => (&upstream.spec.timeouts, None),
        };
        let (parts, body) = call.request.into_parts();
        Some(Outbound {
            upstream: Arc::clone(self.live.upstream(upstream)?),
            method: parts.method,
            path_and_query: parts.uri.into_parts().path_and_query?,
            headers: parts.headers,
            authority: match host {
                None | Some(HostHeader::Endpoint) => None,
                Some(HostHeader::Preserve) => self.authority.clone(),
                Some(HostHeader::Fixed(host)) => HeaderValue::from_str(host).ok(),
            },
            body,
            head_timeout: timeouts.head.0,
            idle_timeout: timeouts.idle.0,
            max_answer_bytes: call.body_bytes,
        })
    }
}
