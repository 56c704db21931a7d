//! The whole gateway on the loopback: sockets in, sockets out, a token service over HTTP.

use std::net::SocketAddr;
use std::sync::Arc;

use base::SystemClock;
use base::peer::HttpPeer;
use http::{HeaderValue, Response};
use jose::{Algorithm, SigningKey};
use serde_json::json;
use tempfile::TempDir;
use testkit::http::{HttpUpstream, RawConnection, RawMessage, whole};

use crate::edge::{EdgeConfig, Limits, Listener, Running, listen, serve};
use crate::{Gateway, GatewayConfig};

const TOKEN: &str = "wire-token-0001";

struct Wire {
    running: Running,
    service: HttpUpstream,
    issuer: HttpUpstream,
    jwt: String,
    _folder: TempDir,
}

/// A token service whose one token is for `https://orders.internal`.
async fn issuer() -> (HttpUpstream, String) {
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let jwks = json!({"keys": [key.public_jwk()]}).to_string();
    let now = base::Clock::now(&SystemClock::default()).seconds();
    // The issuer's address is in the token, so a socket is needed before it can be signed.
    let told = Arc::new(std::sync::OnceLock::<(String, String)>::new());
    let script = Arc::clone(&told);
    let server = HttpUpstream::start(move |seen| {
        let (url, jwt) = script.get().unwrap();
        let mut response = match seen.uri.path() {
            "/.well-known/openid-configuration" => Response::new(whole(
                json!({"issuer": url, "jwks_uri": format!("{url}/jwks"), "introspection_endpoint": format!("{url}/introspect")}).to_string(),
            )),
            "/jwks" => Response::new(whole(jwks.clone())),
            "/introspect" if seen.body.as_ref().is_some_and(|body| body.starts_with(b"token=wire-token-0001&")) => {
                Response::new(whole(jwt.clone()))
            }
            _ => Response::builder().status(204).body(whole("")).unwrap(),
        };
        if seen.uri.path() == "/introspect" {
            response.headers_mut().insert("content-type", HeaderValue::from_static("application/jwt"));
        }
        response
    })
    .await;
    let claims = json!({
        "iss": server.url(), "aud": "https://orders.internal", "sub": "alice", "client_id": "shop", "scope": "orders_read",
        "iat": now, "exp": now + 600,
    });
    let jwt = key.sign("at+jwt", &claims).unwrap();
    told.set((server.url(), jwt.clone())).unwrap();
    (server, jwt)
}

impl Wire {
    async fn start() -> Self {
        let (issuer, jwt) = issuer().await;
        // A service that tells everything it was sent, in the answer's head, too.
        let service = HttpUpstream::start(|seen| {
            let mut response = Response::new(whole(seen.body.clone().unwrap_or_default()));
            for (name, value) in [("x-echo", "authorization"), ("x-plain", "cookie")] {
                if let Some(value) = seen.headers.get(value) {
                    response.headers_mut().insert(name, value.clone());
                }
            }
            response
        })
        .await;
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("gateway.secret"), "secret").unwrap();
        let (issuer_url, service_url) = (issuer.url(), service.url());
        let resources = format!(
            "kind: Issuer
name: main
spec: {{ issuer: '{issuer_url}', introspection: {{ as: gateway, secret: file:gateway.secret }} }}
---
kind: Upstream
name: pool
spec: {{ endpoints: ['{service_url}'] }}
---
kind: Upstream
name: gone
spec: {{ endpoints: ['http://127.0.0.1:1'] }}
---
kind: Service
name: orders
spec: {{ upstream: pool, audience: https://orders.internal, maxBody: 16 }}
---
kind: Service
name: gone
spec: {{ upstream: gone, cors: {{ origins: [https://app.test] }} }}
---
kind: Route
name: orders
spec: {{ match: {{ path: /orders/{{id}} }}, service: orders, auth: {{ issuer: main, scopes: [orders_read] }} }}
---
kind: Route
name: gone
spec: {{ match: {{ path: /gone }}, service: gone, auth: none }}
"
        );
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
        let config =
            EdgeConfig { workers: 2, limits: Limits::default(), trusted_proxies: vec![], clock: SystemClock::shared() };
        let socket = listen(SocketAddr::from(([127, 0, 0, 1], 0)), false).unwrap();
        let running = serve(config, vec![Listener { socket, tls: None }], gateway).unwrap();
        Self { running, service, issuer, jwt, _folder: folder }
    }

    async fn ask(&self, request: &str) -> RawMessage {
        RawConnection::connect(self.running.local_addrs()[0]).await.ask(request).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_stays_before_the_gateway_and_the_jwt_behind_it() {
    let wire = Wire::start().await;

    let request = format!(
        "POST /orders/%34%32?q=1 HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer {TOKEN}\r\nCookie: c=1\r\nX-User: mallory\r\nX_Forwarded_For: 1.1.1.1\r\nContent-Length: 5\r\n\r\nhello"
    );
    let answers = [wire.ask(&request).await, wire.ask(&request).await];

    for answer in &answers {
        assert_eq!((answer.status(), answer.text().as_str()), (200, "hello"));
        assert_eq!(answer.field("x-plain"), ["c=1"]);
        assert!(!answer.head.contains(&wire.jwt) && answer.field("x-echo").is_empty());
        assert_eq!(answer.field("x-request-id").len(), 1);
    }
    let seen = wire.service.seen();
    assert_eq!(seen.len(), 2);
    for request in &seen {
        assert_eq!(request.uri.to_string(), "/orders/42?q=1");
        assert_eq!(request.headers["authorization"], format!("Bearer {}", wire.jwt));
        let text = format!("{request:?}");
        assert!(!text.contains(TOKEN) && !text.contains("mallory") && !text.contains("1.1.1.1"), "{text}");
    }
    let questions = wire.issuer.seen().iter().filter(|seen| seen.uri.path() == "/introspect").count();
    assert_eq!(questions, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_denied_reaches_no_service() {
    let wire = Wire::start().await;
    let with = |head: &str| format!("GET /orders/1 HTTP/1.1\r\nHost: api.test\r\n{head}\r\n");

    for (head, status) in [
        ("", 401),
        ("Authorization: Bearer unknown\r\n", 401),
        ("Authorization: Basic Bearer wire-token-0001\r\n", 401),
        ("Authorization: Bearer wire-token-0001\r\nAuthorization: Bearer wire-token-0001\r\n", 400),
    ] {
        let answer = wire.ask(&with(head)).await;
        assert_eq!(answer.status(), status, "{head}");
        assert_eq!(answer.field("content-type"), ["application/problem+json"]);
    }
    let too_large =
        format!("POST /orders/1 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 17\r\n\r\n");
    assert_eq!(wire.ask(&too_large).await.status(), 413);
    assert!(wire.service.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_behind_is_readable_for_an_allowed_origin() {
    let wire = Wire::start().await;

    let answer = wire.ask("GET /gone HTTP/1.1\r\nHost: a\r\nOrigin: https://app.test\r\n\r\n").await;

    assert_eq!(answer.status(), 502);
    assert_eq!(answer.field("access-control-allow-origin"), ["https://app.test"]);
    assert_eq!(answer.field("x-request-id").len(), 1);
}
