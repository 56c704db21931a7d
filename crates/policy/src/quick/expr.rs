//! Policies in the form that the quick evaluation walks: names and entities are numbers, nothing is looked up
//! by text. What is not known here makes no program, and Cedar decides.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use cedar_policy::{EntityTypeName, EntityUid, Policy};
use serde_json::{Value as Json, json};

use super::literals::Literals;
use crate::compile::PolicyInfo;
use crate::shape::Shapes;
use crate::value::{Bounds, Range, Value};

/// One policy: it applies if principal and resource fit and every condition holds.
#[derive(Debug)]
pub(crate) struct Program {
    pub info: Arc<PolicyInfo>,
    pub principal: Scope,
    pub resource: Scope,
    pub conditions: Vec<Condition>,
    /// Members of the context that it reads: the first name, and the second if only that one is read of it.
    pub reads: BTreeSet<(u32, Option<u32>)>,
}

/// A part of what policies ask that holds or does not by itself.
#[derive(Debug)]
pub(crate) struct Condition {
    pub expr: Expr,
    /// One bit, if other policies have the same: then it is looked at once in a decision.
    pub shared: u64,
}

#[derive(Debug)]
pub(crate) enum Scope {
    Any,
    Is(EntityTypeName),
    Equal(u32),
    In(u32),
    IsIn(EntityTypeName, u32),
}

#[derive(Debug)]
pub(crate) enum Expr {
    Value(Value),
    /// An entity that policies name.
    Named(EntityUid, u32),
    Principal,
    Resource,
    Context(u32),
    ContextHas(u32),
    Member(Box<Expr>, u32),
    Has(Box<Expr>, u32),
    Not(Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    If(Box<Expr>, Box<Expr>, Box<Expr>),
    Equal(Box<Expr>, Box<Expr>),
    Less(Box<Expr>, Box<Expr>),
    LessEqual(Box<Expr>, Box<Expr>),
    Add(Box<Expr>, Box<Expr>),
    Subtract(Box<Expr>, Box<Expr>),
    Multiply(Box<Expr>, Box<Expr>),
    Negate(Box<Expr>),
    In(Box<Expr>, Box<Expr>),
    Is(Box<Expr>, EntityTypeName),
    Contains(Box<Expr>, Box<Expr>),
    ContainsAll(Box<Expr>, Box<Expr>),
    ContainsAny(Box<Expr>, Box<Expr>),
    IsEmpty(Box<Expr>),
    Like(Box<Expr>, Vec<Piece>),
    Set(Vec<Expr>),
    Address(Test, Box<Expr>),
    InRange(Box<Expr>, Vec<Expr>),
    /// The same with ranges that are written out.
    Within(Box<Expr>, Vec<Bounds>),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Piece {
    Any,
    Text(String),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Test {
    Ipv4,
    Ipv6,
    Loopback,
    Multicast,
}

pub(crate) fn program(
    policy: &Policy,
    info: &Arc<PolicyInfo>,
    shapes: &Shapes,
    literals: &mut Literals,
) -> Option<Program> {
    let json = policy.to_json().ok()?;
    let mut reading = Reading { shapes, literals, reads: BTreeSet::new() };
    let principal = reading.scope(json.get("principal")?)?;
    let resource = reading.scope(json.get("resource")?)?;
    let mut conditions = Vec::new();
    for condition in json.get("conditions")?.as_array()? {
        let body = reading.expr(condition.get("body")?)?;
        take_apart(condition.get("kind")?.as_str()? == "when", body, &mut conditions);
    }
    let conditions = conditions.into_iter().map(|expr| Condition { expr, shared: 0 }).collect();
    Some(Program { info: info.clone(), principal, resource, conditions, reads: reading.reads })
}

/// `a && b` are two conditions, and so are `!(a || b)`, in the order in which they are evaluated.
fn take_apart(holds: bool, expr: Expr, out: &mut Vec<Expr>) {
    match (holds, expr) {
        (true, Expr::And(one, other)) | (false, Expr::Or(one, other)) => {
            take_apart(holds, *one, out);
            take_apart(holds, *other, out);
        }
        (holds, Expr::Not(one)) => take_apart(!holds, *one, out),
        (true, expr) => out.push(expr),
        (false, expr) => out.push(Expr::Not(Box::new(expr))),
    }
}

/// Gives conditions that several programs have a bit; those that most have, if there are more than bits.
pub(crate) fn share(programs: &mut [Option<Program>]) {
    let mut all: HashMap<String, Vec<&mut Condition>> = HashMap::new();
    for condition in programs.iter_mut().flatten().flat_map(|program| &mut program.conditions) {
        all.entry(format!("{:?}", condition.expr)).or_default().push(condition);
    }
    let mut several: Vec<Vec<&mut Condition>> = all.into_values().filter(|same| same.len() > 1).collect();
    several.sort_by_key(|same| std::cmp::Reverse(same.len()));
    for (same, bit) in several.into_iter().zip((0..64).map(|at| 1_u64 << at)) {
        for condition in same {
            condition.shared = bit;
        }
    }
}

struct Reading<'a> {
    shapes: &'a Shapes,
    literals: &'a mut Literals,
    reads: BTreeSet<(u32, Option<u32>)>,
}

impl Reading<'_> {
    fn scope(&mut self, json: &Json) -> Option<Scope> {
        let entity = |this: &mut Self, json: &Json| this.entity(json.get("entity")?).map(|(_, number)| number);
        match json.get("op")?.as_str()? {
            "All" => Some(Scope::Any),
            "==" => Some(Scope::Equal(entity(self, json)?)),
            "in" => Some(Scope::In(entity(self, json)?)),
            "is" => {
                let kind = json.get("entity_type")?.as_str()?.parse().ok()?;
                match json.get("in") {
                    None => Some(Scope::Is(kind)),
                    Some(within) => Some(Scope::IsIn(kind, entity(self, within)?)),
                }
            }
            _ => None,
        }
    }

    fn entity(&mut self, json: &Json) -> Option<(EntityUid, u32)> {
        let inner = json.get("__entity").unwrap_or(json);
        let kind: EntityTypeName = inner.get("type")?.as_str()?.parse().ok()?;
        let id = cedar_policy::EntityId::new(inner.get("id")?.as_str()?);
        let uid = EntityUid::from_type_name_and_id(kind, id);
        let number = self.literals.number(&uid);
        Some((uid, number))
    }

    fn expr(&mut self, json: &Json) -> Option<Expr> {
        let (operator, body) = one(json)?;
        let left = |this: &mut Self| this.boxed(body.get("left")?);
        let right = |this: &mut Self| this.boxed(body.get("right")?);
        let argument = |this: &mut Self| this.boxed(body.get("arg")?);
        Some(match operator {
            "Value" => self.literal(body)?,
            // The context as a whole is nothing that one passes around here.
            "Var" => match body.as_str()? {
                "principal" => Expr::Principal,
                "resource" => Expr::Resource,
                _ => return None,
            },
            "!" => Expr::Not(argument(self)?),
            "neg" => Expr::Negate(argument(self)?),
            "isEmpty" => Expr::IsEmpty(argument(self)?),
            "&&" => Expr::And(left(self)?, right(self)?),
            "||" => Expr::Or(left(self)?, right(self)?),
            "==" => Expr::Equal(left(self)?, right(self)?),
            "!=" => Expr::Not(Box::new(Expr::Equal(left(self)?, right(self)?))),
            "<" => Expr::Less(left(self)?, right(self)?),
            "<=" => Expr::LessEqual(left(self)?, right(self)?),
            // In this order of evaluation, as Cedar has it: `a > b` is `!(a <= b)`.
            ">" => Expr::Not(Box::new(Expr::LessEqual(left(self)?, right(self)?))),
            ">=" => Expr::Not(Box::new(Expr::Less(left(self)?, right(self)?))),
            "+" => Expr::Add(left(self)?, right(self)?),
            "-" => Expr::Subtract(left(self)?, right(self)?),
            "*" => Expr::Multiply(left(self)?, right(self)?),
            "contains" => Expr::Contains(left(self)?, right(self)?),
            "containsAll" => Expr::ContainsAll(left(self)?, right(self)?),
            "containsAny" => Expr::ContainsAny(left(self)?, right(self)?),
            "in" => Expr::In(self.known(body.get("left")?)?, right(self)?),
            "is" => self.is(body)?,
            "." => self.member(body)?,
            "has" => self.has(body)?,
            "like" => Expr::Like(left(self)?, pattern(body.get("pattern")?)?),
            "if-then-else" => {
                let part = |this: &mut Self, name: &str| this.boxed(body.get(name)?);
                Expr::If(part(self, "if")?, part(self, "then")?, part(self, "else")?)
            }
            "Set" => Expr::Set(body.as_array()?.iter().map(|one| self.expr(one)).collect::<Option<_>>()?),
            _ => self.call(operator, body.as_array()?)?,
        })
    }

    fn boxed(&mut self, json: &Json) -> Option<Box<Expr>> {
        self.expr(json).map(Box::new)
    }

    /// An entity that the question is sure to have gathered: subject, resource, or what attributes of gathered
    /// ones name. An entity that the policy itself names need not be among them.
    fn known(&mut self, json: &Json) -> Option<Box<Expr>> {
        let expr = self.expr(json)?;
        matches!(expr, Expr::Principal | Expr::Resource | Expr::Context(_) | Expr::Member(..)).then(|| Box::new(expr))
    }

    fn literal(&mut self, json: &Json) -> Option<Expr> {
        Some(match json {
            Json::Bool(value) => Expr::Value(Value::Bool(*value)),
            Json::Number(number) => Expr::Value(Value::Long(number.as_i64()?)),
            Json::String(text) => Expr::Value(Value::Text(text.as_str().into())),
            Json::Object(object) if object.contains_key("__entity") => {
                let (uid, number) = self.entity(json)?;
                Expr::Named(uid, number)
            }
            _ => return None,
        })
    }

    fn name(&self, json: &Json) -> Option<u32> {
        self.shapes.symbols.find(json.as_str()?)
    }

    fn is(&mut self, body: &Json) -> Option<Expr> {
        let kind = body.get("entity_type")?.as_str()?.parse().ok()?;
        match body.get("in") {
            None => Some(Expr::Is(self.boxed(body.get("left")?)?, kind)),
            Some(within) => {
                let is = Expr::Is(self.boxed(body.get("left")?)?, kind);
                let within = Expr::In(self.known(body.get("left")?)?, self.boxed(within)?);
                Some(Expr::And(Box::new(is), Box::new(within)))
            }
        }
    }

    fn member(&mut self, body: &Json) -> Option<Expr> {
        let name = self.name(body.get("attr")?)?;
        let left = body.get("left")?;
        if is_context(left) {
            self.reads.insert((name, None));
            return Some(Expr::Context(name));
        }
        self.read_of(left, name);
        Some(Expr::Member(self.place(left)?, name))
    }

    fn has(&mut self, body: &Json) -> Option<Expr> {
        let attributes = body.get("attr")?;
        if let Some(chain) = attributes.as_array() {
            // `x has a.b` is `x has a && x.a has b`.
            let mut left = body.get("left")?.clone();
            let mut all: Option<Expr> = None;
            for attribute in chain {
                let has = self.has(&json!({"left": left, "attr": attribute}))?;
                all = Some(match all {
                    None => has,
                    Some(one) => Expr::And(Box::new(one), Box::new(has)),
                });
                left = json!({".": {"left": left, "attr": attribute}});
            }
            return all;
        }
        let name = self.name(body.get("attr")?)?;
        let left = body.get("left")?;
        if is_context(left) {
            self.reads.insert((name, None));
            return Some(Expr::ContextHas(name));
        }
        self.read_of(left, name);
        Some(Expr::Has(self.place(left)?, name))
    }

    /// `context.request.path` reads the path, and nothing else of the request.
    fn read_of(&mut self, left: &Json, name: u32) {
        if let Some(("." | "has", inner)) = one(left)
            && inner.get("left").is_some_and(is_context)
            && let Some(first) = inner.get("attr").and_then(|attr| self.name(attr))
        {
            self.reads.insert((first, Some(name)));
        }
    }

    /// What members are taken of.
    fn place(&mut self, json: &Json) -> Option<Box<Expr>> {
        if let Some((".", body)) = one(json)
            && body.get("left").is_some_and(is_context)
        {
            // Not a reading of the whole: the caller has noted which member.
            return Some(Box::new(Expr::Context(self.name(body.get("attr")?)?)));
        }
        self.known(json)
    }

    fn call(&mut self, function: &str, arguments: &[Json]) -> Option<Expr> {
        let test = match function {
            "ip" => {
                let [text] = arguments else { return None };
                let text = one(text).filter(|(operator, _)| *operator == "Value")?.1.as_str()?;
                return Some(Expr::Value(Value::Range(Range::literal(text)?)));
            }
            "isInRange" => {
                let (first, others) = arguments.split_first()?;
                let others = others.iter().map(|one| self.expr(one)).collect::<Option<Vec<_>>>()?;
                let first = self.boxed(first)?;
                let bounds = others.iter().map(|one| match one {
                    Expr::Value(Value::Range(range)) => Some(range.bounds()),
                    _ => None,
                });
                return Some(match bounds.collect() {
                    Some(bounds) => Expr::Within(first, bounds),
                    None => Expr::InRange(first, others),
                });
            }
            "isIpv4" => Test::Ipv4,
            "isIpv6" => Test::Ipv6,
            "isLoopback" => Test::Loopback,
            "isMulticast" => Test::Multicast,
            _ => return None,
        };
        let [argument] = arguments else { return None };
        Some(Expr::Address(test, self.boxed(argument)?))
    }
}

fn one(json: &Json) -> Option<(&str, &Json)> {
    let object = json.as_object().filter(|object| object.len() == 1)?;
    object.iter().next().map(|(operator, body)| (operator.as_str(), body))
}

fn is_context(json: &Json) -> bool {
    one(json).is_some_and(|(operator, body)| operator == "Var" && body == "context")
}

fn pattern(json: &Json) -> Option<Vec<Piece>> {
    let piece = |json: &Json| match json {
        Json::String(word) if word == "Wildcard" => Some(Piece::Any),
        Json::Object(object) => Some(Piece::Text(object.get("Literal")?.as_str()?.to_owned())),
        _ => None,
    };
    let mut pieces: Vec<Piece> = Vec::new();
    for one in json.as_array()? {
        match (piece(one)?, pieces.last_mut()) {
            // Cedar gives each letter by itself.
            (Piece::Text(more), Some(Piece::Text(words))) => words.push_str(&more),
            (one, _) => pieces.push(one),
        }
    }
    Some(pieces)
}
