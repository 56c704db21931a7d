//! Which server a command talks to: the one named, or the development instance of this folder.

use std::path::{Path, PathBuf};

use base::Secret;
use clap::Args;
use http::Method;
use serde_json::Value;

use crate::api::Server;
use crate::config::Reference;
use crate::dev::Instance;
use crate::environment;
use crate::exit::{Exit, Failure, usage};
use crate::roles::Role;

#[derive(Debug, Args)]
pub struct Connection {
    /// Operations address of the server; once per server where roles run apart [env: CARDEA_SERVER]
    #[arg(long, global = true, value_name = "URL", help_heading = "Server")]
    server: Vec<String>,
    /// The administration token: `file:PATH`, `env:NAME`, or itself (which others on this machine can see) [env: CARDEA_ADMIN_TOKEN]
    #[arg(long, global = true, value_name = "TOKEN", help_heading = "Server")]
    admin_token: Option<AdminToken>,
    /// Data folder of the `cardea dev` to talk to, if no server is named
    #[arg(long, global = true, value_name = "DIR", default_value = "./.cardea", help_heading = "Server")]
    data: PathBuf,
}

#[derive(Debug, Clone)]
enum AdminToken {
    At(Reference),
    Itself(Secret<String>),
}

impl std::str::FromStr for AdminToken {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with(base::handle::ADMIN_TOKEN) {
            return Ok(Self::Itself(text.into()));
        }
        Reference::parse(text).map(Self::At).map_err(|_| "give `file:PATH` or `env:NAME`")
    }
}

impl Connection {
    pub fn servers(&self) -> anyhow::Result<Vec<Server>> {
        let named = self.named();
        let instance = Instance::read(&self.data)?;
        let addresses = match (&instance, named.is_empty()) {
            (_, false) => named,
            (Some(instance), true) => vec![instance.ops.clone()],
            (None, true) => return Err(no_server(&self.data).into()),
        };
        let token = self.token(instance.as_ref())?;
        addresses.iter().map(|address| Server::new(address, token.clone())).collect()
    }

    /// The server that runs a role. A role that all of several servers run is asked for at the first.
    pub async fn with(&self, role: Role) -> anyhow::Result<Server> {
        let mut having = self.all_with(role).await?;
        Ok(having.swap_remove(0))
    }

    /// Every named server that runs a role; at least one.
    pub async fn all_with(&self, role: Role) -> anyhow::Result<Vec<Server>> {
        let servers = self.servers()?;
        if servers.len() == 1 {
            return Ok(servers);
        }
        let mut having = Vec::new();
        for server in servers {
            let answer = server.call(Method::GET, "/admin/v1", None).await?;
            let roles = answer.body.get("roles").and_then(Value::as_array);
            if roles.is_some_and(|roles| roles.iter().any(|name| name == role.name())) {
                having.push(server);
            }
        }
        if having.is_empty() {
            let message = format!("none of the servers runs the role `{}`", role.name());
            return Err(Failure::new(Exit::Refused, message).hint("name one that does with --server").into());
        }
        Ok(having)
    }

    /// The first server that runs a role, if one does.
    pub async fn if_running(&self, role: Role) -> anyhow::Result<Option<Server>> {
        for server in self.servers()? {
            let answer = server.get("/admin/v1").await?;
            let roles = answer.get("roles").and_then(Value::as_array);
            if roles.is_some_and(|roles| roles.iter().any(|name| name == role.name())) {
                return Ok(Some(server));
            }
        }
        Ok(None)
    }

    pub fn instance(&self) -> anyhow::Result<Option<Instance>> {
        if self.named().is_empty() { Instance::read(&self.data) } else { Ok(None) }
    }

    fn named(&self) -> Vec<String> {
        if !self.server.is_empty() {
            return self.server.clone();
        }
        let variable = environment::variable("CARDEA_SERVER").unwrap_or_default();
        variable.split([',', ' ']).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }

    fn token(&self, instance: Option<&Instance>) -> anyhow::Result<Secret<String>> {
        match &self.admin_token {
            Some(AdminToken::At(reference)) => return reference.read_text(),
            Some(AdminToken::Itself(token)) => return Ok(token.clone()),
            None => {}
        }
        if let Some(token) = environment::variable("CARDEA_ADMIN_TOKEN") {
            return Ok(token.into());
        }
        match instance {
            // The token of the instance here is not sent to a server named otherwise, unless it is that instance.
            Some(instance) if self.named().iter().all(|named| named.trim_end_matches('/') == instance.ops) => {
                instance.admin_token()
            }
            _ => Err(usage("the administration token is missing")
                .hint("give --admin-token file:PATH, or set CARDEA_ADMIN_TOKEN")
                .into()),
        }
    }
}

fn no_server(data: &Path) -> Failure {
    Failure::new(Exit::Unreachable, format!("no server is named, and no `cardea dev` has run with {}", data.display()))
        .hint("start one with `cardea dev`, or name one: --server http://127.0.0.1:8084 (or CARDEA_SERVER)")
}
