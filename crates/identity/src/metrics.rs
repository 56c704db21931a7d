//! Counters for Prometheus. Labels have few values, all of them ours: nothing that a caller sends becomes one.

use std::sync::Arc;

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
struct Kind {
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    requests: Family<Request, Counter>,
    duration: Histogram,
    tokens: Family<Kind, Counter>,
    introspections: Family<Kind, Counter>,
    logins: Family<Kind, Counter>,
    authorizations: Family<Kind, Counter>,
    events: Family<Kind, Counter>,
    policy: Family<Kind, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("cardea_identity");
        let requests = Family::<Request, Counter>::default();
        registry.register("http_requests", "Requests by route and status", requests.clone());
        let duration = Histogram::new([0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5]);
        registry.register("http_request_duration_seconds", "Time to answer a request", duration.clone());
        let tokens = Family::<Kind, Counter>::default();
        registry.register("tokens", "Token requests by grant type and outcome", tokens.clone());
        let introspections = Family::<Kind, Counter>::default();
        registry.register("introspections", "Introspections by form of the answer and outcome", introspections.clone());
        let logins = Family::<Kind, Counter>::default();
        registry.register("logins", "Passwords checked, by outcome", logins.clone());
        let authorizations = Family::<Kind, Counter>::default();
        registry.register(
            "authorizations",
            "Answers of the authorization endpoint, by outcome",
            authorizations.clone(),
        );
        let events = Family::<Kind, Counter>::default();
        registry.register("events_delivered", "Security events given to receivers", events.clone());
        let policy = Family::<Kind, Counter>::default();
        registry.register(
            "policy_decisions",
            "Answers of the policy decision point, by mode and outcome",
            policy.clone(),
        );
        Self {
            registry: Arc::new(registry),
            requests,
            duration,
            tokens,
            introspections,
            logins,
            authorizations,
            events,
            policy,
        }
    }
}

impl Metrics {
    /// `route` is the router's template, never the path that was asked for.
    pub fn request(&self, route: &str, status: u16, seconds: f64) {
        self.requests.get_or_create(&Request { route: route.to_owned(), status }).inc();
        self.duration.observe(seconds);
    }

    pub fn token(&self, grant_type: &'static str, outcome: &'static str) {
        self.tokens.get_or_create(&Kind { kind: grant_type, outcome }).inc();
    }

    pub fn introspection(&self, form: &'static str, outcome: &'static str) {
        self.introspections.get_or_create(&Kind { kind: form, outcome }).inc();
    }

    pub fn login(&self, outcome: &'static str) {
        self.logins.get_or_create(&Kind { kind: "password", outcome }).inc();
    }

    /// `code`, or the error's code.
    pub fn authorization(&self, outcome: &'static str) {
        self.authorizations.get_or_create(&Kind { kind: "code", outcome }).inc();
    }

    /// `granted`, `narrowed`, `denied` or `outage`, in `enforce` or `shadow`.
    pub fn policy(&self, mode: &'static str, outcome: &'static str) {
        self.policy.get_or_create(&Kind { kind: mode, outcome }).inc();
    }

    pub fn events(&self, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.events.get_or_create(&Kind { kind: "poll", outcome: "delivered" }).inc_by(count);
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
