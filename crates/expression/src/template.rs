//! Text with expressions in it: `/orders/${ request.params.id }`. `$${` stands for `${`.

use std::borrow::Cow;

use serde_json::Value;

use crate::{Expression, Failure, Fault, MAX_MADE, Names, Reference, Scope};

#[derive(Debug)]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Debug)]
pub(crate) enum Piece {
    Text(String),
    Expression(Expression),
}

impl Template {
    pub fn compile(text: &str, names: &Names) -> Result<Self, Fault> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            let (before, behind) = rest.split_at_checked(at).unwrap_or((rest, ""));
            let behind = behind.strip_prefix("${").unwrap_or(behind);
            if let Some(before) = before.strip_suffix('$') {
                plain.push_str(before);
                plain.push_str("${");
                rest = behind;
                continue;
            }
            plain.push_str(before);
            let offset = characters(text, behind);
            let end = end_of(behind).ok_or_else(|| Fault::new(offset, "`${` is not closed by `}`"))?;
            let (inner, tail) = behind.split_at_checked(end).unwrap_or((behind, ""));
            let expression = Expression::compile(inner, names).map_err(|fault| fault.moved(offset))?;
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(Piece::Expression(expression));
            rest = tail.strip_prefix('}').unwrap_or(tail);
        }
        plain.push_str(rest);
        if !plain.is_empty() || pieces.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self { pieces })
    }

    /// A text without expressions, whatever it looks like.
    pub fn literal(text: impl Into<String>) -> Self {
        Self { pieces: vec![Piece::Text(text.into())] }
    }

    pub fn reads(&self) -> impl Iterator<Item = &Reference> {
        self.pieces.iter().flat_map(|piece| match piece {
            Piece::Text(_) => &[],
            Piece::Expression(expression) => expression.reads(),
        })
    }

    /// The text, where there is no expression in it.
    pub fn constant(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The expression, where there is nothing else.
    pub fn single(&self) -> Option<&Expression> {
        match self.pieces.as_slice() {
            [Piece::Expression(expression)] => Some(expression),
            _ => None,
        }
    }

    /// The value of a single expression as it is; text otherwise. `None` for an optional without one.
    pub fn value<'s>(&self, scope: &'s Scope) -> Result<Option<Cow<'s, Value>>, Failure> {
        match self.single() {
            Some(expression) => expression.value(scope),
            None => self.text(scope).map(|text| text.map(|text| Cow::Owned(Value::from(text)))),
        }
    }

    /// Text, number and truth stand as text; anything else is a failure. `None` for a single expression
    /// that is null or an optional without a value.
    pub fn text(&self, scope: &Scope) -> Result<Option<String>, Failure> {
        let mut out = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Expression(expression) => {
                    let value = expression.value(scope)?;
                    match text_of(value.as_deref()) {
                        Some(text) => out.push_str(&text?),
                        None if self.pieces.len() == 1 => return Ok(None),
                        None => return Err(Failure::NotA("text")),
                    }
                }
            }
            if out.len() > MAX_MADE {
                return Err(Failure::TooLarge);
            }
        }
        Ok(Some(out))
    }

    /// What stands between the expressions, and the values of these, each on its own: for places with
    /// an encoding of their own.
    pub fn encoded(
        &self,
        scope: &Scope,
        mut encode: impl FnMut(&mut String, &str) -> Result<(), Failure>,
    ) -> Result<String, Failure> {
        let mut out = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Expression(expression) => {
                    let value = expression.value(scope)?;
                    let text = text_of(value.as_deref()).ok_or(Failure::NotA("text"))??;
                    encode(&mut out, &text)?;
                }
            }
            if out.len() > MAX_MADE {
                return Err(Failure::TooLarge);
            }
        }
        Ok(out)
    }

    /// What stands outside of the expressions, each of which is given as `hole`.
    pub fn outline(&self, hole: &str) -> String {
        let parts = self.pieces.iter().map(|piece| match piece {
            Piece::Text(text) => text.as_str(),
            Piece::Expression(_) => hole,
        });
        parts.collect()
    }
}

/// A scalar as text; `None` where there is nothing.
pub(crate) fn text_of(value: Option<&Value>) -> Option<Result<Cow<'_, str>, Failure>> {
    match value? {
        Value::Null => None,
        Value::String(text) => Some(Ok(Cow::Borrowed(text))),
        Value::Number(number) => Some(Ok(Cow::Owned(number.to_string()))),
        Value::Bool(truth) => Some(Ok(Cow::Borrowed(if *truth { "true" } else { "false" }))),
        Value::Array(_) | Value::Object(_) => Some(Err(Failure::NotA("text"))),
    }
}

/// How many characters of `text` stand before its tail.
fn characters(text: &str, tail: &str) -> usize {
    let before = text.len().saturating_sub(tail.len());
    text.get(..before).map_or(0, |before| before.chars().count())
}

/// The byte of the `}` that closes an expression: not one in a text or of a map.
fn end_of(text: &str) -> Option<usize> {
    let mut open = 0_usize;
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(mark), c) if c == mark => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '{') => open += 1,
            (None, '}') if open == 0 => return Some(at),
            (None, '}') => open -= 1,
            (None, _) => {}
        }
    }
    None
}
