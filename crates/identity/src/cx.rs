//! One context per request: who asks, when, and the transaction it runs in.

use std::net::IpAddr;

use base::Time;
use base::ids::{ClientId, RequestId, UserId};
use store::Tx;

use crate::SharedIdentity;

/// A function that does something takes `&mut Cx` and its input; the handler commits.
pub struct Cx {
    pub identity: SharedIdentity,
    pub tx: Tx,
    pub now: Time,
    pub request_id: RequestId,
    pub network: IpAddr,
    pub actor: Actor,
}

/// Who acts; what the audit log names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    Nobody,
    User(UserId),
    Client(ClientId),
    /// A holder of the administration token, by its name.
    Admin(String),
    System,
}

impl std::fmt::Display for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nobody => f.write_str("nobody"),
            Self::User(id) => write!(f, "user:{id}"),
            Self::Client(id) => write!(f, "client:{id}"),
            Self::Admin(name) => write!(f, "admin:{name}"),
            Self::System => f.write_str("system"),
        }
    }
}

impl Cx {
    pub fn new(identity: &SharedIdentity, request_id: RequestId, network: IpAddr) -> Self {
        Self {
            tx: identity.db.begin(),
            now: identity.clock.now(),
            identity: identity.clone(),
            request_id,
            network,
            actor: Actor::Nobody,
        }
    }

    /// Ends the request's transaction; an answer that promises something is sent after this.
    pub async fn commit(self) -> Result<(), store::StoreError> {
        self.tx.commit().await
    }
}
