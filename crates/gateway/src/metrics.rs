//! Counters by the names of OpenTelemetry's semantic conventions where there are some. Labels are
//! bounded: names of configuration and words of our own, never what a client sent.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::edge::{Exchange, Outcome};
use crate::policy::PolicyMetrics;
use crate::usage;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Name(pub Arc<str>);

impl EncodeLabelValue for Name {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        let text: &str = &self.0;
        text.encode(encoder)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    http_request_method: &'static str,
    http_response_status_code: u16,
    http_route: Name,
}

impl RequestLabels {
    fn new(method: &'static str, status: u16, route: &Arc<str>) -> Self {
        Self { http_request_method: method, http_response_status_code: status, http_route: Name(Arc::clone(route)) }
    }
}

/// How facts about a token are come by most of the time.
const HIT: &str = "hit";
const MOST_RECENT: usize = 16;
/// Denials by a plan.
const LIMITS: [&str; 2] = ["rate_limited", "quota_exceeded"];

thread_local! {
    /// As [`RECENT`], of `calls`.
    static RECENT_CALLS: RefCell<Vec<(Call, Counter)>> = const { RefCell::new(Vec::new()) };
    /// Histograms this thread has used, found without hashing labels and without a lock.
    static RECENT: RefCell<Vec<(RequestLabels, Histogram)>> = const { RefCell::new(Vec::new()) };
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IssuerLabel {
    issuer: Name,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IssuerOutcome {
    issuer: Name,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Call {
    api: Name,
    /// Empty: without one.
    plan: Name,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Limit {
    plan: Name,
    reason: &'static str,
    mode: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CompositionLabels {
    composition: Name,
    ending: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PartLabels {
    composition: Name,
    part: Name,
    outcome: &'static str,
    /// Empty where nothing went wrong.
    error: &'static str,
}

#[derive(Debug)]
pub(crate) struct Metrics {
    pub policy: PolicyMetrics,
    requests: Family<RequestLabels, Histogram, fn() -> Histogram>,
    denied: Family<Reason, Counter>,
    lookups: Family<Reason, Counter>,
    /// One of `lookups`.
    hits: Counter,
    introspections: Family<IssuerOutcome, Histogram, fn() -> Histogram>,
    events: Family<IssuerLabel, Counter>,
    feed_failures: Family<IssuerLabel, Counter>,
    feed_lag: Family<IssuerLabel, Gauge<f64, std::sync::atomic::AtomicU64>>,
    cached: Family<IssuerLabel, Gauge>,
    reloads: Family<Reason, Counter>,
    calls: Family<Call, Counter>,
    limited: Family<Limit, Counter>,
    compositions: Family<CompositionLabels, Counter>,
    parts: Family<PartLabels, Histogram, fn() -> Histogram>,
    unshipped: Gauge,
    oldest: Gauge<f64, std::sync::atomic::AtomicU64>,
    usage_bytes: Gauge,
    usage_aside: Gauge,
    usage_damaged: Gauge,
    published: Gauge,
    published_refused: Gauge,
}

impl Metrics {
    pub fn new(registry: &mut Registry) -> Self {
        let seconds: fn() -> Histogram =
            || Histogram::new([0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]);
        let lookups = Family::<Reason, Counter>::default();
        let hits = lookups.get_or_create(&Reason { reason: HIT }).clone();
        let metrics = Self {
            policy: PolicyMetrics::new(registry),
            hits,
            lookups,
            requests: Family::new_with_constructor(seconds),
            denied: Family::default(),
            introspections: Family::new_with_constructor(seconds),
            events: Family::default(),
            feed_failures: Family::default(),
            feed_lag: Family::default(),
            cached: Family::default(),
            reloads: Family::default(),
            calls: Family::default(),
            limited: Family::default(),
            compositions: Family::default(),
            parts: Family::new_with_constructor(seconds),
            unshipped: Gauge::default(),
            oldest: Gauge::default(),
            usage_bytes: Gauge::default(),
            usage_aside: Gauge::default(),
            usage_damaged: Gauge::default(),
            published: Gauge::default(),
            published_refused: Gauge::default(),
        };
        registry.register(
            "cardea_published_version",
            "Version of management's snapshot that is served; 0: none",
            metrics.published.clone(),
        );
        registry.register(
            "cardea_published_refused",
            "1 while a newer snapshot of management is refused",
            metrics.published_refused.clone(),
        );
        let help = "Usage records that management has not taken yet";
        registry.register("cardea_usage_unshipped", help, metrics.unshipped.clone());
        registry.register("cardea_usage_oldest_seconds", "Age of the oldest of them", metrics.oldest.clone());
        registry.register("cardea_usage_bytes", "Size of the usage log on the disk", metrics.usage_bytes.clone());
        let help = "Usage records that management refused: they lie aside and are not counted";
        registry.register("cardea_usage_set_aside", help, metrics.usage_aside.clone());
        let help = "What could not be read of usage logs: it lies aside and is not counted";
        registry.register("cardea_usage_damaged_bytes", help, metrics.usage_damaged.clone());
        registry.register("cardea_api_calls", "Calls of APIs, by plan and outcome", metrics.calls.clone());
        registry.register(
            "cardea_limited",
            "Calls that were beyond their plan's rate or quota, refused or (in shadow mode) not",
            metrics.limited.clone(),
        );
        registry.register(
            "http_server_request_duration_seconds",
            "Time from the head of a request to the end of its answer",
            metrics.requests.clone(),
        );
        registry.register("cardea_denied", "Requests that were not sent on, by reason", metrics.denied.clone());
        registry.register("cardea_token_lookups", "How facts about tokens were come by", metrics.lookups.clone());
        registry.register(
            "cardea_introspection_duration_seconds",
            "Questions to token services",
            metrics.introspections.clone(),
        );
        registry.register("cardea_revocation_events", "Revocations received", metrics.events.clone());
        registry.register(
            "cardea_revocation_feed_failures",
            "Polls of a feed that failed",
            metrics.feed_failures.clone(),
        );
        registry.register(
            "cardea_revocation_lag_seconds",
            "How far a feed may be behind; -1 before the first answer",
            metrics.feed_lag.clone(),
        );
        registry.register("cardea_token_cache_entries", "Tokens about which facts are kept", metrics.cached.clone());
        registry.register(
            "cardea_configuration_loads",
            "Sets of resources that were taken or refused",
            metrics.reloads.clone(),
        );
        registry.register("cardea_compositions", "Answers that were composed", metrics.compositions.clone());
        registry.register(
            "cardea_composition_part_duration_seconds",
            "Steps of compositions, with all their attempts",
            metrics.parts.clone(),
        );
        metrics
    }

    /// To be kept by the composition: a whole answer costs no look-up.
    pub fn whole_answers(&self, composition: &Arc<str>) -> Counter {
        self.compositions.get_or_create(&composition_labels(composition, "complete")).clone()
    }

    pub fn other_answer(&self, composition: &Arc<str>, ending: &'static str) {
        self.compositions.get_or_create(&composition_labels(composition, ending)).inc();
    }

    /// The same for a part.
    pub fn good_parts(&self, composition: &Arc<str>, part: &str) -> Histogram {
        self.parts.get_or_create(&part_labels(composition, part, "done", "")).clone()
    }

    pub fn other_part(
        &self,
        composition: &Arc<str>,
        part: &str,
        outcome: &'static str,
        error: &'static str,
        took: Duration,
    ) {
        self.parts.get_or_create(&part_labels(composition, part, outcome, error)).observe(took.as_secs_f64());
    }

    pub fn finished(&self, exchange: &Exchange, outcome: &Outcome) {
        self.observe(exchange, outcome);
        if let Some(reason) = exchange.denied {
            self.denied.get_or_create(&Reason { reason }).inc();
        }
        let limited = |reason, mode| {
            let plan = Name(exchange.plan.clone().unwrap_or_default());
            self.limited.get_or_create(&Limit { plan, reason, mode }).inc();
        };
        if let Some(reason) = exchange.denied.filter(|reason| LIMITS.contains(reason)) {
            limited(reason, "enforce");
        }
        if let Some(reason) = exchange.shadowed.filter(|reason| LIMITS.contains(reason)) {
            limited(reason, "shadow");
        }
        match exchange.token_cache {
            None => {}
            Some(HIT) => {
                self.hits.inc();
            }
            Some(reason) => {
                self.lookups.get_or_create(&Reason { reason }).inc();
            }
        }
    }

    pub fn unrecorded(&self, registry: &mut Registry, counter: Counter) {
        registry.register(
            "cardea_usage_unrecorded",
            "Calls without a usage record: the disk took none, or too many strangers were refused",
            counter,
        );
    }

    pub fn published(&self, serving: Option<u64>, refused: bool) {
        self.published.set(serving.and_then(|version| i64::try_from(version).ok()).unwrap_or(0));
        self.published_refused.set(i64::from(refused));
    }

    pub fn usage(&self, state: &usage::State) {
        let whole = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.usage_aside.set(whole(state.aside.iter().map(|one| one.records).sum()));
        self.usage_damaged.set(whole(state.aside.iter().map(|one| one.damaged_bytes).sum()));
        self.unshipped.set(i64::try_from(state.unshipped).unwrap_or(i64::MAX));
        self.oldest.set(state.oldest.map_or(0.0, |age| age.as_secs_f64()));
        self.usage_bytes.set(i64::try_from(state.bytes).unwrap_or(i64::MAX));
    }

    pub fn called(&self, api: &Arc<str>, plan: Option<&Arc<str>>, outcome: usage::Outcome) {
        let outcome = outcome.as_str();
        RECENT_CALLS.with_borrow_mut(|recent| {
            let same = |call: &Call| {
                let plan_is = match plan {
                    Some(plan) => Arc::ptr_eq(&call.plan.0, plan),
                    None => call.plan.0.is_empty(),
                };
                Arc::ptr_eq(&call.api.0, api) && plan_is && call.outcome == outcome
            };
            if let Some((_, counter)) = recent.iter().find(|(call, _)| same(call)) {
                counter.inc();
                return;
            }
            let call = Call { api: Name(Arc::clone(api)), plan: Name(plan.cloned().unwrap_or_default()), outcome };
            let counter = self.calls.get_or_create(&call).clone();
            counter.inc();
            if recent.len() >= MOST_RECENT {
                recent.clear();
            }
            recent.push((call, counter));
        });
    }

    fn observe(&self, exchange: &Exchange, outcome: &Outcome) {
        let seconds = exchange.started.elapsed().as_secs_f64();
        let method = exchange.request.as_ref().map_or("_OTHER", |request| method(&request.method));
        let status = outcome.status.as_u16();
        let Some(route) = &exchange.route else {
            let labels = RequestLabels::new(method, status, &Arc::default());
            self.requests.get_or_create(&labels).observe(seconds);
            return;
        };
        RECENT.with_borrow_mut(|recent| {
            // The name is compared as a place in memory, which is nobody else's while it is kept here.
            let known = recent.iter().find(|(labels, _)| {
                Arc::ptr_eq(&labels.http_route.0, route)
                    && labels.http_response_status_code == status
                    && labels.http_request_method == method
            });
            if let Some((_, histogram)) = known {
                histogram.observe(seconds);
                return;
            }
            let labels = RequestLabels::new(method, status, route);
            let histogram = self.requests.get_or_create(&labels).clone();
            histogram.observe(seconds);
            if recent.len() >= MOST_RECENT {
                recent.clear();
            }
            recent.push((labels, histogram));
        });
    }

    pub fn introspected(&self, issuer: &Arc<str>, outcome: &'static str, took: Duration) {
        let labels = IssuerOutcome { issuer: Name(Arc::clone(issuer)), outcome };
        self.introspections.get_or_create(&labels).observe(took.as_secs_f64());
    }

    pub fn events(&self, issuer: &Arc<str>, number: usize) {
        self.events.get_or_create(&label(issuer)).inc_by(u64::try_from(number).unwrap_or(0));
    }

    pub fn feed_failed(&self, issuer: &Arc<str>) {
        self.feed_failures.get_or_create(&label(issuer)).inc();
    }

    pub fn loaded(&self, reason: &'static str) {
        self.reloads.get_or_create(&Reason { reason }).inc();
    }

    /// Values that are looked up when somebody asks. `lag`: `None` = no feed, `Some(None)` = nothing heard yet.
    pub fn state(&self, issuer: &Arc<str>, lag: Option<Option<Duration>>, cached: usize) {
        if let Some(lag) = lag {
            self.feed_lag.get_or_create(&label(issuer)).set(lag.map_or(-1.0, |lag| lag.as_secs_f64()));
        }
        self.cached.get_or_create(&label(issuer)).set(i64::try_from(cached).unwrap_or(i64::MAX));
    }
}

fn composition_labels(composition: &Arc<str>, ending: &'static str) -> CompositionLabels {
    CompositionLabels { composition: Name(Arc::clone(composition)), ending }
}

fn part_labels(composition: &Arc<str>, part: &str, outcome: &'static str, error: &'static str) -> PartLabels {
    PartLabels { composition: Name(Arc::clone(composition)), part: Name(part.into()), outcome, error }
}

fn label(issuer: &Arc<str>) -> IssuerLabel {
    IssuerLabel { issuer: Name(Arc::clone(issuer)) }
}

/// Semantic conventions: an unknown method is `_OTHER`, so that nobody fills the label.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        Method::OPTIONS => "OPTIONS",
        _ => "_OTHER",
    }
}
