//! The words of the configuration: a secret by reference.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

use base::Secret;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::environment;
use crate::exit::usage;

/// `file:PATH` or `env:NAME`; never the secret itself, so that a configuration can be shown and kept in version control.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    File(PathBuf),
    Env(String),
}

impl Reference {
    /// The text is not quoted in the error: it may be the secret.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        match text.split_once(':') {
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            Some(("env", name)) if !name.is_empty() => Ok(Self::Env(name.to_owned())),
            _ => Err("a secret is given by reference: `file:PATH` or `env:NAME`, never itself"),
        }
    }

    /// The same reference, with its path seen from `folder`.
    #[must_use]
    pub fn within(self, folder: &Path) -> Self {
        match self {
            Self::File(path) => Self::File(folder.join(path)),
            env @ Self::Env(_) => env,
        }
    }

    /// What it refers to, without the line end that editors leave.
    pub fn read(&self) -> anyhow::Result<Secret<Vec<u8>>> {
        let mut bytes = match self {
            Self::File(path) => std::fs::read(path).map_err(|error| {
                usage(format!("the secret `{self}` cannot be read: {error}"))
                    .hint("make the file, readable by this user alone (chmod 600)")
            })?,
            Self::Env(name) => environment::variable(name)
                .ok_or_else(|| usage(format!("the secret `{self}` is missing")).hint("set that environment variable"))?
                .into_bytes(),
        };
        while matches!(bytes.last(), Some(b'\n' | b'\r')) {
            bytes.pop();
        }
        if bytes.is_empty() {
            return Err(usage(format!("the secret `{self}` is empty")).into());
        }
        Ok(Secret::new(bytes))
    }

    pub fn read_text(&self) -> anyhow::Result<Secret<String>> {
        let bytes = self.read()?;
        let text = String::from_utf8(bytes.expose().clone());
        Ok(Secret::new(text.map_err(|_| usage(format!("the secret `{self}` is not text")))?))
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Env(name) => write!(f, "env:{name}"),
        }
    }
}

impl std::str::FromStr for Reference {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Reference {
    fn schema_name() -> Cow<'static, str> {
        "Reference".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A secret by reference: `file:PATH` (seen from the folder of this file) or `env:NAME`.",
            "pattern": "^(file|env):.+$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_secret_is_refused_and_not_quoted() {
        let error = Reference::parse("hunter2:swordfish").unwrap_err();

        assert!(!error.contains("hunter2") && !error.contains("swordfish"));
        assert!(Reference::parse("file:").is_err());
    }

    #[test]
    fn the_line_end_of_a_secret_file_is_not_part_of_the_secret() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("key"), "abc\r\n").unwrap();
        let reference = Reference::parse("file:key").unwrap().within(folder.path());

        assert_eq!(reference.read_text().unwrap().expose(), "abc");
    }
}
