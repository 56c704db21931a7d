//! APIs, plans and subscriptions: who may call what, found by API and client without a hop.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::{Compiler, refer};
use crate::kinds::api::{ApiSpec, Lifecycle, Needed};
use crate::kinds::plan::PlanSpec;
use crate::kinds::subscription::SubscriptionSpec;
use crate::published::{self, PublishedSubscription};
use crate::resource::Resource;
use crate::snapshot::{Api, Auth, Plan, Subscription};
use crate::source::Fault;

impl Compiler {
    pub(super) fn api(&mut self, resource: &Resource) {
        self.apis.entry(resource.name.clone()).or_default();
        let Some(spec) = self.read::<ApiSpec>(resource) else { return };
        for (key, text) in [("title", &spec.title), ("version", &spec.version)] {
            if text.trim().is_empty() {
                self.fault(resource, &format!("/spec/{key}"), format!("`{key}` is empty"));
            }
        }
        if let (Some(deprecated), Some(sunset)) = (spec.deprecated_at, spec.sunset_at)
            && sunset < deprecated
        {
            // RFC 9745 §4
            self.fault(resource, "/spec/sunsetAt", "`sunsetAt` is not before `deprecatedAt`");
        }
        let dated = spec.deprecated_at.is_some() || spec.sunset_at.is_some();
        if dated && !matches!(spec.lifecycle, Lifecycle::Deprecated | Lifecycle::Retired) {
            let message = "`deprecatedAt` and `sunsetAt` are told of what is `deprecated`";
            self.fault(resource, "/spec/lifecycle", message);
        }
        let index = self.snapshot.apis.len();
        let name = resource.name.as_str().into();
        let api = Arc::new(Api { index, name, spec, source: resource.source.clone() });
        self.apis.insert(resource.name.clone(), Some(Arc::clone(&api)));
        self.snapshot.apis.push(api);
        self.snapshot.subscribers.push(HashMap::new());
    }

    pub(super) fn plan(&mut self, resource: &Resource) {
        self.plans.entry(resource.name.clone()).or_default();
        let Some(spec) = self.read::<PlanSpec>(resource) else { return };
        for (pointer, message) in spec.faults() {
            self.fault(resource, &pointer, message);
        }
        if spec.apis.is_empty() {
            self.fault(resource, "/spec/apis", "a plan is for at least one API");
        }
        let mut apis: Vec<Arc<Api>> = Vec::new();
        for (at, name) in spec.apis.iter().enumerate() {
            let pointer = format!("/spec/apis/{at}");
            match refer(&self.apis, "Api", name) {
                Err(message) => self.fault(resource, &pointer, message),
                Ok(Some(api)) if apis.iter().any(|known| known.index == api.index) => {
                    self.fault(resource, &pointer, format!("`{name}` stands there twice"));
                }
                Ok(Some(api)) => apis.push(api),
                Ok(None) => {}
            }
        }
        let name = resource.name.as_str().into();
        let plan = Arc::new(Plan { name, apis, spec, source: resource.source.clone() });
        self.plans.insert(resource.name.clone(), Some(Arc::clone(&plan)));
        self.snapshot.plans.push(plan);
    }

    /// Two of one client that share an API are a fault: which of them holds would be a guess.
    pub(super) fn subscription(&mut self, resource: &Resource) {
        let Some(spec) = self.read::<SubscriptionSpec>(resource) else { return };
        if spec.client.is_empty() {
            self.fault(resource, "/spec/client", "`client` is empty");
        }
        let plan = refer(&self.plans, "Plan", &spec.plan);
        let plan = plan.map_err(|message| self.fault(resource, "/spec/plan", message)).ok().flatten();
        let Some(plan) = plan else { return };
        let subscription = Arc::new(Subscription {
            index: self.snapshot.subscriptions.len(),
            id: resource.name.as_str().into(),
            client: spec.client.as_str().into(),
            plan,
            organisation: spec.organisation.as_deref().map(Arc::from),
            source: resource.source.clone(),
        });
        for api in &subscription.plan.apis {
            let Some(known) = self.snapshot.subscribers.get_mut(api.index) else { continue };
            let rival = known.insert(Arc::clone(&subscription.client), Arc::clone(&subscription));
            if let Some(rival) = rival {
                let message = format!(
                    "client `{}` is subscribed to API `{}` already, by `{}` ({})",
                    subscription.client, api.name, rival.id, rival.source
                );
                self.fault(resource, "/spec/plan", message);
            }
        }
        self.snapshot.subscriptions.push(subscription);
    }

    /// Of several of one client that share an API the newest holds; what the operator's own files say
    /// holds before all of them.
    pub(super) fn published(&mut self, subscriptions: &[PublishedSubscription]) {
        let mut newest_first: Vec<&PublishedSubscription> = subscriptions.iter().collect();
        newest_first.sort_by(|a, b| b.id.cmp(&a.id));
        newest_first.dedup_by(|a, b| a.id == b.id);
        for one in newest_first {
            let plan = match refer(&self.plans, "Plan", &one.plan) {
                Ok(Some(plan)) => plan,
                Ok(None) => continue,
                Err(message) => {
                    let source_at = published::source(&format!("subscription {}", one.id));
                    self.faults.push(Fault { source_at, pointer: "/plan".to_owned(), message });
                    continue;
                }
            };
            let subscription = Arc::new(Subscription {
                index: self.snapshot.subscriptions.len(),
                id: one.id.as_str().into(),
                client: one.client.as_str().into(),
                plan,
                organisation: Some(one.organisation.as_str().into()),
                source: published::source("subscription"),
            });
            for api in &subscription.plan.apis {
                let Some(known) = self.snapshot.subscribers.get_mut(api.index) else { continue };
                known.entry(Arc::clone(&subscription.client)).or_insert_with(|| Arc::clone(&subscription));
            }
            self.snapshot.subscriptions.push(subscription);
        }
    }

    /// A subscription names a `client_id`, and that means one client only as long as one issuer gives them out:
    /// a stranger's issuer could give the same name to somebody else, who would then call on another's account.
    pub(super) fn one_issuer_per_plan(&mut self) {
        let mut of_api: HashMap<usize, BTreeSet<&str>> = HashMap::new();
        for route in &self.snapshot.routes {
            if let (Some(api), Auth::Token(required)) = (&route.api, &route.auth)
                && api.spec.subscription != Needed::None
            {
                of_api.entry(api.index).or_default().insert(&required.issuer.name);
            }
        }
        for plan in &self.snapshot.plans {
            let issuers: BTreeSet<&str> =
                plan.apis.iter().filter_map(|api| of_api.get(&api.index)).flatten().copied().collect();
            if issuers.len() > 1 {
                let names = issuers.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
                let message = format!(
                    "its APIs take tokens of several issuers ({names}), and a subscription's `client` would be \
                     one of each: make an API and a plan for each issuer"
                );
                let source_at = plan.source.clone();
                self.faults.push(Fault { source_at, pointer: "/spec/apis".to_owned(), message });
            }
        }
    }

    /// `spec.api` of a service or a composition.
    pub(super) fn api_of(&mut self, resource: &Resource) -> Option<Arc<Api>> {
        let name = resource.spec.get("api")?.as_str()?;
        let api = refer(&self.apis, "Api", name);
        api.map_err(|message| self.fault(resource, "/spec/api", message)).ok().flatten()
    }
}
