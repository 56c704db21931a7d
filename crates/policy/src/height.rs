//! How high a text may be nested, found before it is parsed.
//!
//! Cedar's parser and validator descend once for each bracket and operator; a text that is nested without
//! bound would overflow the stack, which ends the process. Its evaluator notices in time, but then the policy
//! can never be evaluated. So both are refused here, by counting.

use crate::fault::Fault;

/// Brackets in brackets.
const BRACKETS: usize = 32;
/// Brackets and operators above one value.
const HEIGHT: usize = 200;
/// `+`, `-`, `*` and `.` above one value, which the evaluator cannot take in a loop.
const STEEP: usize = 32;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grammar {
    Policies,
    /// `<` and `>` are brackets here: `Set<String>`.
    Schema,
}

#[derive(Clone, Copy, Default)]
struct Level {
    operators: usize,
    steep: usize,
}

pub(crate) fn check(grammar: Grammar, file: &str, text: &str) -> Result<(), Fault> {
    let mut levels = vec![Level::default()];
    for (offset, token) in tokens(text) {
        let Some(mut level) = levels.pop() else { break };
        match token {
            "(" | "{" => levels.extend([level, Level::default()]),
            // A list, or the access to an attribute, which is a step like `.`.
            "[" => {
                level.steep += 1;
                level.operators += 1;
                levels.extend([level, Level::default()]);
            }
            "<" if grammar == Grammar::Schema => levels.extend([level, Level::default()]),
            ">" if grammar == Grammar::Schema => levels.extend(levels.is_empty().then(Level::default)),
            ")" | "]" | "}" => levels.extend(levels.is_empty().then(Level::default)),
            "," | ";" => levels.push(Level::default()),
            _ => {
                match token {
                    "+" | "-" | "*" | "." => {
                        level.steep += 1;
                        level.operators += 1;
                    }
                    "&" | "|" | "=" | "<" | ">" | "!" | "if" | "has" | "in" | "like" | "is" => {
                        level.steep = 0;
                        level.operators += 1;
                    }
                    // Conditions of one policy stand beside each other.
                    "when" | "unless" => level = Level::default(),
                    _ => {}
                }
                levels.push(level);
            }
        }
        let sum = |of: fn(&Level) -> usize| levels.iter().map(of).sum::<usize>() + levels.len();
        if levels.len() > BRACKETS + 1
            || sum(|level| level.operators) > HEIGHT
            || sum(|level| level.steep) > STEEP + BRACKETS
        {
            let mut fault = Fault::at(file, text, offset, "the expression is nested too deeply");
            fault.help = Some("write it as several policies, or use a set and `.contains`".to_owned());
            return Err(fault);
        }
    }
    Ok(())
}

/// Words and signs, without comments and what stands in quotes; `&&` and `==` come as one sign.
fn tokens(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut rest = 0;
    std::iter::from_fn(move || {
        loop {
            let here = text.get(rest..)?;
            let first = here.chars().next()?;
            let length = match first {
                '"' => quoted(here),
                '/' if here.starts_with("//") => here.find('\n').unwrap_or(here.len()),
                c if c.is_alphanumeric() || c == '_' => {
                    here.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(here.len())
                }
                c => {
                    // A sign that is written twice, or before `=`, is one operator.
                    let next = here.chars().nth(1);
                    let double = next == Some('=') || (matches!(c, '&' | '|' | '=') && next == Some(c));
                    c.len_utf8() + usize::from(double)
                }
            };
            let offset = rest;
            rest += length;
            if first != '"' && !first.is_whitespace() && !here.starts_with("//") {
                let word = if first.is_alphanumeric() || first == '_' { length } else { first.len_utf8() };
                return Some((offset, here.get(..word)?));
            }
        }
    })
}

/// The length of the text in quotes at the start, both quotes included.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}
