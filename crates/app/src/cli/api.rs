//! `cardea api` and `cardea publish`: APIs, their history, and which revision gateways are given.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::connection::Connection;
use super::{moment, segment, text};
use crate::api::Server;
use crate::exit::Exit;
use crate::out::{Out, Table};
use crate::roles::Role;

#[derive(Debug, Args)]
pub struct Api {
    #[command(subcommand)]
    act: Act,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// List APIs
    List {
        /// In name, title and description
        #[arg(value_name = "TEXT")]
        search: Option<String>,
    },
    /// Show an API
    Show { name: String },
    /// Show the revisions of an API, the newest first
    History { name: String },
    /// Show what differs between two revisions, and what of it clients would notice
    Diff {
        name: String,
        /// Default: the published one
        #[arg(long)]
        from: Option<i64>,
        /// Default: the newest
        #[arg(long)]
        to: Option<i64>,
    },
    /// Make a revision that says what an older one said
    Rollback {
        name: String,
        revision: i64,
        /// Publish it at once, also if clients will notice
        #[arg(long)]
        publish: bool,
    },
    /// Take an API away from the gateways
    Withdraw { name: String },
}

#[derive(Debug, Args)]
pub struct Publish {
    /// The API
    name: String,
    /// Default: the newest
    #[arg(long)]
    revision: Option<i64>,
    /// Also if clients will notice
    #[arg(long)]
    allow_breaking: bool,
    #[command(flatten)]
    connection: Connection,
}

fn path(name: &str) -> String {
    format!("/management/v1/apis/{}", segment(name))
}

impl Publish {
    pub async fn run(self, out: Out) -> anyhow::Result<Exit> {
        let server = self.connection.with(Role::Management).await?;
        let mut body = json!({"allowBreaking": self.allow_breaking});
        if let (Some(revision), Some(body)) = (self.revision, body.as_object_mut()) {
            body.insert("revision".to_owned(), revision.into());
        }
        let api = server.post(&format!("{}/publish", path(&self.name)), &body).await?;
        out.done(&api, format!("published revision {} of {}", text(&api, "published"), self.name))?;
        Ok(Exit::Done)
    }
}

impl Api {
    pub async fn run(self, out: Out) -> anyhow::Result<Exit> {
        let server = self.connection.with(Role::Management).await?;
        match self.act {
            Act::List { search } => list(&server, out, search.as_deref()).await?,
            Act::Show { name } => show(&server, out, &name).await?,
            Act::History { name } => history(&server, out, &name).await?,
            Act::Diff { name, from, to } => return diff(&server, out, &name, from, to).await,
            Act::Rollback { name, revision, publish } => {
                let mut api = server.post(&format!("{}/rollback", path(&name)), &json!({"revision": revision})).await?;
                if publish {
                    api = server.post(&format!("{}/publish", path(&name)), &json!({"allowBreaking": true})).await?;
                }
                let state = if publish { "published" } else { "not published yet" };
                out.done(
                    &api,
                    format!("{name} is as it was in revision {revision}: revision {}, {state}", text(&api, "head")),
                )?;
            }
            Act::Withdraw { name } => {
                let api = server.post(&format!("{}/withdraw", path(&name)), &json!({})).await?;
                out.done(&api, format!("gateways do not serve {name} any more"))?;
            }
        }
        Ok(Exit::Done)
    }
}

async fn list(server: &Server, out: Out, search: Option<&str>) -> anyhow::Result<()> {
    let found =
        server.list(&format!("/management/v1/apis?limit=500&q={}", segment(search.unwrap_or_default()))).await?;
    let spec = |api: &Value, key: &str| api.get("spec").map(|spec| text(spec, key)).unwrap_or_default();
    let row = |api: &Value| {
        vec![
            text(api, "name"),
            spec(api, "title"),
            spec(api, "version"),
            spec(api, "lifecycle"),
            spec(api, "visibility"),
            text(api, "head"),
            text(api, "published"),
        ]
    };
    let table = Table {
        headings: vec!["name", "title", "version", "lifecycle", "visibility", "revision", "published"],
        rows: found.iter().map(row).collect(),
        empty: "no APIs yet; `cardea import FILE --upstream URL` makes one",
    };
    out.table(&table, &json!({"items": found}))
}

async fn show(server: &Server, out: Out, name: &str) -> anyhow::Result<()> {
    let mut api = server.get(&path(name)).await?;
    let operations = server.get(&format!("{}/operations", path(name))).await?;
    let operations = operations.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
    if out.json {
        if let Some(api) = api.as_object_mut() {
            api.insert("operations".to_owned(), operations.into());
        }
        return out.json(&api);
    }
    let spec = api.get("spec").cloned().unwrap_or_default();
    out.line(format!("{name}  {} {}", text(&spec, "title"), text(&spec, "version")))?;
    out.line(format!(
        "{}, {}, revision {}, published {}",
        text(&spec, "lifecycle"),
        text(&spec, "visibility"),
        text(&api, "head"),
        published(&api)
    ))?;
    let row = |one: &Value| {
        vec![
            text(one, "method"),
            text(one, "path"),
            text(one, "name"),
            super::joined(one, "scopes"),
            text(one, "summary"),
        ]
    };
    let table = Table {
        headings: vec!["method", "path", "operation", "scopes", "what"],
        rows: operations.iter().map(row).collect(),
        empty: "it has no operations yet",
    };
    out.table(&table, &Value::Null)
}

fn published(api: &Value) -> String {
    let number = text(api, "published");
    if number.is_empty() { "not at all".to_owned() } else { number }
}

async fn history(server: &Server, out: Out, name: &str) -> anyhow::Result<()> {
    let found = server.list(&format!("{}/revisions", path(name))).await?;
    let row = |one: &Value| {
        let version = one.get("spec").map(|spec| text(spec, "version")).unwrap_or_default();
        vec![text(one, "revision"), moment(one, "at"), text(one, "actor"), version, text(one, "note")]
    };
    let table = Table {
        headings: vec!["revision", "at", "by", "version", "note"],
        rows: found.iter().map(row).collect(),
        empty: "it has no history",
    };
    out.table(&table, &json!({"items": found}))
}

async fn diff(server: &Server, out: Out, name: &str, from: Option<i64>, to: Option<i64>) -> anyhow::Result<Exit> {
    let query: Vec<String> =
        [("from", from), ("to", to)].into_iter().filter_map(|(key, value)| Some(format!("{key}={}", value?))).collect();
    let found = server.get(&format!("{}/diff?{}", path(name), query.join("&"))).await?;
    let list = |key: &str| found.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let differences = list("differences");
    if out.json {
        out.json(&found)?;
    } else {
        let row = |one: &Value| {
            let what = format!("{} → {}", text(one, "before"), text(one, "after"));
            vec![
                text(one, "change"),
                text(one, "kind"),
                text(one, "name"),
                text(one, "pointer"),
                what.chars().take(80).collect(),
            ]
        };
        let table = Table {
            headings: vec!["change", "kind", "name", "where", "what"],
            rows: differences.iter().map(row).collect(),
            empty: "they are the same",
        };
        out.table(&table, &Value::Null)?;
        for one in list("breaking") {
            out.line(format!(
                "clients will notice: {}  {}: {}",
                text(&one, "operation"),
                text(&one, "rule"),
                text(&one, "message")
            ))?;
        }
    }
    Ok(if differences.is_empty() { Exit::Done } else { Exit::Found })
}
