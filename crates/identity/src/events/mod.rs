//! The security event log and its feed (RFC 8417, RFC 8936; OpenID Shared Signals event types).
//!
//! Numbers come from one row whose lock is held until the commit, so a higher number is never visible
//! before a lower one, on both engines and with several nodes: a reader that remembers its position
//! misses nothing.

mod http;
mod poll;
mod store;

use ::store::StoreError;
use base::event::Revoked;

pub use http::routes;

use crate::Cx;

/// Notified with each event.
pub const TOPIC: &str = "events";

/// Appends an event; late in the transaction, since writers wait for each other from here to the commit.
pub async fn append(cx: &mut Cx, revoked: Revoked, reason: &'static str) -> Result<(), StoreError> {
    store::append(cx, &revoked, reason).await?;
    cx.tx.notify(TOPIC);
    Ok(())
}
