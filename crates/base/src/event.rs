//! Security events between the identity system and its peers: the types of RFC 8417 events and the
//! subjects of RFC 9493 that Cardea sends and understands.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// `typ` of a security event token (RFC 8417 §2.3).
pub const TYP: &str = "secevent+jwt";

pub const SESSION_REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
pub const ACCOUNT_DISABLED: &str = "https://schemas.openid.net/secevent/risc/event-type/account-disabled";
pub const TOKEN_REVOKED: &str = "https://schemas.openid.net/secevent/oauth/event-type/token-revoked";
pub const TOKENS_REVOKED: &str = "https://schemas.openid.net/secevent/oauth/event-type/tokens-revoked";
pub const KEY_REVOKED: &str = "https://cardea.dev/secevent/event-type/key-revoked";

/// What has been revoked. Everything that was issued before the event and bears this subject is dead.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", content = "id", rename_all = "snake_case")]
pub enum Revoked {
    /// One access token, by its `jti`.
    Token(String),
    /// A grant, by the `grant_id` claim.
    Grant(String),
    /// A user, by `sub`.
    User(String),
    /// A client, by `client_id`.
    Client(String),
    /// A login session, by `sid`.
    Session(String),
    /// A signing key, by `kid`.
    Key(String),
}

impl Revoked {
    /// The event type URI of this revocation.
    pub fn event_type(&self) -> &'static str {
        match self {
            Self::Token(_) => TOKEN_REVOKED,
            Self::Grant(_) | Self::Client(_) => TOKENS_REVOKED,
            Self::User(_) => ACCOUNT_DISABLED,
            Self::Session(_) => SESSION_REVOKED,
            Self::Key(_) => KEY_REVOKED,
        }
    }

    /// The `sub_id` of the event (RFC 9493).
    pub fn subject(&self, issuer: &str) -> Value {
        match self {
            Self::Token(id) => json!({"format": "jwt_id", "iss": issuer, "jti": id}),
            Self::User(id) => json!({"format": "iss_sub", "iss": issuer, "sub": id}),
            Self::Grant(id) => complex("grant", id),
            Self::Client(id) => complex("client", id),
            Self::Session(id) => complex("session", id),
            Self::Key(id) => complex("key", id),
        }
    }

    /// Reads the `sub_id` of an event back; `None` for a subject that Cardea does not know.
    pub fn from_subject(subject: &Value) -> Option<Self> {
        let text = |value: &Value, key: &str| value.get(key)?.as_str().map(str::to_owned);
        match subject.get("format")?.as_str()? {
            "jwt_id" => text(subject, "jti").map(Self::Token),
            "iss_sub" => text(subject, "sub").map(Self::User),
            "complex" => {
                let id = |member: &str| text(subject.get(member)?, "id");
                None.or_else(|| id("grant").map(Self::Grant))
                    .or_else(|| id("client").map(Self::Client))
                    .or_else(|| id("session").map(Self::Session))
                    .or_else(|| id("key").map(Self::Key))
            }
            _ => None,
        }
    }
}

fn complex(member: &str, id: &str) -> Value {
    let mut subject = Map::new();
    subject.insert("format".to_owned(), Value::from("complex"));
    subject.insert(member.to_owned(), json!({"format": "opaque", "id": id}));
    Value::Object(subject)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_read_back() {
        for revoked in [
            Revoked::Token("t".into()),
            Revoked::Grant("g".into()),
            Revoked::User("u".into()),
            Revoked::Client("c".into()),
            Revoked::Session("s".into()),
            Revoked::Key("k".into()),
        ] {
            let subject = revoked.subject("https://issuer.test");

            assert_eq!(Revoked::from_subject(&subject), Some(revoked));
        }
    }
}
