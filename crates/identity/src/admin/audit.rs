use std::time::Duration;

use axum::extract::Query;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{AdminCx, Answer, ok, page};
use crate::audit::{self, Entry, Filter};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Question {
    limit: Option<u32>,
    cursor: Option<String>,
    /// Only what happened this long ago or later.
    since_ms: Option<u64>,
    actor: Option<String>,
    subject: Option<String>,
    client: Option<String>,
    object: Option<String>,
    act: Option<String>,
}

pub async fn list_audit(AdminCx(mut cx): AdminCx, Query(question): Query<Question>) -> Answer {
    let filter = Filter {
        from: question.since_ms.map(|ms| cx.now.minus(Duration::from_millis(ms))),
        until: None,
        actor: question.actor,
        subject: question.subject,
        client_id: question.client,
        object: question.object,
        act: question.act,
    };
    let limit = question.limit.unwrap_or(100).clamp(1, 1000);
    let found = audit::list(&mut cx, &filter, question.cursor.as_deref(), limit).await?;
    let items: Vec<Value> = found.entries.iter().map(view).collect();
    Ok(page(&items, found.next))
}

pub async fn verify_audit(AdminCx(mut cx): AdminCx) -> Answer {
    let report = audit::verify(&mut cx).await?;
    let breaks: Vec<Value> = report
        .breaks
        .iter()
        .map(|found| json!({"writer": found.writer, "seq": found.seq, "what": found.what}))
        .collect();
    let fault = report.breaks.first().map(|found| format!("record {} of {}: {}", found.seq, found.writer, found.what));
    Ok(ok(&json!({
        "whole": report.breaks.is_empty(), "chains": report.chains, "records": report.records,
        "checkpoints": report.checkpoints,
        "breaks": breaks, "fault": fault,
    })))
}

fn view(entry: &Entry) -> Value {
    json!({
        "writer": entry.writer, "seq": entry.seq, "occurredAt": entry.occurred_at, "act": entry.act,
        "outcome": entry.outcome, "actor": entry.actor, "subject": entry.subject, "clientId": entry.client_id,
        "object": entry.object, "requestId": entry.request_id, "detail": entry.detail(), "hash": entry.hash,
    })
}
