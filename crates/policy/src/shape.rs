//! The types of the schema, as far as questions and entities are made by them.
//!
//! A value is built by the type that the schema declares, never by how it looks; what is not declared is left
//! out, since no checked policy can read it.

use std::collections::{BTreeMap, HashMap};

use cedar_policy::{EntityId, EntityTypeName, EntityUid};
use serde_json::{Map, Value};

use crate::fault::Misfit;
use crate::value::{self, Members, Range};

#[derive(Debug, Clone)]
pub(crate) enum Shape {
    Bool,
    Long,
    Text,
    Address,
    Entity(String),
    Set(Box<Shape>),
    Record(Record),
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Record(pub BTreeMap<String, Member>);

#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub shape: Shape,
    pub required: bool,
    /// The number of its name.
    pub symbol: u32,
}

/// The names of all members that a schema declares, by number.
#[derive(Debug, Default)]
pub(crate) struct Symbols {
    numbers: HashMap<String, u32>,
    names: Vec<String>,
}

impl Symbols {
    pub fn find(&self, name: &str) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    pub fn name(&self, number: u32) -> &str {
        usize::try_from(number).ok().and_then(|at| self.names.get(at)).map_or("", String::as_str)
    }

    fn number(&mut self, record: &mut Record) {
        for (name, member) in &mut record.0 {
            let next = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
            member.symbol = *self.numbers.entry(name.clone()).or_insert_with(|| {
                self.names.push(name.clone());
                next
            });
            self.within(&mut member.shape);
        }
    }

    fn within(&mut self, shape: &mut Shape) {
        match shape {
            Shape::Record(record) => self.number(record),
            Shape::Set(element) => self.within(element),
            _ => {}
        }
    }
}

/// An entity type of the schema.
#[derive(Debug)]
pub(crate) struct Kind {
    pub name: EntityTypeName,
    pub attributes: Record,
    /// The types it may be a member of.
    pub parents: Vec<String>,
}

/// An action of the schema.
#[derive(Debug)]
pub(crate) struct Deed {
    pub uid: EntityUid,
    pub principals: Vec<String>,
    pub resources: Vec<String>,
    pub context: Record,
}

/// All types of a schema by name.
#[derive(Debug, Default)]
pub(crate) struct Shapes {
    pub kinds: HashMap<String, Kind>,
    pub deeds: HashMap<String, Deed>,
    pub symbols: Symbols,
    /// Spellings of other systems: `user` for `User`, `patient-record` for `PatientRecord`.
    spellings: HashMap<String, Option<String>>,
}

impl Shapes {
    /// From the schema's JSON form with resolved types.
    pub fn read(json: &Value) -> Result<Self, String> {
        let mut shapes = Self::default();
        let common = Common(json);
        for (space, content) in json.as_object().into_iter().flatten() {
            for (name, spec) in members(content, "entityTypes") {
                let name = qualified(space, name);
                let attributes = match spec.get("shape") {
                    Some(shape) => common.record(space, shape)?,
                    None => Record::default(),
                };
                let parents = names(spec.get("memberOfTypes")).map(|parent| common.entity(space, parent)).collect();
                let kind = Kind { name: parse_type(&name)?, attributes, parents };
                shapes.kinds.insert(name, kind);
            }
            for (id, spec) in members(content, "actions") {
                let Some(applies) = spec.get("appliesTo").filter(|applies| !applies.is_null()) else { continue };
                let types =
                    |key: &str| names(applies.get(key)).map(|name| common.entity(space, name)).collect::<Vec<_>>();
                let deed = Deed {
                    uid: EntityUid::from_type_name_and_id(parse_type(&qualified(space, "Action"))?, EntityId::new(id)),
                    principals: types("principalTypes"),
                    resources: types("resourceTypes"),
                    context: match applies.get("context") {
                        Some(context) => common.record(space, context)?,
                        None => Record::default(),
                    },
                };
                shapes.deeds.insert(qualified(space, id), deed);
            }
        }
        for record in shapes.kinds.values_mut().map(|kind| &mut kind.attributes) {
            shapes.symbols.number(record);
        }
        for record in shapes.deeds.values_mut().map(|deed| &mut deed.context) {
            shapes.symbols.number(record);
        }
        for name in shapes.kinds.keys() {
            let entry = shapes.spellings.entry(spelling(name)).or_insert_with(|| Some(name.clone()));
            if entry.as_ref() != Some(name) {
                *entry = None;
            }
        }
        Ok(shapes)
    }

    /// The type that somebody else's word means.
    pub fn kind(&self, word: &str) -> Result<(&str, &Kind), Misfit> {
        let found = self.kinds.get_key_value(word).or_else(|| {
            let name = self.spellings.get(&spelling(word))?.as_ref()?;
            self.kinds.get_key_value(name)
        });
        found
            .map(|(name, kind)| (name.as_str(), kind))
            .ok_or_else(|| Misfit(format!("the schema has no entity type `{}`", short(word))))
    }

    pub fn deed(&self, name: &str) -> Result<&Deed, Misfit> {
        self.deeds.get(name).ok_or_else(|| Misfit(format!("the schema has no action `{}`", short(name))))
    }

    pub fn uid(&self, word: &str, id: &str) -> Result<EntityUid, Misfit> {
        let (_, kind) = self.kind(word)?;
        Ok(EntityUid::from_type_name_and_id(kind.name.clone(), EntityId::new(id)))
    }
}

/// Values on their way into the policies, and the entities they name.
pub(crate) struct Intake<'a> {
    pub shapes: &'a Shapes,
    pub depth: usize,
    pub named: Vec<EntityUid>,
}

impl Intake<'_> {
    /// The declared members of `given`, in the declared types.
    pub fn members(
        &mut self,
        record: &Record,
        given: &Map<String, Value>,
        path: &str,
        depth: usize,
    ) -> Result<Members, Misfit> {
        self.some_members(record, given, path, depth, |_| true)
    }

    /// As [`Intake::members`], of those whose name passes.
    pub fn some_members(
        &mut self,
        record: &Record,
        given: &Map<String, Value>,
        path: &str,
        depth: usize,
        passes: impl Fn(&str) -> bool,
    ) -> Result<Members, Misfit> {
        let mut out = Vec::with_capacity(record.0.len());
        for (name, member) in record.0.iter().filter(|(name, _)| passes(name)) {
            let value = match (given.get(name).filter(|value| !value.is_null()), &member.shape) {
                (Some(value), shape) => self.value(shape, value, &Path(path, name), depth)?,
                (None, _) if !member.required => continue,
                // Nobody has to write an empty object where all its members may be missing.
                (None, Shape::Record(inner)) => {
                    let inner = self.members(inner, &Map::new(), &Path(path, name).to_string(), depth + 1)?;
                    value::Value::Record(inner.into())
                }
                (None, _) => return Err(Misfit(format!("`{}` is missing", Path(path, name)))),
            };
            out.push((member.symbol, value));
        }
        Ok(out)
    }

    fn value(&mut self, shape: &Shape, value: &Value, path: &Path<'_>, depth: usize) -> Result<value::Value, Misfit> {
        if depth > self.depth {
            return Err(Misfit(format!("`{path}` is nested too deeply")));
        }
        let wrong = |what: &str| Misfit(format!("`{path}` is not {what}"));
        match shape {
            Shape::Bool => value.as_bool().map(value::Value::Bool).ok_or_else(|| wrong("true or false")),
            Shape::Long => value.as_i64().map(value::Value::Long).ok_or_else(|| wrong("a whole number")),
            Shape::Text => {
                let text = value.as_str().ok_or_else(|| wrong("a text"))?;
                Ok(value::Value::Text(text.into()))
            }
            Shape::Address => {
                let range = value.as_str().and_then(Range::parse).ok_or_else(|| wrong("an IP address"))?;
                Ok(value::Value::Range(range))
            }
            Shape::Entity(name) => {
                let id = match value {
                    Value::String(id) => id,
                    Value::Object(object) => self.id_of(name, object).ok_or_else(|| wrong(&format!("a `{name}`")))?,
                    _ => return Err(wrong(&format!("a `{name}`"))),
                };
                let uid = self.shapes.uid(name, id)?;
                self.named.push(uid.clone());
                Ok(value::Value::Entity(uid))
            }
            Shape::Set(element) => {
                let values = value.as_array().ok_or_else(|| wrong("a list"))?;
                let values = values.iter().map(|value| self.value(element, value, path, depth + 1));
                Ok(value::Value::Set(values.collect::<Result<Vec<_>, _>>()?.into()))
            }
            Shape::Record(record) => {
                let object = value.as_object().ok_or_else(|| wrong("an object"))?;
                Ok(value::Value::Record(self.members(record, object, &path.to_string(), depth + 1)?.into()))
            }
        }
    }

    /// The id in `{"type": …, "id": …}`, if the type is the declared one.
    fn id_of<'v>(&self, name: &str, object: &'v Map<String, Value>) -> Option<&'v str> {
        let (found, _) = self.shapes.kind(object.get("type")?.as_str()?).ok()?;
        (found == name).then(|| object.get("id")?.as_str()).flatten()
    }
}

/// Where a value stands, written only when something is wrong with it.
struct Path<'a>(&'a str, &'a str);

impl std::fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// The common types of a schema.
struct Common<'a>(&'a Value);

impl Common<'_> {
    fn record(&self, space: &str, spec: &Value) -> Result<Record, String> {
        match self.shape(space, spec, 0)? {
            Shape::Record(record) => Ok(record),
            _ => Err("a context or an entity's attributes are not a record".to_owned()),
        }
    }

    fn shape(&self, space: &str, spec: &Value, depth: usize) -> Result<Shape, String> {
        if depth > 32 {
            return Err("types are nested too deeply".to_owned());
        }
        let text = |key: &str| spec.get(key).and_then(Value::as_str).unwrap_or_default();
        match text("type").trim_start_matches("__cedar::") {
            "Bool" | "Boolean" => Ok(Shape::Bool),
            "Long" => Ok(Shape::Long),
            "String" => Ok(Shape::Text),
            "ipaddr" => Ok(Shape::Address),
            "Extension" if text("name") == "ipaddr" => Ok(Shape::Address),
            "Entity" => Ok(Shape::Entity(self.entity(space, text("name")))),
            "Set" => {
                let element = spec.get("element").ok_or("a set without a type of its elements")?;
                Ok(Shape::Set(Box::new(self.shape(space, element, depth + 1)?)))
            }
            "Record" => {
                let mut record = Record::default();
                for (name, member) in members(spec, "attributes") {
                    let required = member.get("required").and_then(Value::as_bool).unwrap_or(true);
                    let shape = self.shape(space, member, depth + 1)?;
                    record.0.insert(name.clone(), Member { shape, required, symbol: 0 });
                }
                Ok(Shape::Record(record))
            }
            name => {
                let found = [qualified(space, name), name.to_owned()].into_iter().find_map(|full| {
                    let (space, name) = full.rsplit_once("::").unwrap_or(("", &full));
                    Some((space.to_owned(), self.0.get(space)?.get("commonTypes")?.get(name)?))
                });
                let (space, spec) = found.ok_or_else(|| format!("the type `{name}` is not known here"))?;
                self.shape(&space, spec, depth + 1)
            }
        }
    }

    /// The full name of an entity type as named inside a namespace.
    fn entity(&self, space: &str, name: &str) -> String {
        let declared = |space: &str| self.0.get(space).and_then(|content| content.get("entityTypes")?.get(name));
        if !name.contains("::") && declared(space).is_some() { qualified(space, name) } else { name.to_owned() }
    }
}

fn members<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    value.get(key).and_then(Value::as_object).into_iter().flatten()
}

fn names(value: Option<&Value>) -> impl Iterator<Item = &str> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

fn qualified(space: &str, name: &str) -> String {
    if space.is_empty() { name.to_owned() } else { format!("{space}::{name}") }
}

fn parse_type(name: &str) -> Result<EntityTypeName, String> {
    name.parse().map_err(|_| format!("`{name}` is not a type's name"))
}

/// Whether two names of a type are the same for questions.
pub fn same_type(one: &str, other: &str) -> bool {
    spelling(one) == spelling(other)
}

fn spelling(word: &str) -> String {
    word.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).flat_map(char::to_lowercase).collect()
}

/// So that a message does not carry what an attacker wrote at length.
fn short(word: &str) -> String {
    word.chars().take(64).collect()
}
