//! What `apply` would do, as `diff` and `apply` show it.

use std::path::PathBuf;

use catalog::{Fault, Resource};
use clap::Args;
use http::Method;
use serde_json::{Value, json};

use super::connection::Connection;
use super::destination::{Destination, Known, destinations};
use crate::api::Server;
use crate::documents;
use crate::exit::Exit;
use crate::out::{Out, Table};
use crate::roles::Role;

#[derive(Debug, Args)]
pub struct Files {
    /// Files or folders with resources; `-` is stdin
    #[arg(short, long = "file", value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Also remove what the files do not name
    #[arg(long)]
    pub prune: bool,
    /// Publish APIs although clients will notice
    #[arg(long)]
    pub allow_breaking: bool,
}

/// The set of files, and the servers that take the halves of it.
pub struct Plan {
    pub resources: Vec<Resource>,
    destinations: Vec<Destination>,
    identity: Option<Server>,
    management: Option<Server>,
    gateways: Vec<Server>,
    prune: bool,
    allow_breaking: bool,
}

/// What happened, or would happen, to one resource.
#[derive(Debug)]
pub struct Step {
    pub server: String,
    pub kind: String,
    pub name: String,
    /// `add`, `modify`, `remove`; what stays as it is has no step.
    pub change: String,
    /// What of it changes, in words.
    pub what: String,
}

impl Plan {
    pub async fn read(files: &Files, connection: &Connection) -> anyhow::Result<Self> {
        let mut resources = documents::read(&files.files)?;
        let faults = documents::faults_of_each(&resources);
        if !faults.is_empty() {
            return Err(documents::refused(&faults).into());
        }
        let management = match resources.iter().any(Resource::is_for_gateway) {
            true => connection.if_running(Role::Management).await?,
            false => None,
        };
        let destinations = match &management {
            Some(server) => {
                let own = gateways_own(connection).await?;
                let destinations = destinations(&resources, &known(server, &own).await?);
                super::destination::describe(&mut resources, &destinations, &own);
                destinations
            }
            None => destinations(&resources, &Known::default()),
        };
        let any = |place: Destination| destinations.contains(&place);
        Ok(Self {
            identity: if any(Destination::Identity) { Some(connection.with(Role::Identity).await?) } else { None },
            gateways: if any(Destination::Gateway) { connection.all_with(Role::Gateway).await? } else { Vec::new() },
            management: management.filter(|_| any(Destination::Management)),
            destinations,
            resources,
            prune: files.prune,
            allow_breaking: files.allow_breaking,
        })
    }

    /// Identity first: what the gateway forwards to should be able to ask for its clients and scopes. Then the
    /// gateways' own, which what is published may refer to.
    pub async fn run(&self, dry: bool) -> anyhow::Result<Vec<Step>> {
        let mut steps = Vec::new();
        if let Some(server) = &self.identity {
            steps.extend(self.send(server, "/admin/v1/apply", Destination::Identity, dry).await?);
        }
        for server in &self.gateways {
            steps.extend(self.send(server, "/admin/v1/gateway/apply", Destination::Gateway, dry).await?);
        }
        if let Some(server) = &self.management {
            steps.extend(self.send(server, "/management/v1/apply", Destination::Management, dry).await?);
        }
        Ok(steps)
    }

    pub fn identity(&self) -> Option<&Server> {
        self.identity.as_ref()
    }

    async fn send(&self, server: &Server, path: &str, to: Destination, dry: bool) -> anyhow::Result<Vec<Step>> {
        let placed = self.resources.iter().zip(&self.destinations);
        let half: Vec<&Resource> = placed.filter(|(_, place)| **place == to).map(|(one, _)| one).collect();
        let resources: Vec<Value> = half.iter().map(|resource| documents::document(resource)).collect();
        let mut body = json!({"resources": resources, "prune": self.prune, "dryRun": dry});
        if let (Destination::Management, Some(body)) = (to, body.as_object_mut()) {
            body.insert("allowBreaking".to_owned(), self.allow_breaking.into());
        }
        let answer = server.send(Method::POST, path, Some(&body)).await?;
        let faults = located(&half, &answer.body);
        if !faults.is_empty() {
            let mut refused = documents::refused(&faults);
            refused.exit = Exit::Refused;
            return Err(refused.hint("nothing was changed at that server").into());
        }
        let answer = server.success(answer)?.body;
        let changes = answer.get("changes").and_then(Value::as_array).cloned().unwrap_or_default();
        Ok(changes.iter().map(|change| step(server, change)).filter(|step| step.change != "none").collect())
    }
}

/// What stands at a gateway itself.
async fn gateways_own(connection: &Connection) -> anyhow::Result<Vec<Resource>> {
    let Some(server) = connection.if_running(Role::Gateway).await? else { return Ok(Vec::new()) };
    Ok(listed(&server.get("/admin/v1/gateway/resources").await?))
}

async fn known(management: &Server, own: &[Resource]) -> anyhow::Result<Known> {
    let kept = listed(&management.get("/management/v1/export").await?);
    let apis = kept.into_iter().filter(|one| one.kind == "Api").map(|one| one.name).collect();
    let at_gateway = own.iter().map(|one| (one.kind.clone(), one.name.clone())).collect();
    Ok(Known { at_gateway, apis: Some(apis) })
}

fn listed(answer: &Value) -> Vec<Resource> {
    let list = answer.get("resources").and_then(Value::as_array).into_iter().flatten();
    let text = |one: &Value, key: &str| one.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    list.map(|one| Resource::new(&text(one, "kind"), &text(one, "name"), one.get("spec").cloned().unwrap_or_default()))
        .collect()
}

/// The faults that the server found, at their places in the files.
fn located(half: &[&Resource], answer: &Value) -> Vec<Fault> {
    let errors = answer.get("errors").and_then(Value::as_array).into_iter().flatten();
    errors
        .filter_map(|error| {
            let (index, inner) = error.get("pointer")?.as_str()?.strip_prefix("/resources/")?.split_once('/')?;
            let resource = half.get(index.parse::<usize>().ok()?)?;
            let detail = error.get("detail")?.as_str()?;
            Some(resource.fault(&format!("/{inner}"), format!("{} `{}`: {detail}", resource.kind, resource.name)))
        })
        .collect()
}

fn step(server: &Server, change: &Value) -> Step {
    let text = |key: &str| change.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let part = |key: &str| change.get(key).cloned().unwrap_or(Value::Null);
    let what = match (part("before"), part("after")) {
        (Value::Object(before), Value::Object(after)) => {
            let mut keys: Vec<&String> = before.keys().chain(after.keys()).collect();
            keys.sort();
            keys.dedup();
            let differ = keys.into_iter().filter(|key| before.get(*key) != after.get(*key));
            differ
                .map(|key| format!("{key}: {} → {}", short(before.get(key)), short(after.get(key))))
                .collect::<Vec<_>>()
        }
        _ => Vec::new(),
    };
    Step {
        server: server.base().to_owned(),
        kind: text("kind"),
        name: text("name"),
        change: text("change"),
        what: what.join("; "),
    }
}

fn short(value: Option<&Value>) -> String {
    let text = value.map_or_else(|| "nothing".to_owned(), ToString::to_string);
    if text.chars().count() <= 60 { text } else { format!("{}…", text.chars().take(59).collect::<String>()) }
}

pub fn print(out: Out, steps: &[Step], done: bool) -> anyhow::Result<()> {
    let count = |change: &str| steps.iter().filter(|step| step.change == change).count();
    let (added, modified, removed) = (count("add"), count("modify"), count("remove"));
    if out.json {
        let changes: Vec<Value> = steps
            .iter()
            .map(|step| {
                json!({"server": step.server, "change": step.change, "kind": step.kind, "name": step.name, "what": step.what})
            })
            .collect();
        return out.json(&json!({
            "changes": changes, "added": added, "modified": modified, "removed": removed, "applied": done,
        }));
    }
    if !steps.is_empty() {
        let row = |step: &Step| vec![step.change.clone(), step.kind.clone(), step.name.clone(), step.what.clone()];
        let table = Table {
            headings: vec!["change", "kind", "name", "what"],
            rows: steps.iter().map(row).collect(),
            empty: "",
        };
        out.raw(&table.render(out.columns))?;
    }
    let lead = if done { "applied" } else { "would change" };
    out.line(format!("{lead}: {added} added, {modified} modified, {removed} removed"))
}
