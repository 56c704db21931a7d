//! Registration over the router, as a registrar and its applications meet it.

mod idempotency;
mod managing;
mod registering;
mod registrars;
mod statements;

use axum::body::Body;
use base::scope::Scopes;
use http::Method;
use serde_json::{Value, json};

use super::Policy;
use crate::clients::{ClientSpec, GrantType};
use crate::scopes::Audiences;
use crate::tests::actors::{Answer, Caller, ORDERS, request};
use crate::tests::platform::Platform;

/// A registrar, and the token it registers with.
pub struct Portal {
    pub caller: Caller,
    pub token: String,
}

pub fn portal_spec(id: &str) -> ClientSpec {
    ClientSpec {
        grant_types: vec![GrantType::ClientCredentials],
        registrar: true,
        registration: Some(Policy {
            scopes: Scopes::parse("orders_read stock_read").unwrap(),
            audiences: Audiences::one(ORDERS),
            ..Policy::default()
        }),
        ..ClientSpec::named(id)
    }
}

impl Platform {
    pub async fn portal(&self, spec: &ClientSpec) -> Portal {
        let caller = self.client(spec).await;
        let token = self.register_token(&caller).await;
        Portal { caller, token }
    }

    pub async fn register_token(&self, caller: &Caller) -> String {
        let form = [("grant_type", "client_credentials"), ("scope", "client.register")];
        self.post_as(caller, "/token", &form).await.text("access_token")
    }

    /// A JSON request with a bearer token, and further headers.
    pub async fn json(
        &self,
        method: Method,
        path: &str,
        token: &str,
        more: &[(&'static str, &str)],
        body: &Value,
    ) -> Answer {
        let bearer = format!("Bearer {token}");
        let mut headers = vec![("content-type", "application/json"), ("authorization", bearer.as_str())];
        if token.is_empty() {
            headers.pop();
        }
        headers.extend_from_slice(more);
        self.send(request(method, path, &headers, Body::from(body.to_string()))).await
    }

    pub async fn register(&self, token: &str, body: &Value) -> Answer {
        self.json(Method::POST, "/register", token, &[], body).await
    }

    pub async fn register_once(&self, token: &str, key: &str, body: &Value) -> Answer {
        self.json(Method::POST, "/register", token, &[("idempotency-key", key)], body).await
    }

    pub async fn manage(&self, method: Method, app: &Answer, token: &str, body: &Value) -> Answer {
        self.json(method, &format!("/register/{}", app.text("client_id")), token, &[], body).await
    }

    pub async fn app(&self, portal: &Portal) -> Answer {
        let answer = self.register(&portal.token, &application()).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer
    }
}

/// A good request; tests change one thing of it.
pub fn application() -> Value {
    json!({
        "client_name": "Weather",
        "redirect_uris": ["https://weather.example/callback"],
        "grant_types": ["authorization_code", "refresh_token", "client_credentials"],
        "scope": "openid stock_read",
        "software_id": "app-1",
    })
}

pub fn with(name: &str, value: Value) -> Value {
    let mut body = application();
    body[name] = value;
    body
}

/// The application that was registered, as it calls.
pub fn caller(app: &Answer) -> Caller {
    Caller { id: app.text("client_id"), secret: Some(app.text("client_secret")) }
}
