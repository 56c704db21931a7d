//! `cardea audit`: who did what, and whether the chain is whole.

use clap::Args;
use serde_json::{Value, json};

use super::connection::Connection;
use super::{moment, text};
use crate::config::Span;
use crate::exit::Exit;
use crate::out::{Out, Table};
use crate::roles::Role;

#[derive(Debug, Args)]
pub struct Audit {
    /// Only what happened within this time: `15m`, `12h`, `90d`
    #[arg(long, value_name = "SPAN", value_parser = super::span)]
    since: Option<Span>,
    /// Only what this one did: `user:ID`, `client:ID`, `admin:NAME`
    #[arg(long)]
    actor: Option<String>,
    /// Only what concerns this user id
    #[arg(long)]
    subject: Option<String>,
    /// Only what concerns this client
    #[arg(long)]
    client: Option<String>,
    /// Only what was done to this object
    #[arg(long)]
    object: Option<String>,
    /// At most so many records, the newest
    #[arg(long, default_value_t = 100)]
    limit: u32,
    /// Verify the hash chains instead
    #[arg(long)]
    verify: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Audit {
    pub async fn run(self, out: Out) -> anyhow::Result<Exit> {
        let server = self.connection.with(Role::Identity).await?;
        if self.verify {
            let answer = server.get("/admin/v1/audit/verify").await?;
            let whole = answer.get("whole").and_then(Value::as_bool) == Some(true);
            let sentence = if whole {
                let count = |key: &str| answer.get(key).and_then(Value::as_u64).unwrap_or(0);
                format!("whole: {} records, {} signed checkpoints", count("records"), count("checkpoints"))
            } else {
                format!("BROKEN: {}", text(&answer, "fault"))
            };
            out.done(&answer, sentence)?;
            return Ok(if whole { Exit::Done } else { Exit::Found });
        }
        let answer = server.get(&format!("/admin/v1/audit?{}", self.query())).await?;
        let items = answer.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
        let row = |record: &Value| {
            vec![
                moment(record, "occurredAt"),
                text(record, "act"),
                text(record, "outcome"),
                text(record, "actor"),
                [text(record, "clientId"), text(record, "object")]
                    .into_iter()
                    .find(|t| !t.is_empty())
                    .unwrap_or_default(),
            ]
        };
        let table = Table {
            headings: vec!["time", "act", "outcome", "actor", "object"],
            rows: items.iter().map(row).collect(),
            empty: "no records",
        };
        out.table(&table, &json!({"items": items}))?;
        Ok(Exit::Done)
    }

    fn query(&self) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("limit", &self.limit.to_string());
        if let Some(since) = self.since {
            query.append_pair("sinceMs", &since.0.as_millis().to_string());
        }
        for (name, value) in
            [("actor", &self.actor), ("subject", &self.subject), ("client", &self.client), ("object", &self.object)]
        {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        query.finish()
    }
}
