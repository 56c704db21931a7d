//! The feed of revocations: SETs (RFC 8417) by poll (RFC 8936), one long question after the other.
//!
//! A stream is opened at the transmitter's head under a name of our own, so facts from before it was
//! opened cannot be vouched for and are dropped. After a poll that failed the stream is only gone on
//! with where the transmitter says that it knows it still (`Cardea-Stream: resumed`); otherwise what is
//! kept is dropped again. Freshness is counted from when a poll was sent, never from when it came back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base::event::{self, Revoked, TYP};
use base::peer::Limits;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderName, Method, Request, StatusCode};
use jose::Expected;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::authority::Core;
use super::introspect::basic;

const PREFER: HeaderName = HeaderName::from_static("prefer");
const STREAM: HeaderName = HeaderName::from_static("cardea-stream");
const MAX_PAGE_BYTES: usize = 4 * 1024 * 1024;
const MAX_EVENTS: usize = 500;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Follows the feed for as long as the issuer is in use.
pub(super) async fn follow(core: Arc<Core>) {
    let mut feed = Feed::new();
    let mut pause = FIRST_PAUSE;
    loop {
        match feed.poll(&core).await {
            Ok(Next::Now) => pause = FIRST_PAUSE,
            Ok(Next::After(wait)) => {
                pause = FIRST_PAUSE;
                tokio::time::sleep(wait).await;
            }
            Err(why) => {
                core.metrics.feed_failed(&core.name);
                tracing::warn!(issuer = %core.name, cause = why, "the feed of revocations is interrupted");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// When to ask again.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Now,
    After(Duration),
}

#[derive(Debug)]
pub(super) struct Feed {
    stream: String,
    acknowledge: Vec<String>,
    state: State,
    /// The transmitter held a question for longer than was asked for: ask without waiting.
    impatient: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not opened yet.
    New,
    Open,
    /// Open, but a poll has failed since.
    Doubtful,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    sets: Map<String, Value>,
    #[serde(default)]
    more_available: bool,
    /// What the transmitter says in `Cardea-Stream`, an extension: whether it knew the stream.
    #[serde(skip)]
    resumed: Option<bool>,
}

impl Feed {
    pub fn new() -> Self {
        Self { stream: base::random::text::<16>(), acknowledge: Vec::new(), state: State::New, impatient: false }
    }

    /// One poll and what it brings.
    pub async fn poll(&mut self, core: &Core) -> Result<Next, &'static str> {
        let sent_ms = core.clock.monotonic_ms();
        let most = core.max_lag().unwrap_or(Duration::from_secs(5));
        let at_once = self.impatient || self.state != State::Open;
        let page = match self.fetch(core, at_once, most).await {
            Ok(page) => page,
            Err(why) => {
                if self.state == State::Open {
                    self.state = State::Doubtful;
                }
                return Err(why);
            }
        };
        let events = self.verify(core, &page).await?;
        let continued = match self.state {
            State::New => false,
            State::Open => page.resumed != Some(false),
            State::Doubtful => page.resumed == Some(true),
        };
        if !continued {
            core.marks.revoke_all();
            core.cache.clear();
        }
        self.state = State::Open;
        let keep_ms = u64::try_from(core.max_ttl.as_millis()).unwrap_or(u64::MAX);
        let none = events.is_empty();
        for (_, revoked) in &events {
            if let Revoked::Key(kid) = revoked {
                core.keys.kill(kid);
                core.keys.expire().await;
            }
            core.marks.revoke(revoked.clone(), core.clock.monotonic_ms(), keep_ms);
        }
        core.metrics.events(&core.name, events.len());
        self.acknowledge = page.sets.keys().cloned().collect();
        if !page.more_available {
            core.heard_ms.store(sent_ms.saturating_add(1), Ordering::Release);
        }
        let took = Duration::from_millis(core.clock.monotonic_ms().saturating_sub(sent_ms));
        if !at_once && none && took > most / 2 {
            self.impatient = true;
        }
        // A transmitter that does not hold the question would be asked without end.
        let not_held = !at_once && none && took < most / 6;
        let waits = none && !page.more_available && (self.impatient || not_held);
        Ok(if waits { Next::After(most / 4) } else { Next::Now })
    }

    async fn fetch(&mut self, core: &Core, at_once: bool, most: Duration) -> Result<Page, &'static str> {
        let spec = core.spec.introspection.as_ref().ok_or("the issuer has no introspection")?;
        let configured = spec.revocations.as_ref().and_then(|revocations| revocations.endpoint.as_ref());
        let endpoint = match configured {
            Some(endpoint) => endpoint.to_string(),
            None => format!("{}/events/poll", core.issuer().trim_end_matches('/')),
        };
        let separator = if endpoint.contains('?') { '&' } else { '?' };
        // How long the transmitter may hold the question, well below the lag allowed: in its own
        // parameter, and as RFC 7240 §4.3 has it for others.
        let wait = most / 3;
        let body = json!({"maxEvents": MAX_EVENTS, "returnImmediately": at_once, "ack": self.acknowledge});
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(format!("{endpoint}{separator}stream={}&wait={}", self.stream, wait.as_millis()))
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json")
            .header(AUTHORIZATION, basic(&spec.client_id, core.secret()));
        if !at_once {
            request = request.header(PREFER, format!("wait={}", wait.as_secs().max(1)));
        }
        let request = request.body(Bytes::from(body.to_string())).map_err(|_| "the feed's address is none")?;
        let hold = if at_once { Duration::ZERO } else { most };
        let limits = Limits { time: hold + spec.timeout.0, body_bytes: MAX_PAGE_BYTES };
        let response = core.peer.call(request, limits).await.map_err(|_| "no answer")?;
        match response.status() {
            StatusCode::OK => {}
            // The transmitter does not know the stream any more.
            StatusCode::NOT_FOUND | StatusCode::CONFLICT | StatusCode::GONE => {
                *self = Self { impatient: self.impatient, ..Self::new() };
                return Err("the stream is gone");
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err("our credentials are not taken"),
            _ => return Err("an unexpected status"),
        }
        let mut page: Page = serde_json::from_slice(response.body()).map_err(|_| "an answer that cannot be read")?;
        page.resumed = response.headers().get(STREAM).map(|stream| stream == "resumed");
        Ok(page)
    }

    /// A page counts as a whole: one event that cannot be verified may be the one that matters.
    async fn verify(&self, core: &Core, page: &Page) -> Result<Vec<(String, Revoked)>, &'static str> {
        let audience = core.spec.introspection.as_ref().map(|spec| spec.client_id.as_str());
        let mut events = Vec::new();
        for (jti, set) in &page.sets {
            let set = set.as_str().ok_or("an event that is no text")?;
            let expected = Expected {
                types: &[TYP],
                issuer: Some(core.issuer()),
                audience,
                algorithms: &core.algorithms,
                now: core.clock.now(),
                leeway: core.spec.clock_leeway.0.max(Duration::from_secs(60)),
                expiry_required: false,
            };
            let verified = core.keys.verify(core, set, &expected).await.map_err(|_| "no keys to verify events with")?;
            let verified = verified.map_err(|rejected| rejected.as_str())?;
            if verified.text("jti") != Some(jti) {
                return Err("an event under another's id");
            }
            match verified.claims.get("sub_id").and_then(Revoked::from_subject) {
                Some(revoked) => events.push((jti.clone(), revoked)),
                // Something was revoked, but not told in words that are known here: all of it may be meant.
                None if is_revocation(&verified.claims) => core.marks.revoke_all(),
                None => {}
            }
        }
        Ok(events)
    }
}

fn is_revocation(claims: &Map<String, Value>) -> bool {
    const KNOWN: [&str; 5] = [
        event::SESSION_REVOKED,
        event::ACCOUNT_DISABLED,
        event::TOKEN_REVOKED,
        event::TOKENS_REVOKED,
        event::KEY_REVOKED,
    ];
    claims
        .get("events")
        .and_then(Value::as_object)
        .is_some_and(|events| events.keys().any(|kind| KNOWN.contains(&kind.as_str())))
}
