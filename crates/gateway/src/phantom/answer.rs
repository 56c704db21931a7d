//! Nothing of an answer is used before all of it has been verified (S6): status, media type, form,
//! signature, type, issuer, audience, times.

use base::Time;
use bytes::Bytes;
use catalog::Form;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Response, StatusCode};
use jose::{Expected, Rejected, Verified};
use serde_json::{Map, Value};

use super::NoFacts;
use super::authority::{Audience, Core};

/// What the issuer vouches for.
pub(super) struct Told {
    pub claims: Map<String, Value>,
    /// To be sent on; where there is none the gateway signs one.
    pub jwt: Option<String>,
    pub kid: Option<String>,
}

pub(super) async fn read(
    core: &Core,
    form: Form,
    response: &Response<Bytes>,
    audience: &Audience,
) -> Result<Told, NoFacts> {
    match response.status() {
        StatusCode::OK => {}
        // How the phantom token flow says "not active".
        StatusCode::NO_CONTENT if form == Form::Jwt => return Err(NoFacts::Inactive("the issuer says so")),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            tracing::error!(issuer = %core.name, "the token service does not take the gateway's credentials");
            return Err(NoFacts::Refused);
        }
        StatusCode::TOO_MANY_REQUESTS => return Err(NoFacts::Unavailable("the token service is overloaded")),
        status if status.is_server_error() => {
            return Err(NoFacts::Unavailable("the token service answers with an error"));
        }
        status => {
            tracing::warn!(issuer = %core.name, http.response.status_code = status.as_u16(), error = oauth_error(response.body()), "introspection is refused");
            return Err(NoFacts::Untrusted("the token service answers with an unexpected status"));
        }
    }
    let body = std::str::from_utf8(response.body()).map_err(|_| NoFacts::Untrusted("the answer is no text"))?;
    // RFC 7662 §2.2 lets a server answer so to whatever was asked for; it can only deny.
    let json = json_object(body);
    if json.as_ref().is_some_and(|answer| answer.get("active") == Some(&Value::Bool(false))) {
        return Err(NoFacts::Inactive("the issuer says so"));
    }
    let media_type = media_type(response.headers()).ok_or(NoFacts::Untrusted("the answer has no media type"))?;
    let wanted = match form {
        Form::Jwt => "application/jwt",
        Form::Rfc9701 => "application/token-introspection+jwt",
        Form::JsonMember | Form::Plain => "application/json",
    };
    if !media_type.eq_ignore_ascii_case(wanted) {
        return Err(NoFacts::Untrusted("the answer is of another media type"));
    }
    match form {
        Form::Jwt => inner_jwt(core, body.trim_ascii(), audience).await,
        Form::Rfc9701 => signed_answer(core, body.trim_ascii(), audience).await,
        Form::Plain => {
            let answer = json.ok_or(NoFacts::Untrusted("the answer is no JSON object"))?;
            plain(core, answer, audience)
        }
        Form::JsonMember => {
            let answer = json.ok_or(NoFacts::Untrusted("the answer is no JSON object"))?;
            is_active_access_token(&answer)?;
            let jwt = answer.get("jwt").or_else(|| answer.get("phantom_token")).and_then(Value::as_str);
            let jwt = jwt.ok_or(NoFacts::Untrusted("the answer holds no JWT"))?;
            inner_jwt(core, jwt, audience).await
        }
    }
}

/// A foreign issuer's own JWT, which the caller brought: what is wrong with it is the caller's matter.
pub(super) async fn local(core: &Core, token: &str, audience: &Audience) -> Result<Told, NoFacts> {
    let verified = verify(core, token, audience).await?.map_err(|rejected| NoFacts::Inactive(rejected.as_str()))?;
    is_access_token(&verified.claims)?;
    Ok(Told { kid: verified.header.kid, claims: verified.claims, jwt: Some(token.to_owned()) })
}

/// Whether the issuer has signed this, for whomever it is meant.
pub(super) async fn is_signed_by(core: &Core, jwt: &str) -> Result<bool, NoFacts> {
    Ok(core.keys.verify(core, jwt, &expected(core, &[])).await?.is_ok())
}

async fn inner_jwt(core: &Core, jwt: &str, audience: &Audience) -> Result<Told, NoFacts> {
    let verified = verify(core, jwt, audience).await?.map_err(|rejected| untrusted(&rejected))?;
    Ok(Told { kid: verified.header.kid, claims: verified.claims, jwt: Some(jwt.to_owned()) })
}

async fn verify(core: &Core, jwt: &str, audience: &Audience) -> Result<Result<Verified, Rejected>, NoFacts> {
    let types: Vec<&str> = core.spec.types.iter().map(String::as_str).collect();
    // The audience is looked at below: the issuer's configuration may allow more than one.
    let expected = expected(core, &types);
    let verified = core.keys.verify(core, jwt, &expected).await?;
    Ok(verified.and_then(
        |verified| {
            if is_for(core, &verified.claims, audience) { Ok(verified) } else { Err(Rejected::Audience) }
        },
    ))
}

fn expected<'a>(core: &'a Core, types: &'a [&'a str]) -> Expected<'a> {
    Expected {
        types,
        issuer: Some(core.spec.issuer.as_str()),
        audience: None,
        algorithms: &core.algorithms,
        now: core.clock.now(),
        leeway: core.spec.clock_leeway.0,
        expiry_required: true,
    }
}

/// RFC 9701 §5: the answer itself is signed for us; what it says is as in RFC 7662.
async fn signed_answer(core: &Core, jwt: &str, audience: &Audience) -> Result<Told, NoFacts> {
    let client_id = core.spec.introspection.as_ref().map(|spec| spec.client_id.as_str());
    let expected = Expected {
        types: &["token-introspection+jwt"],
        issuer: Some(core.spec.issuer.as_str()),
        audience: client_id,
        algorithms: &core.algorithms,
        now: core.clock.now(),
        leeway: core.spec.clock_leeway.0,
        expiry_required: false,
    };
    let verified = core.keys.verify(core, jwt, &expected).await?.map_err(|rejected| untrusted(&rejected))?;
    let mut claims = verified.claims;
    match claims.remove("token_introspection") {
        Some(Value::Object(answer)) => plain(core, answer, audience),
        _ => Err(NoFacts::Untrusted("the signed answer says nothing of a token")),
    }
}

fn plain(core: &Core, answer: Map<String, Value>, audience: &Audience) -> Result<Told, NoFacts> {
    is_active_access_token(&answer)?;
    let untrusted = NoFacts::Untrusted;
    if answer.get("iss").is_some_and(|issuer| issuer.as_str() != Some(core.spec.issuer.as_str())) {
        return Err(untrusted("the answer names another issuer"));
    }
    let time = |name: &str| match answer.get(name) {
        None => Ok(None),
        Some(value) => value.as_i64().map(Time::from_seconds).map(Some).ok_or(untrusted("a time is no number")),
    };
    let now = core.clock.now();
    let leeway = core.spec.clock_leeway.0;
    if time("exp")?.is_some_and(|expires| expires <= now.minus(leeway)) {
        return Err(NoFacts::Inactive("expired"));
    }
    if time("nbf")?.is_some_and(|begins| begins > now.plus(leeway)) {
        return Err(NoFacts::Inactive("not yet valid"));
    }
    // RFC 7662 leaves `aud` to the server; without it the token might be meant for anybody.
    if !is_for(core, &answer, audience) {
        return Err(NoFacts::Inactive("meant for another service"));
    }
    Ok(Told { claims: answer, jwt: None, kid: None })
}

/// `active` is exactly true, and the token one that opens doors.
fn is_active_access_token(answer: &Map<String, Value>) -> Result<(), NoFacts> {
    match answer.get("active") {
        Some(Value::Bool(true)) => is_access_token(answer),
        Some(Value::Bool(false)) => Err(NoFacts::Inactive("the issuer says so")),
        _ => Err(NoFacts::Untrusted("the answer does not say whether the token is active")),
    }
}

/// Servers also call refresh tokens active (RFC 7662 §2.2 does not tell them apart). `inner` is how Cardea marks
/// the JWTs for services behind a gateway: one that escaped is not taken at the edge.
fn is_access_token(claims: &Map<String, Value>) -> Result<(), NoFacts> {
    let word = |name: &str| claims.get(name).map(|value| value.as_str().unwrap_or_default().to_ascii_lowercase());
    match word("token_type").as_deref() {
        None | Some("bearer" | "access_token" | "at+jwt") => {}
        Some("dpop" | "pop") => return Err(NoFacts::Bound),
        Some(_) => return Err(NoFacts::Inactive("not an access token")),
    }
    let other = |name: &str| {
        word(name).is_some_and(|word| {
            matches!(word.as_str(), "refresh" | "offline" | "id" | "refresh_token" | "id_token" | "inner")
        })
    };
    if other("typ") || other("token_use") { Err(NoFacts::Inactive("not an access token")) } else { Ok(()) }
}

fn is_for(core: &Core, claims: &Map<String, Value>, audience: &Audience) -> bool {
    let accepted = |name: &str| name == &*audience.name || core.spec.audiences.iter().any(|other| other == name);
    match claims.get("aud") {
        Some(Value::String(one)) => accepted(one),
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).any(accepted),
        _ => false,
    }
}

fn untrusted(rejected: &Rejected) -> NoFacts {
    NoFacts::Untrusted(rejected.as_str())
}

/// The media type without parameters, from exactly one field.
fn media_type(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let value = values.next()?.to_str().ok()?;
    if values.next().is_some() {
        return None;
    }
    Some(value.split(';').next().unwrap_or_default().trim())
}

/// A JSON object whose members stand there once each: readers disagree about the others.
fn json_object(text: &str) -> Option<Map<String, Value>> {
    struct Unique;

    impl<'de> serde::de::Visitor<'de> for Unique {
        type Value = Map<String, Value>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a JSON object")
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
            let mut map = Map::new();
            while let Some((name, value)) = entries.next_entry::<String, Value>()? {
                if map.insert(name, value).is_some() {
                    return Err(serde::de::Error::custom("a member stands there twice"));
                }
            }
            Ok(map)
        }
    }

    let mut deserializer = serde_json::Deserializer::from_str(text);
    let map = serde::Deserializer::deserialize_map(&mut deserializer, Unique).ok()?;
    deserializer.end().ok()?;
    Some(map)
}

/// The error code of RFC 6749 §5.2, for the operator; its alphabet holds no secret worth the name.
fn oauth_error(body: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let code = answer.get("error")?.as_str()?;
    let fine = code.len() <= 40 && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    fine.then(|| code.to_owned())
}
