//! The question (RFC 7662 §2.1, RFC 9701 §4), as the issuer's configuration says, and what comes of it.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use base::Secret;
use base::peer::{Limits, PeerError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use catalog::{Form, IntrospectionSpec};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response};

use super::NoFacts;
use super::answer::{self, Told};
use super::authority::{Audience, Core, is_jwt};
use super::cache::Entry;
use super::cache_control::{Keep, keep};
use super::facts::Facts;
use super::mint::LIFETIME;

/// A larger answer is no answer.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// The facts about a token, from its issuer (or, for a foreign issuer's JWT, from the token itself).
pub(super) async fn ask(core: &Core, token: &Secret<String>, audience: &Audience) -> Result<Arc<Entry>, NoFacts> {
    // Both before the question: what happens while it is under way must count against the answer.
    let asked_at = core.marks.count();
    let sent_ms = core.clock.monotonic_ms();
    let (told, keep) = match &core.spec.introspection {
        Some(spec) => {
            if is_jwt(token.expose()) && core.knows_its_handles() && !answer::is_signed_by(core, token.expose()).await?
            {
                return Err(NoFacts::Junk);
            }
            let response = send(core, spec, token, audience).await?;
            let told = answer::read(core, spec.form, &response, audience).await?;
            (told, keep(response.headers()))
        }
        None => (answer::local(core, token.expose(), audience).await?, Keep::Unsaid),
    };
    let facts = facts(core, told, audience)?;
    let cap = match keep {
        Keep::No => None,
        Keep::Unsaid => Some(core.max_ttl),
        Keep::For(time) => Some(time.min(core.max_ttl)),
    };
    let until_ms = cap.filter(|cap| !cap.is_zero()).map(|cap| {
        // A token that we sign ourselves is not handed out near its end.
        let cap = if facts.signed_here { cap.min(LIFETIME - LIFETIME / 10) } else { cap };
        sent_ms.saturating_add(u64::try_from(cap.as_millis()).unwrap_or(u64::MAX))
    });
    Ok(Arc::new(Entry { facts: Arc::new(facts.facts), until_ms, asked_at, checked: AtomicU64::new(asked_at) }))
}

struct Made {
    facts: Facts,
    signed_here: bool,
}

fn facts(core: &Core, told: Told, audience: &Audience) -> Result<Made, NoFacts> {
    if told.claims.contains_key("cnf") {
        // RFC 9449 §7.1, RFC 8705 §3: a bound token is not a bearer token.
        return Err(NoFacts::Bound);
    }
    match told.jwt {
        Some(jwt) => Ok(Made { facts: Facts::new(told.claims, Some(jwt), told.kid.as_deref()), signed_here: false }),
        None => {
            let now = core.clock.now();
            let jwt = core.minter.mint(&told.claims, core.spec.issuer.as_str(), &audience.name, now)?;
            Ok(Made { facts: Facts::new(told.claims, Some(jwt), None), signed_here: true })
        }
    }
}

async fn send(
    core: &Core,
    spec: &IntrospectionSpec,
    token: &Secret<String>,
    audience: &Audience,
) -> Result<Response<Bytes>, NoFacts> {
    let endpoint = match &spec.endpoint {
        Some(endpoint) => endpoint.to_string(),
        None => {
            let metadata = core.discovery.metadata(&core.peer, &core.clock).await?;
            let missing = NoFacts::Untrusted("the metadata names no `introspection_endpoint`");
            metadata.introspection_endpoint.clone().ok_or(missing)?
        }
    };
    // `resource` (as in RFC 8707): a JWT is for one audience, and we may ask for several. RFC 7662 §2.1
    // has servers ignore what they do not know.
    let form = form_urlencoded(&[
        ("token", token.expose()),
        ("token_type_hint", "access_token"),
        ("resource", &audience.name),
    ]);
    let accept = match spec.form {
        Form::Jwt => "application/jwt",
        Form::Rfc9701 => "application/token-introspection+jwt",
        Form::JsonMember | Form::Plain => "application/json",
    };
    let request = Request::builder()
        .method(Method::POST)
        .uri(endpoint)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(ACCEPT, accept)
        .header(AUTHORIZATION, basic(&spec.client_id, core.secret()))
        .body(Bytes::from(form))
        .map_err(|_| NoFacts::Untrusted("the introspection endpoint is no address"))?;
    let limits = Limits { time: spec.timeout.0, body_bytes: MAX_ANSWER_BYTES };
    core.peer.call(request, limits).await.map_err(|error| match error {
        PeerError::TooLarge(_) => NoFacts::Untrusted("the answer is too large"),
        PeerError::TimedOut(_) => NoFacts::Unavailable("the token service does not answer in time"),
        PeerError::Unreachable | PeerError::Forbidden | PeerError::BrokenOff => {
            NoFacts::Unavailable("the token service gives no answer")
        }
    })
}

/// Basic credentials with both parts form-encoded (RFC 6749 §2.3.1).
pub(super) fn basic(client_id: &str, secret: &Secret<String>) -> HeaderValue {
    let pair = Secret::new(format!("{}:{}", form_encoded(client_id), form_encoded(secret.expose())));
    let text = Secret::new(format!("Basic {}", STANDARD.encode(pair.expose())));
    // Base64 is always a header value.
    let mut value = HeaderValue::from_str(text.expose()).unwrap_or_else(|_| HeaderValue::from_static("Basic"));
    value.set_sensitive(true);
    value
}

fn form_encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn form_urlencoded(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}
