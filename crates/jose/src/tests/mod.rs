//! Tests of the rules: published vectors, other implementations, and tokens with one thing wrong.

mod encryption;
mod interop;
mod keys;
mod refused;
mod sealing;
mod vectors;

use std::time::Duration;

use base::{Secret, Time};
use serde_json::{Value, json};

use crate::{Algorithm, Expected, KeySet, Rejected, SigningKey, Verified, hash};

/// Examples of RFC 7515, 7516, 7517, 7520 and 8037.
fn rfc() -> Value {
    serde_json::from_str(include_str!("../../vectors/rfc.json")).unwrap()
}

/// Keys and tokens made by another implementation.
fn elsewhere() -> Value {
    serde_json::from_str(include_str!("../../vectors/joserfc.json")).unwrap()
}

/// A fixed key, since making RSA keys is slow.
fn key(algorithm: Algorithm) -> SigningKey {
    let jwk = &elsewhere()["jws"][algorithm.as_str()]["key"];
    SigningKey::from_jwk(&Secret::from(jwk.to_string())).unwrap()
}

fn key_set(key: &SigningKey) -> KeySet {
    KeySet::from_jwks([key.public_jwk()])
}

fn expected() -> Expected<'static> {
    Expected {
        types: &["at+jwt"],
        issuer: Some("https://issuer.test"),
        audience: Some("https://api.test"),
        algorithms: &Algorithm::ALL,
        now: Time::from_seconds(1_000),
        leeway: Duration::from_secs(10),
        expiry_required: true,
    }
}

/// Only the signature and what cannot be switched off.
fn anything(now: i64) -> Expected<'static> {
    Expected {
        types: &[],
        issuer: None,
        audience: None,
        now: Time::from_seconds(now),
        expiry_required: false,
        ..expected()
    }
}

fn claims() -> Value {
    json!({"iss": "https://issuer.test", "aud": "https://api.test", "sub": "alice", "exp": 2_000})
}

/// The good claims with one member set, or removed by null.
fn claims_with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    let members = claims.as_object_mut().unwrap();
    if value.is_null() {
        members.remove(name);
    } else {
        members.insert(name.to_owned(), value);
    }
    claims
}

/// A token with any header, rightly signed.
fn signed(key: &SigningKey, header: &str, payload: &str) -> String {
    let message = format!("{}.{}", hash::base64url(header.as_bytes()), hash::base64url(payload.as_bytes()));
    let signature = key.signature(message.as_bytes()).unwrap();
    format!("{message}.{}", hash::base64url(&signature))
}

fn verify(token: &str) -> Result<Verified, Rejected> {
    key_set(&key(Algorithm::Es256)).verify(token, &expected())
}
