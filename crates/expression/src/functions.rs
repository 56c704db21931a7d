//! The environment: CEL's standard library and a few functions of ours, each with a bound on what it makes.

use std::sync::{Arc, LazyLock};

use cel::common::types::{CelBool, CelInt, CelList, CelOptional, CelString, CelUInt, DYN_TYPE, LIST_TYPE, STRING_TYPE};
use cel::common::value::{CowVal, Val};
use cel::{Env, ExecutionError};

use crate::MAX_MADE;
use crate::meter::{self, Fuel, Regex};

/// Every function that may be written. What the compiler does not find here is refused.
pub(crate) const KNOWN: &[&str] = &[
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "string",
    "int",
    "uint",
    "double",
    "bool",
    "bytes",
    "type",
    "dyn",
    "of",
    "none",
    "ofNonZeroValue",
    "hasValue",
    "value",
    "orValue",
    "or",
    "lowerAscii",
    "upperAscii",
    "trim",
    "split",
    "join",
    "replace",
];

/// Types are values, too (`type(x) == string`).
pub(crate) const TYPES: &[&str] =
    &["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"];

/// Built once; a name that is taken in a newer library would show in every test.
pub(crate) static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    let text = || STRING_TYPE.to_owned();
    let added = [
        env.add_overload(meter::METERED, "metered", vec![DYN_TYPE.to_owned(), DYN_TYPE.to_owned()], metered),
        env.add_overload(meter::ELEMENT, "element", vec![DYN_TYPE.to_owned(), DYN_TYPE.to_owned()], element),
        env.add_overload(
            meter::LOOP,
            "loop",
            vec![DYN_TYPE.to_owned(), DYN_TYPE.to_owned(), DYN_TYPE.to_owned()],
            looped,
        ),
        env.add_overload(meter::KEY, "key", vec![DYN_TYPE.to_owned()], key),
        env.add_overload(meter::MATCHES, "pattern", vec![text(), DYN_TYPE.to_owned()], matches),
        env.add_member_overload("lowerAscii", "lower", text(), vec![], lower),
        env.add_member_overload("upperAscii", "upper", text(), vec![], upper),
        env.add_member_overload("trim", "trim", text(), vec![], trim),
        env.add_member_overload("split", "split", text(), vec![text()], split),
        env.add_member_overload("join", "join", LIST_TYPE.to_owned(), vec![text()], join),
        env.add_member_overload("replace", "replace", text(), vec![text(), text()], replace),
    ];
    debug_assert!(added.iter().all(Result::is_ok), "{added:?}");
    Arc::new(env)
});

type Given<'b, 'v> = Vec<CowVal<'b, 'v>>;
type Made<'b, 'v> = Result<CowVal<'b, 'v>, ExecutionError>;

/// Passes its first argument on and takes its size from the fuel.
fn metered<'b, 'v>(args: Given<'b, 'v>) -> Made<'b, 'v> {
    let mut args = args.into_iter();
    let (Some(value), Some(fuel)) = (args.next(), args.next()) else { return Err(meter::spent()) };
    Fuel::of(fuel.as_ref())?.take_for(value.as_ref())?;
    Ok(value)
}

/// As [`metered`], but no optional.
fn element<'b, 'v>(args: Given<'b, 'v>) -> Made<'b, 'v> {
    let value = metered(args)?;
    match value.downcast_ref::<CelOptional<'_>>() {
        Some(_) => Err(ExecutionError::no_such_overload("element", Vec::new())),
        None => Ok(value),
    }
}

/// Passes a range on and takes what its items and the work on each of them may cost.
fn looped<'b, 'v>(args: Given<'b, 'v>) -> Made<'b, 'v> {
    let mut args = args.into_iter();
    let (Some(range), Some(fuel), Some(weight)) = (args.next(), args.next(), args.next()) else {
        return Err(meter::spent());
    };
    let fuel = Fuel::of(fuel.as_ref())?;
    let weight = weight.downcast_ref::<CelInt>().map_or(1, |weight| *weight.inner());
    let items = range.as_sizer().map_or(0, |sizer| *sizer.size().inner());
    fuel.take_for(range.as_ref())?;
    fuel.take(u64::try_from(items.saturating_mul(weight)).unwrap_or(u64::MAX))?;
    Ok(range)
}

/// Passes a key on if it is of a kind that the look-up refuses cheaply when it does not fit.
fn key<'b, 'v>(args: Given<'b, 'v>) -> Made<'b, 'v> {
    let key = args.into_iter().next().ok_or_else(meter::spent)?;
    let fine = key.downcast_ref::<CelString<'_>>().is_some()
        || key.downcast_ref::<CelInt>().is_some()
        || key.downcast_ref::<CelUInt>().is_some()
        || key.downcast_ref::<CelBool>().is_some();
    if fine { Ok(key) } else { Err(ExecutionError::no_such_overload("_[_]", Vec::new())) }
}

fn matches<'b, 'v>(args: Given<'b, 'v>) -> Made<'b, 'v> {
    let pattern = args.get(1).and_then(|pattern| pattern.downcast_ref::<Regex>());
    let pattern = pattern.ok_or_else(|| ExecutionError::no_such_overload("matches", Vec::new()))?;
    Ok(CowVal::owned(CelBool::from(pattern.is_match(of(&args, 0)?))))
}

fn lower<'b, 'v>(args: Given<'b, 'v>) -> Made<'b, 'v> {
    made(of(&args, 0)?.to_ascii_lowercase())
}

fn upper<'b, 'v>(args: Given<'b, 'v>) -> Made<'b, 'v> {
    made(of(&args, 0)?.to_ascii_uppercase())
}

fn trim<'b, 'v>(args: Given<'b, 'v>) -> Made<'b, 'v> {
    made(of(&args, 0)?.trim().to_owned())
}

fn split<'b, 'v>(args: Given<'b, 'v>) -> Made<'b, 'v> {
    let (text, mark) = (of(&args, 0)?, of(&args, 1)?);
    let parts: Vec<Box<dyn Val + 'v>> = if mark.is_empty() {
        return Err(ExecutionError::function_error("split", "the mark is empty"));
    } else {
        text.split(mark).map(|part| -> Box<dyn Val + 'v> { Box::new(CelString::from(part.to_owned())) }).collect()
    };
    Ok(CowVal::owned(CelList::from(parts)))
}

fn join<'b, 'v>(args: Given<'b, 'v>) -> Made<'b, 'v> {
    let list = args.first().and_then(|list| list.downcast_ref::<CelList<'_>>());
    let list = list.ok_or_else(|| ExecutionError::no_such_overload("join", Vec::new()))?;
    let mark = of(&args, 1)?;
    let mut out = String::new();
    for (at, item) in list.inner().iter().enumerate() {
        if at > 0 {
            out.push_str(mark);
        }
        out.push_str(text_of(item.as_ref())?);
        if out.len() > MAX_MADE {
            return Err(meter::spent());
        }
    }
    made(out)
}

fn replace<'b, 'v>(args: Given<'b, 'v>) -> Made<'b, 'v> {
    let (text, from, to) = (of(&args, 0)?, of(&args, 1)?, of(&args, 2)?);
    if from.is_empty() {
        return Err(ExecutionError::function_error("replace", "what is to be replaced is empty"));
    }
    let grown = text.matches(from).count().saturating_mul(to.len());
    if grown.saturating_add(text.len()) > MAX_MADE {
        return Err(meter::spent());
    }
    made(text.replace(from, to))
}

fn of<'a>(args: &'a [CowVal<'_, '_>], at: usize) -> Result<&'a str, ExecutionError> {
    text_of(args.get(at).ok_or_else(ExecutionError::missing_argument_or_target)?.as_ref())
}

fn text_of<'a>(value: &'a (dyn Val + '_)) -> Result<&'a str, ExecutionError> {
    let text = value.downcast_ref::<CelString<'_>>().map(CelString::inner);
    text.ok_or_else(|| ExecutionError::no_such_overload("text", Vec::new()))
}

fn made<'b, 'v>(text: String) -> Made<'b, 'v> {
    Ok(CowVal::owned(CelString::from(text)))
}
