//! The decision log: who could, who did. It never slows a decision: a decision is put into a bounded queue,
//! and if that is full it is counted as not logged. Attributes are not written, since they may be anything.

pub mod http;
mod store;

use ::store::StoreError;
use base::Time;
use base::ids::RequestId;
use policy::{Decision, Question};
use serde::Serialize;
use tokio::sync::{Mutex, mpsc};

pub use store::{Filter, list, sweep};

use crate::SharedEntitlement;
use crate::metrics::Metrics;

/// Longer texts of a question are cut, so that nobody fills the log with one request.
const TEXT: usize = 256;

/// One decision as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Record {
    pub decision_id: RequestId,
    pub decided_at: Time,
    pub caller: String,
    pub request_id: String,
    pub subject_type: String,
    pub subject_id: String,
    pub action: String,
    pub resource_type: String,
    pub resource_id: String,
    pub decision: String,
    pub verdict: String,
    /// Ids of the policies that decided, or what could not be decided.
    pub reasons: Vec<String>,
    pub version: i64,
}

impl Record {
    pub fn new(question: &Question, decision: &Decision, version: i64, caller: &str, request_id: &RequestId) -> Self {
        let cut = |text: &str| text.chars().filter(|c| *c != '\0').take(TEXT).collect::<String>();
        let policies = decision.reasons.iter().map(|info| info.id.clone());
        Self {
            decision_id: RequestId::random(),
            decided_at: question.now,
            caller: caller.to_owned(),
            request_id: cut(request_id.as_str()),
            subject_type: cut(&question.subject.kind),
            subject_id: cut(&question.subject.id),
            action: cut(&question.action.name),
            resource_type: cut(&question.resource.kind),
            resource_id: cut(&question.resource.id),
            decision: if decision.allow { "allow" } else { "deny" }.to_owned(),
            verdict: decision.verdict.as_str().to_owned(),
            reasons: policies.chain(decision.errors.iter().map(|error| cut(error))).collect(),
            version,
        }
    }
}

/// The queue between deciding and writing.
pub struct DecisionLog {
    sender: mpsc::Sender<Record>,
    receiver: Mutex<mpsc::Receiver<Record>>,
    metrics: Metrics,
}

impl DecisionLog {
    pub fn new(queue: usize, metrics: Metrics) -> Self {
        let (sender, receiver) = mpsc::channel(queue.max(1));
        Self { sender, receiver: Mutex::new(receiver), metrics }
    }

    /// Never waits.
    pub fn put(&self, record: Record) {
        if self.sender.try_send(record).is_err() {
            self.metrics.not_logged();
        }
    }
}

/// Writes as they come, many in one transaction, until the process ends. If the database is away the batch
/// waits, and behind it the queue fills up.
pub async fn run(entitlement: &SharedEntitlement) {
    loop {
        let mut receiver = entitlement.log.receiver.lock().await;
        let mut batch = Vec::new();
        if receiver.recv_many(&mut batch, entitlement.config.log.batch.max(1)).await == 0 {
            return;
        }
        while let Err(cause) = store::append(entitlement, &batch).await {
            tracing::warn!(%cause, decisions = batch.len(), "decisions cannot be written; trying again");
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
    }
}

/// Writes what waits now; returns how many that were.
pub async fn flush(entitlement: &SharedEntitlement) -> Result<usize, StoreError> {
    let mut receiver = entitlement.log.receiver.lock().await;
    let mut batch = Vec::new();
    while let Ok(record) = receiver.try_recv() {
        batch.push(record);
    }
    store::append(entitlement, &batch).await?;
    Ok(batch.len())
}
