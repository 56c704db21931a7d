//! `cardea client`: clients and their secrets.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::connection::Connection;
use super::{joined, moment, segment, text};
use crate::api::Server;
use crate::config::Span;
use crate::exit::Exit;
use crate::out::{Out, Table};
use crate::roles::Role;

#[derive(Debug, Args)]
pub struct Client {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Make a client; its secret is shown once
    Create(Box<Create>),
    /// List the clients
    List,
    /// Show one client
    Show { client: String },
    /// Manage the secrets of a client
    Secret {
        #[command(subcommand)]
        act: SecretAct,
    },
    /// Refuse a client from now on, with all its tokens
    Disable { client: String },
    /// Let a disabled client work again
    Enable { client: String },
    /// Shut a client out for a while: its tokens stop working, what was granted to it stays
    Suspend { client: String },
    /// End a suspension
    Resume { client: String },
    /// Delete a client, with all that was granted to it
    Delete { client: String },
    /// Manage tokens with which programs register clients (RFC 7591)
    RegistrationToken {
        #[command(subcommand)]
        act: TokenAct,
    },
}

#[derive(Debug, Args)]
struct Create {
    /// Its `client_id`
    client: String,
    /// What people see at login and consent
    #[arg(long)]
    name: Option<String>,
    /// `authorization_code`, `refresh_token`, `client_credentials`
    #[arg(long = "grant", value_name = "TYPE", required = true)]
    grants: Vec<String>,
    /// Where browsers are sent back to, exactly
    #[arg(long, value_name = "URI")]
    redirect_uri: Vec<String>,
    /// Where browsers are sent back to after logout, exactly
    #[arg(long, value_name = "URI")]
    post_logout_redirect_uri: Vec<String>,
    /// Scopes it may ask for
    #[arg(long)]
    scope: Vec<String>,
    /// Resource servers it may ask tokens for
    #[arg(long)]
    audience: Vec<String>,
    /// It cannot keep a secret (a page or a program on somebody's device): no secret, PKCE needed
    #[arg(long)]
    public: bool,
    /// A program on somebody's device: loopback redirect URIs may have any port
    #[arg(long)]
    native: bool,
}

#[derive(Debug, Subcommand)]
enum TokenAct {
    /// Make a token; it is shown once
    Create {
        /// Whose it is; for people
        name: String,
        /// So many clients can be registered with it; any number, if it is not given
        #[arg(long)]
        uses: Option<u32>,
        /// It stops working after this time: `1d`
        #[arg(long, value_name = "SPAN", value_parser = super::span)]
        expires_in: Option<Span>,
        /// Scopes that its clients may ask for, beyond those of OpenID Connect; `*` is every declared one
        #[arg(long)]
        scope: Vec<String>,
        /// Resource servers that its clients may ask tokens for, beyond those of their scopes
        #[arg(long)]
        audience: Vec<String>,
    },
    /// List the tokens that still work
    List,
    /// Remove a token; the clients that were registered with it stay
    Remove { token: String },
}

#[derive(Debug, Subcommand)]
enum SecretAct {
    /// Add a second secret, to change over without a failed call; it is shown once
    Add {
        client: String,
        /// It stops working after this time: `90d`
        #[arg(long, value_name = "SPAN", value_parser = super::span)]
        expires_in: Option<Span>,
    },
    /// Remove a secret
    Remove {
        client: String,
        /// From `cardea client show`
        secret: String,
    },
}

impl Client {
    pub async fn run(self, out: Out) -> anyhow::Result<Exit> {
        let server = self.connection.with(Role::Identity).await?;
        match self.act {
            Act::Create(create) => make(&server, out, &create).await?,
            Act::List => list(&server, out).await?,
            Act::Show { client } => show(&server, out, &client).await?,
            Act::Secret { act: SecretAct::Add { client, expires_in } } => {
                add_secret(&server, out, &client, expires_in).await?;
            }
            Act::Secret { act: SecretAct::Remove { client, secret } } => {
                let answer = server.delete(&format!("{}/secrets/{}", path(&client), segment(&secret))).await?;
                out.done(&answer, format!("removed secret {secret} of client {client}"))?;
            }
            Act::Disable { client } => {
                let answer = server.post(&format!("{}/disable", path(&client)), &json!({})).await?;
                out.done(&answer, format!("disabled client {client} and all its tokens"))?;
            }
            Act::Enable { client } => {
                let answer = server.post(&format!("{}/enable", path(&client)), &json!({})).await?;
                out.done(&answer, format!("enabled client {client}"))?;
            }
            Act::Suspend { client } => {
                let answer = server.post(&format!("{}/suspend", path(&client)), &json!({})).await?;
                out.done(&answer, format!("suspended client {client}"))?;
            }
            Act::Resume { client } => {
                let answer = server.post(&format!("{}/resume", path(&client)), &json!({})).await?;
                out.done(&answer, format!("resumed client {client}"))?;
            }
            Act::RegistrationToken { act } => act.run(&server, out).await?,
            Act::Delete { client } => {
                let answer = server.delete(&path(&client)).await?;
                out.done(&answer, format!("deleted client {client} and all that was granted to it"))?;
            }
        }
        Ok(Exit::Done)
    }
}

const TOKENS: &str = "/admin/v1/registration-tokens";

impl TokenAct {
    async fn run(self, server: &Server, out: Out) -> anyhow::Result<()> {
        match self {
            Self::Create { name, uses, expires_in, scope, audience } => {
                let expires_in_s = expires_in.map(|span| span.0.as_secs());
                let policy = json!({"scopes": scope, "audiences": audience});
                let new = json!({"name": name, "uses": uses, "expiresInS": expires_in_s, "policy": policy});
                let answer = server.post(TOKENS, &new).await?;
                if !out.json {
                    out.note("this token is shown once; keep it now:");
                }
                out.done(&answer, text(&answer, "token"))
            }
            Self::List => {
                let items = server.list(TOKENS).await?;
                let left = |token: &Value| token.get("usesLeft").and_then(Value::as_i64);
                let row = |token: &Value| {
                    let uses = left(token).map_or("any".to_owned(), |uses| uses.to_string());
                    vec![text(token, "id"), text(token, "name"), uses, moment(token, "expiresAt")]
                };
                let table = Table {
                    headings: vec!["token", "name", "uses left", "expires"],
                    rows: items.iter().map(row).collect(),
                    empty: "no registration tokens",
                };
                out.table(&table, &json!({"items": items}))
            }
            Self::Remove { token } => {
                let answer = server.delete(&format!("{TOKENS}/{}", segment(&token))).await?;
                out.done(&answer, format!("removed registration token {token}"))
            }
        }
    }
}

fn path(client: &str) -> String {
    format!("/admin/v1/clients/{}", segment(client))
}

async fn make(server: &Server, out: Out, create: &Create) -> anyhow::Result<()> {
    let mut spec = Map::new();
    let mut set = |key: &str, value: Value| spec.insert(key.to_owned(), value);
    set("grantTypes", json!(create.grants));
    if let Some(name) = &create.name {
        set("displayName", json!(name));
    }
    for (key, list) in [
        ("redirectUris", &create.redirect_uri),
        ("postLogoutRedirectUris", &create.post_logout_redirect_uri),
        ("scopes", &create.scope),
        ("audiences", &create.audience),
    ] {
        if !list.is_empty() {
            set(key, json!(list));
        }
    }
    if create.public {
        set("tokenEndpointAuthMethod", json!("none"));
    }
    if create.native {
        set("applicationType", json!("native"));
    }
    server.create(&path(&create.client), &Value::Object(spec)).await?;
    if create.public {
        return out.done(&json!({"client_id": create.client}), format!("made public client {}", create.client));
    }
    if !out.json {
        out.note(format!("made client {}", create.client));
    }
    add_secret(server, out, &create.client, None).await
}

async fn add_secret(server: &Server, out: Out, client: &str, expires_in: Option<Span>) -> anyhow::Result<()> {
    let expires_in_s = expires_in.map(|span| span.0.as_secs());
    let answer = server.post(&format!("{}/secrets", path(client)), &json!({"expiresInS": expires_in_s})).await?;
    if !out.json {
        out.note("this secret is shown once; keep it now:");
    }
    let secret = text(&answer, "secret");
    let shown = json!({"client_id": client, "client_secret": secret, "secret_id": text(&answer, "id")});
    out.done(&shown, secret)
}

async fn list(server: &Server, out: Out) -> anyhow::Result<()> {
    let items = server.list("/admin/v1/clients").await?;
    let row = |client: &Value| {
        let spec = client.get("spec").cloned().unwrap_or_default();
        vec![text(client, "name"), joined(&spec, "grantTypes"), state(client)]
    };
    let table = Table {
        headings: vec!["client", "grants", "state"],
        rows: items.iter().map(row).collect(),
        empty: "no clients yet; make one with `cardea client create`",
    };
    out.table(&table, &json!({"items": items}))
}

async fn show(server: &Server, out: Out, client: &str) -> anyhow::Result<()> {
    let found = server.get(&path(client)).await?;
    if out.json {
        return out.json(&found);
    }
    out.line(format!("client {}, {}", text(&found, "name"), state(&found)))?;
    let spec = found.get("spec").cloned().unwrap_or_default();
    out.raw(&catalog::export(&[catalog::Resource::new("Client", client, spec)]))?;
    let secrets = found.get("secrets").and_then(Value::as_array).cloned().unwrap_or_default();
    let row = |secret: &Value| {
        vec![text(secret, "id"), text(secret, "hint"), moment(secret, "expiresAt"), moment(secret, "lastUsedAt")]
    };
    let table = Table {
        headings: vec!["secret", "ends in", "expires", "last used"],
        rows: secrets.iter().map(row).collect(),
        empty: "no secrets",
    };
    out.table(&table, &Value::Null)
}

fn state(object: &Value) -> String {
    let suspended = object.get("spec").and_then(|spec| spec.get("suspended")).is_some_and(|value| value == true);
    match object.get("disabledAt").is_some_and(|at| !at.is_null()) {
        true => "disabled".into(),
        false if suspended => "suspended".into(),
        false => "enabled".into(),
    }
}
