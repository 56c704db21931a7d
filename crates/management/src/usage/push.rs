//! Calls, sent to a receiver as batches of CloudEvents with the signature of Standard Webhooks.
//!
//! At least once, in the order of the ledger: the place moves when the receiver has answered 2xx, and a batch that is
//! sent again is the same batch under the same `webhook-id`. 410 ends it; anything else is tried again, later and later.

use std::time::Duration;

use base::Time;
use base::peer::Limits;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, StatusCode, header};
use jose::hash::Mac;
use serde_json::Value;

use super::{cloud_event, store};
use crate::config::Push;
use crate::error::Refused;
use crate::{Cx, SharedManagement};

const BATCH: i64 = 500;
const LIMITS: Limits = Limits { time: Duration::from_secs(20), body_bytes: 64 << 10 };
/// Whoever took the turn has it for this long.
pub(super) const TURN: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// After an hour of pauses it goes on every hour: the receiver may be away for days.
const DOUBLINGS: u32 = 11;

/// What became of one turn.
#[derive(Debug, PartialEq, Eq)]
pub enum Sent {
    /// So many events, and maybe there are more.
    Some(usize),
    /// None: nothing is new, or it is not yet time, or another process is at it.
    Nothing,
    Failed(String),
}

/// Until the process ends.
pub async fn run(management: &SharedManagement) {
    let Some(push) = management.config.usage.push.clone() else { return std::future::pending().await };
    loop {
        match once(management, &push).await {
            Ok(Sent::Some(_)) => continue,
            Ok(Sent::Nothing) => {}
            Ok(Sent::Failed(why)) => tracing::warn!(why, "calls were not taken by their receiver; tried again later"),
            Err(error) => tracing::warn!(%error, "calls cannot be sent on"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// One batch, if it is time.
pub async fn once(management: &SharedManagement, push: &Push) -> Result<Sent, Refused> {
    let mut cx = Cx::system(management);
    store::introduce_push(&mut cx, &push.url).await?;
    let Some(turn) = store::claim_push(&mut cx, &push.url).await? else {
        return Ok(Sent::Nothing);
    };
    let mut calls = store::exported(&mut cx, turn.at, BATCH).await?;
    if turn.up_to > turn.at {
        calls.retain(|call| call.seq <= turn.up_to);
    }
    let Some(last) = calls.last().map(|call| call.seq) else {
        let passed = if turn.up_to > turn.at { turn.up_to } else { turn.clock };
        store::pass_push(&mut cx, &push.url, passed).await?;
        cx.commit().await?;
        return Ok(Sent::Nothing);
    };
    store::begin_push(&mut cx, &push.url, last).await?;
    let (now, base) = (cx.now, management.config.url.clone());
    cx.commit().await?;

    let events: Vec<Value> = calls.iter().map(|call| cloud_event(&base, call)).collect();
    let id = format!("usage_{}_{last}", turn.at);
    let outcome = send(management, push, &id, now, serde_json::to_vec(&events).unwrap_or_default()).await;
    let mut cx = Cx::system(management);
    let sent = match outcome {
        Ok(()) => {
            store::end_push(&mut cx, &push.url, turn.at, last).await?;
            Sent::Some(calls.len())
        }
        Err(Trouble::Gone) => {
            store::stop_push(&mut cx, &push.url).await?;
            Sent::Failed("the receiver wants no more (410)".to_owned())
        }
        Err(Trouble::Again(why)) => {
            store::fail_push(&mut cx, &push.url, pause(turn.failures), &why).await?;
            Sent::Failed(why)
        }
    };
    cx.commit().await?;
    Ok(sent)
}

enum Trouble {
    Again(String),
    Gone,
}

async fn send(management: &SharedManagement, push: &Push, id: &str, now: Time, body: Vec<u8>) -> Result<(), Trouble> {
    let (timestamp, body) = (now.seconds(), Bytes::from(body));
    let request = Request::post(&push.url)
        .header(header::CONTENT_TYPE, "application/cloudevents-batch+json; charset=UTF-8")
        .header("webhook-id", id)
        .header("webhook-timestamp", timestamp)
        .header("webhook-signature", signature(push.key.expose(), id, timestamp, &body))
        .body(body)
        .map_err(|_| Trouble::Again("the address of the receiver is none".to_owned()))?;
    let answer =
        management.config.peer.call(request, LIMITS).await.map_err(|error| Trouble::Again(error.to_string()))?;
    match answer.status() {
        status if status.is_success() => Ok(()),
        StatusCode::GONE => Err(Trouble::Gone),
        status => Err(Trouble::Again(format!("the receiver answered {}", status.as_u16()))),
    }
}

/// Standard Webhooks, symmetric signature: over id, time and body.
pub(super) fn signature(key: &[u8], id: &str, timestamp: i64, body: &[u8]) -> String {
    let signed = [format!("{id}.{timestamp}.").as_bytes(), body].concat();
    format!("v1,{}", STANDARD.encode(Mac::new(key).tag(&signed)))
}

/// Doubled with each failure, and somewhere in the upper half of that, so that many do not come at once.
fn pause(failures: i64) -> Duration {
    let doubled =
        PAUSE.saturating_mul(2_u32.saturating_pow(u32::try_from(failures).unwrap_or(DOUBLINGS).min(DOUBLINGS)));
    let longest = doubled.min(LONGEST_PAUSE);
    let [random] = base::random::bytes::<1>();
    longest.saturating_sub(longest.mul_f64(f64::from(random) / 512.0))
}
