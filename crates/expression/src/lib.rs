//! The one expression language of the product: CEL (Common Expression Language), fenced and bounded.
//!
//! An [`Expression`] is compiled once against the names it may read and evaluated over a [`Scope`] of
//! JSON values. A [`Template`] is text with `${ … }`, a [`Document`] JSON with such texts as leaves.
//! There is no I/O, no clock, no randomness, and the same input gives the same output.
//!
//! CEL has no loops but its comprehensions (`map`, `filter`, `all`, …), and the library beneath has no
//! cost limit. So every compiled expression is rewritten before it is kept: each range of a
//! comprehension and each operand or result that may be large passes a meter ([`meter`]), which takes
//! from an allowance of [`FUEL`] and ends the evaluation when it is used up. Bounds: length of the text
//! ([`MAX_TEXT`]), depth of its tree ([`MAX_DEPTH`]), size of what is read ([`MAX_INPUT`]), of one text
//! that is made ([`MAX_MADE`]), and of the result ([`MAX_OUTPUT`]).
//!
//! Patterns of `matches` are literals, compiled with the expression (RE2 syntax, linear time).

mod compile;
mod convert;
mod document;
mod functions;
mod meter;
mod names;
mod scope;
mod template;

pub use compile::Expression;
pub use document::Document;
pub use names::{Names, Reference, Segment};
pub use scope::{Name, Part, Scope};
pub use template::Template;

/// Bytes of an expression's text.
pub const MAX_TEXT: usize = 4096;
/// Depth of an expression's tree.
pub const MAX_DEPTH: usize = 24;
/// Units (a value is 1, 32 bytes of text are 1 more) that one evaluation may touch.
pub const FUEL: u64 = 500_000;
/// Units of one JSON value that an expression may work on (a plain path is bounded by nothing).
pub const MAX_INPUT: u64 = 200_000;
/// Bytes of one text that a function or a template makes.
pub const MAX_MADE: usize = 1 << 20;
/// Units of a result.
pub const MAX_OUTPUT: u64 = 200_000;

/// Why a text is no expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// Characters from the begin of the text.
    pub offset: usize,
    pub message: String,
}

impl Fault {
    fn new(offset: usize, message: impl Into<String>) -> Self {
        Self { offset, message: message.into() }
    }

    fn moved(self, by: usize) -> Self {
        Self { offset: self.offset.saturating_add(by), message: self.message }
    }
}

/// Why an evaluation gave nothing. Values are never part of it: they may be personal or secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error("it needs more work than one evaluation may do")]
    TooMuch,
    #[error("a value is larger than an expression may work on")]
    TooLarge,
    #[error("it reads a member that is not there")]
    Missing,
    #[error("an operator or function met a value of a kind that it does not take")]
    Kind,
    #[error("a number is out of range, or divided by zero")]
    Number,
    #[error("a list has no such place")]
    OutOfBounds,
    #[error("its result is not {0}")]
    NotA(&'static str),
    #[error("its result has no form in JSON")]
    NoJson,
}

#[cfg(test)]
mod tests;
