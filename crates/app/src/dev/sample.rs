//! The sample at the identity system: the resource server of the API `echo`, a user `dana`, and the clients of our own
//! parts. The API itself and the application `hello-app` come by the management system.

use anyhow::{Context as _, anyhow};
use base::Secret;
use base::ids::{ClientId, RequestId};
use identity::admin::{self, Document};
use identity::cx::Actor;
use identity::{Cx, SharedIdentity, accounts, clients};
use serde_json::json;

use super::folder::Folder;

pub const AUDIENCE: &str = "https://echo.internal";
pub const SCOPE: &str = "echo.read";
/// Brings a claim: who has no account number does not get it.
pub const ACCOUNT: &str = "echo.account";
pub const CLIENT: &str = "hello-app";
pub const GATEWAY: &str = "gateway";
pub const PORTAL: &str = "portal";
pub const USER: &str = "dana";

/// What people and scripts are shown of it.
pub struct Sample {
    pub gateway_secret: Secret<String>,
    pub password: Secret<String>,
}

/// Made on the first start, kept on the next ones. What the newcomer has changed since stays changed.
pub async fn prepare(identity: &SharedIdentity, folder: &Folder, portal: &str) -> anyhow::Result<Sample> {
    let random = || base::random::text::<32>();
    let portal_secret = folder.secret(&format!("secrets/{PORTAL}.secret"), random)?;
    let sample = Sample {
        gateway_secret: folder.secret(&format!("secrets/{GATEWAY}.secret"), random)?,
        password: folder.secret(&format!("secrets/{USER}.password"), password)?,
    };
    let mut cx = begin(identity);
    let mut documents = missing(&mut cx, documents()).await?;
    documents.extend(of_portal(portal));
    let changes = admin::apply(&mut cx, &documents, false).await;
    changes.map_err(|error| anyhow!("the sample is refused: {error:?}"))?;
    let secrets = [(GATEWAY, &sample.gateway_secret), (PORTAL, &portal_secret)];
    for (client, secret) in secrets {
        clients::ensure_secret(&mut cx, &ClientId::from(client), secret).await.with_context(|| {
            format!("the secret of {client} cannot be set; `cardea client secret remove` makes room")
        })?;
    }
    cx.commit().await?;
    set_password(identity, &sample.password).await?;
    Ok(sample)
}

/// A new transaction, since hashing stands before the first write.
async fn set_password(identity: &SharedIdentity, password: &Secret<String>) -> anyhow::Result<()> {
    let mut cx = begin(identity);
    let Some(user) = accounts::find_by_username(&mut cx, USER).await? else { return Ok(()) };
    if accounts::password_of(&mut cx, &user.user_id).await?.is_none() {
        accounts::set_password(&mut cx, &user.user_id, password.clone()).await?;
        cx.commit().await?;
    }
    Ok(())
}

fn begin(identity: &SharedIdentity) -> Cx {
    let mut cx = Cx::new(identity, RequestId::random(), std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
    cx.actor = Actor::System;
    cx
}

async fn missing(cx: &mut Cx, documents: Vec<Document>) -> anyhow::Result<Vec<Document>> {
    let mut missing = Vec::new();
    for document in documents {
        let there = match document.kind.as_str() {
            "Client" => clients::find(cx, &ClientId::from(document.name.as_str())).await?.is_some(),
            "User" => accounts::find_by_username(cx, &document.name).await?.is_some(),
            "Scope" => identity::scopes::list(cx).await?.iter().any(|scope| scope.name == document.name),
            _ => identity::scopes::list_resource_servers(cx).await?.iter().any(|server| server.audience == AUDIENCE),
        };
        if !there {
            missing.push(document);
        }
    }
    Ok(missing)
}

fn documents() -> Vec<Document> {
    let document = |kind: &str, name: &str, spec| Document { kind: kind.to_owned(), name: name.to_owned(), spec };
    vec![
        document("ResourceServer", "echo", json!({"audience": AUDIENCE, "description": "The sample API"})),
        document("Scope", SCOPE, json!({"description": "Hear your own echo", "audience": AUDIENCE})),
        document(
            "Scope",
            ACCOUNT,
            json!({
                "description": "See your account number in the echo",
                "audience": AUDIENCE,
                "claims": {"account_nr": ["user.account_nr", "client.account_nr"]},
            }),
        ),
        document("Client", GATEWAY, json!({"displayName": "The gateway", "introspect": [AUDIENCE], "events": true})),
        document(
            "User",
            USER,
            json!({"name": "Dana Example", "email": "dana@example.com", "attributes": {"account_nr": "2024-0001"}}),
        ),
    ]
}

/// Brought to this state at each start, since ports may have moved: the portal is a relying party, registers
/// applications, and is a resource server itself (for the management interface).
fn of_portal(portal: &str) -> Vec<Document> {
    let document = |kind: &str, name: &str, spec| Document { kind: kind.to_owned(), name: name.to_owned(), spec };
    let client = json!({
        "displayName": "Portal",
        "grantTypes": ["authorization_code", "refresh_token", "client_credentials"],
        "redirectUris": [format!("{portal}/login/callback")],
        "postLogoutRedirectUris": [format!("{portal}/logged-out")],
        "scopes": ["openid", "profile", "email", "offline_access"],
        "consent": "implicit",
        "introspect": [portal],
        "events": true,
        "registrar": true,
        "registration": {"scopes": ["*"], "audiences": ["*"]},
    });
    vec![
        document(
            "ResourceServer",
            "management",
            json!({"audience": portal, "description": "The management interface"}),
        ),
        document(
            "Scope",
            "management",
            json!({"description": "Manage APIs, plans and applications in your name", "audience": portal}),
        ),
        document("Client", PORTAL, client),
    ]
}

/// The `sub` of the sample user.
pub async fn subject(identity: &SharedIdentity) -> anyhow::Result<Option<String>> {
    let user = accounts::find_by_username(&mut begin(identity), USER).await?;
    Ok(user.map(|user| user.user_id.as_str().to_owned()))
}

/// A fact about the application that the sample's scope brings as a claim: the operator's to say, not the developer's.
pub async fn describe(identity: &SharedIdentity, client: &str) -> anyhow::Result<()> {
    let mut cx = begin(identity);
    let Some(mut found) = clients::find(&mut cx, &ClientId::from(client)).await? else { return Ok(()) };
    found.spec.attributes.insert("account_nr".to_owned(), json!("4711-0815"));
    clients::apply(&mut cx, &found.spec).await.map_err(|error| anyhow!("the sample is refused: {error:?}"))?;
    cx.commit().await?;
    Ok(())
}

/// Ten words' worth of randomness that a person can still type.
fn password() -> String {
    let text = base::random::text::<15>().replace(['-', '_'], "x");
    let letters: Vec<char> = text.chars().collect();
    letters.chunks(5).map(|chunk| chunk.iter().collect::<String>()).collect::<Vec<_>>().join("-")
}

/// Rewritten at each start, since ports may have moved.
pub fn generated(issuer: &str, secret: &std::path::Path, entitlement: &str, caller: &std::path::Path) -> String {
    format!(
        "\
# Made by `cardea dev` at each start; changes here are lost. The sample API is published by the management system.
# Resources of your own go into other files of this folder: the gateway takes them at once.
kind: Issuer
name: main
spec:
  issuer: {issuer}
  introspection:
    as: {GATEWAY}
    secret: 'file:{secret}'
    cache: {{ maxTtl: 300s }}
    revocations: {{ maxLag: 5s }}
---
kind: PolicySource
name: central
spec:
  snapshot: {{ url: {entitlement}, secret: 'file:{caller}' }}
",
        secret = secret.display(),
        caller = caller.display(),
    )
}
