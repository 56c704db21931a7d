//! `cardea token`: an access token by client_credentials (RFC 6749 §4.4), and the end of one.

use base::Secret;
use base::peer::{HttpPeer, Limits, Peer as _};
use bytes::Bytes;
use clap::{Args, Subcommand};
use http::{HeaderValue, Request, header};
use serde_json::{Value, json};

use super::connection::Connection;
use super::text;
use crate::api;
use crate::config::Reference;
use crate::exit::{Exit, Failure, usage};
use crate::out::Out;
use crate::roles::Role;

const LIMITS: Limits = Limits { time: std::time::Duration::from_secs(15), body_bytes: 1 << 20 };

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Token {
    #[command(subcommand)]
    act: Option<Act>,
    /// The client that the token is for
    #[arg(required = true)]
    client: Option<String>,
    /// Scopes to ask for
    #[arg(long)]
    scope: Vec<String>,
    /// The resource server that the token is for (RFC 8707)
    #[arg(long, value_name = "URI")]
    resource: Vec<String>,
    /// The issuer; without it the `cardea dev` of this folder
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// The client's secret, by reference; `cardea dev` keeps those of its sample
    #[arg(long, value_name = "file:PATH|env:NAME")]
    secret: Option<Reference>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Revoke an access or refresh token, read from stdin if it is not given
    Revoke { token: Option<String> },
}

impl Token {
    pub async fn run(self, out: Out) -> anyhow::Result<Exit> {
        if let Some(Act::Revoke { token }) = &self.act {
            return self.revoke(out, token.clone()).await;
        }
        let client = self.client.clone().ok_or_else(|| usage("which client?"))?;
        let (issuer, secret) = self.authority(&client)?;
        let client = match (&self.issuer, self.connection.instance()?) {
            (None, Some(instance)) => instance.client_id(&client),
            _ => client,
        };
        let peer = HttpPeer::new(None);
        let endpoint = token_endpoint(&peer, &issuer).await?;
        let answer = ask(&peer, &endpoint, &self.form(), &client, &secret).await?;
        let token = text(&answer, "access_token");
        out.done(&answer, token)?;
        Ok(Exit::Done)
    }

    async fn revoke(&self, out: Out, token: Option<String>) -> anyhow::Result<Exit> {
        let token = match token {
            Some(token) => token,
            None => std::io::read_to_string(std::io::stdin())?.trim().to_owned(),
        };
        let server = self.connection.with(Role::Identity).await?;
        let answer = server.post("/admin/v1/tokens/revoke", &json!({"token": token})).await?;
        out.done(&answer, "revoked")?;
        Ok(Exit::Done)
    }

    fn authority(&self, client: &str) -> anyhow::Result<(String, Secret<String>)> {
        let instance = self.connection.instance()?;
        let issuer = self.issuer.clone().or_else(|| instance.as_ref().map(|instance| instance.issuer.clone()));
        let issuer = issuer.ok_or_else(|| {
            Failure::new(Exit::Unreachable, "no issuer is named, and no `cardea dev` has run here")
                .hint("start one with `cardea dev`, or give --issuer and --secret")
        })?;
        let secret = match (&self.secret, &self.issuer, &instance) {
            (Some(reference), _, _) => reference.read_text()?,
            (None, None, Some(instance)) => instance.client_secret(client)?,
            _ => return Err(usage("the secret of the client is missing").hint("give --secret file:PATH").into()),
        };
        Ok((issuer, secret))
    }

    fn form(&self) -> String {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        if !self.scope.is_empty() {
            form.append_pair("scope", &self.scope.join(" "));
        }
        for resource in &self.resource {
            form.append_pair("resource", resource);
        }
        form.finish()
    }
}

/// From the issuer's metadata (OpenID Connect Discovery 1.0 §4).
async fn token_endpoint(peer: &HttpPeer, issuer: &str) -> anyhow::Result<String> {
    let request = Request::get(format!("{issuer}/.well-known/openid-configuration")).body(Bytes::new())?;
    let response = peer.call(request, LIMITS).await.map_err(|error| api::unreachable(issuer, &error))?;
    let metadata: Value = serde_json::from_slice(response.body()).unwrap_or_default();
    let endpoint = text(&metadata, "token_endpoint");
    if endpoint.is_empty() || text(&metadata, "issuer") != issuer {
        let message = format!("{issuer} does not answer like an authorization server of that name");
        return Err(Failure::new(Exit::Unreachable, message).into());
    }
    Ok(endpoint)
}

async fn ask(
    peer: &HttpPeer,
    endpoint: &str,
    form: &str,
    client: &str,
    secret: &Secret<String>,
) -> anyhow::Result<Value> {
    let mut basic = HeaderValue::try_from(basic(client, secret))?;
    basic.set_sensitive(true);
    let request = Request::post(endpoint)
        .header(header::AUTHORIZATION, basic)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::ACCEPT, "application/json")
        .body(Bytes::from(form.to_owned()))?;
    let response = peer.call(request, LIMITS).await.map_err(|error| api::unreachable(endpoint, &error))?;
    let answer: Value = serde_json::from_slice(response.body()).unwrap_or_default();
    if response.status().is_success() {
        return Ok(answer);
    }
    let message = format!("{}: {}", text(&answer, "error"), text(&answer, "error_description"));
    let failure = Failure::new(Exit::Refused, message);
    Err(match text(&answer, "error").as_str() {
        "invalid_client" => failure.hint(format!("`cardea client show {client}` shows its secrets")),
        "invalid_scope" => failure.hint(format!("`cardea client show {client}` shows the scopes it may ask for")),
        _ => failure,
    }
    .into())
}

/// RFC 6749 §2.3.1: both halves are form-encoded before they are joined.
fn basic(client: &str, secret: &Secret<String>) -> String {
    let encoded = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!("{}:{}", encoded(client), encoded(secret.expose()));
    format!("Basic {}", base64::Engine::encode(&base64::engine::general_purpose::STANDARD, pair))
}
