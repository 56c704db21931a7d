//! Step 6: may they? Scopes and claims, then policies; on every request, from facts.

use std::sync::Arc;

use catalog::{CanonicalPath, Required};
use serde_json::Value;

use crate::deny::Deny;
use crate::edge::{Exchange, Head};
use crate::limits::Admitted;
use crate::phantom::Facts;
use crate::pipeline::Stop;
use crate::snapshot::LiveRoute;

/// A request that may pass. Only [`authorize`] makes one.
#[derive(Debug)]
pub(crate) struct Permit<'a> {
    route: &'a LiveRoute,
    path: CanonicalPath<'a>,
    facts: Option<Arc<Facts>>,
}

impl<'a> Permit<'a> {
    pub fn into_parts(self) -> (&'a LiveRoute, CanonicalPath<'a>, Option<Arc<Facts>>) {
        (self.route, self.path, self.facts)
    }
}

pub(crate) async fn authorize<'a>(
    admitted: Admitted<'a>,
    head: &Head<'_>,
    exchange: &mut Exchange,
) -> Result<Permit<'a>, Stop> {
    if let Some((facts, protection)) = admitted.facts()
        && let Err(deny) = check(&protection.required, facts)
    {
        return Err(Stop::Deny(deny, Some(protection.challenges.insufficient_scope.clone())));
    }
    let (route, path, facts) = admitted.into_parts();
    match (route.policy(), &facts) {
        (None, _) => {}
        (Some(policy), Some(facts)) => policy.judge(facts, route.settings(), &path, head, exchange).await?,
        // The catalog lets no such route come into being.
        (Some(_), None) => return Err(Deny::PolicyUnavailable.into()),
    }
    Ok(Permit { route, path, facts })
}

fn check(required: &Required, facts: &Facts) -> Result<(), Deny> {
    let has = |scope: &Arc<str>| facts.has_scope(scope);
    if !required.scopes.iter().all(has) || !(required.any_scope.is_empty() || required.any_scope.iter().any(has)) {
        return Err(Deny::ScopeMissing);
    }
    let fits = |(name, values): &(String, Vec<Value>)| match facts.claims.get(name) {
        Some(Value::Array(several)) => several.iter().any(|one| values.contains(one)),
        Some(one) => values.contains(one),
        None => false,
    };
    if required.claims.iter().all(fits) { Ok(()) } else { Err(Deny::ClaimMissing) }
}
