//! `cardea version`.

use clap::Args;
use serde_json::json;

use crate::exit::Exit;
use crate::out::Out;

#[derive(Debug, Args)]
pub struct Version {}

impl Version {
    pub fn run(self, out: Out) -> anyhow::Result<Exit> {
        let version = env!("CARGO_PKG_VERSION");
        out.done(&json!({"name": "cardea", "version": version}), format!("cardea {version}"))?;
        Ok(Exit::Done)
    }
}
