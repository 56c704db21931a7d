//! JSON whose texts may hold expressions: `{"total": "${ steps.order.body.total }"}`.

use serde_json::{Map, Value};

use crate::{Failure, Fault, Names, Reference, Scope, Template};

/// A compiled document. A text that is one expression gives that expression's value, of any kind; where
/// it is an optional without a value the member or item is left out. Keys are never computed.
#[derive(Debug)]
pub struct Document(Node);

#[derive(Debug)]
enum Node {
    Constant(Value),
    Template { pointer: Box<str>, template: Template },
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Document {
    /// All faults, each with the JSON pointer (RFC 6901) of its text in the document.
    pub fn compile(json: &Value, names: &Names) -> Result<Self, Vec<(String, Fault)>> {
        let mut faults = Vec::new();
        let node = compile(json, names, &mut String::new(), &mut faults);
        if faults.is_empty() { Ok(Self(node)) } else { Err(faults) }
    }

    /// A document in which nothing is computed, whatever its texts look like.
    pub fn literal(json: Value) -> Self {
        Self(Node::Constant(json))
    }

    pub fn reads(&self) -> Vec<&Reference> {
        let mut reads = Vec::new();
        self.0.reads(&mut reads);
        reads
    }

    /// The value where nothing is computed.
    pub fn constant(&self) -> Option<&Value> {
        match &self.0 {
            Node::Constant(value) => Some(value),
            _ => None,
        }
    }

    /// The value; a failure comes with the pointer of its text.
    pub fn value(&self, scope: &Scope) -> Result<Value, (&str, Failure)> {
        Ok(self.0.value(scope)?.unwrap_or(Value::Null))
    }

    /// The value as JSON text, behind what is in `out`: nothing of what it is made of is copied before.
    pub fn write(&self, scope: &Scope, out: &mut Vec<u8>) -> Result<(), Failure> {
        if !self.0.write(scope, out)? {
            out.extend_from_slice(b"null");
        }
        Ok(())
    }

    /// A JSON Schema (2020-12) of what it gives, as far as the text says. `of` knows more of a place.
    pub fn schema(&self, of: &dyn Fn(&Template) -> Value) -> Value {
        self.0.schema(of)
    }
}

fn compile(json: &Value, names: &Names, pointer: &mut String, faults: &mut Vec<(String, Fault)>) -> Node {
    let length = pointer.len();
    match json {
        Value::String(text) if text.contains("${") => match Template::compile(text, names) {
            Ok(template) => match template.constant() {
                Some(text) => Node::Constant(Value::from(text)),
                None => Node::Template { pointer: pointer.as_str().into(), template },
            },
            Err(fault) => {
                faults.push((pointer.clone(), fault));
                Node::Constant(Value::Null)
            }
        },
        Value::Array(items) => {
            let mut nodes = Vec::with_capacity(items.len());
            for (at, item) in items.iter().enumerate() {
                pointer.push_str(&format!("/{at}"));
                nodes.push(compile(item, names, pointer, faults));
                pointer.truncate(length);
            }
            if nodes.iter().all(Node::is_constant) {
                Node::Constant(nodes.into_iter().map(Node::constant).collect())
            } else {
                Node::List(nodes)
            }
        }
        Value::Object(members) => {
            let mut nodes = Vec::with_capacity(members.len());
            for (key, member) in members {
                pointer.push('/');
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
                nodes.push((key.clone(), compile(member, names, pointer, faults)));
                pointer.truncate(length);
            }
            if nodes.iter().all(|(_, node)| node.is_constant()) {
                Node::Constant(Value::Object(nodes.into_iter().map(|(key, node)| (key, node.constant())).collect()))
            } else {
                Node::Map(nodes)
            }
        }
        _ => Node::Constant(json.clone()),
    }
}

impl Node {
    fn is_constant(&self) -> bool {
        matches!(self, Self::Constant(_))
    }

    fn constant(self) -> Value {
        match self {
            Self::Constant(value) => value,
            _ => Value::Null,
        }
    }

    fn reads<'a>(&'a self, out: &mut Vec<&'a Reference>) {
        match self {
            Self::Constant(_) => {}
            Self::Template { template, .. } => out.extend(template.reads()),
            Self::List(nodes) => nodes.iter().for_each(|node| node.reads(out)),
            Self::Map(nodes) => nodes.iter().for_each(|(_, node)| node.reads(out)),
        }
    }

    fn value(&self, scope: &Scope) -> Result<Option<Value>, (&str, Failure)> {
        Ok(Some(match self {
            Self::Constant(value) => value.clone(),
            Self::Template { pointer, template } => {
                let value = template.value(scope).map_err(|failure| (&**pointer, failure))?;
                return Ok(value.map(std::borrow::Cow::into_owned));
            }
            Self::List(nodes) => {
                let mut items = Vec::with_capacity(nodes.len());
                for node in nodes {
                    items.extend(node.value(scope)?);
                }
                Value::Array(items)
            }
            Self::Map(nodes) => {
                let mut members = Map::with_capacity(nodes.len());
                for (key, node) in nodes {
                    if let Some(value) = node.value(scope)? {
                        members.insert(key.clone(), value);
                    }
                }
                Value::Object(members)
            }
        }))
    }

    /// Whether there is a value.
    fn write(&self, scope: &Scope, out: &mut Vec<u8>) -> Result<bool, Failure> {
        match self {
            Self::Constant(value) => write(out, value)?,
            Self::Template { template, .. } => match template.value(scope)? {
                Some(value) => write(out, &value)?,
                None => return Ok(false),
            },
            Self::List(nodes) => {
                out.push(b'[');
                let mut first = true;
                for node in nodes {
                    let before = out.len();
                    if !first {
                        out.push(b',');
                    }
                    match node.write(scope, out)? {
                        true => first = false,
                        false => out.truncate(before),
                    }
                }
                out.push(b']');
            }
            Self::Map(nodes) => {
                out.push(b'{');
                let mut first = true;
                for (key, node) in nodes {
                    let before = out.len();
                    if !first {
                        out.push(b',');
                    }
                    write_key(out, key)?;
                    out.push(b':');
                    match node.write(scope, out)? {
                        true => first = false,
                        false => out.truncate(before),
                    }
                }
                out.push(b'}');
            }
        }
        Ok(true)
    }

    fn schema(&self, of: &dyn Fn(&Template) -> Value) -> Value {
        match self {
            Self::Constant(value) => serde_json::json!({ "const": value }),
            Self::Template { template, .. } if template.single().is_some() => of(template),
            Self::Template { .. } => serde_json::json!({ "type": "string" }),
            Self::List(nodes) => {
                let items: Vec<Value> = nodes.iter().map(|node| node.schema(of)).collect();
                serde_json::json!({ "type": "array", "prefixItems": items })
            }
            Self::Map(nodes) => {
                let members: Map<String, Value> =
                    nodes.iter().map(|(key, node)| (key.clone(), node.schema(of))).collect();
                // An optional without a value leaves its member out.
                let sure = |node: &Node| match node {
                    Node::Template { template, .. } => template.single().is_none_or(|e| !e.as_str().contains('?')),
                    _ => true,
                };
                let required: Vec<&str> =
                    nodes.iter().filter(|(_, node)| sure(node)).map(|(key, _)| key.as_str()).collect();
                serde_json::json!({ "type": "object", "properties": members, "required": required })
            }
        }
    }
}

fn write(out: &mut Vec<u8>, value: &Value) -> Result<(), Failure> {
    serde_json::to_writer(out, value).map_err(|_| Failure::NoJson)
}

fn write_key(out: &mut Vec<u8>, key: &str) -> Result<(), Failure> {
    serde_json::to_writer(out, key).map_err(|_| Failure::NoJson)
}
