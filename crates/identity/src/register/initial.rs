//! Initial access tokens (RFC 7591 §3): made by an administrator for one registrar, for some uses or some time.

use std::time::Duration;

use ::store::StoreError;
use base::{Secret, Time, handle};
use serde_json::json;

use super::{Policy, hash_of, store};
use crate::Cx;
use crate::audit::{self, Act};

pub use store::InitialToken;

/// What a new token is to be.
#[derive(Debug, Clone)]
pub struct NewToken {
    pub name: String,
    pub policy: Policy,
    /// None for any number.
    pub uses: Option<u32>,
    pub lifetime: Option<Duration>,
}

/// Makes a token, and tells it this once.
pub async fn create(cx: &mut Cx, new: NewToken) -> Result<(InitialToken, Secret<String>), StoreError> {
    let token = Secret::new(handle::encode(handle::INITIAL_TOKEN, &base::random::bytes::<32>()));
    let made = InitialToken {
        token_id: base::random::text::<9>(),
        name: new.name,
        policy: new.policy,
        uses_left: new.uses.map(i64::from),
        created_at: cx.now,
        expires_at: new.lifetime.map(|lifetime| cx.now.plus(lifetime)),
    };
    store::insert_initial(cx, &made, &hash_of(&cx.identity, &token)).await?;
    note(cx, Act::InitialTokenCreated, &made.token_id).await?;
    Ok((made, token))
}

/// All that are not over.
pub async fn list(cx: &mut Cx) -> Result<Vec<InitialToken>, StoreError> {
    let now = cx.now;
    Ok(store::list_initial(cx).await?.into_iter().filter(|token| token.is_good(now)).collect())
}

/// False if there is none of this id. The clients that were registered with it stay.
pub async fn delete(cx: &mut Cx, token_id: &str) -> Result<bool, StoreError> {
    if !store::delete_initial(cx, token_id).await? {
        return Ok(false);
    }
    note(cx, Act::InitialTokenDeleted, token_id).await?;
    Ok(true)
}

/// A token that is not over by time. Whether there is a use left is seen when it is taken: who repeats a
/// registration does not take one.
pub(super) async fn find(cx: &mut Cx, token: &str) -> Result<Option<InitialToken>, StoreError> {
    let hash = hash_of(&cx.identity, &Secret::from(token));
    let now = cx.now;
    Ok(store::find_initial(cx, &hash).await?.filter(|token| token.expires_at.is_none_or(|at| at > now)))
}

/// Takes one use, in one statement; false if none was left.
pub(super) async fn take_use(cx: &mut Cx, token: &InitialToken) -> Result<bool, StoreError> {
    store::take_use(cx, &token.token_id).await
}

/// What its clients may be; None if it is gone.
pub(super) async fn policy(cx: &mut Cx, token_id: &str) -> Result<Option<Policy>, StoreError> {
    Ok(store::list_initial(cx).await?.into_iter().find(|token| token.token_id == token_id).map(|token| token.policy))
}

impl InitialToken {
    fn is_good(&self, now: Time) -> bool {
        self.expires_at.is_none_or(|at| at > now) && self.uses_left.is_none_or(|left| left > 0)
    }
}

async fn note(cx: &mut Cx, act: Act, token_id: &str) -> Result<(), StoreError> {
    let record = audit::Record { object: Some(token_id.to_owned()), detail: json!({}), ..audit::Record::default() };
    audit::record(cx, act, record).await
}
