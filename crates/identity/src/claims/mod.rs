//! Claims about people and clients: the standard ones of OpenID Connect, and those that scopes bring by
//! contract. A scope whose contract cannot be kept is not granted: no token says `orders_read` without the
//! `account_nr` that the API behind relies on.

#[cfg(test)]
mod tests;

use std::fmt;

use base::ids::UserId;
use base::scope::Scopes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::clients::ClientSpec;
use crate::scopes::Catalog;

/// Where a contracted claim comes from: `user.<attribute>` or `client.<attribute>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    User(String),
    Client(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(f, "user.{name}"),
            Self::Client(name) => write!(f, "client.{name}"),
        }
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.split_once('.') {
            Some(("user", name)) if !name.is_empty() => Ok(Self::User(name.to_owned())),
            Some(("client", name)) if !name.is_empty() => Ok(Self::Client(name.to_owned())),
            _ => Err(serde::de::Error::custom("a claim comes from `user.<attribute>` or `client.<attribute>`")),
        }
    }
}

/// One source, or several of which the first that has a value counts. Where a contract names both kinds, a person's tokens
/// take the person's and a client's own tokens the client's: what a person lacks is never filled in from the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources(Vec<Source>);

impl Serialize for Sources {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => one.serialize(serializer),
            several => several.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Sources {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let of_text = |value| serde_json::from_value(value).map_err(serde::de::Error::custom);
        let sources = match Value::deserialize(deserializer)? {
            Value::Array(several) => several.into_iter().map(of_text).collect::<Result<Vec<_>, _>>()?,
            one => vec![of_text(one)?],
        };
        if sources.is_empty() {
            return Err(serde::de::Error::custom("a claim comes from at least one source"));
        }
        Ok(Self(sources))
    }
}

impl Sources {
    fn value<'a>(&self, person: Option<&'a Person>, client: &'a ClientSpec) -> Option<&'a Value> {
        let personal = person.is_some() && self.0.iter().any(|source| matches!(source, Source::User(_)));
        self.0.iter().find_map(|source| match source {
            Source::User(name) => person.and_then(|person| person.source(name)),
            Source::Client(_) if personal => None,
            Source::Client(name) => client.attributes.get(name).and_then(present),
        })
    }
}

/// Claims that the token service sets itself; no contract may name them.
const RESERVED: [&str; 25] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "client_id",
    "scope",
    "typ",
    "azp",
    "nonce",
    "auth_time",
    "acr",
    "amr",
    "sid",
    "grant_id",
    "at_hash",
    "c_hash",
    "s_hash",
    "cnf",
    "act",
    "active",
    "handle",
    "token_use",
];

pub fn is_reserved(claim: &str) -> bool {
    RESERVED.contains(&claim) || matches!(claim, "token_type" | "token_introspection" | "events" | "sub_id" | "may_act")
}

/// A person, as far as claims go.
#[derive(Debug, Clone, PartialEq)]
pub struct Person {
    pub user_id: UserId,
    pub username: String,
    /// The account's document: `name`, `email`, `attributes`, …
    pub spec: Value,
}

impl Person {
    fn field(&self, name: &str) -> Option<&Value> {
        present(self.spec.get(name)?)
    }

    fn attribute(&self, name: &str) -> Option<&Value> {
        present(self.spec.get("attributes")?.get(name)?)
    }

    /// An attribute, or a field of the account such as `email`.
    fn source(&self, name: &str) -> Option<&Value> {
        self.attribute(name).or_else(|| self.field(name))
    }
}

fn present(value: &Value) -> Option<&Value> {
    let absent = value.is_null() || value.as_str().is_some_and(str::is_empty);
    (!absent).then_some(value)
}

/// What a set of scopes comes to for one person and client.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Contracted {
    /// The scopes whose contract is kept.
    pub scopes: Scopes,
    pub claims: Map<String, Value>,
    /// The scopes that cannot be granted, since a claim is missing.
    pub missing: Scopes,
}

/// Applies the contracts of `scopes`. `person` is None for a client that acts by itself.
pub fn contracted(catalog: &Catalog, person: Option<&Person>, client: &ClientSpec, scopes: &Scopes) -> Contracted {
    let mut out = Contracted::default();
    let (mut kept, mut missing) = (Vec::new(), Vec::new());
    for scope in scopes.iter() {
        let contract = catalog.scopes.get(scope).map(|spec| &spec.claims);
        let mut claims = Map::new();
        let whole = contract.into_iter().flatten().all(|(claim, sources)| {
            sources.value(person, client).is_some_and(|value| {
                claims.insert(claim.clone(), value.clone());
                true
            })
        });
        if whole {
            kept.push(scope);
            out.claims.append(&mut claims);
        } else {
            missing.push(scope);
        }
    }
    out.scopes = kept.into_iter().collect();
    out.missing = missing.into_iter().collect();
    out
}

/// The standard claims (OpenID Connect Core §5.1) that `profile` and `email` bring to userinfo.
pub fn standard(person: &Person, scopes: &Scopes) -> Map<String, Value> {
    const PROFILE: [&str; 13] = [
        "name",
        "given_name",
        "family_name",
        "middle_name",
        "nickname",
        "profile",
        "picture",
        "website",
        "gender",
        "birthdate",
        "zoneinfo",
        "locale",
        "updated_at",
    ];
    let mut claims = Map::new();
    if scopes.contains("profile") {
        claims.insert("preferred_username".to_owned(), person.username.clone().into());
        for name in PROFILE {
            if let Some(value) = person.source(name) {
                claims.insert(name.to_owned(), value.clone());
            }
        }
    }
    if scopes.contains("email")
        && let Some(email) = person.source("email")
    {
        claims.insert("email".to_owned(), email.clone());
        let verified = person.field("emailVerified").and_then(Value::as_bool).unwrap_or(false);
        claims.insert("email_verified".to_owned(), verified.into());
    }
    claims
}

/// Reads a person out of columns `user_id`, `username` and `user_spec` of a row; None where they are null.
pub(crate) fn person_of(row: &::store::Row) -> Result<Option<Person>, ::store::StoreError> {
    let (Some(user_id), Some(username), Some(spec)) =
        (row.opt_string("person_id")?, row.opt_string("username")?, row.opt_text("user_spec")?)
    else {
        return Ok(None);
    };
    let spec = serde_json::from_str(spec).map_err(|_| ::store::StoreError::Invalid)?;
    Ok(Some(Person { user_id: user_id.into(), username, spec }))
}

/// The person of an account that is not disabled.
pub async fn person(cx: &mut crate::Cx, user_id: &UserId) -> Result<Option<Person>, ::store::StoreError> {
    let sql = "SELECT user_id AS person_id, username, spec AS user_spec FROM users
        WHERE user_id = $1 AND disabled_at IS NULL";
    match cx.tx.read_one(sql, &::store::params![user_id]).await? {
        Some(row) => person_of(&row),
        None => Ok(None),
    }
}
