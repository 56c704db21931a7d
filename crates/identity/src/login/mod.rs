//! Signing in with user name and password: what is counted, checked and said.
//!
//! Unknown, locked, disabled, without a password, wrong password, too many attempts: the same work, the same
//! answer (R23). Every guess is counted and committed before its hash is computed (R25); a right one is
//! given back. After too many, even the right password is wrong.

mod http;
mod pages;
#[cfg(test)]
mod tests;

use ::store::StoreError;
use base::Secret;
use base::ids::UserId;
use serde_json::json;

pub use http::routes;

use crate::Cx;
use crate::accounts::budgets::{self, Counted};
use crate::accounts::devices::{self, KnownDevice};
use crate::accounts::{self, User};
use crate::audit::{self, Act, Outcome, Record};

/// What somebody claims.
pub struct Attempt {
    pub username: String,
    pub password: Secret<String>,
    /// The long-lived cookie of a browser that has been here before.
    pub device: Option<String>,
}

pub enum Verdict {
    Right(Box<User>),
    Wrong,
    /// Too many are being checked; nothing was counted.
    Busy,
}

/// What is known once the guess has been counted.
struct Prepared {
    user: Option<User>,
    hash: Option<accounts::PasswordHash>,
    known: Option<KnownDevice>,
    counted: Vec<Counted>,
    within: bool,
}

/// Checks a password. Returns a context with a transaction of its own, since the attempt is committed
/// before the hash is computed, and nothing may wait for a hash with a transaction open.
pub async fn prove(mut cx: Cx, attempt: Attempt) -> Result<(Cx, Verdict), StoreError> {
    let identity = cx.identity.clone();
    let prepared = prepare(&mut cx, &attempt).await?;
    let mut after = cx.again();
    cx.commit().await?;

    let checked = identity.passwords.check(attempt.password.clone(), prepared.hash.clone()).await;
    after.now = identity.clock.now();
    let Ok(checked) = checked else {
        identity.metrics.login("busy");
        give_back(&mut after, &prepared).await?;
        return Ok((after, Verdict::Busy));
    };
    let Some(user) = prepared.user.clone().filter(|_| checked.right && prepared.within) else {
        identity.metrics.login(if prepared.within { "wrong" } else { "throttled" });
        note_failure(&mut after, &prepared).await?;
        return Ok((after, Verdict::Wrong));
    };
    // Before anything is written: nothing may wait for a hash with a transaction open.
    let fresh = match checked.outdated {
        true => identity.passwords.hash(attempt.password).await.ok(),
        false => None,
    };
    // The hash took a while: the password may have been changed, or the user disabled, and their sessions ended.
    let right = match &prepared.hash {
        Some(hash) => accounts::hold(&mut after, &user.user_id, hash).await?,
        None => false,
    };
    if !right {
        identity.metrics.login("wrong");
        note_failure(&mut after, &prepared).await?;
        return Ok((after, Verdict::Wrong));
    }
    identity.metrics.login("right");
    if let Some(fresh) = &fresh {
        // Where there was no time for it, another login will do it.
        accounts::rehash(&mut after, &user.user_id, fresh).await?;
    }
    give_back(&mut after, &prepared).await?;
    if let Some(device) = &prepared.known {
        budgets::forget(&mut after, device).await?;
    }
    Ok((after, Verdict::Right(Box::new(user))))
}

async fn prepare(cx: &mut Cx, attempt: &Attempt) -> Result<Prepared, StoreError> {
    // A name that no account can have is not looked up: the database would not take it.
    let username = accounts::normal_username(&attempt.username);
    let username = if username.contains('\0') || username.len() > 1024 { String::new() } else { username };
    let user = accounts::find_by_username(cx, &username).await?;
    // The same statements whether there is such a user or not, so that the time does not tell.
    let user_id = user.as_ref().map_or_else(|| UserId::from(""), |user| user.user_id.clone());
    let known = match &attempt.device {
        Some(cookie) => devices::find(cx, cookie, &user_id).await?,
        None => None,
    };
    let hash = accounts::password_of(cx, &user_id).await?;
    let mut counted = Vec::new();
    for budget in budgets::for_login(cx, &username, known.as_ref()) {
        counted.push(budgets::count(cx, &budget).await?);
    }
    let within = counted.iter().all(|counted| counted.within);
    let may_log_in = within && user.as_ref().is_some_and(|user| user.disabled_at.is_none());
    let hash = hash.filter(|_| may_log_in);
    Ok(Prepared { user, hash, known, counted, within })
}

async fn give_back(cx: &mut Cx, prepared: &Prepared) -> Result<(), StoreError> {
    for counted in &prepared.counted {
        budgets::give_back(cx, counted).await?;
    }
    Ok(())
}

async fn note_failure(cx: &mut Cx, prepared: &Prepared) -> Result<(), StoreError> {
    let act = if prepared.within { Act::LoginFailed } else { Act::LoginThrottled };
    let record = Record {
        outcome: Outcome::Denied,
        subject: prepared.user.as_ref().map(|user| user.user_id.clone()),
        detail: json!({"network": cx.network.to_canonical().to_string()}),
        ..Record::default()
    };
    audit::record(cx, act, record).await
}
