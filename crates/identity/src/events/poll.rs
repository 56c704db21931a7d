//! Poll-based delivery (RFC 8936): what a receiver sends and gets, and where its stream stands.
//!
//! A receiver names its stream in the query (`?stream=…`), so that several gateways share a client. A stream begins at
//! the head of the log at its first poll; events are sent until they are acknowledged. `Cardea-Stream: new` in the
//! answer tells a receiver that had a stream before that it has lost continuity and must forget what it cached.

use std::time::Duration;

use ::store::StoreError;
use base::event;
use base::ids::ClientId;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::store::{self, Event};
use crate::error::OAuthError;
use crate::{Cx, SharedIdentity, keys};

/// Most events in one answer.
const MAX_EVENTS: usize = 256;
/// How long an empty poll is held if the receiver does not say.
pub(super) const DEFAULT_WAIT: Duration = Duration::from_secs(1);
pub(super) const MAX_WAIT: Duration = Duration::from_secs(30);

/// RFC 8936 §2.2. Members that are not named there are ignored.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PollRequest {
    #[serde(default)]
    max_events: Option<usize>,
    #[serde(default)]
    return_immediately: bool,
    #[serde(default)]
    ack: Vec<String>,
    #[serde(default)]
    set_errs: Map<String, Value>,
}

/// RFC 8936 §2.3.
#[derive(Debug)]
pub(super) struct PollAnswer {
    pub sets: Map<String, Value>,
    pub more_available: bool,
}

/// Where a stream stands when a poll begins.
pub(super) struct Opened {
    pub position: i64,
    pub is_new: bool,
    pub wrote: bool,
}

/// Answers with the events after the stream's place, or waits for some.
pub(super) async fn poll(
    identity: &SharedIdentity,
    client_id: &ClientId,
    position: i64,
    request: PollRequest,
    wait: Duration,
) -> Result<PollAnswer, OAuthError> {
    for seq in request.set_errs.keys().filter_map(|jti| seq_of(jti)).take(MAX_EVENTS) {
        // What the receiver says of it is its own text, and not repeated here.
        tracing::warn!(client.id = %client_id, event.seq = seq, "a receiver could not use an event");
    }
    // Subscribed before the log is read: an event in between wakes the wait.
    let mut changes = identity.db.watch(super::TOPIC);
    let most = request.max_events.unwrap_or(MAX_EVENTS).min(MAX_EVENTS);
    let wait = if request.return_immediately || most == 0 { Duration::ZERO } else { wait };
    let deadline = tokio::time::Instant::now() + wait;
    loop {
        changes.borrow_and_update();
        let mut cx = Cx::system(identity);
        let mut events = store::after(&mut cx, position, most.saturating_add(1)).await?;
        let more_available = events.len() > most;
        events.truncate(most);
        let woken =
            events.is_empty() && matches!(tokio::time::timeout_at(deadline, changes.changed()).await, Ok(Ok(())));
        if !woken {
            let sets = sign(identity, client_id, &events).await?;
            return Ok(PollAnswer { sets, more_available });
        }
    }
}

/// Moves the stream to what has been acknowledged, and says where it stands. Acknowledging an event
/// acknowledges those before it; what is not an event of ours, or not yet one, is ignored.
pub(super) async fn place(
    cx: &mut Cx,
    client_id: &ClientId,
    stream: &str,
    request: &PollRequest,
) -> Result<Opened, StoreError> {
    let Some(place) = store::stream(cx, client_id, stream).await? else {
        let position = store::open_stream(cx, client_id, stream).await?;
        return Ok(Opened { position, is_new: true, wrote: true });
    };
    // One that could not be used will not become better: it counts as received (RFC 8936 §2.6).
    let acked = request.ack.iter().chain(request.set_errs.keys()).filter_map(|jti| seq_of(jti)).max();
    if let Some(seq) = acked.filter(|seq| *seq > place.acked_seq) {
        let moved = store::acknowledge(cx, client_id, stream, seq).await?;
        return Ok(Opened { position: moved.unwrap_or(place.acked_seq), is_new: false, wrote: true });
    }
    let wrote = cx.now.since(place.seen_at) > store::TOUCH_EVERY;
    if wrote {
        store::touch(cx, client_id, stream).await?;
    }
    Ok(Opened { position: place.acked_seq, is_new: false, wrote })
}

/// `jti` of an event: its number in the log.
fn jti_of(seq: i64) -> String {
    format!("evt-{seq}")
}

fn seq_of(jti: &str) -> Option<i64> {
    jti.strip_prefix("evt-")?.parse().ok()
}

/// Security event tokens (RFC 8417 §2.2) by their `jti`.
async fn sign(
    identity: &SharedIdentity,
    client_id: &ClientId,
    events: &[Event],
) -> Result<Map<String, Value>, OAuthError> {
    let mut sets = Map::new();
    if events.is_empty() {
        return Ok(sets);
    }
    let ring = keys::ring(identity).await?;
    let signer = ring.signer(identity, None)?;
    let issuer = identity.config.issuer.as_str();
    for event in events {
        let jti = jti_of(event.seq);
        let claims = json!({
            "iss": issuer,
            "aud": client_id,
            "iat": identity.clock.now().seconds(),
            "jti": jti,
            "sub_id": event.subject.subject(issuer),
            "events": {
                event.subject.event_type(): {
                    "event_timestamp": event.occurred_at.seconds(),
                    "reason_admin": {"en": event.reason},
                },
            },
        });
        sets.insert(jti, Value::from(signer.sign(event::TYP, &claims)?));
    }
    Ok(sets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_named_by_its_number() {
        assert_eq!(seq_of(&jti_of(42)), Some(42));
        assert_eq!(seq_of("42"), None);
        assert_eq!(seq_of("evt-"), None);
        assert_eq!(seq_of("evt-9999999999999999999"), None);
    }
}
