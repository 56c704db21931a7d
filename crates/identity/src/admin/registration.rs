use std::time::Duration;

use axum::extract::Path;
use base::problem::FieldError;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{AdminCx, AdminError, Answer, Body, done, ok, page};
use crate::register::Policy;
use crate::register::initial::{self, InitialToken, NewToken};

pub async fn list_registration_tokens(AdminCx(mut cx): AdminCx) -> Answer {
    let items: Vec<Value> = initial::list(&mut cx).await?.iter().map(view).collect();
    Ok(page(&items, None))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct New {
    name: String,
    /// Any number, if it is not given.
    uses: Option<u32>,
    expires_in_s: Option<u64>,
    #[serde(default)]
    policy: Policy,
}

/// The only answer that ever holds the token.
pub async fn create_registration_token(AdminCx(mut cx): AdminCx, Body(new): Body<New>) -> Answer {
    if new.name.is_empty() || new.name.len() > 200 || new.name.chars().any(char::is_control) {
        let detail = "must be text of at most 200 bytes".to_owned();
        return Err(AdminError::invalid(vec![FieldError { pointer: "/name".to_owned(), detail }]));
    }
    let lifetime = new.expires_in_s.map(Duration::from_secs);
    let new = NewToken { name: new.name, policy: new.policy, uses: new.uses, lifetime };
    let (made, token) = initial::create(&mut cx, new).await?;
    cx.commit().await?;
    let mut shown = view(&made);
    if let Some(members) = shown.as_object_mut() {
        members.insert("token".to_owned(), json!(token.expose()));
    }
    Ok(ok(&shown))
}

pub async fn delete_registration_token(AdminCx(mut cx): AdminCx, Path(token): Path<String>) -> Answer {
    if !initial::delete(&mut cx, &token).await? {
        return Err(AdminError::not_found("registration token"));
    }
    cx.commit().await?;
    Ok(done())
}

fn view(token: &InitialToken) -> Value {
    json!({
        "id": token.token_id, "name": token.name, "usesLeft": token.uses_left, "policy": token.policy,
        "createdAt": token.created_at, "expiresAt": token.expires_at,
    })
}
