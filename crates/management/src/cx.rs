//! One context per request: who asks, when, and the transaction it runs in.

use axum::extract::FromRequestParts;
use base::Time;
use base::ids::RequestId;
use http::request::Parts;
use store::Tx;

use crate::SharedManagement;
use crate::actor::{Actor, Right, Share};
use crate::admin::{Claim, effect_done};
use crate::error::Refused;

/// A function that does something takes `&mut Cx` and its input; the handler commits.
pub struct Cx {
    pub management: SharedManagement,
    pub tx: Tx,
    pub now: Time,
    pub request_id: RequestId,
    pub actor: Actor,
    /// The `Idempotency-Key` of the request: used up by its first commit.
    pub(crate) claim: Option<Claim>,
}

impl Cx {
    pub fn new(management: &SharedManagement, request_id: RequestId, actor: Actor) -> Self {
        Self {
            tx: management.db.begin(),
            now: management.clock.now(),
            management: management.clone(),
            request_id,
            actor,
            claim: None,
        }
    }

    /// For work that nobody asked for.
    pub fn system(management: &SharedManagement) -> Self {
        Self::new(management, RequestId::random(), Actor::System)
    }

    /// Another transaction of the same request, at the same moment.
    #[must_use]
    pub fn again(&self) -> Self {
        let mut cx = Self::new(&self.management, self.request_id.clone(), self.actor.clone());
        cx.now = self.now;
        cx
    }

    /// Refuses who has not this right on the provider's side.
    pub fn need(&self, right: Right) -> Result<(), Refused> {
        if self.actor.may(right) { Ok(()) } else { Err(Refused::NoRight) }
    }

    /// Refuses who has no such share in an organisation, as if there were no such thing: who may not see it is
    /// not told that it is there.
    pub fn need_for(&self, organisation: &str, share: Share) -> Result<(), Refused> {
        if self.actor.may_for(organisation, share) {
            Ok(())
        } else if self.actor.may_for(organisation, Share::See) {
            Err(Refused::NoRight)
        } else {
            Err(Refused::NotFound("thing here that you may see"))
        }
    }

    /// Ends the request's transaction; an answer that promises something is sent after this.
    pub async fn commit(mut self) -> Result<(), store::StoreError> {
        if let Some(claim) = self.claim.take() {
            effect_done(&mut self, &claim).await?;
        }
        self.tx.commit().await
    }
}

/// Who asks, as the guard of the route found out.
#[derive(Debug, Clone)]
pub struct Called(pub Actor);

/// A handler that takes it cannot be reached around a guard: where none stood before it, nobody asks.
impl FromRequestParts<SharedManagement> for Cx {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, management: &SharedManagement) -> Result<Self, Self::Rejection> {
        let actor = parts.extensions.get::<Called>().map_or(Actor::Nobody, |called| called.0.clone());
        let request_id = parts.extensions.get::<RequestId>().cloned().unwrap_or_else(RequestId::random);
        let mut cx = Self::new(management, request_id, actor);
        cx.claim = parts.extensions.get::<Claim>().cloned();
        Ok(cx)
    }
}
