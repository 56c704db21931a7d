//! People's accounts: who they are, what is known of them, and their passwords.
//!
//! Identity is the only master of users. A user name is compared without regard to case and to white space
//! around it. Passwords: argon2id (RFC 9106), 8 characters to 1024 bytes, no rules about their composition
//! (NIST SP 800-63B §3.1.1.2); their bytes are taken as they come, no Unicode normalisation is applied.
//! How often a password may be guessed: [`budgets`]. Checking one at a login: [`crate::login`].

pub mod budgets;
pub mod devices;
pub mod passwords;
mod store;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use ::store::StoreError;
use base::event::Revoked;
use base::ids::UserId;
use base::{Secret, Time};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use passwords::{Busy, PasswordHash, Passwords};
pub use store::{find, find_by_username, hold, list, password_of};

use crate::applied::{Applied, Faults, Refused};
use crate::audit::{self, Act, Record};
use crate::{Cx, events, grants, sessions};

/// A user as an administrator writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UserSpec {
    /// The resource's name.
    #[serde(default)]
    pub username: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    #[serde(default)]
    pub email_verified: bool,
    /// What scopes may bring as claims.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, Value>,
}

impl UserSpec {
    /// The name that people see.
    pub fn display_name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.username)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub user_id: UserId,
    pub spec: UserSpec,
    pub created_at: Time,
    pub updated_at: Time,
    pub disabled_at: Option<Time>,
}

/// The form in which user names are stored and compared.
pub fn normal_username(text: &str) -> String {
    text.trim().to_lowercase()
}

/// Creates or changes a user.
pub async fn apply(cx: &mut Cx, spec: &UserSpec) -> Result<(UserId, Applied), Refused> {
    check(spec)?;
    let spec = UserSpec { username: normal_username(&spec.username), ..spec.clone() };
    let (user_id, applied) = match find_by_username(cx, &spec.username).await? {
        Some(user) if user.spec == spec => return Ok((user.user_id, Applied::Unchanged)),
        Some(user) => {
            store::update(cx, &user.user_id, &spec).await?;
            (user.user_id, Applied::Updated)
        }
        None => (store::insert(cx, &spec).await?, Applied::Created),
    };
    let act = if applied == Applied::Created { Act::UserCreated } else { Act::UserUpdated };
    audit::record(cx, act, about(&user_id)).await?;
    Ok((user_id, applied))
}

fn check(spec: &UserSpec) -> Result<(), Refused> {
    let mut faults = Faults::default();
    let username = normal_username(&spec.username);
    let length = username.chars().count();
    faults.add_if(!(1..=128).contains(&length), "/username", "a user name has 1 to 128 characters");
    faults.add_if(username.chars().any(char::is_control), "/username", "a user name has no control characters");
    let long = |text: &Option<String>| text.as_ref().is_some_and(|text| text.chars().count() > 256);
    faults.add_if(long(&spec.name), "/name", "a name has at most 256 characters");
    faults.add_if(long(&spec.email), "/email", "a mail address has at most 256 characters");
    let no_mail = spec.email.as_ref().is_some_and(|email| !email.contains('@'));
    faults.add_if(no_mail, "/email", "a mail address has an `@`");
    faults.into_result()
}

/// Sets a password as an administrator does: every session of the user ends.
///
/// Hashes before it writes, so nothing may have been written in this transaction yet.
pub async fn set_password(cx: &mut Cx, user_id: &UserId, password: Secret<String>) -> Result<(), Refused> {
    if find(cx, user_id).await?.is_none() {
        return Err(Refused::NotFound("user"));
    }
    if let Err(weak) = passwords::check(password.expose()) {
        let mut faults = Faults::default();
        faults.add("/password", weak.to_string());
        faults.into_result()?;
    }
    let identity = cx.identity.clone();
    let hash = identity.passwords.hash(password).await;
    let hash = hash.map_err(|Busy| Refused::NotAllowed("too many passwords are being checked; try again"))?;
    store_password(cx, user_id, &hash).await?;
    devices::forget_others(cx, user_id, None).await?;
    sessions::end_of_user(cx, user_id, None, "password set").await?;
    Ok(())
}

/// Stores the hash of a password that has been checked.
pub async fn store_password(cx: &mut Cx, user_id: &UserId, hash: &PasswordHash) -> Result<(), StoreError> {
    store::set_password(cx, user_id, hash).await?;
    audit::record(cx, Act::PasswordSet, about(user_id)).await
}

/// Replaces the hash of an unchanged password by one with today's parameters.
pub async fn rehash(cx: &mut Cx, user_id: &UserId, hash: &PasswordHash) -> Result<(), StoreError> {
    store::set_password(cx, user_id, hash).await
}

/// Shuts a user out: sessions and grants end now, everywhere.
pub async fn disable(cx: &mut Cx, user_id: &UserId) -> Result<(), Refused> {
    if !store::disable(cx, user_id).await? {
        return not_there_or_done(cx, user_id).await;
    }
    shut_out(cx, user_id, "user disabled").await?;
    audit::record(cx, Act::UserDisabled, about(user_id)).await?;
    Ok(())
}

pub async fn enable(cx: &mut Cx, user_id: &UserId) -> Result<(), Refused> {
    if !store::enable(cx, user_id).await? {
        return not_there_or_done(cx, user_id).await;
    }
    audit::record(cx, Act::UserEnabled, about(user_id)).await?;
    Ok(())
}

pub async fn delete(cx: &mut Cx, user_id: &UserId) -> Result<(), Refused> {
    if find(cx, user_id).await?.is_none() {
        return Err(Refused::NotFound("user"));
    }
    shut_out(cx, user_id, "user deleted").await?;
    store::delete(cx, user_id).await?;
    audit::record(cx, Act::UserDeleted, about(user_id)).await?;
    Ok(())
}

async fn shut_out(cx: &mut Cx, user_id: &UserId, reason: &'static str) -> Result<(), StoreError> {
    sessions::end_living(cx, user_id, None, reason).await?;
    grants::revoke_of_user(cx, user_id, reason).await?;
    events::append(cx, Revoked::User(user_id.to_string()), reason).await
}

async fn not_there_or_done(cx: &mut Cx, user_id: &UserId) -> Result<(), Refused> {
    match find(cx, user_id).await? {
        Some(_) => Ok(()),
        None => Err(Refused::NotFound("user")),
    }
}

fn about(user_id: &UserId) -> Record {
    Record { subject: Some(user_id.clone()), ..Record::default() }
}
