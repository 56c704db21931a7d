use axum::Json;
use axum::body::Bytes;
use axum::extract::{Query, State};
use base::Time;
use http::HeaderMap;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Filter, Report};
use crate::callers::Called;
use crate::error::Refused;
use crate::{Cx, SharedEntitlement, json as body};

/// Times are milliseconds since the epoch.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Search {
    from: Option<i64>,
    until: Option<i64>,
    subject: Option<String>,
    resource: Option<String>,
    decision: Option<String>,
    request_id: Option<String>,
    limit: Option<u32>,
    cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Reported {
    decisions: Vec<Report>,
}

/// What those who decide by the snapshot have decided. An entry that is sent again is written once.
pub async fn take_decisions(
    State(entitlement): State<SharedEntitlement>,
    called: Called,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<Json<Value>, Refused> {
    let reported: Reported = body::parse(&headers, &bytes)?;
    let taken = super::take(&entitlement, &called, reported.decisions)?;
    Ok(Json(json!({"taken": taken})))
}

pub async fn list_decisions(mut cx: Cx, Query(search): Query<Search>) -> Result<Json<Value>, Refused> {
    let after = match search.cursor.as_deref().map(|cursor| cursor.split_once('.')) {
        None => None,
        Some(Some((at, id))) => at.parse().ok().map(|at| (Time::from_ms(at), id.to_owned())),
        Some(None) => return Err(Refused::BadRequest("the cursor is not one of ours".to_owned())),
    };
    let filter = Filter {
        from: search.from.map(Time::from_ms),
        until: search.until.map(Time::from_ms),
        subject: search.subject,
        resource: search.resource,
        decision: search.decision,
        request_id: search.request_id,
        after,
    };
    let limit = search.limit.unwrap_or(100).clamp(1, 1_000);
    let items = super::list(&mut cx, &filter, limit).await?;
    let full = u32::try_from(items.len()).unwrap_or(u32::MAX) == limit;
    let next = items.last().filter(|_| full).map(|last| format!("{}.{}", last.decided_at, last.decision_id));
    Ok(Json(json!({"items": items, "next": next})))
}
