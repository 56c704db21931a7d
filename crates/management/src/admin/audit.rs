//! The audit log, as people read it.

use axum::extract::OriginalUri;
use axum::response::Response;
use base::Time;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Asked, Paging, page};
use crate::actor::Right;
use crate::audit::{Entry, Filter, list};
use crate::cx::Cx;
use crate::error::Refused;

#[derive(Debug, Deserialize)]
pub(super) struct Which {
    object: Option<String>,
    organisation: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

pub(super) async fn list_audit(mut cx: Cx, uri: OriginalUri, Asked(which): Asked<Which>) -> Result<Response, Refused> {
    cx.need(Right::Read)?;
    let paging = Paging { limit: which.limit, cursor: which.cursor };
    let limit = paging.limit();
    let before: Option<(i64, String)> = paging.after()?;
    let filter = Filter {
        object: which.object,
        organisation: which.organisation,
        before: before.map(|(at, id)| (Time::from_ms(at), id)),
    };
    let mut found = list(&mut cx, &filter, i64::try_from(limit + 1).unwrap_or(i64::MAX)).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|entry| (entry.at.ms(), entry.id.clone()));
    Ok(page(&uri, &found.iter().map(shown).collect::<Vec<_>>(), next))
}

fn shown(entry: &Entry) -> Value {
    json!({
        "id": entry.id,
        "at": entry.at,
        "actor": entry.actor,
        "act": entry.act,
        "object": entry.object,
        "organisation": entry.organisation,
        "requestId": entry.request_id,
        "detail": entry.detail,
    })
}
