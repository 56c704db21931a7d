//! The 3-way merge of a re-import: what was generated last, what is there now, what would be generated now.
//!
//! What people changed by hand stays; what they left alone follows the document. Where both changed, what is there
//! stays, and is told.

use catalog::published::Document;
use serde_json::{Map, Value};

#[derive(Debug, Default)]
pub struct Merged {
    pub documents: Vec<Document>,
    /// Where hand and document disagree, in words.
    pub conflicts: Vec<String>,
    /// What stays as somebody made it by hand, in words.
    pub kept: Vec<String>,
}

pub fn merge(base: &[Document], ours: &[Document], new: &[Document]) -> Merged {
    let mut out = Merged::default();
    let find = |set: &[Document], like: &Document| {
        set.iter().find(|one| one.kind == like.kind && one.name == like.name).map(|one| one.spec.clone())
    };
    for document in new {
        let what = format!("{} `{}`", document.kind, document.name);
        let was = find(base, document);
        match (find(ours, document), was) {
            (Some(current), was) => {
                let was = was.unwrap_or(Value::Null);
                let spec = values(&what, "", &was, &current, &document.spec, &mut out);
                out.documents.push(Document { spec, ..document.clone() });
            }
            (None, Some(was)) if was == document.spec => out.kept.push(format!("{what} stays removed")),
            (None, Some(_)) => {
                out.conflicts
                    .push(format!("{what} was removed by hand, and the document changes it: it stays removed"));
            }
            (None, None) => out.documents.push(document.clone()),
        }
    }
    for document in ours.iter().filter(|one| find(new, one).is_none()) {
        let what = format!("{} `{}`", document.kind, document.name);
        match find(base, document) {
            None => {
                out.kept.push(format!("{what} was made by hand"));
                out.documents.push(document.clone());
            }
            Some(was) if was == document.spec => {}
            Some(_) => {
                // What nobody documents any more must not stay open because of an old change.
                out.conflicts
                    .push(format!("{what} was changed by hand, and the document has it no more: it is removed"));
            }
        }
    }
    out
}

fn values(what: &str, pointer: &str, base: &Value, ours: &Value, new: &Value, out: &mut Merged) -> Value {
    if ours == new || new == base {
        if ours != new {
            out.kept.push(format!("{what}: {}", place(pointer)));
        }
        return ours.clone();
    }
    if ours == base {
        return new.clone();
    }
    match (ours, new) {
        (Value::Object(mine), Value::Object(theirs)) => {
            let empty = Map::new();
            let base = base.as_object().unwrap_or(&empty);
            Value::Object(members(what, pointer, base, mine, theirs, out))
        }
        _ => {
            out.conflicts
                .push(format!("{what}: {} was changed by hand and in the document: it stays as it is", place(pointer)));
            ours.clone()
        }
    }
}

fn members(
    what: &str,
    pointer: &str,
    base: &Map<String, Value>,
    ours: &Map<String, Value>,
    new: &Map<String, Value>,
    out: &mut Merged,
) -> Map<String, Value> {
    let mut merged = Map::new();
    let added = new.keys().filter(|key| !ours.contains_key(*key));
    for key in ours.keys().chain(added) {
        let pointer = format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
        let was = base.get(key);
        let value = match (ours.get(key), new.get(key)) {
            (Some(mine), Some(theirs)) => Some(values(what, &pointer, was.unwrap_or(&Value::Null), mine, theirs, out)),
            (Some(mine), None) if was == Some(mine) => None,
            (Some(mine), None) => {
                out.kept.push(format!("{what}: {}", place(&pointer)));
                Some(mine.clone())
            }
            (None, Some(theirs)) if was == Some(theirs) => {
                out.kept.push(format!("{what}: without {}", place(&pointer)));
                None
            }
            (None, Some(_)) if was.is_some() => {
                out.conflicts.push(format!(
                    "{what}: {} was removed by hand and changed in the document: it stays removed",
                    place(&pointer)
                ));
                None
            }
            (None, theirs) => theirs.cloned(),
        };
        if let Some(value) = value {
            merged.insert(key.clone(), value);
        }
    }
    merged
}

fn place(pointer: &str) -> String {
    let words = pointer.trim_start_matches('/').replace('/', ".");
    if words.is_empty() { "all of it".to_owned() } else { format!("`{words}`") }
}
