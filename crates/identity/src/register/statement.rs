//! Software statements (RFC 7591 §2.3): what somebody whom the operator trusts says of a client, signed. What it says
//! stands before what the request says (§3.1.1), also in later updates: a client does not get rid of it by leaving it out.

use std::time::Duration;

use base::Time;
use jose::hash::base64url_decode;
use jose::{Algorithm, Expected, KeySet};
use serde_json::{Map, Value};

use super::error::{Error, invalid_software_statement, unapproved_software_statement};

const MEMBER: &str = "software_statement";
/// By how much clocks may differ.
const LEEWAY: Duration = Duration::from_secs(30);
/// About the statement itself (RFC 7519 §4.1), or no statement about a client.
const NOT_METADATA: [&str; 8] = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", MEMBER];

/// Whose statements are believed.
#[derive(Debug, Clone)]
pub struct StatementIssuer {
    /// `iss` of the statements.
    pub issuer: String,
    pub keys: KeySet,
}

/// Who reads a statement, and when.
pub struct Reader<'a> {
    pub trusted: &'a [StatementIssuer],
    /// This server, if the statement says for whom it is.
    pub issuer: &'a str,
    pub now: Time,
}

impl Reader<'_> {
    /// The request with what its statement says. `before` is the statement that the client was registered with: it
    /// stays, unless another one takes its place.
    pub fn merge(&self, request: &Map<String, Value>, before: Option<&str>) -> Result<Map<String, Value>, Error> {
        let statement = match request.get(MEMBER) {
            None | Some(Value::Null) => None,
            Some(Value::String(statement)) => Some(statement.as_str()),
            Some(_) => return Err(invalid_software_statement("must be a signed JWT")),
        };
        let (statement, said) = match (statement, before) {
            (None, None) => return Ok(request.clone()),
            // It was verified when the client was registered; it may have expired since.
            (None, Some(before)) => (before, payload(before)),
            (Some(again), Some(before)) if again == before => (before, payload(before)),
            (Some(new), _) => (new, self.verify(new)?),
        };
        let mut merged = request.clone();
        for (name, value) in said {
            if !NOT_METADATA.contains(&name.as_str()) {
                merged.insert(name, value);
            }
        }
        merged.insert(MEMBER.to_owned(), statement.into());
        Ok(merged)
    }

    fn verify(&self, statement: &str) -> Result<Map<String, Value>, Error> {
        let issuer = jose::unverified_text(statement, "iss");
        let issuer = issuer.ok_or_else(|| invalid_software_statement("is no JWT that names its issuer"))?;
        let mut trusted = self.trusted.iter();
        let known = trusted.find(|trusted| trusted.issuer == issuer).ok_or_else(unapproved_software_statement)?;
        let expected = Expected {
            types: &[],
            issuer: Some(&known.issuer),
            audience: None,
            algorithms: &Algorithm::ALL,
            now: self.now,
            leeway: LEEWAY,
            expiry_required: false,
        };
        let verified = known.keys.verify(statement, &expected).map_err(|rejected| {
            tracing::info!(statement.issuer = issuer, reason = rejected.as_str(), "a software statement was refused");
            invalid_software_statement("is not signed by a key of its issuer, or its time is over")
        })?;
        // RFC 7519 §4.1.3: what is for others is not for us.
        let for_us = |value: &Value| value.as_str() == Some(self.issuer);
        let meant = match verified.claims.get("aud") {
            None => true,
            Some(Value::Array(several)) => several.iter().any(for_us),
            Some(one) => for_us(one),
        };
        if meant { Ok(verified.claims) } else { Err(invalid_software_statement("is meant for another server")) }
    }
}

/// What a statement says that was verified before it was stored.
fn payload(statement: &str) -> Map<String, Value> {
    let bytes = statement.split('.').nth(1).and_then(base64url_decode);
    bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}
