//! What came of applying a resource (client, scope, resource server, user), and why one is refused.

use base::problem::FieldError;
use store::StoreError;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    Created,
    Updated,
    Unchanged,
}

impl Applied {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
        }
    }
}

/// Why a change was not made. The public half says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("the document has errors")]
    Invalid(Vec<FieldError>),
    #[error("there is no such {0}")]
    NotFound(&'static str),
    #[error("{0}")]
    NotAllowed(&'static str),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Jose(#[from] jose::JoseError),
}

/// Collects the faults of one document.
#[derive(Debug, Default)]
pub struct Faults(Vec<FieldError>);

impl Faults {
    pub fn add(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        self.0.push(FieldError { pointer: pointer.into(), detail: detail.into() });
    }

    pub fn add_if(&mut self, wrong: bool, pointer: &str, detail: &str) {
        if wrong {
            self.add(pointer, detail);
        }
    }

    pub fn into_result(self) -> Result<(), Refused> {
        if self.0.is_empty() { Ok(()) } else { Err(Refused::Invalid(self.0)) }
    }
}
