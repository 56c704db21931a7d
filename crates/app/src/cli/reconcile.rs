//! `cardea reconcile`: applications and the clients of the identity system, compared and put right.

use clap::Args;
use serde_json::{Value, json};

use super::connection::Connection;
use super::text;
use crate::exit::Exit;
use crate::out::{Out, Table};
use crate::roles::Role;

#[derive(Debug, Args)]
pub struct Reconcile {
    /// Delete clients that nothing points to, and register anew what has lost its client
    #[arg(long)]
    repair: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Reconcile {
    pub async fn run(self, out: Out) -> anyhow::Result<Exit> {
        let server = self.connection.with(Role::Management).await?;
        let report = server.post("/management/v1/reconcile", &json!({"repair": self.repair})).await?;
        let findings = report.get("findings").and_then(Value::as_array).cloned().unwrap_or_default();
        let row = |finding: &Value| {
            let repaired = finding.get("repaired").and_then(Value::as_bool).unwrap_or(false);
            let state = if repaired { "repaired" } else { "open" };
            let kind = text(finding, "kind").replace('_', " ");
            vec![kind, text(finding, "application"), text(finding, "client"), state.to_owned(), text(finding, "detail")]
        };
        let table = Table {
            headings: vec!["finding", "application", "client", "is", "detail"],
            rows: findings.iter().map(row).collect(),
            empty: "applications and clients match",
        };
        out.table(&table, &report)?;
        let open = findings.iter().any(|finding| {
            let of_interest = !matches!(text(finding, "kind").as_str(), "unfinished" | "foreign_client");
            of_interest && finding.get("repaired").and_then(Value::as_bool) != Some(true)
        });
        Ok(if open { Exit::Found } else { Exit::Done })
    }
}
