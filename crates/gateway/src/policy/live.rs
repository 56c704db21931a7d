//! The live parts of a picture: its sources of decisions, and the policies of its routes.

use std::collections::BTreeMap;
use std::sync::Arc;

use catalog::{Fault, Route, Snapshot};

use super::{LivePolicy, Source};
use crate::phantom::World;
use crate::snapshot::{Plan, fault};
use crate::wellknown::Resources;

/// What has not changed is taken over with all that it knows.
pub(crate) fn sources(plan: &Plan<'_>, catalog: &Snapshot, faults: &mut Vec<Fault>) -> BTreeMap<String, Arc<Source>> {
    let mut specs = Vec::new();
    for source in &catalog.policy_sources {
        let snapshot = source.spec.snapshot.as_ref().map(|snapshot| (&snapshot.secret, "/spec/snapshot/secret"));
        let authzen = source.spec.authzen.as_ref().and_then(|authzen| authzen.secret.as_ref());
        let reference = snapshot.or(authzen.map(|secret| (secret, "/spec/authzen/secret")));
        match reference.map(|(secret, pointer)| plan.secrets.read(secret).map_err(|error| (pointer, error))).transpose()
        {
            Ok(secret) => specs.push((source, secret)),
            Err((pointer, message)) => faults.extend(fault(plan, "PolicySource", &source.name, pointer, &message)),
        }
    }
    // A set that is refused starts nothing.
    if !faults.is_empty() {
        return BTreeMap::new();
    }
    let live = specs.into_iter().filter_map(|(source, secret)| {
        let name = source.name.to_string();
        let before = plan.before.and_then(|before| before.policy_source(&name));
        let live = match before {
            Some(before) if before.is(&source.spec, secret.as_ref()) => Arc::clone(before),
            _ => Arc::new(Source::start(&source.name, &source.spec, secret, plan.world)?),
        };
        Some((name, live))
    });
    live.collect()
}

pub(crate) fn of_route(
    route: &Arc<Route>,
    sources: &BTreeMap<String, Arc<Source>>,
    resources: &Resources<'_>,
    world: &World,
) -> Option<LivePolicy> {
    let policy = route.policy.as_ref()?;
    let source = sources.get(&*policy.source.name)?;
    let mode = if policy.shadow { "shadow" } else { "enforce" };
    let counters = world.metrics.policy.counters(&route.name, &policy.source.name, mode);
    LivePolicy::new(route, source, counters, &resources.metadata_url(route))
}
