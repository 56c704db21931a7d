//! The entitlement system of development mode: one caller for each part that asks.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use axum::body::Body;
use base::time::Stopwatch;
use base::{Secret, handle, random};
use http::{Request, header};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::folder::Folder;
use crate::config::entitlement::{Caller, DecisionLog, Entitlement, Right};
use crate::config::{Database, Reference};
use crate::wire::{self, Roles};

/// Name and rights; the secret lies in the folder under the name.
const CALLERS: &[(&str, &[Right])] = &[
    ("gateway", &[Right::Evaluate, Right::Snapshot]),
    ("identity", &[Right::Evaluate]),
    ("console", &[Right::Read, Right::Administer]),
];

pub struct Shown {
    pub name: &'static str,
    pub secret: Secret<String>,
}

pub fn secret_file(caller: &str) -> String {
    format!("secrets/entitlement.{caller}.caller")
}

/// Their secrets, made at the first start.
pub fn callers(folder: &Folder) -> anyhow::Result<Vec<Shown>> {
    let make = || handle::encode("cap_", &random::bytes::<32>());
    let shown = |name: &'static str| Ok(Shown { name, secret: folder.secret(&secret_file(name), make)? });
    CALLERS.iter().map(|(name, _)| shown(name)).collect()
}

pub fn config(url: &str, callers: &[Shown], folder: &Folder) -> anyhow::Result<entitlement::Config> {
    let rights = |name: &str| CALLERS.iter().find(|(known, _)| *known == name).map(|(_, rights)| rights.to_vec());
    let caller = |shown: &Shown| Caller {
        name: shown.name.to_owned(),
        secret: Reference::File(folder.at(&secret_file(shown.name))),
        rights: rights(shown.name).unwrap_or_default(),
    };
    let section = Entitlement {
        url: url.to_owned(),
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        database: Database::Sqlite,
        callers: callers.iter().map(caller).collect(),
        source: None,
        log: DecisionLog::default(),
    };
    wire::entitlement_config(&section, &folder.at(""))
}

/// What the sample may do, so that a policy is there to be read and changed.
const STARTER: &str = "\
// Made by `cardea dev` at its first start. Write your own, with tests, and put them in force: cardea policy publish DIR
@id(\"token-holders-call\")
permit (principal, action == Action::\"call\", resource);

// Asked at each issue; here it is only written down what would have come of it.
@id(\"tokens-are-issued\")
permit (principal, action in [Action::\"issue_token\", Action::\"grant_scope\"], resource);
";

/// Publishes the starter where nothing was ever published, over the administration interface.
pub async fn starter(roles: &Roles) -> anyhow::Result<()> {
    let Some(entitlement) = &roles.entitlement else { return Ok(()) };
    if entitlement.in_force().await.context("the policies in force cannot be used")? != 0 {
        return Ok(());
    }
    let test = json!({
        "name": "hello-app calls echo",
        "question": {
            "subject": {"type": "client", "id": "hello-app"}, "action": {"name": "call"},
            "resource": {"type": "operation", "id": "echo/echo", "properties": {"api": "echo"}},
        },
        "expect": "allow",
    });
    let draft = json!({
        "source": {"files": [{"name": "starter.cedar", "text": STARTER}]},
        "tests": {"tests": [test]}, "comment": "for the sample",
    });
    let made = administer(roles, "/admin/v1/policies/versions", &draft).await?;
    let version = made.get("version").and_then(Value::as_i64).unwrap_or_default();
    administer(roles, &format!("/admin/v1/policies/versions/{version}/publish"), &json!({})).await?;
    Ok(())
}

async fn administer(roles: &Roles, path: &str, body: &Value) -> anyhow::Result<Value> {
    let entitlement = roles.entitlement.clone().context("the entitlement system did not start")?;
    let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
    let mut request = request.body(Body::from(body.to_string()))?;
    request.extensions_mut().insert(entitlement::Operator::new("dev"));
    let response = entitlement::router::admin(entitlement).oneshot(request).await?;
    let status = response.status();
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await?;
    ensure!(status.is_success(), "the starting policies are refused: {}", String::from_utf8_lossy(&bytes));
    Ok(serde_json::from_slice(&bytes)?)
}

/// The gateway hears its policies in a moment; whoever reads that all is ready shall not be refused for that moment.
pub async fn heard(roles: &Roles) {
    let waited = Stopwatch::start();
    while waited.elapsed() < Duration::from_secs(2) {
        let known = |check: &gateway::Check| check.ok || !check.name.starts_with("policies ");
        if roles.gateway.as_ref().is_none_or(|gateway| gateway.ready().checks.iter().all(known)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
