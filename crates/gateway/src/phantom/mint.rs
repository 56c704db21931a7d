//! Where the issuer gives no JWT to send on (RFC 7662, RFC 9701), the gateway signs one with a key of
//! its own, so that every service behind receives the same thing: a short-lived JWT that it can verify.

use std::io;
use std::path::Path;
use std::time::Duration;

use base::ids::TokenId;
use base::{Secret, Time};
use jose::{Algorithm, SigningKey};
use serde_json::{Map, Value, json};

use super::NoFacts;
use crate::files;

/// How long such a JWT is good; never longer than the token.
pub(crate) const LIFETIME: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub(crate) struct Minter {
    key: SigningKey,
    /// The gateway's public URL.
    issuer: String,
}

impl Minter {
    /// The key of this data folder; made when there is none.
    pub fn open(folder: &Path, issuer: &str) -> io::Result<Self> {
        let path = folder.join("signing-key.jwk");
        let key = match std::fs::read_to_string(&path) {
            Ok(text) => SigningKey::from_jwk(&Secret::new(text)).map_err(io::Error::other)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = SigningKey::generate(Algorithm::Es256).map_err(io::Error::other)?;
                files::write_private(&path, key.to_jwk().expose().as_bytes())?;
                key
            }
            Err(error) => return Err(error),
        };
        Ok(Self { key, issuer: issuer.to_owned() })
    }

    pub fn jwks(&self) -> Value {
        json!({"keys": [self.key.public_jwk()]})
    }

    /// A JWT (RFC 9068) with the verified claims, for one audience.
    pub fn mint(
        &self,
        verified: &Map<String, Value>,
        token_issuer: &str,
        audience: &str,
        now: Time,
    ) -> Result<String, NoFacts> {
        let latest = now.plus(LIFETIME).seconds();
        let expires = verified.get("exp").and_then(Value::as_i64).map_or(latest, |own| own.min(latest));
        let mut claims = Map::new();
        for (name, value) in verified {
            if !matches!(
                name.as_str(),
                "active" | "token_type" | "iss" | "aud" | "exp" | "iat" | "nbf" | "jti" | "username"
            ) {
                claims.insert(name.clone(), value.clone());
            }
        }
        claims.insert("iss".to_owned(), json!(self.issuer));
        // Two issuers may both know a subject `1`.
        claims.insert("token_issuer".to_owned(), json!(token_issuer));
        claims.insert("aud".to_owned(), json!(audience));
        claims.insert("iat".to_owned(), json!(now.seconds()));
        claims.insert("exp".to_owned(), json!(expires));
        claims.insert("jti".to_owned(), json!(TokenId::random()));
        // As the identity system marks its own: not to be accepted from a caller.
        claims.insert("token_use".to_owned(), json!("inner"));
        self.key.sign("at+jwt", &claims).map_err(|error| {
            tracing::error!(cause = %error, "the gateway's own key cannot sign");
            NoFacts::Unavailable("the gateway cannot sign")
        })
    }
}
