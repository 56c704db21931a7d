//! One step on its way: its token, its attempts, its answer.

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, Request, Response, StatusCode};
use serde_json::{Map, Value};

use crate::caller::{Call, Caller, Target};
use crate::composition::{Identity, Step};
use crate::input::Subject;
use crate::partial::Trouble;
use crate::run::Runner;
use crate::tokens::at_hand;

/// What is sent, and how it is to be taken.
pub(crate) struct Sending<'a> {
    pub target: &'a Target,
    pub request: Request<Bytes>,
    pub identity: &'a Identity,
    /// At least one.
    pub attempts: u32,
    pub time: Duration,
    pub expect: &'a [u16],
    pub max_body: usize,
    /// Whether somebody reads the headers of the answer.
    pub headers: bool,
}

/// How it ended.
pub(crate) struct Sent {
    pub result: Result<Received, Trouble>,
    /// Also of an answer that was not expected.
    pub status: Option<u16>,
    pub attempts: u32,
}

pub(crate) struct Received {
    pub headers: Map<String, Value>,
    pub body: Value,
}

impl<'a> Sending<'a> {
    pub fn of(step: &'a Step, request: Request<Bytes>, time: Duration) -> Self {
        Self {
            target: &step.request.target,
            request,
            identity: &step.identity,
            attempts: step.retries + 1,
            time,
            expect: &step.expect,
            max_body: step.max_body,
            headers: step.headers_are_read,
        }
    }
}

/// First pause before another attempt; each next one may be twice as long.
const PAUSE_MS: u64 = 50;
const LONGEST_PAUSE_MS: u64 = 1_000;

impl<C: Caller> Runner<C> {
    pub(crate) async fn send(&self, mut sending: Sending<'_>, subject: Option<&Subject>) -> Sent {
        let end = self.timer.now_ms().saturating_add(milliseconds(sending.time));
        let left = || Duration::from_millis(end.saturating_sub(self.timer.now_ms()));
        let authorization = match sending.identity {
            Identity::None | Identity::Forward => at_hand(sending.identity, subject),
            asked => match self.timer.within(sending.time, self.tokens.authorization(asked, subject)).await {
                None => return Sent { result: Err(Trouble::TimedOut), status: None, attempts: 0 },
                Some(Err(error)) => {
                    tracing::debug!(cause = %error, "a step has no token");
                    return Sent { result: Err(Trouble::Identity), status: None, attempts: 0 };
                }
                Some(Ok(authorization)) => authorization,
            },
        };
        if let Some(value) = authorization {
            sending.request.headers_mut().insert(AUTHORIZATION, value);
        }
        let mut attempts = 0;
        loop {
            attempts += 1;
            let more = sending.attempts.saturating_sub(attempts);
            // What is left is shared with the attempts that may follow.
            let time = left() / (more + 1);
            let request = if more == 0 { std::mem::take(&mut sending.request) } else { sending.request.clone() };
            let (result, status) = self.attempt(&sending, request, time).await;
            match &result {
                Err(trouble) if more > 0 && trouble.may_pass(status) && !left().is_zero() => {
                    let pause = pause(attempts).min(left());
                    self.timer.sleep(pause).await;
                    if left().is_zero() {
                        return Sent { result, status, attempts };
                    }
                }
                _ => return Sent { result, status, attempts },
            }
        }
    }

    async fn attempt(
        &self,
        sending: &Sending<'_>,
        request: Request<Bytes>,
        time: Duration,
    ) -> (Result<Received, Trouble>, Option<u16>) {
        let call = Call { target: sending.target, request, time, body_bytes: sending.max_body };
        match self.timer.within(time, self.caller.call(call)).await {
            None => (Err(Trouble::TimedOut), None),
            Some(Err(error)) => (Err(error.into()), None),
            Some(Ok(answer)) => {
                let status = answer.status();
                (received(answer, sending), Some(status.as_u16()))
            }
        }
    }
}

fn received(answer: Response<Bytes>, sending: &Sending<'_>) -> Result<Received, Trouble> {
    let status = answer.status();
    let expected =
        if sending.expect.is_empty() { status.is_success() } else { sending.expect.contains(&status.as_u16()) };
    if !expected {
        return Err(Trouble::Status);
    }
    if answer.body().len() > sending.max_body {
        return Err(Trouble::TooLarge);
    }
    let body = body(answer.headers(), answer.body(), status)?;
    let mut headers = Map::new();
    let read = answer.headers().iter().filter(|(name, _)| sending.headers && *name != http::header::SET_COOKIE);
    for (name, value) in read {
        if let Ok(value) = value.to_str() {
            headers.insert(name.as_str().to_owned(), Value::from(value));
        }
    }
    Ok(Received { headers, body })
}

/// JSON as what it says, other text as text, nothing as null.
fn body(headers: &HeaderMap, bytes: &Bytes, status: StatusCode) -> Result<Value, Trouble> {
    if bytes.is_empty() || status == StatusCode::NO_CONTENT {
        return Ok(Value::Null);
    }
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if kind == "application/json" || kind.ends_with("+json") {
        return serde_json::from_slice(bytes).map_err(|_| Trouble::BadAnswer);
    }
    if kind.starts_with("text/") {
        return std::str::from_utf8(bytes).map(Value::from).map_err(|_| Trouble::BadAnswer);
    }
    Err(Trouble::BadAnswer)
}

/// Somewhere between nothing and the longest, so that many who failed together do not come back together.
fn pause(attempt: u32) -> Duration {
    let longest = PAUSE_MS.saturating_mul(1 << attempt.saturating_sub(1).min(8)).min(LONGEST_PAUSE_MS);
    let drawn = u64::from(u16::from_be_bytes(base::random::bytes::<2>()));
    Duration::from_millis(longest * drawn / u64::from(u16::MAX))
}

pub(crate) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
