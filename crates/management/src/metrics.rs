//! Figures of the management system for Prometheus; every label is bounded.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::usage::Count;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Used {
    api: String,
    plan: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Registration {
    outcome: &'static str,
}

/// Pairs of API and plan that are told apart; what comes after them is `other`.
const MOST_PAIRS: usize = 1_000;

#[derive(Debug, Clone, Default)]
pub struct Metrics(Arc<Figures>);

#[derive(Debug)]
struct Figures {
    requests: Family<Request, Counter>,
    durations: Histogram,
    calls: Family<Used, Counter>,
    units: Family<Used, Counter>,
    registrations: Family<Registration, Counter>,
    pushed: Counter,
    push_failures: Counter,
    invoices: Counter,
    invoices_overdue: Gauge,
    pairs: Mutex<HashSet<(String, String)>>,
}

impl Default for Figures {
    fn default() -> Self {
        let durations = Histogram::new([0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]);
        let (requests, calls, units) = (Family::default(), Family::default(), Family::default());
        Self {
            requests,
            durations,
            calls,
            units,
            registrations: Family::default(),
            pushed: Counter::default(),
            push_failures: Counter::default(),
            invoices: Counter::default(),
            invoices_overdue: Gauge::default(),
            pairs: Mutex::default(),
        }
    }
}

impl Metrics {
    pub fn register(&self, registry: &mut Registry) {
        let management = registry.sub_registry_with_prefix("management");
        management.register("requests", "Requests, by route and status", self.0.requests.clone());
        let help = "Time to answer, long polls included";
        management.register_with_unit("request_duration", help, Unit::Seconds, self.0.durations.clone());
        let help = "Calls that gateways reported and the ledger took, by API, plan and outcome";
        management.register("usage_calls", help, self.0.calls.clone());
        let help = "Units that the ledger took, by API, plan and outcome";
        management.register("usage_units", help, self.0.units.clone());
        let help = "What was asked of the identity system for applications, by outcome";
        management.register("registrations", help, self.0.registrations.clone());
        let help = "Calls that the receiver of `usage.push` has taken";
        management.register("usage_pushed", help, self.0.pushed.clone());
        let help = "Batches that it has not taken; each is sent again";
        management.register("usage_push_failures", help, self.0.push_failures.clone());
        management.register("invoices_issued", "Invoices issued by this process", self.0.invoices.clone());
        let help = "Organisations whose invoices are due and could not be issued";
        management.register("invoices_overdue", help, self.0.invoices_overdue.clone());
    }

    /// After the commit of a batch.
    pub(crate) fn usage(&self, counts: &[Count]) {
        for count in counts {
            let pair = (count.api.clone(), count.plan.clone());
            let mut pairs = self.0.pairs.lock().unwrap_or_else(PoisonError::into_inner);
            let known = pairs.contains(&pair) || (pairs.len() < MOST_PAIRS && pairs.insert(pair.clone()));
            drop(pairs);
            let (api, plan) = if known { pair } else { ("other".to_owned(), "other".to_owned()) };
            let labels = Used { api, plan, outcome: count.outcome };
            self.0.calls.get_or_create(&labels).inc_by(count.calls);
            self.0.units.get_or_create(&labels).inc_by(count.units);
        }
    }

    pub(crate) fn pushed(&self, calls: usize) {
        self.0.pushed.inc_by(u64::try_from(calls).unwrap_or(0));
    }

    pub(crate) fn push_failed(&self) {
        self.0.push_failures.inc();
    }

    pub(crate) fn invoices_issued(&self, many: usize) {
        self.0.invoices.inc_by(u64::try_from(many).unwrap_or(0));
    }

    pub(crate) fn invoices_overdue(&self, organisations: usize) {
        self.0.invoices_overdue.set(i64::try_from(organisations).unwrap_or(i64::MAX));
    }

    pub(crate) fn registration(&self, outcome: &'static str) {
        self.0.registrations.get_or_create(&Registration { outcome }).inc();
    }

    pub(crate) fn request(&self, route: &str, status: u16, seconds: f64) {
        self.0.requests.get_or_create(&Request { route: route.to_owned(), status }).inc();
        self.0.durations.observe(seconds);
    }
}
