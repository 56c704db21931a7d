//! Calls, sent to a receiver as batches of CloudEvents with the signature of Standard Webhooks.
//!
//! At least once, in the order of the ledger: the place moves when the receiver has answered 2xx, and a batch that is
//! sent again is the same batch under the same `webhook-id`. 410 ends it; anything else is tried again, later and later,
//! for as long as single calls are kept. An administrator can set it back, or going again ([`replay`]).

use std::time::Duration;

use base::Time;
use base::peer::Limits;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use jose::hash::Mac;
use serde_json::{Value, json};

use super::{cloud_event, store};
use crate::actor::Right;
use crate::audit::{self, Record};
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

/// Of waiting calls more are not counted.
pub const MOST_WAITING: i64 = 100_000;

/// How a push stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    pub url: String,
    /// The place in the ledger up to which the receiver has all.
    pub at: i64,
    /// Calls that it has not; [`MOST_WAITING`]: that many at least.
    pub waiting: i64,
    /// Since it took something last.
    pub failures: i64,
    pub next_at: Time,
    pub taken_at: Option<Time>,
    pub failed_at: Option<Time>,
    /// Why it failed last.
    pub error: Option<String>,
    /// It wants no more.
    pub ended_at: Option<Time>,
}

impl State {
    pub fn word(&self) -> &'static str {
        match self {
            Self { ended_at: Some(_), .. } => "ended",
            Self { failures: 1.., .. } => "failing",
            Self { waiting: 1.., .. } => "behind",
            _ => "current",
        }
    }

    /// Without what may be a secret of the receiver: user, query.
    pub fn shown(&self) -> String {
        let plain = self.url.split(['?', '#']).next().unwrap_or_default();
        match plain.split_once("://") {
            Some((scheme, rest)) => {
                let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                format!("{scheme}://{}{path}", authority.rsplit('@').next().unwrap_or_default())
            }
            None => plain.to_owned(),
        }
    }

    pub fn view(&self) -> Value {
        json!({
            "url": self.shown(), "state": self.word(), "cursor": crate::admin::cursor(&self.at), "waiting": self.waiting,
            "failures": self.failures, "nextAt": self.next_at, "takenAt": self.taken_at,
            "failedAt": self.failed_at, "error": self.error, "endedAt": self.ended_at,
        })
    }
}

/// The push that is configured (true), and those that were.
pub async fn states(cx: &mut Cx) -> Result<Vec<(bool, State)>, Refused> {
    cx.need(Right::Read)?;
    let configured = cx.management.config.usage.push.as_ref().map(|push| push.url.clone());
    let states = store::pushes(cx, MOST_WAITING).await?;
    let with = |state: State| (configured.as_deref() == Some(&state.url), state);
    Ok(states.into_iter().map(with).collect())
}

/// From where the configured push goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// Where it stands: at once, and also after the receiver had wanted no more.
    Here,
    /// Behind a place in the ledger, the `cursor` of exports.
    After(i64),
    /// Calls that came to the ledger at this time or later.
    Since(Time),
}

/// Sets the push back, or going again; the caller commits. What is sent again are new batches: receivers know the calls
/// by `source` and `id`.
pub async fn replay(cx: &mut Cx, from: From) -> Result<(), Refused> {
    cx.need(Right::Administer)?;
    let Some(push) = cx.management.config.usage.push.clone() else {
        return Err(Refused::NotFound("push: `management.usage.push` is not set"));
    };
    store::introduce_push(cx, &push.url).await?;
    let after = match from {
        From::Here => None,
        From::After(place) => Some(place.max(0)),
        From::Since(time) => Some(store::place_before(cx, time).await?),
    };
    store::restart_push(cx, &push.url, after).await?;
    let detail = json!({"after": after});
    let object = "usage.push".to_owned();
    Ok(audit::record(cx, Record { act: "usage.push.restarted", object, organisation: None, detail }).await?)
}

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
    let outcome = send(push, &id, now, serde_json::to_vec(&events).unwrap_or_default()).await;
    let mut cx = Cx::system(management);
    let sent = match outcome {
        Ok(()) => {
            store::end_push(&mut cx, &push.url, turn.at, last).await?;
            management.metrics.pushed(calls.len());
            Sent::Some(calls.len())
        }
        Err(Trouble::Gone) => {
            management.metrics.push_failed();
            store::stop_push(&mut cx, &push.url).await?;
            Sent::Failed("the receiver wants no more (410)".to_owned())
        }
        Err(Trouble::Again(why, wished)) => {
            management.metrics.push_failed();
            let pause = pause(turn.failures).max(wished.unwrap_or_default().min(LONGEST_PAUSE));
            store::fail_push(&mut cx, &push.url, pause, &why).await?;
            Sent::Failed(why)
        }
    };
    cx.commit().await?;
    Ok(sent)
}

enum Trouble {
    /// Why, and how long the receiver wishes to be left alone.
    Again(String, Option<Duration>),
    Gone,
}

async fn send(push: &Push, id: &str, now: Time, body: Vec<u8>) -> Result<(), Trouble> {
    let (timestamp, body) = (now.seconds(), Bytes::from(body));
    let request = Request::post(&push.url)
        .header(header::CONTENT_TYPE, "application/cloudevents-batch+json; charset=UTF-8")
        .header("webhook-id", id)
        .header("webhook-timestamp", timestamp)
        .header("webhook-signature", signatures(push, id, timestamp, &body))
        .body(body)
        .map_err(|_| Trouble::Again("the address of the receiver is none".to_owned(), None))?;
    let answer = push.peer.call(request, LIMITS).await.map_err(|error| Trouble::Again(error.to_string(), None))?;
    match answer.status() {
        status if status.is_success() => Ok(()),
        StatusCode::GONE => Err(Trouble::Gone),
        status => {
            let why = format!("the receiver answered {}", status.as_u16());
            Err(Trouble::Again(why, retry_after(answer.headers())))
        }
    }
}

/// RFC 9110 §10.2.3, in seconds.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

/// One by each key, as Standard Webhooks has it while keys change.
fn signatures(push: &Push, id: &str, timestamp: i64, body: &[u8]) -> String {
    let signed: Vec<String> = push.keys.iter().map(|key| signature(key.expose(), id, timestamp, body)).collect();
    signed.join(" ")
}

/// Standard Webhooks, symmetric signature: over id, time and body.
pub(super) fn signature(key: &[u8], id: &str, timestamp: i64, body: &[u8]) -> String {
    let signed = [format!("{id}.{timestamp}.").as_bytes(), body].concat();
    format!("v1,{}", STANDARD.encode(Mac::new(key).tag(&signed)))
}

/// Doubled with each failure, and somewhere in the upper half of that, so that many do not come at once.
pub(super) fn pause(failures: i64) -> Duration {
    let doubled =
        PAUSE.saturating_mul(2_u32.saturating_pow(u32::try_from(failures).unwrap_or(DOUBLINGS).min(DOUBLINGS)));
    let longest = doubled.min(LONGEST_PAUSE);
    let [random] = base::random::bytes::<1>();
    longest.saturating_sub(longest.mul_f64(f64::from(random) / 512.0))
}
