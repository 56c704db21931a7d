//! Quick decisions about calls: what is the same for all calls with one token, and for all calls of one
//! operation, is read once; a decision is then a walk through small programs.
//!
//! It decides exactly as [`Engine::decide`] does, or not at all: whatever Cedar might call an error, whatever
//! is rare or not known here, goes to Cedar. A property test compares both.

mod eval;
mod expr;
mod found;
mod literals;
mod places;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use base::Time;
use cedar_policy::{EntityTypeName, EntityUid};
use serde_json::{Map, Value as Json, json};

use crate::decide::{Decision, Engine, Entered};
use crate::directory::Directory;
use crate::question::{Action, CallFacts, Party, Question};
use crate::shape::Intake;
use crate::source::Effect;
use crate::value::{Members, Value};

use eval::{Unsure, Walk};
pub(crate) use expr::{Program, program, share};
pub(crate) use literals::Literals;
use places::Places;

/// Members of the context that differ from call to call.
const OF_THE_CALL: [&str; 3] = ["network", "request", "time"];

/// An entity as programs see it.
#[derive(Debug)]
pub(crate) struct Thing {
    pub uid: EntityUid,
    pub number: Option<u32>,
    pub attributes: Members,
    /// What it is a member of, directly or not.
    pub within: Box<[EntityUid]>,
    /// The numbers of itself and of these, as far as policies name them; in order.
    numbers: Box<[u32]>,
    /// Stored entities that can be reached from it.
    reach: usize,
}

impl Thing {
    pub fn is_in(&self, number: u32) -> bool {
        self.numbers.binary_search(&number).is_ok()
    }
}

/// The programs of a slice.
#[derive(Debug, Default)]
pub(crate) struct Quick {
    anywhere: Vec<Arc<Program>>,
    /// By the number of the one entity that the scope names.
    at: BTreeMap<u32, Vec<Arc<Program>>>,
    /// Some policy has no program.
    beyond: bool,
    reads: BTreeSet<(u32, Option<u32>)>,
}

impl Quick {
    pub fn put(&mut self, anchor: Option<u32>, program: Option<&Arc<Program>>) {
        let Some(program) = program else {
            self.beyond = true;
            return;
        };
        self.reads.extend(program.reads.iter().copied());
        match anchor {
            Some(anchor) => self.at.entry(anchor).or_default().push(program.clone()),
            None => self.anywhere.push(program.clone()),
        }
    }
}

/// What all calls with one token have in common; good for the engine that made it.
#[derive(Debug)]
pub struct Caller {
    engine: u64,
    action: Arc<str>,
    party: Party,
    context: Map<String, Json>,
    ready: Option<ReadyCaller>,
}

#[derive(Debug)]
struct ReadyCaller {
    subject: Arc<Thing>,
    context: Members,
    scopes: Value,
    reach: usize,
}

/// The resource of calls and what to do with it; good for the engine that made it.
#[derive(Debug)]
pub struct Target {
    engine: u64,
    action: Arc<str>,
    party: Party,
    ready: Option<ReadyTarget>,
}

#[derive(Debug)]
struct ReadyTarget {
    resource: Arc<Thing>,
    places: Places,
    /// The programs to walk, by the type of the principal.
    slices: Vec<(EntityTypeName, Arc<Quick>)>,
}

/// What is known of one call.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    pub address: IpAddr,
    pub method: &'a str,
    pub path: &'a str,
    pub host: &'a str,
    /// Parameters of the path; reach policies as `context.request.params`, if the schema declares them.
    pub params: &'a [(&'a str, &'a str)],
    pub now: Time,
}

impl Caller {
    pub fn is_of(&self, engine: &Engine, action: &str) -> bool {
        self.engine == engine.number && &*self.action == action
    }

    pub fn party(&self) -> &Party {
        &self.party
    }
}

impl Target {
    pub fn is_of(&self, engine: &Engine) -> bool {
        self.engine == engine.number
    }

    pub fn party(&self) -> &Party {
        &self.party
    }

    pub fn action(&self) -> &str {
        &self.action
    }
}

impl Engine {
    /// `facts` without what differs from call to call: their network, time and request but for its scopes are
    /// passed over.
    pub fn caller(&self, party: Party, action: &str, facts: &CallFacts) -> Caller {
        let mut context = match serde_json::to_value(facts) {
            Ok(Json::Object(context)) => context,
            _ => Map::new(),
        };
        for name in ["network", "request"] {
            context.remove(name);
        }
        context.insert("request".to_owned(), json!({"scopes": facts.request.scopes}));
        let ready = self.ready_caller(&party, action, &context, facts);
        Caller { engine: self.number, action: action.into(), party, context, ready }
    }

    fn ready_caller(
        &self,
        party: &Party,
        action: &str,
        context: &Map<String, Json>,
        facts: &CallFacts,
    ) -> Option<ReadyCaller> {
        let shapes = &self.policies.shapes;
        let deed = shapes.deed(action).ok()?;
        let subject = self.thing(self.party(party, "subject").ok()?)?;
        let mut given = context.clone();
        given.insert("action".to_owned(), json!({}));
        self.know_device(&mut given);
        let mut intake = Intake { shapes, depth: self.policies.limits.depth, named: Vec::new() };
        let constant = |name: &str| !OF_THE_CALL.contains(&name);
        let members = intake.some_members(&deed.context, &given, "context", 0, constant).ok()?;
        let reach = self.directory.reach(intake.named, self.policies.limits.reach).ok()?.len();
        let scopes = facts.request.scopes.iter().map(|scope| Value::Text(scope.as_str().into()));
        let scopes = Value::Set(scopes.collect());
        Some(ReadyCaller { subject: Arc::new(subject), context: members, scopes, reach })
    }

    /// `params`: the names of the parameters that each call brings.
    pub fn target(&self, party: Party, action: &str, params: &[&str]) -> Target {
        let ready = self.ready_target(&party, action, params);
        Target { engine: self.number, action: action.into(), party, ready }
    }

    fn ready_target(&self, party: &Party, action: &str, params: &[&str]) -> Option<ReadyTarget> {
        if !self.is_plain() {
            return None;
        }
        let deed = self.policies.shapes.deed(action).ok()?;
        let uid = self.policies.shapes.uid(&party.kind, &party.id).ok()?;
        let kept =
            party.properties.is_empty().then(|| stored(&self.directory, &self.policies.literals, &uid)).flatten();
        let resource = match kept {
            Some(resource) => resource,
            None => Arc::new(self.thing(self.party(party, "resource").ok()?)?),
        };
        let slices = self.policies.slices.quick_of(&deed.uid, resource.uid.type_name());
        Some(ReadyTarget { resource, places: self.places(deed, params)?, slices })
    }

    /// May this be called? As [`Engine::decide`] of the same question.
    pub fn decide_call(&self, caller: &Caller, target: &Target, call: &Call<'_>) -> Decision {
        match self.quick(caller, target, call) {
            Ok(decision) => decision,
            Err(Unsure) => self.decide(&self.question(caller, target, call)),
        }
    }

    /// The call as a question that is written out.
    pub fn question(&self, caller: &Caller, target: &Target, call: &Call<'_>) -> Question {
        let mut context = caller.context.clone();
        context.insert("network".to_owned(), json!({"address": call.address}));
        let scopes = caller.context.get("request").and_then(|request| request.get("scopes")).cloned();
        let params: Map<String, Json> =
            call.params.iter().map(|(name, value)| ((*name).to_owned(), Json::from(*value))).collect();
        let mut request = json!({"method": call.method, "path": call.path, "host": call.host, "params": params});
        if let (Some(request), Some(scopes)) = (request.as_object_mut(), scopes) {
            request.insert("scopes".to_owned(), scopes);
        }
        context.insert("request".to_owned(), request);
        let action = Action { name: target.action.to_string(), properties: Map::new() };
        Question { subject: caller.party.clone(), action, resource: target.party.clone(), context, now: call.now }
    }

    pub(crate) fn quick(&self, caller: &Caller, target: &Target, call: &Call<'_>) -> Result<Decision, Unsure> {
        let (mut permits, mut forbids) = (Vec::new(), Vec::new());
        // All are walked, also after a denial: one that cannot be evaluated must not be missed.
        self.walk(caller, target, call, |program, applies| {
            if applies? {
                match program.info.effect {
                    Effect::Permit => permits.push(program.info.clone()),
                    Effect::Forbid => forbids.push(program.info.clone()),
                }
            }
            Ok(())
        })?;
        Ok(Decision::of(permits, forbids))
    }

    /// Every program that can apply, and whether it does.
    pub(crate) fn walk(
        &self,
        caller: &Caller,
        target: &Target,
        call: &Call<'_>,
        mut visit: impl FnMut(&Arc<Program>, Result<bool, Unsure>) -> Result<(), Unsure>,
    ) -> Result<(), Unsure> {
        let ours = caller.engine == self.number && target.engine == self.number && caller.action == target.action;
        let (Some(from), Some(to), true) = (&caller.ready, &target.ready, ours) else { return Err(Unsure) };
        let (subject, resource) = (&from.subject, &to.resource);
        let reach = subject.reach.saturating_add(resource.reach).saturating_add(from.reach);
        let apart = subject.uid != resource.uid
            && !resource.within.contains(&subject.uid)
            && !subject.within.contains(&resource.uid);
        if !apart || reach > self.policies.limits.reach {
            return Err(Unsure);
        }
        let kind = subject.uid.type_name();
        let (_, slice) = to.slices.iter().find(|(from, _)| from == kind).ok_or(Unsure)?;
        if slice.beyond {
            return Err(Unsure);
        }
        let of_the_call = to.places.members(call, &from.scopes)?;
        let context = [from.context.as_slice(), &of_the_call];
        let walk = Walk::new([subject, resource], context, &self.directory, &self.policies.literals);
        let from_subject = subject.numbers.iter();
        let from_resource = resource.numbers.iter().filter(|number| !subject.is_in(**number));
        let anchored = from_subject.chain(from_resource).filter_map(|number| slice.at.get(number));
        for program in std::iter::once(&slice.anywhere).chain(anchored).flatten() {
            visit(program, walk.applies(program))?;
        }
        Ok(())
    }

    /// The directory is of these policies, and nothing in it runs in a circle.
    fn is_plain(&self) -> bool {
        let own = self.directory.of == self.policies.number || self.directory.is_empty();
        own && !self.directory.circular
    }

    fn thing(&self, entered: Entered) -> Option<Thing> {
        if !self.is_plain() {
            return None;
        }
        let mut within = HashSet::new();
        self.gather(&entered.uid, &entered.parents, &mut within);
        within.remove(&entered.uid);
        // Over members of its own it would be within itself.
        if within
            .iter()
            .any(|one| self.directory.entries.get(one).is_some_and(|entry| entry.parents.contains(&entered.uid)))
        {
            return None;
        }
        let from = entered.parents.iter().chain(&entered.named).cloned().collect();
        let reach = self.directory.reach(from, self.policies.limits.reach).ok()?.len();
        Some(make(entered.uid, entered.values, within, reach, &self.policies.literals))
    }
}

fn make(uid: EntityUid, attributes: Members, within: HashSet<EntityUid>, reach: usize, literals: &Literals) -> Thing {
    let number = literals.find(&uid);
    let mut numbers: Vec<u32> = within.iter().chain([&uid]).filter_map(|one| literals.find(one)).collect();
    numbers.sort_unstable();
    Thing { number, attributes, within: within.into_iter().collect(), numbers: numbers.into(), reach, uid }
}

/// A stored entity; `None` if there is none, or it is not for quick decisions.
pub(crate) fn stored(directory: &Directory, literals: &Literals, uid: &EntityUid) -> Option<Arc<Thing>> {
    let entry = directory.entries.get(uid)?;
    if directory.circular {
        return None;
    }
    entry
        .thing
        .get_or_init(|| {
            let mut within = HashSet::new();
            let mut open: Vec<&EntityUid> = entry.parents.iter().collect();
            while let Some(parent) = open.pop() {
                if within.insert(parent.clone())
                    && let Some(found) = directory.entries.get(parent)
                {
                    open.extend(&found.parents);
                }
            }
            let from = entry.parents.iter().chain(&entry.named).cloned().collect();
            let reach = directory.reach(from, MOST_REACH).ok()?.len();
            Some(Arc::new(make(uid.clone(), entry.values.clone(), within, reach, literals)))
        })
        .clone()
}

/// Beyond the limit of any set of policies; what is asked about is compared with that one.
const MOST_REACH: usize = 100_000;
