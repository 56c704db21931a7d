//! Where in a question's context the facts of a call stand, by the schema.

use std::sync::Arc;

use serde_json::Value as Json;

use super::eval::Unsure;
use super::{Call, OF_THE_CALL};
use crate::decide::{Engine, time};
use crate::shape::{Deed, Shape};
use crate::value::{Range, Value};

/// Where in the context the facts of a call stand, if policies read them.
#[derive(Debug, Default)]
pub(super) struct Places {
    network: Option<Part>,
    request: Option<Part>,
    time: Option<Part>,
}

#[derive(Debug)]
struct Part {
    symbol: u32,
    /// Members by name.
    members: Vec<(Fact, u32)>,
    /// The record without any.
    none: Arc<[(u32, Value)]>,
}

/// No name has this number.
const NOWHERE: u32 = u32::MAX;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Fact {
    Address,
    Method,
    Path,
    Host,
    Scopes,
    Parameters(Vec<(String, u32)>),
    Now,
    Hour,
    Weekday,
}

impl Engine {
    /// Where the facts of a call go, or nothing if the schema declares them in other types than ours: then
    /// each call is put to Cedar, which says what does not fit.
    pub(super) fn places(&self, deed: &Deed, params: &[&str]) -> Option<Places> {
        let mut places = Places::default();
        let slices = self.policies.slices.of_action(&deed.uid);
        let reads = |first: u32, second: u32| {
            slices.clone().any(|slice| {
                slice.quick.reads.contains(&(first, None)) || slice.quick.reads.contains(&(first, Some(second)))
            })
        };
        for (name, member) in deed.context.0.iter().filter(|(name, _)| OF_THE_CALL.contains(&name.as_str())) {
            let Shape::Record(record) = &member.shape else { return None };
            let mut part = Part { symbol: member.symbol, members: Vec::new(), none: Arc::new([]) };
            for (inner, declared) in &record.0 {
                let fact = fact_of(name, inner, &declared.shape, params)?;
                match fact {
                    None if declared.required => return None,
                    Some(fact) if reads(member.symbol, declared.symbol) => part.members.push((fact, declared.symbol)),
                    _ => {}
                }
            }
            match name.as_str() {
                "network" => places.network = Some(part),
                "request" => places.request = Some(part),
                _ => places.time = Some(part),
            }
        }
        Some(places)
    }
}

/// The fact of a call that a declared member is for; `Some(None)` if there is none, `None` if its type is not ours.
fn fact_of(part: &str, name: &str, shape: &Shape, params: &[&str]) -> Option<Option<Fact>> {
    let text = |fact| matches!(shape, Shape::Text).then_some(Some(fact));
    let long = |fact| matches!(shape, Shape::Long).then_some(Some(fact));
    match (part, name) {
        ("network", "address") => matches!(shape, Shape::Address).then_some(Some(Fact::Address)),
        ("request", "method") => text(Fact::Method),
        ("request", "path") => text(Fact::Path),
        ("request", "host") => text(Fact::Host),
        ("request", "scopes") => match shape {
            Shape::Set(element) if matches!(**element, Shape::Text) => Some(Some(Fact::Scopes)),
            _ => None,
        },
        ("request", "params") => {
            let Shape::Record(record) = shape else { return None };
            let mut found = Vec::new();
            for (name, member) in &record.0 {
                match (params.contains(&name.as_str()), &member.shape) {
                    (true, Shape::Text) => found.push((name.clone(), member.symbol)),
                    (false, _) if !member.required => {}
                    _ => return None,
                }
            }
            Some(Some(Fact::Parameters(found)))
        }
        ("time", "now") => long(Fact::Now),
        ("time", "hour") => long(Fact::Hour),
        ("time", "weekday") => long(Fact::Weekday),
        _ => Some(None),
    }
}

impl Places {
    /// The network, the request, and the time; what the schema does not declare has no name.
    pub(super) fn members(&self, call: &Call<'_>, scopes: &Value) -> Result<[(u32, Value); 3], Unsure> {
        let part = |part: &Option<Part>| match part {
            Some(part) => part.record(call, scopes),
            None => Ok((NOWHERE, Value::Bool(false))),
        };
        Ok([part(&self.network)?, part(&self.request)?, part(&self.time)?])
    }
}

impl Part {
    fn record(&self, call: &Call<'_>, scopes: &Value) -> Result<(u32, Value), Unsure> {
        let member = |(fact, symbol): &(Fact, u32)| Ok((*symbol, fact.value(call, scopes)?));
        let members = match self.members.as_slice() {
            [] => self.none.clone(),
            // The only one mostly; a vector between would be made for nothing.
            [one] => Arc::from([member(one)?]),
            several => several.iter().map(member).collect::<Result<Vec<_>, _>>()?.into(),
        };
        Ok((self.symbol, Value::Record(members)))
    }
}

impl Fact {
    fn value(&self, call: &Call<'_>, scopes: &Value) -> Result<Value, Unsure> {
        let clock = |name: &str| time(call.now).get(name).and_then(Json::as_i64).map(Value::Long).ok_or(Unsure);
        Ok(match self {
            Self::Address => Value::Range(Range::single(call.address)),
            Self::Method => Value::Text(call.method.into()),
            Self::Path => Value::Text(call.path.into()),
            Self::Host => Value::Text(call.host.into()),
            Self::Scopes => scopes.clone(),
            Self::Parameters(names) => {
                let mut members = Vec::with_capacity(names.len());
                for (name, symbol) in names {
                    let (_, value) = call.params.iter().find(|(one, _)| one == name).ok_or(Unsure)?;
                    members.push((*symbol, Value::Text((*value).into())));
                }
                Value::Record(members.into())
            }
            Self::Now => Value::Long(call.now.seconds()),
            Self::Hour => clock("hour")?,
            Self::Weekday => clock("weekday")?,
        })
    }
}
