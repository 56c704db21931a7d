//! Between JSON and the values of CEL, both ways with a bound.

use std::collections::HashMap;

use cel::common::types::{
    CelBool, CelBytes, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelOptional, CelString, CelUInt,
};
use cel::common::value::Val;
use serde_json::{Map, Number, Value};

use crate::{Failure, MAX_INPUT, MAX_OUTPUT};

/// Units of a text: one, and one for each 32 bytes.
pub(crate) fn units_of(text_bytes: usize) -> u64 {
    1 + u64::try_from(text_bytes / 32).unwrap_or(u64::MAX)
}

struct Allowance(u64, Failure);

impl Allowance {
    fn take(&mut self, units: u64) -> Result<(), Failure> {
        self.0 = self.0.checked_sub(units).ok_or(self.1)?;
        Ok(())
    }
}

pub(crate) fn to_cel(json: &Value) -> Result<Box<dyn Val>, Failure> {
    into_cel(json, &mut Allowance(MAX_INPUT, Failure::TooLarge))
}

fn into_cel(json: &Value, left: &mut Allowance) -> Result<Box<dyn Val>, Failure> {
    left.take(1)?;
    Ok(match json {
        Value::Null => Box::new(CelNull),
        Value::Bool(value) => Box::new(CelBool::from(*value)),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Box::new(CelInt::from(number)),
            (None, Some(number)) => Box::new(CelUInt::from(number)),
            (None, None) => Box::new(CelDouble::from(number.as_f64().unwrap_or(f64::NAN))),
        },
        Value::String(text) => {
            left.take(units_of(text.len()) - 1)?;
            Box::new(CelString::from(text.clone()))
        }
        Value::Array(items) => {
            let items: Result<Vec<_>, _> = items.iter().map(|item| into_cel(item, left)).collect();
            Box::new(CelList::from(items?))
        }
        Value::Object(members) => {
            let mut map = HashMap::with_capacity(members.len());
            for (key, value) in members {
                left.take(units_of(key.len()))?;
                map.insert(CelMapKey::String(CelString::from(key.clone())), into_cel(value, left)?);
            }
            Box::new(CelMap::from(map))
        }
    })
}

/// `None` for an optional without a value. Members of a map that an expression made come in the order
/// of their keys, since CEL's maps have none of their own.
pub(crate) fn to_json(value: &dyn Val) -> Result<Option<Value>, Failure> {
    into_json(value, &mut Allowance(MAX_OUTPUT, Failure::TooLarge))
}

fn into_json(value: &dyn Val, left: &mut Allowance) -> Result<Option<Value>, Failure> {
    left.take(1)?;
    let json = if let Some(text) = value.downcast_ref::<CelString<'_>>() {
        left.take(units_of(text.inner().len()) - 1)?;
        Value::from(text.inner())
    } else if let Some(number) = value.downcast_ref::<CelInt>() {
        Value::from(*number.inner())
    } else if let Some(truth) = value.downcast_ref::<CelBool>() {
        Value::from(*truth.inner())
    } else if value.downcast_ref::<CelNull>().is_some() {
        Value::Null
    } else if let Some(map) = value.downcast_ref::<CelMap<'_>>() {
        let mut members = Vec::with_capacity(map.inner().len());
        for (key, value) in map.inner() {
            let key = key_text(key);
            left.take(units_of(key.len()))?;
            if let Some(value) = into_json(value.as_ref(), left)? {
                members.push((key, value));
            }
        }
        members.sort_by(|a, b| a.0.cmp(&b.0));
        Value::Object(members.into_iter().collect::<Map<_, _>>())
    } else if let Some(list) = value.downcast_ref::<CelList<'_>>() {
        let items: Result<Vec<_>, _> = list.inner().iter().map(|item| into_json(item.as_ref(), left)).collect();
        Value::Array(items?.into_iter().flatten().collect())
    } else if let Some(number) = value.downcast_ref::<CelUInt>() {
        Value::from(*number.inner())
    } else if let Some(number) = value.downcast_ref::<CelDouble>() {
        Value::Number(Number::from_f64(*number.inner()).ok_or(Failure::NoJson)?)
    } else if let Some(optional) = value.downcast_ref::<CelOptional<'_>>() {
        return optional.option().map_or(Ok(None), |value| into_json(value, left));
    } else {
        return Err(Failure::NoJson);
    };
    Ok(Some(json))
}

fn key_text(key: &CelMapKey<'_>) -> String {
    match key {
        CelMapKey::String(text) => text.inner().to_owned(),
        CelMapKey::Int(number) => number.inner().to_string(),
        CelMapKey::UInt(number) => number.inner().to_string(),
        CelMapKey::Bool(truth) => truth.inner().to_string(),
    }
}

/// Units of a value, counted to `most` and no further.
pub(crate) fn units(value: &dyn Val, most: u64) -> u64 {
    let mut units = 1;
    if let Some(text) = value.downcast_ref::<CelString<'_>>() {
        units = units_of(text.inner().len());
    } else if let Some(bytes) = value.downcast_ref::<CelBytes<'_>>() {
        units = units_of(bytes.inner().len());
    } else if let Some(list) = value.downcast_ref::<CelList<'_>>() {
        for item in list.inner() {
            if units > most {
                break;
            }
            units += self::units(item.as_ref(), most - units);
        }
    } else if let Some(map) = value.downcast_ref::<CelMap<'_>>() {
        for (key, value) in map.inner() {
            if units > most {
                break;
            }
            units += self::units(key.inner(), most);
            units += self::units(value.as_ref(), most.saturating_sub(units));
        }
    } else if let Some(optional) = value.downcast_ref::<CelOptional<'_>>() {
        units += optional.option().map_or(0, |value| self::units(value, most));
    }
    units
}
