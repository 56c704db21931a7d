//! Reads what resources refer to: secrets and certificates.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::Secret;
use catalog::SecretRef;

/// Looks a name of the environment up; only the binary itself may do that.
pub type Environment = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

#[derive(Clone)]
pub(crate) struct Secrets {
    /// Where relative paths begin.
    base: PathBuf,
    environment: Environment,
}

impl Secrets {
    pub fn new(base: PathBuf, environment: Environment) -> Self {
        Self { base, environment }
    }

    /// The value, without the line end that editors leave; the message never holds any of it.
    pub fn read(&self, reference: &SecretRef) -> Result<Secret<String>, String> {
        let text = match reference {
            SecretRef::Env(name) => (self.environment)(name).ok_or(format!("the environment has no `{name}`"))?,
            SecretRef::File(path) => fs::read_to_string(self.path(path))
                .map_err(|error| format!("`{path}` cannot be read: {}", reason(&error)))?,
        };
        let text = Secret::new(text);
        let trimmed = text.expose().trim_end_matches(['\r', '\n']);
        if trimmed.is_empty() { Err(format!("`{reference}` is empty")) } else { Ok(Secret::from(trimmed)) }
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.base.join(Path::new(path))
    }
}

pub(crate) fn reason(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file",
        std::io::ErrorKind::PermissionDenied => "permission denied",
        std::io::ErrorKind::IsADirectory => "it is a folder",
        std::io::ErrorKind::InvalidData => "it is not text",
        _ => "the system says no",
    }
}
