//! Compositions on the loopback: the whole gateway, a token service that knows any user, scripted backends.

mod bodies;
mod letting_in;
mod missing;
mod users;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base::SystemClock;
use base::peer::HttpPeer;
use http::{HeaderMap, HeaderValue, Response};
use jose::{Algorithm, SigningKey};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::http::{AnyBody, HttpUpstream, RawConnection, RawMessage, RawUpstream, Seen, whole};
use tokio::sync::Notify;

use crate::edge::{EdgeConfig, Limits, Listener, Running, listen, serve};
use crate::{Gateway, GatewayConfig};

/// Who is told what by the token service: `token-NAME` is the token of NAME.
struct TokenService {
    server: HttpUpstream,
    exchanges: Arc<AtomicUsize>,
}

impl TokenService {
    async fn start() -> Self {
        let key = SigningKey::generate(Algorithm::Es256).unwrap();
        let jwks = json!({"keys": [key.public_jwk()]}).to_string();
        // The issuer's address is in its tokens, so a socket is needed before they can be signed.
        let own_url = Arc::new(std::sync::OnceLock::<String>::new());
        let told = Arc::clone(&own_url);
        let exchanges = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&exchanges);
        let server = HttpUpstream::start(move |seen| {
            let url = told.get().unwrap();
            match seen.uri.path() {
                "/.well-known/openid-configuration" => json_answer(&json!({
                    "issuer": url, "jwks_uri": format!("{url}/jwks"), "introspection_endpoint": format!("{url}/introspect"),
                })),
                "/jwks" => Response::new(whole(jwks.clone())),
                "/introspect" => {
                    let name = form(seen).remove("token").unwrap().split_off("token-".len());
                    let now = base::Clock::now(&SystemClock::default()).seconds();
                    let claims = json!({
                        "iss": url, "aud": "https://page.internal", "sub": name, "client_id": "shop", "scope": "page_read",
                        "iat": now, "exp": now + 600, "name": format!("Name of {name}"),
                    });
                    let mut response = Response::new(whole(key.sign("at+jwt", &claims).unwrap()));
                    response.headers_mut().insert("content-type", HeaderValue::from_static("application/jwt"));
                    response
                }
                "/token" => {
                    counted.fetch_add(1, Ordering::SeqCst);
                    let form = form(seen);
                    let whose = form.get("subject_token").map_or("gateway".to_owned(), |jwt| claim(jwt, "sub"));
                    let token = format!("for-{}-at-{}", whose, form["audience"]);
                    json_answer(&json!({"access_token": token, "token_type": "Bearer", "expires_in": 300}))
                }
                path => panic!("nobody asks for {path}"),
            }
        })
        .await;
        own_url.set(server.url()).unwrap();
        Self { server, exchanges }
    }
}

fn form(seen: &Seen) -> HashMap<String, String> {
    serde_urlencoded::from_bytes(seen.body.as_deref().unwrap_or_default()).unwrap()
}

/// A claim of a JWT, without a look at its signature.
fn claim(jwt: &str, name: &str) -> String {
    use base64::Engine as _;
    let part = jwt.split('.').nth(1).unwrap();
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap();
    serde_json::from_slice::<Value>(&claims).unwrap()[name].as_str().unwrap().to_owned()
}

fn bearer(headers: &HeaderMap) -> String {
    let value = headers.get("authorization").map_or("", |value| value.to_str().unwrap());
    value.strip_prefix("Bearer ").unwrap_or_default().to_owned()
}

fn json_answer(value: &Value) -> Response<AnyBody> {
    Response::builder().header("content-type", "application/json").body(whole(value.to_string())).unwrap()
}

/// Says whose request it was and where it went.
async fn telling() -> HttpUpstream {
    HttpUpstream::start(|seen| {
        let mut response = json_answer(&json!({
            "sub": claim(&bearer(&seen.headers), "sub"), "path": seen.uri.to_string(), "items": [1, 2, 3],
        }));
        response.headers_mut().insert("x-echo", seen.headers["authorization"].clone());
        response
    })
    .await
}

struct House {
    running: Running,
    gateway: Arc<Gateway>,
    issuer: TokenService,
    _folder: TempDir,
}

impl House {
    /// `backends`: name and address of each; service and upstream have the same name.
    async fn start(backends: &[(&str, String)], compositions: &str) -> Self {
        let issuer = TokenService::start().await;
        let issuer_url = issuer.server.url();
        let mut resources = format!(
            "kind: Issuer\nname: main\nspec: {{ issuer: '{issuer_url}', introspection: {{ as: gateway, secret: file:secret, maxConcurrent: 1000 }} }}\n"
        );
        for (name, url) in backends {
            resources += &format!("---\nkind: Upstream\nname: {name}\nspec: {{ endpoints: ['{url}'] }}\n");
            resources += &format!("---\nkind: Service\nname: {name}\nspec: {{ upstream: {name}, pathPrefix: /v1 }}\n");
        }
        resources += &format!("---\n{}", compositions.trim_start().replace("ISSUER", &issuer_url));
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("secret"), "secret").unwrap();
        std::fs::write(folder.path().join("set.yaml"), resources).unwrap();
        let gateway = Gateway::new(GatewayConfig {
            data_dir: folder.path().join("data"),
            resources: Some(folder.path().join("set.yaml")),
            public_url: "https://api.test".to_owned(),
            peer: HttpPeer::shared(),
            clock: SystemClock::shared(),
            runtime: tokio::runtime::Handle::current(),
            environment: Arc::new(|_| None),
            management: None,
            usage: crate::UsageConfig::default(),
        })
        .unwrap();
        assert!(gateway.version().is_some(), "{:?}", gateway.reload());
        let config =
            EdgeConfig { workers: 2, limits: Limits::default(), trusted_proxies: vec![], clock: SystemClock::shared() };
        let socket = listen(SocketAddr::from(([127, 0, 0, 1], 0)), false).unwrap();
        let running = serve(config, vec![Listener { socket, tls: None }], Arc::clone(&gateway)).unwrap();
        Self { running, gateway, issuer, _folder: folder }
    }

    async fn connect(&self) -> RawConnection {
        RawConnection::connect(self.running.local_addrs()[0]).await
    }

    async fn ask(&self, request: &str) -> RawMessage {
        self.connect().await.ask(request).await
    }

    async fn get(&self, path: &str, user: &str) -> RawMessage {
        self.ask(&request(path, user)).await
    }
}

fn request(path: &str, user: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer token-{user}\r\n\r\n")
}

fn body(answer: &RawMessage) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("{}", answer.text()))
}

fn slug(answer: &RawMessage) -> String {
    body(answer)["type"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()
}

/// Takes requests and never answers; tells when one has come and when its connection is gone.
struct Silent {
    server: RawUpstream,
    came: Arc<Notify>,
    went: Arc<Notify>,
}

impl Silent {
    async fn start() -> Self {
        let (came, went) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (tell_came, tell_went) = (Arc::clone(&came), Arc::clone(&went));
        let server = RawUpstream::start(move |_, mut connection| {
            let (came, went) = (Arc::clone(&tell_came), Arc::clone(&tell_went));
            async move {
                if connection.head().await.is_some() {
                    came.notify_one();
                    connection.rest().await;
                    went.notify_one();
                }
            }
        })
        .await;
        Self { server, came, went }
    }
}

/// An address that takes no connection.
fn dead() -> String {
    let socket = listen(SocketAddr::from(([127, 0, 0, 1], 0)), false).unwrap();
    format!("http://{}", socket.local_addr().unwrap())
}
