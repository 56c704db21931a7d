//! Exit codes and failures that say what to do. The codes are part of the interface for scripts.

use std::fmt;
use std::process::ExitCode;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Done,
    /// `diff` found a difference, `check` or `doctor` found a fault, `audit --verify` a broken chain.
    Found,
    /// Wrong arguments, or a file that is not valid.
    Usage,
    /// The server cannot be reached.
    Unreachable,
    /// The server does not accept the administration token.
    NotAllowed,
    /// The server understood and refused: not found, invalid, in conflict.
    Refused,
    /// Anything else: the disk, the database, a port that is taken.
    Failed,
}

/// Shown at the end of `cardea --help`.
pub const CODES: &str = "\
Exit codes: 0 done, 1 difference or fault found, 2 wrong usage or invalid file, 3 server cannot be reached, 4 not allowed, 5 refused by the server, 6 failed.";

impl Exit {
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Found => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::NotAllowed => 4,
            Self::Refused => 5,
            Self::Failed => 6,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command ends without having done its work.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    pub message: String,
    pub hint: Option<String>,
}

impl Failure {
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// A failure of usage.
pub fn usage(message: impl Into<String>) -> Failure {
    Failure::new(Exit::Usage, message)
}
