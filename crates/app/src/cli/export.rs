//! `cardea export`: all resources of a server as one file that `apply` takes back, there or elsewhere. No secret is in
//! it. What stands in files of the gateway is in files already, each server's own.

use anyhow::Context as _;
use catalog::Resource;
use clap::Args;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::connection::Connection;
use super::text;
use crate::api::Server;
use crate::exit::Exit;
use crate::out::Out;

#[derive(Debug, Args)]
pub struct Export {
    /// Only this kind, for example `Client`
    #[arg(long)]
    kind: Option<String>,
    /// Also what stands in files of the gateway
    #[arg(long)]
    with_files: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Export {
    pub async fn run(self, out: Out) -> anyhow::Result<Exit> {
        let mut resources: Vec<Resource> = Vec::new();
        let mut left_out: Vec<String> = Vec::new();
        for server in self.connection.servers()? {
            for path in ["/admin/v1/export", "/admin/v1/gateway/resources", "/management/v1/export"] {
                let (found, files) = half(&server, path).await?;
                for found in found {
                    let stands = files.iter().find(|file| is(file, &found));
                    if let Some(file) = stands.filter(|_| !self.with_files) {
                        left_out.push(format!("{} {} ({})", found.kind, found.name, text(file, "at")));
                        continue;
                    }
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
        if !left_out.is_empty() {
            let left_out = left_out.join(", ");
            out.note(format!("left out, since it stands in files of the gateway: {left_out}; --with-files has it too"));
        }
        Ok(Exit::Done)
    }
}

fn is(file: &Value, resource: &Resource) -> bool {
    text(file, "kind") == resource.kind && text(file, "name") == resource.name
}

/// What one role of a server has, and which of it stands in files there; nothing if it does not run that role.
async fn half(server: &Server, path: &str) -> anyhow::Result<(Vec<Resource>, Vec<Value>)> {
    let roles = server.get("/admin/v1").await?;
    let role = match path {
        path if path.contains("/gateway/") => "gateway",
        path if path.starts_with("/management/") => "management",
        _ => "identity",
    };
    let runs = roles.get("roles").and_then(Value::as_array).is_some_and(|roles| roles.iter().any(|name| name == role));
    if !runs {
        return Ok((Vec::new(), Vec::new()));
    }
    let answer = server.call(Method::GET, path, None).await?;
    anyhow::ensure!(answer.status == StatusCode::OK, "the server gave no resources");
    let list = |name: &str| answer.body.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let understood = |value: &Value| resource(value).context("the server's answer is not understood");
    let resources = list("resources").iter().map(understood).collect::<anyhow::Result<_>>()?;
    Ok((resources, list("inFiles")))
}

fn resource(value: &Value) -> Option<Resource> {
    let kind = value.get("kind")?.as_str()?;
    let name = value.get("name")?.as_str()?;
    Some(Resource::new(kind, name, value.get("spec")?.clone()))
}
