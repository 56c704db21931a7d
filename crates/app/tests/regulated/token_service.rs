//! The token service of the hospital: the identity system on a clock that the test moves, which asks the entitlement
//! system at each issue. People log in to it by its pages, and the ward's application redeems their codes.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use base::Secret;
use base::ids::{ClientId, RequestId, UserId};
use base::peer::HttpPeer;
use base::time::{Clock as _, SystemClock};
use http::{Request, header};
use http_body_util::BodyExt as _;
use identity::admin::{self, Document};
use identity::config::{Budgets, Config, KeySchedule, Lifetimes, Passwords, Peers, PolicyMode, PolicyPoint};
use identity::cx::Actor;
use identity::{Cx, Identity, SharedIdentity, accounts, clients, router};
use jose::Algorithm;
use serde_json::{Value, json};
use testkit::browser::Page;
use testkit::{Browser, ManualClock};
use tower::ServiceExt as _;

use crate::support::Dev;

const ISSUER: &str = "https://id.hospital.example";
const CALLBACK: &str = "https://ward.example/callback";
const PASSWORD: &str = "correct horse battery";
const WARD: &str = "ward-app";
/// S256 of the verifier of RFC 7636 appendix B.
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

pub struct TokenService {
    identity: SharedIdentity,
    pub clock: ManualClock,
    secret: String,
    _folder: tempfile::TempDir,
}

/// What an authorization request and its code came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Came {
    /// `error` and `error_description` of the redirect.
    Refused(String, String),
    /// The scopes of the tokens.
    Tokens { scope: String, refresh: String },
}

impl TokenService {
    /// Its clock is so far behind the entitlement system's: logins there are old from the first moment on.
    pub async fn open(dev: &Dev, behind: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::at(SystemClock::default().now().minus(behind));
        let config = Config {
            issuer: ISSUER.to_owned(),
            database: store::Config::Sqlite { path: folder.path().join("identity.db") },
            master_key: Secret::new(base::random::bytes::<48>().to_vec()),
            node: "a".to_owned(),
            lifetimes: Lifetimes::default(),
            keys: KeySchedule { algorithms: vec![Algorithm::Es256], ..KeySchedule::default() },
            passwords: Passwords { memory_kib: 32, passes: 1, lanes: 1, workers: 1, queue: 64 },
            budgets: Budgets::default(),
            trusted_proxies: Vec::new(),
            templates: None,
            open_registration: None,
            statement_issuers: Vec::new(),
            policy: Some(PolicyPoint {
                url: dev.text("/entitlement/url"),
                secret: Secret::new(dev.text("/entitlement/callers/identity")),
                timeout: Duration::from_secs(30),
                mode: PolicyMode::Enforce,
            }),
            peers: Peers { egress: Arc::new(HttpPeer::new(None)), policy: Arc::new(HttpPeer::new(None)) },
        };
        let identity = Identity::open(config, clock.shared()).await.unwrap();
        let mut service = Self { identity, clock, secret: String::new(), _folder: folder };
        service.furnish().await;
        service
    }

    /// Doctors, what their accounts say of their devices, and the application that asks for them.
    async fn furnish(&mut self) {
        let document = |kind: &str, name: &str, spec: Value| Document { kind: kind.into(), name: name.into(), spec };
        let user = |name: &str, roles: &[&str], device: &str| {
            document("User", name, json!({"attributes": {"roles": roles, "device": {"id": device}}}))
        };
        let documents = [
            document("ResourceServer", "records", json!({"audience": "https://records.internal"})),
            document("Scope", "records.read", json!({"audience": "https://records.internal"})),
            document(
                "Client",
                WARD,
                json!({
                    "redirectUris": [CALLBACK], "grantTypes": ["authorization_code", "refresh_token"],
                    "scopes": ["openid", "offline_access", "records.read"], "consent": "implicit",
                }),
            ),
            user("ann", &["doctor"], "tablet-7"),
            user("ben", &["doctor"], "phone-1"),
            user("cleo", &[], "tablet-7"),
        ];
        let mut cx = self.cx();
        admin::apply(&mut cx, &documents, false).await.unwrap_or_else(|error| panic!("{error:?}"));
        let secret = clients::add_secret(&mut cx, &ClientId::from(WARD), None).await.unwrap();
        cx.commit().await.unwrap();
        self.secret = secret.secret.expose().clone();
        for name in ["ann", "ben", "cleo"] {
            let user_id = self.user_id(name).await;
            let mut cx = self.cx();
            accounts::set_password(&mut cx, &user_id, Secret::from(PASSWORD)).await.unwrap();
            cx.commit().await.unwrap();
        }
    }

    fn cx(&self) -> Cx {
        let mut cx = Cx::new(&self.identity, RequestId::random(), "127.0.0.1".parse().unwrap());
        cx.actor = Actor::System;
        cx
    }

    /// As policies know the person: the `sub` of their tokens.
    pub async fn user_id(&self, name: &str) -> UserId {
        accounts::find_by_username(&mut self.cx(), name).await.unwrap().unwrap().user_id
    }

    /// A browser at this address that nobody has logged in from.
    pub fn browser(&self, address: &str) -> Browser {
        Browser::new(router::public(self.identity.clone()), ISSUER).from(address)
    }

    /// What the application's authorization request shows the browser.
    pub async fn ask(&self, browser: &mut Browser, scope: &str) -> Page {
        let parameters = [
            ("response_type", "code"),
            ("client_id", WARD),
            ("redirect_uri", CALLBACK),
            ("scope", scope),
            ("state", "s"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
        browser.get(&format!("/authorize?{query}")).await
    }

    /// Fills the login in, and takes what the browser is sent back with.
    pub async fn log_in(&self, browser: &mut Browser, page: &Page, name: &str) -> Came {
        let set = [("username", name), ("password", PASSWORD), ("action", "login")];
        let page = browser.submit(page, "login", &set).await;
        self.came_back(&page).await
    }

    /// The whole way of a person who is not logged in.
    pub async fn tokens(&self, name: &str, address: &str, scope: &str) -> Came {
        let mut browser = self.browser(address);
        let page = self.ask(&mut browser, scope).await;
        self.log_in(&mut browser, &page, name).await
    }

    async fn came_back(&self, page: &Page) -> Came {
        assert!(page.url.starts_with(CALLBACK), "{} {}", page.url, page.body);
        if let Some(error) = page.parameter("error") {
            return Came::Refused(error, page.parameter("error_description").unwrap_or_default());
        }
        let code = page.parameter("code").unwrap();
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ];
        self.token(&form).await
    }

    pub async fn refresh(&self, token: &str) -> Came {
        self.token(&[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    }

    /// As the application's server does it, from where it stands.
    async fn token(&self, form: &[(&str, &str)]) -> Came {
        use base64::Engine as _;
        let credentials = base64::engine::general_purpose::STANDARD.encode(format!("{WARD}:{}", self.secret));
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = Request::post("/token")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::AUTHORIZATION, format!("Basic {credentials}"))
            .extension(axum::extract::ConnectInfo(std::net::SocketAddr::from(([198, 51, 100, 7], 40_000))))
            .body(Body::from(body))
            .unwrap();
        let answer = router::public(self.identity.clone()).oneshot(request).await.unwrap();
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        let json: Value = serde_json::from_slice(&bytes).unwrap();
        let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
        match json.get("error") {
            Some(_) => Came::Refused(text("error"), text("error_description")),
            None => Came::Tokens { scope: text("scope"), refresh: text("refresh_token") },
        }
    }
}

impl Came {
    pub fn scope(&self) -> &str {
        match self {
            Self::Tokens { scope, .. } => scope,
            Self::Refused(error, why) => panic!("{error}: {why}"),
        }
    }

    pub fn refused(self) -> (String, String) {
        match self {
            Self::Refused(error, why) => (error, why),
            Self::Tokens { scope, .. } => panic!("it got tokens: {scope}"),
        }
    }
}
