use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::super::connection::Connection;
use super::super::{moment, text};
use super::count;
use super::files::Set;
use crate::api::Server;
use crate::exit::Exit;
use crate::out::{Out, Table};
use crate::roles::Role;

const PATH: &str = "/admin/v1/policies/versions";

#[derive(Debug, Args)]
pub struct Publish {
    /// Policies, schema and tests
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Why, for the history
    #[arg(long, default_value = "")]
    comment: String,
    /// Store the version without putting it in force
    #[arg(long)]
    draft: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Publish {
    pub async fn run(self, out: Out) -> anyhow::Result<Exit> {
        let set = Set::read(&self.files)?;
        // What is wrong is told with its place before anybody is asked.
        let policies = set.compiled()?;
        let failures = set.tests.run(&policies);
        if !failures.is_empty() && !self.draft {
            for failure in &failures {
                out.note(format!("FAILED {}: {}", failure.test, failure.message));
            }
            return Ok(Exit::Found);
        }
        let server = self.connection.with(Role::Entitlement).await?;
        let draft = json!({"source": set.source, "tests": set.tests, "comment": self.comment});
        let made = server.post(PATH, &draft).await?;
        let version = text(&made, "version");
        if self.draft {
            out.done(&made, format!("stored version {version}; not in force"))?;
            return Ok(Exit::Done);
        }
        let activation = put_in_force(&server, &version, &self.comment).await?;
        let what = count(policies.len(), "policy", "policies");
        out.done(&activation, format!("version {version} is in force: {what}"))?;
        Ok(Exit::Done)
    }
}

#[derive(Debug, Args)]
pub struct Rollback {
    /// The version
    version: i64,
    /// Why, for the history
    #[arg(long, default_value = "")]
    comment: String,
    #[command(flatten)]
    connection: Connection,
}

impl Rollback {
    pub async fn run(self, out: Out) -> anyhow::Result<Exit> {
        let server = self.connection.with(Role::Entitlement).await?;
        let activation = put_in_force(&server, &self.version.to_string(), &self.comment).await?;
        out.done(&activation, format!("version {} is in force again", self.version))?;
        Ok(Exit::Done)
    }
}

async fn put_in_force(server: &Server, version: &str, comment: &str) -> anyhow::Result<Value> {
    server.post(&format!("{PATH}/{version}/publish"), &json!({"comment": comment})).await
}

#[derive(Debug, Args)]
pub struct Versions {
    /// Print the policies of this version
    version: Option<i64>,
    #[command(flatten)]
    connection: Connection,
}

impl Versions {
    pub async fn run(self, out: Out) -> anyhow::Result<Exit> {
        let server = self.connection.with(Role::Entitlement).await?;
        if let Some(version) = self.version {
            return print(&server.get(&format!("{PATH}/{version}")).await?, out);
        }
        let mut items = Vec::new();
        let mut before = None;
        let active = loop {
            let query = before.map_or_else(String::new, |before: i64| format!("?before={before}"));
            let page = server.get(&format!("{PATH}{query}")).await?;
            items.extend(page.get("items").and_then(Value::as_array).cloned().unwrap_or_default());
            let next = page.get("next").and_then(Value::as_i64);
            if next.is_none() || next == before {
                break page.get("active").and_then(Value::as_i64).unwrap_or_default();
            }
            before = next;
        };
        let row = |one: &Value| {
            let in_force = one.get("version").and_then(Value::as_i64) == Some(active);
            vec![
                text(one, "version"),
                if in_force { "in force".to_owned() } else { String::new() },
                moment(one, "created_at"),
                text(one, "author"),
                text(one, "comment"),
            ]
        };
        let table = Table {
            headings: vec!["version", "", "made", "by", "why"],
            rows: items.iter().map(row).collect(),
            empty: "no versions yet; make one with `cardea policy publish`",
        };
        out.table(&table, &json!({"items": items, "active": active}))?;
        Ok(Exit::Done)
    }
}

/// The texts one after the other, each with its name.
fn print(version: &Value, out: Out) -> anyhow::Result<Exit> {
    if out.json {
        out.json(version)?;
        return Ok(Exit::Done);
    }
    let schema = version.pointer("/source/schema").and_then(Value::as_str).unwrap_or_default();
    if !schema.is_empty() {
        out.line(format!("// ===== schema.cedarschema\n{}", schema.trim_end()))?;
    }
    for file in version.pointer("/source/files").and_then(Value::as_array).into_iter().flatten() {
        out.line(format!("// ===== {}\n{}", text(file, "name"), text(file, "text").trim_end()))?;
    }
    Ok(Exit::Done)
}
