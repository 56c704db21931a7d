//! `cardea reload`: resources and certificates again, or the whole program without a dropped connection.

use clap::Args;
use serde_json::{Value, json};

use super::connection::Connection;
use crate::exit::Exit;
use crate::out::Out;

#[derive(Debug, Args)]
pub struct Reload {
    /// Start the program file again and hand the listeners over to it
    #[arg(long)]
    binary: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Reload {
    pub async fn run(self, out: Out) -> anyhow::Result<Exit> {
        let mut answers = Vec::new();
        for server in self.connection.servers()? {
            let answer = server.post("/admin/v1/reload", &json!({"binary": self.binary})).await?;
            if !out.json {
                let what = if self.binary { "handed over to a new process" } else { "reloaded" };
                out.line(format!("{}: {what}", server.base()))?;
            }
            answers.push(answer);
        }
        if out.json {
            out.json(&Value::Array(answers))?;
        }
        Ok(Exit::Done)
    }
}
