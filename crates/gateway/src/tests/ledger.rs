//! A scripted management: a ledger that takes each record once, and a snapshot that is published.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use base::peer::{Limits, Peer, PeerError};
use bytes::Bytes;
use catalog::published::Published;
use catalog::usage::{Total, UsageAnswer, UsageBatch, UsageRecord};
use futures_util::future::BoxFuture;
use http::{HeaderValue, Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;

/// What becomes of the next batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Nobody is there.
    Down,
    /// It is taken, and the answer gets lost.
    AnswerLost,
    Status(u16),
}

#[derive(Debug, Default)]
pub struct Books {
    pub next: HashMap<String, u64>,
    pub records: Vec<UsageRecord>,
    pub batches: usize,
    pub empty_batches: usize,
    pub last: Option<(Option<u64>, Option<String>)>,
    fates: VecDeque<Fate>,
    pub down: bool,
    published: Option<Published>,
    /// A batch with one of these is refused for good.
    pub refuses: Vec<String>,
    /// And one with more records, unless it is 0.
    pub largest: usize,
    /// And any other.
    pub refuses_all: bool,
}

pub struct Ledger {
    books: Mutex<Books>,
    changed: watch::Sender<u64>,
    /// The length of the windows of totals.
    window_ms: i64,
    first: u64,
}

impl Ledger {
    pub fn new() -> Arc<Self> {
        Self::beginning_at(1)
    }

    pub fn beginning_at(first: u64) -> Arc<Self> {
        Arc::new(Self { books: Mutex::default(), changed: watch::Sender::new(0), window_ms: 86_400_000, first })
    }

    pub fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap()
    }

    pub fn fate(&self, fates: impl IntoIterator<Item = Fate>) {
        self.books().fates.extend(fates);
    }

    pub fn down(&self, down: bool) {
        self.books().down = down;
        self.changed.send_modify(|count| *count += 1);
    }

    pub fn publish(&self, published: Published) {
        self.books().published = Some(published);
        self.changed.send_modify(|count| *count += 1);
    }

    /// Waits until something is so.
    pub async fn until(&self, is: impl Fn(&Books) -> bool) {
        let mut changes = self.changed.subscribe();
        let waited = tokio::time::timeout(std::time::Duration::from_secs(20), async {
            while !is(&self.books()) {
                changes.changed().await.unwrap();
            }
        });
        waited.await.unwrap_or_else(|_| panic!("it does not come to that: {:?}", self.books()));
    }

    fn take(&self, request: &Request<Bytes>) -> Result<Response<Bytes>, PeerError> {
        assert_eq!(request.headers()["authorization"], "Bearer gateway-token");
        let batch: UsageBatch = serde_json::from_slice(request.body()).unwrap();
        let mut books = self.books();
        let fate = if books.down { Some(Fate::Down) } else { books.fates.pop_front() };
        match fate {
            Some(Fate::Down) => return Err(PeerError::Unreachable),
            Some(Fate::Status(status)) => return Ok(json_answer(status, &json!({}))),
            _ => {}
        }
        let bad = |record: &UsageRecord| books.refuses.contains(&record.id);
        if books.refuses_all || batch.records.iter().any(bad) {
            return Ok(json_answer(400, &json!({"title": "x", "detail": "a record is not what is expected"})));
        }
        if books.largest > 0 && batch.records.len() > books.largest {
            return Ok(json_answer(413, &json!({"title": "The body is too large"})));
        }
        let next = books.next.get(&batch.gateway).copied().unwrap_or(self.first);
        if batch.first > next {
            return Ok(json_answer(409, &json!({"type": "x", "next": next})));
        }
        books.batches += 1;
        books.empty_batches += usize::from(batch.records.is_empty());
        books.last = Some((batch.serving, batch.refused.clone()));
        let end = batch.first + u64::try_from(batch.records.len()).unwrap();
        let known = usize::try_from(next - batch.first).unwrap();
        books.records.extend(batch.records.into_iter().skip(known));
        books.next.insert(batch.gateway, next.max(end));
        let answer = UsageAnswer { next: next.max(end), totals: self.totals(&books), cursor: 1 };
        drop(books);
        self.changed.send_modify(|count| *count += 1);
        match fate {
            Some(Fate::AnswerLost) => Err(PeerError::BrokenOff),
            _ => Ok(json_answer(200, &serde_json::to_value(answer).unwrap())),
        }
    }

    fn totals(&self, books: &Books) -> Vec<Total> {
        let mut totals: HashMap<(String, i64), u64> = HashMap::new();
        for record in &books.records {
            if let Some(subscription) = &record.subscription {
                let window = record.at - record.at.rem_euclid(self.window_ms);
                *totals.entry((subscription.clone(), window)).or_default() += u64::from(record.units);
            }
        }
        totals.into_iter().map(|((subscription, window), used)| Total { subscription, window, used }).collect()
    }

    async fn snapshot(&self, known: Option<String>) -> Result<Response<Bytes>, PeerError> {
        let mut changes = self.changed.subscribe();
        loop {
            {
                let books = self.books();
                if books.down {
                    return Err(PeerError::Unreachable);
                }
                if let Some(published) = &books.published
                    && known.as_deref() != Some(&format!("\"{}\"", published.version))
                {
                    let mut answer = json_answer(200, &serde_json::to_value(published).unwrap());
                    let tag = HeaderValue::from_str(&format!("\"{}\"", published.version)).unwrap();
                    answer.headers_mut().insert("etag", tag);
                    return Ok(answer);
                }
            }
            changes.changed().await.unwrap();
        }
    }
}

impl Peer for Ledger {
    fn call(&self, request: Request<Bytes>, _: Limits) -> BoxFuture<'_, Result<Response<Bytes>, PeerError>> {
        Box::pin(async move {
            match request.uri().path() {
                "/gateway/v1/usage" => self.take(&request),
                "/gateway/v1/snapshot" => {
                    assert_eq!(request.headers()["authorization"], "Bearer gateway-token");
                    let known = request.headers().get("if-none-match").map(|tag| tag.to_str().unwrap().to_owned());
                    self.snapshot(known).await
                }
                path => panic!("nobody asks management for {path}"),
            }
        })
    }
}

fn json_answer(status: u16, body: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}
