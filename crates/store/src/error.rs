//! What can go wrong with a database, by what the caller can do about it.

use std::fmt;
use std::sync::Arc;

/// The public half says what to do; the cause is for the log only (`std::error::Error::source`).
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Also after a commit whose connection broke: whether it took place is then unknown.
    #[error("the database cannot be reached or is overloaded; try again")]
    Unavailable(#[source] Cause),
    #[error("the database cannot write; make room on its disk and check that it is not read-only")]
    Full(#[source] Cause),
    /// A constraint (unique, foreign key, not null, check) refused the row.
    #[error("the change contradicts what is stored")]
    Conflict(#[source] Cause),
    /// A deadlock or serialization failure: the same transaction may well succeed when run again.
    #[error("another transaction was in the way; try again")]
    Contended(#[source] Cause),
    /// The transaction was open longer than `Limits::hold`, and was rolled back.
    #[error("the transaction took too long and was rolled back")]
    TimedOut(#[source] Cause),
    /// Text that one of the engines cannot hold: NUL characters.
    #[error("text with a NUL character cannot be stored")]
    Invalid,
    #[error(
        "the database is at migration {found}, and this program knows only {known}; \
         start the newer program, or restore the backup made before the migration"
    )]
    Newer { found: i64, known: i64 },
    #[error("migration {version} of the database is not the one this program has; start the program that made it")]
    Changed { version: i64 },
    #[error("the settings of the database are wrong: {0}")]
    Settings(&'static str),
    #[error("the database is damaged; restore it from a backup")]
    Corrupt(#[source] Cause),
    #[error("the program made a mistake with its database; please report it with the log")]
    Bug(#[source] Cause),
}

impl StoreError {
    /// Whether running the whole transaction again, unchanged, may help.
    pub fn may_retry(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Contended(_))
    }

    pub(crate) fn unavailable(cause: impl Into<Cause>) -> Self {
        Self::Unavailable(cause.into())
    }

    pub(crate) fn bug(cause: impl Into<Cause>) -> Self {
        Self::Bug(cause.into())
    }
}

/// The private half: text for the log. It never holds values of rows.
#[derive(Clone)]
pub struct Cause(Arc<str>);

impl From<&str> for Cause {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for Cause {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Cause {}
