//! One context per request: who asks, when, and the transaction it runs in.

use axum::extract::FromRequestParts;
use base::Time;
use base::ids::RequestId;
use http::request::Parts;
use store::Tx;

use crate::SharedEntitlement;
use crate::callers::Called;
use crate::error::Refused;

/// Letters of a person's name in histories.
const PERSON: usize = 128;

/// A function that does something takes `&mut Cx` and its input; the handler commits.
pub struct Cx {
    pub entitlement: SharedEntitlement,
    pub tx: Tx,
    pub now: Time,
    pub request_id: RequestId,
    /// Name of the caller; what histories show.
    pub actor: String,
}

impl Cx {
    pub fn new(entitlement: &SharedEntitlement, request_id: RequestId, actor: &str) -> Self {
        Self {
            tx: entitlement.db.begin(),
            now: entitlement.clock.now(),
            entitlement: entitlement.clone(),
            request_id,
            actor: actor.to_owned(),
        }
    }

    /// Names the person behind a program in histories. It is the program's word, so the program is named too.
    pub fn act_for(&mut self, person: &str) {
        let person: String = person.chars().filter(|c| !c.is_control()).take(PERSON).collect();
        if !person.trim().is_empty() {
            self.actor = format!("{} for {}", self.actor, person.trim());
        }
    }

    /// Ends the request's transaction; an answer that promises something is sent after this.
    pub async fn commit(self) -> Result<(), store::StoreError> {
        self.tx.commit().await
    }
}

/// A handler that takes it cannot be reached around the guard: without a caller the request is refused.
impl FromRequestParts<SharedEntitlement> for Cx {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, entitlement: &SharedEntitlement) -> Result<Self, Refused> {
        let called = Called::from_request_parts(parts, entitlement).await?;
        Ok(Self::new(entitlement, called.request_id, &called.caller))
    }
}
