//! What differs between two sets of documents, each difference at its place.

use std::collections::BTreeMap;

use catalog::published::Document;
use serde::Serialize;
use serde_json::Value;

/// One place at which two sets differ.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    pub kind: String,
    pub name: String,
    /// `add`, `modify`, `remove`
    pub change: &'static str,
    /// Into the spec; empty for the whole document.
    pub pointer: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

pub fn differences(old: &[Document], new: &[Document]) -> Vec<Difference> {
    fn index(set: &[Document]) -> BTreeMap<(&str, &str), &Value> {
        set.iter().map(|one| ((one.kind.as_str(), one.name.as_str()), &one.spec)).collect()
    }
    let (old, new) = (index(old), index(new));
    let mut keys: Vec<&(&str, &str)> = old.keys().chain(new.keys()).collect();
    keys.sort();
    keys.dedup();
    let mut out = Vec::new();
    for key in keys {
        let mut places = Vec::new();
        match (old.get(key), new.get(key)) {
            (Some(before), Some(after)) => compare("", before, after, &mut places),
            (before, after) => places.push((String::new(), before.copied().cloned(), after.copied().cloned())),
        }
        out.extend(places.into_iter().map(|(pointer, before, after)| Difference {
            kind: key.0.to_owned(),
            name: key.1.to_owned(),
            change: match (&before, &after) {
                _ if !pointer.is_empty() => "modify",
                (None, _) => "add",
                (_, None) => "remove",
                _ => "modify",
            },
            pointer,
            before,
            after,
        }));
    }
    out
}

type Place = (String, Option<Value>, Option<Value>);

fn compare(pointer: &str, before: &Value, after: &Value, out: &mut Vec<Place>) {
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            let added = new.keys().filter(|key| !old.contains_key(*key));
            for key in old.keys().chain(added) {
                let pointer = format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
                match (old.get(key), new.get(key)) {
                    (Some(before), Some(after)) => compare(&pointer, before, after, out),
                    (before, after) => out.push((pointer, before.cloned(), after.cloned())),
                }
            }
        }
        _ if before == after => {}
        _ => out.push((pointer.to_owned(), Some(before.clone()), Some(after.clone()))),
    }
}
