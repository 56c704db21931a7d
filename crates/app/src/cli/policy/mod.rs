//! `cardea policy`: writing, testing, explaining and publishing policies. What needs no server asks none.

mod entities;
mod explain;
mod files;
mod versions;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use self::files::Set;
use super::connection::Connection;
use super::{moment, text};
use crate::exit::Exit;
use crate::out::{Out, Table};
use crate::roles::Role;

#[derive(Debug, Args)]
pub struct Policy {
    #[command(subcommand)]
    act: Act,
}

/// Policies are `*.cedar`, the schema is `*.cedarschema`, tests with their entities are `*.yaml`.
#[derive(Debug, Subcommand)]
enum Act {
    /// Find what is wrong in policies, schema and tests, without a server
    Check {
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Run the tests of policies, without a server
    Test {
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Say how a question is decided, by which policies and conditions: by files, or by the server
    Explain(Box<explain::Explain>),
    /// Store policies as a new version and put it in force, if its tests hold
    Publish(versions::Publish),
    /// List versions, or print one
    Versions(versions::Versions),
    /// Put an older version in force again
    Rollback(versions::Rollback),
    /// Manage the entities that policies speak of
    Entities(entities::Entities),
    /// Read the decision log
    Decisions(Decisions),
}

impl Policy {
    pub async fn run(self, out: Out) -> anyhow::Result<Exit> {
        match self.act {
            Act::Check { files } => check(&files, out),
            Act::Test { files } => test(&files, out),
            Act::Explain(explain) => explain.run(out).await,
            Act::Publish(publish) => publish.run(out).await,
            Act::Versions(versions) => versions.run(out).await,
            Act::Rollback(rollback) => rollback.run(out).await,
            Act::Entities(entities) => entities.run(out).await,
            Act::Decisions(decisions) => decisions.run(out).await,
        }
    }
}

fn check(files: &[PathBuf], out: Out) -> anyhow::Result<Exit> {
    let set = Set::read(files)?;
    let compiled = set.compile();
    let (policies, warnings, faults) = match &compiled {
        Ok(policies) => (policies.len(), policies.warnings().to_vec(), Vec::new()),
        Err(faults) => (0, Vec::new(), faults.0.clone()),
    };
    if out.json {
        let valid = faults.is_empty();
        out.json(&json!({"valid": valid, "policies": policies, "faults": faults, "warnings": warnings}))?;
    } else if faults.is_empty() {
        out.line(format!("{}, valid", count(policies, "policy", "policies")))?;
        for warning in &warnings {
            out.note(format!("warning: {warning}"));
        }
    } else {
        for fault in &faults {
            out.line(fault.to_string())?;
        }
    }
    Ok(if compiled.is_ok() { Exit::Done } else { Exit::Found })
}

fn test(files: &[PathBuf], out: Out) -> anyhow::Result<Exit> {
    let set = Set::read(files)?;
    let policies = set.compiled()?;
    let failures = set.tests.run(&policies);
    let tests = set.tests.tests.len();
    if out.json {
        out.json(&json!({"tests": tests, "failures": failures}))?;
    } else if failures.is_empty() {
        out.line(match tests {
            0 => "no tests; without one no version is published".to_owned(),
            tests => format!(
                "{} of {}, all hold",
                count(tests, "test", "tests"),
                count(policies.len(), "policy", "policies")
            ),
        })?;
    } else {
        for failure in &failures {
            out.line(format!("FAILED {}: {}", failure.test, failure.message))?;
        }
        out.line(format!("{} of {} failed", failures.len(), count(tests, "test", "tests")))?;
    }
    Ok(if failures.is_empty() { Exit::Done } else { Exit::Found })
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[derive(Debug, Args)]
struct Decisions {
    /// Only about this subject id
    #[arg(long)]
    subject: Option<String>,
    /// Only about this resource id
    #[arg(long)]
    resource: Option<String>,
    /// Only these: `allow` or `deny`
    #[arg(long, value_parser = ["allow", "deny"])]
    decision: Option<String>,
    /// Only of this request
    #[arg(long, value_name = "ID")]
    request: Option<String>,
    /// Only within this time: `15m`, `12h`, `90d`
    #[arg(long, value_name = "SPAN", value_parser = super::span)]
    since: Option<crate::config::Span>,
    /// At most so many, the newest
    #[arg(long, default_value_t = 100)]
    limit: u32,
    #[command(flatten)]
    connection: Connection,
}

impl Decisions {
    async fn run(self, out: Out) -> anyhow::Result<Exit> {
        let server = self.connection.with(Role::Entitlement).await?;
        let answer = server.get(&format!("/admin/v1/decisions?{}", self.query())).await?;
        let row = |one: &Value| {
            vec![
                moment(one, "decided_at"),
                text(one, "decision"),
                format!("{}:{}", text(one, "subject_type"), text(one, "subject_id")),
                text(one, "action"),
                format!("{}:{}", text(one, "resource_type"), text(one, "resource_id")),
                super::joined(one, "reasons"),
                text(one, "caller"),
                text(one, "request_id"),
            ]
        };
        let items = answer.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
        let table = Table {
            headings: vec!["time", "decision", "subject", "action", "resource", "by", "asked by", "request"],
            rows: items.iter().map(row).collect(),
            empty: "no decisions",
        };
        out.table(&table, &answer)?;
        Ok(Exit::Done)
    }

    fn query(&self) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("limit", &self.limit.to_string());
        let pairs = [
            ("subject", &self.subject),
            ("resource", &self.resource),
            ("decision", &self.decision),
            ("request_id", &self.request),
        ];
        for (name, value) in pairs {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        if let Some(since) = &self.since {
            use base::time::Clock as _;
            let from = base::time::SystemClock::default().now().minus(since.0);
            query.append_pair("from", &from.ms().to_string());
        }
        query.finish()
    }
}
