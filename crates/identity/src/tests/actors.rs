#![allow(dead_code, reason = "each test uses some of it")]

//! Who calls: clients and resource servers, by HTTP messages over the router.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::ConnectInfo;
use base::ids::{ClientId, GrantId, SessionId, UserId};
use base::scope::Scopes;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use jose::{Algorithm, Expected, KeySet, Verified};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tower::ServiceExt as _;

use super::platform::{ISSUER, Platform};
use crate::clients::{self, ClientSpec, GrantType};
use crate::codes::{self, CodeChallenge};
use crate::grants::{self, NewGrant};
use crate::router;
use crate::scopes::{self, Audiences, ScopeSpec};

pub const ORDERS: &str = "https://orders.internal";
pub const STOCK: &str = "https://stock.internal";
pub const CALLBACK: &str = "https://shop.example/callback";
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {} {}", self.status, self.body))
    }

    pub fn text(&self, member: &str) -> String {
        self.json()[member].as_str().unwrap_or_else(|| panic!("no {member}: {}", self.body)).to_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Status and `error`, to compare with what a wrong request deserves.
    pub fn error(&self) -> (u16, String) {
        (self.status.as_u16(), self.json()["error"].as_str().unwrap_or_default().to_owned())
    }
}

pub fn form(parameters: &[(&str, &str)]) -> String {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let pairs: Vec<String> = parameters.iter().map(|(k, v)| format!("{}={}", encoded(k), encoded(v))).collect();
    pairs.join("&")
}

/// A client with its secret, if it has one.
#[derive(Clone)]
pub struct Caller {
    pub id: String,
    pub secret: Option<String>,
}

impl Caller {
    pub fn basic(&self) -> String {
        format!("Basic {}", STANDARD.encode(format!("{}:{}", self.id, self.secret.as_deref().unwrap_or_default())))
    }
}

impl Platform {
    pub async fn send(&self, request: Request<Body>) -> Answer {
        let mut request = request;
        request.extensions_mut().insert(ConnectInfo::<SocketAddr>("192.0.2.7:4711".parse().unwrap()));
        let response = router::public(self.identity.clone()).oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, body: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    pub async fn get(&self, path: &str, headers: &[(&'static str, &str)]) -> Answer {
        self.send(request(Method::GET, path, headers, Body::empty())).await
    }

    /// A form, with the headers as given.
    pub async fn post(&self, path: &str, headers: &[(&'static str, &str)], parameters: &[(&str, &str)]) -> Answer {
        let mut all = vec![("content-type", "application/x-www-form-urlencoded")];
        all.extend_from_slice(headers);
        self.send(request(Method::POST, path, &all, Body::from(form(parameters)))).await
    }

    /// A form from a client that shows who it is, by Basic or by its `client_id`.
    pub async fn post_as(&self, by: &Caller, path: &str, parameters: &[(&str, &str)]) -> Answer {
        self.post_accepting(by, path, "*/*", parameters).await
    }

    pub async fn post_accepting(&self, by: &Caller, path: &str, accept: &str, parameters: &[(&str, &str)]) -> Answer {
        if by.secret.is_some() {
            self.post(path, &[("authorization", &by.basic()), ("accept", accept)], parameters).await
        } else {
            let mut with_id = vec![("client_id", by.id.as_str())];
            with_id.extend_from_slice(parameters);
            self.post(path, &[("accept", accept)], &with_id).await
        }
    }

    pub async fn client(&self, spec: &ClientSpec) -> Caller {
        self.apply(spec).await;
        let public = spec.token_endpoint_auth_method == clients::AuthMethod::None;
        let secret = if public { None } else { Some(self.secret_of(spec.client_id.as_str()).await) };
        Caller { id: spec.client_id.to_string(), secret }
    }

    pub async fn scope(&self, spec: Value) {
        let spec: ScopeSpec = serde_json::from_value(spec).unwrap();
        let mut cx = self.cx();
        scopes::apply(&mut cx, &spec).await.unwrap();
        cx.commit().await.unwrap();
    }

    /// Orders and stock with a scope each; a robot, a shop with users, and their two resource servers.
    pub async fn market(&self) -> Market {
        self.scope(serde_json::json!({
            "name": "orders_read", "audience": ORDERS, "claims": {"account_nr": "user.account_nr"}
        }))
        .await;
        self.scope(serde_json::json!({"name": "stock_read", "audience": STOCK})).await;
        let robot = ClientSpec {
            grant_types: vec![GrantType::ClientCredentials],
            scopes: Scopes::parse("stock_read").unwrap(),
            audiences: Audiences::one(ORDERS),
            ..ClientSpec::named("robot")
        };
        let guard = |id: &str, audiences: &[&str]| ClientSpec {
            introspect: audiences.iter().copied().collect(),
            events: true,
            ..ClientSpec::named(id)
        };
        Market {
            shop: self.client(&shop_spec()).await,
            robot: self.client(&robot).await,
            orders: self.client(&guard("orders", &[ORDERS])).await,
            stock: self.client(&guard("stock", &[STOCK])).await,
            gateway: self.client(&guard("gateway", &[ORDERS, STOCK])).await,
            alice: self
                .user(
                    "alice",
                    &serde_json::json!({
                        "name": "Alice", "email": "alice@example.org", "attributes": {"account_nr": "4711"}
                    }),
                )
                .await,
        }
    }

    /// What the authorization endpoint does once a user has agreed: a code for the shop.
    pub async fn code(&self, client_id: &str, user_id: &UserId, scopes: &str) -> (GrantId, String) {
        let mut cx = self.cx();
        let client_id = ClientId::from(client_id);
        let client = clients::find(&mut cx, &client_id).await.unwrap().unwrap();
        let requested = Scopes::parse(scopes).unwrap();
        let resolved = scopes::resolve(&cx, &client, Some(&requested), &[]).await.unwrap();
        let grant = NewGrant {
            client_id: client_id.clone(),
            user_id: user_id.clone(),
            session_id: Some(SessionId::from("session-1")),
            scopes: resolved.scopes,
            audiences: resolved.audiences,
            auth_time: Some(cx.now),
            acr: Some("1".to_owned()),
            amr: vec!["pwd".to_owned()],
            nonce: Some("n-0S6_WzA2Mj".to_owned()),
            network: "192.0.2.1".parse().unwrap(),
        };
        let grant_id = grants::open(&mut cx, grant).await.unwrap();
        let uri = client.redirect_uri(Some(CALLBACK)).unwrap();
        let challenge = CodeChallenge::of_verifier(VERIFIER).unwrap();
        let code = codes::issue(&mut cx, &grant_id, &client_id, &uri, &challenge).await.unwrap();
        cx.commit().await.unwrap();
        (grant_id, code.expose().clone())
    }

    pub async fn redeem(&self, by: &Caller, code: &str) -> Answer {
        self.post_as(by, "/token", &redemption(code)).await
    }

    /// A code, redeemed: the token answer.
    pub async fn tokens(&self, by: &Caller, user_id: &UserId, scopes: &str) -> Answer {
        let (_, code) = self.code(&by.id, user_id, scopes).await;
        let answer = self.redeem(by, &code).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        answer
    }

    pub async fn refresh(&self, by: &Caller, token: &str) -> Answer {
        self.post_as(by, "/token", &[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    }

    pub async fn introspect(&self, by: &Caller, token: &str) -> Value {
        let answer = self.post_as(by, "/introspect", &[("token", token)]).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        answer.json()
    }

    pub async fn is_active(&self, by: &Caller, token: &str) -> bool {
        self.introspect(by, token).await["active"] == true
    }

    pub async fn jwks(&self) -> KeySet {
        KeySet::parse(self.get("/jwks", &[]).await.body.as_bytes()).unwrap()
    }

    /// Verifies with the published keys alone, as any party would.
    pub async fn verify(&self, jwt: &str, typ: &str, audience: &str) -> Verified {
        let expected = Expected {
            types: &[typ],
            issuer: Some(ISSUER),
            audience: Some(audience),
            algorithms: &Algorithm::ALL,
            now: self.identity.clock.now(),
            leeway: std::time::Duration::ZERO,
            expiry_required: typ == "at+jwt" || typ == "JWT",
        };
        self.jwks().await.verify(jwt, &expected).unwrap()
    }
}

pub struct Market {
    pub shop: Caller,
    pub robot: Caller,
    pub orders: Caller,
    pub stock: Caller,
    pub gateway: Caller,
    pub alice: UserId,
}

pub fn shop_spec() -> ClientSpec {
    ClientSpec {
        redirect_uris: vec![CALLBACK.to_owned()],
        grant_types: vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
        scopes: Scopes::parse("openid profile email offline_access orders_read stock_read").unwrap(),
        ..ClientSpec::named("shop")
    }
}

pub fn redemption(code: &str) -> [(&str, &str); 4] {
    [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", CALLBACK), ("code_verifier", VERIFIER)]
}

pub fn request(method: Method, path: &str, headers: &[(&'static str, &str)], body: Body) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path).body(body).unwrap();
    for (name, value) in headers {
        request.headers_mut().append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    request
}
