//! `cardea import`: an API from its OpenAPI document: lint, routes, scopes, portal page, and a first look from outside.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::peer::{HttpPeer, Limits, Peer as _};
use bytes::Bytes;
use clap::Args;
use http::{Request, StatusCode};
use serde_json::{Value, json};

use super::connection::Connection;
use super::{joined, segment, text};
use crate::api::Server;
use crate::exit::{Exit, Failure, usage};
use crate::out::{Out, Table};
use crate::roles::Role;

#[derive(Debug, Args)]
pub struct Import {
    /// OpenAPI 3.0 or 3.1, JSON or YAML; `-` is stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Where the API runs; default: as before, or the document's first server
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// Name of the API; default: made of its title
    #[arg(long)]
    name: Option<String>,
    /// Where the gateway serves it; default: as before, or `/NAME`
    #[arg(long, value_name = "PATH")]
    base_path: Option<String>,
    /// What its tokens are meant for; default: as before, or its address at the gateway
    #[arg(long)]
    audience: Option<String>,
    /// Who sees it: `public`, `internal` or `private`
    #[arg(long)]
    visibility: Option<String>,
    /// Whether calls need a subscription: `required`, `optional` or `none`
    #[arg(long)]
    subscription: Option<String>,
    /// Who answers for it
    #[arg(long)]
    owner: Option<String>,
    /// Publish although clients will notice
    #[arg(long)]
    allow_breaking: bool,
    /// Do not publish it yet
    #[arg(long)]
    draft: bool,
    /// Say what would be, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    connection: Connection,
}

const LIMITS: Limits = Limits { time: Duration::from_secs(5), body_bytes: 1 << 20 };
/// A gateway has what is published within a second.
const LOOKS: usize = 30;
const BETWEEN: Duration = Duration::from_millis(100);

impl Import {
    pub async fn run(self, out: Out) -> anyhow::Result<Exit> {
        let document = read(&self.file)?;
        let server = self.connection.with(Role::Management).await?;
        let body = json!({
            "document": document,
            "name": self.name,
            "upstream": self.upstream,
            "basePath": self.base_path,
            "audience": self.audience,
            "visibility": self.visibility,
            "subscription": self.subscription,
            "owner": self.owner,
            "publish": !self.draft,
            "allowBreaking": self.allow_breaking,
            "dryRun": self.dry_run,
        });
        let body: serde_json::Map<String, Value> = body
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let answer = server.send(http::Method::POST, "/management/v1/import", Some(&Value::Object(body))).await?;
        if text(&answer.body, "type").ends_with("/breaking_change") {
            return Err(refused(&answer.body).into());
        }
        let mut imported = server.success(answer)?.body;
        let served = !self.dry_run && !self.draft;
        if served && let Some(identity) = self.connection.if_running(Role::Identity).await? {
            let made = known_to_identity(&identity, &self.connection, &imported).await?;
            set(&mut imported, "identity", json!(made));
        }
        if served && let Some(check) = look(&imported).await {
            set(&mut imported, "check", check);
        }
        if out.json {
            out.json(&imported)?;
        } else {
            show(out, &imported, &self)?;
        }
        Ok(Exit::Done)
    }
}

fn set(object: &mut Value, key: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(key.to_owned(), value);
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    use std::io::Read as _;
    let read = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    Ok(read.map_err(|error| usage(format!("{}: {error}", path.display())))?)
}

fn refused(problem: &Value) -> Failure {
    let mut message = "nothing was changed: clients of the API would notice".to_owned();
    for error in items(problem, "errors") {
        let operation = text(error, "pointer").trim_start_matches("/operations/").to_owned();
        message.push_str(&format!("\n  {operation}  {}", text(error, "detail")));
    }
    Failure::new(Exit::Refused, message)
        .hint("--allow-breaking publishes it all the same, --draft keeps it as a draft, --name makes it another API")
}

fn items<'a>(object: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    object.get(key).and_then(Value::as_array).into_iter().flatten()
}

fn show(out: Out, imported: &Value, asked: &Import) -> anyhow::Result<()> {
    let changed = imported.get("changed") == Some(&Value::Bool(true));
    let state = match (asked.dry_run, asked.draft, changed) {
        (true, _, _) => "nothing was done (--dry-run)".to_owned(),
        (false, true, true) => format!(
            "revision {}, a draft: `cardea publish {}` publishes it",
            text(imported, "revision"),
            text(imported, "api")
        ),
        (false, false, true) => format!("revision {}, published", text(imported, "revision")),
        (false, _, false) => format!("revision {}, as it was", text(imported, "revision")),
    };
    out.line(format!(
        "{}  {} {} · {state}",
        text(imported, "api"),
        text(imported, "title"),
        text(imported, "version")
    ))?;
    findings(out, imported)?;
    for (key, heading) in [("conflicts", "to decide"), ("kept", "kept, changed by hand")] {
        let lines: Vec<&str> = items(imported, key).filter_map(Value::as_str).collect();
        if !lines.is_empty() {
            out.line(format!("\n{heading}\n  {}", lines.join("\n  ")))?;
        }
    }
    let breaking: Vec<String> = items(imported, "breaking")
        .map(|one| format!("{}  {}: {}", text(one, "operation"), text(one, "rule"), text(one, "message")))
        .collect();
    if !breaking.is_empty() {
        out.line(format!("\nclients will notice\n  {}", breaking.join("\n  ")))?;
    }
    let row = |route: &Value| {
        let needs = if route.get("public") == Some(&Value::Bool(true)) {
            "nothing".to_owned()
        } else {
            format!("a token {}", joined(route, "scopes"))
        };
        vec![text(route, "method"), text(route, "path"), text(route, "operation"), needs.trim_end().to_owned()]
    };
    let routes = Table {
        headings: vec!["method", "path", "operation", "needs"],
        rows: items(imported, "routes").map(row).collect(),
        empty: "no routes",
    };
    out.line("")?;
    out.raw(&routes.render(out.columns))?;
    out.line(format!("\nGateway   {}  →  {}", text(imported, "address"), text(imported, "upstream")))?;
    out.line(format!("Audience  {}", text(imported, "audience")))?;
    out.line(format!("Scopes    {}", joined(imported, "scopes")))?;
    for line in items(imported, "identity").filter_map(Value::as_str) {
        out.line(format!("Identity  {line}"))?;
    }
    out.line(format!("Portal    {}", text(imported, "portal")))?;
    if let Some(check) = imported.get("check") {
        out.line(format!("Check     {}", text(check, "text")))?;
    }
    Ok(())
}

/// A summary, then what was left out and warned of.
fn findings(out: Out, imported: &Value) -> anyhow::Result<()> {
    let count = |level: &str| items(imported, "findings").filter(|one| text(one, "level") == level).count();
    let (errors, warnings, notes) = (count("error"), count("warning"), count("note"));
    out.line(format!("lint: {errors} left out, {warnings} warnings, {notes} notes"))?;
    for one in items(imported, "findings") {
        out.line(format!(
            "  {:<7}  {}  {}: {}",
            text(one, "level"),
            text(one, "rule"),
            text(one, "pointer"),
            text(one, "message")
        ))?;
    }
    Ok(())
}

/// Where the identity system is at hand: that it knows audience and scopes, and that the gateway may ask about tokens
/// for them. What is there already stays as it is.
async fn known_to_identity(
    identity: &Server,
    connection: &Connection,
    imported: &Value,
) -> anyhow::Result<Vec<String>> {
    let (api, audience) = (text(imported, "api"), text(imported, "audience"));
    let mut resources = Vec::new();
    let mut said = Vec::new();
    let servers = identity.list("/admin/v1/resource-servers").await?;
    if !servers.iter().any(|one| one.pointer("/spec/audience") == Some(&Value::from(audience.as_str()))) {
        resources.push(json!({"kind": "ResourceServer", "name": api, "spec": {"audience": audience, "description": text(imported, "title")}}));
    }
    let known: BTreeSet<String> =
        identity.list("/admin/v1/scopes").await?.iter().map(|scope| text(scope, "name")).collect();
    for scope in items(imported, "scopes").filter_map(Value::as_str).filter(|scope| !known.contains(*scope)) {
        resources.push(json!({"kind": "Scope", "name": scope, "spec": {"description": format!("{}: {scope}", text(imported, "title")), "audience": audience}}));
    }
    if !resources.is_empty() {
        let answer = identity.post("/admin/v1/apply", &json!({"resources": resources})).await?;
        for (change, done) in [("add", "made"), ("modify", "changed")] {
            let of = items(&answer, "changes").filter(|one| text(one, "change") == change);
            let names: Vec<String> =
                of.map(|one| format!("{} {}", in_words(&text(one, "kind")), text(one, "name"))).collect();
            if !names.is_empty() {
                said.push(format!("{done} {}", names.join(", ")));
            }
        }
    }
    let Some(gateway) = connection.if_running(Role::Gateway).await? else { return Ok(said) };
    let answer = gateway.get("/admin/v1/gateway/resources").await?;
    let issuers = items(&answer, "resources").filter(|one| text(one, "kind") == "Issuer");
    let clients: BTreeSet<String> =
        issuers.filter_map(|issuer| issuer.pointer("/spec/introspection/as")?.as_str().map(str::to_owned)).collect();
    for client in clients {
        let path = format!("/admin/v1/clients/{}", segment(&client));
        let answer = identity.send(http::Method::GET, &path, None).await?;
        let Some(introspect) = answer.body.pointer("/spec/introspect").and_then(Value::as_array) else { continue };
        if introspect.contains(&Value::from(audience.as_str())) {
            continue;
        }
        let mut spec = answer.body.get("spec").cloned().unwrap_or_default();
        if let Some(list) = spec.get_mut("introspect").and_then(Value::as_array_mut) {
            list.push(Value::from(audience.as_str()));
            let resource = json!({"kind": "Client", "name": client, "spec": spec});
            identity.post("/admin/v1/apply", &json!({"resources": [resource]})).await?;
            said.push(format!("client {client} may ask about tokens for it"));
        }
    }
    Ok(said)
}

fn in_words(kind: &str) -> &str {
    match kind {
        "ResourceServer" => "resource server",
        "Scope" => "scope",
        other => other,
    }
}

/// One call from outside, without a token: it must not come through.
async fn look(imported: &Value) -> Option<Value> {
    let guarded = || items(imported, "routes").filter(|route| route.get("public") != Some(&Value::Bool(true)));
    let route = guarded().find(|route| text(route, "method") == "GET").or_else(|| guarded().next())?;
    let (address, path) = (text(imported, "address"), text(route, "path"));
    let origin = url::Url::parse(&address).ok()?.origin().ascii_serialization();
    let path: Vec<&str> = path.split('/').map(|part| if part.starts_with('{') { "1" } else { part }).collect();
    let url = format!("{origin}{}", path.join("/"));
    let method = text(route, "method").split(' ').next().unwrap_or("GET").to_owned();
    let peer = HttpPeer::new(None);
    let mut last = Err("does not answer".to_owned());
    for attempt in 0..LOOKS {
        if attempt > 0 {
            tokio::time::sleep(BETWEEN).await;
        }
        let request = Request::builder().method(method.as_str()).uri(&url).body(Bytes::new()).ok()?;
        last = peer.call(request, LIMITS).await.map_err(|error| error.to_string());
        if matches!(&last, Ok(answer) if answer.status() == StatusCode::UNAUTHORIZED) {
            break;
        }
    }
    let (status, words) = match last {
        Ok(answer) if answer.status() == StatusCode::UNAUTHORIZED => {
            let problem: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
            let reason = text(&problem, "type").rsplit('/').next().unwrap_or_default().to_owned();
            (401, format!("{method} {url} without a token: 401 {reason}, as it should be"))
        }
        Ok(answer) => {
            let status = answer.status().as_u16();
            (
                status,
                format!(
                    "{method} {url} without a token: {status}, and 401 is expected; does the gateway fetch from here (`gateway.management`)?"
                ),
            )
        }
        Err(error) => (0, format!("{method} {url}: {error}")),
    };
    Some(json!({"method": method, "url": url, "status": status, "text": words}))
}
