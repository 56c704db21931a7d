//! The data folder of development mode: closed to others, with secrets of its own that are kept for the next start.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use base::Secret;

use crate::exit::{Exit, Failure};

/// Held while a development instance runs; a second one on the same folder is refused.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        make_folder(path)?;
        let lock = private_file(&path.join("lock"), false)?;
        if rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
            let message = format!("another `cardea dev` runs with {}", path.display());
            return Err(Failure::new(Exit::Failed, message)
                .hint("stop it, or give this one its own: --data DIR")
                .into());
        }
        let folder = Self { path: path.canonicalize()?, _lock: lock };
        for inner in ["secrets", "resources", "gateway"] {
            make_folder(&folder.at(inner))?;
        }
        Ok(folder)
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The secret of that name, made on first use and kept.
    pub fn secret(&self, name: &str, make: impl FnOnce() -> String) -> anyhow::Result<Secret<String>> {
        if let Some(secret) = self.kept(name)? {
            return Ok(secret);
        }
        let secret = Secret::new(make());
        self.keep(name, &secret)?;
        Ok(secret)
    }

    pub fn kept(&self, name: &str) -> anyhow::Result<Option<Secret<String>>> {
        read_secret(&self.at(name))
    }

    pub fn keep(&self, name: &str, secret: &Secret<String>) -> anyhow::Result<()> {
        self.write(name, secret.expose())
    }

    /// Whole or not at all: a crash in between leaves the old file.
    pub fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let path = self.at(name);
        let new = path.with_extension("new");
        let mut file = private_file(&new, true)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).with_context(|| new.display().to_string())?;
        std::fs::rename(&new, &path).with_context(|| path.display().to_string())?;
        Ok(())
    }

    pub fn remove(&self, name: &str) {
        let _absent = std::fs::remove_file(self.at(name));
    }
}

pub fn read_secret(path: &Path) -> anyhow::Result<Option<Secret<String>>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(Secret::new(text.trim_end().to_owned()))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}

fn make_folder(path: &Path) -> anyhow::Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .and_then(|()| std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)))
        .with_context(|| format!("the folder {} cannot be made", path.display()))
}

fn private_file(path: &Path, empty: bool) -> anyhow::Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(empty).mode(0o600).open(path);
    let file = file.with_context(|| path.display().to_string())?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_kept_and_closed_to_others() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("data");
        let first = Folder::open(&path).unwrap().secret("secrets/a", || "one".into()).unwrap();

        let second = Folder::open(&path).unwrap().secret("secrets/a", || "two".into()).unwrap();

        assert_eq!(first.expose(), second.expose());
        let mode = |path: PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(path.join("secrets/a")), 0o600);
        assert_eq!(mode(path.join("secrets")), 0o700);
        assert_eq!(mode(path), 0o700);
    }

    #[test]
    fn two_instances_cannot_share_a_folder() {
        let outer = tempfile::tempdir().unwrap();
        let _first = Folder::open(outer.path()).unwrap();

        let second = Folder::open(outer.path()).unwrap_err();

        assert!(second.to_string().contains("another"), "{second}");
    }
}
