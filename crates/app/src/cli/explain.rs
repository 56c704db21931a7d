//! `cardea explain`: which route takes a request, what it asks for, and where that is written.

use clap::Args;
use serde_json::{Value, json};

use super::connection::Connection;
use crate::exit::Exit;
use crate::out::Out;
use crate::roles::Role;

#[derive(Debug, Args)]
pub struct Explain {
    /// The method, for example GET
    method: String,
    /// The URL or the path
    url: String,
    /// The host that the request names, where the URL does not
    #[arg(long)]
    host: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

impl Explain {
    pub async fn run(self, out: Out) -> anyhow::Result<Exit> {
        let server = self.connection.with(Role::Gateway).await?;
        let (host, path) = match url::Url::parse(&self.url) {
            Ok(url) => {
                let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
                (url.host_str().map(|host| format!("{host}{port}")), url.path().to_owned())
            }
            Err(_) => (None, self.url.clone()),
        };
        let host = self.host.or(host);
        let question = json!({"method": self.method.to_uppercase(), "path": path, "host": host});
        let answer = server.post("/admin/v1/gateway/explain", &question).await?;
        if out.json {
            out.json(&answer)?;
        } else {
            out.raw(answer.get("text").and_then(Value::as_str).unwrap_or_default())?;
        }
        let found = answer.get("found").and_then(Value::as_bool) == Some(true);
        Ok(if found { Exit::Done } else { Exit::Found })
    }
}
