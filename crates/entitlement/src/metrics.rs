//! Counters for Prometheus. Labels have few values, all of them ours: nothing that a caller sends becomes one.

use std::sync::Arc;

use policy::Verdict;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    verdict: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Fetch {
    outcome: &'static str,
}

#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    requests: Family<Request, Counter>,
    duration: Histogram,
    decisions: Family<Outcome, Counter>,
    dropped: Counter,
    attributes: Family<Fetch, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("cardea_entitlement");
        let requests = Family::<Request, Counter>::default();
        registry.register("http_requests", "Requests by route and status", requests.clone());
        let duration = Histogram::new([0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 30.0]);
        registry.register("http_request_duration_seconds", "Time to answer a request", duration.clone());
        let decisions = Family::<Outcome, Counter>::default();
        registry.register("decisions", "Decisions by verdict", decisions.clone());
        let dropped = Counter::default();
        registry.register("decisions_not_logged", "Decisions that found the log's queue full", dropped.clone());
        let attributes = Family::<Fetch, Counter>::default();
        registry.register("attribute_fetches", "Questions to the attribute source by outcome", attributes.clone());
        Self { registry: Arc::new(registry), requests, duration, decisions, dropped, attributes }
    }
}

impl Metrics {
    /// `route` is the router's template, never the path that was asked for.
    pub fn request(&self, route: &str, status: u16, seconds: f64) {
        self.requests.get_or_create(&Request { route: route.to_owned(), status }).inc();
        self.duration.observe(seconds);
    }

    pub fn decision(&self, verdict: Verdict) {
        self.decisions.get_or_create(&Outcome { verdict: verdict.as_str() }).inc();
    }

    pub fn not_logged(&self) {
        self.dropped.inc();
    }

    pub fn dropped(&self) -> u64 {
        self.dropped.get()
    }

    pub fn fetch(&self, outcome: &'static str) {
        self.attributes.get_or_create(&Fetch { outcome }).inc();
    }

    /// In the text format of Prometheus (OpenMetrics).
    pub fn render(&self) -> String {
        let mut out = String::new();
        if text::encode(&mut out, &self.registry).is_err() {
            tracing::error!("the metrics could not be written");
        }
        out
    }
}
