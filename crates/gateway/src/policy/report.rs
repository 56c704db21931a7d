//! Tells the entitlement system which calls were denied, for its decision log: in batches, behind the answers.
//! The queue is bounded; what finds it full is counted.

use std::sync::Arc;
use std::time::Duration;

use base::ids::RequestId;
use base::peer::Limits;
use bytes::Bytes;
use http::{Request, header};
use policy::{Decision, Question};
use serde::Serialize;
use tokio::sync::{Mutex, mpsc};

use super::follow::{Core, bearer};
use crate::edge::Exchange;
use crate::metrics::Metrics;

const QUEUE: usize = 10_000;
const BATCH: usize = 200;
const LIMITS: Limits = Limits { time: Duration::from_secs(10), body_bytes: 64 * 1024 };
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// One denied call as the decision log knows it. No attribute is told.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Entry {
    /// A repeated batch is written once.
    id: RequestId,
    at: i64,
    request_id: String,
    subject_type: String,
    subject_id: String,
    action: String,
    resource_type: String,
    resource_id: String,
    verdict: &'static str,
    reasons: Vec<String>,
    version: i64,
}

impl Entry {
    pub fn new(question: &Question, decision: &Decision, version: i64, exchange: &Exchange) -> Self {
        let policies = decision.reasons.iter().map(|info| info.id.clone());
        Self {
            id: RequestId::random(),
            at: question.now.ms(),
            request_id: exchange.request_id.to_string(),
            subject_type: question.subject.kind.clone(),
            subject_id: question.subject.id.clone(),
            action: question.action.name.clone(),
            resource_type: question.resource.kind.clone(),
            resource_id: question.resource.id.clone(),
            verdict: decision.verdict.as_str(),
            reasons: policies.chain(decision.errors.iter().cloned()).collect(),
            version,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Reports {
    sender: mpsc::Sender<Entry>,
    receiver: Mutex<mpsc::Receiver<Entry>>,
    metrics: Arc<Metrics>,
}

impl Reports {
    pub fn new(metrics: &Arc<Metrics>) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        Self { sender, receiver: Mutex::new(receiver), metrics: Arc::clone(metrics) }
    }

    pub fn put(&self, entry: impl FnOnce() -> Entry) {
        match self.sender.try_reserve() {
            Ok(place) => place.send(entry()),
            Err(_) => self.metrics.policy.denial_not_reported(),
        }
    }
}

/// Until the source is no longer part of the configuration. A batch waits while nobody takes it.
pub(crate) async fn send(core: Arc<Core>, reports: Arc<Reports>) {
    let mut receiver = reports.receiver.lock().await;
    loop {
        let mut batch = Vec::new();
        if receiver.recv_many(&mut batch, BATCH).await == 0 {
            return;
        }
        let mut pause = Duration::from_millis(200);
        while !deliver(&core, &batch).await {
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
    }
}

/// Whether somebody has it now, or will never have it.
async fn deliver(core: &Core, batch: &[Entry]) -> bool {
    let url = format!("{}/policy/v1/decisions", core.spec.url.as_str().trim_end_matches('/'));
    let Some(bearer) = bearer(&core.secret) else { return true };
    let body = serde_json::to_vec(&serde_json::json!({"decisions": batch})).unwrap_or_default();
    let request = Request::post(url)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::AUTHORIZATION, bearer)
        .body(Bytes::from(body));
    let Ok(request) = request else { return true };
    match core.peer.call(request, LIMITS).await {
        Ok(response) if response.status().is_success() => true,
        Ok(response) if response.status().is_client_error() => {
            tracing::warn!(status = response.status().as_u16(), "denied calls are not taken by the decision log");
            true
        }
        _ => false,
    }
}
