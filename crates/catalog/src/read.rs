//! Reads a [`Node`] tree into a type with serde, so that each fault has its JSON pointer, and goes on
//! behind a fault, so that a user sees all of them at once.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use crate::node::{Content, Node};
use crate::source::did_you_mean;

/// A fault without its file: the caller knows that.
#[derive(Debug)]
pub(crate) struct Unreadable {
    pub pointer: String,
    pub message: String,
}

/// A page of faults is enough to begin with.
const MOST: usize = 20;

/// All faults of one tree, or the value. `at` is the pointer of the tree in its document.
pub(crate) fn read<T: DeserializeOwned>(node: &Node, at: &str) -> Result<T, Vec<Unreadable>> {
    let mut tree = node.clone();
    let mut faults: Vec<Unreadable> = Vec::new();
    while faults.len() < MOST {
        match T::deserialize(At { node: &tree, path: Path::Root }) {
            Ok(value) if faults.is_empty() => return Ok(value),
            Ok(_) => break,
            Err(error) => {
                let pointer = format!("{at}{}", error.pointer);
                let below = format!("{pointer}/");
                // What was taken out for a fault of its own is not missing.
                let follows = error.kind == Kind::Missing
                    && faults.iter().any(|known| known.pointer == pointer || known.pointer.starts_with(&below));
                if !follows {
                    faults.push(Unreadable { pointer, message: error.message });
                }
                let culprit = match error.kind {
                    Kind::Missing => error.pointer.rsplit_once('/').map_or("", |(parent, _)| parent),
                    Kind::Value | Kind::UnknownKey => &error.pointer,
                };
                if !tree.remove(culprit) {
                    break;
                }
            }
        }
    }
    Err(faults)
}

#[derive(Debug, Clone, Copy)]
enum Path<'a> {
    Root,
    Key(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Key(parent, key) => write!(f, "{parent}/{}", key.replace('~', "~0").replace('/', "~1")),
            Self::Index(parent, at) => write!(f, "{parent}/{at}"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Value,
    UnknownKey,
    Missing,
}

#[derive(Debug)]
pub(crate) struct Error {
    kind: Kind,
    /// Set when the error passes the node that it is about.
    placed: bool,
    /// For an unknown or missing key: which.
    key: String,
    pointer: String,
    message: String,
}

impl Error {
    fn at(mut self, path: &Path<'_>) -> Self {
        if !self.placed {
            self.placed = true;
            self.pointer = match self.kind {
                Kind::Value => path.to_string(),
                Kind::UnknownKey | Kind::Missing => Path::Key(path, &self.key).to_string(),
            };
        }
        self
    }

    fn new(kind: Kind, key: &str, message: String) -> Self {
        Self { kind, placed: false, key: key.to_owned(), pointer: String::new(), message }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Kind::Value, "", message.to_string())
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let guess = did_you_mean(field, expected.iter().copied());
        let message = if guess.is_empty() && !expected.is_empty() {
            format!("unknown key `{field}`; known here: {}", expected.join(", "))
        } else {
            format!("unknown key `{field}`{guess}")
        };
        Self::new(Kind::UnknownKey, field, message)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let guess = did_you_mean(variant, expected.iter().copied());
        Self::new(Kind::Value, "", format!("`{variant}` is not one of {}{guess}", expected.join(", ")))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Kind::Missing, field, format!("`{field}` is missing"))
    }

    fn invalid_type(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let found = match found {
            de::Unexpected::Unit => "nothing".to_owned(),
            de::Unexpected::Map => "a map".to_owned(),
            de::Unexpected::Seq => "a list".to_owned(),
            de::Unexpected::Str(_) => "text".to_owned(),
            de::Unexpected::Signed(_) | de::Unexpected::Unsigned(_) | de::Unexpected::Float(_) => "a number".to_owned(),
            de::Unexpected::Bool(_) => "true or false".to_owned(),
            other => other.to_string(),
        };
        Self::custom(format!("expected {}, found {found}", friendly(&expected.to_string())))
    }
}

/// serde names Rust types; users know YAML.
fn friendly(expected: &str) -> String {
    match expected {
        "a string" => "text".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list".to_owned(),
        text if text.starts_with("struct ") => "a map".to_owned(),
        "u16" | "u32" | "u64" | "usize" | "i64" => "a whole number".to_owned(),
        text => text.to_owned(),
    }
}

#[derive(Clone, Copy)]
struct At<'a> {
    node: &'a Node,
    path: Path<'a>,
}

impl<'de> Deserializer<'de> for At<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let result = match &self.node.content {
            Content::Null => visitor.visit_unit(),
            Content::Bool(value) => visitor.visit_bool(*value),
            Content::Int(value) => match u64::try_from(*value) {
                Ok(value) => visitor.visit_u64(value),
                Err(_) => visitor.visit_i64(*value),
            },
            Content::Float(value) => visitor.visit_f64(*value),
            Content::Text(value) => visitor.visit_str(value),
            Content::List(items) => visitor.visit_seq(Items { items, next: 0, path: &self.path }),
            Content::Map(entries) => visitor.visit_map(Entries { entries, next: 0, path: &self.path }),
        };
        result.map_err(|error| error.at(&self.path))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.node.content {
            Content::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        let path = self.path;
        visitor.visit_newtype_struct(self).map_err(|error| error.at(&path))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let result = match &self.node.content {
            Content::Text(name) => visitor.visit_enum(Unit(name)),
            _ => Err(de::Error::custom("expected one word")),
        };
        result.map_err(|error| error.at(&self.path))
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit_struct
        seq tuple tuple_struct map struct identifier ignored_any
    }
}

struct Items<'a> {
    items: &'a [Node],
    next: usize,
    path: &'a Path<'a>,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some(node) = self.items.get(self.next) else { return Ok(None) };
        let path = Path::Index(self.path, self.next);
        self.next += 1;
        seed.deserialize(At { node, path }).map(Some).map_err(|error| error.at(&path))
    }
}

struct Entries<'a> {
    entries: &'a [(crate::node::Key, Node)],
    next: usize,
    path: &'a Path<'a>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some((key, _)) = self.entries.get(self.next) else { return Ok(None) };
        let text: StrDeserializer<'_, Error> = key.text.as_str().into_deserializer();
        seed.deserialize(text).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let Some((key, node)) = self.entries.get(self.next) else { return Err(de::Error::custom("no value")) };
        let path = Path::Key(self.path, &key.text);
        self.next += 1;
        seed.deserialize(At { node, path }).map_err(|error| error.at(&path))
    }
}

struct Unit<'a>(&'a str);

impl<'de> EnumAccess<'de> for Unit<'_> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let text: StrDeserializer<'_, Error> = self.0.into_deserializer();
        Ok((seed.deserialize(text)?, self))
    }
}

impl<'de> VariantAccess<'de> for Unit<'_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, Error> {
        Err(de::Error::custom("expected one word"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Error> {
        Err(de::Error::custom("expected one word"))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, Error> {
        Err(de::Error::custom("expected one word"))
    }
}
