//! The audit log: what happened, by whom, to whom, written in the transaction of the act.
//!
//! Each writer (a node, and a lane of its database connections) has a chain of its own, so that writers
//! do not queue behind one row: a record's hash covers its content and the hash before it. What is written
//! here is ids and hashes only; no token, code, secret, password or mail address (R27).

mod chain;
mod checkpoint;
mod store;

use ::store::StoreError;
use base::ids::{ClientId, UserId};
use serde_json::Value;

pub use chain::{Break, Report, verify};
pub use checkpoint::checkpoint;
pub use store::{Entry, Filter, Page, list};

use crate::Cx;

macro_rules! acts {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What was done; the list of all acts.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Act { $($(#[$doc])* $name,)* }

        impl Act {
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

acts! {
    LoginSucceeded = "login.succeeded",
    LoginFailed = "login.failed",
    /// The budget of failed logins was used up.
    LoginThrottled = "login.throttled",
    SessionEnded = "session.ended",
    ConsentGiven = "consent.given",
    ConsentDenied = "consent.denied",
    ConsentWithdrawn = "consent.withdrawn",
    GrantOpened = "grant.opened",
    GrantRevoked = "grant.revoked",
    CodeReplayed = "code.replayed",
    TokenIssued = "token.issued",
    TokenRefreshed = "token.refreshed",
    TokenExchanged = "token.exchanged",
    TokenRevoked = "token.revoked",
    RefreshReplayed = "refresh.replayed",
    ClientCreated = "client.created",
    ClientUpdated = "client.updated",
    ClientDisabled = "client.disabled",
    ClientEnabled = "client.enabled",
    ClientDeleted = "client.deleted",
    /// All its grants and tokens were ended; the client itself goes on.
    ClientTokensRevoked = "client.tokens_revoked",
    /// By dynamic registration; beside it stands `client.created`.
    ClientRegistered = "client.registered",
    InitialTokenCreated = "initial_access_token.created",
    InitialTokenDeleted = "initial_access_token.deleted",
    SecretAdded = "client_secret.added",
    SecretRemoved = "client_secret.removed",
    UserCreated = "user.created",
    UserUpdated = "user.updated",
    UserDisabled = "user.disabled",
    UserEnabled = "user.enabled",
    UserDeleted = "user.deleted",
    PasswordSet = "password.set",
    ScopeApplied = "scope.applied",
    ScopeDeleted = "scope.deleted",
    ResourceServerApplied = "resource_server.applied",
    ResourceServerDeleted = "resource_server.deleted",
    KeyCreated = "key.created",
    KeyKilled = "key.killed",
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Outcome {
    #[default]
    Success,
    Denied,
}

impl Outcome {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Denied => "denied",
        }
    }
}

/// What a record says beyond actor, time and request, which come from the context.
#[derive(Debug, Clone, Default)]
pub struct Record {
    pub outcome: Outcome,
    /// The person concerned.
    pub subject: Option<UserId>,
    pub client_id: Option<ClientId>,
    /// Id of the grant, session, token, key, … concerned.
    pub object: Option<String>,
    /// Words and ids; never a secret.
    pub detail: Value,
}

/// Appends a record to the chain of this transaction's writer; call it late in the transaction.
pub async fn record(cx: &mut Cx, act: Act, record: Record) -> Result<(), StoreError> {
    let lane = cx.tx.lane().await?;
    let writer = format!("{}/{lane}", cx.identity.config.node);
    let (seq, previous) = store::take_seq(cx, &writer).await?;
    let detail = if record.detail.is_null() { "{}".to_owned() } else { record.detail.to_string() };
    let mut entry = Entry {
        writer,
        seq,
        occurred_at: cx.now,
        act: act.as_str().to_owned(),
        outcome: record.outcome.as_str().to_owned(),
        actor: cx.actor.to_string(),
        subject: record.subject.map(|id| id.0),
        client_id: record.client_id.map(|id| id.0),
        object: record.object,
        request_id: cx.request_id.to_string(),
        detail,
        previous,
        hash: String::new(),
    };
    entry.hash = chain::hash_of(&entry);
    store::append(cx, &entry).await
}
