//! `cardea user`: accounts, their sessions and what they have granted.

use std::io::Read as _;

use base::Secret;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::connection::Connection;
use super::{joined, moment, segment, text};
use crate::api::Server;
use crate::environment;
use crate::exit::{Exit, usage};
use crate::out::{Out, Table};
use crate::roles::Role;

#[derive(Debug, Args)]
pub struct User {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Make a user; `cardea user password` lets them in
    Create {
        username: String,
        /// The person's name
        #[arg(long)]
        name: Option<String>,
        #[arg(long)]
        email: Option<String>,
        /// A value that scopes may bring as a claim
        #[arg(long = "attribute", value_name = "NAME=VALUE")]
        attributes: Vec<String>,
    },
    /// List the users
    List,
    /// Set a password, read from stdin
    Password { username: String },
    /// Refuse a user from now on, with all sessions and tokens
    Disable { username: String },
    /// Let a disabled user in again
    Enable { username: String },
    /// Delete a user, with all that they granted
    Delete { username: String },
    /// List the login sessions of a user
    Sessions {
        username: String,
        /// End them all
        #[arg(long)]
        end: bool,
    },
    /// List what a user has granted
    Grants { username: String },
}

impl User {
    pub async fn run(self, out: Out) -> anyhow::Result<Exit> {
        let server = self.connection.with(Role::Identity).await?;
        match self.act {
            Act::Create { username, name, email, attributes } => {
                create(&server, out, &username, name, email, &attributes).await?;
            }
            Act::List => list(&server, out).await?,
            Act::Password { username } => {
                let password = read_password(&username)?;
                let body = json!({"password": password.expose()});
                let answer = server.post(&format!("{}/password", path(&username)), &body).await?;
                out.done(&answer, format!("set the password of user {username}"))?;
            }
            Act::Disable { username } => {
                let answer = server.post(&format!("{}/disable", path(&username)), &json!({})).await?;
                out.done(&answer, format!("disabled user {username}, all sessions and tokens"))?;
            }
            Act::Enable { username } => {
                let answer = server.post(&format!("{}/enable", path(&username)), &json!({})).await?;
                out.done(&answer, format!("enabled user {username}"))?;
            }
            Act::Delete { username } => {
                let answer = server.delete(&path(&username)).await?;
                out.done(&answer, format!("deleted user {username} and all that they granted"))?;
            }
            Act::Sessions { username, end: false } => sessions(&server, out, &username).await?,
            Act::Sessions { username, end: true } => {
                let answer = server.delete(&format!("{}/sessions", path(&username))).await?;
                out.done(&answer, format!("ended all sessions of user {username}"))?;
            }
            Act::Grants { username } => grants(&server, out, &username).await?,
        }
        Ok(Exit::Done)
    }
}

pub fn path(username: &str) -> String {
    format!("/admin/v1/users/{}", segment(username))
}

async fn create(
    server: &Server,
    out: Out,
    username: &str,
    name: Option<String>,
    email: Option<String>,
    attributes: &[String],
) -> anyhow::Result<()> {
    let mut spec = Map::new();
    for (key, value) in [("name", name), ("email", email)] {
        if let Some(value) = value {
            spec.insert(key.to_owned(), Value::String(value));
        }
    }
    let mut map = Map::new();
    for attribute in attributes {
        let (name, value) = attribute
            .split_once('=')
            .ok_or_else(|| usage(format!("`{attribute}` is not NAME=VALUE")).hint("write e.g. account_nr=4711"))?;
        map.insert(name.to_owned(), Value::from(value));
    }
    if !map.is_empty() {
        spec.insert("attributes".to_owned(), Value::Object(map));
    }
    let answer = server.create(&path(username), &Value::Object(spec)).await?;
    out.done(&answer, format!("made user {username}"))?;
    out.note(format!("no password yet: cardea user password {username}"));
    Ok(())
}

/// One line of stdin. At a terminal it is asked for; it shows while it is typed, so pipes are better.
fn read_password(username: &str) -> anyhow::Result<Secret<String>> {
    let mut text = Secret::new(String::new());
    let mut line = String::new();
    if environment::stdin_is_terminal() {
        Out::new(false).note(format!("password of {username} (it shows while you type):"));
        std::io::stdin().read_line(&mut line)?;
    } else {
        std::io::stdin().read_to_string(&mut line)?;
    }
    let end = line.trim_end_matches(['\n', '\r']).len();
    line.truncate(end);
    text.clone_from(&Secret::new(line));
    if text.expose().is_empty() {
        return Err(usage("no password came on stdin")
            .hint("printf %s \"$PASSWORD\" | cardea user password NAME")
            .into());
    }
    Ok(text)
}

async fn list(server: &Server, out: Out) -> anyhow::Result<()> {
    let items = server.list("/admin/v1/users").await?;
    let row = |user: &Value| {
        let spec = user.get("spec").cloned().unwrap_or_default();
        let disabled = user.get("disabledAt").is_some_and(|at| !at.is_null());
        let state = if disabled { "disabled" } else { "enabled" };
        vec![text(user, "name"), text(&spec, "name"), text(user, "userId"), state.to_owned()]
    };
    let table = Table {
        headings: vec!["user", "name", "id", "state"],
        rows: items.iter().map(row).collect(),
        empty: "no users yet; make one with `cardea user create`",
    };
    out.table(&table, &json!({"items": items}))
}

async fn sessions(server: &Server, out: Out, username: &str) -> anyhow::Result<()> {
    let items = server.list(&format!("{}/sessions", path(username))).await?;
    let row = |session: &Value| {
        vec![text(session, "id"), moment(session, "authTime"), text(session, "network"), text(session, "userAgent")]
    };
    let table = Table {
        headings: vec!["session", "since", "network", "browser"],
        rows: items.iter().map(row).collect(),
        empty: "no sessions",
    };
    out.table(&table, &json!({"items": items}))
}

async fn grants(server: &Server, out: Out, username: &str) -> anyhow::Result<()> {
    let items = server.list(&format!("{}/grants", path(username))).await?;
    let row = |grant: &Value| {
        vec![text(grant, "id"), text(grant, "clientId"), joined(grant, "scopes"), moment(grant, "createdAt")]
    };
    let table = Table {
        headings: vec!["grant", "client", "scopes", "since"],
        rows: items.iter().map(row).collect(),
        empty: "nothing granted",
    };
    out.table(&table, &json!({"items": items}))
}
