//! What policies know of the holder of a token.

use std::sync::Arc;

use policy::{Authentication, Call, CallFacts, Caller, Device, Engine, HttpRequest, Network, Party, Question};
use serde_json::{Map, Value};

use crate::phantom::Facts;

impl Facts {
    /// Made once for an engine and an action, and kept as `prepared` as long as these facts are.
    pub(super) fn caller(&self, engine: &Engine, action: &str) -> Arc<Caller> {
        let caller = Arc::new(engine.caller(subject(self), action, &facts(self)));
        self.prepared.store(Some(Arc::clone(&caller)));
        caller
    }
}

/// The client itself where no person is concerned (RFC 9068 §2.2): its claims are the subject's.
fn subject(facts: &Facts) -> Party {
    let client = facts.client_id.as_deref();
    // Told by our token service of a client's token that another client has exchanged.
    let is_client = facts.claims.get("sub_kind").is_some_and(|kind| kind == "client");
    let mut party = match facts.subject.as_deref() {
        Some(sub) if is_client => Party::new("Client", sub),
        Some(sub) if Some(sub) != client => Party::new("User", sub),
        _ => Party::new("Client", client.unwrap_or_default()),
    };
    party.properties = facts.claims.clone();
    if let Some(name) = facts.claims.get("preferred_username")
        && !party.properties.contains_key("username")
    {
        party.properties.insert("username".to_owned(), name.clone());
    }
    party
}

fn facts(facts: &Facts) -> CallFacts {
    let claims = &facts.claims;
    let text = |name: &str| claims.get(name).and_then(Value::as_str).map(str::to_owned);
    CallFacts {
        client: facts.client_id.as_deref().map(str::to_owned),
        authentication: Authentication {
            auth_time: claims.get("auth_time").and_then(Value::as_i64),
            acr: text("acr"),
            amr: texts(claims.get("amr")),
        },
        device: device(claims),
        network: Network::default(),
        request: HttpRequest {
            scopes: facts.scopes.iter().map(ToString::to_string).collect(),
            ..HttpRequest::default()
        },
        claims: claims.clone(),
    }
}

/// The issuer says it: `device: {id, enrolled, platform}`, or `device_id` alone.
fn device(claims: &Map<String, Value>) -> Device {
    let device = claims.get("device").and_then(Value::as_object);
    let text = |name: &str| device.and_then(|device| device.get(name)?.as_str()).map(str::to_owned);
    Device {
        id: text("id").or_else(|| claims.get("device_id")?.as_str().map(str::to_owned)),
        enrolled: device.and_then(|device| device.get("enrolled")?.as_bool()),
        platform: text("platform"),
    }
}

fn texts(value: Option<&Value>) -> Vec<String> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The whole question, for those who are asked.
pub(super) fn question(of: &Facts, action: &str, resource: Party, call: &Call<'_>) -> Question {
    let mut known = facts(of);
    known.network = Network { address: Some(call.address.to_canonical()), zone: None };
    known.request.method = Some(call.method.to_owned());
    known.request.path = Some(call.path.to_owned());
    known.request.host = Some(call.host.to_owned());
    let mut question = Question::new(subject(of), action, resource, call.now).facts(&known);
    if let Some(Value::Object(request)) = question.context.get_mut("request") {
        let params: Map<String, Value> =
            call.params.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect();
        request.insert("params".to_owned(), Value::Object(params));
    }
    question
}
