//! Which policies can apply: found at load, so that a decision does not walk through the others.
//!
//! Cedar evaluates all policies of a set, one after the other. Here a policy lies under each action and pair
//! of types that its scope allows, and there under the one entity its scope names (`resource == …`,
//! `resource in …`, else the principal's). A question takes what lies under its subject, its resource and what
//! these are members of. A policy in no slice that was taken has a scope that cannot match; so the union of
//! the answers is the answer of the whole.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cedar_policy::{
    ActionConstraint, Entities, EntityTypeName, EntityUid, Policy, PolicyId, PolicySet, PrincipalConstraint,
    ResourceConstraint, Schema,
};

use crate::quick::{Literals, Program, Quick};
use crate::shape::Shapes;

#[derive(Debug, Default)]
pub(crate) struct Slices {
    places: HashMap<EntityUid, HashMap<(EntityTypeName, EntityTypeName), Slice>>,
    /// The actions and the groups they are in, closed over membership.
    pub actions: Option<Entities>,
}

/// The policies for one action and one pair of types.
#[derive(Debug, Default)]
pub(crate) struct Slice {
    pub anywhere: PolicySet,
    pub at: HashMap<EntityUid, PolicySet>,
    /// All of them, in order of their ids, for explanations.
    pub ids: Vec<PolicyId>,
    pub quick: Arc<Quick>,
}

/// The scope of a policy at one side: the type and the entity it is bound to.
#[derive(Default)]
struct Bound {
    kind: Option<EntityTypeName>,
    anchor: Option<EntityUid>,
}

impl Slices {
    pub fn new(
        schema: &Schema,
        shapes: &Shapes,
        literals: &mut Literals,
        policies: &[(&Policy, Option<Arc<Program>>)],
    ) -> Result<Self, String> {
        let actions = schema.action_entities().map_err(|error| error.to_string())?;
        let mut slices = Self::default();
        let policies: Vec<(&Policy, Bound, Bound, &Option<Arc<Program>>)> =
            policies.iter().map(|(policy, program)| (*policy, principal(policy), resource(policy), program)).collect();
        for deed in shapes.deeds.values() {
            let mut places = HashMap::new();
            let here: Vec<_> = policies
                .iter()
                .filter(|(policy, ..)| concerns(&policy.action_constraint(), &deed.uid, &actions))
                .collect();
            for principal in &deed.principals {
                for resource in &deed.resources {
                    let (Some(from), Some(to)) = (shapes.kinds.get(principal), shapes.kinds.get(resource)) else {
                        continue;
                    };
                    let fitting =
                        here.iter().filter(|(_, who, what, _)| who.allows(&from.name) && what.allows(&to.name));
                    let placed = fitting.map(|(policy, who, what, program)| {
                        (*policy, what.anchor.as_ref().or(who.anchor.as_ref()), *program)
                    });
                    let slice = Slice::new(placed, literals)?;
                    places.insert((from.name.clone(), to.name.clone()), slice);
                }
            }
            slices.places.insert(deed.uid.clone(), places);
        }
        slices.actions = Some(actions);
        Ok(slices)
    }

    /// What quick decisions about this type of resource walk, by the type of the principal.
    pub fn quick_of(&self, action: &EntityUid, resource: &EntityTypeName) -> Vec<(EntityTypeName, Arc<Quick>)> {
        let places = self.places.get(action).into_iter().flatten().filter(|((_, to), _)| to == resource);
        places.map(|((from, _), slice)| (from.clone(), Arc::clone(&slice.quick))).collect()
    }

    /// Of every pair of types.
    pub fn of_action(&self, action: &EntityUid) -> impl Iterator<Item = &Slice> + Clone {
        self.places.get(action).into_iter().flat_map(|places| places.values())
    }

    pub fn find(&self, action: &EntityUid, principal: &EntityTypeName, resource: &EntityTypeName) -> Option<&Slice> {
        self.places.get(action)?.get(&(principal.clone(), resource.clone()))
    }
}

impl Slice {
    fn new<'a>(
        policies: impl Iterator<Item = (&'a Policy, Option<&'a EntityUid>, &'a Option<Arc<Program>>)>,
        literals: &mut Literals,
    ) -> Result<Self, String> {
        let mut slice = Self::default();
        let mut quick = Quick::default();
        let mut ids = BTreeMap::new();
        for (policy, anchor, program) in policies {
            quick.put(anchor.map(|anchor| literals.number(anchor)), program.as_ref());
            let set = match anchor {
                Some(anchor) => slice.at.entry(anchor.clone()).or_default(),
                None => &mut slice.anywhere,
            };
            set.add(policy.clone()).map_err(|error| error.to_string())?;
            ids.insert(policy.id().clone(), ());
        }
        slice.ids = ids.into_keys().collect();
        slice.quick = Arc::new(quick);
        Ok(slice)
    }
}

impl Bound {
    fn allows(&self, kind: &EntityTypeName) -> bool {
        self.kind.as_ref().is_none_or(|bound| bound == kind)
    }
}

fn principal(policy: &Policy) -> Bound {
    match policy.principal_constraint() {
        PrincipalConstraint::Any => Bound::default(),
        PrincipalConstraint::Is(kind) => Bound { kind: Some(kind), anchor: None },
        PrincipalConstraint::In(uid) => Bound { kind: None, anchor: Some(uid) },
        PrincipalConstraint::Eq(uid) => Bound { kind: Some(uid.type_name().clone()), anchor: Some(uid) },
        PrincipalConstraint::IsIn(kind, uid) => Bound { kind: Some(kind), anchor: Some(uid) },
    }
}

fn resource(policy: &Policy) -> Bound {
    match policy.resource_constraint() {
        ResourceConstraint::Any => Bound::default(),
        ResourceConstraint::Is(kind) => Bound { kind: Some(kind), anchor: None },
        ResourceConstraint::In(uid) => Bound { kind: None, anchor: Some(uid) },
        ResourceConstraint::Eq(uid) => Bound { kind: Some(uid.type_name().clone()), anchor: Some(uid) },
        ResourceConstraint::IsIn(kind, uid) => Bound { kind: Some(kind), anchor: Some(uid) },
    }
}

fn concerns(constraint: &ActionConstraint, action: &EntityUid, actions: &Entities) -> bool {
    let within = |group: &EntityUid| {
        group == action || actions.ancestors(action).is_some_and(|mut ancestors| ancestors.any(|one| one == group))
    };
    match constraint {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(uid) => uid == action,
        ActionConstraint::In(groups) => groups.iter().any(within),
    }
}
