//! `cardea export`: all resources of a server as one file that `apply` takes back. No secret is in it.

use anyhow::Context as _;
use catalog::Resource;
use clap::Args;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::connection::Connection;
use crate::api::Server;
use crate::exit::Exit;
use crate::out::Out;

#[derive(Debug, Args)]
pub struct Export {
    /// Only this kind, for example `Client`
    #[arg(long)]
    kind: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

impl Export {
    pub async fn run(self, out: Out) -> anyhow::Result<Exit> {
        let mut resources: Vec<Resource> = Vec::new();
        for server in self.connection.servers()? {
            for path in ["/admin/v1/export", "/admin/v1/gateway/resources", "/management/v1/export"] {
                for found in half(&server, path).await? {
                    let known = resources.iter().any(|have| have.kind == found.kind && have.name == found.name);
                    let wanted = self.kind.as_ref().is_none_or(|kind| *kind == found.kind);
                    if wanted && !known {
                        resources.push(found);
                    }
                }
            }
        }
        if out.json {
            let list: Vec<Value> = resources.iter().map(crate::documents::document).collect();
            out.json(&json!({"resources": list}))?;
        } else {
            out.raw(&catalog::export(&resources))?;
        }
        Ok(Exit::Done)
    }
}

/// What one role of a server has; nothing if it does not run that role.
async fn half(server: &Server, path: &str) -> anyhow::Result<Vec<Resource>> {
    let roles = server.get("/admin/v1").await?;
    let role = match path {
        path if path.contains("/gateway/") => "gateway",
        path if path.starts_with("/management/") => "management",
        _ => "identity",
    };
    let runs = roles.get("roles").and_then(Value::as_array).is_some_and(|roles| roles.iter().any(|name| name == role));
    if !runs {
        return Ok(Vec::new());
    }
    let answer = server.call(Method::GET, path, None).await?;
    anyhow::ensure!(answer.status == StatusCode::OK, "the server gave no resources");
    let list = answer.body.get("resources").and_then(Value::as_array).cloned().unwrap_or_default();
    list.iter().map(|value| resource(value).context("the server's answer is not understood")).collect()
}

fn resource(value: &Value) -> Option<Resource> {
    let kind = value.get("kind")?.as_str()?;
    let name = value.get("name")?.as_str()?;
    Some(Resource::new(kind, name, value.get("spec")?.clone()))
}
