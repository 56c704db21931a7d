//! The management system of development mode: portal and console, and the sample as a provider and a developer would
//! make it: an API is published with a plan, an application is registered at the identity system and subscribed.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use axum::body::Body;
use base::peer::SharedPeer;
use base::time::Stopwatch;
use base::{Secret, random};
use catalog::Verdict;
use gateway::Gateway;
use http::Request;
use http_body_util::BodyExt as _;
use identity::SharedIdentity;
use management::applications::{self, Application, Filter, Kind};
use management::{Cx, Operator, SharedManagement, people, plans, session, subscriptions};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::folder::Folder;
use super::{Instance, entitlement, sample};
use crate::config::management::{EntitlementPeer, GatewayCaller, Invoices, Registration, Usage};
use crate::config::{Database, Management, ManagementPeer, Reference};
use crate::wire;

/// What the gateway of this folder shows, and what opens what is sealed; the client's secret is made with the client.
const GATEWAY_TOKEN: &str = "secrets/gateway-management.token";
const MASTER_KEY: &str = "secrets/management.key";

/// How this folder's gateway finds it.
pub fn peer(instance: &Instance, folder: &Folder) -> ManagementPeer {
    let token = Reference::File(folder.at(GATEWAY_TOKEN));
    ManagementPeer { url: instance.portal.clone(), token, name: Some("dev".to_owned()) }
}

pub fn config(instance: &Instance, folder: &Folder, peer: SharedPeer) -> anyhow::Result<management::Config> {
    folder.secret(MASTER_KEY, random::text::<48>)?;
    folder.secret(GATEWAY_TOKEN, random::text::<32>)?;
    let secret = |name: &str| Reference::File(folder.at(name));
    let section = Management {
        url: instance.portal.clone(),
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        site: None,
        database: Database::Sqlite,
        master_key: secret(MASTER_KEY),
        issuer: instance.issuer.clone(),
        client_id: sample::PORTAL.to_owned(),
        client_secret: secret(&format!("secrets/{}.secret", sample::PORTAL)),
        registration: Registration::default(),
        gateways: vec![GatewayCaller { name: "dev".to_owned(), token: secret(GATEWAY_TOKEN) }],
        gateway_issuer: "main".to_owned(),
        gateway_url: instance.gateway.clone(),
        usage: Usage::default(),
        invoices: Invoices::default(),
        entitlement: Some(EntitlementPeer {
            url: instance.entitlement.clone(),
            secret: secret(&entitlement::secret_file("console")),
            timeout: None,
        }),
        trusted_proxies: Vec::new(),
        templates: None,
    };
    wire::management_config(&section, &folder.at(""), peer)
}

/// What was published last: where the sample service listened then.
const PUBLISHED: &str = "sample.published";
/// How long a start waits for what should take milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// Publishes the sample API and its plan by the interface that `cardea apply` uses; again only if ports have moved, so
/// that what the newcomer changes stays changed.
pub async fn publish(management: &SharedManagement, folder: &Folder, echo: &str) -> anyhow::Result<()> {
    if folder.kept(PUBLISHED)?.is_some_and(|kept| kept.expose() == echo) {
        return Ok(());
    }
    let set = json!({"resources": resources(echo), "allowBreaking": true});
    let mut request = Request::post("/management/v1/apply")
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(Body::from(set.to_string()))?;
    request.extensions_mut().insert(Operator("dev".to_owned()));
    let answer = management::router::operator(management.clone()).oneshot(request).await?;
    let status = answer.status();
    let text = answer.into_body().collect().await?.to_bytes();
    if !status.is_success() {
        bail!("the sample API is refused: {}", String::from_utf8_lossy(&text));
    }
    folder.write(PUBLISHED, echo)
}

fn resources(echo: &str) -> Vec<Value> {
    let document = |kind: &str, name: &str, spec: Value| json!({"kind": kind, "name": name, "spec": spec});
    vec![
        document("Upstream", "echo", json!({"endpoints": [echo]})),
        document(
            "Service",
            "echo",
            json!({
                "upstream": "echo",
                "audience": sample::AUDIENCE,
                "api": "echo",
                // So that the echo shows what it cost, and which token it was.
                "identity": {"tell": ["token-end", "plan"]},
            }),
        ),
        document(
            "Route",
            "echo",
            json!({
                "match": {"path": "/echo/{rest...}"},
                "service": "echo",
                "operation": "echo",
                "auth": {"issuer": "main", "scopes": [sample::SCOPE]},
                // What the entitlement system permits: `cardea policy versions 1` shows what was made for the sample.
                "policy": {"source": "central"},
            }),
        ),
        document(
            "Api",
            "echo",
            json!({
                "title": "Echo",
                "version": "1.0.0",
                "description": "Answers with what it saw of your request: the sample API of development mode.",
                "visibility": "public",
                // Who comes without a plan is served too: other samples and trials call it.
                "subscription": "optional",
                "openapi": openapi(),
            }),
        ),
        document(
            "Plan",
            PLAN,
            json!({
                "title": "Free 60/min",
                "description": "60 calls a minute, 10000 a month, for nothing.",
                "apis": ["echo"],
                "rate": {"requests": 60, "per": "1m"},
                "quota": {"requests": 10000, "per": "month"},
                "price": {"currency": "EUR", "tiers": [{"unit": "0"}]},
            }),
        ),
    ]
}

const PLAN: &str = "free";

fn openapi() -> Value {
    let seen = json!({"description": "What was seen", "content": {"application/json": {"schema": {"type": "object"}}}});
    let rest = json!({"name": "rest", "in": "path", "required": true, "schema": {"type": "string"}, "example": "hi"});
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Echo", "version": "1.0.0", "description": "Answers with what it saw of your request."},
        "paths": {"/echo/{rest}": {"get": {
            "operationId": "echo",
            "summary": "Hear your own echo",
            "parameters": [rest],
            "responses": {"200": seen},
            "security": [{"oauth": [sample::SCOPE]}],
        }}},
        "components": {"securitySchemes": {"oauth": {
            "type": "oauth2",
            "flows": {"clientCredentials": {
                "tokenUrl": "/token",
                "scopes": {(sample::SCOPE): "Hear your own echo"},
            }},
        }}},
    })
}

/// The sample application, as a developer has it.
pub struct App {
    pub client: String,
    pub secret: Secret<String>,
}

/// Dana's organisation and its application: registered at the identity system, subscribed to the plan; its secret is
/// shown to this folder, once.
pub async fn application(
    management: &SharedManagement,
    identity: &SharedIdentity,
    folder: &Folder,
) -> anyhow::Result<App> {
    let refused = |error: management::Refused| anyhow!("the sample application is refused: {error}");
    let subject = sample::subject(identity).await?.context("the sample user is gone")?;
    let mut cx = Cx::system(management);
    let issuer = identity.config.issuer.clone();
    let dana =
        people::arrive(&mut cx, &issuer, &subject, "Dana Example", Some("dana@example.com")).await.map_err(refused)?;
    cx.commit().await?;
    let own = dana.memberships.iter().find(|member| member.role == management::actor::Role::Owner);
    let organisation = own.map(|member| member.organisation.clone()).context("the sample user owns nothing")?;
    let found = find(management, &organisation).await.map_err(refused)?;
    let id = match found {
        Some(found) => found.id,
        None => make(management, &organisation).await.map_err(refused)?,
    };
    let client = registered(management, &id).await?;
    let (name, secret) = (format!("{}.id", sample::CLIENT), format!("secrets/{}.secret", sample::CLIENT));
    if folder.kept(&name)?.is_none_or(|kept| *kept.expose() != client) {
        let taken = take(management, &id).await.map_err(refused)?.context("the secret of the sample application")?;
        sample::describe(identity, &client).await?;
        folder.keep(&secret, &taken)?;
        folder.keep(&name, &Secret::new(client.clone()))?;
    }
    let secret = folder.kept(&secret)?.context("the secret of the sample application is gone")?;
    Ok(App { client, secret })
}

async fn find(management: &SharedManagement, organisation: &str) -> Result<Option<Application>, management::Refused> {
    let filter = Filter { organisation: Some(organisation.to_owned()), ..Filter::default() };
    let all = applications::list(&mut Cx::system(management), &filter, 100).await?;
    Ok(all.into_iter().find(|application| application.name == sample::CLIENT))
}

async fn make(management: &SharedManagement, organisation: &str) -> Result<String, management::Refused> {
    let mut cx = Cx::system(management);
    let wanted = applications::Wanted {
        name: sample::CLIENT.to_owned(),
        kind: Kind::Service,
        redirect_uris: Vec::new(),
        scopes: vec![sample::SCOPE.to_owned(), sample::ACCOUNT.to_owned()],
    };
    let made = applications::create(&mut cx, organisation, &wanted).await?;
    if plans::find(&mut cx, PLAN).await?.is_some() {
        let wanted = subscriptions::Wanted {
            organisation: organisation.to_owned(),
            application: made.id.clone(),
            client: None,
            plan: PLAN.to_owned(),
            note: None,
        };
        subscriptions::request(&mut cx, wanted).await?;
    }
    cx.commit().await?;
    applications::go_on(management, &made.id).await?;
    Ok(made.id)
}

/// Waits for the identity system's answer.
async fn registered(management: &SharedManagement, id: &str) -> anyhow::Result<String> {
    let waiting = Stopwatch::start();
    loop {
        let found = applications::find(&mut Cx::system(management), id).await.map_err(|error| anyhow!("{error}"))?;
        let found = found.context("the sample application is gone")?;
        if let Some(client) = found.client {
            return Ok(client);
        }
        if waiting.elapsed() > PATIENCE {
            bail!("the sample application is not registered: {}", found.error.unwrap_or_default());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The secret that nobody has seen; if a start that was broken off has seen it, another one.
async fn take(management: &SharedManagement, id: &str) -> Result<Option<Secret<String>>, management::Refused> {
    for _ in 0..2 {
        let mut cx = Cx::system(management);
        if let Some(taken) = applications::take_credentials(&mut cx, id).await? {
            cx.commit().await?;
            return Ok(Some(taken.secret));
        }
        let mut cx = Cx::system(management);
        applications::rotate(&mut cx, id, None).await?;
        cx.commit().await?;
        applications::go_on(management, id).await?;
    }
    Ok(None)
}

/// Opens the console signed in, once, within ten minutes.
pub async fn console_link(management: &SharedManagement) -> anyhow::Result<String> {
    let mut cx = Cx::system(management);
    let link = session::link::make(&mut cx).await.map_err(|error| anyhow!("no link to the console: {error}"))?;
    cx.commit().await?;
    Ok(link)
}

/// What is published is at the gateway within moments; the lines to copy are shown after that.
pub async fn until_served(gateway: Option<&Gateway>) {
    let waiting = Stopwatch::start();
    let served = |gateway: &Gateway| {
        let explained = gateway.explain("GET", "localhost", "/echo/hi");
        explained.is_some_and(|explained| matches!(explained.verdict, Verdict::Route(_)))
    };
    while gateway.is_some_and(|gateway| !served(gateway)) && waiting.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
