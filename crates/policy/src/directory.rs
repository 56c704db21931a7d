//! The entities that are known beforehand: users with their groups and roles, devices, APIs, records.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use cedar_policy::{Entity, EntityUid};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::compile::PolicySet;
use crate::fault::Misfit;
use crate::question::EntityRef;
use crate::quick::Thing;
use crate::shape::{Intake, Kind, Shapes};
use crate::value::{Members, expressions};

/// An entity as people write it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntitySpec {
    #[serde(rename = "type")]
    pub kind: String,
    pub id: String,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub attributes: Map<String, Value>,
    /// Groups, roles, … that it is a member of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<EntityRef>,
}

/// Entities in the types of one schema.
#[derive(Debug, Default)]
pub struct Directory {
    pub(crate) entries: HashMap<EntityUid, Arc<Entry>>,
    /// The number of the policies that it was made for.
    pub(crate) of: u64,
    /// Some are members of each other in a circle.
    pub(crate) circular: bool,
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub entity: Entity,
    pub attributes: Map<String, Value>,
    pub parents: HashSet<EntityUid>,
    /// Entities that its attributes name.
    pub named: Vec<EntityUid>,
    pub values: Members,
    /// For quick decisions, made when it is first needed.
    pub thing: OnceLock<Option<Arc<Thing>>>,
}

impl Directory {
    /// # Errors
    /// One line for each entity that does not fit the schema or the limits.
    pub fn new(policies: &PolicySet, specs: &[EntitySpec]) -> Result<Self, Vec<String>> {
        let limits = &policies.limits;
        if specs.len() > limits.entities {
            return Err(vec![format!("{} entities, and at most {} are allowed", specs.len(), limits.entities)]);
        }
        let mut directory = Self::default();
        let mut faults = Vec::new();
        for spec in specs {
            match entry(policies, spec) {
                Ok((uid, entry)) => match directory.entries.insert(uid, Arc::new(entry)) {
                    None => {}
                    Some(_) => faults.push(format!("`{}` `{}` stands twice", spec.kind, spec.id)),
                },
                Err(misfit) => faults.push(format!("`{}` `{}`: {misfit}", spec.kind, spec.id)),
            }
        }
        directory.of = policies.number;
        directory.circular = directory.has_circle();
        if faults.is_empty() { Ok(directory) } else { Err(faults) }
    }

    /// Takes away what is a member of nothing that is left, until nothing more goes.
    fn has_circle(&self) -> bool {
        let mut open: HashMap<&EntityUid, usize> = HashMap::with_capacity(self.entries.len());
        let mut members: HashMap<&EntityUid, Vec<&EntityUid>> = HashMap::new();
        for (uid, entry) in &self.entries {
            let parents = entry.parents.iter().filter(|parent| self.entries.contains_key(*parent));
            let count = parents.map(|parent| members.entry(parent).or_default().push(uid)).count();
            open.insert(uid, count);
        }
        let mut free: Vec<&EntityUid> = open.iter().filter(|(_, count)| **count == 0).map(|(uid, _)| *uid).collect();
        let mut gone = 0_usize;
        while let Some(uid) = free.pop() {
            gone += 1;
            for member in members.get(uid).into_iter().flatten() {
                if let Some(count) = open.get_mut(member) {
                    *count = count.saturating_sub(1);
                    if *count == 0 {
                        free.push(member);
                    }
                }
            }
        }
        gone < self.entries.len()
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Everything that can be reached from `from` over parents and attributes, without `from` itself.
    pub(crate) fn reach(&self, from: Vec<EntityUid>, most: usize) -> Result<HashMap<EntityUid, &Entry>, Misfit> {
        let mut reached: HashMap<EntityUid, &Entry> = HashMap::new();
        let mut open = from;
        while let Some(uid) = open.pop() {
            if reached.contains_key(&uid) {
                continue;
            }
            let Some(entry) = self.entries.get(&uid) else { continue };
            open.extend(entry.parents.iter().cloned());
            open.extend(entry.named.iter().cloned());
            reached.insert(uid, entry.as_ref());
            if reached.len() > most {
                return Err(Misfit(format!("the question reaches more than {most} entities")));
            }
        }
        Ok(reached)
    }
}

fn entry(policies: &PolicySet, spec: &EntitySpec) -> Result<(EntityUid, Entry), Misfit> {
    let (shapes, limits) = (&policies.shapes, &policies.limits);
    let size = serde_json::to_string(&spec.attributes).map_or(usize::MAX, |text| text.len());
    if size > limits.entity_bytes {
        return Err(Misfit(format!("more than {} bytes of attributes", limits.entity_bytes)));
    }
    if spec.parents.len() > limits.parents {
        return Err(Misfit(format!("more than {} parents", limits.parents)));
    }
    let (name, kind) = shapes.kind(&spec.kind)?;
    // Here nothing is left out silently: whoever writes an entity can correct it.
    if let Some(unknown) = spec.attributes.keys().find(|key| !kind.attributes.0.contains_key(*key)) {
        return Err(Misfit(format!("`{name}` has no attribute `{unknown}`")));
    }
    let mut parents = HashSet::new();
    for parent in &spec.parents {
        parents.insert(member_of(shapes, name, kind, parent)?);
    }
    let uid = shapes.uid(name, &spec.id)?;
    let made = make(policies, kind, uid.clone(), &spec.attributes, parents.clone(), "attributes")?;
    let (attributes, thing) = (spec.attributes.clone(), OnceLock::new());
    Ok((uid, Entry { entity: made.entity, attributes, parents, named: made.named, values: made.values, thing }))
}

/// The parent, if the schema lets this type be its member.
pub(crate) fn member_of(shapes: &Shapes, name: &str, kind: &Kind, parent: &EntityRef) -> Result<EntityUid, Misfit> {
    let (found, _) = shapes.kind(&parent.kind)?;
    if !kind.parents.iter().any(|allowed| allowed == found) {
        return Err(Misfit(format!("a `{name}` is not a member of a `{found}`")));
    }
    shapes.uid(found, &parent.id)
}

pub(crate) fn make(
    policies: &PolicySet,
    kind: &Kind,
    uid: EntityUid,
    attributes: &Map<String, Value>,
    parents: HashSet<EntityUid>,
    path: &str,
) -> Result<Made, Misfit> {
    let mut intake = Intake { shapes: &policies.shapes, depth: policies.limits.depth, named: Vec::new() };
    let values = intake.members(&kind.attributes, attributes, path, 0)?;
    let expressions = expressions(&values, &policies.shapes.symbols);
    let entity = Entity::new(uid, expressions.into_iter().collect(), parents)
        .map_err(|_| Misfit(format!("`{path}` cannot be evaluated")))?;
    Ok(Made { entity, values, named: intake.named })
}

/// An entity in both forms.
pub(crate) struct Made {
    pub entity: Entity,
    pub values: Members,
    pub named: Vec<EntityUid>,
}
