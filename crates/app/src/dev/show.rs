//! What a newcomer reads when it is ready, and what a script does.

use std::path::Path;
use std::time::Duration;

use base::Secret;
use serde_json::json;

use super::Instance;
use super::entitlement::Shown as Caller;
use super::management::App;
use super::sample::{self, Sample};
use crate::environment;
use crate::out::Out;

pub struct Shown<'a> {
    pub instance: &'a Instance,
    pub sample: &'a Sample,
    pub app: &'a App,
    pub console: &'a str,
    pub callers: &'a [Caller],
    pub admin_token: &'a Secret<String>,
    pub data: &'a Path,
}

impl Shown<'_> {
    pub fn print(&self, out: Out, took: Duration) -> anyhow::Result<()> {
        if out.json { self.print_json(out) } else { out.raw(&self.text(out.columns, took)) }
    }

    fn text(&self, columns: usize, took: Duration) -> String {
        let Instance { gateway, issuer, portal, entitlement, ops, .. } = self.instance;
        let lead = format!(
            "cardea {} · dev mode · data in {} · loopback only · no outbound calls",
            env!("CARGO_PKG_VERSION"),
            self.data.display()
        );
        let ready = format!("ready in {:.1} s", took.as_secs_f64());
        let used = lead.chars().count().saturating_add(ready.chars().count());
        let gap = if used < columns { " ".repeat(columns.saturating_sub(used).clamp(2, 8)) } else { "\n".to_owned() };
        let command = environment::own_command();
        let data = if self.data == Path::new("./.cardea") {
            String::new()
        } else {
            format!(" --data {}", self.data.display())
        };
        format!(
            "\
{lead}{gap}{ready}
  Gateway      {gateway}
  Identity     {issuer}      issuer, account page at /account
  Portal       {portal}
  Console      {console}      one-time link, opens signed in
  Entitlement  {entitlement}      policies, decisions (AuthZEN)
  Operations   {ops}      /metrics /livez /readyz
  Sample       API \"echo\" · plan \"Free 60/min\" · app \"{client}\" · user \"{user}\", password {password}
  Files        {resources}      change and save: taken at once
Try it (copy both lines):
  T=$({command} token {client} --scope {scope}{data})
  curl -H \"Authorization: Bearer $T\" {gateway}/echo/hi
Then:  {command} token revoke{data} $T      and the same curl is refused
",
            console = self.console,
            client = sample::CLIENT,
            user = sample::USER,
            password = self.sample.password.expose(),
            scope = sample::SCOPE,
            resources = self.data.join("resources").display(),
        )
    }

    fn print_json(&self, out: Out) -> anyhow::Result<()> {
        let Instance { gateway, issuer, portal, entitlement, ops, .. } = self.instance;
        let callers: serde_json::Map<_, _> = self
            .callers
            .iter()
            .map(|caller| (caller.name.to_owned(), caller.secret.expose().as_str().into()))
            .collect();
        out.json(&json!({
            "gateway": gateway,
            "issuer": issuer,
            "portal": portal,
            "console": self.console,
            "entitlement": {"url": entitlement, "callers": callers},
            "ops": ops,
            "sample": {
                "api": format!("{gateway}/echo/hi"),
                "scope": sample::SCOPE,
                "audience": sample::AUDIENCE,
                "client_id": self.app.client,
                "client_secret": self.app.secret.expose(),
            },
            "introspection": {
                "client_id": sample::GATEWAY,
                "client_secret": self.sample.gateway_secret.expose(),
            },
            "user": {"username": sample::USER, "password": self.sample.password.expose()},
            "admin_token": self.admin_token.expose(),
        }))
    }
}
