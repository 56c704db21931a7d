//! Verification of signed claims (RFC 7519 §7.2, RFC 8725).

use std::time::Duration;

use base::Time;
use serde_json::{Map, Value};

use crate::header::Parts;
use crate::{Algorithm, Header, KeySet, Rejected, json};

/// What a token must be. Everything but `issuer` and `audience` is always checked; those are when given.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The allowed `typ` values, compared without regard to case and with or without `application/`
    /// (RFC 7515 §4.1.9). Empty: `typ` is not looked at.
    pub types: &'a [&'a str],
    pub issuer: Option<&'a str>,
    /// A value that `aud` must be or contain.
    pub audience: Option<&'a str>,
    /// The allowed algorithms, often [`Algorithm::ALL`]; empty allows none. Which of them is right is
    /// always a matter of the key.
    pub algorithms: &'a [Algorithm],
    pub now: Time,
    /// By how much the clocks of issuer and verifier may differ.
    pub leeway: Duration,
    /// False only for tokens that have no `exp` by their specification, such as security events
    /// (RFC 8417 §2.2). An `exp` that is there is checked all the same.
    pub expiry_required: bool,
}

/// The content of a token whose signature and claims have been checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    pub header: Header,
    pub claims: Map<String, Value>,
}

impl Verified {
    /// A claim that is text.
    pub fn text(&self, claim: &str) -> Option<&str> {
        self.claims.get(claim)?.as_str()
    }
}

impl KeySet {
    /// Verifies a compact JWS with the keys of this set and checks its claims.
    pub fn verify(&self, token: &str, expected: &Expected<'_>) -> Result<Verified, Rejected> {
        let parts = Parts::split(token)?;
        let header = parts.header()?;
        if !expected.algorithms.contains(&header.alg) {
            return Err(Rejected::Algorithm);
        }
        self.check(&header, parts.signed.as_bytes(), &parts.signature()?)?;
        check_type(header.typ.as_deref(), expected.types)?;
        let claims = json::object(&parts.payload()?).ok_or(Rejected::Malformed)?;
        check_claims(&claims, expected)?;
        Ok(Verified { header, claims })
    }
}

fn check_type(typ: Option<&str>, types: &[&str]) -> Result<(), Rejected> {
    if types.is_empty() {
        return Ok(());
    }
    let typ = short_type(typ.ok_or(Rejected::Type)?);
    let fits = types.iter().any(|expected| short_type(expected).eq_ignore_ascii_case(typ));
    if fits { Ok(()) } else { Err(Rejected::Type) }
}

/// RFC 7515 §4.1.9: `application/` is left out where no other slash follows.
fn short_type(typ: &str) -> &str {
    match typ.split_at_checked("application/".len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case("application/") && !rest.contains('/') => rest,
        _ => typ,
    }
}

fn check_claims(claims: &Map<String, Value>, expected: &Expected<'_>) -> Result<(), Rejected> {
    if let Some(issuer) = expected.issuer
        && claims.get("iss").and_then(Value::as_str) != Some(issuer)
    {
        return Err(Rejected::Issuer);
    }
    if let Some(audience) = expected.audience
        && !has_audience(claims.get("aud"), audience)
    {
        return Err(Rejected::Audience);
    }
    let earliest = expected.now.minus(expected.leeway);
    let latest = expected.now.plus(expected.leeway);
    match time(claims, "exp")? {
        // RFC 7519 §4.1.4: "on or after" its expiry a token is not accepted.
        Some(expiry) if expiry <= earliest => return Err(Rejected::Expired),
        None if expected.expiry_required => return Err(Rejected::Expired),
        _ => {}
    }
    for claim in ["nbf", "iat"] {
        if time(claims, claim)?.is_some_and(|time| time > latest) {
            return Err(Rejected::NotYetValid);
        }
    }
    Ok(())
}

/// RFC 7519 §4.1.3: one string, or an array of strings.
fn has_audience(aud: Option<&Value>, audience: &str) -> bool {
    match aud {
        Some(Value::String(one)) => one == audience,
        Some(Value::Array(several)) => {
            several.iter().all(Value::is_string) && several.iter().any(|one| one.as_str() == Some(audience))
        }
        _ => false,
    }
}

/// A `NumericDate` (RFC 7519 §2), which may have a fraction.
fn time(claims: &Map<String, Value>, claim: &str) -> Result<Option<Time>, Rejected> {
    let Some(value) = claims.get(claim) else {
        return Ok(None);
    };
    if let Some(seconds) = value.as_i64() {
        return Ok(Some(Time::from_seconds(seconds)));
    }
    let seconds = value.as_f64().ok_or(Rejected::Malformed)?;
    // Through `Duration`, since a float does not convert to an integer without `as`.
    let since_epoch = Duration::try_from_secs_f64(seconds).map_err(|_| Rejected::Malformed)?;
    Ok(Some(Time::from_ms(0).plus(since_epoch)))
}
