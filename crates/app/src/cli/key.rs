//! `cardea key`: signing keys, by schedule and by command.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::connection::Connection;
use super::{moment, segment, text};
use crate::exit::Exit;
use crate::out::{Out, Table};
use crate::roles::Role;

#[derive(Debug, Args)]
pub struct Key {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// List the keys and their states
    List {
        #[command(flatten)]
        connection: Connection,
    },
    /// Make new keys; they take over when they have been announced for long enough
    Rotate {
        /// Let the new keys sign at once: whoever keeps the old key set may refuse tokens for a while
        #[arg(long)]
        now: bool,
        /// Only this algorithm, for example ES256
        #[arg(long)]
        algorithm: Option<String>,
        #[command(flatten)]
        connection: Connection,
    },
    /// Withdraw a key whose private half is known to somebody: all it signed is invalid at once
    Kill {
        /// The `kid` from `cardea key list`
        kid: String,
        #[command(flatten)]
        connection: Connection,
    },
}

impl Key {
    pub async fn run(self, out: Out) -> anyhow::Result<Exit> {
        match self.act {
            Act::List { connection } => {
                let server = connection.with(Role::Identity).await?;
                let items = server.list("/admin/v1/keys").await?;
                let row = |key: &Value| {
                    vec![
                        text(key, "kid"),
                        text(key, "algorithm"),
                        text(key, "state"),
                        moment(key, "activeAt"),
                        moment(key, "retiredAt"),
                    ]
                };
                let table = Table {
                    headings: vec!["kid", "algorithm", "state", "active", "retired"],
                    rows: items.iter().map(row).collect(),
                    empty: "no keys yet",
                };
                out.table(&table, &json!({"items": items}))?;
            }
            Act::Rotate { now, algorithm, connection } => {
                let server = connection.with(Role::Identity).await?;
                let body = json!({"now": now, "algorithm": algorithm});
                let answer = server.post("/admin/v1/keys/rotate", &body).await?;
                let verb = if now { "sign now" } else { "are announced" };
                out.done(&answer, format!("new keys {verb}: {}", super::joined(&answer, "kids")))?;
            }
            Act::Kill { kid, connection } => {
                let server = connection.with(Role::Identity).await?;
                let answer = server.post(&format!("/admin/v1/keys/{}/kill", segment(&kid)), &json!({})).await?;
                out.done(&answer, format!("killed key {kid}: what it signed is invalid"))?;
            }
        }
        Ok(Exit::Done)
    }
}
