//! The command line: one file per command.

mod api;
mod apply;
mod audit;
mod check;
mod client;
mod completions;
mod compose;
mod connection;
mod destination;
mod dev;
mod diff;
mod doctor;
mod explain;
mod export;
mod grant;
mod import;
mod key;
mod migrate;
mod plan;
mod policy;
mod reconcile;
mod reload;
mod schema;
mod serve;
mod token;
mod user;
mod version;

use std::future::Future;

use clap::{Parser, Subcommand};

use crate::exit::{CODES, Exit};
use crate::logs;
use crate::out::Out;

/// API security, identity and gateway in one program.
#[derive(Debug, Parser)]
#[command(name = "cardea", version, about, after_help = CODES, max_term_width = 100, disable_help_subcommand = true)]
pub struct Cli {
    /// Print JSON for programs
    #[arg(long, global = true)]
    pub json: bool,
    /// What to log: a level, or `info,gateway=debug` [env: RUST_LOG]
    #[arg(long, global = true, value_name = "FILTER", hide_short_help = true, help_heading = "Logging")]
    log: Option<String>,
    /// How to log: `auto` (for people at a terminal, JSON elsewhere), `json`, `human`
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "auto",
        hide_short_help = true,
        hide_possible_values = true,
        help_heading = "Logging"
    )]
    log_format: logs::Format,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start everything on this machine with a sample, to try and to develop
    Dev(dev::Dev),
    /// Run the roles of a configuration file
    Serve(serve::Serve),
    /// Find what is wrong in configuration and resource files, without a server
    Check(check::Check),
    /// Show what `apply` would change
    Diff(diff::Diff),
    /// Bring a server to what resource files say
    Apply(apply::Apply),
    /// Print all resources of a server as one file
    Export(export::Export),
    /// Make an API of an OpenAPI document, or its next revision
    Import(import::Import),
    /// Give a revision of an API to the gateways
    Publish(api::Publish),
    /// List APIs, read their history, go back
    Api(api::Api),
    /// Say which route takes a request, what it asks for, and where that is written
    Explain(explain::Explain),
    /// Try a composition: its plan, its answer, its parts and times
    Compose(compose::Compose),
    /// Write, test, explain and publish policies; read decisions
    Policy(policy::Policy),
    /// Manage clients and their secrets
    Client(client::Client),
    /// Manage users
    User(user::User),
    /// Get an access token for a client; revoke one
    Token(token::Token),
    /// Revoke a grant with all its tokens
    Grant(grant::Grant),
    /// Manage signing keys
    Key(key::Key),
    /// Read the audit log and verify it
    Audit(audit::Audit),
    /// Compare applications with the clients of the identity system, and put right what differs
    Reconcile(reconcile::Reconcile),
    /// Bring the databases to this version's schema
    Migrate(migrate::Migrate),
    /// Say what a production installation lacks
    Doctor(doctor::Doctor),
    /// Make a running server read resources and certificates again
    Reload(reload::Reload),
    /// Print the JSON Schema of the files
    Schema(schema::Schema),
    /// Print completions for a shell
    Completions(completions::Completions),
    /// Print the version
    Version(version::Version),
}

pub fn run(cli: Cli) -> anyhow::Result<Exit> {
    let out = Out::new(cli.json);
    // Servers tell what they do; commands only what is wrong.
    let default = match cli.command {
        Command::Serve(_) => "info",
        _ => "warn",
    };
    logs::start(cli.log.as_deref(), cli.log_format, default)?;
    match cli.command {
        Command::Dev(command) => command.run(out),
        Command::Serve(command) => command.run(out),
        Command::Check(command) => command.run(out),
        Command::Diff(command) => wait(command.run(out)),
        Command::Apply(command) => wait(command.run(out)),
        Command::Export(command) => wait(command.run(out)),
        Command::Import(command) => wait(command.run(out)),
        Command::Publish(command) => wait(command.run(out)),
        Command::Api(command) => wait(command.run(out)),
        Command::Explain(command) => wait(command.run(out)),
        Command::Compose(command) => wait(command.run(out)),
        Command::Policy(command) => wait(command.run(out)),
        Command::Client(command) => wait(command.run(out)),
        Command::User(command) => wait(command.run(out)),
        Command::Token(command) => wait(command.run(out)),
        Command::Grant(command) => wait(command.run(out)),
        Command::Key(command) => wait(command.run(out)),
        Command::Audit(command) => wait(command.run(out)),
        Command::Reconcile(command) => wait(command.run(out)),
        Command::Migrate(command) => wait(command.run(out)),
        Command::Doctor(command) => wait(command.run(out)),
        Command::Reload(command) => wait(command.run(out)),
        Command::Schema(command) => command.run(out),
        Command::Completions(command) => command.run(out),
        Command::Version(command) => command.run(out),
    }
}

/// Runs a command that asks servers; one thread is enough for that.
fn wait(command: impl Future<Output = anyhow::Result<Exit>>) -> anyhow::Result<Exit> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(Box::pin(command))
}

/// A name as one segment of a path (RFC 3986 §3.3).
fn segment(name: &str) -> String {
    url::form_urlencoded::byte_serialize(name.as_bytes()).collect::<String>().replace('+', "%20")
}

/// A member of a JSON object as text for a table; nothing if it is not there.
fn text(object: &serde_json::Value, key: &str) -> String {
    match object.get(key) {
        None | Some(serde_json::Value::Null) => String::new(),
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// A list of words with one space between.
fn joined(object: &serde_json::Value, key: &str) -> String {
    match object.get(key) {
        Some(serde_json::Value::Array(items)) => {
            items.iter().filter_map(serde_json::Value::as_str).collect::<Vec<_>>().join(" ")
        }
        _ => text(object, key),
    }
}

/// Milliseconds since the epoch as a time in UTC.
fn moment(object: &serde_json::Value, key: &str) -> String {
    let ms = object.get(key).and_then(serde_json::Value::as_i64);
    let time = ms.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    time.map_or_else(String::new, |time| time.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}

/// A length of time on the command line.
fn span(text: &str) -> Result<crate::config::Span, &'static str> {
    crate::config::Span::parse(text).ok_or("write a number and a unit, such as `15m`, `12h` or `90d`")
}

/// Where servers run; the gateway's data plane has threads of its own.
fn server_runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}
