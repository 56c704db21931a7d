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

/// Appends an event to the log when the transaction commits. Its writing is put off to the last moment, since
/// from then to the commit writers wait for each other: so they do it briefly, and never with a row in hand
/// that another one needs who waits already.
#[expect(clippy::unused_async, reason = "it has the shape of all that is recorded, for whoever calls it")]
pub async fn append(cx: &mut Cx, revoked: Revoked, reason: &'static str) -> Result<(), StoreError> {
    cx.revocations.push((revoked, reason));
    Ok(())
}

/// The last statements of a transaction; `Cx::commit` calls it.
pub(crate) async fn write(cx: &mut Cx) -> Result<(), StoreError> {
    for (revoked, reason) in std::mem::take(&mut cx.revocations) {
        store::append(cx, &revoked, reason).await?;
        cx.tx.notify(TOPIC);
    }
    Ok(())
}
