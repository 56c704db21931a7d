//! Question → decision.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::Time;
use cedar_policy::{Context, Entities, EntityUid, Request};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::compile::{PolicyInfo, PolicySet};
use crate::directory::{Directory, Made, make, member_of};
use crate::fault::Misfit;
use crate::question::{EntityRef, Party, Question};
use crate::shape::Intake;
use crate::slices::Slice;
use crate::source::Effect;
use crate::value::{Members, expressions};

/// Policies and the entities they are about. Cheap to clone; changes come as a new one.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(crate) policies: Arc<PolicySet>,
    pub(crate) directory: Arc<Directory>,
    /// No other engine has it.
    pub(crate) number: u64,
}

/// May it be done, and who says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    pub allow: bool,
    pub verdict: Verdict,
    /// The policies that decided.
    pub reasons: Vec<Arc<PolicyInfo>>,
    /// What did not fit or could not be evaluated; then nothing is allowed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
}

/// How a decision came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Permitted,
    /// A `forbid` applies.
    Forbidden,
    /// No `permit` applies.
    NotPermitted,
    /// The question does not fit the schema, or a policy could not be evaluated.
    Failed,
}

impl Verdict {
    pub const ALL: &[Self] = &[Self::Permitted, Self::Forbidden, Self::NotPermitted, Self::Failed];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Permitted => "permitted",
            Self::Forbidden => "forbidden",
            Self::NotPermitted => "not_permitted",
            Self::Failed => "failed",
        }
    }
}

impl Decision {
    pub(crate) fn failed(errors: Vec<String>) -> Self {
        Self { allow: false, verdict: Verdict::Failed, reasons: Vec::new(), errors }
    }

    /// From the policies that apply.
    pub(crate) fn of(permits: Vec<Arc<PolicyInfo>>, forbids: Vec<Arc<PolicyInfo>>) -> Self {
        let (allow, verdict, mut reasons) = match (forbids.is_empty(), permits.is_empty()) {
            (false, _) => (false, Verdict::Forbidden, forbids),
            (true, false) => (true, Verdict::Permitted, permits),
            (true, true) => (false, Verdict::NotPermitted, Vec::new()),
        };
        reasons.sort_by(|a, b| a.id.cmp(&b.id));
        Self { allow, verdict, reasons, errors: Vec::new() }
    }

    /// What to tell the person concerned, by `@reason` of the policies that decided.
    pub fn reason(&self) -> Option<&str> {
        self.reasons.iter().find_map(|info| info.reason.as_deref())
    }

    /// The login that would turn this denial (RFC 9470): only if everything that forbids asks for one.
    pub fn step_up(&self) -> Option<StepUp> {
        let asks = |info: &Arc<PolicyInfo>| [ACR_VALUES, MAX_AGE].iter().any(|name| info.advice.contains_key(*name));
        if self.verdict != Verdict::Forbidden || !self.reasons.iter().all(asks) {
            return None;
        }
        let all = |name| self.reasons.iter().filter_map(move |info| info.advice.get(name));
        let max_age = all(MAX_AGE).filter_map(|text| text.trim().parse().ok()).min();
        let mut acr_values: Vec<String> = Vec::new();
        for word in all(ACR_VALUES).flat_map(|text| text.split_whitespace()) {
            if !acr_values.iter().any(|one| one == word) {
                acr_values.push(word.to_owned());
            }
        }
        (max_age.is_some() || !acr_values.is_empty()).then_some(StepUp { acr_values, max_age })
    }

    /// What would help, by `@advice_…` of the policies that decided; the first to name a thing is heard.
    pub fn advice(&self) -> BTreeMap<&str, &str> {
        let all = self.reasons.iter().rev().flat_map(|info| &info.advice);
        all.map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }
}

const ACR_VALUES: &str = "acr_values";
const MAX_AGE: &str = "max_age";

/// A login that would help.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepUp {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub acr_values: Vec<String>,
    /// Seconds since the login.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<u64>,
}

/// A question in the types of the schema.
pub(crate) struct Asked<'a> {
    pub request: Request,
    pub entities: Entities,
    pub slice: Option<&'a Slice>,
    /// Subject, resource, and what they are members of: where policies may lie.
    anchors: HashSet<EntityUid>,
}

impl Engine {
    pub fn new(policies: Arc<PolicySet>, directory: Arc<Directory>) -> Self {
        Self { policies, directory, number: next_number() }
    }

    /// With policies alone.
    pub fn of(policies: PolicySet) -> Self {
        Self::new(Arc::new(policies), Arc::default())
    }

    pub fn policies(&self) -> &Arc<PolicySet> {
        &self.policies
    }

    pub fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    pub fn decide(&self, question: &Question) -> Decision {
        match self.ask(question) {
            Ok(asked) => self.judge(&asked),
            Err(misfit) => Decision::failed(vec![misfit.0]),
        }
    }

    pub(crate) fn judge(&self, asked: &Asked<'_>) -> Decision {
        let Some(slice) = asked.slice else {
            return Decision::failed(vec!["the action does not apply to these types".to_owned()]);
        };
        let taken = asked.anchors.iter().filter_map(|anchor| slice.at.get(anchor));
        let (mut permits, mut forbids, mut errors) = (Vec::new(), Vec::new(), Vec::new());
        for set in std::iter::once(&slice.anywhere).chain(taken).filter(|set| !set.is_empty()) {
            let response = self.policies.authorizer.is_authorized(&asked.request, set, &asked.entities);
            let diagnostics = response.diagnostics();
            errors.extend(diagnostics.errors().map(ToString::to_string));
            for id in diagnostics.reason() {
                let Some(compiled) = self.policies.policies.get(id) else { continue };
                match compiled.info.effect {
                    Effect::Permit => permits.push(compiled.info.clone()),
                    Effect::Forbid => forbids.push(compiled.info.clone()),
                }
            }
        }
        if !errors.is_empty() {
            errors.sort();
            return Decision::failed(errors);
        }
        Decision::of(permits, forbids)
    }

    /// Puts the question into the schema's types and gathers the entities that it can reach.
    pub(crate) fn ask(&self, question: &Question) -> Result<Asked<'_>, Misfit> {
        let policies = &*self.policies;
        let deed = policies.shapes.deed(&question.action.name)?;
        let subject = self.party(&question.subject, "subject")?;
        let resource = if subject.uid == policies.shapes.uid(&question.resource.kind, &question.resource.id)? {
            // One entity cannot have two descriptions; asked about itself, the subject's is the one.
            subject.clone()
        } else {
            self.party(&question.resource, "resource")?
        };

        let mut given = question.context.clone();
        // Time is a matter of whoever decides; action properties come under their own name.
        given.insert("time".to_owned(), time(question.now));
        given.insert("action".to_owned(), Value::Object(question.action.properties.clone()));
        self.know_device(&mut given);
        let mut intake = Intake { shapes: &policies.shapes, depth: policies.limits.depth, named: Vec::new() };
        let members = intake.members(&deed.context, &given, "context", 0)?;
        let members = expressions(&members, &policies.shapes.symbols);
        let context = Context::from_pairs(members).map_err(|_| Misfit("`context` cannot be evaluated".to_owned()))?;

        let mut from = intake.named;
        for party in [&subject, &resource] {
            from.extend(party.parents.iter().chain(&party.named).cloned());
        }
        let reached = self.directory.reach(from, policies.limits.reach)?;
        let mut all: HashMap<EntityUid, cedar_policy::Entity> =
            reached.iter().map(|(uid, entry)| (uid.clone(), entry.entity.clone())).collect();
        let mut anchors = HashSet::new();
        for party in [&subject, &resource] {
            all.insert(party.uid.clone(), party.entity.clone());
            self.gather(&party.uid, &party.parents, &mut anchors);
        }
        if let Some(actions) = &policies.slices.actions {
            let uids = std::iter::once(&deed.uid).chain(actions.ancestors(&deed.uid).into_iter().flatten());
            all.extend(uids.filter_map(|uid| Some((uid.clone(), actions.get(uid)?.clone()))));
        }
        let entities = Entities::from_entities(all.into_values(), None)
            .map_err(|_| Misfit("groups are members of each other in a circle".to_owned()))?;
        let slice = policies.slices.find(&deed.uid, subject.uid.type_name(), resource.uid.type_name());
        let request = Request::new(subject.uid, deed.uid.clone(), resource.uid, context, None)
            .map_err(|_| Misfit("the question does not fit the schema".to_owned()))?;
        Ok(Asked { request, entities, slice, anchors })
    }

    /// A device that the organisation has stored is what the organisation says it is.
    pub(crate) fn know_device(&self, given: &mut Map<String, Value>) {
        let Some(Value::Object(device)) = given.get_mut("device") else { return };
        let Some(id) = device.get("id").and_then(Value::as_str).map(str::to_owned) else { return };
        let Ok(uid) = self.policies.shapes.uid("Device", &id) else { return };
        if let Some(entry) = self.directory.entries.get(&uid) {
            device.clear();
            device.insert("id".to_owned(), Value::from(id));
            device.extend(entry.attributes.clone());
        }
    }

    /// An entity and everything it is a member of, directly or not.
    pub(crate) fn gather(&self, uid: &EntityUid, parents: &HashSet<EntityUid>, anchors: &mut HashSet<EntityUid>) {
        anchors.insert(uid.clone());
        let mut open: Vec<&EntityUid> = parents.iter().collect();
        while let Some(parent) = open.pop() {
            if anchors.insert(parent.clone())
                && let Some(entry) = self.directory.entries.get(parent)
            {
                open.extend(&entry.parents);
            }
        }
    }

    pub(crate) fn party(&self, party: &Party, path: &str) -> Result<Entered, Misfit> {
        let policies = &*self.policies;
        let (name, kind) = policies.shapes.kind(&party.kind)?;
        let uid = policies.shapes.uid(name, &party.id)?;
        let known = self.directory.entries.get(&uid);
        if let (true, Some(entry)) = (party.properties.is_empty(), known) {
            let entry = entry.clone();
            let (parents, named, values) = (entry.parents.clone(), entry.named.clone(), entry.values.clone());
            return Ok(Entered { uid, entity: entry.entity.clone(), parents, named, values });
        }
        let mut parents = known.map(|entry| entry.parents.clone()).unwrap_or_default();
        for (property, target) in MEMBERSHIPS {
            let declared = kind.attributes.0.contains_key(*property) || !kind.parents.iter().any(|one| one == target);
            let Some(given) = party.properties.get(*property).filter(|value| !declared && !value.is_null()) else {
                continue;
            };
            let ids = match given {
                Value::Array(values) => values.iter().map(Value::as_str).collect(),
                value => vec![value.as_str()],
            };
            for id in ids {
                let id = id.ok_or_else(|| Misfit(format!("`{path}.{property}` is not a list of texts")))?;
                let parent = EntityRef { kind: (*target).to_owned(), id: id.to_owned() };
                parents.insert(member_of(&policies.shapes, name, kind, &parent)?);
            }
            if parents.len() > policies.limits.parents {
                return Err(Misfit(format!("`{path}.{property}` is too long")));
            }
        }
        // What the organisation has stored outranks what the asking side says.
        let mut attributes = party.properties.clone();
        if let Some(entry) = known {
            attributes.extend(entry.attributes.clone());
        }
        let Made { entity, values, named } = make(policies, kind, uid.clone(), &attributes, parents.clone(), path)?;
        Ok(Entered { uid, entity, parents, named, values })
    }
}

/// Sets of policies and engines are told apart by number.
pub(crate) fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Properties of a subject or resource that say what it is a member of, unless the schema declares an
/// attribute of that name.
const MEMBERSHIPS: &[(&str, &str)] = &[("groups", "Group"), ("roles", "Role"), ("api", "Api")];

#[derive(Clone)]
pub(crate) struct Entered {
    pub uid: EntityUid,
    entity: cedar_policy::Entity,
    pub parents: HashSet<EntityUid>,
    pub named: Vec<EntityUid>,
    pub values: Members,
}

/// As the type `Time` of the base schema.
pub(crate) fn time(now: Time) -> Value {
    let seconds = now.seconds();
    let days = seconds.div_euclid(86_400);
    // 1970-01-01 was a Thursday.
    json!({"now": seconds, "hour": seconds.rem_euclid(86_400) / 3_600, "weekday": (days + 3).rem_euclid(7) + 1})
}
