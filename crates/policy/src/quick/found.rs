//! What a walk comes to on its way: a value, or an entity.

use std::borrow::Cow;
use std::sync::Arc;

use cedar_policy::EntityUid;

use super::Thing;
use super::eval::Unsure;
use crate::value::{Value, member};

/// A value, or an entity that the question has gathered.
pub(super) enum Found<'a> {
    Value(Cow<'a, Value>),
    Entity(&'a EntityUid, Option<u32>),
    Thing(&'a Arc<Thing>),
}

pub(super) type Outcome<'a> = Result<Found<'a>, Unsure>;

impl Found<'_> {
    pub(super) fn is_true(&self) -> Result<bool, Unsure> {
        match self {
            Self::Value(value) => match value.as_ref() {
                Value::Bool(value) => Ok(*value),
                _ => Err(Unsure),
            },
            _ => Err(Unsure),
        }
    }

    pub(super) fn number(&self) -> Result<i64, Unsure> {
        match self {
            Self::Value(value) => match value.as_ref() {
                Value::Long(value) => Ok(*value),
                _ => Err(Unsure),
            },
            _ => Err(Unsure),
        }
    }

    pub(super) fn uid(&self) -> Option<&EntityUid> {
        match self {
            Self::Value(value) => match value.as_ref() {
                Value::Entity(uid) => Some(uid),
                _ => None,
            },
            Self::Entity(uid, _) => Some(uid),
            Self::Thing(thing) => Some(&thing.uid),
        }
    }

    pub(super) fn equals(&self, other: &Self) -> bool {
        match (self.uid(), other.uid()) {
            (Some(one), Some(other)) => one == other,
            (None, None) => match (self, other) {
                (Self::Value(one), Self::Value(other)) => same(one, other),
                _ => false,
            },
            _ => false,
        }
    }

    pub(super) fn to_value(&self) -> Value {
        match self {
            Self::Value(value) => value.as_ref().clone(),
            Self::Entity(uid, _) => Value::Entity((*uid).clone()),
            Self::Thing(thing) => Value::Entity(thing.uid.clone()),
        }
    }
}

/// Sets are equal if each is in the other; the order of records means nothing.
pub(super) fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Set(one), Value::Set(other)) => subset(one, other) && subset(other, one),
        (Value::Record(one), Value::Record(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, value)| member(other, *name).is_some_and(|twin| same(value, twin)))
        }
        _ => one == other,
    }
}

pub(super) fn subset(one: &[Value], other: &[Value]) -> bool {
    one.iter().all(|value| other.iter().any(|twin| same(value, twin)))
}
