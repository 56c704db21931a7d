//! The sample service: verifies the JWT that the gateway gives it, as any service behind it should, and answers
//! what it saw. The JWT itself it keeps to itself.

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use base::peer::SharedPeer;
use base::time::SharedClock;
use bytes::Bytes;
use http::{HeaderMap, Method, Uri, header};
use resource::{Denied, Settings, Verifier};
use serde_json::{Map, Value, json};

pub fn router(issuer: &str, audience: &str, peer: SharedPeer, clock: SharedClock) -> Router {
    let verifier = Verifier::new(Settings::new(issuer, audience), peer, clock);
    Router::new().fallback(answer).with_state(verifier)
}

async fn answer(
    State(verifier): State<Verifier>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Denied> {
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let jwt = authorization.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    let principal = verifier.verify(jwt).await?;
    let head = jose::header_of(jwt);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let answer = json!({
        "you_sent": {
            "method": method.as_str(),
            "path": path,
            "body_bytes": body.len(),
            "token": token_of(&headers),
        },
        "upstream_received": {
            "header": head.map(|head| json!({"alg": head.alg, "kid": head.kid, "typ": head.typ})),
            "claims": principal.claims,
            "headers": shown(&headers),
        },
        "it_cost": cost_of(&headers),
        "traceparent": text(&headers, "traceparent"),
        "note": "This service received a signed JWT instead of your token and verified it with the issuer's public \
                 keys. What you see is that JWT decoded; the JWT itself stays behind the gateway.",
    });
    let mut text = serde_json::to_string_pretty(&answer).unwrap_or_default();
    text.push('\n');
    Ok(([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")], text).into_response())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The gateway tells the end of the token and no more (`tell: [token-end]`): of ours it is the checksum.
fn token_of(headers: &HeaderMap) -> String {
    let end = text(headers, "cardea-token").and_then(|told| told.split('"').nth(1));
    let stayed = "opaque; it stayed at the gateway";
    end.map_or_else(|| stayed.to_owned(), |end| format!("…{end} ({stayed})"))
}

/// What the call takes of its plan, in the gateway's own words (`tell: [plan]`).
fn cost_of(headers: &HeaderMap) -> Value {
    let Some((plan, units)) = text(headers, "cardea-plan").and_then(|told| told.split_once(";units=")) else {
        return json!("nothing: the caller has no plan for this API, which does not ask for one");
    };
    json!({
        "plan": plan.trim_matches('"'),
        "units": units.parse::<u32>().ok(),
        "ratelimit": text(headers, "ratelimit"),
        "ratelimit_policy": text(headers, "ratelimit-policy"),
    })
}

/// The other headers, so that a newcomer sees what a service learns of a request.
fn shown(headers: &HeaderMap) -> Map<String, Value> {
    headers
        .iter()
        .filter(|(name, _)| **name != header::AUTHORIZATION && **name != header::COOKIE)
        .map(|(name, value)| (name.to_string(), Value::from(String::from_utf8_lossy(value.as_bytes()).into_owned())))
        .collect()
}
