//! The meter: fuel that an evaluation burns, and the rewriting that puts it into an expression.
//!
//! Each operation of CEL costs at most time and memory in proportion to its operands, and only `+`,
//! lists, maps, optionals and functions make larger values. So it is enough to count operands and
//! made values once each, and for a comprehension its items times the nodes of its body.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cel::ExecutionError;
use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};
use cel::common::types::{CelInt, DYN_TYPE, Type};
use cel::common::value::{StaticVal, Val};

use crate::{FUEL, convert};

// `@` cannot be written in an expression, so nobody else calls or reads these.
pub(crate) const METERED: &str = "@metered";
pub(crate) const ELEMENT: &str = "@element";
pub(crate) const LOOP: &str = "@loop";
pub(crate) const KEY: &str = "@key";
pub(crate) const MATCHES: &str = "@matches";
pub(crate) const FUEL_NAME: &str = "@fuel";
pub(crate) const PATTERN_NAME: &str = "@pattern";

/// What is left for one evaluation.
#[derive(Debug, Clone)]
pub(crate) struct Fuel(Arc<AtomicU64>);

impl Fuel {
    pub(crate) fn full() -> Self {
        Self(Arc::new(AtomicU64::new(FUEL)))
    }

    pub(crate) fn of(value: &dyn Val) -> Result<&Self, ExecutionError> {
        value.downcast_ref::<Self>().ok_or_else(spent)
    }

    pub(crate) fn take(&self, units: u64) -> Result<(), ExecutionError> {
        // One thread evaluates; what is used up stays used up.
        let left = self.0.load(Ordering::Relaxed);
        self.0.store(left.saturating_sub(units), Ordering::Relaxed);
        if units < left { Ok(()) } else { Err(spent()) }
    }

    pub(crate) fn take_for(&self, value: &dyn Val) -> Result<(), ExecutionError> {
        self.take(convert::units(value, self.0.load(Ordering::Relaxed)))
    }

    pub(crate) fn is_spent(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

pub(crate) fn spent() -> ExecutionError {
    ExecutionError::function_error(METERED, "spent")
}

/// A pattern compiled with its expression.
#[derive(Debug, Clone)]
pub(crate) struct Regex(regex::Regex);

impl Regex {
    pub(crate) fn new(pattern: &str) -> Result<Self, String> {
        let mut builder = regex::RegexBuilder::new(pattern);
        builder.size_limit(64 * 1024).dfa_size_limit(256 * 1024).nest_limit(32);
        builder.build().map(Self).map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "the pattern is too large when compiled".to_owned(),
            error => {
                let text = error.to_string();
                format!("the pattern cannot be used: {}", text.lines().last().unwrap_or_default().trim())
            }
        })
    }

    pub(crate) fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

macro_rules! opaque {
    ($name:ty) => {
        impl Val for $name {
            fn get_type(&self) -> &Type {
                &DYN_TYPE
            }

            fn cel_type() -> &'static Type {
                &DYN_TYPE
            }

            fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
                Box::new(self.clone())
            }

            fn as_any(&self) -> Option<&dyn Any> {
                Some(self)
            }
        }

        impl StaticVal for $name {}
    };
}
opaque!(Fuel);
opaque!(Regex);

impl fmt::Display for Fuel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.load(Ordering::Relaxed))
    }
}

/// Puts the meter into a tree.
pub(crate) fn install(expr: &mut IdedExpr) {
    match &mut expr.expr {
        Expr::Unspecified | Expr::Literal(_) | Expr::Ident(_) => {}
        Expr::Select(select) => install(&mut select.operand),
        Expr::List(list) => {
            for (at, element) in list.elements.iter_mut().enumerate() {
                install_in_element(element, list.optional_indices.contains(&at));
            }
        }
        Expr::Map(map) => {
            for entry in &mut map.entries {
                if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                    install_and_meter(&mut entry.key);
                    install_in_element(&mut entry.value, entry.optional);
                }
            }
        }
        Expr::Struct(_) => {}
        Expr::Comprehension(comprehension) => {
            let weight = nodes(&comprehension.loop_step).saturating_add(nodes(&comprehension.loop_cond));
            install(&mut comprehension.iter_range);
            install(&mut comprehension.accu_init);
            install(&mut comprehension.loop_cond);
            install(&mut comprehension.loop_step);
            install(&mut comprehension.result);
            let weight = Expr::Literal(LiteralValue::Int(CelInt::from(weight)));
            wrap(&mut comprehension.iter_range, LOOP, Some(IdedExpr { id: 0, expr: weight }));
        }
        Expr::Call(call) => {
            if install_in_call(call) {
                wrap(expr, METERED, None);
            }
        }
    }
}

/// True if what the call makes has to be metered, too.
fn install_in_call(call: &mut CallExpr) -> bool {
    match (call.func_name.as_str(), call.args.as_mut_slice()) {
        // The library appends to the accumulator of `map` and `filter` in place, if it finds this shape.
        (operators::ADD, [first, second]) if is_own(first) => {
            install(second);
            false
        }
        (operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT, args)
        | (operators::CONDITIONAL | operators::NOT_STRICTLY_FALSE, args) => {
            args.iter_mut().for_each(install);
            false
        }
        (operators::INDEX, [value, key]) => {
            install(value);
            install_key(key);
            false
        }
        (operators::OPT_INDEX, [value, key]) => {
            install(value);
            install_key(key);
            true
        }
        (operators::OPT_SELECT, [value, _]) => {
            install(value);
            true
        }
        (MATCHES, [text, _]) => {
            install_and_meter(text);
            false
        }
        (name, args) => {
            let makes = name == operators::ADD || !operators_of_scalars(name);
            args.iter_mut().for_each(install_and_meter);
            if let Some(target) = &mut call.target
                && !matches!(&target.expr, Expr::Ident(name) if name == "optional")
            {
                install_and_meter(target);
            }
            makes
        }
    }
}

fn install_key(key: &mut IdedExpr) {
    install(key);
    if !matches!(key.expr, Expr::Literal(LiteralValue::Int(_) | LiteralValue::String(_))) {
        wrap(key, KEY, None);
    }
}

fn install_and_meter(expr: &mut IdedExpr) {
    install(expr);
    let small = match &expr.expr {
        Expr::Literal(_) => true,
        Expr::Call(call) => call.func_name == METERED || operators_of_scalars(&call.func_name),
        _ => is_own(expr),
    };
    if !small {
        wrap(expr, METERED, None);
    }
}

/// What becomes part of a list or map. An optional may not (unless it is one of `[?a]`, which unwraps
/// it): held by a variable of a comprehension it would be copied by each selection, past the meter.
fn install_in_element(expr: &mut IdedExpr, optional: bool) {
    install_and_meter(expr);
    match &mut expr.expr {
        Expr::Call(call) if !optional && call.func_name == METERED => ELEMENT.clone_into(&mut call.func_name),
        _ => {}
    }
}

/// An accumulator or other name that the library made.
fn is_own(expr: &IdedExpr) -> bool {
    matches!(&expr.expr, Expr::Ident(name) if name.starts_with('@'))
}

/// What gives a truth value or a number, whatever it is given.
fn operators_of_scalars(name: &str) -> bool {
    const SCALAR: [&str; 21] = [
        operators::EQUALS,
        operators::NOT_EQUALS,
        operators::LESS,
        operators::LESS_EQUALS,
        operators::GREATER,
        operators::GREATER_EQUALS,
        operators::IN,
        operators::LOGICAL_AND,
        operators::LOGICAL_OR,
        operators::LOGICAL_NOT,
        operators::SUBSTRACT,
        operators::MULTIPLY,
        operators::DIVIDE,
        operators::MODULO,
        operators::NEGATE,
        "size",
        "contains",
        "startsWith",
        "endsWith",
        "hasValue",
        MATCHES,
    ];
    SCALAR.contains(&name)
}

fn wrap(expr: &mut IdedExpr, function: &str, more: Option<IdedExpr>) {
    let id = expr.id;
    let inner = std::mem::take(expr);
    let mut args = vec![inner];
    if function != KEY {
        args.push(IdedExpr { id, expr: Expr::Ident(FUEL_NAME.to_owned()) });
    }
    args.extend(more);
    *expr = IdedExpr { id, expr: Expr::Call(CallExpr { func_name: function.to_owned(), target: None, args }) };
}

fn nodes(expr: &IdedExpr) -> i64 {
    1 + match &expr.expr {
        Expr::Unspecified | Expr::Literal(_) | Expr::Ident(_) | Expr::Struct(_) => 0,
        Expr::Select(select) => nodes(&select.operand),
        Expr::List(list) => list.elements.iter().map(nodes).sum(),
        Expr::Map(map) => map
            .entries
            .iter()
            .map(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => nodes(&entry.key) + nodes(&entry.value),
                EntryExpr::StructField(field) => nodes(&field.value),
            })
            .sum(),
        // An inner loop pays for its own items.
        Expr::Comprehension(inner) => nodes(&inner.iter_range) + nodes(&inner.result),
        Expr::Call(call) => call.args.iter().map(nodes).sum::<i64>() + call.target.as_deref().map_or(0, nodes),
    }
}
