//! The sample: an API `echo`, an application `hello-app`, a user `dana`, and the gateway's own client.
//! Everything is an ordinary resource in a file that the newcomer finds, reads and changes.

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
pub const CLIENT: &str = "hello-app";
pub const GATEWAY: &str = "gateway";
pub const PORTAL: &str = "portal";
pub const USER: &str = "dana";

/// What people and scripts are shown of it.
pub struct Sample {
    pub client_secret: Secret<String>,
    pub gateway_secret: Secret<String>,
    pub password: Secret<String>,
}

/// Made on the first start, kept on the next ones. What the newcomer has changed since stays changed.
pub async fn prepare(identity: &SharedIdentity, folder: &Folder, portal: &str) -> anyhow::Result<Sample> {
    let random = || base::random::text::<32>();
    let portal_secret = folder.secret(&format!("secrets/{PORTAL}.secret"), random)?;
    let sample = Sample {
        client_secret: folder.secret(&format!("secrets/{CLIENT}.secret"), random)?,
        gateway_secret: folder.secret(&format!("secrets/{GATEWAY}.secret"), random)?,
        password: folder.secret(&format!("secrets/{USER}.password"), password)?,
    };
    let mut cx = begin(identity);
    let mut documents = missing(&mut cx, documents()).await?;
    documents.push(portal_client(portal));
    let changes = admin::apply(&mut cx, &documents, false).await;
    changes.map_err(|error| anyhow!("the sample is refused: {error:?}"))?;
    let secrets = [(CLIENT, &sample.client_secret), (GATEWAY, &sample.gateway_secret), (PORTAL, &portal_secret)];
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
        document(
            "Scope",
            SCOPE,
            json!({
                "description": "Hear your own echo, with your account number",
                "audience": AUDIENCE,
                "claims": {"account_nr": ["user.account_nr", "client.account_nr"]},
            }),
        ),
        document(
            "Client",
            CLIENT,
            json!({
                "displayName": "Hello app",
                "applicationType": "native",
                "grantTypes": ["client_credentials", "authorization_code", "refresh_token"],
                "redirectUris": ["http://127.0.0.1/callback"],
                "postLogoutRedirectUris": ["http://127.0.0.1/"],
                "scopes": ["openid", "profile", "email", "offline_access", SCOPE],
                "audiences": [AUDIENCE],
                "attributes": {"account_nr": "4711-0815"},
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

/// Brought to this state at each start, since ports may have moved.
fn portal_client(portal: &str) -> Document {
    let spec = json!({
        "displayName": "Portal",
        "grantTypes": ["authorization_code", "refresh_token", "client_credentials"],
        "redirectUris": [format!("{portal}/login/callback")],
        "postLogoutRedirectUris": [format!("{portal}/")],
        "scopes": ["openid", "profile", "email", "offline_access"],
        "consent": "implicit",
    });
    Document { kind: "Client".to_owned(), name: PORTAL.to_owned(), spec }
}

/// Ten words' worth of randomness that a person can still type.
fn password() -> String {
    let text = base::random::text::<15>().replace(['-', '_'], "x");
    let letters: Vec<char> = text.chars().collect();
    letters.chunks(5).map(|chunk| chunk.iter().collect::<String>()).collect::<Vec<_>>().join("-")
}

/// Rewritten at each start, since ports may have moved.
pub fn generated(
    issuer: &str,
    echo: &str,
    secret: &std::path::Path,
    entitlement: &str,
    caller: &std::path::Path,
) -> String {
    format!(
        "\
# Made by `cardea dev` at each start; changes here are lost. The API itself is in echo.yaml.
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
kind: Upstream
name: echo
spec:
  endpoints: ['{echo}']
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

/// Made once; then it is the newcomer's.
pub fn echo_yaml() -> String {
    format!(
        "\
# The sample API. Change it and save: the gateway takes it at once (`cardea explain GET /echo/hi` says how).
kind: Service
name: echo
spec:
  upstream: echo
  audience: {AUDIENCE}
---
kind: Route
name: echo
spec:
  match: {{ path: '/echo/{{rest...}}' }}
  service: echo
  auth:
    issuer: main
    scopes: [{SCOPE}]
  # What the entitlement system's policies permit: `cardea policy versions 1` shows those that were made for the sample.
  policy: {{ source: central }}
"
    )
}
