//! From text to a checked, metered tree; and its evaluation.

use std::borrow::Cow;
use std::fmt;

use cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue, SourceInfo, operators};
use cel::common::types::CelBool;
use cel::common::value::CowVal;
use cel::context::VariableResolver;
use cel::{Context, ExecutionError, Value as CelValue};
use serde_json::Value;

use crate::functions::{ENVIRONMENT, KNOWN, TYPES};
use crate::meter::{self, Fuel, Regex};
use crate::{Failure, Fault, MAX_DEPTH, MAX_TEXT, Names, Reference, Scope, Segment, convert};

/// A compiled expression.
pub struct Expression {
    text: Box<str>,
    reads: Vec<Reference>,
    plan: Plan,
}

enum Plan {
    /// Nothing but a place in a value: read from the JSON as it is.
    Place,
    Tree {
        expr: IdedExpr,
        patterns: Vec<Regex>,
    },
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.text).finish()
    }
}

impl Expression {
    /// Compiles a text that may read `names` and nothing else.
    pub fn compile(text: &str, names: &Names) -> Result<Self, Fault> {
        if text.len() > MAX_TEXT {
            return Err(Fault::new(0, format!("an expression has at most {MAX_TEXT} bytes")));
        }
        if text.trim().is_empty() {
            return Err(Fault::new(0, "an expression is missing"));
        }
        // The parser recurses by the depth of the text, and may panic: it has a stack and a thread of its own.
        let compiled = std::thread::scope(|threads| {
            let builder = std::thread::Builder::new().name("expression".to_owned()).stack_size(STACK);
            builder.spawn_scoped(threads, || compile(text, names)).map(std::thread::ScopedJoinHandle::join)
        });
        match compiled {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Fault::new(0, "the parser cannot read this expression")),
            Err(_) => Err(Fault::new(0, "no thread could be started to compile this expression")),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What it reads, in the order of the text; a place may come twice.
    pub fn reads(&self) -> &[Reference] {
        &self.reads
    }

    /// Its value; `None` for an optional without one (`a.?b`).
    pub fn value<'s>(&self, scope: &'s Scope) -> Result<Option<Cow<'s, Value>>, Failure> {
        match (&self.plan, self.reads.first()) {
            (Plan::Place, Some(place)) => {
                let part = scope.get(&place.name).ok_or(Failure::Missing)?;
                part.at(&place.path).map(|value| Some(Cow::Borrowed(value)))
            }
            _ => self.run(scope, |value| convert::to_json(value.as_ref())).map(|value| value.map(Cow::Owned)),
        }
    }

    /// Its value, which must be `true` or `false`.
    pub fn truth(&self, scope: &Scope) -> Result<bool, Failure> {
        const WANTED: Failure = Failure::NotA("true or false");
        match &self.plan {
            Plan::Place => self.value(scope)?.and_then(|value| value.as_bool()).ok_or(WANTED),
            Plan::Tree { .. } => {
                self.run(scope, |value| value.downcast_ref::<CelBool>().map(|truth| *truth.inner()).ok_or(WANTED))
            }
        }
    }

    fn run<T>(&self, scope: &Scope, take: impl FnOnce(&CowVal<'_, '_>) -> Result<T, Failure>) -> Result<T, Failure> {
        let Plan::Tree { expr, patterns } = &self.plan else { return Err(Failure::Missing) };
        for place in &self.reads {
            scope.get(&place.name).ok_or(Failure::Missing)?.converted()?;
        }
        let run = Run { scope, fuel: Fuel::full(), patterns };
        let mut context = Context::with_env(ENVIRONMENT.clone());
        context.set_variable_resolver(&run);
        let value = CelValue::resolve_val(expr, &context);
        // Also if `||` has made a truth of the error.
        if run.fuel.is_spent() {
            return Err(Failure::TooMuch);
        }
        take(&value.map_err(|error| failure(&error))?)
    }
}

/// Enough for the deepest tree that [`MAX_TEXT`] bytes can make the parser build.
const STACK: usize = 64 * 1024 * 1024;

struct Run<'s> {
    scope: &'s Scope,
    fuel: Fuel,
    patterns: &'s [Regex],
}

impl VariableResolver for Run<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        if let Some(own) = variable.strip_prefix('@') {
            if variable == meter::FUEL_NAME {
                return Some(CowVal::Borrowed(&self.fuel));
            }
            let at = own.strip_prefix(meter::PATTERN_NAME.trim_start_matches('@'))?.parse::<usize>().ok()?;
            return self.patterns.get(at).map(|pattern| -> CowVal<'b, 'b> { CowVal::Borrowed(pattern) });
        }
        let value = self.scope.get(variable)?.converted().ok()?;
        Some(CowVal::Borrowed(value))
    }
}

fn failure(error: &ExecutionError) -> Failure {
    match error {
        ExecutionError::FunctionError { function, .. } if function == meter::METERED => Failure::TooMuch,
        ExecutionError::NoSuchKey(_) | ExecutionError::UndeclaredReference(_) => Failure::Missing,
        ExecutionError::IndexOutOfBounds(_) => Failure::OutOfBounds,
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) | ExecutionError::Overflow(..) => {
            Failure::Number
        }
        _ => Failure::Kind,
    }
}

fn compile(text: &str, names: &Names) -> Result<Expression, Fault> {
    let parsed = ENVIRONMENT.compile(text).map_err(|errors| syntax(text, &errors))?;
    let mut expr = parsed.expression().clone();
    let mut check =
        Check { names, info: parsed.source_info(), bound: Vec::new(), reads: Vec::new(), patterns: Vec::new() };
    check.visit(&mut expr, 0)?;
    let (reads, patterns) = (check.reads, check.patterns);
    let mut path = Vec::new();
    let plan = if !reads.is_empty() && segments(&expr, &mut path).is_some_and(|name| !name.is_empty()) {
        Plan::Place
    } else {
        meter::install(&mut expr);
        Plan::Tree { expr, patterns }
    };
    Ok(Expression { text: text.trim().into(), reads, plan })
}

fn syntax(text: &str, errors: &cel::ParseErrors) -> Fault {
    let Some(first) = errors.errors.first() else { return Fault::new(0, "this is no expression") };
    let (line, column) = (usize::try_from(first.pos.0).unwrap_or(1), usize::try_from(first.pos.1).unwrap_or(1));
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(|line| line.chars().count()).sum();
    let message: String = first.msg.chars().take(200).map(|c| if c.is_control() { ' ' } else { c }).collect();
    Fault::new(before + column.saturating_sub(1), message)
}

struct Check<'a> {
    names: &'a Names,
    info: &'a SourceInfo,
    /// Variables of the comprehensions around.
    bound: Vec<String>,
    reads: Vec<Reference>,
    patterns: Vec<Regex>,
}

impl Check<'_> {
    fn fault(&self, expr: &IdedExpr, message: impl Into<String>) -> Fault {
        let offset = self.info.offset_for(expr.id).map_or(0, |(start, _)| usize::try_from(start).unwrap_or(0));
        Fault::new(offset, message)
    }

    fn visit(&mut self, expr: &mut IdedExpr, depth: usize) -> Result<(), Fault> {
        if depth > MAX_DEPTH {
            return Err(self.fault(expr, format!("an expression is at most {MAX_DEPTH} levels deep")));
        }
        let mut path = Vec::new();
        if let Some(root) = segments(expr, &mut path).map(str::to_owned) {
            return self.place(expr, &root, path);
        }
        let depth = depth + 1;
        match &mut expr.expr {
            Expr::Literal(_) | Expr::Ident(_) => Ok(()),
            Expr::Unspecified | Expr::Struct(_) => Err(self.fault(expr, "messages cannot be made here")),
            Expr::Select(select) => {
                let field = Segment::Key(select.field.as_str().into());
                self.visit_selected(&mut select.operand, field, depth)
            }
            Expr::List(list) => list.elements.iter_mut().try_for_each(|element| self.visit(element, depth)),
            Expr::Map(map) => map.entries.iter_mut().try_for_each(|entry| match &mut entry.expr {
                EntryExpr::MapEntry(entry) => {
                    self.visit(&mut entry.key, depth)?;
                    self.visit(&mut entry.value, depth)
                }
                EntryExpr::StructField(field) => {
                    Err(self.fault(&field.value, "a key is a value: put quotes around it"))
                }
            }),
            Expr::Comprehension(loops) => {
                self.visit(&mut loops.iter_range, depth)?;
                self.visit(&mut loops.accu_init, depth)?;
                let before = self.bound.len();
                self.bound.push(loops.iter_var.clone());
                self.bound.extend(loops.iter_var2.clone());
                self.visit(&mut loops.loop_cond, depth)?;
                self.visit(&mut loops.loop_step, depth)?;
                self.bound.truncate(before);
                self.visit(&mut loops.result, depth)
            }
            Expr::Call(_) => self.call(expr, depth),
        }
    }

    fn call(&mut self, expr: &mut IdedExpr, depth: usize) -> Result<(), Fault> {
        let at = self.info.offset_for(expr.id).map_or(0, |(start, _)| usize::try_from(start).unwrap_or(0));
        let Expr::Call(call) = &mut expr.expr else { return Ok(()) };
        let name = call.func_name.clone();
        let operator = name.contains(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        if !operator && !KNOWN.contains(&name.as_str()) {
            return Err(Fault::new(at, format!("there is no function `{name}`; known: {}", KNOWN.join(", "))));
        }
        if name == "matches" {
            // Written as a function or as a method.
            let mut given: Vec<IdedExpr> = call.target.take().map(|target| *target).into_iter().collect();
            given.append(&mut call.args);
            let [_, pattern] = given.as_mut_slice() else {
                return Err(Fault::new(at, "`matches` takes a text and a pattern"));
            };
            let Expr::Literal(LiteralValue::String(text)) = &pattern.expr else {
                return Err(Fault::new(at, "a pattern is written out: it is compiled with the expression"));
            };
            self.patterns.push(Regex::new(text.inner()).map_err(|message| Fault::new(at, message))?);
            let place = format!("{}{}", meter::PATTERN_NAME, self.patterns.len() - 1);
            pattern.expr = Expr::Ident(place);
            call.args = given;
            meter::MATCHES.clone_into(&mut call.func_name);
        }
        let namespace =
            matches!(&call.target, Some(target) if matches!(&target.expr, Expr::Ident(name) if name == "optional"));
        if let Some(target) = &mut call.target
            && !namespace
        {
            self.visit(target, depth)?;
        }
        if let (operators::OPT_SELECT, [value, field]) = (name.as_str(), call.args.as_mut_slice())
            && let Expr::Literal(LiteralValue::String(field)) = &field.expr
        {
            return self.visit_selected(value, Segment::Key(field.inner().into()), depth);
        }
        call.args.iter_mut().try_for_each(|arg| self.visit(arg, depth))
    }

    /// The operand of `has(a.b)` or `a.?b`: what is read of a place goes one step further.
    fn visit_selected(&mut self, operand: &mut IdedExpr, field: Segment, depth: usize) -> Result<(), Fault> {
        let before = self.reads.len();
        let place = is_place(operand);
        self.visit(operand, depth)?;
        let grew = before < self.reads.len();
        match self.reads.last_mut() {
            Some(read) if place && grew => read.path.push(field),
            _ => {}
        }
        Ok(())
    }

    /// A chain of selections on a name.
    fn place(&mut self, expr: &mut IdedExpr, root: &str, path: Vec<Segment>) -> Result<(), Fault> {
        let type_name = path.len() == 1 && TYPES.contains(&root);
        if root.starts_with('@') || type_name || self.bound.iter().any(|bound| bound == root) {
            return Ok(());
        }
        if path.len() > MAX_DEPTH {
            return Err(self.fault(expr, format!("a path has at most {MAX_DEPTH} steps")));
        }
        let offset = self.fault(root_of(expr), "").offset;
        let Some((name, parts)) = self.names.find(&path) else {
            return Err(Fault::new(offset, self.names.unknown(&path)));
        };
        let rest: Vec<Segment> = path.into_iter().skip(parts).collect();
        name_the_part(expr, name, rest.len());
        self.reads.push(Reference { name: name.into(), path: rest, offset });
        Ok(())
    }
}

fn is_place(expr: &IdedExpr) -> bool {
    match &expr.expr {
        Expr::Call(call) if call.func_name == operators::OPT_SELECT => call.args.first().is_some_and(is_place),
        _ => segments(expr, &mut Vec::new()).is_some(),
    }
}

fn root_of(expr: &IdedExpr) -> &IdedExpr {
    match &expr.expr {
        Expr::Select(select) => root_of(&select.operand),
        Expr::Call(call) => call.args.first().map_or(expr, root_of),
        _ => expr,
    }
}

/// Writes the name of a part as one identifier, which is looked up at once, and which no variable of a
/// comprehension can hide.
fn name_the_part(expr: &mut IdedExpr, name: &str, above: usize) {
    if above == 0 {
        expr.expr = Expr::Ident(name.to_owned());
        return;
    }
    match &mut expr.expr {
        Expr::Select(select) => name_the_part(&mut select.operand, name, above - 1),
        Expr::Call(call) => {
            if let Some(value) = call.args.first_mut() {
                name_the_part(value, name, above - 1);
            }
        }
        _ => {}
    }
}

/// The path that an expression spells (`a.b["c"][0]`), root first, and the root; `None` for all else.
fn segments<'e>(expr: &'e IdedExpr, out: &mut Vec<Segment>) -> Option<&'e str> {
    match &expr.expr {
        Expr::Ident(name) => {
            out.push(Segment::Key(name.as_str().into()));
            Some(name)
        }
        Expr::Select(select) if !select.test => {
            let root = segments(&select.operand, out)?;
            out.push(Segment::Key(select.field.as_str().into()));
            Some(root)
        }
        Expr::Call(call) if call.func_name == operators::INDEX => {
            let [value, key] = call.args.as_slice() else { return None };
            let key = match &key.expr {
                Expr::Literal(LiteralValue::String(key)) => Segment::Key(key.inner().into()),
                Expr::Literal(LiteralValue::Int(at)) => Segment::Index(usize::try_from(*at.inner()).ok()?),
                _ => return None,
            };
            let root = segments(value, out)?;
            out.push(key);
            Some(root)
        }
        _ => None,
    }
}
