//! Ids are types of their own, so that one cannot be given where another is meant.

use serde::{Deserialize, Serialize};

use crate::random;
use crate::time::Time;

macro_rules! text_ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// A new id: a UUID version 7 as 32 hexadecimal digits, so that ids sort by time.
            pub fn random() -> Self {
                Self(uuid::Uuid::now_v7().simple().to_string())
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<String> for $name {
            fn from(value: String) -> Self {
                Self(value)
            }
        }

        impl From<&str> for $name {
            fn from(value: &str) -> Self {
                Self(value.to_owned())
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

text_ids! {
    /// `client_id` of RFC 6749 §2.2.
    ClientId;
    /// A person's account; the `sub` of tokens issued for that person.
    UserId;
    /// A login session at the identity system; the `sid` of OpenID Connect.
    SessionId;
    /// What a user (or a client for itself) has granted; every token belongs to one.
    GrantId;
    /// `kid` of a key.
    KeyId;
    /// `jti` of a token or event.
    TokenId;
    /// One request, from the edge to the last log line.
    RequestId;
}

impl RequestId {
    /// As [`RequestId::random`], without asking the operating system: one is made for every request.
    pub fn unique(now: Time) -> Self {
        let millis = u64::try_from(now.ms()).unwrap_or(0);
        let id = uuid::Builder::from_unix_timestamp_millis(millis, &random::unique::<10>()).into_uuid();
        Self(id.simple().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_are_uuids_of_version_7() {
        let id = RequestId::unique(Time::from_seconds(1_700_000_000));

        assert!(id.as_str().starts_with("018bcfe56800"), "{id}");
        assert_eq!(&id.as_str()[12..13], "7");
        assert_ne!(id, RequestId::unique(Time::from_seconds(1_700_000_000)));
    }

    #[test]
    fn ids_sort_by_time() {
        let first = GrantId::random();
        let second = GrantId::random();

        assert_eq!(first.as_str().len(), 32);
        assert!(first < second);
    }
}
