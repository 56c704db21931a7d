//! One walk through a program. Whatever Cedar would call an error ends it with [`Unsure`]: then Cedar decides,
//! and says it in its own words.

use std::borrow::Cow;
use std::cell::Cell;
use std::sync::Arc;

use cedar_policy::EntityUid;

use super::expr::{Condition, Expr, Piece, Program, Scope, Test};
use super::found::{Found, Outcome, same, subset};
use super::{Literals, Thing};
use crate::directory::Directory;
use crate::value::{Bounds, Range, Value, member};

/// Cedar is to be asked.
#[derive(Debug)]
pub(crate) struct Unsure;

pub(crate) struct Walk<'a> {
    principal: &'a Arc<Thing>,
    resource: &'a Arc<Thing>,
    /// Of the caller, and of this call; a name is in one of them at most.
    context: [&'a [(u32, Value)]; 2],
    directory: &'a Directory,
    literals: &'a Literals,
    /// Of the conditions that policies share: those that were looked at, and of these the ones that hold.
    seen: Cell<(u64, u64)>,
    /// The member of the context whose range was compared last: mostly the caller's address, again and again.
    ranged: Cell<Option<((u32, u32), Bounds)>>,
}

impl<'a> Walk<'a> {
    pub fn new(
        [principal, resource]: [&'a Arc<Thing>; 2],
        context: [&'a [(u32, Value)]; 2],
        directory: &'a Directory,
        literals: &'a Literals,
    ) -> Self {
        Self { principal, resource, context, directory, literals, seen: Cell::new((0, 0)), ranged: Cell::new(None) }
    }

    pub fn applies(&self, program: &'a Program) -> Result<bool, Unsure> {
        if !fits(&program.principal, self.principal) || !fits(&program.resource, self.resource) {
            return Ok(false);
        }
        for condition in &program.conditions {
            if !self.holds_once(condition)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn holds_once(&self, condition: &'a Condition) -> Result<bool, Unsure> {
        let bit = condition.shared;
        let (seen, holding) = self.seen.get();
        if seen & bit != 0 {
            return Ok(holding & bit != 0);
        }
        let holds = self.holds(&condition.expr)?;
        self.seen.set((seen | bit, if holds { holding | bit } else { holding }));
        Ok(holds)
    }

    /// What is true or false, without making a value of it.
    fn holds(&self, expr: &'a Expr) -> Result<bool, Unsure> {
        Ok(match expr {
            Expr::ContextHas(name) => self.in_context(*name).is_some(),
            Expr::Has(of, name) => match self.place(of)? {
                Some(Value::Record(members)) => member(members, *name).is_some(),
                _ => self.has(&self.eval(of)?, *name)?,
            },
            Expr::Not(one) => !self.holds(one)?,
            Expr::And(one, other) => self.holds(one)? && self.holds(other)?,
            Expr::Or(one, other) => self.holds(one)? || self.holds(other)?,
            Expr::Equal(one, other) => match (self.place(one)?, self.place(other)?) {
                (Some(one), Some(other)) => same(one, other),
                _ => self.eval(one)?.equals(&self.eval(other)?),
            },
            Expr::Less(one, other) => self.number(one)? < self.number(other)?,
            Expr::LessEqual(one, other) => self.number(one)? <= self.number(other)?,
            Expr::In(one, other) => self.within(&self.eval(one)?, &self.eval(other)?)?,
            Expr::Is(one, kind) => self.eval(one)?.uid().ok_or(Unsure)?.type_name() == kind,
            Expr::Contains(set, one) => self.contains(set, one)?,
            Expr::ContainsAll(one, other) => subset(&self.set(other)?, &self.set(one)?),
            Expr::ContainsAny(one, other) => {
                let (one, other) = (self.set(one)?, self.set(other)?);
                other.iter().any(|value| one.iter().any(|twin| same(value, twin)))
            }
            Expr::IsEmpty(set) => self.set(set)?.is_empty(),
            Expr::Like(text, pattern) => self.like(text, pattern)?,
            Expr::Address(test, one) => {
                let range = self.range(one)?;
                match test {
                    Test::Ipv4 => range.is_v4(),
                    Test::Ipv6 => !range.is_v4(),
                    Test::Loopback => range.is_loopback(),
                    Test::Multicast => range.is_multicast(),
                }
            }
            Expr::InRange(one, others) => {
                let bounds = self.bounds(one)?;
                let mut within = false;
                for other in others {
                    within |= bounds.is_in(&self.bounds(other)?);
                }
                within
            }
            Expr::Within(one, others) => {
                let bounds = self.bounds(one)?;
                others.iter().any(|other| bounds.is_in(other))
            }
            _ => self.eval(expr)?.is_true()?,
        })
    }

    fn eval(&self, expr: &'a Expr) -> Outcome<'a> {
        Ok(match expr {
            Expr::Value(value) => Found::Value(Cow::Borrowed(value)),
            Expr::Named(uid, number) => Found::Entity(uid, Some(*number)),
            Expr::Principal => Found::Thing(self.principal),
            Expr::Resource => Found::Thing(self.resource),
            Expr::Context(name) => Found::Value(Cow::Borrowed(self.in_context(*name).ok_or(Unsure)?)),
            Expr::Member(of, name) => {
                let of = self.eval(of)?;
                self.member(of, *name)?.map(Found::Value).ok_or(Unsure)?
            }
            Expr::If(condition, then, or) => {
                if self.holds(condition)? {
                    self.eval(then)?
                } else {
                    self.eval(or)?
                }
            }
            Expr::Add(one, other) => self.count(one, other, i64::checked_add)?,
            Expr::Subtract(one, other) => self.count(one, other, i64::checked_sub)?,
            Expr::Multiply(one, other) => self.count(one, other, i64::checked_mul)?,
            Expr::Negate(one) => long(self.number(one)?.checked_neg().ok_or(Unsure)?),
            Expr::Set(members) => {
                let values = members.iter().map(|one| Ok(self.eval(one)?.to_value())).collect::<Result<Vec<_>, _>>()?;
                Found::Value(Cow::Owned(Value::Set(values.into())))
            }
            Expr::ContextHas(_)
            | Expr::Has(..)
            | Expr::Not(_)
            | Expr::And(..)
            | Expr::Or(..)
            | Expr::Equal(..)
            | Expr::Less(..)
            | Expr::LessEqual(..)
            | Expr::In(..)
            | Expr::Is(..)
            | Expr::Contains(..)
            | Expr::ContainsAll(..)
            | Expr::ContainsAny(..)
            | Expr::IsEmpty(_)
            | Expr::Like(..)
            | Expr::Address(..)
            | Expr::InRange(..)
            | Expr::Within(..) => Found::Value(Cow::Owned(Value::Bool(self.holds(expr)?))),
        })
    }

    /// A value that stands somewhere already; `None` if it has to be made, or is none.
    fn place(&self, expr: &'a Expr) -> Result<Option<&'a Value>, Unsure> {
        match expr {
            Expr::Value(value) => Ok(Some(value)),
            Expr::Context(name) => self.in_context(*name).map(Some).ok_or(Unsure),
            Expr::Member(of, name) => {
                let members = match &**of {
                    Expr::Principal => &*self.principal.attributes,
                    Expr::Resource => &*self.resource.attributes,
                    of => match self.place(of)? {
                        Some(Value::Record(members)) => &**members,
                        _ => return Ok(None),
                    },
                };
                member(members, *name).map(Some).ok_or(Unsure)
            }
            _ => Ok(None),
        }
    }

    fn number(&self, expr: &'a Expr) -> Result<i64, Unsure> {
        match self.place(expr)? {
            Some(Value::Long(value)) => Ok(*value),
            _ => self.eval(expr)?.number(),
        }
    }

    fn like(&self, text: &'a Expr, pattern: &[Piece]) -> Result<bool, Unsure> {
        match self.eval(text)? {
            Found::Value(value) => match value.as_ref() {
                Value::Text(text) => Ok(like(text, pattern)),
                _ => Err(Unsure),
            },
            _ => Err(Unsure),
        }
    }

    fn contains(&self, set: &'a Expr, one: &'a Expr) -> Result<bool, Unsure> {
        // A set written out need not be made for it; but all of it is evaluated, as Cedar does.
        if let Expr::Set(members) = set {
            let members = members.iter().map(|member| self.eval(member)).collect::<Result<Vec<_>, _>>()?;
            let one = self.eval(one)?;
            return Ok(members.iter().any(|member| member.equals(&one)));
        }
        let set = self.set(set)?;
        let one = self.eval(one)?;
        Ok(match one.uid() {
            Some(uid) => set.iter().any(|value| matches!(value, Value::Entity(twin) if twin == uid)),
            None => {
                let one = one.to_value();
                set.iter().any(|value| same(value, &one))
            }
        })
    }

    fn set(&self, expr: &'a Expr) -> Result<Arc<[Value]>, Unsure> {
        match self.eval(expr)? {
            Found::Value(value) => match value.as_ref() {
                Value::Set(values) => Ok(Arc::clone(values)),
                _ => Err(Unsure),
            },
            _ => Err(Unsure),
        }
    }

    fn bounds(&self, expr: &'a Expr) -> Result<Bounds, Unsure> {
        let of_context = match expr {
            Expr::Member(of, name) => match **of {
                Expr::Context(part) => Some((part, *name)),
                _ => None,
            },
            _ => None,
        };
        match self.ranged.get() {
            Some((last, bounds)) if of_context == Some(last) => return Ok(bounds),
            _ => {}
        }
        let bounds = match self.place(expr)? {
            Some(Value::Range(range)) => range.bounds(),
            Some(_) => return Err(Unsure),
            None => self.range(expr)?.bounds(),
        };
        if let Some(place) = of_context {
            self.ranged.set(Some((place, bounds)));
        }
        Ok(bounds)
    }

    fn range(&self, expr: &'a Expr) -> Result<Range, Unsure> {
        match self.eval(expr)? {
            Found::Value(value) => match value.as_ref() {
                Value::Range(range) => Ok(*range),
                _ => Err(Unsure),
            },
            _ => Err(Unsure),
        }
    }

    fn count(&self, one: &'a Expr, other: &'a Expr, with: fn(i64, i64) -> Option<i64>) -> Outcome<'a> {
        let (one, other) = (self.number(one)?, self.number(other)?);
        with(one, other).map(long).ok_or(Unsure)
    }

    fn in_context(&self, name: u32) -> Option<&'a Value> {
        self.context.iter().find_map(|members| member(members, name))
    }

    fn member(&self, of: Found<'a>, name: u32) -> Result<Option<Cow<'a, Value>>, Unsure> {
        match of {
            Found::Thing(thing) => Ok(member(&thing.attributes, name).map(Cow::Borrowed)),
            Found::Value(Cow::Borrowed(Value::Record(members))) => Ok(member(members, name).map(Cow::Borrowed)),
            Found::Value(value) => match value.as_ref() {
                Value::Record(members) => Ok(member(members, name).cloned().map(Cow::Owned)),
                Value::Entity(uid) => {
                    let thing = self.thing(uid).ok_or(Unsure)?;
                    Ok(member(&thing.attributes, name).cloned().map(Cow::Owned))
                }
                _ => Err(Unsure),
            },
            Found::Entity(..) => Err(Unsure),
        }
    }

    fn has(&self, of: &Found<'a>, name: u32) -> Result<bool, Unsure> {
        match of {
            Found::Thing(thing) => Ok(member(&thing.attributes, name).is_some()),
            Found::Value(value) => match value.as_ref() {
                Value::Record(members) => Ok(member(members, name).is_some()),
                Value::Entity(uid) => match self.thing(uid) {
                    Some(thing) => Ok(member(&thing.attributes, name).is_some()),
                    None if self.directory.entries.contains_key(uid) => Err(Unsure),
                    None => Ok(false),
                },
                _ => Err(Unsure),
            },
            Found::Entity(..) => Err(Unsure),
        }
    }

    /// An entity that attributes name: what the question brought along outranks what is stored.
    fn thing(&self, uid: &EntityUid) -> Option<Arc<Thing>> {
        for own in [self.principal, self.resource] {
            if own.uid == *uid {
                return Some(Arc::clone(own));
            }
        }
        super::stored(self.directory, self.literals, uid)
    }

    fn within(&self, one: &Found<'a>, other: &Found<'a>) -> Result<bool, Unsure> {
        let thing = match one {
            Found::Thing(thing) => Some(Arc::clone(thing)),
            _ => {
                let uid = one.uid().ok_or(Unsure)?;
                let thing = self.thing(uid);
                if thing.is_none() && self.directory.entries.contains_key(uid) {
                    return Err(Unsure);
                }
                thing
            }
        };
        if let Some(thing) = &thing {
            // It is a member of what the question brought along with members of its own.
            let own = |uid: &EntityUid| *uid == self.principal.uid || *uid == self.resource.uid;
            if !matches!(one, Found::Thing(_)) && thing.within.iter().any(own) {
                return Err(Unsure);
            }
        }
        let uid = one.uid().ok_or(Unsure)?;
        let is_in = |target: &EntityUid| {
            uid == target || thing.as_ref().is_some_and(|thing| thing.within.iter().any(|parent| parent == target))
        };
        match other {
            Found::Entity(_, Some(number)) => match &thing {
                Some(thing) => Ok(thing.is_in(*number)),
                None => Ok(other.uid() == Some(uid)),
            },
            Found::Entity(target, None) => Ok(is_in(target)),
            Found::Thing(target) => Ok(is_in(&target.uid)),
            Found::Value(value) => match value.as_ref() {
                Value::Entity(target) => Ok(is_in(target)),
                Value::Set(values) => {
                    let mut found = false;
                    for value in values.iter() {
                        let Value::Entity(target) = value else { return Err(Unsure) };
                        found |= is_in(target);
                    }
                    Ok(found)
                }
                _ => Err(Unsure),
            },
        }
    }
}

fn fits(scope: &Scope, thing: &Thing) -> bool {
    match scope {
        Scope::Any => true,
        Scope::Is(kind) => thing.uid.type_name() == kind,
        Scope::Equal(number) => thing.number == Some(*number),
        Scope::In(number) => thing.is_in(*number),
        Scope::IsIn(kind, number) => thing.uid.type_name() == kind && thing.is_in(*number),
    }
}

fn long<'a>(value: i64) -> Found<'a> {
    Found::Value(Cow::Owned(Value::Long(value)))
}

/// The first piece stands at the beginning, the last at the end, those between as early as they can.
fn like(text: &str, pattern: &[Piece]) -> bool {
    let mut rest = text;
    let mut open = false;
    for (at, piece) in pattern.iter().enumerate() {
        match piece {
            Piece::Any => open = true,
            Piece::Text(words) => {
                let last = at.saturating_add(1) == pattern.len();
                let found = match (open, last) {
                    (false, _) => rest.strip_prefix(words.as_str()),
                    (true, true) => return rest.ends_with(words.as_str()),
                    (true, false) => rest.find(words.as_str()).and_then(|at| rest.get(at..)?.get(words.len()..)),
                };
                let Some(after) = found else { return false };
                rest = after;
                open = false;
            }
        }
    }
    open || rest.is_empty()
}
