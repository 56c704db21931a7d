//! What is counted of decisions.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::metrics::Name;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PolicyLabels {
    route: Name,
    source: Name,
    mode: &'static str,
    verdict: &'static str,
}

const VERDICTS: [&str; 6] = ["permitted", "forbidden", "not_permitted", "denied", "failed", "unavailable"];

/// Decisions about the calls of one route, by verdict.
#[derive(Debug)]
pub(crate) struct PolicyCounters([(&'static str, Counter); 6]);

impl PolicyCounters {
    pub fn count(&self, verdict: &str) {
        if let Some((_, counter)) = self.0.iter().find(|(own, _)| *own == verdict) {
            counter.inc();
        }
    }
}

#[derive(Debug)]
pub(crate) struct PolicyMetrics {
    policies: Family<PolicyLabels, Counter>,
    not_reported: Counter,
}

impl PolicyMetrics {
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self { policies: Family::default(), not_reported: Counter::default() };
        registry.register("cardea_policy_decisions", "Decisions of policies about calls", metrics.policies.clone());
        registry.register(
            "cardea_policy_denials_not_reported",
            "Denied calls that the decision log was not told of, since the queue was full",
            metrics.not_reported.clone(),
        );
        metrics
    }

    /// The counters of a route's policy, found once.
    pub fn counters(&self, route: &Arc<str>, source: &Arc<str>, mode: &'static str) -> PolicyCounters {
        let counter = |verdict| {
            let (route, source) = (Name(Arc::clone(route)), Name(Arc::clone(source)));
            let labels = PolicyLabels { route, source, mode, verdict };
            (verdict, self.policies.get_or_create(&labels).clone())
        };
        PolicyCounters(VERDICTS.map(counter))
    }

    pub fn denial_not_reported(&self) {
        self.not_reported.inc();
    }
}
