//! Who decides about calls.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::{Compiler, refer};
use crate::kinds::policy_source::{PolicyMode, PolicySourceSpec, PolicySpec};
use crate::pattern::Pattern;
use crate::resource::Resource;
use crate::snapshot::{Auth, Piece, Policy, PolicyResource, PolicySource};
use crate::source::Fault;

impl Compiler {
    pub(super) fn policy_source(&mut self, resource: &Resource) {
        self.policy_sources.entry(resource.name.clone()).or_default();
        let Some(spec) = self.read::<PolicySourceSpec>(resource) else { return };
        match (&spec.snapshot, &spec.authzen) {
            (None, None) => self.fault(resource, "/spec", "one of `snapshot` and `authzen` is needed"),
            (Some(_), Some(_)) => self.fault(resource, "/spec/authzen", "`snapshot` and `authzen` exclude each other"),
            _ => {}
        }
        let max_age = spec.snapshot.as_ref().and_then(|snapshot| snapshot.max_age);
        if max_age.is_some_and(|most| most.0.as_secs() < 3) {
            let message = "3s or more: the source says once a second at most that there is no change";
            self.fault(resource, "/spec/snapshot/maxAge", message);
        }
        if let Some(cache) = spec.authzen.as_ref().and_then(|authzen| authzen.cache.as_ref()) {
            let whom = |name: &str| cache.key.iter().any(|key| key == name || key.split('.').next() == Some(name));
            for part in ["subject", "action", "resource"] {
                if !whom(part) {
                    let message = format!("without `{part}` decisions about one would be used for another");
                    self.fault(resource, "/spec/authzen/cache/key", message);
                }
            }
            if cache.ttl.0.is_zero() {
                self.fault(resource, "/spec/authzen/cache/ttl", "a decision that is used again needs a time for that");
            }
        }
        let (name, source) = (resource.name.as_str().into(), resource.source.clone());
        let made = Arc::new(PolicySource { name, spec, source });
        self.policy_sources.insert(resource.name.clone(), Some(Arc::clone(&made)));
        self.snapshot.policy_sources.push(made);
    }

    /// Policies know a person by the `sub` of the token, and that means one person only within one issuer: another one
    /// could give its own people the name, and with it groups and roles, of somebody of the first.
    pub(super) fn one_issuer_per_policy_source(&mut self) {
        let mut issuers: HashMap<&str, BTreeSet<&str>> = HashMap::new();
        for route in &self.snapshot.routes {
            if let (Some(policy), Auth::Token(required)) = (&route.policy, &route.auth) {
                issuers.entry(&policy.source.name).or_default().insert(&required.issuer.name);
            }
        }
        for source in &self.snapshot.policy_sources {
            let Some(several) = issuers.get(&*source.name).filter(|issuers| issuers.len() > 1) else { continue };
            let names = several.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            let message = format!(
                "it decides about people of several issuers ({names}), of which two may have the same name: make a \
                 PolicySource for each issuer, with policies and entities of its own"
            );
            self.faults.push(Fault { source_at: source.source.clone(), pointer: "/spec".to_owned(), message });
        }
    }

    /// What is written at a service holds for its routes; it is looked at there, where the paths are.
    pub(super) fn policy(
        &mut self,
        resource: &Resource,
        own: Option<&PolicySpec>,
        of_service: Option<&PolicySpec>,
        pattern: &Pattern,
        auth: &Auth,
    ) -> Option<Arc<Policy>> {
        let spec = own.or(of_service)?;
        let at = if own.is_some() { "/spec/policy" } else { "/spec/service" };
        let source = refer(&self.policy_sources, "PolicySource", &spec.source);
        let pointer = if own.is_some() { "/spec/policy/source" } else { at };
        let source = source.map_err(|message| self.fault(resource, pointer, message)).ok().flatten()?;
        if spec.mode == PolicyMode::Off {
            return None;
        }
        if matches!(auth, Auth::None) {
            let message = "a policy decides about the holder of a token, and with `auth: none` there is none; \
                           write `mode: off` for this route";
            self.fault(resource, at, message);
        }
        let asked = spec.resource.as_ref().map(|asked| {
            let id =
                template(&asked.id, pattern).map_err(|message| self.fault(resource, at, message)).unwrap_or_default();
            PolicyResource { kind: asked.kind.as_str().into(), id }
        });
        Some(Arc::new(Policy {
            source,
            shadow: spec.mode == PolicyMode::Shadow,
            action: spec.action.as_deref().unwrap_or("call").into(),
            resource: asked,
            written_at: resource.fault(at, "").source_at,
        }))
    }
}

/// Text and parameters in turn, beginning with text.
fn template(text: &str, pattern: &Pattern) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, tail) = after.split_once('}').ok_or_else(|| format!("`{text}` has a `{{` without `}}`"))?;
        if !pattern.parameters().any(|one| one == name) {
            return Err(format!("the path of the match has no parameter `{name}`"));
        }
        pieces.push((before.into(), Some(name.into())));
        rest = tail;
    }
    pieces.push((rest.into(), None));
    Ok(pieces)
}
