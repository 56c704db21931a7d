//! The decision log: who could, who did. It never slows a decision: a decision is put into a bounded queue,
//! and if that is full it is counted as not logged. Attributes are not written, since they may be anything.

pub mod http;
mod store;

use ::store::StoreError;
use base::Time;
use base::ids::RequestId;
use policy::{Decision, Question, Verdict};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, mpsc};

pub use store::{Filter, list, sweep};

use crate::SharedEntitlement;
use crate::callers::Called;
use crate::error::Refused;
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

/// A decision that was made elsewhere, by policies of ours.
#[derive(Debug, Clone, Deserialize)]
pub struct Report {
    id: String,
    at: i64,
    #[serde(default)]
    request_id: String,
    subject_type: String,
    subject_id: String,
    action: String,
    resource_type: String,
    resource_id: String,
    verdict: String,
    #[serde(default)]
    reasons: Vec<String>,
    #[serde(default)]
    version: i64,
}

/// Reports in one request, and reasons in one report.
const MOST: usize = 1_000;

/// Puts reports into the log, under the name of whoever made them; how many it took.
pub fn take(entitlement: &SharedEntitlement, called: &Called, reports: Vec<Report>) -> Result<usize, Refused> {
    if reports.len() > MOST {
        return Err(Refused::TooMany(MOST));
    }
    let known = |report: &Report| Verdict::ALL.iter().any(|verdict| verdict.as_str() == report.verdict);
    if !reports.iter().all(|report| known(report) && !report.id.is_empty() && report.reasons.len() <= MOST) {
        return Err(Refused::BadRequest("a decision has no id, or a verdict that is none".to_owned()));
    }
    let (count, now) = (reports.len(), entitlement.clock.now());
    for report in reports {
        let allowed = report.verdict == Verdict::Permitted.as_str();
        entitlement.log.put(Record {
            // Another caller's ids are its own: nobody keeps a decision out of the log by taking its id.
            decision_id: RequestId::from(cut(&format!("{}.{}", called.caller, report.id))),
            // Nobody's entries stand before those that come later, or outlive their time.
            decided_at: Time::from_ms(report.at).min(now),
            caller: called.caller.clone(),
            request_id: cut(&report.request_id),
            subject_type: cut(&report.subject_type),
            subject_id: cut(&report.subject_id),
            action: cut(&report.action),
            resource_type: cut(&report.resource_type),
            resource_id: cut(&report.resource_id),
            decision: if allowed { "allow" } else { "deny" }.to_owned(),
            verdict: report.verdict,
            reasons: report.reasons.iter().map(|reason| cut(reason)).collect(),
            version: report.version,
        });
    }
    Ok(count)
}

fn cut(text: &str) -> String {
    text.chars().filter(|c| *c != '\0').take(TEXT).collect()
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
