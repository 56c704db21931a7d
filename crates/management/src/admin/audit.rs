//! The audit log, as people read it.

use axum::response::Response;
use base::Time;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Listed;
use crate::actor::Right;
use crate::audit::{Entry, Filter, list};
use crate::cx::Cx;
use crate::error::Refused;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    object: Option<String>,
    organisation: Option<String>,
}

pub(super) async fn list_audit(mut cx: Cx, asked: Listed<Which>) -> Result<Response, Refused> {
    cx.need(Right::Read)?;
    let before: Option<(i64, String)> = asked.after()?;
    let filter = Filter {
        object: asked.which.object.clone(),
        organisation: asked.which.organisation.clone(),
        before: before.map(|(at, id)| (Time::from_ms(at), id)),
    };
    let found = list(&mut cx, &filter, asked.many()).await?;
    Ok(asked.page(&found, shown, |entry| (entry.at.ms(), entry.id.clone())))
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
