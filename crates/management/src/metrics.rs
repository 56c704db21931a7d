//! Figures of the management system for Prometheus; every label is bounded.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    route: String,
    status: u16,
}

#[derive(Debug, Clone, Default)]
pub struct Metrics(Arc<Figures>);

#[derive(Debug)]
struct Figures {
    requests: Family<Request, Counter>,
    durations: Histogram,
}

impl Default for Figures {
    fn default() -> Self {
        let durations = Histogram::new([0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]);
        Self { requests: Family::default(), durations }
    }
}

impl Metrics {
    pub fn register(&self, registry: &mut Registry) {
        let management = registry.sub_registry_with_prefix("management");
        management.register("requests", "Requests, by route and status", self.0.requests.clone());
        let help = "Time to answer, long polls included";
        management.register_with_unit("request_duration", help, Unit::Seconds, self.0.durations.clone());
    }

    pub(crate) fn request(&self, route: &str, status: u16, seconds: f64) {
        self.0.requests.get_or_create(&Request { route: route.to_owned(), status }).inc();
        self.0.durations.observe(seconds);
    }
}
