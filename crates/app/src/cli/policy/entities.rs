use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::super::connection::Connection;
use super::super::{segment, text};
use super::{count, files};
use crate::exit::Exit;
use crate::out::{Out, Table};
use crate::roles::Role;

#[derive(Debug, Args)]
pub struct Entities {
    #[command(subcommand)]
    act: Act,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Write the entities of YAML files (`entities: [{ type, id, attributes, parents }]`), all or none
    Put {
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// List all
    List,
    /// Remove one
    Delete {
        /// Its type, such as `User`
        kind: String,
        id: String,
    },
}

impl Entities {
    pub async fn run(self, out: Out) -> anyhow::Result<Exit> {
        let server = self.connection.with(Role::Entitlement).await?;
        match self.act {
            Act::Put { files } => {
                let entities = files::entities(&files)?;
                let answer = server.post("/admin/v1/entities", &json!({"put": entities})).await?;
                out.done(&answer, format!("wrote {}", count(entities.len(), "entity", "entities")))?;
            }
            Act::Delete { kind, id } => {
                let path = format!("/admin/v1/entities/{}/{}", segment(&kind), segment(&id));
                let answer = server.delete(&path).await?;
                out.done(&answer, format!("removed {kind} {id}"))?;
            }
            Act::List => {
                let items = all(&server).await?;
                let row = |one: &Value| {
                    let parents = one.get("parents").and_then(Value::as_array).cloned().unwrap_or_default();
                    let parents =
                        parents.iter().map(|parent| format!("{}:{}", text(parent, "type"), text(parent, "id")));
                    vec![
                        text(one, "type"),
                        text(one, "id"),
                        parents.collect::<Vec<_>>().join(" "),
                        text(one, "attributes"),
                    ]
                };
                let table = Table {
                    headings: vec!["type", "id", "in", "attributes"],
                    rows: items.iter().map(row).collect(),
                    empty: "no entities; write some with `cardea policy entities put FILE`",
                };
                out.table(&table, &json!({"items": items}))?;
            }
        }
        Ok(Exit::Done)
    }
}

async fn all(server: &crate::api::Server) -> anyhow::Result<Vec<Value>> {
    let mut items = Vec::new();
    let mut query = String::new();
    loop {
        let page = server.get(&format!("/admin/v1/entities{query}")).await?;
        let found = page.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
        let done = found.is_empty();
        items.extend(found);
        let after = |key: &str| page.pointer(&format!("/next/{key}")).and_then(Value::as_str).map(segment);
        let (Some(kind), Some(id), false) = (after("after_type"), after("after_id"), done) else { return Ok(items) };
        query = format!("?after_type={kind}&after_id={id}");
    }
}
