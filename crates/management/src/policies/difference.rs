//! What two versions differ in, line by line, as a reader of texts sees it.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use similar::{Algorithm, ChangeTag, TextDiff};

use super::{Suite, Version};

/// Unchanged lines shown around a change.
const AROUND: usize = 3;
/// More lines than somebody reads; beyond it is said that there are more.
const MOST: usize = 8_000;
/// For all texts together; after that the difference is a coarser one. What it takes is bounded, whatever is compared.
const TIME: Duration = Duration::from_secs(1);

/// What stands beside the policies, and after them.
const ASIDE: [&str; 3] = ["the schema", "entities of the tests", "the tests"];

/// A text that is not the same in both.
#[derive(Debug, Serialize)]
pub(crate) struct Changed {
    pub name: String,
    /// `added`, `removed` or `changed`
    pub how: &'static str,
    pub added: usize,
    pub removed: usize,
    pub hunks: Vec<Hunk>,
    /// Lines that are not shown.
    pub left_out: usize,
}

/// Lines that stand together.
#[derive(Debug, Serialize)]
pub(crate) struct Hunk {
    pub lines: Vec<Line>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Line {
    /// `+`, `-` or a blank
    pub sign: char,
    pub before: Option<usize>,
    pub after: Option<usize>,
    pub text: String,
}

/// Policies, schema and tests of `old` and `new`; what is the same is not in it. Takes its time: not on a thread
/// that answers.
pub(crate) fn changes(old: Option<&Version>, new: &Version) -> Vec<Changed> {
    let (before, after) = (old.map(texts).unwrap_or_default(), texts(new));
    let mut names: Vec<&str> = after.iter().chain(&before).map(|(name, _)| name.as_str()).collect();
    names.sort_by_key(|name| ASIDE.iter().position(|aside| aside == name).map_or(0, |at| at + 1));
    let mut seen = BTreeSet::new();
    let mut room = MOST;
    let time = TIME / u32::try_from(names.len()).unwrap_or(u32::MAX).max(1);
    let mut out = Vec::new();
    for name in names.into_iter().filter(|name| seen.insert(*name)) {
        let find =
            |texts: &'_ [(String, String)]| texts.iter().find(|(known, _)| known == name).map(|(_, text)| text.clone());
        let (old, new) = (find(&before), find(&after));
        if old == new {
            continue;
        }
        let how = match (&old, &new) {
            (None, _) => "added",
            (_, None) => "removed",
            _ => "changed",
        };
        let (old, new) = (old.unwrap_or_default(), new.unwrap_or_default());
        out.push(compare(name, how, [&old, &new], time, &mut room));
    }
    out
}

fn compare(name: &str, how: &'static str, texts: [&str; 2], time: Duration, room: &mut usize) -> Changed {
    let mut settings = TextDiff::configure();
    let [old, new] = texts;
    let diff = settings.algorithm(Algorithm::Patience).timeout(time).diff_lines(old, new);
    let mut changed = Changed { name: name.to_owned(), how, added: 0, removed: 0, hunks: Vec::new(), left_out: 0 };
    for group in diff.grouped_ops(AROUND) {
        let mut lines = Vec::new();
        for change in group.iter().flat_map(|operation| diff.iter_changes(operation)) {
            let sign = match change.tag() {
                ChangeTag::Equal => ' ',
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
            };
            changed.added += usize::from(sign == '+');
            changed.removed += usize::from(sign == '-');
            if *room == 0 {
                changed.left_out += 1;
                continue;
            }
            *room -= 1;
            lines.push(Line {
                sign,
                before: change.old_index().map(|at| at + 1),
                after: change.new_index().map(|at| at + 1),
                text: change.value().trim_end_matches(['\n', '\r']).to_owned(),
            });
        }
        if !lines.is_empty() {
            changed.hunks.push(Hunk { lines });
        }
    }
    changed
}

/// The texts of a version by name; the tests as JSON, as they are kept.
fn texts(version: &Version) -> Vec<(String, String)> {
    let files = version.source.files.iter().map(|file| (file.name.clone(), file.text.clone()));
    let mut texts: Vec<(String, String)> = files.collect();
    let [schema, of_entities, of_tests] = ASIDE;
    if !version.source.schema.is_empty() {
        texts.push((schema.to_owned(), version.source.schema.clone()));
    }
    let Suite { entities, tests } = &version.tests;
    for (name, value) in [(of_entities, entities), (of_tests, tests)] {
        if !value.is_empty() {
            texts.push((name.to_owned(), pretty(&json!(value))));
        }
    }
    texts
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(files: &[(&str, &str)]) -> Version {
        let files: Vec<Value> = files.iter().map(|(name, text)| json!({"name": name, "text": text})).collect();
        serde_json::from_value(json!({"version": 1, "created_at": 0, "source": {"files": files}})).unwrap()
    }

    fn shown(changed: &Changed) -> String {
        let line = |line: &Line| format!("{}{}", line.sign, line.text);
        changed.hunks.iter().flat_map(|hunk| hunk.lines.iter().map(line)).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn files_are_compared_by_name_and_lines_keep_their_numbers() {
        let old = version(&[("a", "1\n2\n3\n4\n5\n6\n7\n"), ("gone", "x\n"), ("same", "s\n")]);
        let new = version(&[("a", "1\n2\n3\n4\n5\nsix\n7\n"), ("same", "s\n"), ("new", "n\n")]);

        let changes = changes(Some(&old), &new);

        let told: Vec<_> = changes.iter().map(|one| (one.name.as_str(), one.how, shown(one))).collect();
        assert_eq!(
            told,
            [
                ("a", "changed", " 3| 4| 5|-6|+six| 7".to_owned()),
                ("new", "added", "+n".to_owned()),
                ("gone", "removed", "-x".to_owned())
            ]
        );
        let six = &changes[0].hunks[0].lines[4];
        assert_eq!((six.before, six.after), (None, Some(6)));
        assert_eq!((changes[0].added, changes[0].removed), (1, 1));
    }

    #[test]
    fn what_is_too_long_to_read_is_counted() {
        let long: String = (0..MOST + 10).map(|line| format!("{line}\n")).collect();

        let changes = changes(None, &version(&[("a", &long), ("b", "x\n")]));

        assert_eq!((changes[0].left_out, changes[0].added), (10, MOST + 10));
        assert_eq!((changes[1].left_out, changes[1].hunks.len()), (1, 0));
    }
}
