//! `cardea diff`: what `apply` would change. Exit code 0 = nothing, 1 = something.

use clap::Args;

use super::connection::Connection;
use super::plan::{self, Files, Plan};
use crate::exit::Exit;
use crate::out::Out;

#[derive(Debug, Args)]
pub struct Diff {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    connection: Connection,
}

impl Diff {
    pub async fn run(self, out: Out) -> anyhow::Result<Exit> {
        let steps = Plan::read(&self.files, &self.connection).await?.run(true).await?;
        plan::print(out, &steps, false)?;
        Ok(if steps.is_empty() { Exit::Done } else { Exit::Found })
    }
}
