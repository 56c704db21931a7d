//! An identity system that fails as it is told to.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::peer::{Limits, Peer, PeerError, SharedPeer};
use base::random;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use crate::tests::house::ISSUER;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It does what is asked, and no answer comes.
    DiesAfter,
    TooLate,
    Garbage,
    /// It does nothing.
    Away,
    Error,
    Refuses,
    PointsElsewhere,
    GivesAnothersClient,
}

const AT_RANDOM: [Fault; 5] = [Fault::DiesAfter, Fault::TooLate, Fault::Garbage, Fault::Away, Fault::Error];

#[derive(Default)]
struct Client {
    document: Value,
    secrets: Vec<String>,
    /// The one before lives until the newer one is used.
    tokens: Vec<String>,
}

#[derive(Default)]
struct Inside {
    repeats: bool,
    changes_tokens: bool,
    faults: VecDeque<Option<Fault>>,
    clients: BTreeMap<String, Client>,
    keys: HashMap<String, (Value, Value)>,
    registrations: usize,
    tokens_given: usize,
    elsewhere: usize,
    /// Client, and grant if one was named.
    revoked: Vec<(String, Option<String>)>,
}

#[derive(Clone, Default)]
pub struct Fake(Arc<Mutex<Inside>>);

impl Fake {
    /// With what ours has beyond the standards.
    pub fn ours() -> Self {
        let fake = Self::default();
        fake.0.lock().unwrap().repeats = true;
        fake
    }

    pub fn another() -> Self {
        Self::default()
    }

    pub fn changing_tokens(self) -> Self {
        self.0.lock().unwrap().changes_tokens = true;
        self
    }

    pub fn peer(&self) -> SharedPeer {
        Arc::new(self.clone())
    }

    /// What happens to the next requests for clients.
    pub fn next(&self, faults: &[Fault]) {
        self.0.lock().unwrap().faults.extend(faults.iter().copied().map(Some));
    }

    /// About half of the next requests fail.
    pub fn next_at_random(&self, many: usize) {
        let mut inside = self.0.lock().unwrap();
        for _ in 0..many {
            let [byte] = random::bytes::<1>();
            let fault = if byte % 2 == 0 { None } else { Some(AT_RANDOM[usize::from(byte / 2) % AT_RANDOM.len()]) };
            inside.faults.push_back(fault);
        }
    }

    pub fn no_more_faults(&self) {
        self.0.lock().unwrap().faults.clear();
    }

    pub fn clients(&self) -> Vec<String> {
        self.0.lock().unwrap().clients.keys().cloned().collect()
    }

    pub fn document(&self, client: &str) -> Value {
        self.0.lock().unwrap().clients[client].document.clone()
    }

    pub fn has_secret(&self, client: &str, secret: &str) -> bool {
        self.0.lock().unwrap().clients[client].secrets.iter().any(|known| known == secret)
    }

    pub fn registrations(&self) -> usize {
        self.0.lock().unwrap().registrations
    }

    pub fn revoked(&self) -> Vec<(String, Option<String>)> {
        self.0.lock().unwrap().revoked.clone()
    }

    pub fn tokens_given(&self) -> usize {
        self.0.lock().unwrap().tokens_given
    }

    pub fn asked_elsewhere(&self) -> usize {
        self.0.lock().unwrap().elsewhere
    }

    pub fn drop_client(&self, client: &str) {
        self.0.lock().unwrap().clients.remove(client);
    }

    pub fn add_client(&self, software_id: &str) -> String {
        let id = random::text::<12>();
        let client = Client { document: json!({"software_id": software_id}), ..Client::default() };
        self.0.lock().unwrap().clients.insert(id.clone(), client);
        id
    }

    fn answer(&self, request: &Request<Bytes>) -> Result<Response<Bytes>, PeerError> {
        let mut inside = self.0.lock().unwrap();
        let path = request.uri().path().to_owned();
        if request.uri().host() != Some("id.example") {
            inside.elsewhere += 1;
            return Err(PeerError::Unreachable);
        }
        match path.as_str() {
            "/.well-known/openid-configuration" => return Ok(json_answer(200, &inside.metadata())),
            "/token" => {
                inside.tokens_given += 1;
                return Ok(json_answer(200, &json!({"access_token": "registrar", "expires_in": 300})));
            }
            _ => {}
        }
        let fault = inside.faults.pop_front().flatten();
        match fault {
            Some(Fault::Away) => return Err(PeerError::Unreachable),
            Some(Fault::Error) => return Ok(json_answer(500, &json!({}))),
            Some(Fault::Refuses) => {
                let body = json!({"error": "invalid_redirect_uri", "error_description": "not this one"});
                return Ok(json_answer(400, &body));
            }
            _ => {}
        }
        let mut answer = inside.serve(request);
        match fault {
            Some(Fault::DiesAfter) => Err(PeerError::BrokenOff),
            Some(Fault::TooLate) => Err(PeerError::TimedOut(Duration::from_secs(8))),
            Some(Fault::Garbage) => Ok(json_answer(answer.0, &json!("<html>"))),
            Some(Fault::PointsElsewhere) => {
                answer.1["registration_client_uri"] = json!("https://169.254.169.254/latest");
                Ok(json_answer(answer.0, &answer.1))
            }
            Some(Fault::GivesAnothersClient) => {
                let (other, _) = inside.clients.iter().find(|(_, one)| one.document["client_name"] == "First").unwrap();
                answer.1["client_id"] = json!(other);
                Ok(json_answer(answer.0, &answer.1))
            }
            _ => Ok(json_answer(answer.0, &answer.1)),
        }
    }
}

impl Peer for Fake {
    fn call(&self, request: Request<Bytes>, _: Limits) -> BoxFuture<'_, Result<Response<Bytes>, PeerError>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            self.answer(&request)
        })
    }
}

impl Inside {
    fn metadata(&self) -> Value {
        json!({
            "issuer": ISSUER,
            "token_endpoint": format!("{ISSUER}/token"),
            "registration_endpoint": format!("{ISSUER}/register"),
            "registration_list_supported": self.repeats,
            "registration_revocation_supported": self.repeats,
        })
    }

    fn serve(&mut self, request: &Request<Bytes>) -> (u16, Value) {
        let field = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let token = field("authorization").unwrap_or_default().trim_start_matches("Bearer ").to_owned();
        let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        let rest = request.uri().path().strip_prefix("/register").unwrap().trim_start_matches('/').to_owned();
        let is_registrar = token == "registrar" || token == "initial";
        if let Some(id) = rest.strip_suffix("/revoke") {
            return match (is_registrar && self.repeats, self.clients.contains_key(id)) {
                (false, _) => (401, json!({"error": "invalid_token"})),
                (true, false) => (404, json!({"error": "not_found"})),
                (true, true) if body["grant_id"] == "strange" => (404, json!({"error": "not_found"})),
                (true, true) => {
                    self.revoked.push((id.to_owned(), body["grant_id"].as_str().map(str::to_owned)));
                    (200, json!({"revoked": 1}))
                }
            };
        }
        let (id, secret) = rest.strip_suffix("/secret").map_or((rest.as_str(), false), |id| (id, true));
        if id.is_empty() {
            return match (is_registrar, request.method()) {
                (false, _) => (401, json!({"error": "invalid_token"})),
                (true, &Method::POST) => self.register(field("idempotency-key"), body),
                (true, _) => (200, self.list(request.uri().query().unwrap_or_default())),
            };
        }
        let knows = self.clients.get(id).is_some_and(|client| client.tokens.contains(&token));
        let manages = is_registrar && self.repeats;
        if !knows && !manages {
            return (401, json!({"error": "invalid_token"}));
        }
        if !self.clients.contains_key(id) {
            return (404, json!({"error": "not_found"}));
        }
        self.manage(request.method(), id, secret, &token, body)
    }

    fn register(&mut self, key: Option<String>, body: Value) -> (u16, Value) {
        self.registrations += 1;
        let key = key.filter(|_| self.repeats);
        if let Some((asked, answer)) = key.as_ref().and_then(|key| self.keys.get(key)) {
            if *asked != body {
                return (422, json!({"error": "invalid_request"}));
            }
            let gone = !self.clients.contains_key(answer["client_id"].as_str().unwrap());
            return if gone { (409, json!({"error": "invalid_request"})) } else { (201, answer.clone()) };
        }
        let id = random::text::<12>();
        let (secret, token) = (random::text::<12>(), random::text::<12>());
        let has_secret = body["token_endpoint_auth_method"] != "none";
        let client = Client { document: body.clone(), secrets: vec![secret.clone()], tokens: vec![token] };
        self.clients.insert(id.clone(), client);
        let mut answer = self.tell(&id);
        if has_secret {
            answer["client_secret"] = json!(secret);
        }
        if let Some(key) = key {
            self.keys.insert(key, (body, answer.clone()));
        }
        (201, answer)
    }

    fn tell(&self, id: &str) -> Value {
        let mut answer = self.clients[id].document.clone();
        answer["client_id"] = json!(id);
        answer["registration_client_uri"] = json!(format!("{ISSUER}/register/{id}"));
        answer["registration_access_token"] = json!(self.clients[id].tokens.last());
        answer
    }

    fn manage(&mut self, method: &Method, id: &str, secret: bool, token: &str, body: Value) -> (u16, Value) {
        if method == Method::DELETE {
            self.clients.remove(id);
            return (204, json!({}));
        }
        let changes = self.changes_tokens;
        let client = self.clients.get_mut(id).unwrap();
        if let Some(at) = client.tokens.iter().position(|known| known == token) {
            client.tokens.drain(..at);
        }
        if secret {
            let new = random::text::<12>();
            client.secrets.push(new.clone());
            return (200, json!({"client_id": id, "client_secret": new}));
        }
        if method == Method::PUT {
            client.document = body;
            if changes {
                client.tokens.push(random::text::<12>());
            }
        }
        (200, self.tell(id))
    }

    fn list(&self, query: &str) -> Value {
        let wanted = query.split('&').find_map(|pair| pair.strip_prefix("software_id="));
        let software_id = |client: &Client| client.document["software_id"].as_str().unwrap_or_default().to_owned();
        let clients: Vec<Value> = self
            .clients
            .iter()
            .filter(|(_, client)| wanted.is_none_or(|wanted| software_id(client) == wanted))
            .map(|(id, client)| {
                json!({"client_id": id, "software_id": software_id(client),
                    "registration_client_uri": format!("{ISSUER}/register/{id}")})
            })
            .collect();
        json!({"clients": clients, "next": null})
    }
}

fn json_answer(status: u16, body: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}
