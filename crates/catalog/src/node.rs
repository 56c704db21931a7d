//! YAML as a tree whose every node knows its line and column.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::Spanned;

#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub content: Content,
    pub line: u32,
    pub column: u32,
}

#[derive(Debug, Clone)]
pub(crate) enum Content {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub text: String,
    pub line: u32,
    pub column: u32,
}

/// More than any hand-written set needs; a larger file is refused before it is parsed.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// What the YAML parser says of a text that is no YAML.
#[derive(Debug)]
pub(crate) struct Syntax {
    pub line: u32,
    pub column: u32,
    pub message: String,
}

pub(crate) fn documents(text: &str) -> Result<Vec<Node>, Syntax> {
    if text.len() > MAX_BYTES {
        return Err(Syntax { line: 0, column: 0, message: format!("the file is larger than {MAX_BYTES} bytes") });
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_events: 20_000_000, max_nodes: 10_000_000, max_documents: 1_000_000 },
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::Error,
        strict_booleans: true,
    };
    let text = hide_parameters(text);
    let mut documents = serde_saphyr::from_multiple_with_options::<Node>(&text, options).map_err(|error| {
        let (line, column) = error.location().map_or((0, 0), |at| (small(at.line()), small(at.column())));
        let plain = serde_saphyr::UserMessageFormatter;
        let message = error.without_snippet().render_with_formatter(&plain);
        Syntax { line, column, message: show_parameters(without_place(&message).to_owned()) }
    })?;
    documents.iter_mut().for_each(Node::show_parameters);
    Ok(documents)
}

/// Characters of the private use area, which stand for `{` and `}` while YAML is read.
const HIDDEN: [char; 2] = [OPEN, CLOSE];
const OPEN: char = '\u{f8f0}';
const CLOSE: char = '\u{f8f1}';

/// Inside `{ … }` YAML takes the braces of `path: /orders/{id}` for its own. A `{` behind a `/` can
/// only be a parameter (elsewhere YAML wants a space or a sign before a map), so it is hidden; one
/// character for one, so that columns stay true.
fn hide_parameters(text: &str) -> Cow<'_, str> {
    if !text.contains("/{") || text.contains(HIDDEN) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 64);
    let mut rest = text;
    while let Some(at) = rest.find("/{") {
        let (before, behind) = rest.split_at_checked(at + 2).unwrap_or((rest, ""));
        let name = behind.find(|c: char| !c.is_ascii_alphanumeric() && !"_-.".contains(c)).unwrap_or(behind.len());
        let (name, tail) = behind.split_at_checked(name).unwrap_or((behind, ""));
        match tail.strip_prefix('}') {
            Some(tail) => {
                out.extend([before.strip_suffix('{').unwrap_or(before), "\u{f8f0}", name, "\u{f8f1}"]);
                rest = tail;
            }
            None => {
                out.extend([before, name]);
                rest = tail;
            }
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

fn show_parameters(text: String) -> String {
    if text.contains(HIDDEN) { text.replace(OPEN, "{").replace(CLOSE, "}") } else { text }
}

/// The parser ends its sentence with the place, which we print in front.
fn without_place(message: &str) -> &str {
    message.rfind(" at line ").and_then(|at| message.get(..at)).unwrap_or(message)
}

fn small(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl Node {
    pub fn get(&self, key: &str) -> Option<&Node> {
        match &self.content {
            Content::Map(entries) => entries.iter().find(|(name, _)| name.text == key).map(|(_, node)| node),
            _ => None,
        }
    }

    /// Follows a JSON pointer; where a step does not exist the last node on the way is returned.
    pub fn nearest(&self, pointer: &str) -> (u32, u32) {
        let mut node = self;
        let mut place = (self.line, self.column);
        for step in pointer.split('/').skip(1) {
            let step = step.replace("~1", "/").replace("~0", "~");
            let next = match &node.content {
                Content::Map(entries) => entries.iter().find(|(key, _)| key.text == step).map(|(key, node)| {
                    place = (key.line, key.column);
                    node
                }),
                Content::List(items) => step.parse::<usize>().ok().and_then(|at| items.get(at)).inspect(|node| {
                    place = (node.line, node.column);
                }),
                _ => None,
            };
            match next {
                Some(next) => node = next,
                None => break,
            }
        }
        place
    }

    fn show_parameters(&mut self) {
        match &mut self.content {
            Content::Text(text) => *text = show_parameters(std::mem::take(text)),
            Content::List(items) => items.iter_mut().for_each(Self::show_parameters),
            Content::Map(entries) => {
                for (key, node) in entries {
                    key.text = show_parameters(std::mem::take(&mut key.text));
                    node.show_parameters();
                }
            }
            Content::Null | Content::Bool(_) | Content::Int(_) | Content::Float(_) => {}
        }
    }

    pub fn to_json(&self) -> Value {
        match &self.content {
            Content::Null => Value::Null,
            Content::Bool(value) => Value::Bool(*value),
            Content::Int(value) => Value::from(*value),
            Content::Float(value) => Number::from_f64(*value).map_or(Value::Null, Value::Number),
            Content::Text(value) => Value::from(value.as_str()),
            Content::List(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            Content::Map(entries) => Value::Object(
                entries.iter().map(|(key, node)| (key.text.clone(), node.to_json())).collect::<Map<_, _>>(),
            ),
        }
    }

    /// The tree without the node at `pointer`, so that reading can go on behind a fault.
    pub fn remove(&mut self, pointer: &str) -> bool {
        let Some((parent, last)) = pointer.rsplit_once('/') else { return false };
        let last = last.replace("~1", "/").replace("~0", "~");
        let mut node = &mut *self;
        for step in parent.split('/').skip(1) {
            let step = step.replace("~1", "/").replace("~0", "~");
            let next = match &mut node.content {
                Content::Map(entries) => entries.iter_mut().find(|(key, _)| key.text == step).map(|(_, node)| node),
                Content::List(items) => step.parse::<usize>().ok().and_then(|at| items.get_mut(at)),
                _ => None,
            };
            match next {
                Some(next) => node = next,
                None => return false,
            }
        }
        match &mut node.content {
            Content::Map(entries) => {
                let before = entries.len();
                entries.retain(|(key, _)| key.text != last);
                entries.len() != before
            }
            // Without one item the pointers of the others would be wrong, so the whole list goes.
            Content::List(_) => self.remove(parent),
            Content::Null | Content::Bool(_) | Content::Int(_) | Content::Float(_) | Content::Text(_) => false,
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Content>::deserialize(deserializer)?;
        Ok(Self {
            content: spanned.value,
            line: small(spanned.referenced.line()),
            column: small(spanned.referenced.column()),
        })
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::Null)
    }

    fn visit_none<E>(self) -> Result<Content, E> {
        Ok(Content::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Content, D::Error> {
        Content::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Content, E> {
        Ok(Content::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Content, E> {
        Ok(Content::Int(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Content, E> {
        i64::try_from(value).map(Content::Int).map_err(|_| E::custom("the number is too large"))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Content, E> {
        Ok(Content::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Content, E> {
        Ok(Content::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Content, E> {
        Ok(Content::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Content, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element::<Node>()? {
            items.push(item);
        }
        Ok(Content::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Content, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let place = (small(key.referenced.line()), small(key.referenced.column()));
            entries.push((Key { text: key.value, line: place.0, column: place.1 }, map.next_value::<Node>()?));
        }
        Ok(Content::Map(entries))
    }
}
