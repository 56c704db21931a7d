//! Consent: which scopes a user lets a client have. Asked once per scope, remembered, withdrawn by the user.
//!
//! What is granted follows from the request, which is checked again, from the session, and from what the page
//! showed to this very user; the form adds only which optional scopes were ticked (R22).

mod http;
mod pages;
mod store;
#[cfg(test)]
mod tests;

use ::store::StoreError;
use base::Time;
use base::ids::{ClientId, UserId};
use base::scope::Scopes;
use serde_json::json;

pub use http::routes;
pub use pages::domain;
pub use store::{list_of_user, remembered};

use crate::Cx;
use crate::audit::{self, Act, Outcome, Record};

/// Without it the request would be another one: it cannot be unticked.
pub const REQUIRED: &str = "openid";

/// One scope that a user let a client have, and that it will not ask for again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    pub client_id: ClientId,
    pub scope: String,
    pub since: Time,
}

/// What is granted of what was asked, when these were ticked.
pub fn granted(asked: &Scopes, ticked: &Scopes) -> Scopes {
    asked.iter().filter(|scope| *scope == REQUIRED || ticked.contains(scope)).collect()
}

/// Remembers what was granted, and forgets what was asked and unticked.
pub async fn give(
    cx: &mut Cx,
    user_id: &UserId,
    client_id: &ClientId,
    asked: &Scopes,
    granted: &Scopes,
) -> Result<(), StoreError> {
    for scope in granted.iter() {
        store::insert(cx, user_id, client_id, scope).await?;
    }
    for scope in asked.without(granted).iter() {
        store::delete(cx, user_id, client_id, scope).await?;
    }
    note(cx, Act::ConsentGiven, user_id, client_id, granted).await
}

pub async fn deny(cx: &mut Cx, user_id: &UserId, client_id: &ClientId, asked: &Scopes) -> Result<(), StoreError> {
    note(cx, Act::ConsentDenied, user_id, client_id, asked).await
}

/// The user takes it back: the client has to ask again.
pub async fn withdraw(cx: &mut Cx, user_id: &UserId, client_id: &ClientId) -> Result<(), StoreError> {
    let before = store::delete_all(cx, user_id, client_id).await?;
    if before.is_empty() {
        return Ok(());
    }
    note(cx, Act::ConsentWithdrawn, user_id, client_id, &before).await
}

async fn note(
    cx: &mut Cx,
    act: Act,
    user_id: &UserId,
    client_id: &ClientId,
    scopes: &Scopes,
) -> Result<(), StoreError> {
    let record = Record {
        outcome: if act == Act::ConsentDenied { Outcome::Denied } else { Outcome::Success },
        subject: Some(user_id.clone()),
        client_id: Some(client_id.clone()),
        detail: json!({"scopes": scopes.to_string()}),
        ..Record::default()
    };
    audit::record(cx, act, record).await
}
